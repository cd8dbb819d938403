"""乱试：要么有结果，要么是一句中文的错，什么也不改。

每个以模型为第一个参数的公开函数，配各种网络、图、目标、层、通道；每个公开的名字，一次换一两个参数。
`make fuzz` 试得更久。
"""

import os
import random
import warnings

import numpy as np
import pytest
import torch
from hostile import CALLS, HOSTILE, TORCHVISION, a_layer, differences, network, state_of
from hostile_values import ANYTHING, hostile_values
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib import pyplot
from public_calls import CONSTANTS, GOOD, call

import cnnlab
from cnnlab.core.checks import is_chinese

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
        if not is_chinese(error):
            raise
    finally:
        torch.set_default_dtype(torch.float32)
    assert differences(before, state_of(network_)) == []
    if kept is not None:
        values, gradient, wants = fingerprint(picture)
        assert torch.equal(values, kept[0]) and gradient is kept[1] and wants == kept[2]


# 要联网的不试
NAMES = sorted(set(GOOD) - {"imagenette", "stl10"})
SETTINGS = settings(
    max_examples=max(8, EXAMPLES),
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def test_every_public_name_is_tried():
    names = {name for name in cnnlab.__all__ if name not in {"check", *cnnlab._modules["show"]}}
    assert names - CONSTANTS == set(GOOD)


def test_every_public_function_checks_its_arguments():
    """没有参数的、只存数的不用核对。"""
    plain = {name for name, arguments in GOOD.items() if not arguments()}
    plain |= {"Result", "Choice", "explore"}  # 小部件不等 torch 载入
    for name in set(GOOD) - plain:
        function = getattr(cnnlab, name)
        function = function.__init__ if isinstance(function, type) else function
        assert getattr(function, "is_checked", False), f"{name} 前面少了 @checked"


def kept(value):
    """参数原来的样子；不是张量时不看。"""
    usable = isinstance(value, torch.Tensor) and value.layout == torch.strided
    if not usable or value.is_meta:
        return None
    return value.detach().clone(), value.requires_grad, value.grad if value.is_leaf else None


def surroundings() -> list:
    """调用前后要一样的：各种全局的状态，打开的图。"""
    return [
        torch.get_rng_state().tolist(),
        random.getstate(),
        np.random.get_state()[1].tolist(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch._C._len_torch_function_stack(),
        len(pyplot.get_fignums()),
    ]


def from_the_callers_code(error: Exception) -> bool:
    """一路上经过调用者自己的函数（public_calls 里的损失、数据）：那样的错原样放过。"""
    files, trace = [], error.__traceback__
    while trace is not None:
        files.append(trace.tb_frame.f_code)
        trace = trace.tb_next
    return any(code.co_name in ("square", "batches", "brightness") for code in files)


# 建一个网络，权重取自全局的随机数
DRAWS = {"ImageGenerator", "FeatureDecoder", "StylizationNetwork", "ConditionalNorm"}


@pytest.mark.parametrize("name", NAMES)
@SETTINGS
@given(st.data())
def test_any_argument_gives_a_result_or_one_chinese_sentence(name, data):
    arguments = GOOD[name]()
    for key in data.draw(
        st.lists(st.sampled_from(sorted(arguments) or [""]), min_size=1, max_size=2, unique=True)
    ):
        if key.startswith("*") or not key:
            continue
        choices = hostile_values(arguments[key], key) if key in arguments else ANYTHING
        arguments[key] = choices[data.draw(st.sampled_from(list(choices)))]
    before, given_ = surroundings(), {key: kept(value) for key, value in arguments.items()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call(name, arguments)
    except Exception as error:
        told = is_chinese(error) or from_the_callers_code(error)
        assert told, f"{type(error).__name__}: {error}"
        assert surroundings() == before
    else:
        pyplot.close("all")
        assert surroundings()[name in DRAWS : -1] == before[name in DRAWS : -1]
    finally:
        pyplot.close("all")
    for key, value in arguments.items():
        if given_[key] is not None:
            now = kept(value)
            assert torch.equal(now[0].nan_to_num(7), given_[key][0].nan_to_num(7)), f"{key} 被改了"
            assert now[1:] == given_[key][1:], f"{key} 的梯度被改了"


@pytest.mark.parametrize("name", NAMES)
def test_the_good_call_is_good(name):
    """换参数之前的那一次调用自己要通：不然乱试试的只是同一句错；它也不改周围。"""
    arguments, before = GOOD[name](), surroundings()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        call(name, arguments)
    pyplot.close("all")
    assert surroundings()[name in DRAWS :] == before[name in DRAWS :]
