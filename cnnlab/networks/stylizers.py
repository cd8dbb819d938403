"""风格化网络：条件实例归一化、镜像填充、先放大再卷积；以及随包带来的权重。

不管怎样训练（见 fast_style 与 tools/train_stylizers.py）。
"""

import json
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cnnlab.core.arguments import checked
from cnnlab.core.checks import describe, finite_ends, wholes
from cnnlab.core.hooks import answers_where_asked
from cnnlab.core.images import load_image
from cnnlab.core.names import unknown
from cnnlab.core.paths import DATA
from cnnlab.core.values import anything, as_tensor
from cnnlab.networks.shipped import State, load_shipped

Normalization = Literal["instance", "batch", "none"]
FILM_PATH, FILM_STEPS = DATA / "stylizer_film.webp", (30, 100, 300, 1000, 3000)


class ConditionalNorm(nn.Module):
    """归一化后乘 γ 加 β；每种风格一组 γ、β，`weights` (N, S) 决定每张图怎样混合它们。

    kind="instance"：每张图、每个通道各自减均值、除以标准差；"batch"：整批一起；"none"：不归一化。
    出处：Ulyanov 等，2016；Dumoulin 等，2017。
    """

    @checked
    def __init__(self, channels: int, n_styles: int = 1, kind: Normalization = "instance"):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(n_styles, channels))
        self.shift = nn.Parameter(torch.zeros(n_styles, channels))
        self.batch = nn.BatchNorm2d(channels, affine=False) if kind == "batch" else None
        self.kind = kind

    @checked(activation=anything, weights=anything)
    def forward(self, activation: Tensor, weights: Tensor) -> Tensor:
        scale, shift = ((weights @ each)[:, :, None, None] for each in (self.scale, self.shift))
        if self.kind == "instance":
            # 不用 torch.var_mean：它在 CPU 上比两次求平均慢十倍
            activation = activation - activation.mean((2, 3), keepdim=True)
            variance = activation.square().mean((2, 3), keepdim=True)
            return torch.addcmul(shift, activation, scale * (variance + 1e-5).rsqrt())
        return torch.addcmul(
            shift, activation if self.batch is None else self.batch(activation), scale
        )


def smooth(activation: Tensor, mode: str) -> Tensor:
    """横、竖各与 [1, 2, 1] / 4 卷积，尺寸不变：隔点取之前、放大之后都过一遍，网格才不会印进图里。

    两次 2×2 平均就是它。出处：Zhang，2019。
    """
    around = functional.pad(activation, (1, 1, 1, 1), mode)
    return functional.avg_pool2d(functional.avg_pool2d(around, 2, 1), 2, 1)


class _Layer(nn.Module):
    """（步幅大于 1 时先抹平）→ 填充 → 卷积 → 归一化；(H, W) 变成 ⌈H/stride⌉ × ⌈W/stride⌉。"""

    def __init__(self, before: int, after: int, kernel: int, options: dict, stride: int = 1):
        super().__init__()
        mode = {"reflect": "reflect", "zero": "zeros"}[options["padding"]]
        self.mode = "reflect" if mode == "reflect" else "constant"
        self.conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, padding_mode=mode)
        self.norm = ConditionalNorm(after, options["n_styles"], options["normalization"])

    def forward(self, activation: Tensor, weights: Tensor) -> Tensor:
        if self.conv.stride[0] > 1:
            activation = smooth(activation, self.mode)
        return self.norm(self.conv(activation), weights)


