"""统计图：曲线、散点、条形；返回坐标轴，可以接着往上画。

不管数从哪里来；样式在 figures。
"""

import numpy as np
from matplotlib.ticker import MaxNLocator

from cnnlab.core.arguments import checked
from cnnlab.core.checks import describe as told
from cnnlab.show.figures import (
    CONTROL,
    PALETTE,
    TEXT,
    WIDTH,
    QuietAxes,
    describe,
    drawing,
    new_axes,
    text_width,
    wrap_text,
)

MARKERS = "os^DvPX<*>"
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))


@checked
@drawing
def show_curve(
    curves,
    *,
    x=None,
    xlabel: str = "步数",
    ylabel: str = "",
    title: str = "",
    log: bool = False,
    caption: str = "",
    alt: str = "",
    axes=None,
) -> QuietAxes:
    """一条或几条曲线；颜色之外还用线型区分。

    curves：一条曲线，或 {名字: 曲线}。曲线是一列数、(横坐标, 纵坐标) 或 {横坐标: 数}；
    横坐标可以是文字（如层名），x 是公用的横坐标。log=True 时纵轴取对数。
    caption 是图下的图注，alt 是替代文字（不给就用图注）。
    """
    named = curves if _is_named(curves) else {"": curves}
    axes = axes or new_axes()
    for order, (name, values) in enumerate(named.items()):
        across, up = _curve(values, x)
        if len(across) != len(up):
            raise ValueError(f"曲线“{name}”的横坐标有 {len(across)} 个，纵坐标有 {len(up)} 个")
        words = any(isinstance(each, str) for each in across)
        across = list(map(str, across)) if words else _numbers(across, "横坐标")
        axes.plot(across, up, label=name or None, linestyle=LINES[order % len(LINES)])
        if not words and (across == across.round()).all():
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    axes.grid(axis="y")
    if log:
        axes.set_yscale("log")
    if len(named) > 3:  # 条数多，图里放不下
        axes.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
    elif any(named):
        axes.legend()
    describe(axes.figure, caption, alt)
    return axes


def _is_named(curves) -> bool:
    """{名字: 曲线}，而不是一列数或一条 {横坐标: 数}。"""
    return isinstance(curves, dict) and not all(map(_is_number, curves.values()))


def _is_number(value) -> bool:
    return not isinstance(value, (dict, list, tuple)) and np.ndim(value) == 0


def _curve(values, x) -> tuple[list, np.ndarray]:
    """一条曲线的横坐标与纵坐标。"""
    if isinstance(values, dict):
        return list(values), _numbers(list(values.values()))
    across, up = values if isinstance(values, tuple) and len(values) == 2 else (x, values)
    up = _numbers(up)
    return list(range(len(up)) if across is None else across), up


@checked
@drawing
def show_scatter(
    points,
    *,
    labels=None,
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
    size: float = 26,
    caption: str = "",
    alt: str = "",
    axes=None,
) -> QuietAxes:
    """散点图；labels 分类着色并换形状（图例在外）。

    points：(N, 2)；labels：N 个。
    caption 是图注，alt 是替代文字（不给就用图注）。
    """
    given = _array(points)
    if given.ndim != 2 or given.shape[1] != 2 or given.dtype.kind not in "biuf":
        raise ValueError(f"points 要是 (N, 2) 的数，得到 {told(points)}")
    axes, points = axes or new_axes(height=4.6), given.astype(float)
    if labels is None:
        axes.scatter(*points.T, s=size, alpha=0.7, linewidths=0)
    else:
        labels = np.asarray(_array(labels))
        for order, name in enumerate(np.unique(labels)):
            color, marker = PALETTE[order % len(PALETTE)], MARKERS[order % len(MARKERS)]
            axes.scatter(*points[labels == name].T, s=size, c=color, marker=marker,
                         alpha=0.8, linewidths=0, label=str(name))  # fmt: skip
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), handletextpad=0.2)
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    describe(axes.figure, caption, alt)
    return axes


