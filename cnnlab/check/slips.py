"""错法表之外的常见失手：从学习者的返回值与标准值、实参的关系里认出来。

只说关系（差一个倍数、次序反了、像是先取了绝对值），不说标准值的任何数；
一句话要在每一组数据上都成立才说，所以不会冤枉人。
"""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from cnnlab.check.compare import as_tensor, parts, same
from cnnlab.check.repair import repaired

Pair = tuple[Tensor, Tensor]


# 一、返回值与标准值


def _scaled(found: Tensor, wanted: Tensor, dims: tuple[int, ...]) -> Tensor:
    """把标准值按 dims 上的最小二乘倍数放大。"""
    if not found.any():  # 处处相同的返回值怎样都拉得出来
        return wanted * torch.nan
    product = (found * wanted).sum(dims, keepdim=True)
    return wanted * product / wanted.square().sum(dims, keepdim=True).clamp_min(1e-300)


def _stretched(found: Tensor, wanted: Tensor, dims: tuple[int, ...]) -> Tensor:
    """把标准值按 dims 线性拉伸（乘一个数再加一个数）到最接近返回值。"""
    a, b = (x - x.mean(dims, keepdim=True) for x in (found, wanted))
    return found.mean(dims, keepdim=True) + _scaled(a, b, dims)


def _all(x: Tensor) -> tuple[int, ...]:
    return tuple(range(x.dim()))


def _after(count: int) -> Callable:
    return lambda x: tuple(range(count, x.dim()))


def _by_channel(x: Tensor) -> tuple[int, ...]:
    return (0, *range(2, x.dim()))


def _size(found: Tensor, wanted: Tensor) -> str:
    return "大" if found.abs().sum() > wanted.abs().sum() else "小"


# 按项求的倍数，每一项至少要有这么多个数，否则怎样都对得上
_EACH = 12

# (变换, 一句话, 每一组上至少几个数才算数)；句中的 {size} 换成“大”或“小”
RELATIONS = (
    (lambda f, w: -w, "每一处都恰好差一个负号：方向，或者谁减谁。", 1),
    (lambda f, w: w.abs(), "大小都对，负号丢了：哪一步取了绝对值或平方？", 2),
    (lambda f, w: w.clamp_min(0), "负的值都成了 0，其余全对：这里不该截断。", 2),
    (lambda f, w: w.clamp(0, 1), "超出 [0, 1] 的值被截断了，其余全对：这里不该截断。", 2),
    (lambda f, w: 1 - w, "恰好是 1 减去应有的值：正反说反了。", 2),
    (lambda f, w: w.square(), "每个值都恰好是应有值的平方：少开一次方，或者多平方了一次。", 2),
    (lambda f, w: w.clamp_min(0).sqrt(), "每个值都恰好是应有值的平方根：多开了一次方。", 2),
    (lambda f, w: 1 / w, "每个值都恰好是应有值的倒数：分子分母反了。", 2),
    (lambda f, w: w.log(), "每个值都恰好是应有值的对数。", 2),
    (lambda f, w: w.exp(), "每个值都恰好是应有值的指数。", 2),
    (lambda f, w: w.sigmoid(), "你多套了一层 sigmoid：题目没有要它。", 2),
    (
        lambda f, w: _scaled(f, w, _all(w)),
        "处处差同一个倍数（偏{size}）：少了或多了一个因子，如个数、步长、二分之一。",
        2,
    ),
    (lambda f, w: w + (f - w).mean(), "处处差同一个常数：多加或少减了一个数，或者端点差一。", 2),
    (
        lambda f, w: _scaled(f, w, _after(1)(w)),
        "每张图（第 0 维的每一项）各差一个倍数：是不是各自归一化过，或者分母用错了？",
        _EACH,
    ),
    (
        lambda f, w: _scaled(f, w, _by_channel(w)),
        "第 1 维的每一项各差一个倍数：这一维上的权重或分母用错了。",
        _EACH,
    ),
    (
        lambda f, w: w + (f - w).mean(_after(1)(w), keepdim=True),
        "每张图（第 0 维的每一项）各差一个常数：多减或少减了它自己的一个数。",
        _EACH,
    ),
    (
        lambda f, w: _stretched(f, w, _all(w)),
        "返回值是应有值乘一个数再加一个数：多做了一次归一化，或者减反了。",
        4,
    ),
    (
        lambda f, w: _stretched(f, w, _after(1)(w)),
        "第 0 维的每一项都是应有值乘一个数再加一个数：各自多归一化了一次，或者减反了。",
        _EACH,
    ),
    (lambda f, w: (w + w.mT) / 2, "返回值是应有的矩阵与它的转置的平均：这里不要对称。", 4),
    (
        lambda f, w: w.mean(0, keepdim=True).expand_as(w),
        "每张图得到的是整批的平均：各张图要分开算。",
        3,
    ),
    (lambda f, w: w[:1].expand_as(w), "后面各项都照抄了第一项：每一项要用它自己的数据。", 3),
)


