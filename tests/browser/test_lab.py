"""实验台：断网的 Chromium 里，网页自己算的与 PyTorch（同样的半精度权重）相同；面板用鼠标、键盘、手指都行。"""

import base64
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import cnnlab

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"
PHOTOS = ("panda", "jaguar", "scarlet_macaw", "taj_mahal", "cat")
STATUS = "section[aria-label=实验] .lab-status"
READY = ".cnnlab-lab[data-ready]"

# 在页面里跑一件事；图像送进去、数组送出来都是 base64
RUN = """async ([job, pixels, size, options, shared]) => {
  const bytes = Uint8Array.from(atob(pixels), (letter) => letter.charCodeAt(0));
  const image = { data: new Float32Array(bytes.buffer), size };
  const run = shared ? labEngine.runShared : labEngine.run;
  const { result } = await run(job, image, options);
  function packed(values) {
    const raw = new Uint8Array(values.buffer);
    let text = "";
    for (let i = 0; i < raw.length; i += 8192) {
      text += String.fromCharCode(...raw.subarray(i, i + 8192));
    }
    return { packed: btoa(text) };
  }
  if (result instanceof Float32Array) return { value: packed(result) };
  const found = {};
  for (const [name, value] of Object.entries(result)) {
    found[name] = value instanceof Float32Array ? packed(value) : value;
  }
  return found;
}"""


@pytest.fixture(scope="module")
def half_model():
    """权重都取半精度的 SqueezeNet，即网页里的那一个。"""
    model = cnnlab.load_model()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half().float())
    return model


@pytest.fixture
def lab(visit, html):
    """打开实验台，等它装好；`lab(query)` 可以再带上网址里的设置。"""

    def open_lab(query: str = "", name: str = "lab"):
        visit.page.set_default_timeout(180_000)  # 只是等得起：机器忙的时候，别的测试也在算
        page = visit.open(html / "book" / f"{name}.html", query)
        page.locator(".cnnlab-lab").first.scroll_into_view_if_needed()
        page.wait_for_selector(READY, timeout=180_000)
        return page

    yield open_lab
    visit.assert_clean()


def compute(page, job: str, image, options: dict, shared: bool = False) -> dict:
    """让页面算一件事；数组变回 numpy。"""
    pixels = image[0].permute(1, 2, 0).contiguous().numpy()
    text = base64.b64encode(pixels.tobytes()).decode()
    found = page.evaluate(RUN, [job, text, image.shape[-1], options, shared])
    for name, value in found.items():
        if isinstance(value, dict) and "packed" in value:
            found[name] = np.frombuffer(base64.b64decode(value["packed"]), "<f4")
    return found


def flat(value) -> np.ndarray:
    """张量按网页的次序排成一列：图像按 (行, 列, RGB)。"""
    value = value[0].permute(1, 2, 0) if value.dim() == 4 else value
    return value.detach().flatten().numpy()


def cosine(found, wanted) -> float:
    found, wanted = np.float64(found), np.float64(flat(wanted))
    return float(found @ wanted / np.sqrt((found @ found) * (wanted @ wanted)))


def assert_close(found, wanted, tolerance: float = 1e-4):
    """差不超过最大值的 tolerance 倍。"""
    wanted = flat(wanted)
    worst = np.abs(found - wanted).max() / np.abs(wanted).max()
    assert worst <= tolerance, f"相差最大值的 {worst:.2e}"


@pytest.mark.parametrize(("query", "size"), [("", 160), ("?kernel=plain", 112)])
def test_the_page_computes_what_pytorch_computes(lab, half_model, query, size):
    page = lab(query)
    assert page.locator(READY).get_attribute("data-simd") == str(not query).lower()
    for name in PHOTOS:
        image = cnnlab.load_image(name, size)
        scores = half_model(image).detach()
        target = int(scores.argmax())
        asked = {"target": target}
        assert_close(compute(page, "scores", image, {})["value"], scores)

        drop = cnnlab.occlusion_map(half_model, image, target, window=48, stride=40)
        windows = asked | {"window": 48, "stride": 40, "fill": "mean"}
        assert_close(compute(page, "occlusion", image, windows, shared=True)["sum"], drop)

        heat = cnnlab.class_activation_map(half_model, image, target, upsample=False)
        assert_close(compute(page, "classActivation", image, asked)["heat"], heat)
        heat = cnnlab.grad_cam(half_model, image, target, "fire8", upsample=False)
        found = compute(page, "gradCam", image, asked | {"layer": "fire8"})["heat"]
        assert cosine(found, heat) >= 0.9999

        gradients = {
            "plain": cnnlab.saliency_map(half_model, image, target, reduce=None),
            "guided": cnnlab.guided_gradient(half_model, image, target=target),
            "deconvnet": cnnlab.deconvnet_gradient(half_model, image, target=target),
        }
        for rule, wanted in gradients.items():
            found = compute(page, "gradient", image, asked | {"rule": rule})["gradient"]
            assert cosine(found, wanted) >= 0.999, rule

        neuron = {"layer": "fire6", "channel": 7}
        wanted = cnnlab.guided_gradient(half_model, image, position="max", **neuron)
        assert cosine(compute(page, "neuron", image, neuron)["gradient"], wanted) >= 0.995


