"""参数面板的道理，不用浏览器：控件怎样变成参数和代码、快慢两种走法、停、错、上传、没有内核时的几帧。"""

import functools
import io
import re
import threading
import time
from dataclasses import dataclass

import ipywidgets
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from PIL import Image
from torch import nn

from cnnlab import (
    Ascent,
    activation_tiles,
    activations_of,
    class_image,
    load_image,
    load_model,
    occlusion_map,
    photo,
    saliency_map,
    to_pil,
    wrap_model,
)
from cnnlab.engine.optimize import Step
from cnnlab.show.controls import Choice, make_control, uploaded
from cnnlab.show.layers import layers_of
from cnnlab.show.outcome import imports_of
from cnnlab.show.widgets import explore


def stripes(count, *, angle=0, dark=False, kind="a"):
    """一张条纹图：快的函数。"""
    image = torch.zeros(1, 3, 24, 24)
    image[..., :: max(count, 1)] = 0.0 if dark else 1.0
    return image


def slow(level, *, steps=20, on_step=None):
    """一步加一点亮的图：慢的函数；中途 Ctrl-C 给出到那时的图，与图像优化一样。"""
    image = torch.zeros(1, 3, 24, 24)
    try:
        for index in range(steps):
            image = image + level / steps
            if on_step is not None:
                on_step(Step(index, float(image.mean()), image))
    except KeyboardInterrupt:
        pass
    return image.clamp(0, 1)


@dataclass(frozen=True)
class Style:
    """一组设置。"""

    soft: float = 0.0
    name: str = "plain"


def styled(level, *, settings: Style = Style()):
    """收设置对象的函数。"""
    return torch.full((1, 3, 24, 24), level * (1 - settings.soft))


@pytest.fixture
def threads(monkeypatch):
    monkeypatch.setenv("CNNLAB_PANEL", "thread")


def test_abbreviations_become_the_controls_of_interact():
    kinds = {
        (1, 5): ipywidgets.IntSlider,
        (0.0, 1.0): ipywidgets.FloatSlider,
        (0.0, 1.0, 0.25): ipywidgets.FloatSlider,
        True: ipywidgets.Checkbox,
        "abc": ipywidgets.Text,
    }
    for given, kind in kinds.items():
        assert type(make_control("x", given, None, 224).box) is kind
    assert type(make_control("x", ["a", "b"], None, 224).box) is ipywidgets.Dropdown
    assert make_control("x", 3, None, 224).box is None


def test_slider_starts_at_the_default_on_its_grid():
    assert make_control("x", (10, 90, 20), 60, 224).box.value in (50, 70)
    assert make_control("x", (10, 90, 20), 8, 224).box.value == 10
    with pytest.raises(ValueError, match="低要小于高"):
        make_control("x", (5, 1), None, 224)


def test_code_leaves_out_defaults_and_runs_to_the_same_result():
    panel = explore(stripes, count=(1, 8), angle=(0, 90), dark=False, kind=["a", "b"])
    panel.boxes["count"].value = 3
    assert panel.code == "stripes(3)"
    panel.boxes["dark"].value = True
    panel.boxes["kind"].value = 1
    assert panel.code == "stripes(3, dark=True, kind='b')"
    again = eval(panel.code, {"stripes": stripes})
    assert torch.equal(again, panel.outcome.result)


def test_a_changed_control_computes_without_an_event_loop():
    panel = explore(stripes, count=(1, 8))
    before = panel.picture
    panel.boxes["count"].value = 2
    assert panel.picture is not before and panel.code == "stripes(2)"


def test_settings_are_gathered_into_their_dataclass():
    panel = explore(styled, level=[0.2, 0.8], soft=(0.0, 1.0, 0.5), name=["plain", "other"])
    assert panel.code == "styled(0.2)"
    panel.boxes["soft"].value = 0.5
    panel.boxes["name"].value = 1
    assert panel.code == "styled(0.2, settings=Style(soft=0.5, name='other'))"
    assert torch.allclose(panel.outcome.result, torch.full((1, 3, 24, 24), 0.1))


def test_given_settings_are_the_start_of_the_controls_and_stand_in_the_code():
    panel = explore(
        styled, level=[0.2], soft=(0.0, 1.0, 0.25), settings=Style(soft=0.5, name="other")
    )
    assert panel.boxes["soft"].value == 0.5
    assert panel.code == "styled(0.2, settings=Style(soft=0.5, name='other'))"
    panel.boxes["soft"].value = 0.0
    assert panel.code == "styled(0.2, settings=Style(name='other'))"
    again = eval(panel.code, {"styled": styled, "Style": Style})
    assert torch.equal(again, panel.outcome.result)


