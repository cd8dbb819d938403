// 把 <div class="cnnlab-lab" data-experiments="occlusion" data-photo="panda" data-size="160"> 就地变成一个面板。
// 不写 data-experiments 就是全部实验。面板快要露面时才装载网络；装载之前那里是建书时画的静态图。
(() => {
  async function build(root) {
    const known = Object.keys(labExperiments.all);
    const asked = (root.dataset.experiments ?? "").split(" ").filter((name) => known.includes(name));
    const names = asked.length ? asked : known;
    const status = labElement("p", { className: "lab-status", role: "status" }, "正在装载网络……");
    root.prepend(status);
    try {
      const { simd, milliseconds } = await labEngine.load();
      root.dataset.milliseconds = Math.round(milliseconds);
      root.dataset.simd = simd;
    } catch (error) {
      status.textContent = `网络没有装起来：${error.message}`;
      return;
    }
    const panel = { root, image: null, photo: null, scores: null, target: 0 };
    Object.assign(panel, { covered: null, neuron: null, busy: false });
    const photoSide = labPhotoSide(panel);
    panel.setProbing = photoSide.setProbing;
    panel.refresh = photoSide.refresh;
    panel.resume = photoSide.resume;
    const experimentSide = labExperimentSide(panel, names);
    panel.experiment = experimentSide;
    panel.opened = () => experimentSide.choose(experimentSide.chosen);
    root.replaceChildren(
      labElement("div", { className: "lab-columns" }, photoSide.node, experimentSide.node),
    );
    if (root.dataset.simd === "false") {
      const slow = "这个浏览器（或这个网址）不用 WebAssembly 的并行指令，会慢几倍。";
      root.prepend(labElement("p", { className: "lab-status" }, slow));
    }
    if ("challenges" in root.dataset) root.append(labChallenges(panel));
    const first = labPhotos.find(({ name }) => name === root.dataset.photo) ?? labPhotos[0];
    await photoSide.open(first);
    root.dataset.ready = "yes";
  }

  function begin() {
    const near = new IntersectionObserver(
      (entries) => {
        for (const { isIntersecting, target } of entries) {
          if (!isIntersecting) continue;
          near.unobserve(target);
          build(target);
        }
      },
      { rootMargin: "300px" },
    );
    document.querySelectorAll(".cnnlab-lab").forEach((root) => near.observe(root));
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