@checked
@drawing
def show_bars(
    names,
    values=None,
    control=None,
    *,
    value_label: str = "测得",
    control_label: str = "对照",
    errors=None,
    ylabel: str = "",
    title: str = "",
    number: str = "{:.2f}",
    caption: str = "",
    alt: str = "",
    axes=None,
) -> QuietAxes:
    """条形图：每个名字一组，测得的值旁边是灰色的对照，条上写数。

    names 是 {名字: 数}；或 {系列名: {名字: 数}}，几个系列并排；或一列名字，数另在 values 里
    （一样多的数，或 {系列名: 一列数}）。control 与 errors（values 的误差，正负各半）：{名字: 数}
    或一样多的数。number 是条上数字的格式，空串则不写；caption 是图注，alt 是替代文字（不给就用图注）。
    """
    names, series = _series(names, values, value_label)
    if not names:
        raise ValueError("没有条可画：names 是空的")
    if control is not None:
        series[control_label] = control
    axes = axes or new_axes(width=max(5.0, min(WIDTH, 1.1 + 0.55 * len(names) * len(series))))
    wide, across = 0.8 / len(series), np.arange(len(names))
    room = (axes.figure.get_figwidth() - 0.8) / len(names) - 0.1
    upright = False
    for order, (name, heights) in enumerate(series.items()):
        heights = _in_order(heights, names, name)
        gray = control is not None and name == control_label
        spread = None if gray or errors is None else _in_order(errors, names, "误差")
        bars = axes.bar(across + (order - (len(series) - 1) / 2) * wide, heights, wide * 0.94,
                        yerr=spread, capsize=3, label=name,
                        color=CONTROL if gray else PALETTE[order % len(PALETTE)])  # fmt: skip
        texts = [number.format(height).replace("-", "−") for height in heights]
        longest = max(map(text_width, texts)) * TEXT / 72
        upright |= longest > wide * (room + 0.1)
        axes.bar_label(bars, texts, padding=2, rotation=90 if upright else 0)
    axes.set_xticks(across, [wrap_text(str(name), room, TEXT) for name in names])
    axes.set_ylabel(ylabel)
    axes.set_title(title, loc="left" if len(series) > 1 else "center")
    axes.margins(y=0.24 if upright else 0.14)
    axes.axhline(0, color="#595959", linewidth=0.7)
    axes.grid(axis="y")
    if len(series) > 1:
        axes.legend(ncols=len(series), loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2)
    describe(axes.figure, caption, alt)
    return axes


def _series(names, values, label: str) -> tuple[list, dict]:
    """条形图的名字，与 {系列名: 各名字的数}。"""
    if not isinstance(names, dict):
        if values is None:
            raise ValueError("show_bars 要 {名字: 数}，或一列名字加 values")
        return list(names), dict(values) if isinstance(values, dict) else {label: values}
    if values is not None:
        raise ValueError("names 已经是 {名字: 数}，不必再给 values；对照写成 control=")
    if names and all(isinstance(each, dict) for each in names.values()):
        return list(next(iter(names.values()))), dict(names)
    return list(names), {label: names}


def _in_order(heights, names, series: str) -> np.ndarray:
    """一个系列的数，按名字的次序；缺了哪个、数目不对时说清楚。"""
    if isinstance(heights, dict):
        if set(heights) != set(names):
            raise ValueError(
                f"“{series}”的名字是 {'、'.join(map(str, heights))}，"
                f"与 {'、'.join(map(str, names))} 对不上"
            )
        heights = [heights[name] for name in names]
    heights = _numbers(heights, f"“{series}”")
    if len(heights) != len(names):
        raise ValueError(f"“{series}”有 {len(heights)} 个数，名字有 {len(names)} 个")
    return heights


def _array(values) -> np.ndarray:
    if hasattr(values, "detach"):
        return values.detach().cpu().numpy()
    try:
        return np.asarray(values)
    except ValueError:  # 各行不一样长
        return np.asarray(values, dtype=object)


def _numbers(values, name: str = "曲线") -> np.ndarray:
    """一列数，不空；不是数时说明。"""
    try:
        flat = _array(values).ravel() if hasattr(values, "detach") else values
        found = np.array([float(value) for value in flat])
    except (TypeError, ValueError):
        raise TypeError(f"{name}应是一列数，得到 {told(values)}") from None
    if len(found) == 0:
        raise ValueError(f"{name}是空的，至少要一个数")
    return found