def test_a_single_choice_is_no_control_but_stands_in_the_code():
    control = make_control("x", Choice(True, "yes()"), None, 224)
    assert control.box is None and control.read() == (True, "yes()")


def test_rounding_of_a_slider_is_neither_written_nor_a_move():
    panel = explore(
        class_image,
        settings=Ascent("pixel"),
        model=load_model(),
        target=[340],
        size=[32],
        steps=[1],
        blur=(0.0, 1.2, 0.2, 0.6),
    )
    assert "blur=0.6)" in panel.code
    said, box = panel.says.value, panel.boxes["blur"]
    box.value = 0.2 * 3
    assert box.value != 0.6 and panel.says.value == said
    box.value = 0.8
    assert "按“运行”" in panel.says.value


def test_a_fourth_number_is_where_the_slider_starts():
    assert make_control("x", (0, 90, 10, 30), 60, 224).box.value == 30
    assert make_control("x", (0.0, 1.0, 0.25, 0.5), None, 224).box.value == 0.5


def test_a_dict_is_a_menu_even_under_the_name_of_a_picture():
    assert make_control("style", {"甲": [0, 1]}, None, 224).read() == ([0, 1], "[0, 1]")


def test_a_choice_carries_its_own_code():
    options = {"一": Choice(1, "one()"), "三": Choice(3, "three()")}
    panel = explore(stripes, count=options)
    panel.boxes["count"].value = 1
    assert panel.code == "stripes(three())" and panel.outcome.result.sum() == 3 * 24 * 8


def test_slow_functions_wait_for_the_button_and_report_steps():
    panel = explore(slow, level=[1.0, 0.5], steps=20, frames=4)
    assert [frame["at"]["第几步"] for frame in panel.frames] == ["1", "7", "14", "20"]
    panel.boxes["level"].value = 1
    assert "按“运行”" in panel.says.value and panel.code == "slow(1.0)"
    panel.run()
    assert panel.code == "slow(0.5)"


def test_stop_ends_after_the_step_keeps_the_picture_and_says_the_steps(threads):
    begun, go = threading.Event(), threading.Event()

    def patient(level, *, steps=50, on_step=None):
        def tick(step):
            if step.index == 2 and not panel_is_being_made:
                begun.set()
                go.wait(10)
            on_step(step)

        return slow(level, steps=steps, on_step=tick)

    panel_is_being_made = True
    panel = explore(patient, level=[1.0, 0.5], frames=2)
    panel_is_being_made = False
    panel.boxes["level"].value = 1
    panel.run()
    assert begun.wait(10)
    panel.stop()
    go.set()
    panel.wait(20)
    assert panel.outcome.stopped and panel.code == "patient(0.5, steps=2)"
    assert "停在半途" in panel.says.value
    assert torch.allclose(panel.outcome.result, torch.full((1, 3, 24, 24), 3 * 0.5 / 50))


def half(level, *, on_step=None):
    """不认 Ctrl-C 的慢函数：停了就没有结果。"""
    for index in range(20):
        on_step(Step(index, 0.0, torch.full((1, 3, 24, 24), level)))
    return torch.ones(1, 3, 24, 24)


