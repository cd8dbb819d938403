"""乱试：要么有结果，要么是一句中文的错，什么也不改。

每个公开的名字，每个参数的每个怪值；每个收模型的公开函数，配不守规矩的网络和随机权重的六种 torchvision 网络。
平常每样试一遍，再随机换几个参数；`make fuzz` 随机地试得更久。
"""

import os
import random
import warnings

import numpy as np
import pytest
import torch
from hostile import MODELS, TORCHVISION, differences, network, state_of
from hostile_values import hostile_values
from matplotlib import pyplot
from public_calls import CONSTANTS, GOOD, TAKES_MODEL, call, on_network

import cnnlab
from cnnlab.core.checks import is_chinese

# 每个名字另外随机换两三个参数的次数；每对（函数、网络）随机换一个参数的次数是它的五分之一
EXAMPLES = int(os.environ.get("CNNLAB_FUZZ", "5"))
# 要联网的不试
NAMES = sorted(set(GOOD) - {"imagenette", "stl10"})
# 建一个网络，权重取自全局的随机数
DRAWS = {"ImageGenerator", "FeatureDecoder", "StylizationNetwork", "ConditionalNorm"}
AROUND = {
    "": torch.enable_grad,
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "float64": torch.enable_grad,
}


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
    codes, trace = [], error.__traceback__
    while trace is not None:
        codes.append(trace.tb_frame.f_code)
        trace = trace.tb_next
    return any(code.co_name in ("square", "batches", "brightness") for code in codes)


def changed(arguments: dict, before: dict) -> list[str]:
    """哪几个参数的值或梯度被改了。"""
    found = []
    for key, was in before.items():
        if was is None:
            continue
        now = kept(arguments[key])
        if not torch.equal(now[0].nan_to_num(7), was[0].nan_to_num(7)) or now[1:] != was[1:]:
            found.append(f"{key} 被改了")
    return found


def faults(name: str, arguments: dict, around: str = "") -> list[str]:
    """调用一次，不合规矩的地方：别人的错、改了的状态、改了的参数。"""
    before, given = surroundings(), {key: kept(value) for key, value in arguments.items()}
    found, figures = [], 0
    try:
        with warnings.catch_warnings(), AROUND[around]():
            warnings.simplefilter("ignore")
            torch.set_default_dtype(torch.float64 if around == "float64" else torch.float32)
            call(name, arguments)
    except Exception as error:
        if not (is_chinese(error) or from_the_callers_code(error)):
            found.append(f"{type(error).__name__}: {str(error)[:200]}")
    else:
        # 画好了的图留着，没画成的要关上
        figures = len(pyplot.get_fignums())
    finally:
        torch.set_default_dtype(torch.float32)
    after = surroundings()
    if after[name in DRAWS : -1] != before[name in DRAWS : -1] or after[-1] != figures:
        found.append("周围的状态变了")
    pyplot.close("all")
    return found + changed(arguments, given)


def odd_values(name: str, key: str, arguments: dict) -> list[str]:
    """一个参数的怪值的名字；按位置给的不换。"""
    return [] if key.startswith("*") else list(hostile_values(arguments[key], key))


def replaced(arguments: dict, changes: dict[str, str]) -> dict:
    odd = {key: hostile_values(arguments[key], key)[label] for key, label in changes.items()}
    return arguments | odd


def random_changes(arguments: dict, generator: random.Random, counts) -> dict[str, str]:
    """随机几个参数，各换一个怪值：{参数: 怪值的名字}。"""
    keys = [key for key in sorted(arguments) if not key.startswith("*")]
    chosen = generator.sample(keys, min(generator.choice(counts), len(keys)))
    return {key: generator.choice(list(hostile_values(arguments[key], key))) for key in chosen}


@pytest.mark.parametrize("name", NAMES)
def test_any_argument_gives_a_result_or_one_chinese_sentence(name):
    """换之前的那一次调用自己要通：不然试的只是同一句错。然后每个参数的每个怪值，再随机换两三个。"""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        call(name, GOOD[name]())
    pyplot.close("all")
    found, generator = faults(name, GOOD[name]()), random.Random(name)
    cases = [{key: label} for key in GOOD[name]() for label in odd_values(name, key, GOOD[name]())]
    cases += [random_changes(GOOD[name](), generator, (2, 2, 3)) for _ in range(EXAMPLES)]
    for changes in cases:
        found += [f"{changes}：{each}" for each in faults(name, replaced(GOOD[name](), changes))]
    assert found == []


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", TAKES_MODEL)
def test_a_result_or_one_chinese_sentence_and_no_traces(name, model):
    """每个收模型的函数配每种网络：照常一次，小网络在别的模式里一次，换一个参数几次；网络前后一样。"""
    network_, generator = network(model), random.Random(f"{name} {model}")
    before, found = state_of(network_), []
    around = generator.choice(["no_grad", "inference_mode", "float64"])
    cases = [({}, ""), ({}, around)][: 1 if model in TORCHVISION else 2]
    others = [key for key in on_network(name, network_) if key not in ("model", "network")]
    for _ in range(max(1, EXAMPLES // 5)):
        arguments = {key: on_network(name, network_)[key] for key in others}
        cases.append((random_changes(arguments, generator, (1,)), ""))
    for changes, mode in cases:
        arguments = replaced(on_network(name, network_), changes)
        found += [f"{changes} {mode}：{each}" for each in faults(name, arguments, mode)]
    assert found + differences(before, state_of(network_)) == []
