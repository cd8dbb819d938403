"""唯一登记钩子的地方：只以 with 的形式使用，用完必摘，中途报错也摘。

不管拿到激活或改写梯度之后做什么。
"""

import functools
import itertools
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

import torch
from torch import Tensor, nn

from cnnlab.core.arguments import checked
from cnnlab.core.checks import check_kind, describe, wholes
from cnnlab.core.names import unknown


def named_layers(model: nn.Module) -> dict[str, nn.Module]:
    """模型里可以按名字取用的层：有论文名用论文名（`model.layers`），否则用模块路径。"""
    if any(map(is_compiled, model.modules())):
        raise ValueError(
            f"{type(model).__name__} 是编译过的模块，里面的层时而看得见时而看不见；传编译之前的那个 nn.Module"
        )
    layers = getattr(model, "layers", None)
    if isinstance(layers, dict):
        return layers
    return {name: module for name, module in model.named_modules() if name}


def find_layer(model: nn.Module, name: str) -> nn.Module:
    """按名字找一层；找不到时列出相近的名字和全部的层。"""
    return _found(named_layers(model), name)


def _found(layers: dict[str, nn.Module], name: str) -> nn.Module:
    if not isinstance(name, str):
        raise ValueError(
            f"层要用名字（字符串）指明，得到 {describe(name)}；这个模型的层：{'、'.join(layers)}"
        )
    if name not in layers:
        parts = re.split(r"[,，、;；\s]+", name.strip())
        several = f"；几层要写成列表：{parts}" if len(parts) > 1 and {*parts} <= {*layers} else ""
        raise unknown("层", name, layers, hint=several)
    if isinstance(layers[name], torch.jit.ScriptModule):
        raise ValueError(f"{name} 是 TorchScript 模块，取不出它的激活；传编译之前的那个 nn.Module")
    return layers[name]


def output_shapes(model: nn.Module, image: Tensor) -> dict[str, tuple]:
    """各层输出的形状 {层名: 形状}，按算完的先后；没有用到的、输出不是一个张量的层不在里面。"""
    shapes = {}

    def note(name: str) -> Callable:
        def hook(module, inputs, output):
            if isinstance(output, Tensor):
                shapes.setdefault(name, tuple(output.shape))

        return hook

    layers = named_layers(model).items()
    with (
        torch.no_grad(),
        evaluating(model),
        hooked([(layer.register_forward_hook, note(name)) for name, layer in layers]),
    ):
        run_model(model, image)
    return shapes


def layer_names(layers) -> list[str]:
    """一个层名或一组层名，变成列表。"""
    if isinstance(layers, str | Tensor) or not isinstance(layers, Iterable):
        return [layers]
    return list(layers)


def find_call(layers: dict[str, nn.Module], name: str) -> tuple[nn.Module, int]:
    """层名写成 "relu:2" 时是 relu 在一次前向里的第 2 次使用；不写次数是第 1 次。得到（模块，第几次）。"""
    found = re.fullmatch(r"(.+):([1-9]\d*)", name) if isinstance(name, str) else None
    if found is None or name in layers:
        return _found(layers, name), 1
    return _found(layers, found[1]), int(found[2])


# 各次求值都要评估模式：两个线程同时用一个模型时，最后离开的那个才恢复
_HELD: dict[nn.Module, int] = {}
_HOLDING = threading.Lock()


def channel_list(channels, count: int) -> list[int]:
    """要的通道号：None 是全部 `count` 个，一个整数是这一个；超出范围时说明。"""
    wanted = list(range(count)) if channels is None else wholes(channels, "channels")
    if wrong := [each for each in wanted if not 0 <= each < count]:
        raise ValueError(f"没有通道 {wrong}：这一层有 {count} 个通道，编号 0 到 {count - 1}")
    return wanted


def device_of(model: nn.Module) -> torch.device:
    """模型的参数在哪个设备上；没有参数时看缓冲区，都没有是 CPU。"""
    tensors = [*itertools.islice(model.parameters(), 1), *itertools.islice(model.buffers(), 1)]
    return tensors[0].device if tensors else torch.device("cpu")


# 前向还没走完时，调用者的输入原来在哪个设备：记下的激活和结果回到那里
_HOME = threading.local()


def is_compiled(module: nn.Module) -> bool:
    """torch.compile(模块)、模块.compile() 两种。"""
    compiled = getattr(module, "_compiled_call_impl", None) is not None
    return compiled or "_orig_mod" in module._modules


@contextmanager
def answering(device: torch.device) -> Iterator[None]:
    """在 with 之内，这个线程的结果回到 `device`；套在里面的不算。"""
    outermost = getattr(_HOME, "device", None) is None
    try:
        if outermost:
            _HOME.device = device
        yield
    finally:
        if outermost:
            _HOME.device = None


