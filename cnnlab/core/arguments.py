"""站在公开函数前面的一个装饰器：核对每个参数，函数体里只剩算法。

类型由签名里的注解定，范围由参数的名字定（同一个名字在全书是一个意思），张量的形状写在装饰器里，如
`@checked(query="N D", gallery="M D")`：同一个字母在各参数里要一样长，大写的在一个参数里也是。不管参数拿去做什么。
"""

import functools
import inspect
import math
import os
import sysconfig
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from cnnlab.core.checks import (
    LARGEST_SIZE,
    check_images,
    check_size,
    finite_ends,
    is_chinese,
    two_wholes,
    whole,
)
from cnnlab.core.names import unknown
from cnnlab.core.values import (
    LARGEST,
    as_tensor,
    describe,
    groups,
    is_number,
    number,
    one_of,
    several,
    taking,
)

# 一个名字的数最小、最大能是多少；不在这里的只要有限
_FROM_ONE = """k n window stride samples rounds octaves frames views phases angles side length every history
    cell facets nearest save_every scales code_size channels n_styles milliseconds count columns cool_down"""
_FROM_ZERO = """steps seconds gap blocks pixels jitter_pixels margin view baseline noise sigma tv
    l2_weight content_weight code_l2 style_weight code_noise natural sd spread cutoff"""
_ABOVE_ZERO = "learning_rate step period power radius width octave_scale zoom first_step"
RANGES = {
    **dict.fromkeys(_FROM_ONE.split(), (1,)),
    **dict.fromkeys(_FROM_ZERO.split(), (0,)),
    **dict.fromkeys(_ABOVE_ZERO.split(), (1e-12,)),
    **dict.fromkeys(["share", "foreground", "background", "crop"], (0, 1)),
    "size": (0.2, LARGEST_SIZE),  # 图格可以小到五分之一英寸；整数的边长向上取到 1
    "percentile": (0, 99.9),
    "smallest": (1e-12, 1),
    "grey_levels": (0, 255),
    "seed": (0, 2**63 - 1),
    "batch_size": (1, 2**20),
    "digits": (0, 30),
}
# 没有注解时，名字说明它该是什么
KINDS = {
    **dict.fromkeys(["seed", "steps", "octaves", "jitter_pixels", "scales", "rounds"], int),
    **dict.fromkeys(["learning_rate", "decay", "tv", "l2_weight", "keep", "natural"], float),
    **dict.fromkeys(["octave_scale", "step_size", "content_weight", "style_weight"], float),
    **dict.fromkeys(["code_l2", "spread", "radius", "sd"], float),
    **dict.fromkeys(["content", "sample"], Tensor),
    **dict.fromkeys(["nearest", "facets"], int),
    **dict.fromkeys(["path", "folder"], os.PathLike),
    "layer": str,
    "parameterization": str,
    "model": nn.Module,
    "on_step": Callable[[object], object],
}
# 这些名字是图像：整数的要先除以 255，不替读者猜
IMAGES = {"image", "images", "content", "sample", "style", "original", "before", "after"}
IMAGES |= {"starts", "photos"}

_LIBRARIES = [sysconfig.get_path(kind) for kind in ("stdlib", "purelib", "platlib")]
_OWN = [str(Path(__file__).resolve().parents[1]), "<frozen", "<__array_function__", *_LIBRARIES]
_KNOWN = {"builtins", "torch", "numpy", "sklearn", "scipy", "cv2", "PIL", "skimage", "matplotlib"}
_KNOWN |= {"_io", "safetensors", "json", "zlib", "struct"}


