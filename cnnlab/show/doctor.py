"""体检：模型或图像有哪些会让可视化悄悄出错的地方，各自该怎么办。

只看不改：模式、钩子、梯度、随机数的状态都和体检之前一样。
"""

from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from cnnlab.core.arguments import checked
from cnnlab.core.checks import check_images
from cnnlab.core.hooks import evaluating, run_model
from cnnlab.core.values import anything
from cnnlab.show.tables import show_table

# 不是模块的 ReLU：计算图里一步的种类，和它调用的函数或方法
LOOSE_RELUS = {
    "call_function": {
        functional.relu, functional.relu_, functional.relu6, torch.relu, torch.relu_,
    },
    "call_method": {"relu", "relu_"},
}  # fmt: skip
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass(frozen=True)
class Finding:
    """一条发现：轻重（"要改" 或 "留意"）、看到了什么、该怎么办。"""

    weight: str
    what: str
    advice: str


@dataclass(frozen=True)
class Report:
    """体检结果；findings 是全部发现，healthy 表示没有要改的。"""

    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        return all(finding.weight != "要改" for finding in self.findings)

    def __repr__(self) -> str:
        lines = [f"[{one.weight}] {one.what}\n       → {one.advice}" for one in self.findings]
        return "\n".join(lines) or "没有发现问题"

    def _table(self):
        rows = [(one.weight, one.what, one.advice) for one in self.findings]
        return show_table(rows or [("–", "没有发现问题", "–")], ["轻重", "发现", "怎么办"])

    def _repr_markdown_(self) -> str:
        return self._table()._repr_markdown_()

    def _repr_html_(self) -> str:
        return self._table()._repr_html_()


@checked(image=anything)
def doctor(model: nn.Module, image: Tensor | None = None) -> Report:
    """检查模型（和图像），得到一份报告；什么也不改。

    model 把 [0, 1] 的 (N, 3, H, W) 图像变成 (N, K) 个得分；给了 image 还检查图像本身、
    模型在它上面的输出，以及哪些类别的梯度在它上面恰好为零。
    """
    findings = [*_activations(model), *_modes(model), *_parameters(model), *_hooks(model)]
    if image is not None:
        problems = [*_image(image)]
        findings += problems
        if not any(problem.weight == "要改" for problem in problems):
            with torch.inference_mode(False), torch.enable_grad():
                findings += _outputs(model, image)
    return Report(tuple(findings))


def _listed(names, most: int = 4) -> str:
    names = list(names)
    return "、".join(names[:most]) + (f" 等 {len(names)} 处" if len(names) > most else "")


def _counted(counts: dict[str, int], unit: str = "次") -> str:
    return _listed(f"{name}（{count} {unit}）" for name, count in counts.items())


def _activations(model: nn.Module):
    """原地的、函数形式的、一个模块用几次的 ReLU。"""
    in_place = [name for name, module in model.named_modules() if getattr(module, "inplace", False)]
    if in_place:
        yield Finding("留意", f"原地操作的层：{_listed(in_place)}",
                      "自己写钩子时先 clone 再存；cnnlab 的 record_activations 已经这样做，wrap_model 会关掉原地操作")  # fmt: skip
    network = getattr(model, "network", model)
    try:
        graph = fx.Tracer().trace(network)
    except Exception as error:
        yield Finding("留意", f"追踪不了计算图（{type(error).__name__}），看不出有没有函数形式的 ReLU",
                      "对照源码，看 forward 里有没有 F.relu 或 torch.relu")  # fmt: skip
        return
    loose = Counter(
        _owner(node) for node in graph.nodes if node.target in LOOSE_RELUS.get(node.op, ())
    )
    if loose:
        yield Finding("留意", f"函数形式的 ReLU，在 {_counted(loose)}",
                      "钩子挂不到它们上面；用 override_relu_gradient，或改写成 nn.ReLU 模块")  # fmt: skip
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    reused = {
        name: count for name, count in calls.items()
        if count > 1 and isinstance(network.get_submodule(name), (nn.ReLU, nn.ReLU6))
    }  # fmt: skip
    if reused:
        yield Finding("留意", f"同一个 ReLU 模块用了几次：{_counted(reused)}",
                      "按名字取到的是第 1 次的激活，第 2 次的名字后面加 :2，以此类推")  # fmt: skip


def _owner(node: fx.Node) -> str:
    """这一步写在哪个模块的 forward 里。"""
    return next(reversed(node.meta.get("nn_module_stack") or {}), "") or "最外层的 forward"


def _modes(model: nn.Module):
    """还在训练模式的随机失活与批量归一化。"""
    for kind, what, harm in (
        (nn.modules.dropout._DropoutNd, "随机失活", "每次前向的结果都不同"),
        (nn.modules.batchnorm._BatchNorm, "批量归一化", "得分随同批的图而变，前向还会改动统计量"),
    ):
        names = [
            name
            for name, module in model.named_modules()
            if isinstance(module, kind) and module.training
        ]
        if names:
            yield Finding(
                "要改", f"{what}在训练模式：{_listed(names)}；{harm}", "先调用 model.eval()"
            )


