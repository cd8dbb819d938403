// 三道挑战：在上面的面板里做出来，按“核对”，当场用网络验。check 给 {passed, text}。
function labChallenges(panel) {
  const element = labElement;
  const { named } = labExperiments;

  // 照片上眼睛的位置，手工标的：(行, 列) 占边长的几成
  const EYES = {
    panda: [[0.48, 0.15], [0.46, 0.28]],
    duck: [[0.27, 0.69]],
    cat: [[0.31, 0.33], [0.38, 0.27]],
    owl: [[0.33, 0.69], [0.33, 0.61]],
    kingfisher: [[0.2, 0.45]],
    scarlet_macaw: [[0.19, 0.31]],
    fish18: [[0.4, 0.14]],
  };
  const WITHOUT_EYES = ["taj_mahal", "opera_house", "hammer8", "chair"];

  // 一、能让它改口的最小一块：再小 4 像素，走遍全图也不改口
  async function checkSmallest(report) {
    const { covered, target, image } = panel;
    if (!covered) {
      return { text: "先在“遮挡”里盖住照片的一处，按一下定住（或者用方向键），再来核对。" };
    }
    if (covered.top === target) {
      return { text: `盖住这一处，第一名还是${named(target)}。换个地方，或者把窗调大。` };
    }
    const became = `${covered.window} 像素见方的一块，第一名从${named(target)}变成了${named(covered.top)}`;
    const window = covered.window - 4;
    if (window < 4) return { passed: true, text: `${became}。这是最小的一档了。` };
    const options = { ...panel.experiment.options, window, stride: Math.min(8, window), target };
    const { result } = await labEngine.runShared("flips", image, options, ({ count, total }) =>
      report(`在试再小 4 像素的窗：${count} / ${total} 处……`),
    );
    if (!result) return { text: "核对停下了。" };
    const found = result.sum.reduce((a, b) => a + b, 0);
    if (found === 0) {
      const text = `${became}；再小 4 像素，试遍 ${result.total} 处也没有一处改口。`;
      return { passed: true, text };
    }
    const more = `${window} 像素的窗，${result.total} 处里还有 ${found} 处能让它改口`;
    return { text: `${became}。可是 ${more}，再找找。` };
  }

  // 二、只认眼睛的通道：七张照片上最强的地方在不在眼睛，四张没有眼睛的照片上有没有这么强
  async function checkEyes(report) {
    if (!panel.neuron) return { text: "先在“激活图”里点一个通道。" };
    const { layer, channel } = panel.neuron;
    const peak = async (name) => {
      report(`在看${name}……`);
      const { pixels } = labPhotos.find((photo) => photo.name === name);
      const image = await labReadPhoto(pixels, 224);
      return (await labEngine.run("neuron", image, panel.neuron)).result;
    };
    const values = [];
    let hits = 0;
    for (const [name, eyes] of Object.entries(EYES)) {
      const { row, column, height, width, value } = await peak(name);
      const [y, x] = [(row + 0.5) / height, (column + 0.5) / width];
      hits += value > 0 && eyes.some(([top, left]) => Math.hypot(y - top, x - left) < 0.08);
      values.push(value);
    }
    let elsewhere = 0;
    for (const name of WITHOUT_EYES) elsewhere = Math.max(elsewhere, (await peak(name)).value);
    const median = values.sort((a, b) => a - b)[3];
    const passed = hits >= 5 && median > elsewhere;
    const where = `${layer} 的 ${channel} 号：7 张里有 ${hits} 张最强处落在眼睛上`;
    const others = `眼睛照片的中位数 ${median.toFixed(0)}，没有眼睛的照片最大 ${elsewhere.toFixed(0)}`;
    return { passed, text: `${where}；${others}。${passed ? "" : "要至少 5 张，而且中位数更大。"}` };
  }

  // 三、换一类，图几乎不变的回传规则
  async function checkRule() {
    const { chosen, options } = panel.experiment;
    if (chosen !== "guided") return { text: "先到“三种回传”里选一种规则，再把类别换成不是第一名的一类。" };
    const { target: other, rule } = options;
    if (other === panel.target) return { text: "类别还是第一名，换一个不相干的。" };
    const settings = { target: panel.target, other, rule };
    const { cosine } = (await labEngine.run("likeness", panel.image, settings)).result;
    const passed = cosine > 0.9;
    const text = `${named(panel.target)}与${named(other)}的两张图，余弦是 ${cosine.toFixed(3)}`;
    if (!passed) return { text: `${text}，还不到 0.9：这种规则看类别。` };
    return { passed, text: `${text}。问的是哪一类，这张图几乎不管。` };
  }

  const CHALLENGES = [
    {
      title: "找到能让它改口的最小一块",
      ask: "选一张照片（金刚鹦鹉和金鱼都不容易），在“遮挡”里把窗调得尽量小，找一处盖住之后第一名换了的地方。",
      check: checkSmallest,
    },
    {
      title: "哪一层的哪个通道只认眼睛",
      ask:
        "在“激活图”里找一个通道：有眼睛的照片上，它最强的地方就是眼睛；" +
        "没有眼睛的照片上，它不那么强。核对用边长 224。",
      check: checkEyes,
    },
    {
      title: "哪种图不管你问的是什么",
      ask: "在“三种回传”里选一种规则，把类别换成照片里根本没有的东西，图却几乎没有变。",
      check: checkRule,
    },
  ];

  function item({ title, ask, check }) {
    const answer = element("p", { className: "lab-small", role: "status" });
    const button = element("button", { type: "button" }, "核对");
    button.addEventListener("click", async () => {
      if (panel.busy) {
        answer.textContent = "上面还在算，算完或者停下再核对。";
        return;
      }
      button.disabled = true;
      answer.textContent = "在核对……";
      try {
        const { passed, text } = await check((progress) => (answer.textContent = progress));
        answer.textContent = `${passed ? "做到了：" : "还没有："}${text}`;
      } catch (error) {
        answer.textContent = `核对出错了：${error.message}`;
      }
      button.disabled = false;
    });
    return element("li", {}, element("strong", {}, title), element("p", {}, ask), button, answer);
  }

  const list = element("ol", {}, ...CHALLENGES.map(item));
  const heading = element("p", { className: "lab-heading" }, "三道挑战");
  return element("section", { className: "lab-challenges", label: "挑战" }, heading, list);
}