def checked(function=None, /, **shapes):
    """装饰器：参数不合，一句中文说出是哪个、应是什么；能用的（numpy 的数、列表、半精度）换成算法收的样子。

    `shapes` 是张量的形状，如 x="N D"、activation="C h w | N C h w"；也可以是核对的函数 (值, 名字) → 值。
    参数都合、算到一半库里出的错，也换成一句中文，原来的错接在后面；读者自己的函数抛出的错原样放过。
    """
    if function is None:
        return functools.partial(checked, **shapes)
    if inspect.isclass(function):
        function.__init__ = checked(function.__init__, **shapes)
        return function
    signature = inspect.signature(function)
    rules = functools.cache(lambda: _rules(function, signature, shapes))

    @functools.wraps(function)
    def run(*arguments, **options):
        if torch.compiler.is_compiling() or torch._C._functorch.peek_interpreter_stack():
            # torch.compile、vmap 之内的张量没有数可看
            return function(*arguments, **options)
        if torch.is_inference_mode_enabled():
            # 求梯度要出推断模式；给的图换成能求梯度的副本（见 _tensor）
            with torch.inference_mode(False):
                return run(*arguments, **options)
        if torch.empty(0).device.type != "cpu":
            # 读者用 torch.set_default_device 换过默认设备：照片和结果仍在 CPU 上，随机数也由 CPU 抽
            with torch.device("cpu"):
                return run(*arguments, **options)
        bound = _bind(function, signature, arguments, options)
        _check_each(bound.arguments, rules(), signature)
        gradients = torch.is_grad_enabled()
        try:
            return function(*bound.args, **bound.kwargs)
        except Exception as error:
            told = _told(error, function, bound.arguments, shapes)
            if told is None:
                raise
            raise told from told.__cause__
        finally:
            # Ctrl-C 会落在 torch.no_grad 进出的半路上：模式已经换了，却没有人换回来
            if torch.is_grad_enabled() != gradients:
                torch.set_grad_enabled(gradients)

    run.is_checked = True
    return run


def _bind(function, signature, arguments, options):
    try:
        return signature.bind(*arguments, **options)
    except TypeError as error:
        names = [name for name in signature.parameters if name != "self"]
        for name in options.keys() - signature.parameters.keys():
            raise _unknown_argument(function, signature, name, names) from None
        usage = f"{_name(function)}({'、'.join(names)})"
        raise TypeError(f"参数给得不对（{error}）；{usage}") from None


def _check_each(arguments: dict, rules: dict, signature) -> None:
    """给了的参数各自核对，换成算法收的样子；默认值不必。"""
    # 形状里的小写名字可以是对象自己的一个数：code="N code_size"
    owner = arguments.get("self")
    known = {
        key: (f"{type(owner).__name__}.{key}", number)
        for key, number in getattr(owner, "__dict__", {}).items()
        if isinstance(number, int)
    }
    for name, value in arguments.items():
        rule = rules.get(name)
        if value is signature.parameters[name].default:
            continue
        if isinstance(rule, str):
            arguments[name] = _tensor(value, name, known, rule)
        elif rule is not None:
            arguments[name] = rule(value, name)


def _unknown_argument(function, signature, name: str, names: list[str]) -> ValueError:
    """没有这个参数；它（或与它最像的）是 settings 里的一项时，说怎样写。"""
    settings = getattr(signature.parameters.get("settings"), "default", None)
    inside = [each.name for each in fields(settings)] if is_dataclass(settings) else []
    near = name if name in inside else next(iter(get_close_matches(name, [*names, *inside])), None)
    if near not in inside:
        return unknown(f"参数（{_name(function)}）", name, names)
    kind = type(settings).__name__
    return ValueError(
        f"{_name(function)} 没有参数 {name!r}；{near} 写在 settings 里：settings={kind}({near}=…)"
    )


def _name(function) -> str:
    return function.__qualname__.removesuffix(".__init__")


def _rules(function, signature, shapes) -> dict[str, str | Callable | None]:
    """{参数名: 张量的形状，或核对的函数 (值, 名字) → 值；None 是不核对}。"""
    hints = typing.get_type_hints(function)
    return {
        name: shapes.get(name)
        or _by_kind(_each(hints.get(name), parameter), name)
        or _by_default(parameter.default)
        for name, parameter in signature.parameters.items()
        if parameter.kind != parameter.VAR_KEYWORD
    }


def _each(hint, parameter):
    """*tensors: Tensor 收到的是一组张量。"""
    return Sequence[hint] if hint and parameter.kind == parameter.VAR_POSITIONAL else hint


