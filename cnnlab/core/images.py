"""图像的唯一约定：float32、(N, 3, H, W)、RGB、取值 [0, 1]；读、写、缩放、与 PIL 互换。

不管网络，也不管归一化：那是 models 的事。
"""

import difflib
import json
import math
import urllib.error
import urllib.request
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cnnlab.core.paths import DATA

PHOTO_FOLDER = DATA / "photos"


def check_images(image: Tensor, *, minimum: int = 1, bounded: bool = True) -> Tensor:
    """核对一批图像并原样返回；不合约定时说明错在哪里、应该怎样。

    形状 (N, 3, H, W)（灰度网络的图是 (N, 1, H, W)），浮点，取值 [0, 1]（`bounded=False` 时只要求有限、不像 0–255），
    高和宽不小于 `minimum`。
    """
    if not isinstance(image, Tensor):
        raise TypeError(
            f"图像应当是 torch.Tensor，得到的是 {type(image).__name__}；文件、PIL 图像或 numpy 数组先用 load_image 读入"
        )
    shape = tuple(image.shape)
    if image.dim() == 4 and shape[1] not in (1, 3) and shape[-1] in (1, 3):
        raise ValueError(
            f"图像的维度次序是 {shape}，应为 (N, 3, H, W)：先 image.permute(0, 3, 1, 2)"
        )
    if image.dim() == 4 and shape[1] == 4:
        raise ValueError(
            f"图像的形状是 {shape}，多了透明通道，应为 (N, 3, H, W)：只留颜色 image[:, :3]"
        )
    if image.dim() == 3 and shape[0] in (1, 3):
        raise ValueError(f"图像的形状是 {shape}，应为 (N, 3, H, W)；单张图像先加一维：image[None]")
    if image.dim() != 4 or shape[1] not in (1, 3):
        raise ValueError(f"图像的形状是 {shape}，应为 (N, 3, H, W)：N 张、红绿蓝三个通道、高、宽")
    if not image.is_floating_point():
        raise ValueError(f"图像的类型是 {image.dtype}，应为浮点数，取值 [0, 1]；整数图像先除以 255")
    if image.numel() == 0:
        raise ValueError(f"图像是空的：形状 {tuple(image.shape)}")
    if min(image.shape[-2:]) < minimum:
        raise ValueError(f"图像太小：{tuple(image.shape[-2:])}，高和宽至少要 {minimum} 像素")
    low, high = (float(end) for end in image.detach().aminmax())
    if not math.isfinite(low + high):
        raise ValueError("图像里有 NaN 或无穷大；查一查它是怎么算出来的")
    if bounded and (low < -1e-3 or high > 1 + 1e-3):
        raise ValueError(
            f"图像的取值在 [{low:.3g}, {high:.3g}]，应在 [0, 1]：归一化由模型完成，0–255 的图像先除以 255"
        )
    if high > 20:
        raise ValueError(f"图像的最大值是 {high:.0f}，像是 0–255 的图像；先除以 255")
    return image


def check_kind(image: Tensor, parameter: Tensor | None = None) -> Tensor:
    """图像送到网络参数所在的设备，变成它的浮点类型（numpy 来的多是 float64）；不是张量、不是浮点时说明。"""
    if not isinstance(image, Tensor):
        raise TypeError(
            f"图像应当是 torch.Tensor，得到的是 {type(image).__name__}；文件、PIL 图像或 numpy 数组先用 load_image 读入"
        )
    if not image.is_floating_point():
        raise ValueError(f"图像的类型是 {image.dtype}，应为浮点数，取值 [0, 1]；整数图像先除以 255")
    if parameter is None or not parameter.is_floating_point():
        return image
    # 先换类型：有的设备没有 float64
    return image.to(parameter.dtype).to(parameter.device)


def load_image(path_or_name, size: int | tuple[int, int] | None = None) -> Tensor:
    """读一张图像，得到 (1, 3, H, W)。

    `path_or_name` 是文件路径、http(s) 网址、PIL 图像，或随包照片的名字（如 "panda"）。
    灰度、透明、16 位、带 EXIF 旋转的图像都转成约定的样子；透明处垫白色。
    `size` 为整数时短边缩到它再取中央方块，为 (高, 宽) 时直接缩放。
    """
    image = torch.from_numpy(_to_array(_open(path_or_name))).permute(2, 0, 1)[None].contiguous()
    return image if size is None else resize(image, size)


def resize(image: Tensor, size: int | tuple[int, int]) -> Tensor:
    """缩放一批图像（双线性，带抗锯齿）。

    整数：短边缩到 `size`，再取中央的方块；(高, 宽)：直接缩到这个尺寸。
    """
    if isinstance(size, int):
        height, width = image.shape[-2:]
        scale = size / min(height, width)
        scaled = max(size, round(height * scale)), max(size, round(width * scale))
        top, left = (scaled[0] - size) // 2, (scaled[1] - size) // 2
        return resize(image, scaled)[..., top : top + size, left : left + size].contiguous()
    size = tuple(int(side) for side in size)
    if min(size) < 1:
        raise ValueError(f"目标尺寸是 {size}，高和宽都应是正整数")
    if tuple(image.shape[-2:]) == size:
        return image
    return functional.interpolate(image, size, mode="bilinear", antialias=True, align_corners=False)


