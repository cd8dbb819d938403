// 面板的左边：选照片、读自己的照片、前五名，和跟着指针走的那一块。
// panel 是两边共用的：image、photo、scores、target（第一名），covered 是现在盖着的一块和盖住之后的得分。
function labPhotoSide(panel) {
  const { named, percent } = labExperiments;
  const { picture } = labDrawing;
  const { fillColor, cover } = labPictures();
  const { softmax } = labNumbers();
  const element = labElement;
  const SIZES = [112, 160, 224];
  let size = SIZES.includes(Number(panel.root.dataset.size)) ? Number(panel.root.dataset.size) : 160;
  let settings = null; // 在遮挡实验里：取窗的大小和颜色的函数
  let place = null; // 盖着的一块的左上角
  let pinned = false; // 按了一下鼠标，定在那里不再跟着走
  let queued = null;
  let asking = false;

  const canvas = element("canvas", { className: "lab-picture", tabIndex: 0, role: "img" });
  const heading = element("p", { className: "lab-small", role: "status" });
  const bars = element("ol", { className: "lab-bars", label: "前五名" });
  const credit = element("p", { className: "lab-credit" });
  const problem = element("p", { className: "lab-problem", role: "alert" });

  function showScores(scores, title) {
    const shares = softmax(scores);
    const order = [...scores.keys()].sort((a, b) => scores[b] - scores[a]).slice(0, 5);
    heading.textContent = title;
    bars.replaceChildren(
      ...order.map((index) => {
        const fill = element("span");
        fill.style.width = percent(shares[index]);
        const value = `${percent(shares[index])}　${scores[index].toFixed(1)}`;
        return element(
          "li",
          {},
          element("span", { className: "lab-name", title: labCategories[index][1] }, named(index)),
          element("span", { className: "lab-bar" }, fill),
          element("span", { className: "lab-value" }, value),
        );
      }),
    );
    return order[0];
  }

  async function open(photo) {
    problem.textContent = "";
    let image = null;
    try {
      image = await labReadPhoto(photo.pixels, size);
    } catch {
      problem.textContent = `“${photo.chinese}”不是浏览器读得出的图像；换一张 JPEG、PNG 或 WebP。`;
      return;
    }
    if (panel.busy) labEngine.stop();
    Object.assign(panel, { image, photo, covered: null });
    place = null;
    picture(canvas, image.data, image.size);
    const { result: scores } = await labEngine.run("scores", image);
    if (!scores || panel.image !== image) return; // 又换了一张
    panel.scores = scores;
    panel.target = showScores(scores, "网络看见的前五名：概率，得分");
    canvas.setAttribute("aria-label", `照片：${photo.chinese}，网络认为是${named(panel.target)}`);
    credit.replaceChildren(...creditOf(photo));
    for (const button of thumbs.children) {
      button.setAttribute("aria-pressed", button.dataset.name === photo.name);
    }
    panel.opened();
  }

  function creditOf(photo) {
    if (photo.own) return ["自己的照片，只在这一页里用，没有送出去。"];
    const link = element("a", { href: photo.source, rel: "noreferrer" }, "出处");
    return [`照片：${photo.author}，${photo.licence}，`, link];
  }

  function openFile(file) {
    if (!file) return;
    const about = { own: true, name: "", chinese: file.name, file: file.name };
    return open({ ...about, pixels: URL.createObjectURL(file) });
  }

  // 亲手遮挡

  function coverAt(top, left) {
    const { window, fill } = settings();
    const { data, size: side } = panel.image;
    const inside = (value) => Math.min(side - window, Math.max(0, Math.round(value)));
    place = [inside(top), inside(left)];
    const covered = cover(data, side, ...place, window, fillColor(data, fill));
    picture(canvas, covered, side);
    queued = { image: { data: covered, size: side }, place, window };
    ask();
  }

  // 盖得再快，也一次只问一张，问最新的
  async function ask() {
    if (asking || !queued || panel.busy) return;
    const { image, ...about } = queued;
    [asking, queued] = [true, null];
    const { result: scores } = await labEngine.run("scores", image);
    asking = false;
    if (scores && place) {
      const { target } = settings();
      const change = `${panel.scores[target].toFixed(1)} → ${scores[target].toFixed(1)}`;
      const top = showScores(scores, `盖住之后的前五名；“${named(target)}”的得分 ${change}`);
      panel.covered = { ...about, top };
    }
    ask();
  }

  function uncover() {
    if (!place) return;
    [place, queued, panel.covered, pinned] = [null, null, null, false];
    picture(canvas, panel.image.data, panel.image.size);
    showScores(panel.scores, "网络看见的前五名：概率，得分");
  }

  function follow(event) {
    if (!settings || !panel.image || pinned) return;
    const box = canvas.getBoundingClientRect();
    const half = settings().window / 2;
    const row = ((event.clientY - box.top) / box.height) * panel.image.size;
    const column = ((event.clientX - box.left) / box.width) * panel.image.size;
    coverAt(row - half, column - half);
  }
  canvas.addEventListener("pointermove", follow);
  canvas.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse") pinned = !pinned && Boolean(place);
    else follow(event);
  });
  // 手指抬起之后留着，好看前五名
  canvas.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse" && !pinned) uncover();
  });
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Escape") uncover();
    const step = LAB_ARROWS[event.key];
    if (!settings || !step) return;
    event.preventDefault();
    const middle = (panel.image.size - settings().window) / 2;
    const [top, left] = place ?? [middle, middle];
    coverAt(top + 4 * step[0], left + 4 * step[1]);
  });

  // 选照片

  const thumbs = element(
    "div",
    { className: "lab-thumbs", role: "group", label: "选一张照片" },
    ...labPhotos.map((photo) => {
      const image = element("img", { src: photo.pixels, alt: photo.chinese });
      const button = element("button", { type: "button", title: photo.chinese }, image);
      button.dataset.name = photo.name;
      button.addEventListener("click", () => open(photo));
      return button;
    }),
  );
  const file = element("input", { type: "file", accept: "image/*", className: "lab-file" });
  file.addEventListener("change", () => openFile(file.files[0]));
  const sizes = element(
    "select",
    {},
    ...SIZES.map((side) =>
      element("option", { value: side, selected: side === size }, `${side} 像素`),
    ),
  );
  sizes.addEventListener("change", () => {
    size = Number(sizes.value);
    open(panel.photo);
  });
  panel.root.addEventListener("dragover", (event) => event.preventDefault());
  panel.root.addEventListener("drop", (event) => {
    event.preventDefault();
    openFile(event.dataTransfer.files[0]);
  });

  const row = element(
    "div",
    { className: "lab-row" },
    element("label", { className: "lab-button" }, "用自己的照片（也可以拖进来）", file),
    element("label", {}, "边长 ", sizes),
  );
  return {
    node: element("section", { label: "照片" }, canvas, heading, bars, thumbs, row, problem, credit),
    open,
    // probes：取窗的大小和颜色的函数，或 null
    setProbing(probes) {
      uncover();
      settings = probes;
      canvas.classList.toggle("lab-probing", Boolean(probes));
      canvas.setAttribute("role", probes ? "application" : "img");
    },
    refresh: () => place && coverAt(...place),
    resume: ask,
  };
}
