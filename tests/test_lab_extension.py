"""实验台的 Sphinx 扩展：写给网页的权重与随包的相同，只动有面板的页。"""

import base64
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import cnnlab

ROOT = Path(__file__).resolve().parents[1]
STATIC = ROOT / "book" / "_static" / "lab"
DIV = '<div class="cnnlab-lab" data-experiments="cam" data-photo="panda" data-size="112"></div>'


@pytest.fixture(scope="module")
def extension():
    """扩展和它的两个帮手。"""
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    import lab
    import lab_data
    import lab_stills

    sys.path.remove(str(ROOT / "book" / "_ext"))
    return SimpleNamespace(page=lab, data=lab_data, stills=lab_stills)


def variables(text: str) -> dict:
    """一个数据文件里的变量。"""
    found = re.findall(r"^var (\w+) = (.*);$", text, re.MULTILINE)
    return {name: json.loads(value) for name, value in found}


def unpacked(text: str) -> np.ndarray:
    return np.frombuffer(base64.b85decode(text), "<f2")


def test_the_weights_are_those_of_the_package_in_half_precision(extension, tmp_path):
    extension.data.write_data(tmp_path)
    network = variables((tmp_path / "data_network.js").read_text(encoding="utf-8"))
    state = cnnlab.load_model().network.state_dict()
    packed = unpacked(network["labNetworkWeights"])
    assert len(packed) == sum(value.numel() for value in state.values())
    first = state["conv1.weight"].half().numpy().ravel()
    assert np.array_equal(packed[: len(first)], first)
    last = state["conv10.bias"].half().numpy()
    assert np.array_equal(packed[-len(last) :], last)
    for measured in network["labStatistics"].values():
        assert len(measured["center"]) == len(measured["spread"]) > 0
        assert min(measured["spread"]) > 0

    stylizer = variables((tmp_path / "data_stylizer.js").read_text(encoding="utf-8"))
    original = cnnlab.load_stylizer(stylizer["labStylizerAbout"]["name"])
    count = sum(value.numel() for value in original.parameters())
    assert len(unpacked(stylizer["labStylizerWeights"])) == count
    assert original.options["padding"] == "reflect", "网页里的风格化网络只会镜像填充"
    assert original.options["normalization"] == "instance", "网页里的风格化网络只会实例归一化"

    photos = variables((tmp_path / "data_photos.js").read_text(encoding="utf-8"))
    assert len(photos["labCategories"]) == 1000
    assert len(photos["labPhotos"]) == 12
    for photo in photos["labPhotos"]:
        pixels = base64.b64decode(photo["pixels"].split(",")[1])
        (path,) = extension.data.DATA.glob(f"photos/*/{photo['name']}.jpg")
        assert pixels == path.read_bytes()
        assert photo["author"] and photo["licence"] and photo["source"].startswith("https://")


def test_fresh_data_is_not_written_again(extension, tmp_path):
    extension.data.write_data(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    extension.data.write_data(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


class Application:
    """只有 fill_page 要的那几样。"""

    def __init__(self, outdir):
        self.outdir, self.files = str(outdir), []
        self.builder = SimpleNamespace(format="html")
        self.add_js_file = self.add_css_file = self.files.append


def test_only_a_page_with_a_panel_is_changed(extension, tmp_path):
    app = Application(tmp_path)
    plain = {"body": "<p>没有面板，只提到 cnnlab-lab。</p>"}
    extension.page.fill_page(app, "book/plain", "page.html", plain, None)
    assert plain == {"body": "<p>没有面板，只提到 cnnlab-lab。</p>"}
    assert app.files == [] and not any(tmp_path.iterdir())

    page = {"body": f"<p>前</p>{DIV}<p>后</p>", "pathto": lambda path, resource: f"../{path}"}
    extension.page.fill_page(app, "book/page", "page.html", page, None)
    assert page["body"].startswith('<p>前</p><div class="cnnlab-lab" data-experiments="cam"')
    assert page["body"].endswith("</div><p>后</p>")
    (source,) = re.findall(r'src="\.\./(_static/lab/still_cam_panda_112\.webp)"', page["body"])
    assert (tmp_path / source).stat().st_size > 1000
    assert 'alt="左边是照片' in page["body"]
    assert app.files[0] == "lab/lab.css" and app.files[-1] == "lab/panel.js"


def test_every_script_is_there_and_every_one_is_used(extension):
    there = {path.stem for path in STATIC.glob("*.js")}
    assert there == set(extension.page.SCRIPTS)


def test_every_experiment_has_a_still_picture(extension):
    text = (STATIC / "experiments.js").read_text(encoding="utf-8")
    (listed,) = re.findall(r"all: \{ ([\w, ]+) \}", text)
    assert set(listed.split(", ")) == set(extension.stills.STILLS)
    image = cnnlab.load_image("panda", 112)
    for name, (draw, _) in extension.stills.STILLS.items():
        colors = draw(image).convert("RGB").resize((32, 32)).getcolors(1024)
        assert len(colors) > 30, f"{name} 的静态图几乎是一种颜色"


def test_nothing_generated_is_committed():
    assert not list(STATIC.glob("data_*")) and not list(STATIC.glob("still_*"))
