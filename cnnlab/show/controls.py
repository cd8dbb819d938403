"""explore 的控件：interact 的简写，加照片（可上传）、类别；层的菜单和通道的点选见 layers。

每种控件是一个 Control：ipywidgets 的控件，和怎样读它（给出参数的值和写它的代码）。不管读来做什么。
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ipywidgets
from torch import nn
from traitlets import TraitError

from cnnlab.core.checks import describe
from cnnlab.core.images import load_image
from cnnlab.networks.categories import Categories, imagenet_categories
from cnnlab.pictures.drawn_styles import STYLES
from cnnlab.pictures.drawn_textures import TEXTURES
from cnnlab.show.layers import ChannelGrid, Layers, layers_of, networks_of

PHOTOS = "duck panda dog koala red_panda scarlet_macaw lemur polar_bear hedgehog bison cat petra"
# 控件名 -> 它可以充当的参数名，和控件旁的字
ROLES = {
    "photo": ("image", "content", "photo"),
    "style": ("styles", "style"),
    "texture": ("sample",),
    "category": ("target", "category"),
}
LABELS = {
    "photo": "照片",
    "style": "风格",
    "texture": "纹理",
    "category": "类别",
    "model": "网络",
    "layer": "层",
    "layers": "各层",
    "channel": "通道",
    "channels": "通道",
    "window": "窗",
    "stride": "步幅",
    "fill": "填充",
    "output": "看哪个数",
    "steps": "步数",
    "size": "边长",
    "seed": "种子",
    "octaves": "几层尺度",
    "perplexity": "困惑度",
    "k": "几个",
    "metric": "距离",
    "parameterization": "表示",
    "learning_rate": "步长",
    "reduce": "合并通道",
    "blur": "模糊",
    "l2_weight": "L2",
    "tv": "全变差",
    "jitter_pixels": "抖动",
    "crop": "取景",
    "natural": "照片先验",
    "position": "位置",
    "rule": "规则",
    "scales": "几种尺寸",
    "style_size": "风格图的大小",
    "style_weight": "风格的权重",
    "content_weight": "内容的权重",
    "preserve_color": "保留颜色",
    "upsample": "放大",
    "start": "起点",
    "step_size": "步长",
    "guide": "引导图",
    "images": "照片",
    "facets": "几簇",
    "nearest": "几张取平均",
    "method": "方法",
    "rounds": "几次取平均",
    "one": "第一种",
    "two": "第二种",
    "share": "第二种的份额",
    "way": "混法",
    "angle": "角度（度）",
    "period": "周期（像素）",
    "mix": "条纹占几分",
    "side": "缩到几像素",
    "grey": "去掉颜色",
    "points": "几张照片",
    "source": "用什么降维",
    "linear": "ReLU 当作恒等",
}
WIDE = {"description_width": "initial"}


@dataclass(frozen=True)
class Choice:
    """explore 菜单里的一项：值，和写它的代码，如 `Choice(twin, "randomized_copy(load_model())")`。"""

    value: object
    code: str


@dataclass(frozen=True)
class Control:
    """一个控件：`box` 画出来（None 是不变的参数），`watched` 的 value 变了就是动了，`read` 给出 (值, 代码)。

    `names` 是菜单各项的短名字：标签里还写着别的（层的感受野和形状）时，`put` 也认它；`grid` 是点选通道的激活图；
    `content` 是上传的内容的散列，代码相同、内容不同的两次靠它分开；`store` 把上传的文件存到硬盘上，代码才读得到它。
    """

    box: ipywidgets.Widget | None
    watched: ipywidgets.Widget | None
    read: Callable[[], tuple[object, str]]
    names: tuple[str, ...] = ()
    grid: ChannelGrid | None = None
    content: Callable[[], str] = str
    store: Callable[[], str] = str

    def put(self, value) -> str:
        """拨到一个值，返回写在静态滑块旁的文字；菜单按名字、标签或序号。"""
        options = getattr(self.watched, "options", ())
        texts = [one[0] for one in options if isinstance(one, tuple)]
        place = next(
            (each.index(str(value)) for each in (self.names, texts) if str(value) in each), value
        )
        try:
            self.watched.value = place
        except TraitError:
            known = "、".join(map(str, self.names or texts or options)) or "别的值"
            raise ValueError(
                f"{self.watched.description}没有 {value!r} 这一项；可用 {known}"
            ) from None
        return texts[place] if texts else str(self.watched.value)


def make_controls(controls: dict, defaults: Callable, size: int) -> dict[str, Control]:
    """{名字: 控件}。有 `model=` 时，层的菜单写着感受野和形状，`channel=12` 是起始的通道，从激活图里点。"""
    names = controls.get("layer")
    layers = None
    if isinstance(names, list) and "model" in controls:
        layers = layers_of(controls["model"], names, size)
    made = {}
    for name in sorted(controls, key=lambda name: name == "channel"):  # 通道要知道层，排在最后
        given = controls[name]
        if layers and name == "layer":
            by_label = {layers.labels[one]: one for one in given}
            made[name] = menu(by_label, defaults(name), LABELS[name], names=tuple(given))
        elif layers and name == "channel" and type(given) is int:
            made[name] = channel_control(given, made["layer"], layers)
        elif name == "category" and not isinstance(given, list | dict | Control):
            made[name] = category_control(given, LABELS[name], categories_of(controls))
        else:
            made[name] = make_control(name, given, defaults(name), size)
    return {name: made[name] for name in controls}


def channel_control(start: int, layer: Control, layers: Layers) -> Control:
    """通道：打号码，或点激活图。"""
    grid = ChannelGrid(start, LABELS["channel"], lambda: layer.read()[0], layers)
    layer.watched.observe(grid.limit, "value")
    return dataclasses.replace(plain(grid.typed), box=grid.box, grid=grid)


def make_control(name: str, given, default, size: int) -> Control:
    """一个简写变成控件：(低, 高[, 步[, 起点]]) 是滑块，列表或字典是菜单，真假是勾，文字是输入框。

    `photo=`、`style=`、`texture=` 是图（名字的列表，或起始的名字），`category=` 是起始的类。
    别的值（网络、张量、单个的数、一个 Choice）原样传给函数，没有控件。
    """
    label = LABELS.get(name, name)
    if isinstance(given, Control):
        return given
    if name in ("photo", "style", "texture") and not isinstance(given, dict):
        return picture_control(name, given, size, label)
    if isinstance(given, ipywidgets.Widget):
        return plain(given)
    if isinstance(given, bool):
        return plain(ipywidgets.Checkbox(value=given, description=label, indent=False))
    if isinstance(given, str):
        return plain(ipywidgets.Text(value=given, description=label, continuous_update=False))
    if isinstance(given, tuple):
        return plain(slider(given, default, label))
    if isinstance(given, list | dict):
        return menu(given, default, label)
    pair = fixed(given)
    return Control(None, None, lambda: pair)


def fixed(given) -> tuple[object, str]:
    """一个值，和写它的代码。"""
    picked = given if isinstance(given, Choice) else Choice(given, code_of(given))
    # 网络用面板自己的一份：钩子登记在网络上，别的线程里的前向不该碰到
    own = copy.deepcopy(picked.value) if isinstance(picked.value, nn.Module) else picked.value
    return own, picked.code


def is_default(pair: tuple[object, str], default) -> bool:
    """读到的 (值, 代码) 与默认值相同：简单的值比大小，别的比代码。"""
    value, code = pair
    return (
        value == default if isinstance(value, bool | int | float | str) else code == repr(default)
    )


def plain(box: ipywidgets.Widget) -> Control:
    """值就是参数的控件；小数去掉舍入误差的尾巴。"""
    box.style = WIDE

    def read() -> tuple[object, str]:
        value = on_grid(box.value, box.step) if isinstance(box.value, float) else box.value
        return value, repr(value)

    return Control(box, box, read)


def on_grid(value, step):
    """去掉舍入误差的尾巴：0.2 的三倍写成 0.6。"""
    return round(value, 9 - math.floor(math.log10(step)))


def slider(bounds: tuple, default, label: str) -> ipywidgets.Widget:
    """(低, 高[, 步[, 起点]])：全是整数得整数滑块；不写起点就从参数的默认值起步，默认值不是数时从正中。"""
    if len(bounds) not in (2, 3, 4) or not all(isinstance(one, int | float) for one in bounds):
        raise ValueError(
            f"{label}：滑块写成 (低, 高)、(低, 高, 步) 或 (低, 高, 步, 起点)，得到 {describe(bounds)}"
        )
    whole = all(isinstance(one, int) for one in bounds)
    low, high, step = (*bounds, 1 if whole else (bounds[1] - bounds[0]) / 20)[:3]
    if not (low < high and 0 < step <= high - low < math.inf):
        raise ValueError(
            f"{label}：滑块的低要小于高，步要大于 0、不超过两者之差，得到 {describe(bounds)}"
        )
    if len(bounds) == 4 and not low <= bounds[3] <= high:
        raise ValueError(f"{label}：滑块的起点 {bounds[3]} 不在 {low} 与 {high} 之间")
    default = bounds[3] if len(bounds) == 4 else default
    known = isinstance(default, int | float)
    start = min(max(default, low), high) if known else (low + high) / 2
    # 不在格子上的值，滑块一碰就自己改掉
    start = on_grid(low + round((start - low) / step) * step, step)
    kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
    options = {} if whole else {"readout_format": ".3g"}
    return kind(min=low, max=high, step=step, value=start, description=label, **options)


def menu(
    given: list | dict, default, label: str, names: tuple = (), kind=ipywidgets.Dropdown
) -> Control:
    """列表的各项是值；字典是 {文字: 值}；值可以是 Choice。默认值在里面就从它起步，否则从第一项。"""
    pairs = given.items() if isinstance(given, dict) else [(str(one), one) for one in given]
    items = [fixed(value) for _, value in pairs]
    if not items:
        raise ValueError(f"{label}：菜单里至少要有一项")
    start = next((at for at, item in enumerate(items) if is_default(item, default)), 0)
    options = [(text, number) for number, (text, _) in enumerate(pairs)]
    box = kind(options=options, value=start, description=label, style=WIDE)
    return Control(box, box, lambda: items[box.value], names)


def categories_of(controls: dict) -> Categories | None:
    """面板里的网络的类别名；没有网络时是 ImageNet 的，网络没有类别名时是 None。"""
    for network in networks_of(controls.get("model")):
        names = getattr(network, "categories", None)
        return names if names is None or isinstance(names, Categories) else Categories(names)
    return imagenet_categories()


def category_control(start: str | int, label: str, names: Categories | None) -> Control:
    """一个类：用中文或英文打几个字来找，没有这个名字时一句话列出相近的；没有类别名的网络打类别号。"""
    if names is None:
        if isinstance(start, str):
            raise ValueError(
                f"这个网络没有类别名，不知道 {start!r} 是哪一类；写类别号，如 category=0，"
                "或在 wrap_model(…, categories=[…]) 里给出名字"
            )
        return plain(ipywidgets.BoundedIntText(value=start, max=10**6, description=label))
    box = ipywidgets.Combobox(
        options=[names.label(index) for index in range(len(names))],
        value=names.label(start if isinstance(start, int) else names.index_of(start)),
        description=label,
        continuous_update=False,
        style=WIDE,
    )

    def read():
        found = names[names.index_of(box.value)]
        return found, repr(found)

    return Control(box, box, read)


def picture_control(name: str, given, size: int, label: str) -> Control:
    """图的菜单和一个上传按钮；上传的排在菜单最前，用文件名写进代码。"""
    maker, known = picture_source(name)
    listed = given if isinstance(given, list | tuple) else [given, *known]
    names = list(dict.fromkeys(listed))
    box = ipywidgets.Dropdown(options=names, description=label, style=WIDE)
    button = ipywidgets.FileUpload(accept="image/*", multiple=False, description="用我的图")
    own = {}

    def arrive(change):
        file, data = uploaded(change["new"])
        own.clear()
        own.update(name=file, data=data, content=hashlib.sha1(data).hexdigest())
        box.options = [f"⬆ {file}", *names]
        # 同名的新文件：菜单的值没有变，也要重算
        event = {"name": "value", "old": None, "new": box.options[0], "type": "change"}
        before, box.value = box.value, box.options[0]
        if before == box.value:
            box.notify_change({**event, "owner": box})

    def read():
        if not box.value.startswith("⬆ "):
            function = getattr(__import__("cnnlab"), maker)
            return function(box.value, size), f"{maker}({box.value!r}, {size})"
        if "image" not in own:
            own["image"] = read_upload(own["name"], own["data"], size)
        return own["image"], f"load_image({own['name']!r}, {size})"

    def store() -> str:
        return store_upload(**own) if box.value.startswith("⬆ ") else ""

    button.observe(arrive, "value")
    row = ipywidgets.HBox([box, button], layout={"flex_flow": "row wrap"})
    return Control(row, box, read, content=lambda: own.get("content", ""), store=store)


def picture_source(name: str) -> tuple[str, list[str]]:
    """一种图由哪个函数给出，有哪些名字。"""
    if name == "photo":
        return "photo", PHOTOS.split()
    if name == "style":
        return "style_image", list(STYLES)
    return "texture_image", list(TEXTURES)


def read_upload(name: str, data: bytes, size: int):
    """上传的文件变成图像，与从硬盘读它一样；读不出时说清楚。"""
    file = io.BytesIO(data)
    file.name = name
    return load_image(file, size)


def store_upload(name: str, data: bytes, **_) -> str:
    """上传的文件存在笔记本旁边，返回一句话；那里已有同名的另一个文件就不动它。"""
    path = Path(name)
    if not path.exists():
        path.write_bytes(data)
    if path.read_bytes() == data:
        return f"，照片存成 {path}，那行代码从这里读它"
    return f"，照片没有存：这里已有另一个 {path}，那行代码读到的是它；给照片换个名字再传"


def uploaded(value) -> tuple[str, bytes]:
    """FileUpload 的值：ipywidgets 7 里是 {文件名: {content}}，8 里是一组 {name, content}。"""
    if isinstance(value, dict):
        name, file = list(value.items())[-1]
    else:
        name, file = value[-1]["name"], value[-1]
    return Path(name).name, bytes(file["content"])


def code_of(value) -> str:
    """写出一个参数的代码；load_model 取来的网络写成 load_model(...)，自己的写它的变量名。"""
    if not isinstance(value, nn.Module):
        return repr(value)
    if not getattr(value, "from_zoo", False):
        return variable_of(value)
    name = value.network_name
    return "load_model()" if name == "squeezenet1_1" else f"load_model({name!r})"


def variable_of(value) -> str:
    """笔记本里哪个变量是它；找不到时是 model。"""
    from IPython import get_ipython

    known = getattr(get_ipython(), "user_ns", {})
    own = (name for name, one in known.items() if one is value and not name.startswith("_"))
    return next(own, "model")
