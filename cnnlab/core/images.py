"""图像的唯一约定：float32、(N, 3, H, W)、RGB、取值 [0, 1]；读、写、缩放、与 PIL 互换。

不管网络，也不管归一化：那是 models 的事。
"""

import difflib
import http.client
import importlib.util
import json
import math
import os
import urllib.parse
import urllib.request
import warnings
from io import BytesIO, TextIOBase
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cnnlab.core.arguments import checked
from cnnlab.core.checks import check_images, finite_ends
from cnnlab.core.paths import DATA
from cnnlab.core.values import pair

PHOTO_FOLDER = DATA / "photos"
# 别的库带来的照片：{库: (文件夹, 文件)}
LIBRARY_PHOTOS = {
    "skimage": (
        "data",
        "astronaut.png brick.png chelsea.png coffee.png grass.png gravel.png rocket.jpg",
    ),
    "sklearn": ("datasets/images", "china.jpg flower.jpg"),
}


@checked
def load_image(source, size: int | tuple[int, int] | None = None) -> Tensor:
    """读一张图像，得到 (1, 3, H, W)。

    `source` 是文件路径（可以用 ~）、http(s) 网址、随包照片的名字（如 "panda"）、打开的文件、PIL 图像，
    或 numpy 数组：(H, W, 3) 或 (H, W)，uint8，或 [0, 1] 的浮点数。
    灰度、透明、16 位、带 EXIF 旋转的图像都转成约定的样子；透明处垫白色。
    `size` 为整数时短边缩到它再取中央方块，为 (高, 宽) 时直接缩放；大照片直接解码成小图，又快又省内存。
    """
    picture = _open(source, size)
    image = torch.from_numpy(_to_array(picture)).permute(2, 0, 1)[None].contiguous()
    return image if size is None else resize(image, size)


@checked
def resize(image: Tensor, size: int | tuple[int, int]) -> Tensor:
    """缩放一批图像（双线性，带抗锯齿）。

    整数：短边缩到 `size`，再取中央的方块；(高, 宽)：直接缩到这个尺寸。
    """
    if isinstance(size, int):
        image = _without_far_ends(image)
        sides = image.shape[-2:]
        height, width = (max(size, round(side * size / min(sides))) for side in sides)
        top, left = (height - size) // 2, (width - size) // 2
        whole = resize(image, (height, width))
        return whole[..., top : top + size, left : left + size].contiguous()
    if tuple(image.shape[-2:]) == size:
        return image
    return functional.interpolate(image, size, mode="bilinear", antialias=True, align_corners=False)


def stretched(planes: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, C, h, w) 双线性缩放到 `size`，不抗锯齿：放大热力图、激活图用。"""
    return functional.interpolate(planes, size, mode="bilinear", align_corners=False)


def _without_far_ends(image: Tensor) -> Tensor:
    """很长的图只留正中的三个短边那么长：反正要取中央方块，先切掉两头，放大时不占内存。"""
    short = min(image.shape[-2:])
    for axis in (2, 3):
        far = max(0, (image.shape[axis] - 3 * short) // 2)
        image = image.narrow(axis, far, image.shape[axis] - 2 * far)
    return image


@checked(image="C H W | N C H W")
def to_pil(image: Tensor):
    """把一张 (3, H, W) 或 (1, 3, H, W) 的图像变成 PIL 图像；略微超出 [0, 1] 的值截断。"""
    from PIL import Image

    batch = image[None] if image.dim() == 3 else image
    if len(batch) != 1:
        raise ValueError(
            f"to_pil 只接受一张图像 (3, H, W) 或 (1, 3, H, W)，得到 {tuple(image.shape)}；一批里取一张：image[0]"
        )
    picture = check_images(batch.detach().cpu().float(), bounded=False)[0]
    low, high = (float(end) for end in picture.aminmax())
    if low < -0.1 or high > 1.1:
        warnings.warn(
            f"图像的取值在 [{low:.2g}, {high:.2g}]，超出 [0, 1] 的截成黑和白；[−1, 1] 的图先 image / 2 + 0.5",
            stacklevel=3,
        )
    pixels = (picture.clamp(0, 1) * 255).round().byte()
    return Image.fromarray(pixels.expand(3, -1, -1).permute(1, 2, 0).numpy())


@checked
def save_image(image, path, *, inputs: bool = False) -> Path:
    """把图像存成文件，返回路径；PNG 里同时写入产生它的设置，供 `cnnlab.reproduce` 重做。

    `image` 是张量，或任何带 `.image` 和 `.settings` 的结果；一批几张就排成一张拼图。
    你自己的图（内容图、风格图……）不写进设置，只写它们的 sha256：重做时再给一次。
    `inputs=True` 把它们也写进去，文件会大许多，拿到 PNG 的人也就拿到了那些图。
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    path = _target(path)
    known = Image.registered_extensions()
    if known.get(path.suffix.lower()) not in Image.SAVE:
        raise ValueError(f"不知道 {path.name} 该存成什么格式；文件名以 .png、.jpg 或 .webp 结尾")
    settings = getattr(image, "settings", None)
    options = {}
    if settings is not None and path.suffix.lower() == ".png":
        options["pnginfo"] = PngInfo()
        kept = settings if inputs else _without_tensors(settings)
        options["pnginfo"].add_itxt("cnnlab", json.dumps(kept, ensure_ascii=False), zip=True)
    picture = to_pil(_sheet(getattr(image, "image", image)))
    return _written(path, picture, **options)


