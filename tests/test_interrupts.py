"""中断：每个公开函数在 20 处不同的行上按 Ctrl-C，之后普通梯度、模型的状态、随机数都和之前一样。"""

import ast
import functools
import random
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from hostile import differences, network, state_of
from public_calls import TAKES_MODEL, call, on_network

import cnnlab

PACKAGE = str(Path(cnnlab.__file__).parent)
# 打断了也给出已有结果的，和本书网络才有的
NAMES = [name for name in TAKES_MODEL if name not in {"workbench", "neuron_card"}]


@functools.cache
def cleaning_lines(path: str) -> frozenset[int]:
    """finally 里的行：收拾到一半再被打断，谁也救不了；with 的那一行：离开时也经过它，真的中断不落在那里。"""
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    tries = [node for node in ast.walk(tree) if isinstance(node, ast.Try)]
    lines = set()
    for node in tries:
        for each in node.finalbody:
            lines.update(range(each.lineno, each.end_lineno + 1))
    return frozenset(lines)


@functools.cache
def with_lines(path: str) -> frozenset[int]:
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    lines = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.With):
            lines.update(range(node.lineno, node.body[0].lineno))
    return frozenset(lines)


def cleaning(frame) -> bool:
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(PACKAGE) and frame.f_lineno in cleaning_lines(path):
            return True
        frame = frame.f_back
    return False


def run(call, stop_at: int | None = None, also: tuple[str, ...] = ()) -> int:
    """调用一次，数走过包里（和 `also` 这些文件里）的多少行；走到第 `stop_at` 行时按 Ctrl-C。"""
    count = 0

    def line(frame, event, argument):
        nonlocal count
        if (
            event == "line"
            and frame.f_lineno not in with_lines(frame.f_code.co_filename)
            and not cleaning(frame)
        ):
            count += 1
            if count == stop_at:
                raise KeyboardInterrupt
        return line

    def start(frame, event, argument):
        return line if frame.f_code.co_filename.startswith((PACKAGE, *also)) else None

    before = sys.gettrace()
    sys.settrace(start)
    try:
        call()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("name", NAMES)
def test_an_interrupt_leaves_everything_as_it_was(name):
    model = network("两次")
    arguments = on_network(name, model)
    image = arguments.get("image")
    kept = None if image is None else image.clone()

    def again():
        # 有的函数不收这个网络，说一句就停：打断在那之前也要干净
        with warnings.catch_warnings(), suppress(ValueError):
            warnings.simplefilter("ignore")
            call(name, arguments)

    again()  # 第一次调用多走的行（懒导入等）不算
    before, total = state_of(model), run(again)
    for place in sorted(random.Random(0).choices(range(1, total + 1), k=20)):
        run(again, place)
        assert differences(before, state_of(model)) == [], f"在第 {place}/{total} 行打断"
        if kept is not None:
            assert torch.equal(image, kept) and image.grad is None and not image.requires_grad


@pytest.mark.parametrize("name", ["class_ranks", "activations_of", "extract_features"])
def test_an_interrupt_within_torchs_own_mode_switch_leaves_the_mode(name):
    """在 torch.no_grad 换模式的半路上打断：换了一半的由最外层的公开函数换回来；每一行都试。"""
    model, switch = network("两次"), (torch.autograd.grad_mode.__file__,)

    def again():
        call(name, on_network(name, model))

    again()
    before, total = state_of(model), run(again, also=switch)
    changed = {place: differences(before, state_of(model)) for place in stops(again, total, switch)}
    assert {place: found for place, found in changed.items() if found} == {}


def stops(again, total: int, also):
    """依次在每一行打断。"""
    for place in range(1, total + 1):
        run(again, place, also)
        yield place
