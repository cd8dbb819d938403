"""唯一的图像优化循环：最小化任何 图像 → 标量 的函数。

不管模型、钩子和目标。优化器的走法在 optimizers，结果怎样记下来、怎样重做在 results。
"""

import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cnnlab.core.arguments import checked
from cnnlab.core.hooks import device_of
from cnnlab.core.values import describe
from cnnlab.engine.optimizers import OptimizerFactory, adam, find_optimizer, lbfgs, sgd
from cnnlab.engine.parameterizations import PixelImage
from cnnlab.engine.priors import compose
from cnnlab.engine.stopping import stoppable

__all__ = ["Step", "adam", "lbfgs", "optimize_image", "progress", "sgd"]


@dataclass(frozen=True)
class Step:
    """优化途中的一次求值：第几次（从 0 起）、这张图的损失、这张图（副本，可以留着）。"""

    index: int
    loss: float
    image: Tensor


@checked
def optimize_image(
    image: Tensor | nn.Module,
    loss: Callable[[Tensor], Tensor],
    *,
    steps: int = 256,
    optimizer: str | OptimizerFactory = "adam",
    transform=None,
    after_step=None,
    on_step: Callable[[Step], None] | None = None,
) -> Tensor:
    """走 `steps` 步让 loss(transform(image)) 变小，得到图像 (N, C, H, W)，与起点在一个设备上。

    `image` 是起点张量（不会被改动），或参数即图像的模块（其参数就地更新）。
    `optimizer` 是 "adam"、"sgd"、"lbfgs"，或 `adam(...)` 之类的工厂；`transform` 是一个或一组变换；
    `after_step` 是一个或一组投影 (参数, 梯度, 第几步) → 参数。`objective` 的损失在它的模型所在的设备上算。按 Ctrl-C 时给出到那时损失最低的图像。
    """
    module = image if isinstance(image, nn.Module) else PixelImage(image)
    home, model = device_of(module), getattr(loss, "model", None)
    module.to(device_of(model) if isinstance(model, nn.Module) else home)
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if not parameters:
        raise ValueError("image 这个模块里没有要优化的参数；先 image.requires_grad_(True)")
    run = _Evaluation(module, parameters, loss, _one(transform, compose), on_step, home)
    run.stops_when_dead = transform is None and after_step is None
    project = _one(after_step, _in_turn)
    stepper = find_optimizer(optimizer)(parameters)
    try:
        _walk(run, stepper, project, steps)
    finally:
        for parameter in parameters:
            parameter.grad = None
        module.to(home)
    with torch.no_grad():
        result = module().detach().clone(memory_format=torch.contiguous_format)
    if not torch.isfinite(result).all():
        raise FloatingPointError(
            f"走了 {run.steps} 步之后图像里出现了 NaN 或无穷大；把学习率或权重调小"
        )
    return result


def _walk(run: "_Evaluation", stepper, project, steps: int) -> None:
    """走 `steps` 步；按了 Ctrl-C 就停在到那时损失最低的图上。"""
    with stoppable() as stop:
        try:
            while run.steps < steps and not (run.dead or stop.asked):
                stepper.step(run)
                if project is not None:
                    _project(run.parameters, project, run.steps)
                run.steps += 1
        except KeyboardInterrupt:
            stop.asked = True
        if stop.asked:
            run.restore_best()