@pytest.mark.parametrize(("query", "size"), [("", 160), ("?kernel=plain", 112)])
def test_a_dream_step_and_the_styles_are_those_of_pytorch(lab, half_model, query, size):
    page = lab(query)
    about = page.evaluate("labEngine.loadStylizer()")
    stylizer = cnnlab.load_stylizer(about["name"])
    assert tuple(about["styles"]) == stylizer.styles
    for name in PHOTOS:
        image = cnnlab.load_image(name, size).clamp(0.05, 0.95)
        settings = {"layer": "fire5", "octaves": 1, "steps": 1, "stepSize": 0.01, "jitter": 0}
        found = compute(page, "dream", image, settings)["pixels"] - flat(image)
        leaf = image.clone().requires_grad_(True)
        activation = cnnlab.activations_of(half_model, leaf, "fire5")["fire5"]
        slope = torch.autograd.grad(activation.square().sum() / 2, leaf)[0]
        moved = (image + 0.01 * slope / slope.abs().mean()).clamp(0, 1) - image
        assert cosine(found, moved) >= 0.995

        mix = [0.5, 0.2, 0.3]
        wanted = cnnlab.stylize(stylizer, image, torch.tensor(mix))
        found = compute(page, "stylize", image, {"mix": mix})["pixels"]
        assert np.abs(found - flat(wanted)).max() <= 1e-3


def test_smooth_gradient_is_shared_by_workers_and_without_noise_is_the_gradient(lab, half_model):
    page = lab()
    image = cnnlab.load_image("cat", 112)
    target = int(half_model(image).argmax())
    plain = cnnlab.saliency_map(half_model, image, target, reduce=None)
    settings = {"target": target, "samples": 5, "noise": 0.0}
    found = compute(page, "smoothGradient", image, settings, shared=True)
    assert found["count"] == 5
    assert cosine(found["sum"], plain) >= 0.999
    noisy = [
        compute(page, "smoothGradient", image, settings | {"noise": 0.2}, shared=shared)["sum"]
        for shared in (True, False)
    ]
    assert np.allclose(*noisy, atol=1e-3 * np.abs(noisy[0]).max()), "分给几个 Worker 不该有差别"
    assert cosine(noisy[0], plain) < 0.99, "噪声没有加上"


def test_ascent_reaches_its_class(lab, half_model):
    page = lab()
    image = cnnlab.load_image("cat", 112)
    settings = {"target": 130, "steps": 40, "smallest": 0.5, "natural": 5}
    pixels = compute(page, "ascend", image, settings)["pixels"].copy()
    made = torch.from_numpy(pixels).view(112, 112, 3).permute(2, 0, 1)[None]
    assert float(made.min()) >= 0 and float(made.max()) <= 1
    assert int(half_model(made).argmax()) == 130


def test_resampling_is_that_of_torch_and_its_reverse_is_its_adjoint(lab):
    page = lab()
    for old, new in ((45, 80), (100, 56)):
        found = page.evaluate(
            """([old, size]) => {
            const { resample, resampleBack } = labPictures();
            const { normal } = labNumbers().random(3);
            const make = (side) => Float32Array.from({ length: side * side * 3 }, normal);
            const [x, g] = [make(old), make(size)];
            const y = resample(x, old, old, 3, size, size);
            const back = resampleBack(g, old, old, 3, size, size);
            const dot = (a, b) => a.reduce((sum, value, p) => sum + value * b[p], 0);
            return { x: [...x], y: [...y], forwards: dot(y, g), backwards: dot(x, back) };
            }""",
            [old, new],
        )
        source = torch.tensor(found["x"]).view(old, old, 3).permute(2, 0, 1)[None]
        assert_close(np.array(found["y"]), cnnlab.resize(source, (new, new)), 1e-5)
        assert found["forwards"] == pytest.approx(found["backwards"], rel=1e-3, abs=1e-2)