def _target(path) -> Path:
    """要写的地方：~ 换成真的位置；网址不行。"""
    if "://" in str(path):
        raise ValueError(f"{path} 是网址，图只能存到硬盘上；写成文件名，如 'a.png'")
    return Path(path).expanduser()


def _written(path: Path, picture, **options) -> Path:
    """把 PIL 图像存成文件：先在内存里编好再写，编不成时原来的文件还在。"""
    from PIL import Image

    encoded = BytesIO()
    picture.save(encoded, Image.registered_extensions()[path.suffix.lower()], **options)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded.getvalue())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OSError(f"写不进 {str(path)[:200]!r}（{reason}）；换一个文件夹或文件名") from None
    return path


# 设置里比这更长的张量（以压缩后的字符计）算作图：几个权重、一个颜色、随机数的状态都比它短
_LONGEST_TENSOR = 2**13


def _without_tensors(settings):
    """设置里的大张量换成它的 sha256 与形状。"""
    if isinstance(settings, list):
        return [_without_tensors(each) for each in settings]
    if not isinstance(settings, dict):
        return settings
    if len(settings.get("tensor", "")) > _LONGEST_TENSOR:
        rest = {key: value for key, value in settings.items() if key != "tensor"}
        return {"unstored": "Tensor", **rest}
    return {key: _without_tensors(value) for key, value in settings.items()}


def _sheet(images):
    """一批几张排成一张近似方形的拼图，缝为白色；一张就是它自己。"""
    if not isinstance(images, Tensor) or images.dim() != 4 or len(images) < 2:
        return images
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    blank = images.new_ones(rows * columns - len(images), *images.shape[1:])
    tiles = functional.pad(torch.cat([images.detach(), blank]), (0, 2, 0, 2), value=1.0)
    sheet = tiles.unflatten(0, (rows, columns)).permute(2, 0, 3, 1, 4)
    return sheet.flatten(3).flatten(1, 2)[:, :-2, :-2]


@checked(frames="T C H W")
def save_animation(frames: Tensor, path, *, milliseconds: int = 120) -> Path:
    """把若干帧 (T, 3, H, W) 存成会动的 GIF 或 WebP（由扩展名决定），返回路径；循环播放。"""
    path = _target(path)
    if path.suffix.lower() not in (".gif", ".webp"):
        raise ValueError(f"动画存成 .gif 或 .webp，得到 {path.name}")
    pictures = [to_pil(frame) for frame in frames]
    options = {"append_images": pictures[1:], "duration": milliseconds, "loop": 0}
    return _written(path, pictures[0], save_all=True, **options)


# 短边不到这么长的图照原样解码；更大的先缩小
_LARGE = 512


