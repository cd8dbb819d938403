// 面板的右边：选实验、转旋钮、开始、停、存图、结果，和同样一步的 Python。
function labExperimentSide(panel, names) {
  const { all, named, percent, program } = labExperiments;
  const { outlineChannel } = labDrawing;
  const { softmax, largest } = labNumbers();
  const element = labElement;
  const saved = {}; // 各个实验上一次的旋钮
  let chosen = names[0];
  let running = null;
  let view = null;
  let channel = 0;
  let place = null; // “一次卷积”里指着的一处

  const tabs = element("div", { className: "lab-tabs", role: "tablist", label: "实验" });
  const controls = element("div", { className: "lab-controls" });
  const canvas = element("canvas", { className: "lab-picture lab-result", role: "img", label: "结果" });
  const caption = element("p", { className: "lab-small", role: "status" });
  const hint = element("p", { className: "lab-small" });
  const detail = element("div", { className: "lab-detail", role: "status" });
  const status = element("p", { className: "lab-status", role: "status" });
  const code = element("code");
  const codeNote = element("p", { className: "lab-small" });
  const progress = element("progress", { max: 1, value: 0, label: "进度" });
  const button = (text, act, more = {}) => {
    const made = element("button", { type: "button", ...more }, text);
    made.addEventListener("click", act);
    return made;
  };
  const start = button("开始", () => run(), { className: "lab-go" });
  const stop = button("停", () => labEngine.stop(), { disabled: true });
  const save = button("存图", () => download(), { disabled: true });

  const options = () => saved[chosen];
  const isQuick = () => Boolean(all[chosen].quick?.(options()));

  function download() {
    const name = `${panel.photo.name || "photo"}_${chosen}.png`;
    element("a", { href: canvas.toDataURL(), download: name }).click();
  }

  function choose(name) {
    if (running) labEngine.stop();
    [running, panel.busy] = [null, false];
    chosen = name;
    for (const tab of tabs.children) {
      const on = tab.dataset.name === name;
      tab.setAttribute("aria-selected", on);
      tab.tabIndex = on ? 0 : -1;
    }
    const experiment = all[name];
    saved[name] = { ...saved[name], target: panel.target };
    controls.replaceChildren(...experiment.controls.map((each) => labKnob(each, saved[name], changed)));
    clear(experiment);
    panel.setProbing(experiment.probes ? options : null);
    run(); // 一打开就有一张图看；慢的可以停
  }

  function clear(experiment) {
    hint.textContent = experiment.hint ?? "";
    caption.textContent = "";
    status.textContent = "";
    detail.replaceChildren();
    progress.value = 0;
    [view, place] = [null, null];
    Object.assign(canvas, { width: panel.image.size, height: panel.image.size });
    setPicking(false);
    start.disabled = false;
    stop.disabled = save.disabled = true;
    showCode(experiment, { image: panel.image, photo: panel.photo, options: options() });
  }

  function changed(name, settled) {
    if (all[chosen].probes) panel.refresh();
    showCode(all[chosen], { image: panel.image, photo: panel.photo, options: options() });
    if (settled && isQuick()) run();
  }

  function showCode(experiment, now, line) {
    code.textContent = program(experiment, now, line);
    codeNote.textContent = experiment.random ? "随机数与这里的不同，细处会不一样。" : "";
  }

  // 运行一次；新的一次开始，旧的就作废
  async function run() {
    if (running) labEngine.stop();
    const experiment = all[chosen];
    const mine = (running = {});
    const now = { image: panel.image, photo: panel.photo, options: { ...options() } };
    panel.busy = true;
    [start.disabled, stop.disabled] = [true, false];
    progress.value = 0;
    status.textContent = "在算……";
    detail.replaceChildren();
    view = null;
    setPicking(false);
    showCode(experiment, now);

    function show(outcome) {
      if (running !== mine) return;
      progress.value = outcome.done ?? 1;
      caption.textContent = experiment.draw(canvas, outcome, now);
      canvas.setAttribute("aria-label", caption.textContent);
      save.disabled = false;
    }
    try {
      const outcome = await experiment.compute(now, show);
      if (running !== mine) return;
      if (outcome.stopped) {
        status.textContent = "停下了，图是到这一步为止的。";
      } else {
        show(outcome.result);
        status.textContent = `算完，用了 ${duration(outcome.milliseconds)}。`;
        await finish(experiment, outcome.result, now, mine);
      }
    } catch (error) {
      if (running === mine) status.textContent = `出错了：${error.message}`;
    } finally {
      if (running === mine) {
        running = null;
        panel.busy = false;
        [start.disabled, stop.disabled] = [false, true];
        panel.resume();
      }
    }
  }
  const duration = (ms) => (ms < 1000 ? `${ms.toFixed(0)} 毫秒` : `${(ms / 1000).toFixed(1)} 秒`);

  // 合成的图，再让网络看一眼；激活图，可以选通道了
  async function finish(experiment, result, now, mine) {
    if (running !== mine) return;
    view = now;
    if (experiment.picks || experiment.points) setPicking(true);
    if (experiment.points) point(place ?? experiment.points.strongestPlace(view));
    const pixels = result.pixels ?? (result.pictures?.length === 1 ? result.pictures[0] : null);
    if (!pixels) return;
    const { result: scores } = await labEngine.run("scores", { data: pixels, size: now.image.size });
    if (!scores || running !== mine) return;
    const shares = softmax(scores);
    const top = shares.indexOf(largest(shares));
    caption.textContent += `网络看这张图：${named(top)}，${percent(shares[top])}。`;
  }

  // 激活图里选通道

  function setPicking(on) {
    canvas.tabIndex = on ? 0 : -1;
    canvas.classList.toggle("lab-picking", on);
    canvas.classList.toggle("lab-probing", on && Boolean(all[chosen].points));
    canvas.setAttribute("role", on ? "application" : "img");
    channel = 0;
    panel.neuron = null;
  }
  async function pick(next) {
    const { sheet, found } = view;
    channel = Math.min(sheet.channels - 1, Math.max(0, next));
    const mine = view;
    const neuron = await all[chosen].enlarge(channel, view);
    if (!neuron || view !== mine || neuron.channel !== channel) return;
    all[chosen].draw(canvas, found, view);
    outlineChannel(canvas, sheet, channel);
    panel.neuron = { layer: view.options.layer, channel };
    detail.replaceChildren(...labNeuronFigures(view, channel, neuron));
    showCode(all[chosen], view, neuron.line);
  }

  // 指着一处：画框，写出那个数怎样算出来
  function point(next) {
    const { points, python } = all[chosen];
    place = next;
    points.mark(canvas, view, place);
    detail.replaceChildren(...points.numbers(view, place));
    showCode(all[chosen], view, python(view).replace(/]$/, `, ${place.row}, ${place.column}]`));
  }
  function follow(event) {
    if (!view || !all[chosen].points) return;
    const box = canvas.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    point(all[chosen].points.placeAt(x, y, view));
  }
  canvas.addEventListener("pointermove", follow);
  canvas.addEventListener("pointerdown", follow);

  canvas.addEventListener("click", (event) => {
    if (!view?.sheet) return;
    const box = canvas.getBoundingClientRect();
    const { columns, rows, channels } = view.sheet;
    const row = Math.floor(((event.clientY - box.top) / box.height) * rows);
    const column = Math.floor(((event.clientX - box.left) / box.width) * columns);
    if (row * columns + column < channels) pick(row * columns + column);
  });
  canvas.addEventListener("keydown", (event) => {
    const step = LAB_ARROWS[event.key] ?? (event.key === "Enter" ? [0, 0] : null);
    if (!view || !step || !(view.sheet || place)) return;
    event.preventDefault();
    if (all[chosen].points) {
      const inside = (value, count) => Math.min(count - 1, Math.max(0, value));
      const { height, width } = view.found;
      const row = inside(place.row + step[0], height);
      point({ row, column: inside(place.column + step[1], width) });
      return;
    }
    pick(channel + step[0] * view.sheet.columns + step[1]);
  });

  const pane = element(
    "div",
    { role: "tabpanel" },
    controls,
    element("div", { className: "lab-row" }, start, stop, save, progress),
    status,
    canvas,
    caption,
    hint,
    detail,
    element(
      "details",
      { className: "lab-code", open: true },
      element("summary", {}, "同样的一步，在 Python 里"),
      element("pre", {}, code),
      codeNote,
    ),
  );
  names.forEach((name) => {
    const tab = button(all[name].title, () => choose(name), { role: "tab" });
    tab.dataset.name = name;
    tabs.append(tab);
  });
  tabs.hidden = names.length === 1;
  tabs.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = (names.indexOf(chosen) + step + names.length) % names.length;
    choose(names[next]);
    tabs.children[next].focus();
  });

  return {
    node: element("section", { label: "实验" }, tabs, pane),
    choose,
    get chosen() {
      return chosen;
    },
    get options() {
      return saved[chosen];
    },
  };
}
