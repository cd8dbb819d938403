"""面板的一次运行：结果、图、代码，以及怎样画它、怎样写出它的代码。

不管控件，也不管在哪里算。
"""

import dataclasses
import html
import re

from cnnlab.show.controls import ROLES


@dataclasses.dataclass
class Outcome:
    """一次运行：图、结果、代码、用了几秒、要说的数、有没有中途停下。"""

    picture: object
    result: object
    code: str
    seconds: float
    note: str
    stopped: bool = False


def default_settings(parameters):
    """`settings` 参数的默认值若是一个 dataclass 就是它；否则 None。"""
    default = getattr(parameters.get("settings"), "default", None)
    return default if dataclasses.is_dataclass(default) else None


def settings_of(settings) -> dict:
    """一个设置对象的各项和它们的值；没有设置对象时为空。"""
    if settings is None:
        return {}
    return {each.name: getattr(settings, each.name) for each in dataclasses.fields(settings)}


def settings_code(settings, pairs: dict) -> str:
    """写出一个设置对象的代码：只写与这种设置的默认值不同的项；`pairs` 是由控件读到的几项 {名: (值, 代码)}。"""
    written = []
    for each in dataclasses.fields(settings):
        value = getattr(settings, each.name)
        pair = pairs.get(each.name, (value, repr(value)))
        if not is_default(pair, each.default):
            written.append(f"{each.name}={pair[1]}")
    return f"{type(settings).__name__}({', '.join(written)})"


def is_default(pair: tuple, default) -> bool:
    """读到的 (值, 代码) 与默认值相同：简单的值比大小，别的比代码。"""
    value, code = pair
    if isinstance(value, bool | int | float | str) and isinstance(
        default, bool | int | float | str
    ):
        return value == default
    return code == repr(default)


def with_steps(code: str, steps: int) -> str:
    """中途停下之后，代码里的步数是真正做了的。"""
    changed = re.sub(r"\bsteps=\d+", f"steps={steps}", code)
    if changed != code or "steps=" in code:
        return changed
    return f"{code[:-1]}, steps={steps})"


def halted(code: str, steps: int) -> str:
    """中途停下、又没有参数能写明停在哪里的：代码旁说一声。"""
    return f"{code}  # 停在第 {steps} 步，这一行会全部算完"


def growing(image):
    """还没算完的图：图像原样，一张热图按自己的最大值画成灰度；放大到至少 224 像素。"""
    from PIL import Image

    from cnnlab.core.images import to_pil

    image = image.detach().cpu().float()
    if image.dim() == 3:
        heat = image[:1, None].clamp_min(0)
        image = (heat / heat.amax().clamp_min(1e-12)).expand(-1, 3, -1, -1)
    if image.shape[1] == 1:
        image = image.expand(-1, 3, -1, -1)
    picture = to_pil(image[:1].clamp(0, 1))
    factor = max(1, -(-224 // min(picture.size)))
    return picture.resize(
        (picture.width * factor, picture.height * factor), Image.Resampling.NEAREST
    )


def draw_result(show, result, arguments: dict):
    """画一次运行的结果：有 show 就由它画；否则图像画成一排，热图叠在照片旁，图形原样。"""
    if show is not None:
        return show(result, arguments)
    if hasattr(result, "savefig") or hasattr(result, "figure"):
        return result
    from cnnlab.show.plotting import show_grid, show_map

    value = getattr(result, "image", result)
    photo = next((arguments[name] for name in ROLES["photo"] if name in arguments), None)
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
