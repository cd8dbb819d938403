"""喂错实参的错法：只换一个实参，别的照旧。

不管哪一道练习用它：那些在 test_exercises.py 里。
"""

from functools import partial

import torch

from cnnlab.check.variants import fed, first


def power(base, exponent, *, scale=1):
    return scale * base**exponent


def test_one_argument_is_changed():
    assert fed(power, exponent=lambda n: n - 1)(2, 5) == 16
    assert fed(partial(power, scale=10), base=lambda b: -b)(2, 3) == -80


def test_the_first_stands_for_all():
    assert first(torch.tensor([3, 1, 2])).tolist() == [3, 3, 3]
