"""快速风格迁移：训练一个前馈网络，让它一次前向就给出迭代要几十上百步才得到的图。

不管训练循环本身（见 training）；损失的各项与图像神经风格迁移相同（见 terms）。
"""

import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from cnnlab.hooks import activations_of, evaluating
from cnnlab.images import check_images, load_image, resize
from cnnlab.objectives import Objective, objective
from cnnlab.priors import total_variation
from cnnlab.terms import feature_distance, gram_distance, gram_matrix, image_prior
from cnnlab.training import Training, cosine, fit

DATA_FOLDER = Path(__file__).parent / "data"
STYLE_LAYERS = ("relu1", "fire2", "fire3", "fire4", "fire5")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
MINIMUM = 32
# 训练随包的网络时没有用的照片：只用来看、来量
HELD_OUT = (
    "panda", "taj_mahal", "fish12", "windmill3", "red_panda", "scarlet_macaw", "dog", "horse", "koala", "crab", "owl", "neuschwanstein_castle",
    "eiffel_tower", "eiffel_tower_2", "great_wall", "opera_house", "fish5", "dam2", "cup", "volleyball", "scissors2", "orchestra",
)


class ConditionalNorm(nn.Module):
    """归一化后乘 γ 加 β；每种风格一组 γ、β，`weights` (N, S) 决定每张图怎样混合它们。

    kind="instance"：每张图、每个通道各自减均值、除以标准差；"batch"：整批一起；"none"：不归一化。
    出处：Ulyanov 等，2016；Dumoulin 等，2017。
    """

    def __init__(self, channels: int, n_styles: int = 1, kind: str = "instance"):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(n_styles, channels))
        self.shift = nn.Parameter(torch.zeros(n_styles, channels))
        self.batch = nn.BatchNorm2d(channels, affine=False) if kind == "batch" else None
        self.kind = kind

    def forward(self, activation: Tensor, weights: Tensor) -> Tensor:
        scale, shift = ((weights @ each)[:, :, None, None] for each in (self.scale, self.shift))
        if self.kind == "instance":
            # 不用 torch.var_mean：它在 CPU 上比两次求平均慢十倍
            activation = activation - activation.mean((2, 3), keepdim=True)
            variance = activation.square().mean((2, 3), keepdim=True)
            return torch.addcmul(shift, activation, scale * (variance + 1e-5).rsqrt())
        return torch.addcmul(shift, activation if self.batch is None else self.batch(activation), scale)


class _Layer(nn.Module):
    """镜像填充 → 卷积 → 归一化；尺寸 (H, W) 变成 ⌈H/stride⌉ × ⌈W/stride⌉。"""

    def __init__(self, before: int, after: int, kernel: int, options: dict, stride: int = 1):
        super().__init__()
        mode = {"reflect": "reflect", "zero": "zeros"}[options["padding"]]
        self.conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, padding_mode=mode)
        self.norm = ConditionalNorm(after, options["n_styles"], options["normalization"])

    def forward(self, activation: Tensor, weights: Tensor) -> Tensor:
        return self.norm(self.conv(activation), weights)


