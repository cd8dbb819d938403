"""模型：归一化在里面，论文里的层名，冻结、评估模式、channels_last；得分是 softmax 之前的数。

不读写图像文件，也不管拿得分做什么。
"""

import copy
import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from cnnlab.core.arguments import checked
from cnnlab.core.checks import check_images, check_kind, describe, whole
from cnnlab.core.hooks import (
    activations_of,
    answering,
    at_home,
    evaluating,
    find_layer,
    in_words,
    input_of,
    run_model,
)
from cnnlab.core.names import unknown
from cnnlab.core.profiles import default_device, device_here
from cnnlab.core.values import anything
from cnnlab.networks.zoo import ZOO, ModelInfo, build


class VisionModel(nn.Module):
    """接受 [0, 1] 图像的分类网络：`model(image)` 得 (N, K) 个得分。

    `.categories` 是类别名，`.layers` 是 {论文名: 模块}，`.features(image)` 是 (N, D) 的倒数第二层特征，
    `.class_map` 是结尾带 ReLU 的网络里 ReLU 之前的类别图的层名（没有则为 None）。
    在模型所在的设备上算，得分回到图像所在的设备。
    """

    @checked
    def __init__(
        self,
        network: nn.Module,
        *,
        mean,
        std,
        categories=None,
        layers=None,
        name="",
        penultimate=None,
        class_map=None,
    ):
        super().__init__()
        if isinstance(network, torch.jit.ScriptModule):
            raise ValueError("这是 TorchScript 模块，看不见里面的层；传编译之前的那个 nn.Module")
        self.network = _prepare(network)
        mean, std = (_statistic(value, what) for value, what in ((mean, "mean"), (std, "std")))
        # 与网络在一处、同一种精度：包进来的网络可能已经在 GPU 上
        parameter = next(filter(Tensor.is_floating_point, self.network.parameters()), mean)
        self.register_buffer("mean", mean.to(parameter))
        self.register_buffer("std", std.to(parameter))
        # 乘倒数比除快；三个通道相同就只留一个数：反向时在 channels_last 上逐通道乘要慢六倍
        scale = self.std.reciprocal()
        even = (scale == scale[:, :1]).all()
        self.register_buffer("scale", scale[:, :1] if even else scale, persistent=False)
        self._paths = layers and dict(layers)
        modules = dict(self.network.named_modules())
        missing = [path for path in (layers or {}).values() if path not in modules]
        if missing:
            raise ValueError(
                f"网络里没有这些模块：{'、'.join(missing)}；有的是 {'、'.join(filter(None, modules))}"
            )
        self.categories, self.network_name = categories, name
        self.penultimate, self.class_map = penultimate, class_map
        # 由 load_model 按名字建成的，换一台机器还能照名字再取
        self.from_zoo = False
        self.eval()

    @property
    def layers(self) -> dict[str, nn.Module]:
        """{论文名: 模块}，每次现查：换掉一个模块之后，名字指着新的。"""
        modules = dict(self.network.named_modules())
        paths = self._paths or {path: path for path in modules if path}
        return {name: modules[path] for name, path in paths.items() if path in modules}

    @checked(image=anything)
    def forward(self, image: Tensor) -> Tensor:
        home = check_images(image, bounded=False).device
        image = check_kind(image, self.mean)
        if image.shape[1] != self.mean.shape[1] > 1:
            raise ValueError(
                f"图像的形状是 {tuple(image.shape)}，应为 (N, 3, H, W)；灰度图先 image.expand(-1, 3, -1, -1)"
            )
        # 先归一化再换布局：在 channels_last 上逐通道运算要慢一倍多
        normalized = (
            (image - self.mean).mul_(self.scale).contiguous(memory_format=torch.channels_last)
        )
        with answering(home), in_words(self.network, normalized):
            return at_home(self.network(normalized))

    def double(self) -> "VisionModel":
        """换成 float64，回到 CPU 上：有的加速器没有 float64。"""
        self.cpu()
        return super().double()

    def features(self, image: Tensor) -> Tensor:
        """倒数第二层的特征 (N, D)：进入最后一个线性层（或 1×1 分类卷积）之前的数，有位置的先在各位置上取平均。"""
        if self.penultimate:
            activation = activations_of(self, image, self.penultimate)[self.penultimate]
        else:
            activation = input_of(self, image, _last_linear(self))
        return activation.mean((2, 3)) if activation.dim() == 4 else activation.flatten(1)

    def weights_hash(self) -> str:
        """全部参数的 sha256 的前 12 位：认出两次运行用的是不是同一份权重。"""
        return weights_hash(self)

    def top(self, image: Tensor, k: int | None = None) -> list[list[tuple[str, float]]]:
        """每张图概率最高的 k 类：[(中英文类名, 概率), …]；不给 k 时是 5 类，不足 5 类的网络是全部。"""
        with torch.no_grad(), evaluating(self):
            scores = checked_scores(self, image)
            count = scores.shape[1]
            k = min(5, count) if k is None else whole(k, "k", 1, count)
            probabilities, indices = scores.softmax(1).topk(k)
        return [
            list(zip(map(self.label, row.tolist()), values.tolist(), strict=True))
            for row, values in zip(indices, probabilities, strict=True)
        ]

    def name(self, index: int) -> str:
        """一个类别号的中文名；没有中文名时是英文名，没有类别名时是编号本身。"""
        chinese = getattr(self.categories, "chinese", None)
        return self.label(index) if chinese is None else chinese[_category_index(self, index)]

    def weight(self, layer: str) -> Tensor:
        """一层的权重：CPU 上的一份副本，改它不影响网络。"""
        weight = getattr(find_layer(self, layer), "weight", None)
        if weight is None:
            raise ValueError(f"{layer} 没有权重：它不是卷积层，也不是线性层")
        return weight.detach().cpu().clone()

    def label(self, index: int) -> str:
        """一个类别号的中英文名字。"""
        index = _category_index(self, index)
        if hasattr(self.categories, "label"):
            return self.categories.label(index)
        return str(index if self.categories is None else self.categories[index])