def answers_where_asked(forward: Callable) -> Callable:
    """装饰器：forward 按网络的设备和精度算，结果回到输入原来的设备；计算图不断。尺寸不合时说明。"""

    @functools.wraps(forward)
    def run(network: nn.Module, given: Tensor, *others, **options):
        with answering(given.device), in_words(network, given):
            moved = check_kind(given, next(network.parameters(), None))
            return at_home(forward(network, moved, *others, **options))

    return run


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """暂时换到评估模式，离开时逐个模块恢复原来的模式；函数形式的 dropout 用掉的随机数也还回去。"""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model 应是 nn.Module，得到 {type(model).__name__}")
    training = [module for module in model.modules() if module.training or module in _HELD]
    held, generators = [], _generators(device_of(model))
    states = [each.get_state() for each in generators]
    try:
        with _HOLDING:
            for module in training:
                held.append(module)
                _HELD[module] = _HELD.get(module, 0) + 1
                module.training = False
        yield model
    finally:
        with _HOLDING:
            for module in held:
                left = _HELD.pop(module, 1) - 1
                module.training = left == 0
                if left:
                    _HELD[module] = left
        for generator, state in zip(generators, states, strict=True):
            # 没有动过就不写：别的线程这时可能正在抽
            if not torch.equal(generator.get_state(), state):
                generator.set_state(state)


def _generators(device: torch.device) -> list[torch.Generator]:
    """全局的随机数发生器；模型在 GPU 上时连同那里的。"""
    on_gpu = [torch.cuda.default_generators[device.index]] if device.type == "cuda" else []
    return [torch.default_generator, *on_gpu]


