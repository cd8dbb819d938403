"""看一次调用里发生了什么：有没有用自动求导、调过哪些 torch 函数、造过多大的张量。

供“不用循环”“不调用现成的函数”一类题面；看不到的地方（别的库、纯 Python）当作没有发生。
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

_ENGINE = "_engine_run_backward"


def called_autograd(call: Callable) -> bool:
    """运行 call，自动求导的引擎被叫到过为真；这一版 torch 没有那个入口时也当作真。"""
    engine = getattr(torch.autograd, _ENGINE, None)
    if engine is None:
        return True
    times = []

    def counted(*arguments, **options):
        times.append(1)
        return engine(*arguments, **options)

    setattr(torch.autograd, _ENGINE, counted)
    try:
        call()
    finally:
        setattr(torch.autograd, _ENGINE, engine)
    return bool(times)


class _Named(TorchFunctionMode):
    def __init__(self) -> None:
        self.names = set()
        super().__init__()

    def __torch_function__(self, function, types, arguments=(), options=None):
        self.names.add(getattr(function, "__name__", ""))
        return function(*arguments, **(options or {}))


def called_functions(call: Callable) -> set[str]:
    """运行 call，返回期间调过的 torch 函数的名字。"""
    with _Named() as watch:
        call()
    return watch.names


@dataclass
class Work:
    """一次调用的工作：算子做了几次，最大的结果有几个数。"""

    steps: int = 0
    largest: int = 0
    names: set = field(default_factory=set)


class _Counted(TorchDispatchMode):
    def __init__(self) -> None:
        self.work = Work()
        super().__init__()

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        made = function(*arguments, **(options or {}))
        self.work.steps += 1
        parts = made if isinstance(made, (tuple, list)) else (made,)
        # 视图（如 expand）不占新的内存
        sizes = [p.untyped_storage().nbytes() // 8 for p in parts if isinstance(p, Tensor)]
        self.work.largest = max(self.work.largest, *sizes, 0)
        return made


def work_of(call: Callable) -> Work:
    """运行 call，数一数算子的次数和最大的结果（按 8 字节一个数）。"""
    with _Counted() as watch:
        call()
    return watch.work