class StylizationNetwork(nn.Module):
    """从照片到风格化的图：(N, 3, H, W) → (N, 3, H, W)，取值 (0, 1)，尺寸不变。

    两次步幅 2 的卷积，几个残差块，两次“最近邻放大再卷积”；`n_styles` > 1 时各风格只有归一化的 γ、β 不同。
    `photo_gain` > 0 时原图乘它加到 sigmoid 之前：网络只学要改什么，内容不必从瓶颈里挤过去。
    前向的 `style` 是风格的序号、每张图一个的序号，或混合权重 (S,)、(N, S)。
    出处：Johnson 等，2016；Ulyanov 等，2016；Odena 等，2016；Dumoulin 等，2017。
    """

    def __init__(
        self, n_styles: int = 1, *, widths=(16, 32, 64), blocks: int = 4, normalization: str = "instance", padding: str = "reflect",
        photo_gain: float = 0.0,
    ):
        super().__init__()
        self.n_styles = n_styles
        self.options = {"n_styles": n_styles, "widths": tuple(widths), "blocks": blocks}
        self.options |= {"normalization": normalization, "padding": padding, "photo_gain": photo_gain}
        _check_options(self.options)
        fine, middle, coarse = widths
        shape = self.options
        self.encoder = nn.ModuleList(
            [_Layer(3, fine, 9, shape), _Layer(fine, middle, 3, shape, 2), _Layer(middle, coarse, 3, shape, 2)]
        )
        self.blocks = nn.ModuleList(
            nn.ModuleList([_Layer(coarse, coarse, 3, shape), _Layer(coarse, coarse, 3, shape)]) for _ in range(blocks)
        )
        self.decoder = nn.ModuleList([_Layer(coarse, middle, 3, shape), _Layer(middle, fine, 3, shape)])
        self.last = _Layer(fine, 3, 9, shape)
        self.to(memory_format=torch.channels_last)

    def forward(self, image: Tensor, style=0) -> Tensor:
        weights = self.style_weights(style, len(image)).to(image)
        activation, sizes = (image - 0.5).contiguous(memory_format=torch.channels_last), []
        for layer in self.encoder:
            sizes.append(activation.shape[-2:])
            activation = layer(activation, weights).relu()
        for first, second in self.blocks:
            activation = activation + second(first(activation, weights).relu(), weights)
        for layer in self.decoder:
            # 先放大再卷积，不用转置卷积：核与步幅不整除就有棋盘格
            activation = functional.interpolate(activation, sizes.pop(), mode="nearest")
            activation = layer(activation, weights).relu()
        return (self.options["photo_gain"] * (image - 0.5) + self.last(activation, weights)).sigmoid()

    def style_weights(self, style, n: int) -> Tensor:
        """把 `style` 的各种写法变成混合权重 (n, S)。"""
        style = torch.as_tensor(style)
        if not style.is_floating_point():
            if not bool(((style >= 0) & (style < self.n_styles)).all()):
                raise ValueError(f"风格的序号是 {style.tolist()}，这个网络有 {self.n_styles} 种，从 0 开始")
            style = functional.one_hot(style.long(), self.n_styles).float()
        style = style[None] if style.dim() == 1 else style
        if style.dim() != 2 or style.shape[1] != self.n_styles or len(style) not in (1, n):
            raise ValueError(
                f"style 的形状是 {tuple(style.shape)}，应是一个序号、每张图一个序号，或混合权重 ({self.n_styles},)、({n}, {self.n_styles})"
            )
        return style.expand(n, -1)


def _check_options(options: dict) -> None:
    known = {"normalization": ("instance", "batch", "none"), "padding": ("reflect", "zero")}
    for name, values in known.items():
        if options[name] not in values:
            raise ValueError(f"没有名为 {options[name]!r} 的 {name}；可用 {'、'.join(values)}")
    if not isinstance(options["n_styles"], int) or options["n_styles"] < 1:
        raise ValueError(f"n_styles 是 {options['n_styles']!r}，应是不小于 1 的整数")


def style_grams(model: nn.Module, styles, layers=STYLE_LAYERS) -> dict[str, Tensor]:
    """每种风格在各层的 Gram 矩阵：{层名: (S, C, C)}。`styles` 是 (S, 3, H, W) 或尺寸可以不同的一列图。"""
    pictures = [check_images(each if each.dim() == 4 else each[None], minimum=MINIMUM) for each in styles]
    if not pictures:
        raise ValueError("一张风格图也没有：styles 里至少要有一张")
    found = [activations_of(model, picture, list(layers)) for picture in pictures]
    return {layer: torch.cat([gram_matrix(each[layer]) for each in found]) for layer in layers}