@checked
def load_model(
    name: str = "squeezenet1_1", *, weights: str | None = "default", device=None
) -> VisionModel:
    """按名字取一个网络；`weights="default"` 为训练好的权重，None 为随机权重。

    随包而来的是 squeezenet1_1 和 efficientnet_lite0，其余要联网下载；
    全部名字见 `available_models()`。`device` 不给时是 `run_profile()` 定下的设备。随机权重取自当前的随机数状态，之后状态复原。
    """
    device = default_device() if device is None else device_here(device)
    blueprint = build(name, weights)
    model = VisionModel(
        blueprint.module,
        mean=blueprint.mean,
        std=blueprint.std,
        categories=blueprint.categories,
        layers=blueprint.layers,
        name=name,
        penultimate=blueprint.penultimate,
        class_map=blueprint.class_map,
    )
    model.from_zoo = weights is not None  # 随机的权重再取一次就不同了
    return model.to(device)


def available_models() -> list[ModelInfo]:
    """全部可用的网络：名字、权重来源、大小、是否离线、许可。"""
    return list(ZOO.values())


@checked
def wrap_model(
    module: nn.Module, *, mean, std, categories: Sequence[str] | None = None, layers=None
) -> VisionModel:
    """把任意 torch 分类网络包成 VisionModel；在副本上做，调用者的网络原样不动。

    `mean`、`std` 是它训练时对 [0, 1] 图像用的归一化；`layers` 是 {层名: 模块路径}，不给就用模块路径。
    `categories` 是类别名，ImageNet 的 1000 类是 `load_model().categories`；不给就用类别号指明目标。
    """
    return VisionModel(
        copy.deepcopy(module),
        mean=mean,
        std=std,
        categories=categories,
        layers=layers,
        name=type(module).__name__,
    )


def weights_hash(module: nn.Module) -> str:
    """一个网络全部参数的 sha256 的前 12 位；VisionModel 只算里面的网络。"""
    digest = hashlib.sha256()
    network = module.network if isinstance(module, VisionModel) else module
    for tensor in network.state_dict().values():
        if isinstance(tensor, Tensor):
            flat = tensor.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]


def target_list(target) -> list:
    """目标变成列表：一个类（编号、类名、numpy 或张量的一个数）是一项，一组是几项。"""
    plain = _plain(target)
    targets = [plain] if _is_single(plain) else list(plain)
    if not targets:
        raise ValueError("目标是空的，至少要一个")
    return targets


def _plain(target):
    """张量和 numpy 的数换成 Python 的。"""
    return target.tolist() if isinstance(target, Tensor | np.ndarray | np.generic) else target


def _is_single(target) -> bool:
    return isinstance(target, str) or not isinstance(target, Iterable)


def resolve_target(model: nn.Module, target, n: int) -> Tensor:
    """把目标类别变成 (n,) 的类别号：可以是类别号、中英文类名，或每张图一个的列表、张量。"""
    targets = target_list(target) * (n if _is_single(_plain(target)) else 1)
    if len(targets) != n:
        raise ValueError(f"给了 {len(targets)} 个目标类别，图像却有 {n} 张；给一个，或每张图一个")
    return torch.tensor([_category_index(model, each) for each in targets])


