"""合成的结果：图像、历史、设置；设置写得进 PNG，也读得回来，照着重做一遍。

不管怎样合成。设置里有函数名、全部参数、模型名与权重的 sha256、种子、版本。
"""

import base64
import functools
import hashlib
import inspect
import json
import math
import os
import platform
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, is_dataclass

import numpy as np
import torch
from torch import Tensor, nn

from cnnlab.core.arguments import checked
from cnnlab.core.checks import describe, is_chinese
from cnnlab.engine.stopping import stoppable
from cnnlab.networks.models import load_model, weights_hash
from cnnlab.networks.zoo import is_at_hand

# 只影响显示、不影响结果的参数
_IGNORED = {"on_step"}
# 再大的张量（例如一整套照片）不写进设置，只写它的 sha256
_LARGEST = 2**21


@dataclass(frozen=True)
class Result:
    """`image` (N, 3, H, W)；`history` 如 {"loss": [...], 项名: [...]}；`settings` 足以重做一遍。"""

    image: Tensor
    history: dict = field(repr=False)
    settings: dict = field(repr=False)


class _Packed(str):
    """压缩成文本的一段数据；显示时只说有多大。"""

    def __repr__(self) -> str:
        return f"<{len(self) / 1000:.0f} kB>"


def reproducible(function: Callable[..., tuple[Tensor, dict]]) -> Callable[..., Result]:
    """装饰器：函数返回 (图像, 历史)，装饰之后返回 Result，全部参数记进 settings。

    函数要能以 `cnnlab.名字` 取到，随机性只来自它的 `seed` 或 `generator` 参数。
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def run(*arguments, **options) -> Result:
        bound = signature.bind(*arguments, **options)
        bound.apply_defaults()
        # 先记后算：发生器的状态会被用掉
        settings = _settings(function.__name__, bound.arguments)
        # 合成要求梯度：外面是 inference_mode 也照做
        with torch.inference_mode(False), torch.enable_grad(), stoppable():
            given = [_apart(value) for value in arguments]
            options = {key: _apart(value) for key, value in options.items()}
            image, history = function(*given, **options)
        return Result(image, history, settings)

    run.reproducible = True
    return run


def _apart(value):
    """给的图离开调用者的计算图；推断模式里的换成能求梯度的副本。"""
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return type(value)(map(_apart, value))
    if not isinstance(value, Tensor):
        return value
    return value.clone() if value.is_inference() else value.detach()


@checked
def reproduce(source, **replacements) -> Result:
    """照 `source`（`save_image` 存的 PNG，或一个 Result）里的设置重做一遍；同一台机器上逐位相同。

    没有存进去的参数（你自己的图、函数、自己的网络）要在这里按名字给出，如 `reproduce("x.png", content=photo)`；
    图和网络要与当时的相同，按 sha256 核对。别人给的 PNG 只会调用 cnnlab 的合成函数，步数、尺寸离谱的不做。
    """
    import cnnlab

    if isinstance(source, Result):
        settings = source.settings
    else:
        settings, pixels = _read_settings(source)
        _check_cost(settings, pixels, replacements)
    name = settings.get("function", "")
    function = getattr(cnnlab, name, None) if name.isidentifier() else None
    if not getattr(function, "reproducible", False):
        raise ValueError(f"设置里的函数 {name!r} 不是 cnnlab 的合成函数，不能重做")
    known = inspect.signature(function).parameters.keys()
    missing = sorted(replacements.keys() - known)
    if missing:
        raise ValueError(f"{name} 没有参数 {'、'.join(missing)}；有的是 {'、'.join(known)}")
    with _readable(source):
        _warn_of_differences(settings)
        arguments = {
            key: _restore(key, value, replacements.get(key))
            for key, value in settings["arguments"].items()
        }
        if unknown := sorted(arguments.keys() - known):
            raise ValueError(f"设置里有 {name} 没有的参数：{'、'.join(unknown)}")
    return function(**arguments)


# 设置读不懂时会遇到的各种错
_MALFORMED = (KeyError, AttributeError, TypeError, RecursionError, IndexError, zlib.error)


@contextmanager
def _readable(source) -> Iterator[None]:
    try:
        yield
    except _MALFORMED as error:
        raise ValueError(
            f"{'结果' if isinstance(source, Result) else source} 里的设置读不懂，可能被改过：{type(error).__name__}"
        ) from None
    except ValueError as error:
        if is_chinese(error):
            raise
        raise ValueError(f"{source} 里的设置读不懂，可能被改过：{error}") from None


def _settings(name: str, arguments: dict) -> dict:
    import cnnlab

    kept = {key: _describe(value) for key, value in arguments.items() if key not in _IGNORED}
    versions = {"cnnlab": cnnlab.__version__, "torch": torch.__version__}
    versions["python"] = platform.python_version()
    threads = torch.get_num_threads()
    return {"function": name, "arguments": kept, "versions": versions, "threads": threads}


def _describe(value):
    """一个参数变成能写成 JSON 的样子。"""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return {type(value).__name__: [_describe(each) for each in value]}
    if isinstance(value, dict):
        return {"dict": [[_describe(key), _describe(each)] for key, each in value.items()]}
    if is_dataclass(value):
        fields = {key: _describe(each) for key, each in vars(value).items()}
        return {"settings": type(value).__name__, "fields": fields}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Tensor):
        return _describe_tensor(value)
    if isinstance(value, torch.Generator):
        return {"generator": _describe_tensor(value.get_state())}
    if isinstance(value, nn.Module):
        name = getattr(value, "network_name", type(value).__name__)
        kept = {"weights": weights_hash(value)}
        if getattr(value, "from_zoo", False):
            return {"model": name, **kept, "device": str(value.mean.device)}
        return {"module": name, **kept}
    return {"unstored": type(value).__name__}


def _describe_tensor(value: Tensor) -> dict:
    array = value.detach().cpu().contiguous().numpy()
    described = {
        "shape": list(array.shape),
        "dtype": str(array.dtype),
        "device": str(value.device),
        "sha256": _tensor_hash(array),
    }
    if array.size > _LARGEST:
        return {"unstored": "Tensor", **described}
    if (eighths := _in_eight_bits(array)) is not None:
        array, described["scale"] = eighths, 255
    packed = base64.b64encode(zlib.compress(array.tobytes(), 1)).decode()
    return {"tensor": _Packed(packed), **described}


def _in_eight_bits(array: np.ndarray) -> np.ndarray | None:
    """照片的值恰是 k/255 时，只记 k。"""
    if array.dtype != np.float32 or array.size < 256 or not np.isfinite(array).all():
        return None
    whole = np.clip(np.rint(array * 255), 0, 255).astype(np.uint8)
    return whole if np.array_equal(whole.astype(np.float32) / np.float32(255), array) else None


def _tensor_hash(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


def _restore(key: str, value, replacement):
    """`_describe` 的逆；存不下的用 `replacement`，网络要对得上权重。"""
    if replacement is not None and not (isinstance(value, dict) and "weights" in value):
        _check_same(key, value, replacement)
        return replacement
    again = functools.partial(_restore, key, replacement=None)
    match value:
        case {"weights": _}:
            return _restore_network(key, value, replacement)
        case {"unstored": kind}:
            raise ValueError(
                f"参数 {key}（{kind}）没有存进设置里；重做时给出它：reproduce(..., {key}=...)"
            )
        case {"dict": pairs}:
            return {name: again(each) for name, each in pairs}
        case {"settings": kind, "fields": fields}:
            return _settings_kind(kind)(**{name: again(each) for name, each in fields.items()})
        case {"generator": state}:
            return torch.Generator().set_state(again(state))
        case {"tensor": _}:
            return _restore_tensor(value)
        case {"list": items}:
            return list(map(again, items))
        case {"tuple": items}:
            return tuple(map(again, items))
        case dict():
            raise KeyError(key)
    return value


def _settings_kind(name) -> type:
    import cnnlab

    kind = getattr(cnnlab, str(name), None)
    if not (isinstance(kind, type) and is_dataclass(kind)):
        raise ValueError(f"设置里的 {name!r} 不是一种设置，不能重做")
    return kind


def _restore_tensor(value: dict) -> Tensor:
    """解压时只解到它自己说的大小为止。"""
    eight = value.get("scale") == 255
    kind = np.dtype(np.uint8 if eight else value["dtype"])
    count = math.prod(value["shape"])
    if kind.kind not in "fiub" or not 0 <= count <= _LARGEST or min(value["shape"], default=0) < 0:
        raise ValueError(f"设置里有一个不像样的张量：{value['shape']} {value['dtype']}")
    size = count * kind.itemsize
    unpacking = zlib.decompressobj()
    data = unpacking.decompress(base64.b64decode(value["tensor"]), size + 1)
    if len(data) != size:
        raise ValueError("设置里有一个张量与它自己说的大小不符，可能被改过")
    array = np.frombuffer(data, kind).reshape(value["shape"])
    array = array.astype(np.float32) / np.float32(255) if eight else array.copy()
    return torch.from_numpy(array).to(_device(value["device"]))


def _check_same(key: str, value, replacement) -> None:
    """没有存进设置的图，重做时给的要与当时的相同；存了的可以换。"""
    if isinstance(value, dict) and "list" in value and isinstance(replacement, list | tuple):
        for old, new in zip(value["list"], replacement, strict=False):
            _check_same(key, old, new)
    if not isinstance(value, dict) or value.get("unstored") != "Tensor":
        return
    if isinstance(replacement, Tensor) and "sha256" in value:
        found = _tensor_hash(replacement.detach().cpu().contiguous().numpy())
        if found != value["sha256"]:
            raise ValueError(
                f"参数 {key} 与当时的不是同一个：当时是 {tuple(value['shape'])}、sha256 以 {value['sha256'][:8]} 开头，"
                f"现在是 {tuple(replacement.shape)}、{found[:8]}；要换一张图就直接调用那个函数"
            )


def _restore_network(key: str, value: dict, replacement: nn.Module | None) -> nn.Module:
    if replacement is None and "model" not in value:
        raise ValueError(
            f"参数 {key} 是你自己的网络（{value['module']}）；重做时给出它：reproduce(..., {key}=...)"
        )
    if replacement is None and not is_at_hand(value["model"]):
        raise ValueError(
            f"重做要用 {value['model']}，它的权重还没有下载；先 load_model({value['model']!r})，再 reproduce(..., {key}=模型)"
        )
    network = replacement
    if network is None:
        network = load_model(value["model"], device=_device(value["device"]))
    found = weights_hash(network)
    if found != value["weights"]:
        raise ValueError(
            f"参数 {key} 的权重与当时的不同：当时 sha256 以 {value['weights']} 开头，现在是 {found}；换成当时的权重再重做"
        )
    return network


def _device(name: str) -> str:
    """当时的设备；这台机器上没有就用 CPU。"""
    kind = torch.device(name).type
    there = torch.accelerator.is_available() and torch.accelerator.current_accelerator().type
    return name if kind in ("cpu", there) else "cpu"


def _read_settings(path) -> tuple[dict, int]:
    """PNG 里的设置，和这张图有多少像素。"""
    from PIL import Image

    if not isinstance(path, str | os.PathLike) and not hasattr(path, "read"):
        raise TypeError(
            f"source 应是 save_image 存的 PNG 的文件名，或一个 Result，得到 {describe(path)}"
        )
    try:
        file = path if hasattr(path, "read") else os.path.expanduser(path)
        with Image.open(file) as picture:
            text = getattr(picture, "text", {}).get("cnnlab")
            pixels = picture.width * picture.height
    except FileNotFoundError:
        raise ValueError(f"没有文件 {path}") from None
    except Exception as error:
        raise ValueError(f"{path} 不是能读的图像文件：{error}") from None
    if text is None:
        raise ValueError(
            f"{path} 里没有 cnnlab 的设置；只有用 save_image 把 Result 存成的 PNG 才能重做"
        )
    with _readable(path):
        settings = json.loads(text)
        kinds = {"function": str, "arguments": dict, "versions": dict, "threads": int}
        if not all(isinstance(settings[name], kind) for name, kind in kinds.items()):
            raise TypeError(text)
    return settings, pixels


# 书里最长的一次合成走几百步；别人给的 PNG 里的步数比这还多，就要读者自己写明
_MOST_STEPS = 10_000


def _check_cost(settings: dict, pixels: int, replacements: dict) -> None:
    """设置里的步数、尺寸与这张图相称才做：一张小图不会要人算上一天。"""
    arguments = dict(settings["arguments"])
    for value in settings["arguments"].values():
        if isinstance(value, dict) and isinstance(value.get("fields"), dict):
            arguments |= value["fields"]
    for key, value in arguments.items():
        items = value.get("tuple", value.get("list")) if isinstance(value, dict) else [value]
        numbers = [n for n in items or [] if type(n) is int]
        if key in replacements or not numbers or key == "seed" or key.endswith("weight"):
            continue
        height, width = (numbers * 2)[:2]
        too_large = key == "size" and height * width > 4 * pixels
        if too_large or max(map(abs, numbers)) > _MOST_STEPS:
            raise ValueError(
                f"设置里的 {key}={numbers} 与这张 {pixels} 像素的图不相称；确实要这样重做就写明：reproduce(..., {key}=…)"
            )


def _warn_of_differences(settings: dict) -> None:
    now = _settings("", {})
    changed = [
        f"{name} {old} → {now['versions'].get(name)}"
        for name, old in settings["versions"].items()
        if now["versions"].get(name) != old
    ]
    if settings["threads"] != now["threads"]:
        changed.append(f"线程数 {settings['threads']} → {now['threads']}")
    if changed:
        warnings.warn(
            f"环境与当时不同（{'，'.join(changed)}），结果可能不是逐位相同",
            RuntimeWarning,
            stacklevel=3,
        )