def _parameters(model: nn.Module):
    """非数的参数，仍要求梯度的参数。"""
    broken = [
        name for name, tensor in [*model.named_parameters(), *model.named_buffers()]
        if tensor.is_floating_point() and not torch.isfinite(tensor).all()
    ]  # fmt: skip
    if broken:
        yield Finding(
            "要改",
            f"参数里有 NaN 或无穷大：{_listed(broken)}",
            "重新载入权重；训练出来的，则减小学习率重训",
        )
    wanting = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    if wanting:
        yield Finding("留意", f"{len(wanting)} 组参数要求梯度",
                      "只看不训时调用 model.requires_grad_(False)，省时间，也不会误改权重")  # fmt: skip


def _hooks(model: nn.Module):
    """忘了摘的钩子。"""
    counts = {
        name or "整个模型": count
        for name, module in model.named_modules()
        if (count := sum(len(getattr(module, kind)) for kind in HOOKS))
    }
    if counts:
        yield Finding("要改", f"留着钩子：{_counted(counts, '个')}",
                      "对登记时得到的句柄调用 remove()；句柄已丢，就重新载入模型。用 with record_activations(…) 不会留下")  # fmt: skip


def _image(image):
    """图像合不合约定；合约定的，是不是几乎全黑、一片纯色、太小。"""
    try:
        low, high = (float(end) for end in check_images(image).detach().aminmax())
    except (TypeError, ValueError) as error:
        what, _, advice = str(error).partition("；")
        yield Finding("要改", what, advice)
        return
    if high <= 1 / 255:
        yield Finding("留意", f"图像几乎全黑，最大值是 {high:.3g}", "是不是除了两次 255？")
    elif high - low < 1e-3:
        yield Finding(
            "留意", f"图像是一片纯色，值都是 {high:.3g}", "换一张有内容的图，或从噪声开始"
        )
    height, width = image.shape[2:]
    if min(height, width) < 64:
        yield Finding(
            "留意",
            f"图像只有 {height}×{width}",
            "在 ImageNet 上训练的网络习惯 224 上下；用 load_image(…, size=224)",
        )


def _outputs(model: nn.Module, image: Tensor):
    """模型在这张图上的输出：能不能算、是不是概率、哪些类别的梯度恰好为零。"""
    image = image.detach().clone().requires_grad_()
    try:
        with evaluating(model):
            scores = run_model(model, image)
    except Exception as error:
        yield Finding("要改", f"前向报错：{error}", "先让 model(image) 跑通")
        return
    if not isinstance(scores, Tensor) or scores.dim() != 2:
        shape = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        yield Finding("要改", f"输出是 {shape}，应为 (N, K) 个得分", "包一层，只返回得分")
        return
    values = scores.detach()
    if not torch.isfinite(values).all():
        yield Finding("要改", "输出里有 NaN 或无穷大", "检查权重和输入的范围")
        return
    if values.min() >= 0 and torch.allclose(values.sum(1), values.new_ones(len(values))):
        yield Finding(
            "要改",
            "输出像是概率（非负，和为 1）",
            "去掉末尾的 softmax：对得分求导，饱和的概率几乎没有梯度",
        )
    yield from _dead(model, image, scores)


def _dead(model: nn.Module, image: Tensor, scores: Tensor):
    """得分恰为 0 且梯度恰为 0 的类别：上升到不了那里。"""
    if not scores.requires_grad:
        yield Finding(
            "要改", "得分对图像没有梯度", "forward 里不能有 detach、no_grad 或转成 numpy 的步骤"
        )
        return
    top = scores.max(1).values.sum()
    if not _gradient(top, image).any():
        yield Finding(
            "要改",
            "最高得分的类别对图像的梯度恰好为零",
            "换一张图，或从噪声开始；看看是不是整层激活都是 0",
        )
    silent = ((scores == 0).all(0)).nonzero()[:, 0].tolist()
    if silent and not _gradient(scores[:, silent[0]].sum(), image).any():
        layer = getattr(model, "class_map", None)
        way = (
            f"改为对 ReLU 之前的 {layer} 求导（class_image 已经这样做）"
            if layer
            else "改为对末尾 ReLU 之前的值求导"
        )
        yield Finding("留意", f"{scores.shape[1]} 个类别中有 {len(silent)} 个得分恰为 0，梯度也恰为 0（例如类别 {silent[0]}）",
                      f"以它们为目标的显著图是全零，梯度上升也动不了：{way}")  # fmt: skip


def _gradient(value: Tensor, image: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(value, image, retain_graph=True, allow_unused=True)
    return torch.zeros_like(image) if gradient is None else gradient