def test_natural_prior_is_that_of_the_package(lab, half_model):
    from cnnlab.engine.ascent import STATISTIC_LAYERS, natural_statistics

    page = lab()
    image = cnnlab.load_image("cat", 160)
    layer = "fire3"
    leaf = cnnlab.activations_of(half_model, image, layer)[layer].clone().requires_grad_(True)
    (term,) = natural_statistics(half_model, size=160, layers={layer: STATISTIC_LAYERS[layer]})
    wanted = torch.autograd.grad(term.weight * term.value({layer: leaf}), leaf)[0]
    found = page.evaluate(
        """async ([pixels, layer]) => {
        const net = labNetwork(labNumbers().decodeHalves(labNetworkWeights));
        const seen = net.forward(Float32Array.from(pixels), 160, 160, layer);
        const measured = labStatistics[layer];
        const { naturalGradient } = labSynthesis(net, labStatistics);
        return [...naturalGradient(seen, measured, measured.weight)];
        }""",
        [flat(image).tolist(), layer],
    )
    assert cosine(np.array(found), wanted) >= 0.999
    assert np.linalg.norm(found) == pytest.approx(float(wanted.norm()), rel=0.01)


# 面板


def bars(page) -> list[str]:
    return page.locator(".lab-bars .lab-name").all_inner_texts()


def wait_for_status(page, text: str):
    page.wait_for_function(
        "([where, text]) => document.querySelector(where).textContent.includes(text)",
        arg=[STATUS, text],
        timeout=180_000,
    )


def wait_for_code(page, text: str):
    page.wait_for_function(
        "text => document.querySelector('.lab-code code').textContent.includes(text)", arg=text
    )


def choose(page, name: str):
    page.locator(f"[role=tab][data-name={name}]").click()


def slide(page, label: str, value):
    """把一个滑块拨到 value。"""
    page.get_by_label(re.compile(f"^{label}")).evaluate(
        """(box, value) => {
        box.value = value;
        box.dispatchEvent(new Event("input"));
        box.dispatchEvent(new Event("change"));
        }""",
        str(value),
    )


def test_own_photo_is_read_as_the_package_reads_it(lab, half_model, tmp_path):
    page = lab()
    path = tmp_path / "我的照片.png"
    cnnlab.save_image(cnnlab.load_image("koala")[..., 10:200, :], path)
    page.locator("input[type=file]").set_input_files(path)
    page.wait_for_function("document.querySelector('.lab-credit').textContent.includes('自己的')")
    image = cnnlab.load_image(path, 160)
    order = half_model(image)[0].topk(5).indices.tolist()
    assert bars(page) == [half_model.categories.chinese[index] for index in order]
    assert "我的照片.png" in page.locator(".lab-code code").inner_text()


def test_a_file_that_is_no_picture_is_named_and_nothing_is_lost(lab, tmp_path):
    page = lab()
    before = bars(page)
    path = tmp_path / "笔记.txt"
    path.write_text("不是照片", encoding="utf-8")
    page.locator("input[type=file]").set_input_files(path)
    page.wait_for_selector(".lab-problem:not(:empty)")
    assert "笔记.txt" in page.locator(".lab-problem").inner_text()
    assert bars(page) == before
    page.locator(".lab-thumbs button").nth(3).click()
    page.wait_for_function("document.querySelector('.lab-problem').textContent === ''")
    page.wait_for_function("document.querySelector('.lab-bars .lab-name').textContent === '大熊猫'")


PICTURE = "document.querySelector('.lab-result').toDataURL()"