def stylization_loss(
    model: nn.Module, content: Tensor, grams: dict[str, Tensor], *,
    content_layer: str = "fire4", content_weight: float = 1.0, style_weight: float = 20.0, tv_weight: float = 0.1,
) -> Objective:
    """内容 + 风格 + 全变差，对一批里的各图求和：训练前馈网络与逐图迭代最小化的是同一个损失。

    `grams` 是 {层名: (1 或 N, C, C)}；风格项对各层取平均。
    """
    target = activations_of(model, content, content_layer)[content_layer]
    terms = [content_weight * feature_distance(target, content_layer)]
    terms += [style_weight / len(grams) * gram_distance(gram, layer) for layer, gram in grams.items()]
    return objective(model, [*terms, tv_weight * image_prior(total_variation)])


def content_reader(contents) -> tuple[int, Callable[[int], Tensor]]:
    """照片的张数，与读第几张的函数 → (1, 3, H, W)。`contents` 是张量、`ImageSet`，或放照片的文件夹。

    文件夹里的照片用到才读，多大的文件夹都行；打不开的跳过，警告里报出个数与名字，由下一张顶替。
    """
    if isinstance(contents, (str, Path)):
        return _folder_reader(Path(contents))
    images = check_images(getattr(contents, "images", contents), minimum=MINIMUM)
    return len(images), lambda index: images[index : index + 1]


def _folder_reader(root: Path) -> tuple[int, Callable[[int], Tensor]]:
    from PIL import Image

    if not root.is_dir():
        raise ValueError(f"没有文件夹 {root}；contents 要一个放照片的文件夹，或一批照片 (N, 3, H, W)")
    found = sorted(file for file in root.rglob("*") if file.suffix.lower() in SUFFIXES)
    broken, files = [], []
    for file in found:
        try:
            with Image.open(file) as picture:
                picture.verify()  # 只看文件头，几万张也只要几十秒
            files.append(file)
        except (OSError, ValueError, SyntaxError):
            broken.append(file)
    _warn_of_broken(broken, root)
    if not files:
        raise ValueError(f"{root} 里没有能读的照片（试了 {len(found)} 个文件，后缀限 {'、'.join(SUFFIXES)}）")
    unreadable = set()

    def read(index: int) -> Tensor:
        for file in files[index:] + files[:index]:
            try:
                return load_image(file)
            except (OSError, ValueError):
                if file not in unreadable:
                    _warn_of_broken([file], root)
                unreadable.add(file)
        raise ValueError(f"{root} 里的 {len(files)} 张照片没有一张读得出来")

    return len(files), read


def _warn_of_broken(broken: list[Path], root: Path) -> None:
    if broken:
        names = "、".join(str(file.relative_to(root)) for file in broken[:20]) + ("……" if len(broken) > 20 else "")
        warnings.warn(f"跳过 {len(broken)} 个打不开的文件：{names}", stacklevel=4)


def content_crops(contents, *, batch_size: int = 4, size: int = 128) -> Callable[[int, torch.Generator], Tensor]:
    """`fit` 要的批次 (batch_size, 3, size, size)：随机的照片上随机的方块，边长从 size 到短边，缩到 size，一半左右翻转。"""
    count, read = content_reader(contents)

    def piece(generator: torch.Generator) -> Tensor:
        image = read(int(torch.randint(count, (), generator=generator)))
        side = min(image.shape[-2:])
        window = int(torch.randint(min(size, side), side + 1, (), generator=generator))
        top, left = (int(torch.randint(length - window + 1, (), generator=generator)) for length in image.shape[-2:])
        image = resize(image[..., top : top + window, left : left + window], (size, size))
        return image.flip(-1) if torch.rand((), generator=generator) < 0.5 else image

    return lambda step, generator: torch.cat([piece(generator) for _ in range(batch_size)])


