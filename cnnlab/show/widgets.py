"""`explore`：一个单元格的输出，有内核时是控件，静态书页里是预先画好的几帧。

不管画什么、算什么：由给出的函数决定。不从别处取任何脚本。
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable

import ipywidgets

from cnnlab.core.arguments import checked
from cnnlab.show.controls import menu
from cnnlab.show.panel import Panel


@checked
def explore(
    function: Callable,
    label: str | None = None,
    values=(),
    /,
    *,
    show: Callable[[object, dict], object] | None = None,
    number: Callable[[object, dict], object] | None = None,
    total: Callable[[dict], object] | None = None,
    frames=None,
    photo_size=224,
    **controls,
):
    """参数面板：`explore(occlusion_map, model=model, photo="duck", category="鹅", window=(16, 96, 8))`。

    每个控件是函数的一个参数：(低, 高[, 步[, 起点]]) 是滑块，列表或字典是菜单，真假是勾，文字是输入框；
    `photo=`、`style=`、`texture=` 是图（可上传自己的），`category=` 是类别，别的值原样传给函数。
    有 `model=` 时，`layer=[几个层名]` 的菜单写着感受野和形状，`channel=12` 是起始的通道，在激活图里点着换。
    给出 `settings=` 时，没有控件的各项和控件的起点都取自它。
    函数收 `on_step` 时有“运行”“停”和生长的图，否则图跟着控件走。`show(结果, 参数)` 画图，`number(结果, 参数)` 给出要说的数，
    `total(参数)` 是总步数。`frames` 是没有内核时画好的几帧：{控件: 几个值}（一两个，至多 12 张），或一次运行里取几个时刻。
    返回 Panel：`.widget` 是控件，`.code` 是写出同样结果的一行代码。

    `explore(draw, label, values, start=0, alt=None)` 是只有一个滑块的面板：每个值用 draw(value) 画一次，至多 12 个；
    draw 返回图或坐标轴，或画在当前图上。alt 是每个值的一句话：alt(value)，或与 values 一样长的列表。
    """
    if label is not None:
        return one_menu(function, label, list(values), **controls)
    return Panel(
        function, controls, show=show, number=number, total=total, frames=frames, size=photo_size
    )


def one_menu(draw, label: str, values: list, *, start: int = 0, alt=None) -> Panel:
    """一个滑块的面板：函数只挑出一个值，画图的是 draw。"""
    names = [*inspect.signature(draw).parameters]
    if not values or not names:
        raise ValueError(
            "一个滑块的面板写成 explore(draw, 名目, 一列值)：draw 收一个值，至少要有一个值"
        )
    if not 0 <= start < len(values):
        raise ValueError(f"start 是起始值的序号，要在 0 到 {len(values) - 1} 之间，得到 {start}")
    if not callable(alt) and alt is not None and len(alt) != len(values):
        raise ValueError(f"每个值都要有一句替代文字：值 {len(values)} 个，文字 {len(alt)} 个")
    words = alt if alt is None or callable(alt) else dict(zip(values, alt, strict=True)).get

    @functools.wraps(draw)
    def picked(**given):
        return given[names[0]]

    return explore(
        picked,
        show=lambda value, _: draw(value),
        number=words and (lambda value, _: words(value)),
        frames={names[0]: [str(value) for value in values]},
        **{names[0]: menu(values, values[start], label, kind=ipywidgets.SelectionSlider)},
    )