def _moves(dims: int) -> Iterator[tuple[Callable, str, int]]:
    """dims 维的标准值的各种换位，写法同 RELATIONS。"""
    for d in range(dims):
        yield lambda f, w, d=d: w.flip(d), f"数都对，第 {d} 维的次序反了。", 3
        for step in (1, -1):
            text = f"数都对，沿第 {d} 维错开了一格。"
            yield lambda f, w, d=d, step=step: w.roll(step, d), text, 3
    for a, b in itertools.combinations(range(dims), 2):
        yield lambda f, w, a=a, b=b: w.transpose(a, b), f"第 {a} 维与第 {b} 维对调了。", 3
        text = f"数都对，排错了位置：第 {a} 维与第 {b} 维的先后弄混了。"
        yield lambda f, w, a=a, b=b: w.transpose(a, b).reshape(w.shape), text, 3
        yield lambda f, w, a=a, b=b: _turned_view(w, a, b), text, 3


def _turned_view(wanted: Tensor, a: int, b: int) -> Tensor:
    return wanted.reshape(wanted.transpose(a, b).shape).transpose(a, b)


def _partly(found: Tensor, wanted: Tensor, tolerance: float) -> Iterator[str]:
    """对了一部分：错在哪一部分。"""
    bad = ~torch.isclose(found, wanted, rtol=tolerance, atol=tolerance, equal_nan=True)
    inner = (..., slice(1, -1), slice(1, -1))
    if wanted.dim() >= 2 and min(wanted.shape[-2:]) > 3 and not bad[inner].any():
        yield "中间都对，只有最边上不对：看看边界、填充和末端。"
    for dim in range(wanted.dim()):
        wrong = bad.any(tuple(d for d in range(wanted.dim()) if d != dim)).nonzero()[:, 0].tolist()
        if wanted.shape[dim] > 2 and len(wrong) == 1:
            yield f"只有第 {dim} 维下标 {wrong[0]} 的一项不对，别处全对：它有什么特别？"
    if wanted.dim() and len(wanted) > 1 and not bad[0].any():
        yield "第 0 维上第一项全对，后面的不对。"
    if bool(((wanted == 0) | ~bad).all()):
        yield "错的都在本应恰好是 0 的地方：哪些位置该被清零？"
    if bool(((found == 0) | ~bad).all()):
        yield "你给 0 的地方有一些本不该是 0，其余全对。"
    if bool((found.double().sort().values == wanted.double().sort().values).all()):
        yield "数都对，次序或位置不对。"


def _ordered(found: Tensor, wanted: Tensor) -> bool:
    a, b = found.flatten(), wanted.flatten()
    distinct = len(b.unique()) >= 8 and len(a.unique()) >= 8
    return distinct and bool((a[b.argsort()].diff() >= 0).all())


def _near(found: Tensor, wanted: Tensor) -> bool:
    gap = (found - wanted).norm() / wanted.norm().clamp_min(1e-300)
    return wanted.numel() > 3 and float(gap) < 0.03


