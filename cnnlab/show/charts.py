"""统计图：曲线、散点、条形；返回坐标轴，可以接着往上画。

不管数从哪里来；样式在 figures。
"""

import numpy as np
from matplotlib.ticker import MaxNLocator

from cnnlab.show.figures import CONTROL, PALETTE, WIDTH, QuietAxes, new_axes, use_style, wrap_text

MARKERS = "os^DvPX<*>"
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))


def show_curve(
    curves,
    *,
    x=None,
    xlabel: str = "步数",
    ylabel: str = "",
    title: str = "",
    log: bool = False,
    axes=None,
) -> QuietAxes:
    """一条或几条曲线；颜色之外还用线型区分。

    curves：一列数，或 {名字: 一列数}，或 {名字: (横坐标, 纵坐标)}；x 是公用的横坐标。
    log=True 时纵轴取对数。
    """
    axes = _axes(axes)
    named = curves if isinstance(curves, dict) else {"": curves}
    for order, (name, values) in enumerate(named.items()):
        pair = isinstance(values, tuple) and len(values) == 2
        across, up = values if pair else (x, values)
        up = _numbers(up)
        across = np.arange(len(up)) if across is None else _numbers(across)
        if len(across) != len(up):
            raise ValueError(f"曲线“{name}”的横坐标有 {len(across)} 个，纵坐标有 {len(up)} 个")
        axes.plot(across, up, label=name or None, linestyle=LINES[order % len(LINES)])
        if (across == across.round()).all():
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    axes.grid(axis="y")
    if log:
        axes.set_yscale("log")
    if any(named):
        axes.legend()
    return axes


def show_scatter(
    points,
    *,
    labels=None,
    values=None,
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
    size: float = 26,
    colorbar_label: str = "",
    axes=None,
) -> QuietAxes:
    """散点图；labels 分类着色并换形状（图例在外），values 按数值着色（带颜色条）。

    points：(N, 2)；labels 与 values 各 N 个，至多给一个。
    """
    axes, points = _axes(axes, height=4.6), np.asarray(_array(points), dtype=float)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"points 要是 (N, 2)，得到 {points.shape}")
    if labels is not None:
        labels = np.asarray(_array(labels))
        for order, name in enumerate(np.unique(labels)):
            color, marker = PALETTE[order % len(PALETTE)], MARKERS[order % len(MARKERS)]
            axes.scatter(*points[labels == name].T, s=size, c=color, marker=marker,
                         alpha=0.8, linewidths=0, label=str(name))  # fmt: skip
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), handletextpad=0.2)
    elif values is not None:
        dots = axes.scatter(*points.T, s=size, c=_numbers(values), cmap="viridis", linewidths=0)
        axes.figure.colorbar(dots, ax=axes, label=colorbar_label).outline.set_visible(False)
    else:
        axes.scatter(*points.T, s=size, alpha=0.7, linewidths=0)
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    return axes


def show_bars(
    names,
    values,
    control=None,
    *,
    value_label: str = "测得",
    control_label: str = "对照",
    errors=None,
    ylabel: str = "",
    title: str = "",
    number: str = "{:.2f}",
    axes=None,
) -> QuietAxes:
    """条形图：每个名字一组，测得的值旁边是灰色的对照，条上写数。

    values 与 control：与 names 一样多的数；values 也可以是 {系列名: 一列数}（这时不给 control）。
    errors 是 values 的误差（正负各半）；number 是条上数字的格式，空串则不写。
    """
    series = dict(values) if isinstance(values, dict) else {value_label: values}
    if control is not None:
        series[control_label] = control
    axes = _axes(axes, width=max(5.0, min(WIDTH, 1.2 + 0.62 * len(names) * len(series))))
    wide, across = 0.8 / len(series), np.arange(len(names))
    for order, (name, heights) in enumerate(series.items()):
        heights = _numbers(heights)
        if len(heights) != len(names):
            raise ValueError(f"“{name}”有 {len(heights)} 个数，名字有 {len(names)} 个")
        gray = control is not None and name == control_label
        spread = None if gray or errors is None else _numbers(errors)
        bars = axes.bar(across + (order - (len(series) - 1) / 2) * wide, heights, wide * 0.94,
                        yerr=spread, capsize=3, label=name,
                        color=CONTROL if gray else PALETTE[order % len(PALETTE)])  # fmt: skip
        texts = [number.format(height).replace("-", "−") for height in heights]
        axes.bar_label(bars, texts, fontsize=9.5, padding=2)
    room = WIDTH / (len(names) + 1)
    axes.set_xticks(across, [wrap_text(str(name), room, 11) for name in names])
    axes.set_ylabel(ylabel)
    axes.set_title(title, loc="left" if len(series) > 1 else "center")
    axes.margins(y=0.14)
    axes.axhline(0, color="#595959", linewidth=0.7)
    axes.grid(axis="y")
    if len(series) > 1:
        axes.legend(ncols=len(series), loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2)
    return axes


def _axes(axes, **shape) -> QuietAxes:
    use_style()
    return new_axes(**shape) if axes is None else axes


def _array(values) -> np.ndarray:
    return values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)


def _numbers(values) -> np.ndarray:
    if hasattr(values, "detach"):
        return _array(values).astype(float).ravel()
    return np.array([float(value) for value in values])