def _by_kind(hint, name: str) -> str | Callable | None:
    """由注解（没有就由名字）定的核对；几种都行的不核对。"""
    members = _members(hint)
    optional = type(None) in typing.get_args(hint)
    kind = members[0] if len(members) == 1 else KINDS.get(name) if hint is None else None
    parts, kind = typing.get_args(kind), typing.get_origin(kind) or kind
    low, high = (*RANGES.get(name, ()), None, None)[:2]
    if name == "size" and kind not in (int, float):
        check = check_size
    elif kind is int:
        check = functools.partial(whole, least=low and math.ceil(low), most=high)
    elif kind is float:
        check = functools.partial(number, least=low, most=high)
    elif kind is Tensor:
        return "N C H W" if name in IMAGES else "..."
    elif kind is tuple and parts == (int, int):
        check = two_wholes
    elif kind in (list, Sequence) and parts and name not in ("labels", "categories"):
        check = functools.partial(several, kind=parts[0])
    elif kind is Callable and parts and parts[0] is not ...:
        check = functools.partial(taking, count=len(parts[0]))
    elif kind is bool or (isinstance(kind, type) and kind not in (object, tuple, list, Sequence)):
        check = functools.partial(_instance, kind=kind)
    elif kind is typing.Literal:
        choices = (*typing.get_args(members[0]), *[None] * optional)
        check = functools.partial(one_of, choices=choices)
    else:
        return None
    return lambda value, name: None if value is None and optional else check(value, name)


def _members(hint) -> list:
    """注解里的几种类型，不算 None。"""
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    members = typing.get_args(hint) if union else (hint,)
    return [each for each in members if each not in (None, type(None))]


def _by_default(default) -> Callable | None:
    """没有注解时，默认值说明它该是什么：一组设置、几个数、几组数；别的不核对。"""
    if is_dataclass(default):
        return functools.partial(_instance, kind=type(default))
    if not isinstance(default, tuple) or not default:
        return None
    if isinstance(default[0], tuple):
        return functools.partial(groups, length=len(default[0]))
    return functools.partial(several, kind=float) if all(map(is_number, default)) else None


_NAMES = {
    str: "字符串",
    Callable: "函数",
    bool: " True 或 False",
    os.PathLike: "文件名",
    dict: "字典",
}
_ALSO = {bool: (np.bool_, int), os.PathLike: (str,), np.ndarray: ()}


def _instance(value, name: str, kind):
    good = callable(value) if kind is Callable else isinstance(value, (kind, *_ALSO.get(kind, ())))
    if kind is bool and good and value not in (0, 1):
        good = False
    if not good or (isinstance(value, type) and issubclass(kind, nn.Module)):
        hint = _hint(value) if issubclass(kind, nn.Module) else ""
        wanted = _NAMES.get(kind, f" {_full_name(kind)}")
        raise TypeError(f"{name} 应是{wanted}，得到 {describe(value)}{hint}")
    first = next(value.parameters(), None) if isinstance(value, nn.Module) else None
    if is_lazy(first):
        raise ValueError(
            f"{name} 里有还没定形的 Lazy 层；先用一张图跑一次 {name}(image)，它才有权重"
        )
    if first is not None and first.is_meta:
        raise ValueError(
            f"{name} 在 meta 设备上，只有形状，没有权重；先 to_empty(device='cpu') 再读入权重"
        )
    return value


def _full_name(kind: type) -> str:
    """类的名字，写成读者写的样子：nn.Module、torch.Generator、Ascent。"""
    if kind is nn.Module:
        return "nn.Module"
    room = kind.__module__.split(".")[0]
    return kind.__name__ if room in ("cnnlab", "builtins") else f"{room}.{kind.__name__}"


def _hint(value) -> str:
    """要网络而给了别的：多半想给的是什么。"""
    if isinstance(value, str):
        return f"；按名字取网络用 load_model({value!r})"
    if isinstance(value, dict):
        return "；这像是权重：先建网络，再 network.load_state_dict(…)"
    if isinstance(value, type):
        return f"；这是类，不是网络：少了括号，{value.__name__}(…)"
    return ""


