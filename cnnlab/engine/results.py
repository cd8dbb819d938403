"""合成的结果：图像、历史、设置；设置写得进 PNG，也读得回来，照着重做一遍。

不管怎样合成。设置里有函数名、全部参数、模型名与权重的 sha256、种子、版本。
"""

import base64
import functools
import inspect
import json
import platform
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cnnlab.networks.models import VisionModel, load_model

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
        image, history = function(*arguments, **options)
        return Result(image, history, settings)

    run.reproducible = True
    return run


def reproduce(source, **replacements) -> Result:
    """照 `source`（`save_image` 存的 PNG，或一个 Result）里的设置重做一遍；同一台机器上逐位相同。

    没有存进去的参数（函数、自己的网络、很大的数据）要在这里按名字给出，如 `reproduce("x.png", generator=network)`。
    """
    import cnnlab

    settings = source.settings if isinstance(source, Result) else _read_settings(source)
    name = settings.get("function", "")
    function = getattr(cnnlab, name, None) if name.isidentifier() else None
    if not getattr(function, "reproducible", False):
        raise ValueError(f"设置里的函数 {name!r} 不是 cnnlab 的合成函数，不能重做")
    missing = sorted(replacements.keys() - inspect.signature(function).parameters.keys())
    if missing:
        raise ValueError(
            f"{name} 没有参数 {'、'.join(missing)}；有的是 {'、'.join(inspect.signature(function).parameters)}"
        )
    _warn_of_differences(settings)
    arguments = {
        key: _restore(key, value, replacements.get(key))
        for key, value in settings["arguments"].items()
    }
    return function(**arguments)


def weights_hash(module: nn.Module) -> str:
    """一个网络全部参数的 sha256 的前 12 位。"""
    return VisionModel.weights_hash(module if isinstance(module, VisionModel) else _Holder(module))


@dataclass
class _Holder:
    network: nn.Module


def _settings(name: str, arguments: dict) -> dict:
    import cnnlab

    kept = {key: _describe(value) for key, value in arguments.items() if key not in _IGNORED}
    versions = {
        "cnnlab": cnnlab.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    return {
        "function": name,
        "arguments": kept,
        "versions": versions,
        "threads": torch.get_num_threads(),
    }


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
    if isinstance(value, np.generic | Path):
        return value.item() if isinstance(value, np.generic) else str(value)
    if isinstance(value, Tensor):
        return _describe_tensor(value)
    if isinstance(value, torch.Generator):
        return {"generator": _describe_tensor(value.get_state())}
    if isinstance(value, VisionModel):
        return {
            "model": value.network_name,
            "weights": value.weights_hash(),
            "device": str(value.mean.device),
        }
    if isinstance(value, nn.Module):
        return {"module": type(value).__name__, "weights": weights_hash(value)}
    return {"unstored": type(value).__name__}


def _describe_tensor(value: Tensor) -> dict:
    array = value.detach().cpu().contiguous().numpy()
    described = {"shape": list(array.shape), "dtype": str(array.dtype), "device": str(value.device)}
    if array.size > _LARGEST:
        return {"unstored": "Tensor", **described}
    return {
        "tensor": _Packed(base64.b64encode(zlib.compress(array.tobytes(), 1)).decode()),
        **described,
    }


def _restore(key: str, value, replacement):
    """`_describe` 的逆；存不下的用 `replacement`，网络要对得上权重。"""
    if replacement is not None and not (isinstance(value, dict) and "weights" in value):
        return replacement
    if not isinstance(value, dict):
        return value
    if "weights" in value:
        return _restore_network(key, value, replacement)
    if "unstored" in value:
        raise ValueError(
            f"参数 {key}（{value['unstored']}）没有存进设置里；重做时给出它：reproduce(..., {key}=...)"
        )
    if "dict" in value:
        return {
            _restore(key, name, None): _restore(key, each, None) for name, each in value["dict"]
        }
    if "settings" in value:
        import cnnlab

        fields = {name: _restore(key, each, None) for name, each in value["fields"].items()}
        return getattr(cnnlab, value["settings"])(**fields)
    if "generator" in value:
        generator = torch.Generator()
        generator.set_state(_restore(key, value["generator"], None))
        return generator
    if "tensor" in value:
        array = np.frombuffer(zlib.decompress(base64.b64decode(value["tensor"])), value["dtype"])
        return torch.from_numpy(array.reshape(value["shape"]).copy()).to(_device(value["device"]))
    kind = tuple if "tuple" in value else list
    return kind(_restore(key, each, None) for each in value[kind.__name__])


def _restore_network(key: str, value: dict, replacement: nn.Module | None) -> nn.Module:
    if replacement is None and "model" not in value:
        raise ValueError(
            f"参数 {key} 是你自己的网络（{value['module']}）；重做时给出它：reproduce(..., {key}=...)"
        )
    network = (
        load_model(value["model"], device=_device(value["device"]))
        if replacement is None
        else replacement
    )
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


def _read_settings(path) -> dict:
    from PIL import Image

    with Image.open(path) as picture:
        text = getattr(picture, "text", {}).get("cnnlab")
    if text is None:
        raise ValueError(
            f"{path} 里没有 cnnlab 的设置；只有用 save_image 把 Result 存成的 PNG 才能重做"
        )
    return json.loads(text)


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