def to_pil(image: Tensor):
    """把一张 (3, H, W) 或 (1, 3, H, W) 的图像变成 PIL 图像；超出 [0, 1] 的值截断。"""
    from PIL import Image

    image = image.detach()[0] if image.dim() == 4 else image.detach()
    if image.dim() != 3 or image.shape[0] not in (1, 3):
        raise ValueError(
            f"to_pil 只接受一张图像 (3, H, W) 或 (1, 3, H, W)，得到 {tuple(image.shape)}"
        )
    pixels = (image.cpu().float().clamp(0, 1) * 255).round().byte()
    return Image.fromarray(pixels.expand(3, -1, -1).permute(1, 2, 0).numpy())


def save_image(image, path) -> Path:
    """把图像存成文件，返回路径；PNG 里同时写入产生它的设置，供 `cnnlab.reproduce` 重做。

    `image` 是张量，或任何带 `.image` 和 `.settings` 的结果。
    """
    from PIL.PngImagePlugin import PngInfo

    path = Path(path)
    settings = getattr(image, "settings", None)
    options = {}
    if settings is not None and path.suffix.lower() == ".png":
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("cnnlab", json.dumps(settings, ensure_ascii=False))
    path.parent.mkdir(parents=True, exist_ok=True)
    to_pil(getattr(image, "image", image)).save(path, **options)
    return path


def save_animation(frames: Tensor, path, *, milliseconds: int = 120) -> Path:
    """把若干帧 (T, 3, H, W) 存成会动的 GIF 或 WebP（由扩展名决定），返回路径；循环播放。"""
    path = Path(path)
    if path.suffix.lower() not in (".gif", ".webp") or frames.dim() != 4 or len(frames) == 0:
        raise ValueError(
            f"动画要 (T, 3, H, W) 的若干帧，存成 .gif 或 .webp；得到 {tuple(frames.shape)} 和 {path.name}"
        )
    pictures = [to_pil(frame) for frame in frames]
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=milliseconds, loop=0)
    return path


def _open(source):
    from PIL import Image, ImageOps, UnidentifiedImageError

    if isinstance(source, Image.Image):
        return ImageOps.exif_transpose(source)
    if isinstance(source, Tensor):
        raise TypeError(
            "load_image 读的是文件、网址或照片名；张量已经是图像，缩放用 cnnlab.images.resize"
        )
    file, name = _locate(source)
    try:
        with Image.open(file) as opened:
            return ImageOps.exif_transpose(opened)  # 读进内存的一份，文件随即关上
    except UnidentifiedImageError:
        raise ValueError(
            f"{name} 不是图像文件（读不出任何已知的图像格式），虽然它的名字像；换一个 JPEG 或 PNG 文件"
        ) from None
    except (OSError, SyntaxError) as error:
        raise ValueError(
            f"{name} 是一个损坏的图像文件，可能没有下载完整：{error}；重新下载后再试"
        ) from None


def _locate(source):
    text = str(source)
    if text.startswith(("http://", "https://")):
        request = urllib.request.Request(text, headers={"User-Agent": "cnnlab"})
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return BytesIO(response.read()), text
        except (urllib.error.URLError, TimeoutError) as error:
            raise ValueError(
                f"取不到图像 {text}：{error}；没有网络时先把文件下载到本地，再传它的路径"
            ) from None
    if Path(text).is_file():
        return text, text
    photos = {path.stem: path for path in PHOTO_FOLDER.glob("*/*.jpg")}
    key = text if text in photos else text.rsplit("/", 1)[-1]
    if key in photos:
        return photos[key], text
    near = difflib.get_close_matches(text, photos, n=5, cutoff=0.3) or sorted(photos)[:5]
    raise ValueError(
        f"既没有文件 {text}，也没有叫这个名字的随包照片；名字相近的照片有：{'、'.join(near)}"
    )


def _to_array(picture) -> np.ndarray:
    """PIL 图像变成 float32 的 (H, W, 3)，取值 [0, 1]。"""
    if picture.mode.startswith("I") or picture.mode == "F":
        values = np.asarray(picture, dtype=np.float32)
        values = values / (65535 if values.max() > 255 else 255)
        return np.repeat(values[..., None].clip(0, 1), 3, axis=2)
    if "A" in picture.mode or "transparency" in picture.info:
        values = np.asarray(picture.convert("RGBA"), dtype=np.float32) / 255
        return values[..., :3] * values[..., 3:] + 1 - values[..., 3:]
    return np.asarray(picture.convert("RGB"), dtype=np.float32) / 255
