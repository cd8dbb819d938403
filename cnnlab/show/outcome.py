"""面板的一次运行：结果、图、代码，以及怎样画它、怎样写出它的代码。

不管控件，也不管在哪里算。
"""

import dataclasses
import html
import re

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin
from torch import Tensor

from cnnlab.core.checks import from_array
from cnnlab.core.images import save_image, to_pil
from cnnlab.core.values import describe
from cnnlab.show.controls import ROLES
from cnnlab.show.plotting import show_grid, show_map


@dataclasses.dataclass
class Outcome:
    """一次运行：图、结果、代码、用了几秒、要说的数、有没有中途停下。"""

    picture: object
    result: object
    code: str
    seconds: float
    note: str
    stopped: bool

    @property
    def words(self) -> str:
        """图旁边的那句话。"""
        took = f"{self.seconds:.1f} 秒" if self.seconds >= 0.05 else "不到 0.1 秒"
        stopped = "停在半途，这是到那时的图" * self.stopped
        return "；".join(filter(None, [self.note, took, stopped]))

    def save(self, path: str) -> None:
        """存成 PNG：合成的图连同全部设置，别的图连同那行代码。"""
        if hasattr(self.result, "settings"):
            save_image(self.result, path)
            return
        about = PngImagePlugin.PngInfo()
        about.add_itxt("cnnlab-code", self.code)
        self.picture.save(path, pnginfo=about)


def with_steps(code: str, steps: int) -> str:
    """中途停下之后，代码里的步数是真正做了的。"""
    changed, times = re.subn(r"\bsteps=\d+", f"steps={steps}", code)
    return changed if times else f"{code[:-1]}, steps={steps})"


def halted(code: str, steps: int) -> str:
    """中途停下、又没有参数能写明停在哪里的：代码旁说一声。"""
    return f"{code}  # 停在第 {steps} 步，这一行会全部算完"


def growing(image):
    """还没算完的图：图像原样，一张热图按自己的最大值画成灰度；放大到至少 224 像素。"""
    image = image.detach().cpu().float()
    if image.dim() == 3:
        heat = image[:1, None].clamp_min(0)
        image = heat / heat.amax().clamp_min(1e-12)
    if image.shape[1] == 1:
        image = image.expand(-1, 3, -1, -1)
    picture = to_pil(image[:1].clamp(0, 1))
    factor = max(1, -(-224 // min(picture.size)))
    return ImageOps.scale(picture, factor, Image.Resampling.NEAREST)


def tensor_of(value):
    """PIL 的图、numpy 的数组变成张量；(H, W, 3) 的数组是一张彩色的图。别的原样。"""
    if isinstance(value, Image.Image):
        value = np.asarray(value.convert("RGB"))
    if not isinstance(value, np.ndarray):
        return value
    if value.ndim == 3 and value.shape[2] == 3:
        value = value.transpose(2, 0, 1)[None] / (255 if value.dtype == np.uint8 else 1)
    return from_array(value)


def draw_result(show, result, arguments: dict):
    """画一次运行的结果：有 show 就由它画；否则图像画成一排，热图叠在照片旁，图形原样。"""
    if show is not None:
        return show(result, arguments)
    if hasattr(result, "figure"):
        return result
    value = tensor_of(getattr(result, "image", result))
    if not isinstance(value, Tensor) or value.dim() not in (2, 3, 4) or not value.numel():
        raise TypeError(
            f"函数给出的是 {describe(result)}，不知道怎样画；让它返回图像 (N, 3, H, W)、热图 (H, W)、图或坐标轴，"
            "或用 show=函数(结果, 参数) 自己画"
        )
    value = value if value.dim() > 2 else value[None]
    photo = next((arguments[name] for name in ROLES["photo"] if name in arguments), None)
    if value.dim() == 3 and len(value) == 3 and (photo is None or len(photo) != 3):
        value = value[None]  # 一张彩色的图 (3, H, W)，不是三张热图
    if value.dim() == 3 and photo is not None:
        return show_map(photo, value)
    if value.dim() != 4:
        return show_grid(list(value), scale="each")
    # 梯度有正有负，中灰是 0
    is_image = bool((value >= 0).all() and (value <= 1).all())
    return show_grid(list(value), scale="none" if is_image else "symmetric_each")


def imports_of(code: str) -> str:
    """那行代码要先导入的：其中的调用里属于 cnnlab 的名字；一个也没有时是空的。"""
    import cnnlab

    called = set(re.findall(r"(?<![\w.])([A-Za-z_]\w*)\(", code))
    known = sorted(name for name in called & set(dir(cnnlab)) if callable(getattr(cnnlab, name)))
    return f"from cnnlab import {', '.join(known)}" if known else ""


def code_tag(code: str) -> str:
    """写出同样结果的那行代码，上面小字是它要先导入的；一点就全选中。"""
    style = "user-select: all; white-space: pre-wrap"
    first = f'<div style="{style}; font: 0.8em monospace">{imports_of(code)}</div>'
    return f'{first}<code style="{style}">{html.escape(code)}</code>'
