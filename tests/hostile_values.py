"""刁难用的值：一个参数的正确值 -> {名字: 同一种、或别的种类的怪值}。"""

import math

import numpy as np
import torch
from hostile import Dropping, InPlace, Pair, Small
from torch import nn

NAN, INF = math.nan, math.inf
ANYTHING = {"没有": None, "五": 5, "字": "a", "空列表": [], "真": True, "零维": torch.tensor(1.0)}
ANYTHING |= {"NaN": NAN, "空字典": {}, "负": -1, "切片": slice(1)}
# 一次就要跑很久、占很多内存的数不试：步数、张数、尺寸
LONG = {"steps", "frames", "samples", "rounds", "iterations", "n", "octaves", "scales", "views"}
LONG |= {"phases", "angles", "size", "width", "window", "blocks", "code_size", "channels", "count"}
LONG |= {"n_styles", "milliseconds"}


def tensors(value):
    real = value.float()
    one_nan = real.clone()
    one_nan.view(-1)[:1] = NAN
    return {
        "numpy": value.numpy(),
        "列表": value.tolist(),
        "零维": torch.tensor(1.0),
        "零维整数": torch.tensor(1),
        "没有行": value[:0],
        "没有列": value[..., :0],
        "少一维": value[0] if value.dim() else value,
        "多一维": value[None],
        "摊平": real.reshape(-1),
        "int64": (real * 3).long(),
        "uint8": (real * 200).byte(),
        "布尔": real > 0.5,
        "half": real.half(),
        "bfloat16": real.bfloat16(),
        "double": real.double(),
        "复数": real.to(torch.complex64),
        "全 NaN": real * NAN,
        "一个 NaN": one_nan,
        "无穷": real + INF,
        "全零": real * 0,
        "处处相同": real * 0 + 0.5,
        "极大": real * 1e30,
        "负": -real,
        "要梯度": real.clone().requires_grad_(),
        "展开的": real.new_tensor(0.5).expand(real.shape),
        "转置": value.transpose(0, -1) if value.dim() else value,
        "一行": value[:1],
        "一格": value[(slice(0, 1),) * value.dim()],
        "两倍": torch.cat([value, value]) if value.dim() else value,
        "稀疏": real.to_sparse(),
        "没有数": real.to("meta"),
        "类": torch.Tensor,
        "一列字": ["a", "b"],
        "一列张量": [value],
        "别的形状": torch.rand(2, 3, generator=torch.Generator().manual_seed(0)),
        **ANYTHING,
    }


def integers(value, name):
    found = {
        "没有": None, "真": True, "负": -1, "零": 0, "一半": 1.5, "字": "a", "NaN": NAN, "无穷": INF,
        "空列表": [], "一列": [value], "numpy": np.int64(value), "张量": torch.tensor(value),
        "一个数的张量": torch.tensor([value]), "浮点": float(value), "极小": -(10**30), "复数": 1j,
    }  # fmt: skip
    return found if name in LONG else found | {"极大": 10**30}


def reals(value):
    return {
        "没有": None, "真": True, "NaN": NAN, "无穷": INF, "负无穷": -INF, "负": -1.0, "零": 0.0,
        "极大": 1e300, "字": "a", "空列表": [], "numpy": np.float32(value), "复数": 1j, "整数": 1,
        "张量": torch.tensor(value), "一个数的张量": torch.tensor([value]),
    }  # fmt: skip


def texts(value):
    return {
        "没有": None, "五": 5, "空": "", "没有的": "没有", "英文": "zzz", "字节": b"x", "空列表": [],
        "一列": [value], "真": True, "NaN": NAN, "numpy": np.str_(value), "张量": torch.tensor(1.0),
        "半个字": "\ud800", "带零": "a\0b", "很长": "a" * 5000,
    }  # fmt: skip


def sequences(value):
    return {
        "没有": None, "五": 5, "空": [], "字": "abc", "一个没有": [None], "一个 NaN": [NAN],
        "一列字": ["a"], "两倍": list(value) * 2, "张量": torch.tensor(1.0), "负": [-1],
        "空字典": {}, "极大": [10**30], "numpy": np.array([0]), "生成器": (each for each in value),
    }  # fmt: skip


class Odd(nn.Module):
    """输出不是张量。"""

    def forward(self, image):
        return "字"


def networks():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        return {
            "训练中": Small().train(),
            "原样": nn.Identity(),
            "线性": nn.Linear(3, 3),
            "空": nn.Sequential(),
            "原地": InPlace(),
            "一对": Pair(),
            "失活": Dropping(),
            "怪": Odd(),
            "half": Small().half().eval(),
            "double": Small().double().eval(),
            "函数": abs,
            "类": Small,
            "脚本": torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), *head).eval()),
            "没有数": nn.Sequential(nn.Conv2d(3, 4, 3, device="meta"), *head),
            "灰度": nn.Sequential(nn.Conv2d(1, 4, 3), *head),
            "一列": [Small()],
            "并行": nn.DataParallel(Small()),
            **ANYTHING,
        }


def hostile_values(value, name: str) -> dict:
    """这个参数的各种怪值；`value` 是它的一个正确的值。"""
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(value)
    if isinstance(value, torch.Tensor):
        return tensors(value)
    if isinstance(value, nn.Module):
        return networks()
    if isinstance(value, bool):
        return ANYTHING
    if isinstance(value, int):
        return integers(value, name)
    if isinstance(value, float):
        return reals(value)
    if isinstance(value, str):
        return texts(value)
    if isinstance(value, list | tuple):
        return sequences(value)
    return ANYTHING
