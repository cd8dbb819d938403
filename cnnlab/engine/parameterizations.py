"""图像从哪里来：参数就是图像的模块——像素、傅里叶谱、经过生成网络的代码。

不管损失，也不管怎样优化；`forward()` 给出 (N, 3, H, W)。
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from cnnlab.core.arguments import checked
from cnnlab.core.checks import check_images
from cnnlab.core.hooks import device_of
from cnnlab.core.values import pair

# 215 张随书照片像素的协方差的主轴乘标准差，再除以最长一列的长度；列依次近于亮度、红对蓝、绿对紫
COLOR_MATRIX = ((0.554, 0.236, 0.052), (0.573, 0.013, -0.101), (0.604, -0.229, 0.048))


@checked
def start_image(
    start: Literal["grey", "zero", "noise", "pink"],
    size: int | tuple[int, int],
    *,
    n: int = 1,
    sd: float = 0.1,
    seed: int = 0,
) -> Tensor:
    """一批起点图像 (n, 3, H, W)，取值 [0, 1]。

    "grey" 全为 0.5，"zero" 全为 0，"noise" 是 0.5 加标准差 `sd` 的高斯噪声，
    "pink" 同样的标准差，但各频率的幅度按 1/f 衰减，像自然图像。
    """
    shape = (n, 3, *pair(size))
    if start in ("grey", "zero"):
        return torch.full(shape, 0.5 if start == "grey" else 0.0)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    if start == "pink":
        spectrum = torch.fft.rfft2(noise) * _frequency_scale(*shape[-2:], decay=1.0)
        spectrum[..., 0, 0] = 0
        noise = torch.fft.irfft2(spectrum, s=shape[-2:])
        noise = noise / noise.std(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)
    return (0.5 + sd * noise).clamp(0, 1)


class PixelImage(nn.Module):
    """参数就是像素：从 `image` 的副本出发；forward 原样给出，不截断（截断用 `after_step=clamp()`）。"""

    @checked
    def __init__(self, image: Tensor):
        super().__init__()
        self.pixels = nn.Parameter(image.detach().clone(memory_format=torch.contiguous_format))

    def forward(self) -> Tensor:
        return self.pixels


class FourierImage(nn.Module):
    """参数是实数傅里叶谱：同样的步长，低频动得多、高频动得少，颜色的三个主轴互不相关。

    图像 = sigmoid(M · irfft2(谱 / max(f, 1/边长)^decay))，M 是颜色矩阵，取值 (0, 1)。
    给了 `image` 就从这张图出发（精确到 1e-3 处的截断），否则谱是标准差 `sd` 的高斯噪声。
    出处：Olah 等，Feature Visualization，2017。
    """

    @checked
    def __init__(
        self,
        size: int | tuple[int, int] | None = None,
        *,
        image: Tensor | None = None,
        n: int = 1,
        sd: float = 0.01,
        decay: float = 1.0,
        seed: int = 0,
    ):
        super().__init__()
        if (size is None) == (image is None):
            raise ValueError("FourierImage 要 size 或 image，二者给且只给一个")
        self.height, self.width = image.shape[-2:] if image is not None else pair(size)
        self.register_buffer("matrix", torch.tensor(COLOR_MATRIX))
        self.register_buffer("scale", _frequency_scale(self.height, self.width, decay) / 4)
        if image is None:
            shape = (n, 3, self.height, self.width // 2 + 1, 2)
            spectrum = sd * torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        else:
            self.to(check_images(image).device)
            spectrum = self.encode(image)
        self.spectrum = nn.Parameter(spectrum.contiguous())

    def encode(self, image: Tensor) -> Tensor:
        """一张图对应的谱：`FourierImage(image=image)()` 就是 image。"""
        colors = torch.logit(image.detach().float().clamp(1e-3, 1 - 1e-3))
        planes = torch.einsum("dc,nchw->ndhw", torch.linalg.inv(self.matrix).to(colors), colors)
        return torch.view_as_real(torch.fft.rfft2(planes, norm="ortho") / self.scale)

    def forward(self) -> Tensor:
        spectrum = torch.view_as_complex(self.spectrum) * self.scale
        planes = torch.fft.irfft2(spectrum, s=(self.height, self.width), norm="ortho")
        return torch.sigmoid(torch.einsum("cd,ndhw->nchw", self.matrix.to(planes), planes))


class PhaseImage(nn.Module):
    """参数只是相位：每个频率的幅度固定为 `photos` 的平均，画面因此恰有照片的频谱；n 张图，取值 (0, 1)。

    平均色（频率 0）也固定。出处：Fel 等，MACO，2023。
    """

    @checked
    def __init__(self, photos: Tensor, *, n: int = 1, seed: int = 0):
        super().__init__()
        frame = FourierImage(image=photos, decay=0)
        spectrum = torch.view_as_complex(frame.spectrum.detach()) * frame.scale
        self.register_buffer("matrix", frame.matrix)
        self.register_buffer("magnitude", spectrum.abs().mean(0))
        self.register_buffer("mean", spectrum[..., 0, 0].real.mean(0))
        self.size = photos.shape[-2:]
        shape = (n, *self.magnitude.shape)
        turn = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
        self.phase = nn.Parameter((2 * torch.pi * turn).to(photos.device))

    def forward(self) -> Tensor:
        spectrum = torch.polar(self.magnitude.expand_as(self.phase), self.phase).clone()
        spectrum[..., 0, 0] = self.mean.to(spectrum)
        planes = torch.fft.irfft2(spectrum, s=self.size, norm="ortho")
        return torch.sigmoid(torch.einsum("cd,ndhw->nchw", self.matrix.to(planes), planes))


class CodeImage(nn.Module):
    """参数是代码：图像 = generator(code)；只有代码是参数，生成网络的权重不动。

    出处：Nguyen 等，Synthesizing the preferred inputs for neurons via deep generator networks，2016。
    """

    @checked
    def __init__(self, generator: Callable[[Tensor], Tensor], code: Tensor):
        super().__init__()
        # 放进元组，不登记为子模块：parameters() 里只有代码
        self._generator = (generator,)
        self.code = nn.Parameter(code.detach().clone())

    def forward(self) -> Tensor:
        (generator,) = self._generator
        device = device_of(generator) if isinstance(generator, nn.Module) else self.code.device
        return generator(self.code.to(device)).to(self.code.device)


def _frequency_scale(height: int, width: int, decay: float) -> Tensor:
    """每个频率的权重 1 / max(f, 1/边长)^decay，(H, W//2+1)；频率以每像素的周期数计。"""
    rows, columns = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None, :]
    frequency = torch.sqrt(rows.square() + columns.square())
    return frequency.clamp_min(1 / max(height, width)).pow(-decay)