@pytest.mark.parametrize("total", [None, lambda at: 20])
def test_stopping_without_a_result_keeps_the_growing_picture(total, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def stops_itself(level, *, on_step=None):
        def tick(step):
            if step.index == 5 and level == 0.5:
                panel.stop()
            on_step(step)

        return half(level, on_step=tick)

    panel = explore(stops_itself, level=[1.0, 0.5], frames=2, total=total)
    panel.boxes["level"].value = 1
    panel.run()
    assert panel.outcome.stopped and "停在半途" in panel.says.value
    assert panel.code == "stops_itself(0.5)  # 停在第 5 步，这一行会全部算完"
    assert abs(panel.picture.getpixel((5, 5))[0] - 128) <= 1
    assert Image.open(panel.save()).size == panel.picture.size


def test_steps_in_several_rounds_are_not_written_as_one_number():
    def rounds(level, *, steps=10, on_step=None):
        def tick(step):
            if step.index == 3 and level == 0.5:
                panel.stop()
            on_step(step)

        return slow(level, steps=2 * steps, on_step=tick)

    panel = explore(rounds, level=[1.0, 0.5], frames=2, total=lambda at: 20)
    panel.boxes["level"].value = 1
    panel.run()
    assert panel.code == "rounds(0.5)  # 停在第 3 步，这一行会全部算完"


def test_a_slow_panel_without_frames_waits_for_the_button():
    panel = explore(slow, level=[1.0, 0.5], frames={})
    assert panel.outcome is None and "按“运行”" in panel.says.value
    assert panel._repr_html_() == "" and panel.code == "" and panel.save() == ""
    panel.run()
    assert panel.code == "slow(1.0)"


def test_the_newest_request_wins(threads):
    calls, hold = [], threading.Event()

    def held(count):
        if calls:
            hold.wait(10)
        calls.append(count)
        return stripes(count)

    panel = explore(held, count=(1, 9), frames={"count": [1]})
    calls.append("准备好了")
    for value in (2, 3, 4, 5):
        panel.boxes["count"].value = value
        time.sleep(0.02)
    hold.set()
    panel.wait(20)
    assert panel.code == "held(5)" and 4 not in calls


def test_errors_stand_as_a_sentence_and_the_panel_goes_on():
    def picky(count):
        if count == 3:
            raise ValueError("三不行")
        return stripes(count)

    panel = explore(picky, count=(1, 9), frames={"count": [1, 2]})
    panel.boxes["count"].value = 3
    assert "三不行" in panel.says.value and panel.code != "picky(3)"
    panel.boxes["count"].value = 4
    assert panel.code == "picky(4)"


@pytest.mark.parametrize("version", [7, 8])
def test_an_upload_in_both_shapes(version):
    file = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(file, "PNG")
    data = file.getvalue()
    value = {"a.png": {"content": data}} if version == 7 else ({"name": "a.png", "content": data},)
    assert uploaded(value) == ("a.png", data)


def test_an_uploaded_photo_is_used_and_a_text_file_is_refused():
    file = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(file, "PNG")
    panel = explore(lambda image: image, photo=["duck"], photo_size=32)
    button = panel.controls["image"].box.children[1]
    change = {"name": "value", "old": (), "owner": button, "type": "change"}
    good = ({"name": "mine.png", "content": file.getvalue()},)
    button.notify_change({**change, "new": good})
    assert "load_image('mine.png', 32)" in panel.code
    assert panel.outcome.result[0, 0].mean() > 0.99 and panel.outcome.result[0, 1].mean() < 0.01
    button.notify_change({**change, "new": ({"name": "notes.txt", "content": b"abc"},)})
    assert "不是图像文件" in panel.says.value


def test_saving_keeps_the_uploaded_photo_so_that_the_code_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    panel = explore(lambda image: image, photo=["duck"], photo_size=32)
    button = panel.controls["image"].box.children[1]
    content = encoded(Image.new("RGB", (40, 30), "red"), "PNG")
    change = {"name": "value", "old": (), "owner": button, "type": "change"}
    button.notify_change({**change, "new": ({"name": "../mine.png", "content": content},)})
    picture = panel.save()
    assert "照片存成 mine.png" in panel.says.value and (tmp_path / picture).exists()
    assert torch.equal(load_image("mine.png", 32), panel.outcome.result)
    (tmp_path / "mine.png").write_bytes(b"another")
    panel.save()
    assert "已有另一个 mine.png" in panel.says.value
    assert (tmp_path / "mine.png").read_bytes() == b"another"
    panel.boxes["photo"].value = "duck"
    panel.save()
    assert "照片" not in panel.says.value


def test_a_folder_that_cannot_be_written_is_said(tmp_path, monkeypatch):
    panel = explore(stripes, count=(1, 5), frames={})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(panel.outcome, "save", lambda path: (tmp_path / "no" / path).read_text())
    assert panel.save() == "" and "没有存成" in panel.says.value


def encoded(picture, kind: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def of_every_kind() -> dict[str, tuple[bytes, str]]:
    """各种稀奇的上传：{名字: (内容, 拒绝时那句话里的词)}；词是空的就该读得出。"""
    red = Image.new("RGB", (40, 30), "red")
    turned = Image.Exif()
    turned[0x112] = 6
    noise = encoded(Image.effect_noise((1600, 1200), 80).convert("RGB"), "JPEG")
    return {
        "turned.jpg": (encoded(red, "JPEG", exif=turned), ""),
        "cmyk.jpg": (encoded(red.convert("CMYK"), "JPEG"), ""),
        "moving.gif": (encoded(red, "GIF", save_all=True, append_images=[Image.new("RGB", (40, 30))]), ""),
        "palette.png": (encoded(red.convert("P"), "PNG"), ""),
        "one.png": (encoded(red.resize((1, 1)), "PNG"), ""),
        "'\"<b>.png": (encoded(red, "PNG"), ""),
        "phone.heic": (b"\0\0\0\x18ftypheic" + bytes(200), "HEIC"),
        "empty.png": (b"", "不是图像文件"),
        "cut.jpg": (noise[:9000], "损坏"),
        "bomb.png": (encoded(Image.new("1", (60000, 20000)), "PNG"), "像素太多"),
    }  # fmt: skip


def test_every_kind_of_upload_is_read_or_refused_with_a_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    panel = explore(lambda image: image, photo=["duck"], photo_size=32)
    button = panel.controls["image"].box.children[1]
    for name, (content, words) in of_every_kind().items():
        new = ({"name": name, "content": content},)
        change = {"name": "value", "old": (), "owner": button, "new": new, "type": "change"}
        button.notify_change(change)
        if words:
            assert words in panel.says.value and name in panel.says.value
            continue
        assert panel.outcome.result[0, 0].mean() > 0.98, name
        (tmp_path / name).write_bytes(content)
        assert torch.equal(load_image(name, 32), panel.outcome.result), name
        assert f"load_image({name!r}, 32)" in panel.code and "<b>" not in panel.line.value


def test_a_photo_of_many_pixels_is_decoded_once_and_equals_its_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = encoded(Image.effect_noise((3000, 2000), 80).convert("RGB"), "JPEG")
    (tmp_path / "large.jpg").write_bytes(content)
    panel = explore(lambda image, dark=False: image, photo=["duck"], dark=False, photo_size=64)
    button = panel.controls["image"].box.children[1]
    new = ({"name": "large.jpg", "content": content},)
    button.notify_change(
        {"name": "value", "old": (), "owner": button, "new": new, "type": "change"}
    )
    first = panel.outcome.result
    assert torch.equal(first, load_image("large.jpg", 64))
    panel.boxes["dark"].value = True
    assert panel.outcome.result is first


def test_two_files_of_one_name_are_not_mixed_up():
    panel = explore(lambda image: image, photo=["duck"], photo_size=32)
    button = panel.controls["image"].box.children[1]
    means = []
    for color in ("red", "blue"):
        file = io.BytesIO()
        Image.new("RGB", (40, 30), color).save(file, "PNG")
        new = ({"name": "mine.png", "content": file.getvalue()},)
        button.notify_change(
            {"name": "value", "old": (), "owner": button, "new": new, "type": "change"}
        )
        means.append(panel.outcome.result[0, 0].mean().item())
    assert means[0] > 0.99 and means[1] < 0.01


def test_static_frames_have_two_axes_and_show_without_scripts():
    frames = {"count": [1, 2, 3], "kind": ["a", "b"]}
    panel = explore(stripes, count=(1, 8), kind=["a", "b"], frames=frames)
    assert [tuple(frame["at"].values()) for frame in panel.frames] == [
        ("1", "a"), ("1", "b"), ("2", "a"), ("2", "b"), ("3", "a"), ("3", "b"),
    ]  # fmt: skip
    page = panel._repr_html_()
    assert (
        page.split("<script>")[0].count("<img") == 1 and "<input" not in page.split("<script>")[0]
    )
    with pytest.raises(ValueError, match="最多 12 张"):
        explore(stripes, count=(1, 20), frames={"count": list(range(1, 14))})


def test_unknown_controls_are_named():
    with pytest.raises(ValueError, match="没有参数 wrong；有的是 count"):
        explore(stripes, count=(1, 8), wrong=3)


def test_real_panels_equal_their_code():
    model = load_model()
    panel = explore(
        occlusion_map, model=model, photo="duck", category="鹅", window=(32, 96, 32),
        stride=(16, 32, 16), photo_size=96, frames={"window": [32, 64]},
    )  # fmt: skip
    panel.boxes["window"].value = 64
    panel.run()
    code = panel.code
    assert code == "occlusion_map(load_model(), photo('duck', 96), 'goose', window=64, stride=16)"
    names = {"occlusion_map": occlusion_map, "load_model": load_model, "photo": photo}
    assert torch.equal(eval(code, names), panel.outcome.result)


@pytest.fixture(scope="module")
def model():
    return load_model()


def one_map(model, image, layer, channel):
    """一张激活图，画成灰度。"""
    return activation_tiles(activations_of(model, image, layer)[layer][:, channel : channel + 1])


def of_maps(model, **options):
    layer = ["conv1", "fire2/squeeze1x1", "fire5"]
    return explore(
        one_map, model=model, photo=["duck", "panda"], layer=layer, channel=3, photo_size=64,
        frames={"layer": ["conv1", "fire5"]}, **options,
    )  # fmt: skip


def test_layers_are_listed_with_receptive_field_and_shape(model):
    panel = of_maps(model)
    assert [text for text, _ in panel.boxes["layer"].options] == [
        "conv1 · 感受野 3 · 64×31×31",
        "fire2/squeeze1x1 · 感受野 7 · 16×15×15",
        "fire5 · 感受野 63 · 256×7×7",
    ]
    assert panel.code == "one_map(load_model(), photo('duck', 64), 'conv1', 3)"
    assert [frame["at"]["层"][:6] for frame in panel.frames] == ["conv1 ", "fire5 "]


def test_an_unknown_layer_in_the_menu_is_named(model):
    with pytest.raises(ValueError, match="fire55"):
        explore(one_map, model=model, photo="duck", layer=["fire55"], channel=0, photo_size=64)


def test_layers_of_unlike_networks_are_listed_by_name_only():
    shallow, deep = nn.Sequential(nn.Conv2d(3, 4, 1)), nn.Sequential(nn.Conv2d(3, 5, 1))
    assert layers_of({"一": shallow, "二": deep}, ["0"], 32) is None
    assert layers_of([shallow, Choice(shallow, "twin")], ["0"], 32).shapes == {"0": (4, 32, 32)}
    assert layers_of(torch.zeros(3), ["0"], 32) is None
    assert layers_of(shallow, ["0"], (24, 32)).shapes == {"0": (4, 24, 32)}


def test_a_channel_is_picked_by_its_map_or_its_number(model):
    panel = of_maps(model)
    assert panel.grid.buttons.value == 3 and len(panel.grid.buttons.options) == 64
    panel.grid.buttons.value = 9
    assert panel.boxes["channel"].value == 9 and panel.code.endswith("'conv1', 9)")
    panel.boxes["channel"].value = 40
    assert panel.grid.buttons.value == 40 and panel.code.endswith("'conv1', 40)")
    assert "conv1，64 张" in panel.grid.fold.get_title(0)


def test_a_narrower_layer_keeps_the_channel_within_it(model):
    panel = of_maps(model)
    panel.boxes["channel"].value = 60
    panel.boxes["layer"].value = 1
    assert panel.boxes["channel"].value == 15 and len(panel.grid.buttons.options) == 16
    assert panel.code == "one_map(load_model(), photo('duck', 64), 'fire2/squeeze1x1', 15)"
    assert panel.grid.buttons.value == 15


def test_the_maps_follow_the_photo(model):
    panel = of_maps(model)
    before = panel.grid.grid.children[0].value
    panel.boxes["photo"].value = "panda"
    assert panel.grid.grid.children[0].value != before


def test_a_menu_of_numbers_returns_to_where_it_was():
    panel = explore(stripes, count=[3, 2, 1, 0], frames={"count": [3, 0]})
    assert panel.boxes["count"].value == 0 and panel.code == "stripes(3)"
    panel = explore(stripes, count=(1, 3), angle=[0, 2, 1], frames={"angle": [2]})
    assert panel.boxes["angle"].value == 0


def test_saving_keeps_the_settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    panel = explore(
        class_image, model=load_model(), category="zebra", size=32, steps=2, blur=[0.0, 0.5],
        parameterization="pixel", frames=2,
    )  # fmt: skip
    path = panel.save()
    assert "cnnlab" in Image.open(path).text
    assert re.fullmatch(r"class_image-[0-9a-f]{6}\.png", path)
    assert isinstance(panel.outcome.result.settings, dict) and Ascent


def test_the_line_of_code_comes_with_what_it_imports():
    code = (
        "mine(load_image('a.png', 96), photo('duck', 96), settings=Ascent(blur=1.0), x=f.dream(1))"
    )
    assert imports_of(code) == "from cnnlab import Ascent, load_image, photo"
    assert imports_of("mine(3)") == ""
    scope = {}
    exec(imports_of(code), scope)
    assert {"Ascent", "load_image", "photo"} <= scope.keys()
    panel = explore(stripes, count=[1, 2])
    assert panel.line.value.count("<code") == 1 and panel.code in panel.line.value


@pytest.mark.parametrize(
    "result",
    [3.5, "你好", None, {"a": 1}, [1, 2], torch.tensor(3.0), torch.rand(5), torch.rand(0, 3, 4, 4)],
    ids=str,
)
def test_results_that_cannot_be_drawn_are_named(result):
    with pytest.raises(TypeError, match=r"不知道怎样画.*show="):
        explore(lambda level: result, level=(1, 3))


def test_one_map_and_an_array_are_drawn():
    heat = torch.eye(6)
    panel = explore(lambda level: level * heat, level=(1, 3))
    array = explore(lambda level: level * heat.numpy(), level=(1, 3))
    assert panel.picture.size == array.picture.size and panel.picture == array.picture


def test_a_figure_that_the_function_returns_is_closed():
    def drawn(level):
        figure, axes = plt.subplots()
        axes.plot([0, level])
        return figure

    before = plt.get_fignums()
    assert len(explore(drawn, level=(1, 3)).frames) == 3
    assert plt.get_fignums() == before


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ({"other": [1]}, "other 不是可以拨的控件；有的是 kind、level"),
        ({"kind": ["z"]}, "没有 'z' 这一项；可用 a、b"),
        ("level", "frames 应写成"),
        ({"level": 2}, "frames 应写成"),
        (3, "要收 on_step"),
    ],
)
def test_frames_that_cannot_be_drawn_are_named(frames, words):
    with pytest.raises((ValueError, TypeError), match=words):
        explore(lambda kind, level: torch.eye(4), kind=["a", "b"], level=(1, 3), frames=frames)