def _relation(pairs: list[Pair], tolerance: float, whole: bool = True) -> str | None:
    """各组数据上都成立的第一种关系；每组只有一个数、合起来看的，whole 为假。"""
    wrong = [(f, w) for f, w in pairs if not same(f, w, tolerance)]
    enough = max(tolerance, 1e-5)
    told = _first_fit(RELATIONS, wrong, enough)
    if told:
        return told.format(size=_size(*wrong[0]))
    flat = all(f.numel() > 1 and bool((f == f.flatten()[0]).all()) for f, _ in wrong)
    if flat and not any(bool((w == w.flatten()[0]).all()) for _, w in wrong):
        return "返回值处处相同：有一步把各处的差别抹掉了。"
    told = _first_fit(_moves(wrong[0][1].dim()), wrong, enough)
    if told:
        return told
    partly = [list(_partly(f, w, enough)) for f, w in wrong if f.numel() > 2 and whole]
    common = [s for s in partly[0] if all(s in other for other in partly)] if partly else []
    if common:
        return common[0]
    if all(_ordered(f, w) for f, w in wrong):
        return "大小次序全对，值不对：中间多了或少了一步不改变次序的变换，如开方、平方、归一化。"
    if all(_near(f, w) for f, w in wrong):
        return "与应有的结果只差百分之几：看看取整、端点、很小的常数，或者取样够不够密。"
    return None


def _first_fit(relations: Iterable, wrong: list[Pair], tolerance: float) -> str | None:
    """每一组都满足的第一种关系的那句话。"""
    for transform, sentence, least in relations:
        if all(_enough(f, w, least) for f, w in wrong) and all(
            _matches(f, transform, w, tolerance) for f, w in wrong
        ):
            return sentence
    return None


def _enough(found: Tensor, wanted: Tensor, least: int) -> bool:
    if least == _EACH:
        groups = wanted.shape[:1] if wanted.dim() < 3 else wanted.shape[:2]
        if wanted.dim() < 2 or wanted.numel() // max(groups) < 4:
            return False
        # 只有一两项不对时，说的应当是那一两项
        off = [not same(f, w, 1e-5) for f, w in zip(found, wanted, strict=True)]
        return 2 * sum(off) > len(off)
    return wanted.numel() >= least


def _matches(found: Tensor, transform: Callable, wanted: Tensor, tolerance: float) -> bool:
    try:
        made = transform(found, wanted)
    except (RuntimeError, IndexError):
        return False
    return bool(made.isfinite().all()) and same(found, made, tolerance)


# 二、返回值与实参


class _Through(nn.Module):
    """得分再过一个函数的同一个网络；子模块照样找得到。"""

    def __init__(self, model: nn.Module, function: Callable) -> None:
        super().__init__()
        self.inner, self.function = model, function

    def forward(self, image: Tensor) -> Tensor:
        return self.function(self.inner(image))

    def __getattr__(self, name: str):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)


def _every(target: Tensor) -> Callable:
    return lambda s: s[:, target].sum(1, True).expand_as(s)


def _predicted(arguments: dict) -> Tensor:
    return arguments["model"](arguments["image"]).argmax(1).view_as(arguments["target"])


