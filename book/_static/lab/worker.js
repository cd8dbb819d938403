// Worker 里的一侧：装载权重，一次做一件事；每走一步让出一次，好听见“停”。
// 收 {id, kind, image, options}，回 {id, partial}（中间结果）、{id, result}、{id, stopped} 或 {id, error}。
function labWorker() {
  const jobs = {};
  let current = 0;

  // 让出一次：等消息队列里已有的都处理完
  const pause = () =>
    new Promise((resolve) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = resolve;
      port2.postMessage(0);
    });

  function load({ network, plain, statistics }) {
    const { decodeHalves } = labNumbers();
    const net = labNetwork(decodeHalves(network), { plain });
    const { dream, ascend } = labSynthesis(net, statistics);
    Object.assign(jobs, labExplanations(net), { dream, ascend });
    return { simd: net.simd };
  }
  function loadStylizer({ weights, about, plain }) {
    const { decodeHalves } = labNumbers();
    const stylizer = labStylizer(decodeHalves(weights), about, { plain });
    jobs.stylize = function* stylize({ data, size }, { mix }) {
      const work = stylizer.stylize(data, size, mix);
      let step = work.next();
      for (let i = 1; !step.done; i++, step = work.next()) yield { done: i / stylizer.steps };
      return { pixels: step.value, side: size, done: 1 };
    };
    return {};
  }
  Object.assign(jobs, {
    load: (_, options) => load(options),
    loadStylizer: (_, options) => loadStylizer(options),
  });

  // 走完一个生成器；中间结果至多每 80 毫秒送一次
  async function walk(id, work) {
    let sent = 0;
    let step = work.next();
    while (!step.done) {
      if (performance.now() - sent > 80) {
        self.postMessage({ id, partial: step.value });
        sent = performance.now();
      }
      await pause();
      if (current !== id) return { stopped: true };
      step = work.next();
    }
    return { result: step.value };
  }

  self.onmessage = async ({ data: { id, kind, image, options } }) => {
    current = id;
    if (kind === "stop") return;
    try {
      const started = performance.now();
      const work = jobs[kind](image, options);
      const outcome = typeof work.next === "function" ? await walk(id, work) : { result: work };
      self.postMessage({ id, ...outcome, milliseconds: performance.now() - started });
    } catch (error) {
      self.postMessage({ id, error: error.message });
    }
  };
}