def train_stylizer(
    network: StylizationNetwork, model: nn.Module, contents, styles, *,
    steps: int | None = 700, seconds: float | None = None, batch_size: int = 4, size: int = 128,
    learning_rate: float = 2e-3, checkpoint=None, save_every: int = 50, seed: int = 0, on_step=None, **weights,
) -> Training:
    """训练前馈网络（就地）；`styles` 与网络的风格一样多，一批里的图轮流用各种风格。

    `weights` 交给 `stylization_loss`。损失网络 `model` 只传梯度，权重不动。出处：Johnson 等，2016。
    """
    grams = style_grams(model, styles, weights.pop("style_layers", STYLE_LAYERS))
    given = len(next(iter(grams.values())))
    if given != network.n_styles:
        raise ValueError(f"网络有 {network.n_styles} 种风格，styles 却有 {given} 张图；应当一样多")
    pieces = content_crops(contents, batch_size=batch_size, size=size)

    def batches(step, generator):
        first = step * batch_size
        return pieces(step, generator), torch.arange(first, first + batch_size) % network.n_styles

    def loss(network, batch):
        content, style = batch
        chosen = {layer: gram[style] for layer, gram in grams.items()}
        return stylization_loss(model, content, chosen, **weights)(network(content, style)) / len(content)

    return fit(
        network, loss, batches, steps=steps, seconds=seconds, learning_rate=learning_rate, schedule=cosine,
        checkpoint=checkpoint, save_every=save_every, seed=seed, on_step=on_step,
    )


def stylize(network: nn.Module, image: Tensor, style=0) -> Tensor:
    """把一批图风格化，一次前向：(N, 3, H, W)，尺寸不变。`style` 同网络的前向：序号，或混合权重。"""
    check_images(image, minimum=MINIMUM)
    with evaluating(network), torch.no_grad():
        return network(image, style)


def equal_steps(losses, loss: float) -> int | None:
    """逐图迭代的损失 `losses`（第 0 个是起点）第一次不高于 `loss` 是在第几步；一直高于它则为 None。"""
    return next((index for index, value in enumerate(losses) if value <= loss), None)


def break_even(training: float, fast: float, slow: float) -> int:
    """画多少张图之后训练才划算：最小的 n，使 training + n·fast ≤ n·slow（都以秒计）。"""
    if fast >= slow:
        raise ValueError(f"前馈一张要 {fast:g} 秒，不比逐图迭代的 {slow:g} 秒快，训练永远不划算")
    return math.ceil(training / (slow - fast))


def save_stylizer(network: StylizationNetwork, name: str, *, names, settings: dict[str, str], folder=DATA_FOLDER) -> Path:
    """把风格化网络以半精度存成 stylizer_<name>.safetensors，返回路径；风格的名字与训练设置写进元数据。"""
    from safetensors.torch import save_file

    path = Path(folder) / f"stylizer_{name}.safetensors"
    state = {
        key: value.half() if value.is_floating_point() else value for key, value in network.cpu().state_dict().items()
    }
    about = {"options": network.options, "styles": list(names), "settings": settings}
    metadata = {key: json.dumps(value, ensure_ascii=False) for key, value in about.items()}
    save_file({key: value.contiguous() for key, value in state.items()}, path, metadata=metadata)
    return path


def stylizer_names(folder=DATA_FOLDER) -> list[str]:
    """随包带来的风格化网络的名字。"""
    return sorted(path.stem.removeprefix("stylizer_") for path in Path(folder).glob("stylizer_*.safetensors"))


def load_stylizer(name: str = "drawn", *, folder=DATA_FOLDER) -> StylizationNetwork:
    """随包带来的（或 `save_stylizer` 存的）风格化网络：冻结、评估模式；`.styles` 是风格的名字，`.settings` 是训练设置。"""
    from safetensors import safe_open

    known = stylizer_names(folder)
    if name not in known:
        raise ValueError(f"没有名为 {name!r} 的风格化网络；可用 {'、'.join(known) or '（一个也没有）'}")
    with safe_open(Path(folder) / f"stylizer_{name}.safetensors", "pt") as file:
        about = {key: json.loads(value) for key, value in file.metadata().items()}
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    with torch.random.fork_rng(devices=[]):
        network = StylizationNetwork(**about["options"])
    network.load_state_dict({key: value.float() if value.is_floating_point() else value for key, value in state.items()})
    network.styles, network.settings = tuple(about["styles"]), about["settings"]
    return network.eval().requires_grad_(False)