@contextmanager
def hooked(registrations) -> Iterator[None]:
    """在 with 之内挂上若干钩子，[(登记的方法, 钩子), …]；别的线程里的前向看不见它们，离开时全部摘掉。"""
    owner, handles = threading.get_ident(), []

    def mine(hook: Callable) -> Callable:
        return lambda *inputs: hook(*inputs) if threading.get_ident() == owner else None

    try:
        for register, hook in registrations:
            handles.append(_registered(register, mine(hook)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _registered(register: Callable, hook: Callable):
    try:
        return register(hook)
    except RuntimeError as error:
        raise ValueError(
            f"挂不上钩子（{error}）；编译过的模块看不见里面的层，传编译之前的那个 nn.Module"
        ) from None


def as_seen(model: nn.Module, image: Tensor) -> Tensor:
    """网络看到的图：第一个卷积层只收一个通道的，看三个通道的平均。"""
    first = next((each for each in model.modules() if isinstance(each, nn.Conv2d)), None)
    grey = first is not None and first.in_channels == 1 and image.shape[1] == 3
    return image.mean(1, keepdim=True) if grey else image


def run_model(model: nn.Module, image: Tensor, *more):
    """model(image, …)，但送进去的是一份类型、设备与模型相同的副本：在输入上原地计算的网络改不到调用者的图。

    结果回到图像原来的设备。
    """
    parameter = next(model.parameters(), None)
    if parameter is not None and parameter.is_meta:
        raise ValueError(
            "网络在 meta 设备上，只有形状，没有权重；先 model.to_empty(device='cpu') 再读入权重"
        )
    given, image = image, check_kind(image, parameter)
    home = given.device
    with answering(home), in_words(model, image):
        return at_home(model(image.clone(), *more))


@contextmanager
def in_words(model: nn.Module, image: Tensor) -> Iterator[None]:
    """在 with 之内算 model(image)：尺寸、通道数不合时，把 torch 的错换成一句说明。"""
    try:
        yield
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = _reason(str(error), image, model)
        if reason is None:
            raise
        raise ValueError(reason) from error


def _reason(message: str, image: Tensor, model: nn.Module) -> str | None:
    """torch 的错里关于图像的几种，换成中文；别的错是 None。"""
    shape, name = tuple(image.shape), getattr(model, "network_name", "") or type(model).__name__
    if found := re.search(r"to have (\d+) channels, but got (\d+) channels", message):
        wanted, given = found.groups()
        if given == str(image.shape[1] if image.dim() > 1 else None):
            ways = {
                ("3", "1"): "灰度图先 image.expand(-1, 3, -1, -1)",
                ("1", "3"): "先变成灰度：image.mean(1, keepdim=True)",
            }
            way = ways.get((wanted, given), "换成通道数相同的图")
            return f"图像有 {given} 个通道，{name} 要 {wanted} 个；{way}"
    if re.search(
        r"[Kk]ernel size can't|[Oo]utput size is too small|is smaller than|[Pp]adding size should",
        message,
    ):
        return f"图像太小：{shape[-2:]}，{name} 的某一层已经没有像素可算；放大后再试"
    if found := re.search(r"Wrong image \w+! Expected (\d+)", message):
        side = found[1]
        return (
            f"图像是 {shape[-2:]}，{name} 只收 {side}×{side} 的图；先 resize(image, {side})（面板里写 photo_size={side}，"
            f"工作台里写 size={side}），合成图像时不用会改尺寸的变换（robust=False）"
        )
    if re.search(r"forward\(\) (missing|takes|expected)", message):
        return f"{name} 不能这样调用（{message.splitlines()[0]}）；换一个网络，或先把它包成只收图像的 nn.Module"
    if found := re.search(r"mat1 and mat2 shapes cannot be multiplied", message):
        side = getattr(model, "image_size", None)
        way = f"先 resize(image, {side})" if side else "换成它训练时的尺寸"
        return f"图像是 {shape[-2:]}，{name} 的线性层接不上（{message}）；{way}"
    return None


def at_home(value):
    """激活和结果回到调用者的输入原来的设备；半精度的网络算出来的，也变成 float32 再往下算。"""
    if not isinstance(value, Tensor):
        return value
    half = value.is_floating_point() and value.dtype.itemsize < 4
    return value.to(getattr(_HOME, "device", None), torch.float32 if half else value.dtype)


class _AllRecorded(Exception):
    """要的层都记下了，前向可以停了。"""


@contextmanager
def _recording(model: nn.Module, layers, stop: bool) -> Iterator[dict[str, Tensor]]:
    there = named_layers(model)
    wanted = {name: find_call(there, name) for name in layer_names(layers)}
    activations: dict[str, Tensor] = {}
    # 一次前向里各模块用到第几次；不在模型的前向里时（只调用了一个子模块）不数，记最近的一次
    calls, inside = Counter(), []

    def begin(*_) -> None:
        calls.clear()
        inside.append(True)

    def finish(*_) -> None:
        inside.clear()

    def keep(module, inputs, output):
        calls[module] += 1
        kept = at_home(output)
        for name, (each, number) in wanted.items():
            if each is module and (number == calls[module] or not inside):
                activations[name] = kept
        if stop and len(activations) == len(wanted):
            raise _AllRecorded
        # 后面可能有原地操作：把副本交给后面的层，记下的这一份不会被改写
        return kept.to(output, copy=True) if isinstance(output, Tensor) else None

    network = getattr(model, "network", None)
    whole = [model, network] if isinstance(network, nn.Module) else [model]
    hooks = [(each.register_forward_pre_hook, begin) for each in whole]
    hooks += [
        (each.register_forward_hook, keep) for each in {module for module, _ in wanted.values()}
    ]
    hooks += [(each.register_forward_hook, finish) for each in whole]
    with hooked(hooks):
        yield activations


@checked
@contextmanager
def record_activations(model: nn.Module, layers) -> Iterator[dict[str, Tensor]]:
    """在 with 之内，每次前向都把指定层的输出记进一个字典 {层名: 激活}。

    `layers` 是一个层名或一组层名；一次前向里用了几次的模块，名字是第 1 次，"名字:2" 是第 2 次。
    记下的激活在计算图上，也不会被后面的原地操作改写；只记这个线程的前向，离开 with 时钩子全部摘掉。
    """
    with _recording(model, layers, stop=False) as activations:
        yield activations


@checked
def activations_of(model: nn.Module, image: Tensor, layers) -> dict[str, Tensor]:
    """一次前向，得到 {层名: 激活}；要的层都算出来就停，不算后面的层。

    `image` 要梯度时保留计算图，否则不建图；按评估模式运行，之后恢复模型原来的模式。
    一次前向里用了几次的模块，名字是第 1 次，"名字:2" 是第 2 次。
    """
    names = layer_names(layers)
    check_kind(image)
    with (
        evaluating(model),
        torch.set_grad_enabled(image.requires_grad),
        _recording(model, names, True) as activations,
        suppress(_AllRecorded),
    ):
        run_model(model, image)
    _check_reached([name for name in names if name not in activations])
    return activations


def input_of(model: nn.Module, image: Tensor, layer: str) -> Tensor:
    """一次前向，得到第一次进入 `layer` 的那个张量；到这一层就停。其余约定同 `activations_of`。"""
    found = []

    def hook(module, inputs):
        found.append(at_home(inputs[0]))
        raise _AllRecorded

    check_kind(image)
    with (
        evaluating(model),
        torch.set_grad_enabled(image.requires_grad),
        hooked([(find_layer(model, layer).register_forward_pre_hook, hook)]),
        suppress(_AllRecorded),
    ):
        run_model(model, image)
    _check_reached([] if found else [layer])
    return found[0]


def _check_reached(missing: list[str]) -> None:
    if missing:
        reasons = "这一层只在训练时用；或一次前向里没有用到那么多次（名字里的 :2 是第 2 次）"
        raise ValueError(f"前向没有经过 {'、'.join(missing)}。可能的原因：{reasons}")
