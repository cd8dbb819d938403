"""练习检查的第二关：答案留下了哪些副作用。

只比较调用前后的状态；对错由谁来说、怎么说，不归这里管。
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy
import torch
from torch import Tensor, nn

# 键 -> 三级提示：错在哪里；为什么要紧；用什么改
EFFECTS = {
    "inputs": (
        "传入的张量被改动了：调用者手里的数据也跟着变了。",
        "原地操作（名字以 _ 结尾的方法、切片赋值、+=）改写的是同一块内存。",
        "先 clone()，再在副本上改。",
    ),
    "input_grad": (
        "传入的张量上留下了 .grad，或者它的 requires_grad 被改了。",
        ".grad 不会自己清零：第二次调用会把梯度累加上去。",
        "先 detach 再 clone，对这个副本求导，用 torch.autograd.grad。",
    ),
    # 先于参数、模式、钩子：模块换了，这几样都跟着变
    "modules": (
        "网络里的模块被换掉了，或者设置（如 inplace）被改了，没有还原。",
        "之后每一次前向和反向走的都是改过的网络。",
        "先存下原来的模块和设置，用 try/finally 放回去。",
    ),
    "parameters": (
        "网络的参数或缓冲被改动了。",
        "解释网络的函数只读网络；改了权重，下一张图解释的就是另一个网络。",
        "检查有没有训练模式下的批归一化，或者对参数的原地操作。",
    ),
    "parameter_grad": (
        "网络参数上积累了 .grad，或者参数的 requires_grad 被改了。",
        "backward() 会给路上每一个叶子张量都记梯度，既占内存，又会混进下一次训练。",
        "torch.autograd.grad 的第二个参数给图像，就只对图像求导。",
    ),
    "mode": (
        "网络的训练或评估模式没有还原。",
        "调用者若正在训练，被你留在评估模式的随机失活就不再起作用。",
        "先记下 model.training，用 try/finally 还原。",
    ),
    "hooks": (
        "钩子还挂在网络上。",
        "每调用一次就多挂一个：越来越慢，还会改写下一次的结果。",
        "用 try/finally 调 handle.remove()，或者写成 with。",
    ),
    "grad_mode": (
        "全局的求导开关、默认精度或调试开关被改了，没有还原。",
        "别的代码会莫名其妙地没有梯度，或者换了精度。",
        "用 with torch.no_grad()，不要调 torch.set_grad_enabled(False)。",
    ),
    "random": (
        "全局随机数的状态变了。",
        "同一本笔记本里后面的随机结果都会跟着变；随机失活没关也是这个表现。",
        "随机数用 torch.Generator；网络在评估模式下运行。",
    ),
}


def leaves(value, inside: tuple = ()) -> Iterator:
    """依次给出嵌套的元组、列表、字典里的每一个元素；套着自己的那一层原样给出。"""
    if not isinstance(value, (tuple, list, dict)) or id(value) in inside:
        yield value
        return
    for item in list(value.values()) if isinstance(value, dict) else value:
        yield from leaves(item, (*inside, id(value)))


def _hook_count(module: nn.Module) -> int:
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, name)) for name in names)


def _module_state(model: nn.Module) -> dict:
    parts = list(model.modules())
    return {
        "parameters": [value.detach().clone() for value in model.state_dict().values()],
        "parameter_grad": [(p.requires_grad, _copy(p.grad)) for p in model.parameters()],
        "mode": [part.training for part in parts],
        "hooks": [_hook_count(part) for part in parts],
        "modules": [(id(part), type(part), sorted(vars(part)), _options(part)) for part in parts],
    }


def _options(module: nn.Module) -> list:
    """模块自己的设置，如 inplace、stride；模式另算，挂过反向钩子的记号摘不掉，也不算。"""
    aside = ("training", "_is_full_backward_hook")
    plain = {name: value for name, value in vars(module).items() if name not in aside}
    return [(n, v) for n, v in plain.items() if isinstance(v, (bool, int, float, str, tuple))]


def _copy(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach().clone()


def snapshot(arguments: tuple) -> dict:
    """记下副作用会碰到的一切：键与 EFFECTS 相同。"""
    items = list(leaves(arguments))
    tensors = [item for item in items if isinstance(item, Tensor)]
    state = {key: [] for key in EFFECTS}
    state["inputs"] = [_copy(tensor) for tensor in tensors]
    state["input_grad"] = [(t.requires_grad, _copy(t.grad) if t.is_leaf else None) for t in tensors]
    for model in (item for item in items if isinstance(item, nn.Module)):
        for key, value in _module_state(model).items():
            state[key].extend(value)
    state["grad_mode"] = [
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_anomaly_enabled(),
    ]
    drawn = torch.from_numpy(numpy.random.get_state()[1].copy())
    state["random"] = [torch.get_rng_state(), drawn, random.getstate()]
    return state


def _equal(first, second) -> bool:
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        same_kind = (
            first.shape == second.shape
            and first.dtype == second.dtype
            and first.device == second.device
        )
        return same_kind and bool(
            ((first == second) | ((first != first) & (second != second))).all()
        )
    if isinstance(first, (tuple, list)) and isinstance(second, (tuple, list)):
        return len(first) == len(second) and all(map(_equal, first, second))
    return type(first) is type(second) and first == second


def changed(before: dict, after: dict) -> tuple[str, ...]:
    """前后两次 snapshot 之间变了的键，次序同 EFFECTS。"""
    return tuple(key for key in EFFECTS if not _equal(before[key], after[key]))


@contextmanager
def isolated(seed: int = 0):
    """在固定种子、单线程、可求导的环境里运行，结束后一切还原。"""
    grad, dtype, threads = (
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        torch.get_num_threads(),
    )
    strict, watching = torch.are_deterministic_algorithms_enabled(), torch.is_anomaly_enabled()
    state, plain = numpy.random.get_state(), random.getstate()
    with torch.random.fork_rng(devices=[]):
        try:
            # 极小的张量用一个线程最快，结果也不随核数变
            torch.set_num_threads(1)
            torch.manual_seed(seed)
            torch.set_grad_enabled(True)
            yield
        finally:
            torch.set_grad_enabled(grad)
            torch.set_default_dtype(dtype)
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(strict)
            torch.autograd.set_detect_anomaly(watching)
            numpy.random.set_state(state)
            random.setstate(plain)