def checked_scores(model: nn.Module, image: Tensor) -> Tensor:
    """模型的得分 (N, K)，按评估模式算；输出不是这个形状时说清楚。"""
    with evaluating(model):
        scores = run_model(model, image)
    rows = isinstance(scores, Tensor) and scores.dim() == 2 and len(scores) == len(image)
    if not rows or not scores.is_floating_point():
        found = describe(scores) if isinstance(scores, Tensor) else type(scores).__name__
        raise ValueError(
            f"模型的输出应是 (N, K) 个得分，得到 {found}；先把它包成只输出得分的 nn.Module"
        )
    if scores.isnan().any():
        raise ValueError(
            "模型的得分里有 NaN：权重坏了（训练发散），或归一化的 std 太小；换一份权重"
        )
    return scores


def check_features(model: nn.Module, otherwise: str = "") -> None:
    """核对模型有 .features(image)；torchvision 的网络也有这个名字，那是一段网络，不是倒数第二层的特征。"""
    if isinstance(getattr(model, "features", None), (nn.Module, type(None))):
        raise ValueError(f"这个模型没有 .features(image)；先用 wrap_model 包装它{otherwise}")


def target_scores(scores: Tensor, target: Tensor) -> Tensor:
    """每张图取自己目标类的得分：(N, K)、(N,) → (N,)。"""
    if int(target.max()) >= scores.shape[1] or int(target.min()) < 0:
        raise ValueError(
            f"类别号 {target.tolist()} 超出范围：这个网络有 {scores.shape[1]} 类，编号 0 到 {scores.shape[1] - 1}"
        )
    return scores.gather(1, target.to(scores.device)[:, None])[:, 0]


def _category_index(model: nn.Module, target) -> int:
    categories = getattr(model, "categories", None)
    if isinstance(target, str):
        if hasattr(categories, "index_of"):
            return categories.index_of(target)
        if categories is None:
            raise ValueError(
                f"这个网络没有类别名，不知道 {describe(target)} 是哪一类；写类别号，或在 wrap_model(…, categories=[…]) 里"
                "给出名字，ImageNet 的 1000 类是 load_model().categories"
            )
        names = list(categories)
        if target in names:
            return names.index(target)
        raise unknown("类别", target, names, hint="，或用类别号")
    target = _plain(target)
    if isinstance(target, bool) or not isinstance(target, int) or not 0 <= target < 2**63:
        raise ValueError(f"目标类别应是不小于 0 的类别号或类别名，得到 {describe(target)}")
    if categories is not None and target >= len(categories):
        raise ValueError(
            f"类别号 {target} 超出范围：这个网络有 {len(categories)} 类，编号 0 到 {len(categories) - 1}"
        )
    return target


def _prepare(network: nn.Module) -> nn.Module:
    """关掉原地操作，冻结权重，换成 channels_last 布局。"""
    for module in network.modules():
        if getattr(module, "inplace", False):
            module.inplace = False
    return network.requires_grad_(False).to(memory_format=torch.channels_last)


def _statistic(value, what: str) -> Tensor:
    """归一化的一组数 (1, C, 1, 1)；不是对 [0, 1] 图像可能有的数就说明。"""
    numbers = torch.as_tensor(value, dtype=torch.float32).flatten()
    given = [round(number, 4) for number in numbers.tolist()]
    if not numbers.isfinite().all() or numbers.numel() == 0:
        raise ValueError(f"{what} 是 {given}，应是每个通道一个有限的数")
    if what == "std" and (numbers <= 0).any():
        raise ValueError(f"std 是 {given}，标准差要大于 0")
    if (numbers > 1).any():
        raise ValueError(
            f"{what} 是 {given}，对 [0, 1] 的图像不会大于 1；小数点写漏了就补上，按 0–255 计的要除以 255"
        )
    if what == "mean" and (numbers < 0).any():
        raise ValueError(f"mean 是 {given}，[0, 1] 的图像没有负的平均值")
    return numbers.view(1, -1, 1, 1)


def _last_linear(model: VisionModel) -> str:
    """最后一个线性层的名字：没有指明倒数第二层时，进入它的数就是特征。"""
    linear = [name for name, module in model.layers.items() if isinstance(module, nn.Linear)]
    if not linear:
        raise ValueError(
            "网络里没有线性层，无从得知倒数第二层；用 extract_features 的 layer 参数指明"
        )
    return linear[-1]
