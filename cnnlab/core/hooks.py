"""唯一登记钩子的地方：只以 with 的形式使用，用完必摘，中途报错也摘。

不管拿到激活或改写梯度之后做什么。
"""

import difflib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import torch
from torch import Tensor, nn


def named_layers(model: nn.Module) -> dict[str, nn.Module]:
    """模型里可以按名字取用的层：有论文名用论文名（`model.layers`），否则用模块路径。"""
    layers = getattr(model, "layers", None)
    return (
        layers
        if isinstance(layers, dict)
        else {name: module for name, module in model.named_modules() if name}
    )


def find_layer(model: nn.Module, name: str) -> nn.Module:
    """按名字找一层；找不到时列出相近的名字和全部的层。"""
    layers = named_layers(model)
    if name in layers:
        return layers[name]
    near = difflib.get_close_matches(str(name), layers, n=5, cutoff=0.5)
    hint = f"；相近的有 {'、'.join(near)}" if near else ""
    raise ValueError(f"没有名为 {name!r} 的层{hint}。这个模型的层：{'、'.join(layers)}")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """暂时换到评估模式，离开时逐个模块恢复原来的模式。"""
    # 每次求值都要走一遍：自己走比 model.modules() 快好几倍
    training, waiting = [], [model]
    while waiting:
        module = waiting.pop()
        waiting += [child for child in module._modules.values() if child is not None]
        if module.training:
            training.append(module)
    for module in training:
        module.training = False
    try:
        yield model
    finally:
        for module in training:
            module.training = True


class _AllRecorded(Exception):
    """要的层都记下了，前向可以停了。"""


def _works_in_place(model: nn.Module) -> bool:
    return not getattr(getattr(model, "network", model), "in_place_free", False)


@contextmanager
def _recording(model: nn.Module, layers, stop: bool) -> Iterator[dict[str, Tensor]]:
    names = [layers] if isinstance(layers, str) else list(layers)
    modules = {name: find_layer(model, name) for name in names}
    activations: dict[str, Tensor] = {}
    copying = _works_in_place(model)

    def keep(name: str) -> Callable:
        def hook(module, inputs, output):
            activations[name] = output
            if stop and len(activations) == len(modules):
                raise _AllRecorded
            # 后面可能有原地操作：把副本交给后面的层，记下的这一份不会被改写
            return output.clone() if copying and isinstance(output, Tensor) else None

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    try:
        yield activations
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def record_activations(model: nn.Module, layers) -> Iterator[dict[str, Tensor]]:
    """在 with 之内，每次前向都把指定层的输出记进一个字典 {层名: 激活}。

    `layers` 是一个层名或一组层名。记下的激活在计算图上，也不会被后面的原地操作改写；离开 with 时钩子全部摘掉。
    """
    with _recording(model, layers, stop=False) as activations:
        yield activations


def activations_of(model: nn.Module, image: Tensor, layers) -> dict[str, Tensor]:
    """一次前向，得到 {层名: 激活}；要的层都算出来就停，不算后面的层。

    `image` 要梯度时保留计算图，否则不建图；按评估模式运行，之后恢复模型原来的模式。
    """
    names = [layers] if isinstance(layers, str) else list(layers)
    with (
        evaluating(model),
        torch.set_grad_enabled(image.requires_grad),
        _recording(model, names, True) as activations,
        suppress(_AllRecorded),
    ):
        model(image)
    _check_reached([name for name in names if name not in activations])
    return activations


def input_of(model: nn.Module, image: Tensor, layer: str) -> Tensor:
    """一次前向，得到进入 `layer` 的那个张量；到这一层就停。其余约定同 `activations_of`。"""
    found = []

    def hook(module, inputs):
        found.append(inputs[0])
        raise _AllRecorded

    with evaluating(model), torch.set_grad_enabled(image.requires_grad):
        handle = find_layer(model, layer).register_forward_pre_hook(hook)
        try:
            model(image)
        except _AllRecorded:
            pass
        finally:
            handle.remove()
    _check_reached([] if found else [layer])
    return found[0]


def _check_reached(missing: list[str]) -> None:
    if missing:
        reasons = "模块换成了别的，名字还指着旧的（换过就重新 wrap_model）；或这一层只在训练时用"
        raise ValueError(f"前向没有经过 {'、'.join(missing)}。可能的原因：{reasons}")
