"""两档设置：quick（CPU、CI，一章约一分钟）与 full（GPU：更大的网络、尺寸、步数）；网络到了哪个设备。

笔记本里只有一行 `profile = run_profile()`；不管算法。
"""

import os
from dataclasses import dataclass

import torch

from cnnlab.core.arguments import checked

NAMES = ("quick", "full")
# run_profile 定下的设备；没有调用过它的程序留在 CPU 上
_chosen = {"device": torch.device("cpu")}


@dataclass(frozen=True)
class Profile:
    """一档设置：`name` 为 "quick" 或 "full"，`device` 是随包的网络所在的设备。"""

    name: str
    device: str

    def choose(self, *, quick, full):
        """按当前这一档取值，例如 `profile.choose(quick=160, full=320)`。"""
        return quick if self.name == "quick" else full

    def __repr__(self) -> str:
        kind = (
            "快速档（CPU 上一章约一分钟）"
            if self.name == "quick"
            else "完整档（更大的尺寸和步数，建议用 GPU）"
        )
        other = "full" if self.name == "quick" else "quick"
        return f'{kind}，网络在 {self.device} 上算；换档用 run_profile("{other}")'


@checked
def run_profile(name: str | None = None) -> Profile:
    """定下这一档和设备：之后 `load_model` 和随包的网络都在这个设备上，照片和结果留在 CPU 上。

    `name` 是 "quick" 或 "full"；不给时看环境变量 CNNLAB_PROFILE，也没有时，有加速器就是 full，否则 quick。
    设备是 torch 认得的加速器（cuda、mps、xpu……），没有就是 cpu；环境变量 CNNLAB_DEVICE 可以另指一个。
    """
    device = _device()
    name = name or os.environ.get("CNNLAB_PROFILE") or ("quick" if device.type == "cpu" else "full")
    if name not in NAMES:
        raise ValueError(f'没有名为 {name!r} 的一档；可用 "quick"（快速）和 "full"（完整）')
    # 卷积和矩阵乘法都用完整的 float32：换一台机器，数也差不了多少
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    _chosen["device"] = device
    return Profile(name, str(device))


def default_device() -> torch.device:
    """随包的网络装到哪里：`run_profile` 定下的设备，没有调用过就是 CPU。"""
    return _chosen["device"]


def _device() -> torch.device:
    """环境变量 CNNLAB_DEVICE 指的设备，或 torch 认得的加速器，或 CPU。"""
    name = os.environ.get("CNNLAB_DEVICE")
    if not name:
        found = torch.accelerator.is_available()
        return torch.accelerator.current_accelerator() if found else torch.device("cpu")
    return device_here(name, "环境变量 CNNLAB_DEVICE")


def device_here(name, what: str = "device") -> torch.device:
    """核对这台机器上有这个设备。"""
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        raise ValueError(f"{what} 是 {name!r}，这台机器上没有这个设备；写 'cpu'，或不给") from error
    return device
