"""两档设置：quick（CPU、CI，一章约一分钟）与 full（GPU：更大的网络、尺寸、步数）。

笔记本里只有一行 `profile = run_profile()`；不管算法。
"""

import os
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Profile:
    """一档设置：`name` 为 "quick" 或 "full"，`device` 为计算设备。"""

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
        return f"{kind}，设备：{self.device}；改环境变量 CNNLAB_PROFILE=quick 或 full 可换档"


def run_profile() -> Profile:
    """读环境变量 CNNLAB_PROFILE（quick 或 full，默认 quick），给出这一档；有 GPU 时设备为 cuda。"""
    name = os.environ.get("CNNLAB_PROFILE", "quick")
    if name not in ("quick", "full"):
        raise ValueError(f"环境变量 CNNLAB_PROFILE 是 {name!r}，只能是 quick 或 full")
    return Profile(name, "cuda" if torch.cuda.is_available() else "cpu")
