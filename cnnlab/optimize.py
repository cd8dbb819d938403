"""唯一的图像优化循环：最小化任何 图像 → 标量 的函数。

不管模型、钩子和目标。优化器、进度条也在这里；结果怎样记下来、怎样重做在 results。
"""

import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cnnlab.parameterizations import PixelImage
from cnnlab.priors import compose

OptimizerFactory = Callable[[list[Tensor]], torch.optim.Optimizer]


@dataclass(frozen=True)
class Step:
    """优化途中的一次求值：第几次（从 0 起）、这张图的损失、这张图（副本，可以留着）。"""

    index: int
    loss: float
    image: Tensor


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
    """走 `steps` 步让 loss(transform(image)) 变小，得到图像 (N, C, H, W)。

    `image` 是起点张量（不会被改动），或参数即图像的模块（其参数就地更新）。
    `optimizer` 是 "adam"、"sgd"、"lbfgs"，或 `adam(...)` 之类的工厂；`transform` 是一个或一组变换；
    `after_step` 是一个或一组投影 (参数, 梯度, 第几步) → 参数。按 Ctrl-C 时给出到那时损失最低的图像。
    """
    if steps < 0:
        raise ValueError(f"steps 是 {steps}，应为不小于 0 的整数")
    module = image if isinstance(image, nn.Module) else PixelImage(image)
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    run = _Evaluation(module, parameters, loss, _one(transform, compose), on_step)
    run.stops_when_dead = transform is None and after_step is None
    project = _one(after_step, _in_turn)
    stepper = _factory(optimizer)(parameters)
    try:
        while run.steps < steps and not run.dead:
            stepper.step(run)
            if project is not None:
                _project(parameters, project, run.steps)
            run.steps += 1
    except KeyboardInterrupt:
        run.restore_best()
    finally:
        for parameter in parameters:
            parameter.grad = None
    with torch.no_grad():
        result = module().detach().clone(memory_format=torch.contiguous_format)
    if not torch.isfinite(result).all():
        raise FloatingPointError(f"走了 {run.steps} 步之后图像里出现了 NaN 或无穷大；把学习率或权重调小")
    return result


class _Evaluation:
    """交给优化器的闭包：求一次损失和梯度，查错、记下最好的、通知 `on_step`。"""

    def __init__(self, module, parameters, loss, transform, on_step):
        self.module, self.parameters, self.loss = module, parameters, loss
        self.transform, self.on_step = transform, on_step
        self.steps, self.count, self.dead, self.stops_when_dead = 0, 0, False, True
        self.lowest, self.best = math.inf, None

    @torch.enable_grad()
    def __call__(self) -> Tensor:
        image = self.module()
        value = self.loss(image if self.transform is None else self.transform(image))
        gradients = _gradients(value, self.parameters)
        number = float(value.detach())
        size = sum(float(gradient.abs().sum()) for gradient in gradients)
        if not math.isfinite(number) or not math.isfinite(size):
            what = f"损失是 {number}" if not math.isfinite(number) else "梯度里有 NaN 或无穷大"
            raise FloatingPointError(
                f"第 {self.count} 次求值时{what}，优化停止；把学习率或权重调小，或查一查起点和各项的值"
            )
        if self.count == 0 and size == 0:
            self.dead = self.stops_when_dead
            _warn_dead_start(number)
        if number < self.lowest:
            self.lowest, self.best = number, [parameter.detach().clone() for parameter in self.parameters]
        if self.on_step is not None:
            self.on_step(Step(self.count, number, image.detach().clone()))
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        self.count += 1
        return value.detach()

    def restore_best(self) -> None:
        if self.best is not None:
            with torch.no_grad():
                for parameter, best in zip(self.parameters, self.best, strict=True):
                    parameter.copy_(best)


def _gradients(value: Tensor, parameters: list[Tensor]) -> Sequence[Tensor]:
    if not isinstance(value, Tensor) or value.numel() != 1:
        what = f"形状 {tuple(value.shape)} 的张量" if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"loss(image) 应当给出一个标量张量，得到的是{what}；先求和或求平均")
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


