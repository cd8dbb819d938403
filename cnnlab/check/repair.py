"""只差一步：学习者的函数里换掉一次 torch 调用就全对的话，毛病就在那一步。

逐处逐样地试，说得出第几行、哪一个函数、是哪一类错；不说该换成什么数。
看得到的只有 torch 的调用，纯 Python 的步骤（range 的端点、列表）看不到。
"""

import linecache
import sys
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from cnnlab.check.compare import same
from cnnlab.check.effects import isolated

_HIDDEN = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]))
# 一次试跑最多这么多次调用，全部试跑合起来最多这么多：改动可能让循环停不下来
_ONE_RUN, _ALL_RUNS = 10_000, 30_000

REDUCTIONS = {
    "sum": torch.sum,
    "mean": torch.mean,
    "amax": torch.amax,
    "amin": torch.amin,
    "norm": torch.linalg.vector_norm,
    "vector_norm": torch.linalg.vector_norm,
    "matrix_norm": torch.linalg.vector_norm,
    "var": torch.var,
    "std": torch.std,
    "max": torch.amax,
    "min": torch.amin,
    "median": None,
    "prod": torch.prod,
}
UNARY = {
    "取绝对值": torch.abs,
    "平方": torch.square,
    "开平方": lambda x: x.clamp_min(0).sqrt(),
    "把负的截成 0": lambda x: x.clamp_min(0),
    "取负号": torch.neg,
    "截到 [0, 1]": lambda x: x.clamp(0, 1),
    "取倒数": torch.reciprocal,
}
# 添一步时还试一个因子
_ADDED = UNARY | {"缩小的因子": lambda x: x / 2, "放大的因子": lambda x: 2 * x}
_UNARY_NAMES = {"abs", "square", "sqrt", "rsqrt", "relu", "relu_", "sigmoid", "sign", "exp", "log"}
_UNARY_NAMES |= {"gelu", "relu6", "leaky_relu", "softplus", "elu", "exp2", "reciprocal"}
_UNARY_NAMES |= {"pow", "neg", "tanh", "softmax", "log_softmax", "normalize", "clamp", "clip"}
BINARY = {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div}
BINARY |= {"maximum": torch.maximum, "minimum": torch.minimum}
_LOSSES = {
    f"{name}_loss": getattr(functional, f"{name}_loss")
    for name in ("mse", "l1", "smooth_l1", "huber")
}
_COMPARED = {"gt": torch.ge, "ge": torch.gt, "lt": torch.le, "le": torch.lt}
_MODES = {
    "pad": ("reflect", "replicate", "circular", "constant"),
    "interpolate": ("nearest", "bilinear", "area"),
}
_FLAGS = ("descending", "largest", "unbiased", "stable", "antialias", "align_corners")
_NUMBERS = (
    lambda v: v + 1,
    lambda v: v - 1,
    lambda v: 2 * v,
    lambda v: v / 2,
    lambda v: 10 * v,
    lambda v: v / 10,
    lambda v: v / 100,
    lambda v: v * v,
    lambda v: abs(v) ** 0.5,
    lambda v: -v,
    lambda v: 1 - v,
    lambda v: 1 / v,
)


class _TooLong(Exception):
    """试跑太长。"""


class _Edited(TorchFunctionMode):
    """记下学习者的每一处 torch 调用；edits 里的那几处换一种做法。"""

    def __init__(self, edits: dict | None = None, sites: dict | None = None) -> None:
        self.edits, self.sites, self.calls = edits or {}, dict(sites or {}), 0
        super().__init__()

    def __torch_function__(self, function, types, arguments=(), options=None):
        options, site = options or {}, _site(function)
        if site is None:
            return function(*arguments, **options)
        self.calls += 1
        if self.calls > _ONE_RUN:
            raise _TooLong
        edit = self.edits.get(site)
        made = (edit or _unchanged)(function, arguments, options)
        before = self.sites.setdefault(site, (arguments, options, made))[2]
        if edit and isinstance(before, tuple) and isinstance(made, Tensor):
            return _Pair((made, before))
        return made


def _unchanged(function, arguments, options):
    return function(*arguments, **options)


def _site(function: Callable) -> tuple | None:
    """(代码, 位置, 行号, 函数名)；不是学习者直接写的调用没有。"""
    frame = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename.startswith(_HIDDEN[0]):
        frame = frame.f_back
    if frame is None or frame.f_code.co_filename.startswith(_HIDDEN[1]):
        return None
    return (frame.f_code, frame.f_lasti, frame.f_lineno, _plain_name(function))


def _plain_name(function: Callable) -> str:
    name = getattr(function, "__name__", "").strip("_")
    if name == "get":  # 属性，如 x.T
        return getattr(function.__self__, "__name__", "get")
    name = {"truediv": "div", "true_divide": "div", "rtruediv": "rdiv", "divide": "div"}.get(
        name, name
    )
    return name[1:] if name in ("radd", "rmul", "iadd", "isub", "imul", "idiv") else name


