"""站在公开函数前面的核对：库里的错由谁来说。"""

import pytest
import torch
from torch import Tensor

import cnnlab
from cnnlab.core import arguments
from cnnlab.core.arguments import checked


@checked(a="N D", b="M E")
def inner(a: Tensor, b: Tensor) -> Tensor:
    return a @ b


@checked(rows="N D", columns="M E")
def outer(rows: Tensor, columns: Tensor) -> Tensor:
    return inner(rows, columns)


def test_the_function_that_the_reader_called_tells_of_the_librarys_error(monkeypatch):
    monkeypatch.setattr(arguments, "_OWN", [*arguments._OWN, __file__])
    with pytest.raises(ValueError, match=r"^outer 用这些参数.*rows 是 \(2, 3\)") as told:
        outer(torch.rand(2, 3), torch.rand(4, 5))
    assert isinstance(told.value.__cause__, RuntimeError)
    with pytest.raises(ValueError, match=r"^inner 用这些参数"):
        inner(torch.rand(2, 3), torch.rand(4, 5))


def test_a_function_of_the_readers_own_stands_between():
    """读者自己的函数调用了里层的：错是在他那里出的，里层的说，外层的不接过来。"""
    with pytest.raises(RuntimeError):
        outer(torch.rand(2, 3), torch.rand(4, 5))


def test_a_function_of_the_wrong_number_of_arguments_is_told_before_the_work():
    image = torch.rand(1, 3, 8, 8)
    done = []

    def loss(value):
        done.append(1)
        return value.square().sum()

    for on_step in (lambda: None, lambda a, b: None):
        with pytest.raises(TypeError, match=r"on_step 要能收 1 个参数，给的函数收 \("):
            cnnlab.optimize_image(image, loss, steps=1, on_step=on_step)
    with pytest.raises(TypeError, match=r"loss 要能收 1 个参数"):
        cnnlab.optimize_image(image, lambda: 1, steps=1)
    with pytest.raises(TypeError, match=r"transforms 里应都是函数，有一个是 'a'"):
        cnnlab.compose(cnnlab.jitter(2), "a")
    assert not done
    for good in (print, [].append, lambda step, more=1: None, lambda *steps: None):
        cnnlab.optimize_image(image, loss, steps=1, on_step=good)