def _warn_dead_start(loss: float) -> None:
    reasons = "起点上所要的单元全被 ReLU 关掉（死起点：换起点，或取 ReLU 之前的层）、取值被截断而饱和，或起点已是最低处"
    warnings.warn(
        f"起点的梯度恰好处处为 0（损失 {loss:.4g}），图像不会动。可能的原因：{reasons}",
        RuntimeWarning,
        stacklevel=5,
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


# 优化器


def adam(learning_rate: float = 0.05, *, betas: tuple[float, float] = (0.9, 0.999)) -> OptimizerFactory:
    """Adam（Kingma 与 Ba，2015）：每个像素每步约走 `learning_rate`。"""
    return lambda parameters: torch.optim.Adam(parameters, lr=learning_rate, betas=betas)


def sgd(
    learning_rate: float = 0.05, *, momentum: float = 0.0, normalize: str | None = None
) -> OptimizerFactory:
    """梯度下降；`normalize="mean"` 先把每张图的梯度除以 |g| 的平均（DeepDream 的做法），"norm" 除以 ‖g‖。"""
    if normalize not in (None, "mean", "norm"):
        raise ValueError(f"没有名为 {normalize!r} 的归一化；可用 None、mean、norm")
    return lambda parameters: _NormalizedSGD(parameters, learning_rate, momentum, normalize)


def lbfgs(learning_rate: float = 1.0, *, history: int = 10, first_step: float = 0.01) -> OptimizerFactory:
    """L-BFGS（Liu 与 Nocedal，1989）：记住最近 `history` 步，不做线搜索，每步求值一次。

    还没有历史的第一步取每个元素平均走 `first_step`；步与步之间可以截断（按实际走过的距离记）。
    """
    return lambda parameters: _LimitedMemoryBFGS(parameters, learning_rate, history, first_step)


class _NormalizedSGD(torch.optim.SGD):
    def __init__(self, parameters, learning_rate, momentum, normalize):
        super().__init__(parameters, lr=learning_rate, momentum=momentum)
        self.normalize = normalize

    @torch.no_grad()
    def step(self, closure):
        loss = closure()
        for parameter in self.param_groups[0]["params"] if self.normalize else ():
            gradient = parameter.grad
            axes = tuple(range(1, gradient.dim()))
            if self.normalize == "mean":
                size = gradient.abs().mean(axes, keepdim=True)
            else:
                size = gradient.square().sum(axes, keepdim=True).sqrt()
            parameter.grad = gradient / size.clamp_min(torch.finfo(size.dtype).tiny)
        super().step()
        return loss


class _LimitedMemoryBFGS(torch.optim.Optimizer):
    def __init__(self, parameters, learning_rate, history, first_step):
        super().__init__(parameters, {"lr": learning_rate})
        self.history, self.first_step = history, first_step
        self.pairs, self.previous = [], None

    @torch.no_grad()
    def step(self, closure):
        loss = closure()
        group = self.param_groups[0]
        position = torch.cat([parameter.flatten() for parameter in group["params"]])
        gradient = torch.cat([parameter.grad.flatten() for parameter in group["params"]])
        if self.previous is not None:
            self._remember(position - self.previous[0], gradient - self.previous[1])
        self.previous = position, gradient
        move = self._direction(gradient).mul_(-group["lr"])
        pieces = move.split([parameter.numel() for parameter in group["params"]])
        for parameter, piece in zip(group["params"], pieces, strict=True):
            parameter.add_(piece.view(parameter.shape))
        return loss

    def _remember(self, moved: Tensor, change: Tensor) -> None:
        curvature = torch.dot(moved, change)
        # 曲率不为正的一对会把下降方向弄反，不记
        if curvature > 1e-8 * moved.norm() * change.norm():
            self.pairs = [*self.pairs, (moved, change, curvature)][-self.history :]

    def _direction(self, gradient: Tensor) -> Tensor:
        """两遍循环：近似的逆黑塞矩阵乘梯度。"""
        if not self.pairs:
            return gradient * (
                self.first_step / gradient.abs().mean().clamp_min(torch.finfo(gradient.dtype).tiny)
            )
        result, coefficients = gradient.clone(), []
        for moved, change, curvature in reversed(self.pairs):
            coefficients.append(torch.dot(moved, result) / curvature)
            result.sub_(coefficients[-1] * change)
        _, change, curvature = self.pairs[-1]
        result.mul_(curvature / change.square().sum())
        for (moved, change, curvature), coefficient in zip(self.pairs, reversed(coefficients), strict=True):
            result.add_((coefficient - torch.dot(change, result) / curvature) * moved)
        return result


OPTIMIZERS = {"adam": adam, "sgd": sgd, "lbfgs": lbfgs}


def _factory(optimizer: str | OptimizerFactory) -> OptimizerFactory:
    if callable(optimizer):
        return optimizer
    if optimizer not in OPTIMIZERS:
        raise ValueError(
            f"没有名为 {optimizer!r} 的优化器；可用 {'、'.join(OPTIMIZERS)}，或 adam(0.02) 之类的工厂"
        )
    return OPTIMIZERS[optimizer]()


@contextmanager
def progress(
    total: int, description: str = "", on_step: Callable[[Step], None] | None = None
) -> Iterator[Callable[[Step], None]]:
    """一条走完就消失的进度条：with progress(256, "斑马") as on_step: optimize_image(..., on_step=on_step)。

    已有的 `on_step` 会接着被调用。环境变量 CNNLAB_PROGRESS=0 时不显示。
    """
    from tqdm.auto import tqdm

    hidden = os.environ.get("CNNLAB_PROGRESS") == "0"
    with tqdm(total=total, desc=description, leave=False, disable=hidden) as bar:

        def update(step: Step) -> None:
            bar.set_postfix_str(f"损失 {step.loss:.4g}", refresh=False)
            bar.update()
            if on_step is not None:
                on_step(step)

        yield update
