"""画图：图格、胶片、热力图；返回坐标轴，从不悄悄改变数值的范围。

不管算法：收到的都是算好的张量。样式与排版在 figures；曲线、散点、条形在 charts，
表格与源码在 tables，都可以从这里导入。
"""

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from PIL import Image

from cnnlab.core.arguments import checked
from cnnlab.core.checks import describe as told
from cnnlab.core.measures import LUMA
from cnnlab.core.names import unknown
from cnnlab.show.charts import show_bars, show_curve, show_scatter
from cnnlab.show.figures import (
    BAR,
    LARGEST,
    TEXT,
    WIDTH,
    Panels,
    add_bar,
    describe,
    drawing,
    panel_grid,
    text_width,
    use_style,
    wrap_text,
)
from cnnlab.show.tables import show_source, show_table

__all__ = [
    "show_bars",
    "show_curve",
    "show_filmstrip",
    "show_grid",
    "show_map",
    "show_scatter",
    "show_source",
    "show_table",
    "use_style",
]

NAME = 0.85  # 英寸，左边行名的一行至多这么宽
SCALES = ("none", "each", "common", "symmetric", "symmetric_each", "bright", "signed")


@checked
@drawing
def show_grid(
    images,
    *,
    titles=None,
    columns: int | None = None,
    scale="none",
    row_labels=None,
    column_labels=None,
    size: float | None = None,
    cmap: str | None = None,
    colorbar: str | None = None,
    heading: str = "",
    caption: str = "",
    alt: str = "",
) -> Panels:
    """把图像排成一格格，返回每格的坐标轴（按行的列表，.figure 是整张图）。

    images：(N, 3, H, W)、(N, 1, H, W)、(N, H, W) 张量，或单张图的列表（(1, 3, H, W) 也算一张，None 留空），
    或由它们组成的各行的列表。值到颜色的对应由 scale 说明（可以一行一个）：
    "none" 原样，超出 [0, 1] 即报错；"each" 每张各自拉伸；"common" 所有图同一把尺；
    "symmetric" 以 0 为中灰、左右对称的同一把尺；"symmetric_each" 同上，每张各自一把；
    "bright" 0 为黑、每张各自的第 99 百分位为白；"signed" 每张红正蓝负、0 为白，
    左右对称到绝对值的第 99 百分位，不管 cmap。
    后两种只管单通道的图：同一行里的彩色照片原样。colorbar 是色条的名目，不给就没有色条。caption 是图下的图注，alt 是替代文字（不给就用图注）。
    """
    rows = _rows(images, columns)
    panels = _panels(rows, titles, column_labels, row_labels, size, colorbar is not None)
    shown = _paint(panels, rows, scale, cmap)
    if heading:
        panels.figure.suptitle(heading, y=1 + 0.04 / panels.figure.get_figheight(), va="bottom")
    if colorbar is not None:
        add_bar(panels, _one_scale(shown), colorbar)
    describe(panels.figure, caption, alt)
    return panels


@checked
def show_filmstrip(frames, labels, **options) -> Panels:
    """一次优化或训练留下的若干帧，自左至右按先后排成一行，每帧上方是它的标签。

    frames 与 labels 一样多；options 与 show_grid 的选项相同。
    """
    if len(frames) != len(labels):
        raise ValueError(f"帧与标签要一样多，现在是 {len(frames)} 帧、{len(labels)} 个标签")
    options.setdefault("columns", min(len(frames), 8))
    return show_grid(frames, titles=labels, **options)


@checked
@drawing
def show_map(
    image,
    heatmap,
    *,
    titles=None,
    label: str = "数值",
    limit: float | None = None,
    beside: bool = True,
    caption: str = "",
    alt: str = "",
) -> Panels:
    """把热力图叠在灰度照片上，右边是颜色条；返回各格的坐标轴。

    image：(N, 3, H, W)；heatmap：(N, h, w)，比图小时放大到图的大小。
    没有负值时由透明到深红，封顶于 limit（默认所有图的最大值）；有负值时红正蓝负，以 0 为中心。
    beside=True 时上一行是原图，下一行是叠图。caption 是图注，alt 是替代文字（不给就用图注）。
    """
    photos, maps = _rows(image, None)[0], [_picture(one) for one in _batch(heatmap)]
    if limit is not None and limit <= 0:
        raise ValueError(f"limit 是 {limit:g}，应大于 0")
    if len(photos) != len(maps):
        raise ValueError(f"图像有 {len(photos)} 张，热力图有 {len(maps)} 张：要一一对应")
    signed = min(float(one.min()) for one in maps) < 0
    top = limit or max(float(np.abs(one).max()) for one in maps) or 1.0
    overlays = [_overlay(*pair, top, signed) for pair in zip(photos, maps, strict=True)]
    rows = [photos, overlays] if beside else [overlays]
    if beside and len(photos) == 1:
        rows = [photos + overlays]
    panels = _panels(rows, titles, bar=True)
    _paint(panels, rows, "none", None)
    add_bar(panels, ScalarMappable(Normalize(-top if signed else 0, top), _tinted(signed)), label)
    describe(panels.figure, caption, alt)
    return panels