def test_what_is_no_function_and_what_takes_nothing_is_named():
    with pytest.raises(TypeError, match="function 应是函数"):
        explore(3, level=(1, 3))
    with pytest.raises(TypeError, match="show 应是函数"):
        explore(lambda level: torch.eye(4), level=(1, 3), show=3)
    with pytest.raises(ValueError, match="没有参数 level；有的是 无"):
        explore(lambda: torch.eye(4), level=(1, 3))


def test_a_partial_function_is_explored_without_a_line_of_code():
    panel = explore(functools.partial(stripes, angle=1), count=(1, 3), kind=["a"], dark=False)
    assert "partial" not in panel.line.value + panel.image.value and len(panel.frames) == 3


def test_the_category_is_one_of_the_network():
    model = load_model()
    own = wrap_model(model.network, mean=(0.5,) * 3, std=(0.5,) * 3)
    panel = explore(saliency_map, model=own, photo="panda", category=7, photo_size=64)
    assert panel.code == "saliency_map(model, photo('panda', 64), 7)"
    with pytest.raises(ValueError, match="这个网络没有类别名"):
        explore(saliency_map, model=own, photo="panda", category="鹅", photo_size=64)
    named = wrap_model(
        model.network,
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
        categories=[f"第 {k} 类" for k in range(1000)],
    )
    panel = explore(saliency_map, model=named, photo="panda", category=7, photo_size=64)
    assert panel.code == "saliency_map(model, photo('panda', 64), '第 7 类')"


def test_random_weights_are_not_written_as_trained_ones():
    panel = explore(
        saliency_map, model=load_model(weights=None), photo="panda", category=7, photo_size=64
    )
    assert panel.code.startswith("saliency_map(model, ")


@pytest.mark.parametrize(
    "made",
    [
        lambda image: to_pil(image),
        lambda image: np.asarray(to_pil(image)),
        lambda image: image[0].permute(1, 2, 0).numpy(),
        lambda image: image[0],
    ],
)
def test_a_function_of_ones_own_may_return_a_picture_of_any_common_kind(made):
    wanted = explore(lambda image: image, photo=["duck"], photo_size=32).picture
    found = explore(made, photo=["duck"], photo_size=32).picture
    assert found.size == wanted.size
    assert np.abs(np.int32(found) - np.int32(wanted)).max() <= 2


def test_a_function_without_a_place_for_the_photo_is_told_the_names():
    with pytest.raises(ValueError, match="photo= 传给叫 image、content、photo 的参数"):
        explore(lambda picture: picture, photo=["duck"])