def test_a_tab_opens_with_its_picture(lab):
    """不按“开始”就有图；四格并排的快速风格没有一格是空的。"""
    page = lab()
    wait_for_status(page, "算完")
    assert "试了 36 / 36 处" in page.locator(".lab-result").get_attribute("aria-label")
    page.locator("[role=tab][data-name=style]").click()
    wait_for_status(page, "算完")
    caption = page.locator(".lab-result").get_attribute("aria-label")
    assert caption == "从左到右、从上到下：波浪、星夜、彩色玻璃；最后一格是后两种各一半。"
    spreads = page.evaluate(
        """() => { const canvas = document.querySelector('.lab-result');
        const side = canvas.width / 2;
        return [[0, 0], [side, 0], [0, side], [side, side]].map(([x, y]) => {
          const { data } = canvas.getContext('2d').getImageData(x, y, side, side);
          return new Set(data).size; }); }"""
    )
    assert min(spreads) > 50, spreads


def test_stop_keeps_the_picture(lab):
    page = lab()
    choose(page, "dream")
    slide(page, "每个尺度几步", 40)
    page.get_by_role("button", name="开始").click()
    page.wait_for_function("document.querySelector('.cnnlab-lab progress').value > 0")
    page.get_by_role("button", name="停", exact=True).click()
    wait_for_status(page, "停下了")
    kept = page.evaluate(PICTURE)
    colors = page.evaluate(
        """() => { const canvas = document.querySelector('.lab-result');
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return new Set(data).size; }"""
    )
    assert colors > 50, "停下之后图是空的"
    page.wait_for_timeout(500)
    assert page.evaluate(PICTURE) == kept
    assert page.get_by_role("button", name="开始").is_enabled()
    with page.expect_download() as download:
        page.get_by_role("button", name="存图").click()
    assert download.value.suggested_filename == "jaguar_dream.png"


def test_the_patch_follows_the_pointer_and_the_arrow_keys(lab):
    page = lab()
    before = page.locator(".lab-value").all_inner_texts()
    heading = page.locator("section[aria-label=照片] .lab-small")
    photo = page.locator("section[aria-label=照片] canvas")
    photo.hover(position={"x": 150, "y": 150})
    page.wait_for_function(
        "document.querySelector('section[aria-label=照片] .lab-small').textContent.includes('盖住')"
    )
    assert page.locator(".lab-value").all_inner_texts() != before
    page.mouse.move(5, 5)
    assert "盖住" not in heading.inner_text()
    assert page.locator(".lab-value").all_inner_texts() == before
    photo.focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_function(
        "document.querySelector('section[aria-label=照片] .lab-small').textContent.includes('盖住')"
    )
    page.keyboard.press("Escape")
    assert page.locator(".lab-value").all_inner_texts() == before


def test_tabs_and_channels_move_by_keyboard(lab):
    page = lab()
    page.locator("[role=tab][data-name=cam]").click()
    page.keyboard.press("ArrowRight")
    assert page.locator("[role=tab][aria-selected=true]").inner_text() == "激活图"
    wait_for_status(page, "算完")
    page.wait_for_selector(".lab-result.lab-picking")
    page.locator(".lab-result").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".lab-detail figure >> nth=2")
    assert "1 号通道" in page.locator(".lab-detail").inner_text()
    assert "channel=1" in page.locator(".lab-code code").inner_text()


