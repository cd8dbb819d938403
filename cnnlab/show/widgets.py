"""滑块与面板：一个单元格的输出，有内核时是控件，静态书页里是预先画好的几帧。

不管画什么、算什么：由给出的函数决定。不从别处取任何脚本。
"""

import hashlib
import itertools

from cnnlab.show.frames import encode, one_size, picture_tag, render, static_page

MOST_FRAMES = 9
_numbers = itertools.count(1)


class Explorer:
    """一个菜单的 explore：frames 是每帧的文字、替代文字与图；显示时兼有控件与静态滑块。"""

    def __init__(self, label: str, frames: list[dict], size: tuple[int, int], start: int):
        self.label, self.frames, self.size, self.start = label, frames, size, start
        digest = hashlib.sha1((label + str(frames)).encode()).hexdigest()[:8]
        self.name = f"cnnlab-frames-{digest}-{next(_numbers)}"
        self._widget = None

    def __repr__(self) -> str:
        return f"滑块“{self.label}”：{'、'.join(frame['at'][self.label] for frame in self.frames)}"

    @property
    def widget(self):
        """ipywidgets 的滑块与图；第一次用到时才建。"""
        if self._widget is None:
            self._widget = _live(self.label, self.frames, self.start)
            self._widget.add_class(f"{self.name}-live")
        return self._widget

    def _repr_html_(self) -> str:
        return static_page(self.name, self.frames, self.size, self.start)

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
        return {
            "text/plain": repr(self),
            "text/html": self._repr_html_(),
            "application/vnd.jupyter.widget-view+json": view,
        }


def explore(
    function, label=None, values=None, /, *, show=None, number=None, total=None, frames=None,
    photo_size=224, **controls,
):  # fmt: skip
    """参数面板：`explore(occlusion_map, model=model, photo="duck", category="鹅", window=(16, 96, 8))`。

    每个控件是函数的一个参数：(低, 高[, 步[, 起点]]) 是滑块，列表或字典是菜单，真假是勾，文字是输入框；
    `photo=`、`style=`、`texture=` 是图（可上传自己的），`category=` 是类别，别的值原样传给函数。
    有 `model=` 时，`layer=[几个层名]` 的菜单写着感受野和形状，`channel=12` 是起始的通道，在激活图里点着换。
    给出 `settings=` 时，没有控件的各项和控件的起点都取自它。
    函数收 `on_step` 时有“运行”“停”和生长的图，否则图跟着控件走。`show(结果, 参数)` 画图，`number(结果, 参数)` 给出要说的数，
    `total(参数)` 是总步数。`frames` 是没有内核时画好的几帧：{控件: 几个值}（一两个，至多 12 张），或一次运行里取几个时刻。
    返回 Panel：`.widget` 是控件，`.code` 是写出同样结果的一行代码。

    旧的写法 `explore(draw, label, values, start=0, alt=None)` 是一个菜单：每个值用 draw(value) 画一次，至多 9 个。
    """
    if label is not None:
        return menu_of_pictures(function, label, values, **controls)
    from cnnlab.show.panel import Panel

    options = {"show": show, "number": number, "total": total, "frames": frames}
    return Panel(function, controls, size=photo_size, **options)


def menu_of_pictures(draw, label: str, values, *, start: int = 0, alt=None) -> Explorer:
    """用滑块在 values 中选一个值，看 draw(value) 画出的图；每个值只画一次。

    draw 用 matplotlib 画图，返回图或坐标轴，或画在当前图上；不要调用 plt.show。
    values：2 到 9 个文字或数；start 是起始的序号；
    alt 是每帧的替代文字：alt(value) 或与 values 一样长的列表，默认“label：值”。
    """
    values = list(values)
    if not 2 <= len(values) <= MOST_FRAMES:
        raise ValueError(
            f"滑块要有 2 到 {MOST_FRAMES} 个值，得到 {len(values)} 个：挑出最说明问题的几个"
        )
    if not 0 <= start < len(values):
        raise ValueError(f"start 是起始值的序号，要在 0 到 {len(values) - 1} 之间，得到 {start}")
    texts = [str(value) for value in values]
    alts = _alts(alt, label, values, texts)
    sources, size = encode(one_size([render(draw, value) for value in values]))
    frames = [
        {"at": {label: text}, "alt": words, "source": source}
        for text, words, source in zip(texts, alts, sources, strict=True)
    ]
    return Explorer(label, frames, size, start)


def _alts(alt, label: str, values: list, texts: list[str]) -> list[str]:
    if alt is None:
        return [f"{label}：{text}" for text in texts]
    words = [str(alt(value)) for value in values] if callable(alt) else [str(one) for one in alt]
    if len(words) != len(values) or not all(words):
        raise ValueError(f"每个值都要有一句替代文字：值 {len(values)} 个，文字 {len(words)} 个")
    return words


def _live(label: str, frames: list[dict], start: int):
    """有内核时的控件：滑块换图，图仍是预先画好的那几帧。"""
    import ipywidgets

    slider = ipywidgets.SelectionSlider(
        options=[(frame["at"][label], order) for order, frame in enumerate(frames)],
        value=start,
        description=label,
        style={"description_width": "initial"},
        layout={"width": "auto", "max_width": "34em"},
    )
    first = frames[start]
    picture = ipywidgets.HTML(picture_tag(first["source"], first["alt"]))

    def show(change) -> None:
        frame = frames[change["new"]]
        picture.value = picture_tag(frame["source"], frame["alt"])

    slider.observe(show, names="value")
    return ipywidgets.VBox([slider, picture])
