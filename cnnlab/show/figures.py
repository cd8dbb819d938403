"""图的底板：中文字体、全书统一的样式、按英寸排好的图格。

不管图里画什么（见 plotting），不管表格和源码（见 tables）。
"""

import functools
import importlib.util
import itertools
import unicodedata
from pathlib import Path

import matplotlib
from matplotlib import font_manager
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

FONT = "Noto Sans SC"
PHONE = 358  # 像素，390 宽的手机上正文的宽度
TEXT = 11  # 图里最小的字号（磅）
MARGIN = 0.05  # 英寸，裁边时四周留的白
# 英寸，图至多这么宽：整张缩到手机那么宽，最小的字还有 8 像素高；电脑上每英寸 120 像素，恰好一栏
WIDTH = PHONE * TEXT / 72 / 8 - 2 * MARGIN
LARGEST = 2.9  # 英寸，一格至多这么宽：再大，224 像素的照片就糊了
# 前七色是 Okabe、Ito（2008）的色盲安全色，去掉了白底上看不清的黄色；后三色为十类备用
PALETTE = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#4D4D4D",
    "#882255", "#999933", "#5D3A1A",
)  # fmt: skip
BAR = 0.95  # 英寸，颜色条占的宽度
CONTROL = "#A6A6A6"
OPENING, CLOSING = "（「『《“‘", "，。、；：！？）」』》”’"  # 行末不落开的，行首不落合的
STYLE = {
    "font.family": [FONT, "DejaVu Sans"],  # 次序要紧：反过来，中文与公式混排会出方框
    "font.size": TEXT,
    "axes.titlesize": 12,
    "axes.labelsize": TEXT,
    "axes.titlepad": 8,
    "axes.unicode_minus": True,
    "axes.prop_cycle": matplotlib.cycler(color=PALETTE),
    "axes.edgecolor": "#595959",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.7,
    "xtick.color": "#404040",
    "ytick.color": "#404040",
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.frameon": False,
    "legend.fontsize": TEXT,
    "lines.linewidth": 2.0,
    "figure.dpi": 120,
    "savefig.dpi": "figure",
    "savefig.pad_inches": MARGIN,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "image.cmap": "gray",
}


class Quiet:
    """作为单元格的最后一个值时不再打印一行 <Axes: …>。"""

    def _ipython_display_(self) -> None:
        """什么也不显示：图已经在页面上。"""


class QuietAxes(Quiet, Axes):
    """show_… 返回的坐标轴。"""

    name = "cnnlab"


class PageFigure(Figure):
    """带替代文字的图：`.alt` 写进单元格输出的元数据，书页与导出的网页用它。"""

    alt = ""

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {}, {"image/png": {"alt": self.alt}} if self.alt else {}


class Panels(Quiet, list):
    """一组坐标轴的列表；.figure 是它们所在的图。"""

    @property
    def figure(self):
        return self[0].figure


matplotlib.projections.register_projection(QuietAxes)


def font_path() -> Path:
    """中文字体文件的位置；只查找 zhplot，不导入它（导入会改全局设置）。"""
    found = importlib.util.find_spec("zhplot")
    if found is None:
        raise ModuleNotFoundError("缺少带中文字体的包 zhplot：pip install zhplot")
    return Path(found.submodule_search_locations[0]) / "fonts" / "NotoSansSC-Regular.ttf"


def use_style() -> None:
    """把全书的样式装进 matplotlib.rcParams；已经装好时什么也不做。

    每个 show_… 函数都先调用它。自己用 matplotlib 画图时，先调用一次即可。
    """
    if FONT in matplotlib.rcParams["font.family"]:
        return
    if FONT not in {font.name for font in font_manager.fontManager.ttflist}:
        font_manager.fontManager.addfont(str(font_path()))
    matplotlib.rcParams.update(STYLE)


def new_axes(*, width: float = 6.5, height: float = 3.6) -> QuietAxes:
    """一张新图上的一个坐标轴；width 与 height 是英寸。"""
    figure = plt.figure(FigureClass=PageFigure, figsize=(width, height), layout="constrained")
    return figure.add_subplot(projection="cnnlab")


def text_width(text: str) -> float:
    """一行文字的估计宽度，以字号为单位：汉字与全角标点 1，其余 0.56。"""
    return sum(1.0 if _is_wide(sign) else 0.56 for sign in text)


def _is_wide(sign: str) -> bool:
    return unicodedata.east_asian_width(sign) in "WF"


def wrap_text(text: str, width: float, size: float) -> str:
    """把文字折成不宽于 width 英寸的几行，末行不单落一两个字；含公式（$）的文字保持原样。"""
    if "$" in text:
        return text
    room, lines = max(width * 72 / size, 1.0), []
    for paragraph in str(text).split("\n"):
        lines += _evened(_pieces(paragraph), room)
    return "\n".join(lines)


