"""一叠写好的答案：另一些对的写法都要通过，常见的错法都要由该管的关口拦下。

只看检查的判断；检查器本身在 test_check.py，错法表在 test_exercises.py。
"""

from importlib import import_module

import pytest
from answers.register import RIGHT, WRONG

from cnnlab import check

for _part in ("seeing", "searching", "attributing", "climbing", "inverting", "styling", "hasty"):
    import_module(f"answers.{_part}")


def by_name(value) -> str:
    return getattr(value, "__name__", str(value))


@pytest.mark.parametrize(("name", "answer"), RIGHT, ids=by_name)
def test_another_right_way_passes(name, answer):
    report = getattr(check, name)(answer)
    assert report, f"对的写法没有通过：\n{report!r}"


@pytest.mark.parametrize(("name", "kind", "answer"), WRONG, ids=by_name)
def test_a_wrong_way_is_stopped_at_its_gate(name, kind, answer):
    report = getattr(check, name)(answer)
    assert report.state in ("wrong", "error") and report.kind == kind, report


def test_the_answers_reach_every_exercise():
    told = {name for name, _ in RIGHT} | {name for name, *_ in WRONG}
    missing = [item.id for item in check.exercises() if item.name not in told]
    assert not missing, missing