def _tensor(value, name: str, known: dict, spec: str) -> Tensor:
    """形状合 `spec` 的浮点张量，不空，没有 NaN；`known` 是各字母已经有多长。"""
    if name in IMAGES:
        value = _picture(value, name, spec)
    shape = "" if spec == "..." else f" ({spec.replace(' ', ', ').replace(', |, ', ') 或 (')}) 的"
    value = as_tensor(value, name, shape)
    if value.is_inference():
        value = value.clone()
    if value.is_complex() or value.is_quantized:
        raise TypeError(f"{name} 的类型是 {value.dtype}，应为浮点数")
    if value.numel() == 0:
        raise ValueError(f"{name} 是空的：形状 {tuple(value.shape)}")
    if not any(_fits(value.shape, each.split(), name, known) for each in spec.split("|")):
        raise ValueError(f"{name} 应是{shape}张量，得到 {tuple(value.shape)}")
    if not value.is_floating_point() or value.dtype.itemsize < 4:
        value = value.float()
    # 一次调用里的几个张量用同一种浮点数，以第一个为准：numpy 来的多是 float64
    value = value.to(known.setdefault("dtype", value.dtype))
    # 在计算图上的是优化途中的数，不逐次看
    if not value.requires_grad:
        low, high = finite_ends(value, f"{name} ")
        if max(-low, high) > (LARGEST if value.dtype == torch.float32 else 1e150):
            raise ValueError(f"{name} 里的数大到 {high:.3g}，平方会溢出；先缩小")
    return value


def _picture(value, name: str, spec: str):
    """图像：不合约定时借 check_images 说明；维数对的浮点张量不问几个通道。"""
    for part in ("image", "images"):
        if not isinstance(value, Tensor) and isinstance(getattr(value, part, None), Tensor):
            raise TypeError(f"{name} 是 {type(value).__name__}，图像在它的 .{part} 里；传 .{part}")
    shapes = [each.split() for each in spec.split("|")]
    right = isinstance(value, Tensor) and (value.dim() in map(len, shapes) or spec == "...")
    fixed = [int(letters[1]) for letters in shapes if letters[1:2] and letters[1].isdigit()]
    if right and value.is_floating_point() and not fixed:
        return value
    return check_images(value, bounded=False, channels=tuple(fixed) or (3, 1))


def _fits(shape, letters: list[str], name: str, known: dict) -> bool:
    """形状合不合这一种写法；同一个字母在别的参数里是别的长度时说明。"""
    if letters == ["..."]:
        return True
    if len(shape) != len(letters):
        return False
    pairs = list(zip(letters, shape, strict=True))
    if any(letter.isdigit() and int(letter) != length for letter, length in pairs):
        return False
    for letter, length in pairs:
        other, first = known.setdefault(letter, (name, length))
        if first != length and other == name and letter.isupper():
            return False
        if first != length and other != name:
            raise ValueError(
                f"{other} 与 {name} 对不上：{letter} 要相同，一个是 {first}，一个是 {length}"
                f"（{name} 的形状是 {tuple(shape)}）"
            )
    return True


def _from_a_library(error: Exception) -> bool:
    """没有中文、由库抛出的错；一路上经过读者自己的代码（他的函数、网络）的不算。"""
    if is_chinese(error) or isinstance(error, torch.OutOfMemoryError | NameError | ImportError):
        return False
    if type(error).__module__.split(".")[0] not in _KNOWN or isinstance(error, Warning):
        return False
    return _inside(error)


def _inside(error: Exception) -> bool:
    """错一路上只经过这个包和库。"""
    trace = error.__traceback__
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(tuple(_OWN)):
            return False
        trace = trace.tb_next
    return True


def _told(error: Exception, function, arguments: dict, shapes: dict) -> Exception | None:
    """库里出的错换成的一句话；读者自己的代码抛出的是 None。写在外面：装饰器的变量存着错，激活就放不掉。"""
    # 里层的公开函数已经说过一次的，由读者调用的这一个再说
    cause = error.__cause__ if getattr(error, "told_by_checked", False) else error
    if not (_from_a_library(cause) and _inside(error)):
        return None
    kind = OSError if isinstance(cause, OSError) else ValueError
    told = kind(_report(function, arguments, shapes, cause))
    told.told_by_checked, told.__cause__ = True, cause
    return told


def _report(function, arguments: dict, shapes: dict, error: Exception) -> str:
    parts = "、".join(
        f"{name} 是 {describe(value)}" for name, value in arguments.items() if name != "self"
    )
    given = {name: text for name, text in shapes.items() if isinstance(text, str)}
    wanted = "、".join(f"{name} ({text.replace(' ', ', ')})" for name, text in given.items())
    reason = (str(error).strip().splitlines() or [""])[0][:200]
    return (
        f"{_name(function)} 用这些参数算不下去：{parts}{f'；应为 {wanted}' if wanted else ''}。"
        f"库里的原因：{type(error).__name__}: {reason}"
    )
