"""乱试：每个以模型为第一个参数的公开函数，配各种图、目标、层、通道；要么有结果，要么是一句中文的错，什么也不改。

`make fuzz` 试得更久。
"""

import os
import warnings

import numpy as np
import pytest
import torch
from hostile import CALLS, HOSTILE, TORCHVISION, a_layer, differences, network, state_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("CNNLAB_FUZZ", "20"))
PHOTO = torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(1))
IMAGES = {
    "一张": lambda: PHOTO[:1].clone(),
    "两张": lambda: PHOTO.clone(),
    "float64": lambda: PHOTO[:1].double(),
    "half": lambda: PHOTO[:1].half(),
    "要梯度": lambda: PHOTO[:1].clone().requires_grad_(),
    "展开的": lambda: PHOTO[:1, :, :1, :1].expand(1, 3, 48, 48),
    "通道在后的内存": lambda: PHOTO.contiguous(memory_format=torch.channels_last),
    "灰度": lambda: PHOTO[:1, :1].clone(),
    "透明": lambda: torch.cat([PHOTO[:1], PHOTO[:1, :1]], 1),
    "少一维": lambda: PHOTO[0].clone(),
    "整数": lambda: (PHOTO[:1] * 255).byte(),
    "0-255": lambda: PHOTO[:1] * 255,
    "NaN": lambda: PHOTO[:1] * float("nan"),
    "空": lambda: PHOTO[:0].clone(),
    "一个像素": lambda: PHOTO[:1, :, :1, :1].clone(),
    "numpy": lambda: PHOTO[:1].numpy(),
    "没有": lambda: None,
}
TARGETS = [0, 3, np.int64(2), torch.tensor(1), [0, 1], torch.tensor([1, 2]), -1, 10**30, True, 1.5]
TARGETS += ["panda", "没有的类", None, [], float("nan"), np.array([1, 2])]
LAYERS = ["层", "层", "层", "没有的层", "", None, 5]
CHANNELS = [0, 1, np.int64(2), torch.tensor(1), -1, 10**6, 1.5, None, "a", True]
MODELS = ["本书", *HOSTILE, *TORCHVISION]
CACHE = {}


def is_explained(error: Exception) -> bool:
    return any("\u4e00" <= character <= "\u9fff" for character in str(error))


def fingerprint(image):
    """调用者的图：值、梯度、要不要梯度。"""
    if not isinstance(image, torch.Tensor):
        return None
    return image.detach().clone().nan_to_num(7), image.grad, image.requires_grad


@pytest.mark.parametrize("name", sorted(CALLS))
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    st.sampled_from(MODELS),
    st.sampled_from(sorted(IMAGES)),
    st.integers(0, len(TARGETS) - 1),
    st.sampled_from(LAYERS),
    st.integers(0, len(CHANNELS) - 1),
    st.sampled_from(["", "no_grad", "inference_mode", "float64"]),
)
def test_a_result_or_one_chinese_sentence_and_no_traces(name, model, image, target, layer, channel, around):  # fmt: skip
    network_ = CACHE.setdefault(model, network(model)) if model not in CACHE else CACHE[model]
    picture = IMAGES[image]()
    layer = a_layer(network_) if layer == "层" else layer
    before, kept = state_of(network_), fingerprint(picture)
    contexts = {"no_grad": torch.no_grad, "inference_mode": torch.inference_mode}
    try:
        with warnings.catch_warnings(), contexts.get(around, torch.enable_grad)():
            warnings.simplefilter("ignore")
            torch.set_default_dtype(torch.float64 if around == "float64" else torch.float32)
            CALLS[name](network_, picture, TARGETS[target], layer, CHANNELS[channel])
    except Exception as error:
        if not is_explained(error):
            raise
    finally:
        torch.set_default_dtype(torch.float32)
    assert differences(before, state_of(network_)) == []
    if kept is not None:
        values, gradient, wants = fingerprint(picture)
        assert torch.equal(values, kept[0]) and gradient is kept[1] and wants == kept[2]