def _open(source, size=None):
    from PIL import Image, ImageOps

    if isinstance(source, Image.Image):
        if 0 in source.size:
            raise ValueError(f"PIL 图像是空的：宽、高是 {source.size}")
        try:
            return ImageOps.exif_transpose(source)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"这张 PIL 图像读不出来：它的文件已经关上，或损坏了（{error}）；用 load_image(文件名) 重新读"
            ) from None
    if isinstance(source, Tensor):
        raise TypeError("load_image 读的是文件、网址或照片名；张量已经是图像，缩放用 cnnlab.resize")
    if isinstance(getattr(source, "images", None), Tensor):
        raise TypeError(f"{type(source).__name__} 里的图已经读好，在它的 .images 里")
    if isinstance(source, np.ndarray):
        return _from_array(source)
    file, name = _locate(source)
    side = None if size is None else max(pair(size))
    try:
        with Image.open(file) as opened:
            if side is not None and min(opened.size) > _LARGE:
                # JPEG 可以直接解码成 1/2、1/4、1/8 大小
                ratio = side / min(opened.size)
                opened.draft(None, tuple(math.ceil(length * ratio) for length in opened.size))
            opened.load()
            return ImageOps.exif_transpose(_reduced(opened, side))  # 读进内存的一份，文件随即关上
    except PermissionError:
        raise ValueError(f"没有读 {name} 的权限；改它的权限，或换一个文件") from None
    except Exception as error:
        raise ValueError(_reading_problem(name, error)) from None


def _reduced(picture, side: int | None):
    """很大的图先按整数倍缩小，短边仍不小于目标的两倍。"""
    short = min(picture.size)
    factor = 1 if side is None else short // (2 * side)
    if short <= _LARGE or factor < 2 or picture.mode not in ("RGB", "RGBA", "L", "LA", "CMYK"):
        return picture
    smaller = picture.reduce(factor)
    smaller.info = picture.info
    return smaller


# 看后缀就知道是什么、但 PIL 读不了的
_UNREADABLE = dict.fromkeys([".heic", ".heif"], "手机的 HEIC 照片")
_UNREADABLE |= dict.fromkeys([".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf"], "相机的原始文件")
_UNREADABLE |= dict.fromkeys([".svg", ".pdf", ".eps", ".ai"], "矢量图或文档")
_UNREADABLE |= dict.fromkeys([".mp4", ".mov", ".avi", ".mkv", ".webm"], "视频")


def _reading_problem(name: str, error: Exception) -> str:
    from PIL import Image, UnidentifiedImageError

    kind = _UNREADABLE.get(Path(name).suffix.lower())
    if isinstance(error, UnidentifiedImageError) and kind:
        return f"{name} 是{kind}，这里读不了；先用别的软件另存为 JPEG 或 PNG"
    if isinstance(error, UnidentifiedImageError):
        return f"{name} 不是图像文件（读不出任何已知的图像格式）；换一个 JPEG 或 PNG 文件"
    if isinstance(error, Image.DecompressionBombError):
        return (
            f"{name} 的像素太多，超过 {2 * Image.MAX_IMAGE_PIXELS / 1e8:.1f} 亿；先用别的软件缩小"
        )
    return f"{name} 是一个损坏的图像文件，可能没有下载完整：{error}；重新下载后再试"


def _locate(source):
    """文件（路径或打开的文件）和它的名字。"""
    if hasattr(source, "read"):
        name = str(getattr(source, "name", "打开的文件"))
        if getattr(source, "closed", False) or isinstance(source, TextIOBase):
            raise ValueError(f"{name} 已经关上，或是按文字打开的；用 open(…, 'rb')，或直接传路径")
        return source, name
    if isinstance(source, bytes | bytearray | memoryview):
        return BytesIO(source), "这段字节"
    if not isinstance(source, str | Path):
        raise TypeError(
            f"load_image 读的是文件、网址、照片名、PIL 图像或 numpy 数组，得到 {type(source).__name__}"
        )
    text = str(source)
    if text.lower().startswith(("http://", "https://")):
        return BytesIO(_download(text)), text
    path = _path(text)
    try:
        known, there = path.is_file(), path.exists()
    except (OSError, ValueError) as error:
        raise ValueError(f"{text[:80]!r} 不像一个文件名：{error}") from None
    if known:
        return path, text
    if there:
        hint = "是一个文件夹，用 image_folder 读" if path.is_dir() else "不是普通文件"
        raise ValueError(f"{text} {hint}")
    photos = photo_files()
    if text in photos:
        return photos[text], text
    near = difflib.get_close_matches(path.stem.lower(), photos, n=5, cutoff=0.3)
    near = near or sorted(photos)[:5]
    raise ValueError(
        f"既没有文件 {text}，也没有叫这个名字的随包照片；名字相近的照片有：{'、'.join(near)}；"
        "全部的名字见 photos().names，代码画的用 style_image、texture_image"
    )


