"""层的菜单和通道的点选：每层旁边写着感受野和形状，一层的激活图就是选通道的按钮。

不管选来做什么；别的控件见 controls。
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import ipywidgets
import torch
from PIL import Image
from torch import nn

from cnnlab.chapters.activation_maps import activation_tiles
from cnnlab.chapters.patches import receptive_field
from cnnlab.core.hooks import activations_of, output_shapes
from cnnlab.show.frames import data_uri

SIDE, COLUMNS = 40, 16  # 一格的边长（像素）、一行几格
_numbers = itertools.count(1)

_RULES = """<style>
.{name} button {{ width: {side}px; height: {side}px; margin: 1px; padding: 0; color: transparent;
  background-image: url({sheet}); }}
.{name} button:hover, .{name} button.mod-active {{ color: transparent !important; }}
.{name} button.mod-active {{ box-shadow: 0 0 0 3px #D55E00 !important; z-index: 1; }}
.{name} button:focus-visible {{ outline: 3px solid #0072B2 !important; outline-offset: 2px; z-index: 2; }}
{places}</style>"""


def networks_of(given) -> list:
    """`model=` 给出的网络：一个网络，或菜单里的几个；不是网络时是空的。"""
    listed = given.values() if isinstance(given, dict) else given
    listed = listed if isinstance(given, dict | list) else [given]
    networks = [getattr(one, "value", one) for one in listed]
    return networks if all(isinstance(one, nn.Module) for one in networks) else []


@dataclass(frozen=True)
class Layers:
    """几层的形状与标签：`shapes` 是 {层名: 一张图的激活的形状}，`labels` 是 {层名: 菜单里的字}。"""

    shapes: dict[str, tuple]
    labels: dict[str, str]


def layers_of(given, names, size: int | tuple[int, int]) -> Layers | None:
    """一个网络（或同一种网络的几份）里各层的形状与标签；`size` 是图像的边长或 (高, 宽)。

    没有网络、几个网络的层不同，或名字不都是层名，是 None。
    """
    networks = networks_of(given)
    if not networks or not all(isinstance(name, str) for name in names):
        return None
    size = (size, size) if isinstance(size, int) else tuple(size)
    blank = torch.zeros(1, 3, *size)
    seen = [activations_of(network, blank, names) for network in networks]
    shapes = [{name: tuple(one[name].shape[1:]) for name in names} for one in seen]
    if any(one != shapes[0] for one in shapes):
        return None
    labels = {name: label_of(networks[0], name, shapes[0][name], min(size)) for name in names}
    return Layers(shapes[0], labels)


def spread_layers(network, size: int, most: int = 12) -> list[str]:
    """一个网络由浅到深的几层，输出是激活图（大于 1×1）；先取最外面的，不到四层再往里一级，太多就匀着取。"""
    shapes = output_shapes(network, torch.zeros(1, 3, size, size))
    maps = [name for name, shape in shapes.items() if len(shape) == 4 and min(shape[2:]) > 1]
    depths = sorted({name.count(".") for name in maps})
    for depth in depths:
        shown = [name for name in maps if name.count(".") <= depth]
        if len(shown) >= 4:
            break
    if not maps:
        raise ValueError("这个网络没有一层的输出是激活图 (N, C, h, w)，工作台看不进去")
    places = torch.linspace(0, len(shown) - 1, min(most, len(shown))).round().int().tolist()
    return [shown[place] for place in places]


def label_of(network, name: str, shape: tuple, size: int) -> str:
    """一层在菜单里的字：名字、感受野（像素）、形状；感受野算不出的层不写。"""
    written = "×".join(map(str, shape))
    return " · ".join(filter(None, [name, field_text(network, name, size), written]))


def field_text(network, name: str, size: int = 224) -> str:
    """一层的感受野（像素），写成几个字；算不出的层是空的。"""
    try:
        seen = receptive_field(network, name, image_size=size).size
    except ValueError:
        return ""
    sides = seen if isinstance(seen, tuple) else [seen]
    return "感受野 " + "×".join("全图" if one == math.inf else str(one) for one in sides)


class ChannelGrid:
    """选一个通道：打号码，或点那一层的激活图；`box` 是控件，`typed` 的 value 是通道号。"""

    def __init__(self, start: int, label: str, layer_of: Callable[[], str], layers: Layers):
        self.layer_of, self.layers = layer_of, layers
        self.typed = ipywidgets.BoundedIntText(
            min=0,
            max=max(start, 1),
            value=start,
            description=label,
            style={"description_width": "initial"},
            layout={"width": "9em"},
        )
        self.grid, self.buttons, self.shown = ipywidgets.VBox(), None, None
        self.grid.layout = {"max_height": "232px", "overflow": "auto"}
        self.fold = ipywidgets.Accordion([self.grid], selected_index=0, layout={"display": "none"})
        self.box = ipywidgets.VBox([self.typed, self.fold])
        self.typed.observe(self._follow, "value")
        self.limit()

    def limit(self, _=None) -> None:
        """换了层：号码不超过这一层的通道数。"""
        self.typed.max = self.layers.shapes[self.layer_of()][0] - 1

    def show(self, network, image, layer: str) -> None:
        """把一张图在这一层的激活图摆成按钮，每张各自从最暗到最亮。"""
        maps = activations_of(network, image.detach()[:1], layer)[layer][0].cpu().float()
        if maps.dim() == 1:
            maps = maps[:, None, None]
        self._set_buttons(activation_tiles(maps))
        self.fold.set_title(0, f"点一张激活图选通道（{layer}，{len(maps)} 张）")
        self.fold.layout.display = ""

    def _set_buttons(self, tiles) -> None:
        name = f"cnnlab-channels-{next(_numbers)}"
        self.buttons = ipywidgets.ToggleButtons(
            options=[(str(number), number) for number in range(len(tiles))],
            value=self.typed.value,
            tooltips=[f"通道 {number}" for number in range(len(tiles))],
        )
        self.buttons.add_class(name)
        self.buttons.observe(self._click, "value")
        self.grid.children = [ipywidgets.HTML(grid_style(name, tiles)), self.buttons]

    def _click(self, change) -> None:
        self.typed.value = change["new"]

    def _follow(self, change) -> None:
        if self.buttons is not None and change["new"] < len(self.buttons.options):
            self.buttons.value = change["new"]


def grid_style(name: str, tiles) -> str:
    """一张拼图分给各个按钮的样式表。"""
    rows = -(-len(tiles) // COLUMNS)
    sheet = Image.new("L", (COLUMNS * SIDE, rows * SIDE))
    places = []
    for number, tile in enumerate(tiles):
        left, top = number % COLUMNS * SIDE, number // COLUMNS * SIDE
        picture = Image.fromarray((tile * 255).byte().numpy())
        fewer = picture.width > SIDE
        how = Image.Resampling.BOX if fewer else Image.Resampling.NEAREST
        sheet.paste(picture.resize((SIDE, SIDE), how), (left, top))
        place = f"background-position: -{left}px -{top}px"
        places.append(f".{name} button:nth-child({number + 1}) {{ {place} }}\n")
    return _RULES.format(name=name, side=SIDE, sheet=data_uri(sheet), places="".join(places))