# 各种改法：(一句话, 改法)；改法收 (函数, 实参, 选项)


def _changes(name: str, arguments: tuple, options: dict) -> Iterator[tuple[str, Callable]]:
    """把这一次调用换成别的做法，或者去掉。"""
    if name in REDUCTIONS:
        yield from _reductions(name, arguments, options)
    yield from _dropped(name, arguments)
    if name in BINARY or name in ("rsub", "rdiv", "matmul", "cdist"):
        yield from _operands(name)
    if name in _COMPARED:
        swapped = _COMPARED[name]
        yield "相等的时候算不算，弄反了", lambda f, a, o: swapped(*a)
        yield "大于和小于弄反了", lambda f, a, o: f(a[1], a[0])
    if name in _UNARY_NAMES:
        for other in UNARY.values():
            yield "这里要的是另一种运算", lambda f, a, o, other=other: other(a[0])
    for other in _LOSSES.values() if name in _LOSSES else ():
        for way in ("mean", "sum"):
            yield (
                "损失的种类，或求和还是平均，不对",
                lambda f, a, o, g=other, way=way: g(a[0], a[1], reduction=way),
            )
    if name in ("clamp", "clip"):
        for ends in ((0, 1), (0, None), (None, 1)):
            yield "截断的两端不对", lambda f, a, o, ends=ends: a[0].clamp(*ends)
    for mode in _MODES.get(name, ()):
        yield "方式（mode）不对", lambda f, a, o, mode=mode: f(*a[:2], **{**o, "mode": mode})
    if name in ("argsort", "sort", "topk"):
        flag, usual = ("largest", True) if name == "topk" else ("descending", False)
        flip = {flag: not options.get(flag, usual)}
        yield "从大到小还是从小到大，弄反了", lambda f, a, o: f(*a, **{**o, **flip})
    for flag in (flag for flag in _FLAGS if isinstance(options.get(flag), bool)):
        yield f"选项 {flag} 反了", lambda f, a, o, k=flag: f(*a, **{**o, k: not o[k]})
    if name not in REDUCTIONS:
        yield from _numbers(arguments, options)


def _insertions(arguments: tuple, made) -> Iterator[tuple[str, Callable]]:
    """在这一次调用的前后添一步。"""
    if _floating(made):
        for text, step in _ADDED.items():
            yield f"之后少了一步：{text}", lambda f, a, o, s=step: _applied(s, f(*a, **o))
    if _floating(arguments[0]):
        for text, step in _ADDED.items():
            yield (f"之前少了一步：{text}", lambda f, a, o, s=step: f(s(a[0]), *a[1:], **o))


def _floating(value) -> bool:
    first = value[0] if isinstance(value, tuple) and len(value) == 1 else value
    return isinstance(first, Tensor) and first.is_floating_point()


def _applied(step: Callable, made):
    return (step(made[0]),) if isinstance(made, tuple) else step(made)


def _reductions(name: str, arguments: tuple, options: dict) -> Iterator:
    value, keep = arguments[0], options.get("keepdim", False)
    if not isinstance(value, Tensor):
        return
    given = options.get("dim", options.get("axis", arguments[1] if len(arguments) > 1 else None))
    dims = given if isinstance(given, (int, tuple, list)) else None
    keep = keep or (len(arguments) > 2 and arguments[2] is True)
    for function in {f for k, f in REDUCTIONS.items() if f and k != name and f is not torch.prod}:
        yield (
            "求和、平均、最大、最小、范数、方差，用错了一种",
            lambda f, a, o, g=function: _reduced(g, a[0], dims, keep),
        )
    yield (
        "求的是和，该是平方和一类",
        lambda f, a, o: _reduced(torch.sum, a[0].square(), dims, keep),
    )
    usual = REDUCTIONS[name]
    if name in ("var", "std"):
        yield (
            "除的是个数还是个数减一，弄反了",
            lambda f, a, o: usual(a[0], dims, correction=0 if _unbiased(o) else 1, keepdim=keep),
        )
    for size in range(value.dim() + 1) if usual else ():
        for other in combinations(range(value.dim()), size):
            for kept in sorted({keep, size > 0 and dims is None}):
                yield (
                    "沿哪几维归并，不对",
                    lambda f, a, o, d=other, k=kept: _reduced(
                        usual, a[0], d or None, k, **_bias(o)
                    ),
                )


def _bias(options: dict) -> dict:
    return {key: value for key, value in options.items() if key in ("unbiased", "correction")}


def _unbiased(options: dict) -> bool:
    return bool(options.get("correction", options.get("unbiased", True)))


def _reduced(function: Callable, value: Tensor, dims, keep: bool, **options) -> Tensor:
    if dims is None:
        dims = tuple(range(value.dim()))
    return function(value, dim=dims, keepdim=keep, **options)