def photo_files() -> dict[str, Path]:
    """有名字的照片在哪里：随包的，之后是随 scikit-image 与 scikit-learn 来的几张。"""
    files = {photo.stem: photo for photo in sorted(PHOTO_FOLDER.glob("*/*.jpg"))}
    for package, (folder, names) in LIBRARY_PHOTOS.items():
        place = Path(importlib.util.find_spec(package).origin).parent / folder
        files |= {Path(name).stem: place / name for name in names.split()}
    return files


def _path(text: str) -> Path:
    """写成文字的路径：前后的空白与引号（从文件管理器复制来的）去掉，file:// 和 ~ 换成真的位置。"""
    bare = text.strip().strip("\"'")
    if not bare:
        raise ValueError("文件名是空的；给一个文件、网址或随包照片的名字，如 load_image('panda')")
    if bare.startswith("file://"):
        return Path(urllib.parse.unquote(bare.removeprefix("file://").removeprefix("localhost")))
    if "://" in bare or bare.startswith("data:"):
        raise ValueError(f"{bare[:80]} 不是 http 或 https 网址；先把图下载到本地，再传它的路径")
    path = text if "\0" not in text and os.path.exists(text) else bare
    return Path(os.path.expanduser(path))


def _download(address: str) -> bytes:
    """网址里的空格和各种文字先编成合法的写法。"""
    try:
        parts = urllib.parse.urlsplit(address)
        host = parts.netloc.encode("idna").decode()
        path, query = (urllib.parse.quote(part, safe="/%:=&?~+,;@!$'()*") for part in parts[2:4])
        request = urllib.request.Request(
            urllib.parse.urlunsplit((parts.scheme, host, path, query, "")),
            headers={"User-Agent": "cnnlab"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.read()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ValueError(
            f"取不到图像 {address}：{error}；没有网络时先把文件下载到本地，再传它的路径"
        ) from None


def _from_array(array: np.ndarray):
    """numpy 数组变成 PIL 图像；浮点的当作 [0, 1]，不合的说明。"""
    from PIL import Image

    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ValueError(
            f"数组的形状是 {array.shape}，应为 (H, W, 3) 或 (H, W)；一批图先取一张，通道在前的先 transpose(1, 2, 0)"
        )
    if 0 in array.shape:
        raise ValueError(f"数组是空的：形状 {array.shape}")
    array = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if array.dtype == np.uint8:
        return Image.fromarray(array)
    if array.dtype.kind != "f":
        raise ValueError(
            f"数组的类型是 {array.dtype}，应为 uint8，或 [0, 1] 的浮点数；先 array.astype('uint8') 或 array.astype(float)"
        )
    planes = _checked_floats(array.astype(np.float32))
    return planes if planes.ndim == 3 else np.repeat(planes[..., None], 3, axis=2)


def _checked_floats(values: np.ndarray) -> np.ndarray:
    low, high = finite_ends(torch.from_numpy(values), "图像")
    if low < -1e-3 or high > 1 + 1e-3:
        raise ValueError(
            f"浮点图像的取值在 [{low:.3g}, {high:.3g}]，应在 [0, 1]；先换算过去，如除以 255"
        )
    return values.clip(0, 1)


def _to_array(picture) -> np.ndarray:
    """PIL 图像变成 float32 的 (H, W, 3)，取值 [0, 1]；位深由图像的模式定，不由它有多亮定。"""
    if isinstance(picture, np.ndarray):
        return _white_behind(picture)
    if picture.mode == "I" and getattr(picture, "format", None) not in ("PNG", "PPM"):
        raise ValueError(
            "这是 32 位整数的图，不知道最亮的是多少；先换算成 8 位、16 位或 [0, 1] 的浮点数"
        )
    if picture.mode.startswith("I") or picture.mode == "F":
        values = np.array(picture, dtype=np.float32)
        values = values if picture.mode == "F" else values / 65535
        return np.repeat(_checked_floats(values)[..., None], 3, axis=2)
    # La、RGBa 的颜色已经乘过透明度，先换回来
    picture = picture.convert({"La": "LA", "RGBa": "RGBA"}.get(picture.mode, picture.mode))
    if "A" in picture.mode or "transparency" in picture.info:
        return _white_behind(np.asarray(picture.convert("RGBA"), dtype=np.float32) / 255)
    return np.asarray(picture.convert("RGB"), dtype=np.float32) / 255


def _white_behind(values: np.ndarray) -> np.ndarray:
    if values.shape[2] == 3:
        return values
    return values[..., :3] * values[..., 3:] + 1 - values[..., 3:]
