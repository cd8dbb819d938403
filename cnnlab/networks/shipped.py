"""随包带来的权重：读进来、变回单精度、装进网络、冻结。

不管网络的结构（各在自己的模块里），也不管权重是怎样训练的（见 tools/）。
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from cnnlab.core.checks import is_chinese
from cnnlab.core.paths import DATA
from cnnlab.core.profiles import default_device

State = dict[str, Tensor]


def read_shipped(name: str, *, folder=DATA) -> tuple[State, dict[str, str]]:
    """`folder` 里 <name>.safetensors 的权重（半精度的变回单精度）与元数据。"""
    from safetensors import safe_open

    path = Path(folder).expanduser() / f"{name}.safetensors"
    if not path.is_file():
        raise ValueError(f"没有文件 {path}；它随包安装，缺了就重装，或用 tools/ 里的命令重新训练")
    with safe_open(path, "pt") as file:
        about, state = file.metadata() or {}, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    state = {key: each.float() if each.is_floating_point() else each for key, each in state.items()}
    return state, about


def load_shipped(
    name: str, make: Callable[[State, dict[str, str]], nn.Module], *, folder=DATA
) -> nn.Module:
    """随包的网络：`make(权重, 元数据)` 建好结构，装上权重，冻结、评估模式，放在这次运行的设备上；用掉的随机数还回去。"""
    try:
        state, about = read_shipped(name, folder=folder)
        with torch.random.fork_rng(devices=[]):
            network = make(state, about)
        network.load_state_dict(state)
    except Exception as error:
        if is_chinese(error):
            raise
        raise ValueError(
            f"{Path(folder) / name}.safetensors 装不成这个网络：文件损坏了，或是别的网络的权重"
            f"（{type(error).__name__}）；随包带来的，重装就有"
        ) from error
    return network.to(default_device()).eval().requires_grad_(False)