class _Pair(tuple):
    """像 max、median 带 dim 时返回的那一对：.values 和 .indices。"""

    __slots__ = ()
    values = property(lambda pair: pair[0])
    indices = property(lambda pair: pair[1])


def _operands(name: str) -> Iterator:
    for other in (BINARY[k] for k in BINARY if name in BINARY and k != name):
        yield "加、减、乘、除、取大、取小，用错了一种", lambda f, a, o, g=other: g(a[0], a[1])
    if name in ("sub", "div", "rsub", "rdiv", "matmul"):
        yield "两边的次序反了", lambda f, a, o: f(a[1], a[0])
    if name in ("cdist", "matmul", "sub"):
        yield "两边该是同一个，或该换一个", lambda f, a, o: f(a[0], a[0], **o)
        yield "两边该是同一个，或该换一个", lambda f, a, o: f(a[1], a[1], **o)


def _numbers(arguments: tuple, options: dict) -> Iterator:
    text = "用的数不对（差一、差一倍、没有平方一类）"
    for place, value in enumerate(arguments):
        if _is_number(value):
            for change in _NUMBERS:
                yield text, lambda f, a, o, p=place, c=change: f(*_replaced(a, p, c), **o)
    for key, value in options.items():
        if _is_number(value):
            for change in _NUMBERS:
                yield text, lambda f, a, o, k=key, c=change: f(*a, **{**o, k: c(o[k])})


def _replaced(arguments: tuple, place: int, change: Callable) -> tuple:
    value = change(arguments[place])
    if isinstance(arguments[place], int) and value == int(value):
        value = int(value)
    return (*arguments[:place], value, *arguments[place + 1 :])


def _dropped(name: str, arguments: tuple) -> Iterator:
    if name in ("clone", "detach"):  # 去掉它们，改的就是调用者的张量
        return
    yield "这一步是多余的", lambda f, a, o: a[0]
    if len(arguments) > 1 and isinstance(arguments[1], Tensor):
        yield "这一步是多余的", lambda f, a, o: a[1]
    if name == "sort":
        order = torch.arange
        yield "这一步是多余的", lambda f, a, o: (a[0], order(len(a[0])))


# 试


def repaired(exercise, answer: Callable, expected: list) -> str | None:
    """哪一处、哪一类改动让各组数据都对；没有这样的一处时没有。

    expected 是标准值，次序同 exercise.probes。
    """
    first = _Edited()
    if _tried(exercise, answer, 0, first) is None:
        return None
    calls = 0
    for group, text, edits in _trials(first.sites):
        for number, wanted in enumerate(expected):
            mode = _Edited(edits, first.sites)
            found = _tried(exercise, answer, number, mode)
            calls += mode.calls
            if found is None or not same(found[0], wanted, exercise.tolerance):
                break
        else:
            return _told(group, text)
        if calls > _ALL_RUNS:
            return None
    return None


def _trials(sites: dict) -> Iterator[tuple]:
    """(哪几处, 一句话, {处: 改法})：先试换和去掉，再试添一步。"""
    groups = _groups(sites)
    for kind in ("changes", "insertions"):
        for group in groups:
            lists = [list(_of_kind(kind, site, *sites[site])) for site in group]
            for together in zip(*lists, strict=False):
                if len({text for text, _ in together}) == 1:
                    edits = {s: edit for s, (_, edit) in zip(group, together, strict=True)}
                    yield group, together[0][0], edits


def _of_kind(kind: str, site: tuple, arguments: tuple, options: dict, made) -> Iterator:
    if not arguments or not isinstance(arguments[0], (Tensor, int, float, tuple, list)):
        return iter(())
    if kind == "changes":
        return _changes(site[3], arguments, options)
    return _insertions(arguments, made)


def _groups(sites: dict) -> list[tuple]:
    """先一处一处地试，再同名的几处一起，最后归并的几处一起。"""
    single = [(site,) for site in sites]
    kinds = {site: (site[3], *map(_is_number, sites[site][0])) for site in sites}
    names = {site: site[3] for site in sites}
    alike = [
        tuple(site for site in sites if sort[site] == kind)
        for sort in (names, kinds)
        for kind in sorted(set(sort.values()), key=str)
    ]
    reduced = tuple(site for site in sites if site[3] in REDUCTIONS)
    return [*single, *(group for group in [*alike, reduced] if len(group) > 1)]


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _tried(exercise, answer: Callable, number: int, mode: _Edited) -> tuple | None:
    arguments = exercise.probes[number]()
    with isolated():
        try:
            with mode:
                return (exercise.run(answer, *arguments),)
        except Exception:  # 改出来的代码跑不通：不是这一处
            return None


def _told(group: tuple, text: str) -> str:
    code, _, line, name = group[0]
    source = linecache.getline(code.co_filename, line).strip()
    shown = f"（`{source}`）" if source and len(source) < 90 and len(group) == 1 else ""
    where = f"第 {line} 行的" if len(group) == 1 else "每一处"
    return f"只差一步：{where} {name}{shown}，{text}。"
