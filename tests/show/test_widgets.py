"""滑块：每帧画一次、大小有界、不漏图、静态与控件两种形式一致。"""

import base64
import html
import io
import json
import math
import re

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from PIL import Image

from cnnlab.show.frames import MOST_BYTES
from cnnlab.show.widgets import explore


def line(value):
    figure, axes = plt.subplots()
    axes.plot([0, float(value)])
    return figure


def noise(value):
    """最难压缩的图。"""
    axes = plt.figure(figsize=(9, 9)).subplots()
    axes.imshow(np.random.default_rng(int(value)).random((300, 300, 3)))
    return axes


def decode(source: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(source.split(",", 1)[1])))


def test_each_frame_is_drawn_once_even_when_shown_and_used():
    calls = []

    def draw(value):
        calls.append(value)
        return line(value)

    explorer = explore(draw, "斜率", [1, 2, 3])
    explorer._repr_html_()
    explorer.boxes["value"].value = 2
    assert calls == [1, 2, 3]


def test_figures_are_closed_and_others_left_open():
    plt.close("all")
    mine = plt.figure()
    explore(line, "斜率", [1, 2])
    explore(lambda value: plt.plot([0, value]) and None, "画在当前图上", [1, 2])
    assert plt.get_fignums() == [mine.number] and not mine.axes
    plt.close(mine)


def test_figures_are_closed_when_draw_fails():
    plt.close("all")

    def draw(value):
        plt.figure()
        raise RuntimeError("坏了")

    with pytest.raises(RuntimeError):
        explore(draw, "值", [1, 2])
    assert plt.get_fignums() == []


def test_frames_differ_and_all_have_one_size():
    def draw(value):
        return plt.figure(figsize=(value, 2)).subplots()

    sizes = {decode(frame["source"]).size for frame in explore(draw, "宽", [2, 3, 4]).frames}
    assert len(sizes) == 1
    sources = {frame["source"] for frame in explore(line, "斜率", [1, -1]).frames}
    assert len(sources) == 2


def test_frames_are_small_even_when_the_picture_is_noise():
    explorer = explore(noise, "种子", [1, 2])
    for frame in explorer.frames:
        assert len(base64.b64decode(frame["source"].split(",", 1)[1])) <= MOST_BYTES
        assert decode(frame["source"]).format == "WEBP"
    assert 200 <= decode(explorer.frames[0]["source"]).width <= 900


def test_static_slider_has_label_alt_and_all_frames():
    values = ["conv1", "fire4<b>", 'a"b']
    explorer = explore(
        lambda value: line(len(value)), "层", values, start=1, alt=lambda value: f"看见 {value}"
    )
    page = explorer._repr_html_()
    assert 'class="cnnlab-frames"' in page
    before_script = page.split("<script>")[0]
    assert html.escape("看见 fire4<b>") in before_script and "<b>" not in before_script
    data = json.loads(re.search(r"\{ frames, axes \} = (\{.*\});\n", page).group(1))
    assert data["axes"] == {"层": values}
    assert [frame["at"]["层"] for frame in data["frames"]] == values
    assert "http" not in page.replace("data:", "")


def test_two_sliders_on_a_page_have_their_own_names():
    first, second = explore(line, "斜率", [1, 2]), explore(line, "斜率", [1, 2])
    name = re.compile(r'id="([^"]+)"')
    assert name.search(first._repr_html_()).group(1) != name.search(second._repr_html_()).group(1)


@pytest.mark.parametrize(("inches", "least"), [(9, 486), (5, 0)])
def test_a_wide_picture_is_not_shrunk_until_its_words_cannot_be_read(inches, least):
    def draw(value):
        axes = plt.figure(figsize=(inches, inches)).add_axes((0, 0, 1, 1))
        axes.imshow(np.random.default_rng(value).random((300, 300)))
        return axes

    page = explore(draw, "种子", [1, 2])._repr_html_()
    kept = int(re.search(r"min-width: (\d+)px", page).group(1))
    assert least <= kept <= 1.1 * least


def test_script_cannot_be_closed_by_a_value():
    page = explore(lambda value: line(1), "值", ["</script>", "b"])._repr_html_()
    assert page.count("</script>") == 1


def test_live_widget_follows_the_slider():
    panel = explore(line, "斜率", [1, 2, 3], start=1, alt=["一", "二", "三"])
    slider = panel.widget.children[0]
    assert slider.description == "斜率" and "二" in panel.says.value and panel.code == "line(2)"
    before = panel.image.value
    slider.value = 2
    assert "三" in panel.image.value and panel.image.value != before and panel.code == "line(3)"


def test_static_page_opens_where_the_slider_starts():
    panel = explore(line, "斜率", [1, 2, 3], start=1, alt=lambda value: f"陡 {value}")
    page = panel._repr_html_().split("<script>")[0]
    assert "陡 2" in page and panel.frames[1]["source"] in page


def test_an_unnamed_function_shows_no_line_of_code():
    panel = explore(lambda value: line(value), "斜率", [1, 2])
    assert "lambda" not in panel.line.value + panel.image.value


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        (list(range(13)), {}, "最多 12 张"),
        ([], {}, "至少要有一个值"),
        ([1, 2], {"start": 2}, "start"),
        ([1, 2], {"alt": ["一"]}, "替代文字"),
    ],
)
def test_bad_arguments_are_refused(values, options, words):
    with pytest.raises(ValueError, match=words):
        explore(line, "值", values, **options)


def test_a_picture_that_takes_no_value_is_refused():
    with pytest.raises(ValueError, match="draw 收一个值"):
        explore(lambda: line(1), "值", [1, 2])


def test_drawing_nothing_is_refused():
    with pytest.raises(ValueError, match="没有画出图"):
        explore(lambda value: None, "值", [1, 2])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": (8, 16, 100)}, "步要大于 0、不超过两者之差"),
        ({"size": (8, 8, 1)}, "低要小于高"),
        ({"size": (8, math.inf, 1)}, "低要小于高"),
        ({"size": (8, 16, 8, 99)}, "起点 99 不在 8 与 16 之间"),
        ({}, "还要 size；写成 size=值或控件"),
        ({"size": 8, "show": lambda result: result}, "show 要能收 2 个参数"),
        ({"size": 8, "total": lambda one, two: 3}, "total 要能收 1 个参数"),
    ],
)
def test_ranges_and_functions_of_a_panel_that_cannot_be_are_told(options, words):
    def smaller(image, size):
        return image[..., :size, :size]

    with pytest.raises((ValueError, TypeError), match=words) as told:
        explore(smaller, image=[torch.rand(1, 3, 16, 16)], **options)
    assert "库里的原因" not in str(told.value)
