"""一张图怎样走到损失最小处：从哪里出发、怎样表示、用哪个优化器、加多少平滑。

不管损失里比的是什么（见 terms）；走步的循环在 optimize。
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from cnnlab.core.arguments import checked
from cnnlab.engine.optimize import adam, optimize_image
from cnnlab.engine.optimizers import OptimizerFactory
from cnnlab.engine.parameterizations import FourierImage
from cnnlab.engine.priors import clamp, total_variation
from cnnlab.engine.terms import Term, image_prior


@checked
@dataclass(frozen=True)
class Descent:
    """合成的走法：`start` 是起点（None 为各方法自己的起点），`tv` 是全变差（β = 2）的权重。

    `parameterization` 是 "fourier"（谱的每个数管整张图，没有逐像素的网格和边框）或 "pixel"（每步截到 [0, 1]）；
    `optimizer` 是 "lbfgs"、"adam"（步长 0.02）、"sgd"，或 adam(…) 之类的工厂。
    """

    start: str | Tensor | None = None
    parameterization: Literal["fourier", "pixel"] = "fourier"
    optimizer: str | OptimizerFactory = "lbfgs"
    tv: float = 0.0
    decay: float = 0.75

    def smoothness(self) -> list[Term]:
        """平滑项；权重为 0 时没有这一项。"""
        return [image_prior(total_variation, self.tv)] if self.tv else []

    def run(self, image: Tensor, loss, steps: int, on_step: Callable | None = None) -> Tensor:
        """从 `image` 走 `steps` 步让 loss(图像) 变小。"""
        fourier = self.parameterization == "fourier"
        if fourier and steps:
            image = FourierImage(image=image.clamp(0.02, 0.98), decay=self.decay)
        return optimize_image(
            image,
            loss,
            steps=steps,
            optimizer=adam(0.02) if self.optimizer == "adam" else self.optimizer,
            after_step=None if fourier else clamp(),
            on_step=on_step,
        )


def several_scales(count: int, sides) -> list[int]:
    """从小到大几个尺度要缩到几分之一，如 [4, 2, 1]；短边会小于 32 的尺度略去，原来的尺寸总在。"""
    factors = [2**level for level in reversed(range(count))]
    return [factor for factor in factors if factor == 1 or min(sides) // factor >= 32]
