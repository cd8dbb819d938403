"""站在公开函数前面的核对：库里的错由谁来说。"""

import pytest
import torch
from torch import Tensor

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
