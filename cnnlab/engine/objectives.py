"""最小化什么：一次前向得到 {层名: 激活, "image": 图像}，各项加权求和，每项的值记账。

不管怎样优化；各项是什么在 terms。
"""

import functools
import itertools
import operator
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from cnnlab.core.arguments import checked
from cnnlab.core.checks import describe
from cnnlab.core.hooks import activations_of, as_seen, is_compiled, record_activations
from cnnlab.core.relu_rules import override_relu_gradient
from cnnlab.engine.terms import Term, Values, average_position
from cnnlab.networks.models import checked_scores


@checked
def objective(
    model: nn.Module | None, terms: Term | Sequence[Term], *, transform: Callable | None = None
) -> "Objective":
    """把各项合成一个损失：loss(image) → 标量，只算到最深的那一层。

    `transform` 只作用于送进网络的图像，图像先验看到的是变换之前的。`loss.ledger` 是账本。
    """
    return Objective(model, [terms] if isinstance(terms, Term) else list(terms), transform)


class Objective:
    """`objective` 的结果：可调用，记得每一次求值时每一项的贡献（权重 × 值）。"""

    def __init__(self, model: nn.Module | None, terms: list[Term], transform=None):
        if not terms:
            raise ValueError("一项也没有：terms 里至少要有一项，例如 -class_score(340)")
        wrong = [type(term).__name__ for term in terms if not isinstance(term, Term)]
        if wrong:
            raise TypeError(
                f"terms 里应当都是 Term，得到了 {'、'.join(wrong)}；图像的函数先用 image_prior 包起来"
            )
        self.model, self.transform = model, transform
        self.terms = _with_unique_names([term.bound(model) for term in terms])
        self.layers = list(dict.fromkeys(layer for term in self.terms for layer in term.layers))
        self._entries: dict[str, list[Tensor]] = {term.name: [] for term in self.terms}

    def values(self, image: Tensor) -> Values:
        """各项要用的量：一次前向，到最深的一层为止。"""
        layers = [layer for layer in self.layers if layer not in ("image", "scores")]
        seen = image if self.transform is None else self.transform(image)
        seen = seen if self.model is None else as_seen(self.model, seen)
        class_map = getattr(self.model, "class_map", None)
        if "scores" not in self.layers:
            values = activations_of(self.model, seen, layers) if layers else {}
        elif class_map:
            values = activations_of(self.model, seen, [*layers, class_map])
            values["scores"] = average_position(values[class_map])
        else:
            with record_activations(self.model, layers) as values:
                scores = checked_scores(self.model, seen)
            values["scores"] = scores
        return {**values, "image": image}

    def __call__(self, image: Tensor) -> Tensor:
        parts = self._parts(image)
        for name, part in parts.items():
            self._entries[name].append(part.detach())
        return functools.reduce(operator.add, parts.values())

    def _parts(self, image: Tensor) -> dict[str, Tensor]:
        values, parts = self.values(image), {}
        for term in self.terms:
            part = term.value(values)
            if not isinstance(part, Tensor) or part.numel() != 1:
                raise ValueError(
                    f"{term.name} 这一项应给出一个数的张量，得到 {describe(part)}；先求和或求平均"
                )
            parts[term.name] = term.weight * part
        return parts

    @property
    def ledger(self) -> dict[str, list[float]]:
        """账本：{项名: 每次求值时的贡献}；各项同一次的贡献相加就是损失。"""
        return {
            name: [float(entry) for entry in entries] for name, entries in self._entries.items()
        }

    @property
    def losses(self) -> list[float]:
        """每次求值时各项之和。"""
        # 求值途中被打断时，各项可能差一个：以都有的为准
        return [sum(parts) for parts in zip(*self.ledger.values(), strict=False)]


# 头几步里，关着的 ReLU 也放行往上走的梯度
WAKING_STEPS = 16


def waking(model: nn.Module, loss: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """同一个损失，只是头几次求值时，一张图的梯度在某个 ReLU 处全被关掉，就放行使它变大的那一部分。

    许多通道在噪声上一个位置也不亮，梯度恰为 0，图像永远是灰的；亮着的通道不受影响，梯度逐位相同。
    出处：lucid 的 redirected ReLU（Olah 等，2017）。
    """
    count = itertools.count()

    def run(image: Tensor) -> Tensor:
        if next(count) >= WAKING_STEPS or any(map(is_compiled, model.modules())):
            return loss(image)
        with override_relu_gradient(model, _redirected):
            return loss(image)

    return run


def _redirected(gradient: Tensor, slope: Tensor) -> Tensor:
    passed = gradient * slope
    silent = ~passed.flatten(1).any(1).view(-1, *[1] * (passed.dim() - 1))
    return torch.where(silent, gradient.clamp_max(0), passed)


def _with_unique_names(terms: list[Term]) -> list[Term]:
    total, seen, named = Counter(term.name for term in terms), Counter(), []
    for term in terms:
        seen[term.name] += 1
        again = f"{term.name} #{seen[term.name]}"
        named.append(replace(term, name=again) if total[term.name] > 1 else term)
    return named