def test_one_convolution_is_worked_out_number_by_number(lab, half_model):
    page = lab()
    choose(page, "convolution")
    wait_for_status(page, "算完")
    slide(page, "第几个核", 5)
    wait_for_code(page, "[0, 5, ")
    result = page.locator(".lab-result")
    box = result.bounding_box()
    result.hover(position={"x": box["width"] * 0.2, "y": box["height"] * 0.3})
    page.keyboard.press("Tab")
    result.focus()
    before = page.locator(".lab-detail").inner_text()
    page.keyboard.press("ArrowDown")
    text = page.locator(".lab-detail").inner_text()
    assert text != before
    row, column = map(int, re.search(r"第 (\d+) 行第 (\d+) 列", text).groups())
    image = cnnlab.load_image("jaguar", 160)
    maps = cnnlab.activations_of(half_model, image, ["conv1", "relu1"])
    wanted, shown = (float(maps[layer][0, 5, row, column]) for layer in ("conv1", "relu1"))
    total, after = re.search(r"≈ (-?[\d.]+)，过 ReLU 是 (-?[\d.]+)", text).groups()
    assert abs(float(total) - wanted) < 0.15 and abs(float(after) - shown) < 0.15
    assert f"[0, 5, {row}, {column}]" in page.locator(".lab-code code").inner_text()

    window = page.locator(".lab-pooling").inner_text()
    row_after, column_after = map(int, re.search(r"第 (\d+) 行第 (\d+) 列", window).groups())
    assert row in range(2 * row_after, 2 * row_after + 3)
    assert column in range(2 * column_after, 2 * column_after + 3)
    largest = float(re.search(r"最大是 ([\d.]+)", window)[1])
    pooled = cnnlab.activations_of(half_model, image, "pool1")["pool1"]
    assert abs(largest - float(pooled[0, 5, row_after, column_after])) < 0.15
    nine = page.locator(".lab-pooling td").evaluate_all("all => all.map(each => +each.textContent)")
    assert len(nine) == 9 and max(nine) == largest
    framed = page.locator(".lab-pooling td[style*=outline]").inner_text()
    assert abs(float(framed) - shown) < 0.15

    cells = page.locator(".lab-products td").evaluate_all(
        "all => all.map(each => +each.textContent)"
    )
    assert len(cells) == 81
    kernel = half_model.weight("conv1")[5]
    colors = np.reshape(cells, (3, 3, 9))
    assert np.abs(colors[:, 1] - kernel.flatten(1).numpy()).max() < 6e-4
    patch = 255 * image[0, :, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3].flatten(1)
    mean = 255 * half_model.mean.reshape(3, 1)
    assert np.abs(colors[:, 0] - (patch - mean).numpy()).max() < 0.6
    assert np.abs(colors[:, 2].sum() - colors[:, 0].ravel() @ colors[:, 1].ravel()) < 3


