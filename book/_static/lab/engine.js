// 页面里的一侧：一页一个引擎。第一次用时才装载数据、开 Worker；照片只交给这些 Worker，不离开这台机器。
// Worker 的程序由这里的文字拼成，不读别的文件，所以从硬盘打开的网页也能用。
const labEngine = (() => {
  const folder = new URL(".", document.currentScript.src);
  // 网址里写 ?kernel=plain 就不用 WebAssembly 的那份乘法
  const plain = new URLSearchParams(location.search).get("kernel") === "plain";
  const most = Math.min(4, navigator.hardwareConcurrency || 1);
  const parts = [labNumbers, labKernel, labLayers, labNetwork, labStylizer];
  parts.push(labPictures, labCosineImage, labExplanations, labSynthesis, labWorker);
  const source = `${parts.join("\n")}\nlabWorker();`;
  const workers = [];

  function addScript(name) {
    return new Promise((resolve, reject) => {
      const tag = document.createElement("script");
      tag.src = new URL(name, folder).href;
      tag.onload = resolve;
      tag.onerror = () => reject(new Error(`读不到 ${name}，重新建一次书`));
      document.head.append(tag);
    });
  }

  function startWorker() {
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    const worker = new Worker(url);
    const waiting = new Map();
    let next = 1;
    worker.onmessage = ({ data }) => {
      const job = waiting.get(data.id);
      if (!job) return; // 已经停下了
      if (data.partial) return job.onPartial(data.partial);
      waiting.delete(data.id);
      if (data.error) job.reject(new Error(data.error));
      else job.resolve(data);
    };
    const started = {
      run(kind, image, options, onPartial = () => {}) {
        return new Promise((resolve, reject) => {
          waiting.set(next, { resolve, reject, onPartial });
          worker.postMessage({ id: next, kind, image, options });
          next += 1;
        });
      },
      // 马上答“停了”，不等 Worker 走完手上的一步
      stop() {
        for (const job of waiting.values()) job.resolve({ stopped: true });
        waiting.clear();
        worker.postMessage({ id: next, kind: "stop" });
        next += 1;
      },
    };
    const data = { network: labNetworkWeights, statistics: labStatistics, plain };
    started.ready = started.run("load", null, data);
    workers.push(started);
    return started;
  }

  let loading = null;
  let loadingStylizer = null;
  async function loadAll() {
    const started = performance.now();
    await Promise.all([addScript("data_network.js"), addScript("data_photos.js")]);
    const { result } = await startWorker().ready;
    return { simd: result.simd, milliseconds: performance.now() - started };
  }
  const load = () => (loading ??= loadAll());

  async function loadStylizer() {
    await Promise.all([load(), addScript("data_stylizer.js")]);
    const options = { weights: labStylizerWeights, about: labStylizerAbout, plain };
    await workers[0].run("loadStylizer", null, options);
    return labStylizerAbout;
  }

  // 做一件事：给 {result, milliseconds}，或 {stopped: true}
  async function run(kind, image, options, onPartial) {
    await load();
    return workers[0].run(kind, image, options, onPartial);
  }

  // 几个 Worker 各做一份，sum 与 count 逐份相加
  async function runShared(kind, image, options, onPartial) {
    await load();
    while (workers.length < most) startWorker();
    const started = performance.now();
    const latest = Array(most).fill(null);
    const merged = () => {
      const known = latest.filter(Boolean);
      const sum = known[0].sum.slice();
      for (const { sum: other } of known.slice(1)) other.forEach((value, p) => (sum[p] += value));
      const count = known.reduce((total, each) => total + each.count, 0);
      return { ...known[0], sum, count, done: count / known[0].total };
    };
    const outcomes = await Promise.all(
      workers.map((worker, i) =>
        worker.run(kind, image, { ...options, part: [i, most] }, (partial) => {
          latest[i] = partial;
          onPartial?.(merged());
        }),
      ),
    );
    if (outcomes.some(({ stopped }) => stopped)) return { stopped: true };
    outcomes.forEach(({ result }, i) => (latest[i] = result));
    return { result: merged(), milliseconds: performance.now() - started };
  }

  return {
    load,
    loadStylizer: () => (loadingStylizer ??= loadStylizer()),
    run,
    runShared,
    stop: () => workers.forEach((worker) => worker.stop()),
  };
})();
