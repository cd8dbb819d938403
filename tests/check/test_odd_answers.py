"""检查器遇到离谱的返回值：不崩，不把我们自己的异常说成读者的，也不放过。

60 种返回值 × 全部练习；单个练习对不对归 test_exercises.py 管。
"""

import collections
import datetime
import fractions
import os
import threading
from pathlib import Path

import numpy
import pytest
import torch
from torch import nn

from cnnlab import check


class Shouting:
    """什么都要抛错的东西。"""

    def __getattr__(self, name):
        raise RuntimeError("别碰我")

    def __eq__(self, other):
        raise RuntimeError("别比我")

    __hash__ = None


def _itself():
    value = []
    value.append(value)
    return value


def _pair_with_itself():
    value = {"a": torch.ones(2)}
    value["b"] = value
    return value


ODD = {
    "None": lambda: None,
    "真": lambda: True,
    "零": lambda: 0,
    "负一": lambda: -1,
    "小数": lambda: 0.5,
    "NaN": lambda: float("nan"),
    "无穷": lambda: float("inf"),
    "复数": lambda: 1j,
    "很大的整数": lambda: 10**400,
    "空串": lambda: "",
    "字符串": lambda: "图",
    "字节": lambda: b"1",
    "空元组": lambda: (),
    "空列表": lambda: [],
    "空字典": lambda: {},
    "集合": lambda: {1, 2},
    "省略号": lambda: ...,
    "类型": lambda: int,
    "函数": lambda: len,
    "生成器": lambda: (i for i in range(3)),
    "模块": lambda: torch,
    "分数": lambda: fractions.Fraction(1, 3),
    "日期": lambda: datetime.date(2020, 1, 1),
    "路径": lambda: Path("a.png"),
    "锁": threading.Lock,
    "会喊的": Shouting,
    "套着自己的列表": _itself,
    "套着自己的字典": _pair_with_itself,
    "嵌套": lambda: [[1, [2, [3]]]],
    "具名元组": lambda: collections.namedtuple("Pair", "a b")(1, 2),
    "网络": lambda: nn.Linear(2, 2),
    "参数": lambda: nn.Parameter(torch.ones(2)),
    "空张量": lambda: torch.empty(0),
    "标量张量": lambda: torch.tensor(1.0),
    "NaN 张量": lambda: torch.full((2, 3), torch.nan),
    "无穷张量": lambda: torch.full((2, 3), torch.inf),
    "布尔张量": lambda: torch.ones(2, dtype=torch.bool),
    "字节张量": lambda: torch.ones(2, dtype=torch.uint8),
    "半精度": lambda: torch.ones(2, 3).half(),
    "bfloat16": lambda: torch.ones(2, 3).bfloat16(),
    "复数张量": lambda: torch.ones(2, 3, dtype=torch.complex64),
    "四维": lambda: torch.ones(2, 3, 4, 5),
    "六维": lambda: torch.ones(1, 1, 1, 1, 1, 1),
    "带图": lambda: torch.ones(2, 3, requires_grad=True) * 2,
    "meta": lambda: torch.empty(2, 3, device="meta"),
    "稀疏": lambda: torch.eye(3).to_sparse(),
    "压缩稀疏": lambda: torch.eye(3).to_sparse_csr(),
    "量化": lambda: torch.quantize_per_tensor(torch.ones(2, 3), 0.1, 0, torch.qint8),
    "张量的列表": lambda: [torch.ones(2), torch.ones(3)],
    "张量的字典": lambda: {"conv1": torch.ones(2)},
    "一对 None": lambda: (None, None),
    "meta 的一对": lambda: (torch.empty(2, device="meta"),) * 2,
    "数组": lambda: numpy.ones((2, 3)),
    "对象数组": lambda: numpy.array([None, 1], dtype=object),
    "数组的一对": lambda: (numpy.ones(3), numpy.ones(3)),
    "NumPy 的数": lambda: numpy.float32(0.5),
    "NumPy 的日期": lambda: numpy.datetime64("2020-01-01"),
    "NumPy 的串": lambda: numpy.str_("a"),
    "异常": lambda: ValueError("不是抛的，是返回的"),
    "检查器自己": lambda: check.saliency,
}
BLAME = ("Error:", "Error`", "Traceback")


# 平时查一道普通的、没有标准值的和自己运行的；全部练习由 CNNLAB_ALL_EXERCISES=1 打开，约一分钟
CHOSEN = [
    exercise
    for exercise in check.exercises()
    if os.environ.get("CNNLAB_ALL_EXERCISES")
    or exercise.id in ("saliency-1", "embedding-1", "neighbors-4", "neighbors-5", "facets-3")
]


