"""中断：每个公开函数在 20 处不同的行上按 Ctrl-C，之后普通梯度、模型的状态、随机数都和之前一样。"""

import ast
import functools
import random
import sys
from pathlib import Path

import pytest
import torch
from hostile import CALLS, a_layer, differences, network, state_of

import cnnlab

PACKAGE = str(Path(cnnlab.__file__).parent)


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


def run(call, stop_at: int | None = None) -> int:
    """调用一次，数走过包里的多少行；走到第 `stop_at` 行时按 Ctrl-C。"""
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
        return line if frame.f_code.co_filename.startswith(PACKAGE) else None

    before = sys.gettrace()
    sys.settrace(start)
    try:
        call()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("name", sorted(set(CALLS) - {"doctor"}))
def test_an_interrupt_leaves_everything_as_it_was(name):
    model = network("两次")
    image = torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(1))
    kept, layer = image.clone(), a_layer(model)

    def call():
        CALLS[name](model, image, 2, layer, 1)

    call()  # 第一次调用多走的行（懒导入等）不算
    before, total = state_of(model), run(call)
    for place in sorted(random.Random(0).choices(range(1, total + 1), k=20)):
        run(call, place)
        assert differences(before, state_of(model)) == [], f"在第 {place}/{total} 行打断"
        assert torch.equal(image, kept) and image.grad is None and not image.requires_grad
