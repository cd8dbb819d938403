"""画图：数值到颜色的对应、版面、中文字体，都量得出来。"""

import io
import itertools
import warnings

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from matplotlib.image import AxesImage
from matplotlib.text import Text
from PIL import Image

from cnnlab.show.answers import show_answers
from cnnlab.show.charts import show_bars, show_curve, show_scatter
from cnnlab.show.figures import FONT, PHONE, font_path, text_width, use_style, wrap_text
from cnnlab.show.film import show_film
from cnnlab.show.frames import least_width
from cnnlab.show.plotting import show_filmstrip, show_grid, show_map
from cnnlab.show.tables import show_table


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def pixels(panel) -> np.ndarray:
    """坐标轴里那张图的数组。"""
    (shown,) = [child for child in panel.get_children() if isinstance(child, AxesImage)]
    return np.asarray(shown.get_array())


def limits(panel) -> tuple[float, float]:
    return panel.images[0].get_clim()


def draw(panels) -> None:
    """真的画一遍，任何警告都是错误。"""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        panels.figure.canvas.draw()


def test_grid_shows_unit_range_as_it_is():
    images = torch.rand(3, 3, 8, 8)
    for panel, image in zip(show_grid(images), images, strict=True):
        assert np.allclose(pixels(panel), image.permute(1, 2, 0))


def test_grid_refuses_values_outside_unit_range_and_names_the_choices():
    with pytest.raises(ValueError, match="symmetric"):
        show_grid(torch.rand(2, 3, 8, 8) * 2)
    with pytest.raises(ValueError, match="NaN"):
        show_grid(torch.full((1, 3, 4, 4), float("nan")))


def test_each_stretches_every_image_and_common_only_the_whole():
    images = torch.rand(2, 3, 8, 8) * torch.tensor([1.0, 10.0]).view(2, 1, 1, 1) - 3
    for panel in show_grid(images, scale="each"):
        assert pixels(panel).min() == 0 and pixels(panel).max() == 1
    first, second = show_grid(images, scale="common")
    low, high = images.min(), images.max()
    expected = ((images - low) / (high - low)).permute(0, 2, 3, 1)
    assert np.allclose(pixels(first), expected[0], atol=1e-6)
    assert np.allclose(pixels(second), expected[1], atol=1e-6)


def test_symmetric_puts_zero_in_the_middle():
    gradient = torch.zeros(1, 3, 4, 4)
    gradient[0, 0, 0, 0] = -2.0
    (panel,) = show_grid(gradient, scale="symmetric")
    assert np.allclose(pixels(panel)[1, 1], 0.5) and pixels(panel)[0, 0, 0] == 0
    maps = torch.stack([torch.full((4, 4), -3.0), torch.full((4, 4), 1.0)])
    assert [limits(panel) for panel in show_grid(maps, scale="symmetric")] == [(-3, 3), (-3, 3)]
    assert [limits(panel) for panel in show_grid(maps, scale="symmetric_each")] == [
        (-3, 3),
        (-1, 1),
    ]


def test_rows_have_their_own_scales_and_three_maps_in_rows_stay_maps():
    photos, maps = torch.rand(3, 3, 6, 6), torch.rand(3, 6, 6) * 5
    panels = show_grid([photos, maps], scale=["none", "common"], row_labels=["照片", "激活图"])
    assert len(panels) == 6 and pixels(panels[0]).shape == (6, 6, 3)


def test_three_maps_given_alone_are_maps():
    maps = torch.rand(3, 6, 6)
    panels = show_grid(maps)
    assert len(panels) == 3 and all(pixels(panel).shape == (6, 6) for panel in panels)


def test_columns_blanks_and_too_many_titles():
    panels = show_grid([torch.rand(3, 4, 4), None, torch.rand(4, 4)], columns=2)
    assert [panel.get_visible() for panel in panels] == [True, False, True, False]
    with pytest.raises(ValueError, match="标题"):
        show_grid(torch.rand(2, 3, 4, 4), titles=list("甲乙丙"))
    with pytest.raises(ValueError, match="scale"):
        show_grid(torch.rand(2, 3, 4, 4), scale="minmax")