def _array(picture) -> np.ndarray:
    picture = getattr(picture, "image", picture)
    if hasattr(picture, "detach") and not picture.is_complex():
        return picture.detach().cpu().float().numpy()
    if hasattr(picture, "convert"):  # PIL
        return np.asarray(picture.convert("RGB"), dtype=np.float32).transpose(2, 0, 1) / 255
    array = np.asarray(picture)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"一张图要是张量、数组或 PIL 图像，得到 {told(picture)}")
    return array


def _rows(images, columns: int | None) -> list[list]:
    """整理成若干行 (H, W) 或 (H, W, 3) 的数组；空位是 None，各行一样长。"""
    items = images if isinstance(images, (list, tuple)) else _batch(images)
    if len(items) == 0:
        raise ValueError("没有图可画：images 是空的")
    if any(isinstance(one, (list, tuple)) or _is_batch(one) for one in items):
        rows = [
            [_picture(one) for one in (row if isinstance(row, (list, tuple)) else _batch(row))]
            for row in items
        ]
    else:
        flat = [_picture(one) for one in items]
        count = len(flat)
        columns = columns or (count if count <= 6 else -(-count // -(-count // 8)))
        rows = [flat[start : start + columns] for start in range(0, count, columns)]
    if not any(one is not None for row in rows for one in row):
        raise ValueError("没有图可画：images 是空的")
    longest = max(map(len, rows))
    return [row + [None] * (longest - len(row)) for row in rows]


def _is_batch(one) -> bool:
    shape = () if one is None else _array(one).shape
    return (len(shape) == 4 and shape[0] != 1) or (len(shape) == 3 and shape[0] not in (1, 3))


def _batch(images) -> list[np.ndarray]:
    """一批图逐张分开；单独的一张 (H, W) 也算一批。"""
    images = _array(images)
    return list(images if images.ndim > 2 else images[None])


def _picture(one) -> np.ndarray | None:
    """一张图变成 (H, W) 或 (H, W, 3)。"""
    if one is None:
        return None
    picture = _array(one)
    while picture.ndim > 2 and len(picture) == 1:
        picture = picture[0]
    if picture.ndim == 3 and len(picture) == 3:
        picture = picture.transpose(1, 2, 0)
    elif picture.ndim != 2:
        raise ValueError(f"一张图要是 (3, H, W) 或 (H, W)，得到 {picture.shape}")
    if not np.isfinite(picture).all():
        raise ValueError("图里有 NaN 或无穷大，画不出来")
    return picture


def _panels(rows, titles, column_labels=None, row_labels=None, size=None, bar=False) -> Panels:
    """rows 的图格，标题和行名已经写好：列少时不放大到失真，列多时恰好占满一栏。"""
    columns, names = len(rows[0]), [wrap_text(one, NAME, TEXT) for one in _texts(row_labels)]
    if len(names) > len(rows):
        raise ValueError(f"行名有 {len(names)} 个，图只有 {len(rows)} 行")
    longest = max((text_width(line) for name in names for line in name.split("\n")), default=0)
    left = longest * TEXT / 72 + 0.1 * bool(names)
    room = WIDTH - left - (BAR if bar else 0.0)
    width = min(size or LARGEST, room / columns - 0.08)
    tall = max(one.shape[0] / one.shape[1] for row in rows for one in row if one is not None)
    texts = _titles(titles, column_labels, rows, width)
    panels = panel_grid(len(rows), columns, (width, width * tall), texts, left=left, bar=bar)
    for row, name in enumerate(names):
        # 画在整张图上：这一行的第一格留空时，行名也在
        panels.figure.text(
            -0.1 / width, 0.5, name, fontsize=TEXT, ha="right", va="center", linespacing=1.3,
            transform=panels[row * columns].transAxes,
        )  # fmt: skip
    return panels


def _titles(titles, column_labels, rows, width: float) -> list[str]:
    """每格的标题，折好行；标题比图格多时报错。"""
    if titles is not None and column_labels is not None:
        raise ValueError("titles 与 column_labels 只给一个：后者只写在第一行上方")
    given = _texts(column_labels if titles is None else titles)
    columns = len(rows[0])
    if len(given) > len(rows) * columns or (column_labels is not None and len(given) != columns):
        raise ValueError(f"标题有 {len(given)} 个，图格是 {len(rows)} 行 {columns} 列")
    return [wrap_text(text, width, TEXT) for text in given]


def _texts(names) -> list[str]:
    """几个名字变成字：一个字符串算一个，None 是不写。"""
    if isinstance(names, str) or not np.iterable(names):
        names = [] if names is None else [names]
    plain = names.tolist() if hasattr(names, "tolist") else names
    return ["" if each is None else str(each) for each in plain]


def _paint(panels, rows, scale, cmap) -> list:
    """把每行的图画进图格；返回画出的图，供颜色条用。"""
    scales = list(scale) if isinstance(scale, list | tuple) else [scale] * len(rows)
    if cmap is not None and cmap not in colormaps:
        raise unknown("色标", cmap, colormaps)
    if len(scales) != len(rows) or any(each not in SCALES for each in scales):
        raise ValueError(f"scale 要是 {'、'.join(SCALES)} 之一，或每行一个；得到 {told(scale)}")
    shown, places = [], iter(panels)
    for row, kind in zip(rows, scales, strict=True):
        pool = [one for line in (rows if isinstance(scale, str) else [row]) for one in line]
        for picture, panel in zip(row, places, strict=False):
            if picture is None:
                panel.set_visible(False)
                continue
            low, high = _limits(picture, pool, kind)
            shown.append(_draw(panel, picture, low, high, None if kind == "signed" else cmap))
    return shown


def _limits(picture, pool, kind: str) -> tuple[float, float]:
    """这张图的哪个值画成最暗、哪个画成最亮。"""
    if kind not in ("common", "symmetric"):
        pool = [picture]
    among = [one for one in pool if one is not None]
    low, high = min(float(one.min()) for one in among), max(float(one.max()) for one in among)
    if kind == "none" or (kind in ("bright", "signed") and picture.ndim == 3):
        if low < -1e-3 or high > 1 + 1e-3:
            raise ValueError(
                f"图的值在 [{low:.3g}, {high:.3g}]，超出 [0, 1]：用 scale= 说明怎样对应到颜色，"
                "有 each、common、symmetric、symmetric_each，单通道的图还有 bright、signed"
            )
        return 0.0, 1.0
    if kind == "bright":
        return 0.0, float(np.quantile(picture, 0.99)) or high or 1.0
    if kind in ("each", "common"):
        return low, high if high > low else low + 1.0
    top = float(np.quantile(np.abs(picture), 0.99)) if kind == "signed" else 0.0
    top = top or max(abs(low), abs(high)) or 1.0
    return -top, top


def _draw(panel, picture, low: float, high: float, cmap):
    if picture.ndim == 3:
        return panel.imshow(np.clip((picture - low) / (high - low), 0, 1), aspect="equal")
    cmap = cmap or ("RdBu_r" if low == -high else "gray")
    return panel.imshow(picture, cmap=cmap, vmin=low, vmax=high, aspect="equal")


def _one_scale(shown: list):
    limits = {(one.norm.vmin, one.norm.vmax) for one in shown if one.get_array().ndim == 2}
    if len(limits) != 1:
        raise ValueError("颜色条只能给用同一把尺的单通道图：scale 用 none、common 或 symmetric")
    return next(one for one in shown if one.get_array().ndim == 2)


def _tinted(signed: bool, base: float = 0.82) -> LinearSegmentedColormap:
    """叠图用的颜色：0 处透明，越大越不透明；颜色条上的底色是浅灰。"""
    values = np.linspace(-1 if signed else 0, 1, 256)
    colors = base * np.ones((256, 3))
    return LinearSegmentedColormap.from_list("cnnlab", _blend(colors, values, signed), N=256)


def _blend(gray: np.ndarray, values: np.ndarray, signed: bool) -> np.ndarray:
    values = np.clip(values, -1, 1)
    tint = colormaps["RdBu_r"]((values + 1) / 2) if signed else colormaps["YlOrRd"](values)
    opacity = (0.9 * np.abs(values) ** 0.6)[..., None]
    return gray * (1 - opacity) + tint[..., :3] * opacity


def _overlay(photo: np.ndarray, heat: np.ndarray, top: float, signed: bool) -> np.ndarray:
    if not -1e-3 <= photo.min() <= photo.max() <= 1 + 1e-3:
        raise ValueError(f"image 的值要在 [0, 1]，得到 [{photo.min():.3g}, {photo.max():.3g}]")
    if heat.ndim != 2:
        raise ValueError(f"heatmap 要是 (N, h, w)，一张是 {heat.shape}")
    gray = photo @ np.array(LUMA) if photo.ndim == 3 else photo
    small = Image.fromarray((heat / top).astype(np.float32))
    heat = np.asarray(small.resize(gray.shape[::-1], Image.Resampling.BILINEAR))
    return np.clip(_blend(np.repeat(0.25 + 0.7 * gray[..., None], 3, axis=2), heat, signed), 0, 1)
