// 各个实验：要哪些旋钮，算什么，怎样画，怎样说，在 Python 里怎样写。
// view 是 {image, options, photo}；compute 给 {result} 或 {stopped}；draw 返回图下的说明；python 返回那一行。
// quick 的一眨眼就算完，换了旋钮就重算，不等人按“开始”。
const labExperiments = (() => {
  const { heatColor, signedColor, picture, signedPicture } = labDrawing;
  const { overlay, channelSheet, strength, quantile, paint, rgb } = labDrawing;
  const LAYERS = ["relu1", "pool1", "fire2", "fire3", "fire4", "fire5"];
  LAYERS.push("fire6", "fire7", "fire8", "fire9", "conv10");
  const FIRES = LAYERS.filter((name) => name.startsWith("fire"));
  const STYLES = { waves: "波浪", starry_night: "星夜", stained_glass: "彩色玻璃" };

  const named = (index) => labCategories[index][0];
  const percent = (share) => `${(100 * share).toFixed(share < 0.0995 ? 2 : 1)}%`;
  const largest = (values) => values.reduce((a, b) => (b > a ? b : a), -Infinity);

  const slider = (name, label, low, high, step, value) => {
    return { type: "slider", name, label, low, high, step, value };
  };
  function choice(name, label, options, value) {
    const table = Array.isArray(options) ? Object.fromEntries(options.map((o) => [o, o])) : options;
    return { type: "choice", name, label, options: table, value: value ?? Object.keys(table)[0] };
  }
  const target = { type: "category", name: "target", label: "类别（可以打字找）" };
  const look = choice("look", "怎样画", { heat: "各通道绝对值的最大", color: "带符号，彩色" });
  const reduction = ({ look: chosen }) => (chosen === "color" ? ", reduce=None" : "");

  // 梯度的两种画法
  function drawGradient(canvas, gradient, { image, options }) {
    const size = image.size;
    const sizes = strength(gradient);
    const top = quantile(sizes, 0.995);
    if (options.look === "color") signedPicture(canvas, gradient, size, top);
    else paint(canvas, size, size, (p) => heatColor(sizes[p] / top));
    const how = options.look === "color" ? "灰是 0" : "越亮越大";
    return `“${named(options.target)}”的得分对像素的梯度：${how}，画到 99.5% 分位 ${top.toFixed(2)} 为止。`;
  }

  const occlusion = {
    title: "遮挡",
    controls: [
      target,
      slider("window", "窗（像素）", 4, 80, 4, 48),
      slider("stride", "步幅", 4, 48, 4, 24),
      choice("fill", "填什么", { mean: "照片的平均色", grey: "灰", black: "黑", white: "白" }),
      choice("output", "看什么", { score: "得分", probability: "概率" }),
    ],
    hint:
      "在照片上移动指针，亲手盖住一块，看前五名怎样变；按一下定住，再按放开。" +
      "也可以用 Tab 键选中照片，再按方向键。上面的图是窗走遍整张照片的结果。",
    probes: true,
    compute({ image, options }, onPartial) {
      const stride = Math.min(options.stride, options.window);
      return labEngine.runShared("occlusion", image, { ...options, stride }, onPartial);
    },
    draw(canvas, { sum, starts, before, count, total }, { image, options }) {
      const n = starts.length;
      const top = largest(sum.map(Math.abs)) || 1;
      const edge = Math.max(0, starts[0] + (options.window - options.stride) / 2);
      const box = [edge, edge, image.size - 2 * edge, image.size - 2 * edge];
      const colorAt = (value) => signedColor(value / top);
      overlay(canvas, image, sum, { width: n, height: n, colorAt, box, smooth: false });
      const show = (value) => (options.output === "score" ? value.toFixed(2) : percent(value));
      const worst = sum.indexOf(largest(sum));
      const place = `第 ${Math.floor(worst / n) + 1} 行第 ${(worst % n) + 1} 列`;
      return (
        `“${named(options.target)}”原来是 ${show(before)}；试了 ${count} / ${total} 处，` +
        `掉得最多 ${show(sum[worst])}（${place}）。红是掉，蓝是反而升，最深是 ±${show(top)}。`
      );
    },
    python({ options: { target: t, window, stride, fill, output } }) {
      const more = output === "score" ? "" : ', output="probability"';
      const steps = `window=${window}, stride=${Math.min(stride, window)}`;
      return `cnnlab.occlusion_map(model, image, ${t}, ${steps}, fill="${fill}"${more})`;
    },
  };

  const METHODS = { plain: "梯度", input: "梯度 × 输入", smooth: "SmoothGrad" };
  const saliency = {
    title: "显著图",
    controls: [
      target,
      choice("method", "方法", METHODS),
      look,
      slider("samples", "SmoothGrad 几次", 4, 64, 4, 16),
      slider("noise", "SmoothGrad 的噪声", 0.02, 0.4, 0.02, 0.14),
    ],
    quick: ({ method }) => method !== "smooth",
    compute({ image, options }, onPartial) {
      if (options.method === "smooth") {
        return labEngine.runShared("smoothGradient", image, options, onPartial);
      }
      const timesInput = options.method === "input";
      return labEngine.run("gradient", image, { target: options.target, timesInput });
    },
    draw(canvas, outcome, view) {
      const gradient = outcome.gradient ?? outcome.sum.map((value) => value / outcome.count);
      const caption = drawGradient(canvas, gradient, view);
      if (outcome.gradient) return caption;
      return `${caption}加了 ${outcome.count} / ${outcome.total} 次噪声。`;
    },
    python({ options }) {
      const { target: t, method, samples, noise } = options;
      if (method === "input") return `cnnlab.gradient_times_input(model, image, ${t})`;
      if (method === "plain") return `cnnlab.saliency_map(model, image, ${t}${reduction(options)})`;
      const settings = `samples=${samples}, noise=${noise}${reduction(options)}`;
      return `cnnlab.smooth_grad(model, image, ${t}, ${settings})`;
    },
  };

  const RULES = { guided: "引导式：两样都看", deconvnet: "反卷积：只看传回的", plain: "普通梯度：只看前向" };
  const guided = {
    title: "三种回传",
    controls: [target, choice("rule", "ReLU 怎样回传", RULES), { ...look, value: "color" }],
    quick: () => true,
    compute: ({ image, options }) => labEngine.run("gradient", image, options),
    draw: (canvas, { gradient }, view) => drawGradient(canvas, gradient, view),
    python({ options: { target: t, rule } }) {
      if (rule === "plain") return `cnnlab.saliency_map(model, image, ${t}, reduce=None)`;
      return `cnnlab.${rule}_gradient(model, image, target=${t})`;
    },
  };

  const cam = {
    title: "类激活图",
    controls: [
      target,
      choice("layer", "哪一层", {
        "": "类激活图（conv10）",
        ...Object.fromEntries([...FIRES].reverse().map((name) => [name, `Grad-CAM ${name}`])),
      }),
    ],
    quick: () => true,
    compute: ({ image, options }) =>
      labEngine.run(options.layer ? "gradCam" : "classActivation", image, options),
    draw(canvas, { heat, height, width }, { image, options }) {
      const top = largest(heat) || 1;
      const colorAt = (value) => heatColor(value / top);
      overlay(canvas, image, heat, { width, height, colorAt, smooth: true });
      const grid = `网格 ${height} × ${width}，双线性放大`;
      return `“${named(options.target)}”的证据在哪里：${grid}，越亮越大，最大 ${Number(top.toPrecision(3))}。`;
    },
    python({ options: { target: t, layer } }) {
      if (!layer) return `cnnlab.class_activation_map(model, image, ${t})`;
      return `cnnlab.grad_cam(model, image, ${t}, "${layer}")`;
    },
  };

  const activations = {
    title: "激活图",
    controls: [
      choice("layer", "哪一层", LAYERS, "fire3"),
      choice("scale", "亮度", { each: "每张各自到最亮", common: "共用一把尺" }),
    ],
    hint: "点一张（或用方向键选），看放大的激活图，和它最强的神经元在意照片的哪里。",
    quick: () => true,
    picks: true,
    compute: ({ image, options }) => labEngine.run("activations", image, options),
    draw(canvas, found, view) {
      view.sheet = channelSheet(canvas, found, view.options.scale === "common");
      view.found = found;
      const { channels, tops, height, width } = view.sheet;
      const dead = tops.filter((value) => value === 0).length;
      const dark = dead ? `，${dead} 个通道在这张照片上没有大于 0 的数` : "";
      return `${view.options.layer}：${channels} 个通道，每张 ${height} × ${width}${dark}。黑是 0（及以下）。`;
    },
    python: ({ options: { layer } }) => `cnnlab.activations_of(model, image, "${layer}")["${layer}"]`,
    // 选中一个通道：放大的激活图、最强的神经元看的那一块、它的引导式梯度
    async enlarge(channel, { image, options, found }) {
      const settings = { layer: options.layer, channel };
      const { result } = await labEngine.run("neuron", image, settings);
      if (!result) return null;
      return { channel, found, ...result, line: this.neuronPython(settings) };
    },
    neuronPython: ({ layer, channel }) =>
      `cnnlab.guided_gradient(model, image, layer="${layer}", channel=${channel}, position="max")`,
  };

  const convolution = {
    title: "一次卷积",
    controls: [slider("channel", "第几个核", 0, 63, 1, 12)],
    hint: "在图上移动指针（或用 Tab 选中，再按方向键），看那一处的 27 个像素怎样乘成一个数。后面的层也是这样算，只是乘的数更多。",
    quick: () => true,
    points: labConvolution,
    compute: ({ image, options }) => labEngine.run("firstMap", image, options),
    draw: labConvolution.draw,
    python: ({ options: { channel } }) =>
      `cnnlab.activations_of(model, image, "conv1")["conv1"][0, ${channel}]`,
  };

  const dream = {
    title: "DeepDream",
    controls: [
      choice("layer", "放大哪一层", FIRES, "fire5"),
      slider("octaves", "几个尺度", 1, 4, 1, 3),
      slider("steps", "每个尺度几步", 4, 40, 2, 10),
      slider("stepSize", "一步多大", 0.004, 0.04, 0.002, 0.014),
    ],
    hint: "从照片出发，放大一层看见的东西。",
    compute: ({ image, options }, onPartial) => labEngine.run("dream", image, options, onPartial),
    draw(canvas, { pixels, side, value }, { options }) {
      picture(canvas, pixels, side);
      const now = value ? `；这一步 ½‖a‖² = ${value.toExponential(2)}` : "";
      return `放大 ${options.layer} 看见的东西，${side} × ${side} 像素${now}。`;
    },
    python({ options: { layer, octaves, steps, stepSize } }) {
      const settings = `octaves=${octaves}, steps=${steps}, step_size=${stepSize}`;
      return `cnnlab.dream(model, image, "${layer}", ${settings}).image`;
    },
    random: true,
  };

  const ascent = {
    title: "梯度上升",
    controls: [
      target,
      slider("steps", "几步", 20, 300, 20, 100),
      slider("smallest", "取景最小几成", 0.2, 1, 0.1, 0.4),
      slider("natural", "自然先验的权重", 0, 20, 1, 10),
      slider("seed", "种子", 0, 20, 1, 0),
    ],
    hint: "不用照片：从噪声出发，一步步把一类的得分推高。换一个类别试试。",
    compute: ({ image, options }, onPartial) => labEngine.run("ascend", image, options, onPartial),
    draw(canvas, { pixels, side, value }, { options }) {
      picture(canvas, pixels, side);
      const now = value === undefined ? "" : `；这一步取景的得分 ${value.toFixed(1)}`;
      return `让“${named(options.target)}”的得分最大的图，${side} × ${side} 像素${now}。`;
    },
    python({ image, options: { target: t, steps, smallest, natural, seed } }) {
      const settings = `cnnlab.Ascent(crop=${smallest}, natural=${natural}, decay=1.2)`;
      const more = `size=${image.size}, steps=${steps}, seed=${seed}, settings=${settings}`;
      return `cnnlab.class_image(model, ${t}, ${more}).image`;
    },
    random: true,
  };

  const mixOf = (names, first, second, blend) =>
    names.map((name) => (name === first ? 1 - blend : 0) + (name === second ? blend : 0));
  // 要画的各张图的配方；并排时最后一张是后两种各一半
  function mixesOf(names, { first, second, blend }) {
    if (first !== "all") return [mixOf(names, first, second, blend)];
    const alone = names.map((name) => mixOf(names, name, second, blend));
    return [...alone, mixOf(names, names.at(-2), names.at(-1), 0.5)];
  }
  const style = {
    title: "快速风格",
    controls: [
      choice("first", "风格", { all: "并排", ...STYLES }),
      choice("second", "掺进另一种", STYLES, "starry_night"),
      slider("blend", "掺多少", 0, 1, 0.1, 0),
    ],
    quick: () => true,
    async compute({ image, options }, onPartial) {
      const { styles } = await labEngine.loadStylizer();
      const mixes = mixesOf(styles, options);
      const pictures = [];
      let milliseconds = 0;
      for (const mix of mixes) {
        const outcome = await labEngine.run("stylize", image, { mix }, ({ done }) => {
          onPartial({ pictures: [...pictures], done: (pictures.length + done) / mixes.length });
        });
        if (outcome.stopped) return outcome;
        pictures.push(outcome.result.pixels);
        milliseconds += outcome.milliseconds;
      }
      return { result: { pictures, done: 1 }, milliseconds };
    },
    draw(canvas, { pictures }, { image: { size }, options }) {
      const columns = options.first === "all" ? 2 : 1;
      if (pictures.length === 0) return "";
      const across = columns * size;
      paint(canvas, across, across, (p) => {
        const [y, x] = [Math.floor(p / across), p % across];
        const shown = pictures[Math.floor(y / size) * columns + Math.floor(x / size)];
        return shown ? rgb(shown, (y % size) * size + (x % size)) : [128, 128, 128];
      });
      const { first, second, blend } = options;
      const mixed = blend > 0 ? `，掺进 ${Math.round(100 * blend)}% 的“${STYLES[second]}”` : "";
      if (first !== "all") return `“${STYLES[first]}”${mixed}。一次前向就画成，没有优化。`;
      const listed = labStylizerAbout.styles.map((name) => STYLES[name]).join("、");
      return `从左到右、从上到下：${listed}${mixed}；最后一格是后两种各一半。`;
    },
    python({ options }) {
      const mixes = mixesOf(window.labStylizerAbout?.styles ?? Object.keys(STYLES), options);
      const text = mixes.map((mix) => `[${mix.map((share) => share.toFixed(1)).join(", ")}]`);
      const pictures = mixes.length > 1 ? `image.expand(${mixes.length}, -1, -1, -1)` : "image";
      return `cnnlab.stylize(cnnlab.load_stylizer("drawn"), ${pictures}, torch.tensor([${text.join(", ")}]))`;
    },
  };

  // 太长的一行，参数另起一行
  function folded(line) {
    if (line.length < 56) return line;
    const [open, close] = [line.indexOf("(") + 1, line.lastIndexOf(")")];
    return `${line.slice(0, open)}\n    ${line.slice(open, close)}\n${line.slice(close)}`;
  }
  // 一段能直接运行的 Python
  function program(experiment, view, line = experiment.python(view)) {
    const file = view.photo.own ? view.photo.file : view.photo.name;
    const imports = line.includes("torch.") ? "import cnnlab, torch" : "import cnnlab";
    return [
      imports,
      "model = cnnlab.load_model()",
      `image = cnnlab.load_image(${JSON.stringify(file)}, ${view.image.size})`,
      `result = ${folded(line)}`,
    ].join("\n");
  }

  return {
    all: { occlusion, saliency, guided, cam, activations, convolution, dream, ascent, style },
    named,
    percent,
    program,
  };
})();