def _evened(pieces: list[str], room: float) -> list[str]:
    """折行之后末行太短，就收窄一点再折，行数不增；窄到只容得下最宽的一块为止。"""
    lines, widest = _folded(pieces, room), max(map(text_width, pieces), default=0)
    while len(lines) > 1 and text_width(lines[-1]) < 2.5 and room > widest:
        room -= 0.5
        closer = _folded(pieces, room)
        if len(closer) > len(lines):
            break
        lines = closer
    return lines


def _folded(pieces: list[str], room: float) -> list[str]:
    lines, line = [], ""
    for piece in pieces:
        if line and text_width((line + piece).rstrip()) > room:
            lines.append(line.rstrip())
            line = piece.lstrip()
        else:
            line += piece
    return [*lines, line.rstrip()]


def _pieces(text: str) -> list[str]:
    """可以断行的小块：每个汉字一块，每个西文单词连同其后的空格一块；标点跟着前一块，开括号跟着后一块。"""
    pieces, word = [], ""
    for sign in text:
        if sign in CLOSING:
            last = word or (pieces.pop() if pieces else "")
            pieces, word = [*pieces, last + sign], ""
        elif sign in OPENING or (_is_wide(sign) and word[-1:] not in OPENING):
            pieces, word = pieces + [word] * bool(word), sign
        else:
            word += sign
        if word and (sign in " -_/" or (_is_wide(sign) and sign not in OPENING)):
            pieces, word = [*pieces, word], ""
    return pieces + [word] * bool(word)


def drawing(function):
    """装饰器：先装好样式；画到一半出错或按了 Ctrl-C，已经开了的图关上。"""

    @functools.wraps(function)
    def run(*arguments, **options):
        use_style()
        before = set(plt.get_fignums())
        try:
            return function(*arguments, **options)
        except BaseException:
            for number in set(plt.get_fignums()) - before:
                plt.close(number)
            raise

    return run


def panel_grid(
    rows: int, columns: int, cell: tuple[float, float], titles: list[str], *, left=0.0, bar=False
) -> Panels:
    """rows 行 columns 列无刻度的坐标轴，按行排好；cell 是一格的宽与高（英寸），titles 是逐格的标题。

    left 是左边留给行名的宽度；bar 在右边留出颜色条。
    """
    gap, line = 0.08, TEXT * 1.25 / 72
    lines = [
        max((text.count("\n") + 1 for text in titles[start : start + columns] if text), default=0)
        for start in range(0, rows * columns, columns)
    ]
    tops = [count * line + (0.07 if count else 0.0) for count in lines]
    width = left + columns * (cell[0] + gap) - gap + (BAR if bar else 0.0)
    height = rows * (cell[1] + gap) - gap + sum(tops)
    figure = plt.figure(FigureClass=PageFigure, figsize=(width, height))
    panels = Panels()
    for row, column in itertools.product(range(rows), range(columns)):
        x = left + column * (cell[0] + gap)
        y = (rows - 1 - row) * (cell[1] + gap) + sum(tops[row + 1 :])
        place = (x / width, y / height, cell[0] / width, cell[1] / height)
        panel = figure.add_axes(place, projection="cnnlab", xticks=[], yticks=[])
        panel.spines[:].set(visible=True, color="#BFBFBF", linewidth=0.5)
        panels.append(panel)
    for panel, text in zip(panels, titles, strict=False):
        panel.set_title(text, fontsize=TEXT, pad=4, linespacing=1.15)
    return panels


def describe(figure: Figure, caption: str, alt: str) -> None:
    """图下左对齐写一行（或几行）图注，并记下替代文字；没有替代文字时用图注。"""
    figure.alt = alt or caption
    if caption:
        # 写在图的边界之外：显示与保存时按内容裁边，会把它包进来
        width = max(figure.get_figwidth(), 6.0)
        figure.text(0, -0.08 / figure.get_figheight(), wrap_text(caption, width, TEXT),
                    fontsize=TEXT, va="top", linespacing=1.4, color="#404040")  # fmt: skip


def add_bar(panels: Panels, shown, label: str = "") -> Axes:
    """在 panel_grid(bar=True) 留出的右边画颜色条；shown 是 imshow 的结果或 ScalarMappable。"""
    figure = panels.figure
    width, height = figure.get_size_inches()
    first, last = panels[0].get_position(), panels[-1].get_position()
    tall = min(first.y1 - last.y0, 3.2 / height)
    place = (last.x1 + 0.14 / width, (first.y1 + last.y0 - tall) / 2, 0.13 / width, tall)
    bar_axes = figure.add_axes(place)
    bar = figure.colorbar(shown, cax=bar_axes, ticks=matplotlib.ticker.MaxNLocator(5))
    bar.outline.set_visible(False)
    bar_axes.tick_params(length=2.5)
    bar.set_label(label)
    return bar_axes