_TENSOR_SLIPS = (
    (lambda x: torch.zeros_like(x), "像是没有用上 `{name}`。"),
    (lambda x: x.abs(), "像是先对 `{name}` 取了绝对值。"),
    (lambda x: x.clamp_min(0), "像是先把 `{name}` 的负数截成了 0。"),
    (lambda x: -x, "像是把 `{name}` 的符号弄反了。"),
    (lambda x: x.square(), "像是用了 `{name}` 的平方。"),
    (lambda x: x - x.mean(), "像是先从 `{name}` 减去了它的平均。"),
    (lambda x: x - x.mean(0, keepdim=True), "像是先从 `{name}` 减去了整批（第 0 维）的平均。"),
    (lambda x: x / x.norm(dim=-1, keepdim=True), "像是先把 `{name}` 的每一行归一化了。"),
    (lambda x: x / x.abs().max(), "像是先让 `{name}` 除以了它的最大值。"),
    (lambda x: x[:1].expand_as(x), "像是全部都用了 `{name}` 的第一项。"),
    (lambda x: x.flip(0), "像是把 `{name}` 的第 0 维倒过来用了。"),
    (lambda x: x.transpose(-1, -2), "像是把 `{name}` 的最后两维对调了。"),
    (lambda x: x.flip(-1), "像是把 `{name}` 左右翻转了（最后一维的次序反了）。"),
    (lambda x: x.flip(-2), "像是把 `{name}` 上下翻转了（倒数第二维的次序反了）。"),
    (lambda x: x.flip(1), "像是把 `{name}` 的第 1 维（通道）倒过来用了。"),
    (lambda x: x.mean(0, keepdim=True).expand_as(x), "像是把 `{name}` 在整批上取了平均。"),
    (lambda x: x.mean(1, keepdim=True).expand_as(x), "像是把 `{name}` 的第 1 维平均掉了。"),
)
_NUMBER_SLIPS = (
    (lambda v: v + 1, "像是把 `{name}` 多算了一。"),
    (lambda v: v - 1, "像是把 `{name}` 少算了一。"),
    (lambda v: 2 * v, "像是把 `{name}` 用成了两倍。"),
    (lambda v: v / 2, "像是把 `{name}` 用成了一半。"),
    (lambda v: -v, "像是把 `{name}` 的符号弄反了。"),
    (lambda v: 1 - v, "像是用了 1 减去 `{name}`。"),
    (lambda v: v * v, "像是用了 `{name}` 的平方。"),
    (lambda v: 0 * v, "像是没有用上 `{name}`。"),
    (lambda v: 0 * v + 1, "像是没有用上 `{name}`（等于把它当成 1）。"),
    (abs, "像是对 `{name}` 取了绝对值。"),
    *(
        (lambda v, c=c: type(v)(c), "像是没有用上 `{name}`，写死成了一个数。")
        for c in (2, 3, 4, 5, 8, 10, 16, 20, 50, 100)
    ),
)
_MODEL_SLIPS = (
    (lambda s: s.softmax(1), "用了概率或交叉熵：要的是 softmax 之前的得分。"),
    (lambda s: s.log_softmax(1), "用了对数概率或交叉熵：要的是 softmax 之前的得分。"),
    (lambda s: -s, "像是把得分的符号弄反了。"),
    (lambda s: s.sum(1, True).expand_as(s), "用了各类得分之和：只要 `target` 那一类的。"),
    (lambda s: s.amax(1, True).expand_as(s), "用了最大的得分：只要 `target` 那一类的。"),
)
_TARGET_SLIPS = (
    (lambda a: _predicted(a), "用了网络自己预测的类别：题目给了 `target`。"),
    (lambda a: a["target"][:1].expand_as(a["target"]), "都用了第一张图的类别：每张图各有各的。"),
    (lambda a: a["target"] + 1, "类别号差了一：从 0 数起。"),
    (lambda a: (a["target"] - 1).clamp_min(0), "类别号差了一：从 0 数起。"),
)