def test_a_row_keeps_its_name_when_its_first_cell_is_blank():
    rows = [[torch.rand(3, 4, 4)] * 2, [None, torch.rand(3, 4, 4)]]
    panels = show_grid(rows, row_labels=["原图", "合成"])
    panels.figure.draw_without_rendering()
    named = {text.get_text(): text.get_window_extent() for text in panels.figure.texts}
    assert list(named) == ["原图", "合成"]
    assert (
        named["合成"].y1 < panels[0].get_window_extent().y0
        and named["合成"].x1 < panels[3].get_window_extent().x0
    )


def test_colour_bar_needs_one_scale():
    maps = torch.rand(2, 6, 6)
    assert len(show_grid(maps, scale="common", colorbar="").figure.axes) == 3
    with pytest.raises(ValueError, match="同一把尺"):
        show_grid(maps, scale="each", colorbar="")


def test_grid_leaves_tensors_alone():
    images = torch.rand(2, 3, 8, 8, requires_grad=True)
    before = images.detach().clone()
    show_grid(images, scale="each")
    assert torch.equal(images.detach(), before) and images.grad is None


ROW = [torch.rand(3, 8, 8)] * 8
FIGURES = {
    "八格，标题长": lambda: show_grid(ROW, titles=["一个要折行的标题 0.97"] * 8),
    "两行，行名长，有色条": lambda: show_grid(
        torch.randn(2, 8, 4, 4), row_labels=["梯度×输入的绝对值", "积分梯度"], scale="common", colorbar="秩相关"
    ),
    "要一格七英寸": lambda: show_grid(ROW[:2], size=7.0, heading="两张", caption="说明" * 60),
    "热力图": lambda: show_map(torch.rand(5, 3, 8, 8), torch.randn(5, 4, 4)),
    "八个回答": lambda: show_answers(torch.rand(8, 3, 8, 8), [[("金刚鹦鹉 (macaw)", 0.9)] * 5] * 8),
    "条形": lambda: show_bars({name: dict.fromkeys("甲乙丙丁戊己", 0.5) for name in ("真", "假")}),
    "曲线": lambda: show_curve({"测得": [1, 2, 3], "对照": [3, 2, 1]}, log=True, title="两条"),
    "散点": lambda: show_scatter(torch.rand(20, 2), labels=["很长的类名", "短"] * 10),
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_a_phone_shows_the_whole_figure_and_its_smallest_text(name):
    figure = FIGURES[name]().figure
    file = io.BytesIO()
    figure.savefig(file, bbox_inches="tight")
    picture = Image.open(file)
    inches = picture.width / picture.info["dpi"][0]
    assert least_width(picture.width, picture.info["dpi"][0]) == 0, "要左右拖着看"
    sizes = {text.get_fontsize() for text in figure.findobj(Text) if text.get_text().strip()}
    assert min(sizes) / 72 * PHONE / max(inches, PHONE / 120) >= 7.95, (
        "缩到手机那么宽，字小于 8 像素"
    )


def test_map_shows_nothing_where_heat_is_zero_and_red_at_the_top():
    image = torch.full((1, 3, 8, 8), 0.5)
    heat = torch.zeros(1, 8, 8)
    heat[0, 2, 3] = 4.0
    photo, overlay = show_map(image, heat, label="得分下降")
    shown = pixels(overlay)
    assert np.allclose(pixels(photo), 0.5)
    assert np.allclose(shown[0, 0], 0.25 + 0.7 * 0.5)
    assert shown[2, 3, 0] > shown[2, 3, 2] + 0.2
    assert overlay.figure.axes[-1].get_ylim() == (0, 4)


def test_signed_map_is_centred_on_zero():
    heat = torch.tensor([[[-1.0, 0.0], [0.0, 3.0]]])
    panels = show_map(torch.full((1, 3, 2, 2), 0.5), heat)
    shown = pixels(panels[1])
    assert shown[0, 0, 2] > shown[0, 0, 0] and shown[1, 1, 0] > shown[1, 1, 2]
    assert panels.figure.axes[-1].get_ylim() == (-3, 3)


def test_map_checks_counts_and_ranges():
    with pytest.raises(ValueError, match="一一对应"):
        show_map(torch.rand(2, 3, 8, 8), torch.rand(1, 8, 8))
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        show_map(torch.rand(1, 3, 8, 8) * 255, torch.rand(1, 8, 8))
    assert len(show_map(torch.rand(2, 3, 8, 8), torch.rand(2, 3, 3))) == 4
    assert len(show_map(torch.rand(2, 3, 8, 8), torch.rand(2, 3, 3), beside=False)) == 2


def test_filmstrip_wants_a_label_for_every_frame():
    panels = show_filmstrip(torch.rand(3, 3, 8, 8), ["0 步", "1 步", "2 步"])
    assert [panel.get_title() for panel in panels] == ["0 步", "1 步", "2 步"]
    with pytest.raises(ValueError, match="3 帧、2 个标签"):
        show_filmstrip(torch.rand(3, 3, 8, 8), ["0 步", "1 步"])


def test_curves_differ_in_line_style_and_keep_their_numbers():
    axes = show_curve({"甲": [3.0, 1.0], "乙": ([0, 10], torch.tensor([2.0, 5.0]))})
    first, second = axes.lines
    assert list(first.get_ydata()) == [3, 1] and list(second.get_xdata()) == [0, 10]
    assert first.get_linestyle() != second.get_linestyle()
    with pytest.raises(ValueError, match="横坐标"):
        show_curve([1, 2, 3], x=[0, 1])


def test_bars_put_a_gray_control_beside_each_value():
    axes = show_bars(["甲", "乙"], [0.5, -0.25], [0.1, 0.2])
    heights = [bar.get_height() for bar in axes.patches]
    assert heights == [0.5, -0.25, 0.1, 0.2]
    assert axes.patches[0].get_x() < axes.patches[2].get_x()
    assert len(set(to_rgb(axes.patches[2].get_facecolor()[:3]))) == 1
    assert "−0.25" in [text.get_text() for text in axes.texts]
    with pytest.raises(ValueError, match="3 个数"):
        show_bars(["甲", "乙"], [1, 2, 3])


def test_scatter_gives_each_class_its_colour_and_shape():
    points = torch.rand(20, 2)
    axes = show_scatter(points, labels=torch.arange(20) % 10)
    kinds = {
        (tuple(group.get_facecolor()[0][:3]), group.get_paths()[0].vertices.shape[0])
        for group in axes.collections
    }
    assert len(axes.collections) == 10 and len(kinds) == 10
    with pytest.raises(ValueError, match=r"\(N, 2\)"):
        show_scatter(torch.rand(20, 3))


def test_chinese_math_and_minus_never_miss_a_glyph(recwarn):
    draw(
        show_curve(
            {"损失 $L-\\lambda R$": [1e-3, 1e-1]},
            log=True,
            ylabel="得分 −3 ✔ ◐ ✘ ⓘ",
            title="σ ± × ≤",
        )
    )
    draw(show_bars(["梯度", "引导式 $g$"], [-0.2, 1], [0.1, 0], title="对照 $\\rho=-0.5$"))
    draw(show_grid(torch.rand(2, 8, 8) - 0.5, scale="symmetric", colorbar="权重 $w$"))
    assert not [warning for warning in recwarn if "missing" in str(warning.message)]


def test_missing_glyph_warning_would_be_seen():
    axes = show_curve([1, 2], title="\U0001f984")
    with pytest.raises(UserWarning, match="missing"):
        draw(axes)


def test_style_is_installed_once_and_the_font_file_exists():
    use_style()
    assert font_path().is_file() and matplotlib.rcParams["font.family"][0] == FONT
    with matplotlib.rc_context({"font.size": 5}):
        use_style()
        assert matplotlib.rcParams["font.size"] == 5
    with matplotlib.rc_context({"font.family": ["DejaVu Sans"]}):
        use_style()
        assert matplotlib.rcParams["font.family"][0] == FONT


def test_text_wraps_within_its_width_and_not_before_punctuation():
    text = "很长的标题要折成几行，conv1 的激活图也一样"
    lines = wrap_text(text, 1.0, 10).split("\n")
    assert all(text_width(line) <= 7.2 + 1 for line in lines) and len(lines) > 2
    assert not any(line[0] in "，。" for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert wrap_text("公式 $a+b$ 不折", 0.1, 10) == "公式 $a+b$ 不折"


@pytest.mark.parametrize("text", ["全 0（黑）", "看 conv1，另一层", "“无”“L2”（左）", "，开头"])
def test_brackets_open_a_line_and_punctuation_ends_one(text):
    lines = wrap_text(text, 0.1, 11).split("\n")
    assert len(lines) > 1 and "".join(lines) == text.replace(" ", "")
    assert not any(line[0] in "，）”" for line in lines[1:])
    assert not any(line[-1] in "（“" for line in lines)


def test_a_short_last_line_is_evened_and_the_narrowing_ends():
    assert wrap_text("骗 SqueezeNet ×20", 0.98, 11) == "骗\nSqueezeNet\n×20"
    for width in (0.01, 0.3, 0.98, 2.0):
        for text in ("", "a", "×20", "骗 SqueezeNet ×20", "一二三四五六七八九十一", "aaaa b"):
            assert wrap_text(text, width, 11).replace("\n", "").replace(" ", "") == text.replace(
                " ", ""
            )


def test_a_film_and_a_strip_take_a_list_of_pictures():
    frames = list(torch.rand(3, 3, 8, 8))
    assert len(show_filmstrip(frames, ["一", "二", "三"])) == 3
    assert show_film(frames).size == show_film(torch.stack(frames)).size == (8, 8)


def test_titles_do_not_overlap_their_neighbours():
    panels = show_grid(torch.rand(8, 3, 4, 4), titles=["显著图与遮挡图的相关系数"] * 8, columns=8)
    panels.figure.canvas.draw()
    boxes = [panel.title.get_window_extent() for panel in panels]
    assert all(left.x1 <= right.x0 + 1 for left, right in itertools.pairwise(boxes))


def test_results_print_nothing_in_a_notebook():
    for show in (lambda: show_grid(torch.rand(1, 3, 4, 4)), lambda: show_curve([1, 2])):
        drawn = show()
        assert drawn._ipython_display_() is None
        assert drawn.figure is plt.gcf()


# 直接收字典、批、图注


def test_bars_take_dicts_in_any_order():
    axes = show_bars({"甲": 0.5, "乙": torch.tensor(-0.25)}, control={"乙": 0.2, "甲": 0.1})
    assert [bar.get_height() for bar in axes.patches] == [0.5, -0.25, 0.1, 0.2]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["甲", "乙"]
    axes = show_bars({"训练过": {"甲": 1, "乙": 2}, "随机": {"乙": 4, "甲": 3}})
    assert [bar.get_height() for bar in axes.patches] == [1, 2, 3, 4]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["训练过", "随机"]
    assert axes.patches[2].get_facecolor()[:3] != to_rgb("#A6A6A6")
    with pytest.raises(ValueError, match=r"“对照”的名字是 甲.*对不上"):
        show_bars({"甲": 1, "乙": 2}, control={"甲": 1})
    with pytest.raises(ValueError, match="不必再给 values"):
        show_bars({"甲": 1}, [1])
    with pytest.raises(ValueError, match="values"):
        show_bars(["甲", "乙"])


def test_a_curve_may_be_a_dict_of_points():
    (line,) = show_curve({0: 1.0, 2: torch.tensor(3.0)}).lines
    assert line.get_xdata().tolist() == [0, 2] and line.get_ydata().tolist() == [1, 3]
    axes = show_curve({"误差": {"conv1": 0.1, "fire2": 0.4}, "对照": {"conv1": 1, "fire2": 1}})
    assert [line.get_label() for line in axes.lines] == ["误差", "对照"]
    axes.figure.draw_without_rendering()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["conv1", "fire2"]
    assert axes.lines[0].get_ydata().tolist() == [0.1, 0.4]


def test_rows_may_hold_batches_of_one():
    photo, heat = torch.rand(1, 3, 6, 6), torch.rand(1, 6, 6) * 7
    panels = show_grid([[photo, heat], [None, heat[0]]], scale="bright")
    assert np.allclose(pixels(panels[0]), photo[0].permute(1, 2, 0))
    assert pixels(panels[1]).shape == (6, 6) and not panels[2].get_visible()
    assert len(show_grid([photo, photo])) == 2


def test_bright_cuts_at_the_99th_percentile_and_signed_is_red_and_blue():
    heat = torch.rand(10, 100)
    heat[0, 0] = 50
    (panel,) = show_grid(heat, scale="bright")
    assert limits(panel) == (0, pytest.approx(heat.quantile(0.99).item()))
    (panel,) = show_grid(torch.zeros(4, 4), scale="bright")
    assert limits(panel) == (0, 1)
    signed = torch.randn(20, 20)
    pair = [torch.rand(3, 4, 4), signed]
    _, second = show_grid(pair, scale="signed", cmap="inferno")
    top = pytest.approx(signed.abs().quantile(0.99).item())
    assert (
        limits(second) == (-limits(second)[1], top) and second.images[0].get_cmap().name == "RdBu_r"
    )
    with pytest.raises(ValueError, match="each"):
        show_grid(torch.rand(1, 3, 4, 4) * 2, scale="bright")


@pytest.mark.parametrize(
    "make",
    [
        lambda **words: show_grid(torch.rand(2, 3, 4, 4), **words).figure,
        lambda **words: show_filmstrip(torch.rand(2, 3, 4, 4), ["一", "二"], **words).figure,
        lambda **words: show_map(torch.rand(1, 3, 4, 4), torch.rand(1, 4, 4), **words).figure,
        lambda **words: show_bars({"甲": 1}, **words).figure,
        lambda **words: show_curve([1, 2], **words).figure,
        lambda **words: show_scatter(torch.rand(4, 2), **words).figure,
    ],
)
def test_every_figure_has_a_caption_below_and_words_for_those_who_cannot_see_it(make):
    figure = make(caption="左边的更亮。" * 20)
    figure.draw_without_rendering()
    (caption,) = [text for text in figure.texts if text.get_text().startswith("左边的更亮")]
    assert caption.get_window_extent().y1 <= 0 and "\n" in caption.get_text()
    assert figure._repr_mimebundle_() == ({}, {"image/png": {"alt": "左边的更亮。" * 20}})
    assert make(caption="图注", alt="替代").alt == "替代" and make()._repr_mimebundle_() == ({}, {})


HEAT, PHOTO = torch.rand(1, 8, 8), torch.rand(1, 3, 8, 8)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: show_grid([]), "images 是空的"),
        (lambda: show_grid(PHOTO[:0]), "images 是空的"),
        (lambda: show_grid(HEAT.to(torch.complex64)), "张量、数组或 PIL 图像"),
        (lambda: show_grid(["panda"]), "得到 'panda'"),
        (lambda: show_grid(PHOTO, scale=None), "scale 要是"),
        (lambda: show_grid(PHOTO, scale=True), "scale 要是"),
        (lambda: show_grid(HEAT, cmap="vridis"), "没有名为 'vridis' 的色标；可用的有：viridis"),
        (lambda: show_grid([[PHOTO], [PHOTO]], row_labels=["a", "b", "c"]), "行名有 3 个"),
        (lambda: show_map(PHOTO, None), "张量、数组或 PIL 图像"),
        (lambda: show_map(PHOTO[:0], HEAT[:0]), "images 是空的"),
        (lambda: show_map(PHOTO, HEAT, limit=-1), "limit 是 -1"),
        (lambda: show_bars({}), "names 是空的"),
        (lambda: show_bars({"a": "b"}), "“测得”应是一列数"),
        (lambda: show_bars({"a": [1.0, 2.0]}), "“测得”应是一列数"),
        (lambda: show_bars({"a": 1j}), "“测得”应是一列数"),
        (lambda: show_curve(None), "曲线应是一列数，得到 None"),
        (lambda: show_curve(3), "曲线应是一列数，得到 3"),
        (lambda: show_curve({"a": []}), "曲线是空的"),
        (lambda: show_curve({"a": None}), "曲线应是一列数"),
        (lambda: show_curve([[1, 2], [3]]), "曲线应是一列数"),
        (lambda: show_scatter({"a": 1.0}), r"points 要是 \(N, 2\) 的数，得到 dict"),
        (lambda: show_scatter([[1, 2], [3]]), r"points 要是 \(N, 2\) 的数"),
        (lambda: show_scatter([["a", "b"]]), r"points 要是 \(N, 2\) 的数"),
        (lambda: show_table(None), "rows 应是各行的列表"),
        (lambda: show_table([1, 2]), "rows 应是各行的列表"),
        (lambda: show_table("字"), "rows 应是各行的列表"),
    ],
)
def test_what_cannot_be_shown_is_told_in_our_own_words(call, words):
    with pytest.raises((ValueError, TypeError), match=words) as told:
        call()
    assert "库里的原因" not in str(told.value) and plt.get_fignums() == []


def test_titles_may_be_tensors_and_empty():
    two = PHOTO.repeat(2, 1, 1, 1)
    assert [each.get_title() for each in show_grid(two, titles=torch.tensor([1, 2]))] == ["1", "2"]
    assert [each.get_title() for each in show_grid(two, titles=[None, "b"])] == ["", "b"]
    assert "张量" in repr(show_table([["张量", torch.rand(2)]]))
    plt.close("all")