class _Evaluation:
    """交给优化器的闭包：求一次损失和梯度，查错、记下最好的、通知 `on_step`。"""

    def __init__(self, module, parameters, loss, transform, on_step, home):
        self.module, self.parameters, self.loss = module, parameters, loss
        self.transform, self.on_step, self.home = transform, on_step, home
        self.steps, self.count, self.dead = 0, 0, False
        self.lowest, self.best = math.inf, []

    @torch.enable_grad()
    def __call__(self) -> Tensor:
        image = self.module()
        value = self._loss_of(image)
        gradients = _gradients(value, self.parameters)
        number = float(value.detach())
        if not math.isfinite(number + sum(float(gradient.sum()) for gradient in gradients)):
            what = "梯度里有 NaN 或无穷大" if math.isfinite(number) else f"损失是 {number}"
            raise FloatingPointError(
                f"第 {self.count} 次求值时{what}，优化停止；把学习率或权重调小，或查一查起点和各项的值"
            )
        still = _still_pictures(gradients, len(image)) if self.count == 0 else []
        if still:
            self.dead = self.stops_when_dead and len(still) == len(image)
            _warn_dead_start(number, still, len(image))
        if number < self.lowest:
            self._keep(number)
        if self.on_step is not None:
            self.on_step(Step(self.count, number, image.detach().clone().to(self.home)))
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            # 布局与参数一致：逐元素的运算才快
            parameter.grad = torch.empty_like(parameter, requires_grad=False).copy_(gradient)
        self.count += 1
        return value.detach()

    def _keep(self, number: float) -> None:
        self.lowest = number
        # 每次写进同一块内存：反复申请大块内存比复制还慢
        self.best = self.best or [each.detach().clone() for each in self.parameters]
        for best, parameter in zip(self.best, self.parameters, strict=True):
            best.copy_(parameter.detach())

    def _loss_of(self, image: Tensor) -> Tensor:
        try:
            return self.loss(image if self.transform is None else self.transform(image))
        except ValueError as error:
            furthest = float(image.detach().abs().max())
            if self.count == 0 or furthest < 10:
                raise
            message = f"走了 {self.count} 步之后图像的值到了 {furthest:.3g}，优化发散了；把学习率调小，或加 after_step=clamp()"
            raise FloatingPointError(message) from error

    @torch.no_grad()
    def restore_best(self) -> None:
        for parameter, best in zip(self.parameters, self.best, strict=False):
            parameter.copy_(best)


def _gradients(value: Tensor, parameters: list[Tensor]) -> Sequence[Tensor]:
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise ValueError(
            f"loss(image) 应当给出一个标量张量，得到的是 {describe(value)}；先求和或求平均"
        )
    unused = "损失不依赖图像：没有梯度可以传回来。常见原因：算损失时用了 detach、no_grad、取整或 argmax，或层在图像之前"
    if not value.requires_grad:
        raise ValueError(unused)
    gradients = torch.autograd.grad(value, parameters, allow_unused=True)
    if all(gradient is None for gradient in gradients):
        raise ValueError(unused)
    return [
        torch.zeros_like(parameter) if gradient is None else gradient
        for gradient, parameter in zip(gradients, parameters, strict=True)
    ]


def _still_pictures(gradients: Sequence[Tensor], count: int) -> list[int]:
    """一批里梯度恰好处处为 0 的是哪几张；参数不是每张图一份时，只看全部是不是都为 0。"""
    if not all(gradient.dim() and len(gradient) == count for gradient in gradients):
        return [] if any(bool(gradient.any()) for gradient in gradients) else list(range(count))
    moving = torch.stack([gradient.flatten(1).any(1) for gradient in gradients]).any(0)
    return (~moving).nonzero()[:, 0].tolist()


def _warn_dead_start(loss: float, still: list[int], count: int) -> None:
    which = "" if len(still) == count else f"第 {'、'.join(map(str, still))} 张（从 0 数）"
    reasons = "起点上所要的单元全被 ReLU 关掉（死起点：换起点，或取 ReLU 之前的层）、取值被截断而饱和，或起点已是最低处"
    warnings.warn(
        f"{which}起点的梯度恰好处处为 0（损失 {loss:.4g}），图像不会动。可能的原因：{reasons}",
        RuntimeWarning,
        stacklevel=6,
    )


def _project(parameters: list[Tensor], project, index: int) -> None:
    with torch.no_grad():
        for parameter in parameters:
            projected = project(parameter.detach(), parameter.grad, index)
            if projected is not parameter:
                parameter.copy_(projected)


def _in_turn(*projections):
    """几个投影依次作用。"""

    def apply(image, gradient, index):
        for projection in projections:
            image = projection(image, gradient, index)
        return image

    return apply


def _one(function, join):
    """一个函数、一组函数或 None，变成一个函数或 None。"""
    if function is None or callable(function):
        return function
    return join(*function) if len(function) else None


# 进度


@contextmanager
def progress(
    total: int, description: str = "", on_step: Callable[[Step], None] | None = None
) -> Iterator[Callable[[Step], None]]:
    """一条走完就消失的进度条：with progress(256, "斑马") as on_step: optimize_image(..., on_step=on_step)。

    已有的 `on_step` 会接着被调用。环境变量 CNNLAB_BARS=0 时不显示。
    """
    from tqdm.auto import tqdm

    hidden = os.environ.get("CNNLAB_BARS") == "0"
    with tqdm(total=total, desc=description, leave=False, disable=hidden) as bar:

        def update(step: Step) -> None:
            bar.set_postfix_str(f"损失 {step.loss:.4g}", refresh=False)
            bar.update()
            if on_step is not None:
                on_step(step)

        yield update