def _changes(arguments: dict) -> Iterator[tuple[str, Callable]]:
    """(一句话, 怎样改实参)：对每个名字试一遍上面的表。"""
    for name, value in arguments.items():
        if isinstance(value, nn.Module) and name == "model":
            for function, text in _MODEL_SLIPS:
                yield text, lambda a, f=function: {"model": _Through(a["model"], f)}
        elif isinstance(value, Tensor) and value.is_floating_point():
            for function, text in _TENSOR_SLIPS:
                yield text.format(name=name), lambda a, n=name, f=function: {n: f(a[n])}
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            for function, text in _NUMBER_SLIPS:
                yield text.format(name=name), lambda a, n=name, f=function: {n: f(a[n])}
        if name == "target" and isinstance(value, Tensor):
            yield (
                "[:, target] 让每张图都取了全部的目标类：每张图只取自己那一类，要一一对应。",
                lambda a: (
                    {"model": _Through(a["model"], _every(a["target"]))}
                    if len(a["target"]) > 1
                    else {}
                ),
            )
            for function, text in _TARGET_SLIPS:
                yield text, lambda a, f=function: {"target": f(a)}
    floating = [n for n, v in arguments.items() if isinstance(v, Tensor) and v.is_floating_point()]
    for function, text in _TENSOR_SLIPS if len(floating) > 1 else ():
        yield (
            text.format(name="` 和 `".join(floating)),
            lambda a, f=function: {name: f(a[name]) for name in floating},
        )
    alike = [
        (a, b)
        for a, b in itertools.combinations(arguments, 2)
        if type(arguments[a]) is type(arguments[b]) and not isinstance(arguments[a], nn.Module)
    ]
    for a, b in alike:
        yield f"像是把 `{a}` 与 `{b}` 用反了。", lambda x, a=a, b=b: {a: x[b], b: x[a]}


_BESIDE = (
    (lambda w, x: x, "返回的就是传入的 `{name}`，没有改动。"),
    (lambda w, x: w * x, "多乘了一次 `{name}`。"),
    (lambda w, x: w / x, "多除了一次 `{name}`，或者少乘了一次。"),
    (lambda w, x: w + x, "多加了一个 `{name}`。"),
    (lambda w, x: w - x, "少加了（或多减了）一个 `{name}`。"),
    (lambda w, x: x - w, "结果与 `{name}` 的减法次序反了。"),
)


def beside_arguments(exercise, runs: list, pairs: list[Pair], whole: bool) -> str | None:
    """返回值与标准值之间，是不是恰好差一个实参。"""
    tolerance = max(exercise.tolerance, 1e-4)
    for name in _named(exercise, exercise.probes[0]):
        values = [as_tensor(_named(exercise, run.probe)[name]) for run in runs]
        if not whole and all(v is not None and v.numel() == 1 for v in values):
            values = [torch.stack([v.reshape(()) for v in values])]
        if any(v is None for v in values) or len(values) != len(pairs):
            continue
        for function, text in _BESIDE:
            if all(_beside(p, v, function, tolerance) for p, v in zip(pairs, values, strict=True)):
                return text.format(name=name)
    return None


def from_arguments(exercise, runs: list) -> str | None:
    """把标准实现的实参改一处，看哪一处改动恰好得到学习者的返回值。"""
    first = _named(exercise, exercise.probes[0])
    tolerance = max(exercise.tolerance, 1e-4)
    for text, change in _changes(first):
        fits = [_changed_fits(exercise, run, change, tolerance) for run in runs]
        if all(fits) and "differs" in fits:
            return text
    return None


def _named(exercise, probe: Callable) -> dict:
    """实参和它们在题面里的名字。"""
    names = re.findall(r"[(,]\s*(\w+)", exercise.stub)
    return dict(zip(names, probe(), strict=False))


def _beside(pair: Pair, value: Tensor, function: Callable, tolerance: float) -> bool:
    found, wanted = pair
    try:
        return wanted.numel() > 1 and same(found, function(wanted, value.double()), tolerance)
    except RuntimeError:
        return False


def _changed_fits(exercise, run, change, tolerance) -> str:
    """改了实参的标准实现得到学习者的返回值："differs"；这一组的实参改了也一样（如只有一张图）："idle"。"""
    arguments = _named(exercise, run.probe)
    try:
        altered = change(arguments)
        made = exercise.oracle(*{**arguments, **altered}.values())
    except Exception:  # 改出来的实参不合法：这一种失手不可能
        return ""
    if not same(run.output, made, tolerance):
        return ""
    if not same(run.expected, made, tolerance):
        return "differs"
    idle = all(same(value, arguments[name], 0.0) for name, value in altered.items())
    return "idle" if idle else ""