@pytest.mark.parametrize("exercise", CHOSEN, ids=lambda exercise: exercise.id)
def test_odd_answers_are_refused_without_blame(exercise):
    for name, make in ODD.items():
        report = exercise(lambda *arguments, make=make: make())
        assert report.state == "wrong", f"{name} 得到的是：\n{report!r}"
        assert report.kind and not any(word in repr(report) for word in BLAME), (
            f"{name} 怪到了读者头上：\n{report!r}"
        )


def _each(change, value):
    """把返回值里的每个张量和数换掉。"""
    if isinstance(value, torch.Tensor):
        return change(value.detach())
    if isinstance(value, dict):
        return {key: _each(change, item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_each(change, item) for item in value]
    return change(torch.tensor(value)) if isinstance(value, (int, float)) else value


class Special(torch.Tensor):
    """什么也没有改的子类。"""


# 对的答案，弄弯一下；真表示弄弯了也还可以算对
BENT = {
    "套一层元组": (True, lambda v: (v,)),
    "放进字典": (False, lambda v: {"答": v}),
    "两份": (False, lambda v: (v, v)),
    "写成文字": (False, str),
    "多一个 None": (False, lambda v: [v, None]),
    "生成器": (False, lambda v: (item for item in [v])),
    "嵌套列表": (True, lambda v: _each(torch.Tensor.tolist, v)),
    "NumPy": (True, lambda v: _each(torch.Tensor.numpy, v)),
    "全是文字": (False, lambda v: _each(lambda t: "字", v)),
    "NaN": (False, lambda v: _each(lambda t: t.double() * torch.nan, v)),
    "无穷": (False, lambda v: _each(lambda t: t.double() + torch.inf, v)),
    "空的": (False, lambda v: _each(lambda t: t.flatten()[:0], v)),
    "半精度": (True, lambda v: _each(torch.Tensor.half, v)),
    "单精度": (True, lambda v: _each(torch.Tensor.float, v)),
    "复数": (True, lambda v: _each(lambda t: t.to(torch.complex128), v)),
    "截成整数": (True, lambda v: _each(torch.Tensor.int, v)),
    "meta": (False, lambda v: _each(lambda t: t.to("meta"), v)),
    "稀疏": (False, lambda v: _each(torch.Tensor.to_sparse, v)),
    "不连续": (True, lambda v: _each(lambda t: torch.stack([t, t], -1)[..., 0], v)),
    "子类": (True, lambda v: _each(lambda t: t.as_subclass(Special), v)),
    "带着求导": (True, lambda v: _each(lambda t: t.double().requires_grad_(), v)),
    "多一维": (True, lambda v: _each(lambda t: t[None], v)),
    "嵌套张量": (False, lambda v: _each(lambda t: torch.nested.nested_tensor([t.flatten()]), v)),
}


@pytest.mark.parametrize(
    "exercise", [e for e in CHOSEN if e.oracle and e.id != "guided_backprop-2"], ids=lambda e: e.id
)
def test_bent_answers_are_judged_without_blame(exercise):
    for name, (may_pass, bend) in BENT.items():
        report = exercise(lambda *arguments, bend=bend: bend(exercise.oracle(*arguments)))
        assert report.state == "wrong" or (may_pass and report), f"{name}：\n{report!r}"
        assert not any(word in repr(report) for word in BLAME), f"{name}：\n{report!r}"


def test_numpy_is_named():
    for exercise in check.exercises():
        # guided_backprop-2 要的是一个类，不是函数
        if exercise.oracle and exercise.id != "guided_backprop-2":
            report = exercise(lambda *arguments: numpy.ones((2, 3)))
            assert "NumPy 数组" in repr(report), repr(report)


def test_leaving_and_unprintable_exceptions_are_errors():
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError

    def my_gram(features):
        raise Mute

    assert check.gram(my_gram).state == "error"
    report = check.gram(lambda features: exit())
    assert report.state == "error" and "exit()" in repr(report)


def _raising(error):
    def my_gram(features):
        raise error

    return my_gram


def _endless(features):
    return _endless(features)


@pytest.mark.parametrize(
    "answer",
    [_endless, *map(_raising, (MemoryError(), StopIteration(), GeneratorExit(), BaseException()))],
)
def test_no_exception_of_the_learner_escapes(answer):
    report = check.gram(answer)
    assert report.state == "error" and "出错的是" in repr(report)


def test_the_stop_button_stops_and_leaves_nothing_behind():
    before = torch.get_rng_state(), torch.is_grad_enabled(), torch.get_num_threads()

    def my_gram(features):
        torch.set_grad_enabled(False)
        torch.manual_seed(5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check.gram(my_gram)
    after = torch.get_rng_state(), torch.is_grad_enabled(), torch.get_num_threads()
    assert torch.equal(before[0], after[0]) and before[1:] == after[1:]


def test_misspelt_names_are_answered_with_near_ones():
    with pytest.raises(AttributeError, match="最接近的有：saliency"):
        check.salliency  # noqa: B018