def test_a_swipe_moves_the_patch_and_not_the_page(chromium, html):
    context = chromium.new_context(
        viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True, offline=True
    )
    page = context.new_page()
    page.goto((html / "book" / "lab.html").as_uri())
    page.locator(".cnnlab-lab").scroll_into_view_if_needed()
    page.wait_for_selector(READY, timeout=180_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390, "390 像素宽时要左右滚"
    photo = page.locator("section[aria-label=照片] canvas")
    photo.scroll_into_view_if_needed()
    box = photo.bounding_box()
    scrolled = page.evaluate("scrollY")
    touch = context.new_cdp_session(page)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.3

    def send(kind: str, points: list):
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    send("touchStart", [{"x": x, "y": y}])
    for step in range(8):
        send("touchMove", [{"x": x, "y": y + 12 * step}])
    send("touchEnd", [])
    page.wait_for_function(
        "document.querySelector('section[aria-label=照片] .lab-small').textContent.includes('盖住')"
    )
    assert page.evaluate("scrollY") == scrolled, "页面跟着手指滚了"
    context.close()


CONTRAST = """() => {
  const numbers = (color) => color.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const light = (color) => {
    const parts = numbers(color).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const background = (node) => {
    const color = getComputedStyle(node).backgroundColor;
    const clear = color === "transparent" || color.endsWith(", 0)");
    return clear && node.parentElement ? background(node.parentElement) : color;
  };
  const texts = [...document.querySelectorAll(
    ".cnnlab-lab button:not(:disabled), .cnnlab-lab .lab-small, .cnnlab-lab .lab-value, .cnnlab-lab code"
  )].filter((node) => node.textContent.trim());
  return texts.map((node) => {
    const [a, b] = [light(getComputedStyle(node).color), light(background(node))];
    return [node.textContent.slice(0, 20), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
  }).filter(([, ratio]) => ratio < 4.5);
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(lab, theme):
    page = lab()
    page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
    page.mouse.move(5, 5)
    page.wait_for_timeout(400)
    assert page.evaluate(CONTRAST) == []


def test_everything_has_a_name_for_screen_readers(lab):
    page = lab()
    nameless = page.evaluate(
        """() => [...document.querySelectorAll(
          ".cnnlab-lab :is(button, input, select, canvas, progress, section, [role=tablist])")]
        .filter((node) => !(node.getAttribute("aria-label") || node.textContent.trim() ||
          node.labels?.[0]?.textContent.trim() || node.querySelector("img[alt]")))
        .map((node) => node.outerHTML.slice(0, 100))"""
    )
    assert nameless == []


def test_each_line_of_python_runs(lab):
    page = lab()
    page.get_by_label("边长").select_option("112")
    page.wait_for_function("document.querySelector('.lab-code code').textContent.includes('112')")
    names = page.locator("[role=tab]").evaluate_all("tabs => tabs.map(tab => tab.dataset.name)")
    assert len(names) == 9
    for name in names:
        choose(page, name)
        if name == "dream":
            slide(page, "几个尺度", 1)
            slide(page, "每个尺度几步", 4)
        if name == "ascent":
            slide(page, "几步", 20)
            slide(page, "自然先验", 0)
        if name == "saliency":
            page.get_by_label("方法").select_option("smooth")
            slide(page, "SmoothGrad 几次", 4)
        variables = {}
        exec(page.locator(".lab-code code").inner_text(), variables)
        assert isinstance(variables["result"], torch.Tensor), name


def pick(page, channel: int):
    """点激活图里的一个通道：fire6 有 384 个，排成 20 列 20 行。"""
    row, column = divmod(channel, 20)
    result = page.locator(".lab-result")
    box = result.bounding_box()
    place = {"x": box["width"] * (column + 0.5) / 20, "y": box["height"] * (row + 0.5) / 20}
    result.click(position=place)
    wait_for_code(page, f"channel={channel},")


def test_challenges_can_be_passed_and_failed(lab):
    page = lab()
    wait_for_status(page, "算完")
    smallest, eyes, rule = (page.locator(".lab-challenges li").nth(i) for i in range(3))

    def answer(item) -> str:
        item.get_by_role("button", name="核对").click()
        page.wait_for_function(
            "item => /^(做到了|还没有)/.test(item.querySelector('[role=status]').textContent)",
            arg=item.element_handle(),
            timeout=180_000,
        )
        return item.locator("[role=status]").inner_text()

    assert answer(smallest).startswith("还没有")
    assert answer(eyes).startswith("还没有")
    choose(page, "activations")
    page.get_by_label("哪一层").select_option("fire6")
    page.wait_for_function(
        "document.querySelector('.lab-picking')?.getAttribute('aria-label').startsWith('fire6')"
    )
    for channel, passed in ((220, "做到了"), (3, "还没有")):
        pick(page, channel)
        assert answer(eyes).startswith(passed), channel

    assert answer(rule).startswith("还没有")
    choose(page, "guided")
    wait_for_status(page, "算完")
    assert answer(rule).startswith("还没有"), "类别还是第一名"
    box = page.get_by_label(re.compile("^类别"))
    box.fill("茶杯")
    box.blur()
    wait_for_code(page, "target=968")
    wait_for_status(page, "算完")
    assert answer(rule).startswith("做到了")
    page.get_by_label("ReLU 怎样回传").select_option("plain")
    wait_for_code(page, "saliency_map")
    wait_for_status(page, "算完")
    assert answer(rule).startswith("还没有"), "普通梯度看类别"


# 书里的别的页


def built_pages() -> list[Path]:
    return sorted((HTML / "book").rglob("*.html")) if HTML.exists() else []


def panels_of(path: Path) -> list[str]:
    return re.findall(r'<div class="cnnlab-lab"([^>]*)>', path.read_text(encoding="utf-8"))


def test_only_pages_with_a_panel_load_it(html):
    pages = built_pages()
    assert any(panels_of(path) for path in pages)
    for path in pages:
        text = path.read_text(encoding="utf-8")
        assert bool(panels_of(path)) == ("_static/lab/" in text), path.name


@pytest.mark.parametrize(
    "name", [path.stem for path in built_pages() if panels_of(path)] or ["lab"]
)
def test_every_panel_of_the_book_comes_up(lab, name):
    page = lab(name=name)
    assert bars(page)[0]
    assert page.locator("[role=alert]:not(:empty)").count() == 0


def test_without_scripts_a_picture_and_a_sentence_stand_there(chromium, html):
    context = chromium.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto((html / "book" / "lab.html").as_uri())
    still = page.locator(".cnnlab-lab img")
    assert still.get_attribute("alt").startswith("左边是照片")
    assert still.bounding_box()["width"] > 200
    assert "脚本" in page.locator(".cnnlab-lab").inner_text()
    context.close()


def test_the_lab_is_small(html):
    files = list((html / "_static" / "lab").iterdir())
    assert sum(path.stat().st_size for path in files) <= 4.5e6
    assert {path.name for path in files} >= {"data_network.js", "data_photos.js", "panel.js"}
    assert any(path.suffix == ".webp" for path in files)