def diagnosis(exercise, runs: list, answer: Callable | None) -> str | None:
    """各组数据上的返回值透露的失手，一句话；看不出来时没有。

    runs 的每一项有 probe、output、expected；至少一项的值不对。不给 answer 就不逐步去试。
    """
    if not runs:
        return None
    answers = [parts(run.output, run.expected) for run in runs]
    told = _permuted(answers, exercise.tolerance)
    if told:
        return told
    found = None
    for place in range(len(answers[0])):
        pairs = [(as_tensor(f), as_tensor(w)) for _, f, w in (each[place] for each in answers)]
        if any(f is None or w is None or f.shape != w.shape or f.is_complex() for f, w in pairs):
            continue
        pairs = [(f.double(), w.double()) for f, w in pairs]
        whole = any(w.numel() > 1 for _, w in pairs)
        if not whole:  # 每组一个数：合起来看
            pairs = [
                tuple(
                    torch.stack([x.reshape(()) for x in side]) for side in zip(*pairs, strict=True)
                )
            ]
        if all(same(f, w, exercise.tolerance) for f, w in pairs):
            continue
        found = _relation(pairs, exercise.tolerance, whole)
        if not found or found.endswith(_WEAK):
            found = beside_arguments(exercise, runs, pairs, whole) or found
        if found and len(answers[0]) > 1:
            found = f"{answers[0][place][0]}：{found}"
        break
    if found and not found.endswith(_WEAK):
        return found
    told = from_arguments(exercise, runs)
    if told or not answer:
        return told
    return repaired(exercise, answer, [run.expected for run in runs]) or found


_WEAK = (
    "后面的不对。",
    "别处全对：它有什么特别？",
    "够不够密。",
    "归一化。",
    "次序或位置不对。",
    "其余全对。",
)


def _permuted(answers: list[list[tuple]], tolerance: float) -> str | None:
    """几个返回值本身都对，只是次序不对。"""
    for order in itertools.permutations(range(len(answers[0]))) if len(answers[0]) <= 4 else ():
        if list(order) != sorted(order) and all(
            all(same(each[i][1], each[j][2], tolerance) for i, j in enumerate(order))
            for each in answers
        ):
            return "几个返回值都对，次序排错了。"
    return None


# 说出了失手之后的下一句：怎样自己看见它；第一个命中的说话
_NEXT = (
    ("像是|全部都用|用成|用了", "打印函数一开头的这个量，再看它在哪一行变了样。"),
    ("运算|加、减", "把题目的式子抄在这一行上面，逐个运算对照。"),
    ("用错了一种|平方和", "拿两三个数，把题目说的量和这一行各算一遍：差个数，还是差平方？"),
    ("哪几维", "打印这一行之前的 .shape，说出每一维是什么：题目要留下的是哪几维？"),
    ("少了一步", "把题目说的步骤一条一条列出来，在代码里逐条找：有一条没有落到代码里。"),
    ("多余的", "先去掉这一步，看结果怎么变：题目里有哪一句话要它？"),
    ("用的数不对", "把这一行里的数换成它的名字（边长、步数、个数），在最小的例子上它该是几？"),
    ("反了", "造一个只有两个不同的数的例子，看这一行把谁放在前面、把谁减去谁。"),
    ("倍数|因子|常数", "在 1×1、2×2、2×3 的例子上量一量差多少：它跟着什么变，毛病就在什么上。"),
    ("维|次序|位置|边上|对调", "喂一张每个数都不同的小图（torch.arange），看每个数从哪里来。"),
)


def follow_up(told: str) -> str:
    """认出失手之后，第二级提示说怎样自己看见它。"""
    found = [sentence for pattern, sentence in _NEXT if re.search(pattern, told)]
    return found[0] if found else "用 1×1 或 2×2 的小例子手算一遍，再与函数的结果逐个比较。"