class StylizationNetwork(nn.Module):
    """从照片到风格化的图：(N, 3, H, W) → (N, 3, H, W)，取值 (0, 1)，尺寸不变。

    两次“抹平、步幅 2 的卷积”，几个残差块，两次“双线性放大、抹平、再卷积”；`n_styles` > 1 时各风格只有归一化的 γ、β 不同。
    `photo_gain` > 0 时原图乘它加到 sigmoid 之前：网络只学要改什么，内容不必从瓶颈里挤过去。
    前向的 `style` 是风格的序号、每张图一个的序号，或混合权重 (S,)、(N, S)。
    出处：Johnson 等，2016；Ulyanov 等，2016；Odena 等，2016；Dumoulin 等，2017；Zhang，2019。
    """

    @checked
    def __init__(
        self,
        n_styles: int = 1,
        *,
        widths=(16, 32, 64),
        blocks: int = 4,
        normalization: Normalization = "instance",
        padding: Literal["reflect", "zero"] = "reflect",
        photo_gain: float = 0.0,
    ):
        super().__init__()
        self.n_styles = n_styles
        self.options = shape = {
            "n_styles": n_styles,
            "widths": tuple(widths),
            "blocks": blocks,
            "normalization": normalization,
            "padding": padding,
            "photo_gain": photo_gain,
        }
        fine, middle, coarse = widths
        self.encoder = nn.ModuleList(
            [
                _Layer(3, fine, 9, shape),
                _Layer(fine, middle, 3, shape, 2),
                _Layer(middle, coarse, 3, shape, 2),
            ]
        )
        self.blocks = nn.ModuleList(
            nn.ModuleList([_Layer(coarse, coarse, 3, shape), _Layer(coarse, coarse, 3, shape)])
            for _ in range(blocks)
        )
        self.decoder = nn.ModuleList(
            [_Layer(coarse, middle, 3, shape), _Layer(middle, fine, 3, shape)]
        )
        self.last = _Layer(fine, 3, 9, shape)
        self.to(memory_format=torch.channels_last)

    @checked(image="N 3 H W")
    @answers_where_asked
    def forward(self, image: Tensor, style=0) -> Tensor:
        weights = self.style_weights(style, len(image)).to(image)
        activation, sizes = (image - 0.5).contiguous(memory_format=torch.channels_last), []
        for layer in self.encoder:
            sizes.append(activation.shape[-2:])
            activation = layer(activation, weights).relu()
        for first, second in self.blocks:
            activation = activation + second(first(activation, weights).relu(), weights)
        for layer in self.decoder:
            # 先放大再卷积，不用转置卷积：核与步幅不整除就有棋盘格；双线性再抹平，不留台阶
            activation = functional.interpolate(activation, sizes.pop(), mode="bilinear")
            activation = layer(smooth(activation, layer.mode), weights).relu()
        return (
            self.options["photo_gain"] * (image - 0.5) + self.last(activation, weights)
        ).sigmoid()

    def style_weights(self, given, n: int) -> Tensor:
        """把 `style` 的各种写法变成混合权重 (n, S)。"""
        style = as_tensor([given] if np.ndim(given) == 0 else given, "style", "序号、")
        if not style.is_floating_point():
            numbers = wholes(style, "style", 0, self.n_styles - 1)
            style = functional.one_hot(torch.tensor(numbers), self.n_styles).float()
        style = style[None] if style.dim() == 1 else style
        if style.dim() != 2 or style.shape[1] != self.n_styles or len(style) not in (1, n):
            raise ValueError(
                f"style 是 {describe(given)}，应是一个序号、每张图一个序号，或混合权重 ({self.n_styles},)、({n}, {self.n_styles})"
            )
        finite_ends(style, "style ")
        return style.expand(n, -1)


def save_stylizer(
    network: StylizationNetwork, name: str, *, names, settings: dict[str, str], folder=DATA
) -> Path:
    """把风格化网络以半精度存成 stylizer_<name>.safetensors，返回路径；风格的名字与训练设置写进元数据。"""
    from safetensors.torch import save_file

    path = Path(folder) / f"stylizer_{name}.safetensors"
    state = {
        key: (value.half() if value.is_floating_point() else value).cpu()
        for key, value in network.state_dict().items()
    }
    about = {"options": network.options, "styles": list(names), "settings": settings}
    metadata = {key: json.dumps(value, ensure_ascii=False) for key, value in about.items()}
    save_file({key: value.contiguous() for key, value in state.items()}, path, metadata=metadata)
    return path


def stylizer_names(folder=DATA) -> list[str]:
    """随包带来的风格化网络的名字。"""
    return sorted(
        path.stem.removeprefix("stylizer_") for path in Path(folder).glob("stylizer_*.safetensors")
    )


@checked
def load_stylizer(name: str = "drawn", *, folder=DATA) -> StylizationNetwork:
    """随包带来的（或 `save_stylizer` 存的）风格化网络：冻结、评估模式；`.styles` 是风格的名字，`.settings` 是训练设置。"""
    known = stylizer_names(folder)
    if name not in known:
        raise unknown("风格化网络", name, known)

    def make(state: State, metadata: dict[str, str]) -> StylizationNetwork:
        about = {key: json.loads(value) for key, value in metadata.items()}
        network = StylizationNetwork(**about["options"])
        network.styles, network.settings = tuple(about["styles"]), about["settings"]
        return network

    return load_shipped(f"stylizer_{name}", make, folder=folder)


def stylizer_film() -> tuple[list[int], Tensor]:
    """随包的网络在训练途中画的图：各时刻的步数，和 (时刻, 2, 3, 256, 256)：星夜的泰姬陵、彩色玻璃的鱼。"""
    sheet = load_image(FILM_PATH)[0]
    tiles = sheet.unflatten(1, (2, 256)).unflatten(3, (-1, 256)).permute(3, 1, 0, 2, 4)
    settings = load_stylizer().settings
    return [*FILM_STEPS, int(settings["stop_after"])], tiles
