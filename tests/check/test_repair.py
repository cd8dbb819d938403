"""只差一步的诊断：说得出哪一行、哪一类；不止一处错时不说；改动让循环停不下来也会停。"""

import pytest
import torch

from cnnlab import check
from cnnlab.check import repair


def told(exercise, answer):
    expected = [run.output for run in exercise._oracle_runs]
    return repair.repaired(exercise, answer, expected)


def wrong_reduction(features):
    rows = features.flatten(2)
    return torch.einsum("nip,njp->nij", rows, rows) / features.sum()


def extra_step(features):
    rows = features.flatten(2)
    return (rows @ rows.transpose(1, 2) / features[0].numel()).triu()


def missing_step(image):
    down, right = image.diff(dim=2), image.diff(dim=3)
    return down.sum((1, 2, 3)) + right.sum((1, 2, 3))


def wrong_dims(image, gradient, size):
    return (image + size * gradient / gradient.abs().mean(1, keepdim=True)).clamp(0, 1)


def wrong_operator(first, second, share):
    return share * (1 - share) * (first + second).square().sum()


def wrong_number(gradient, width):
    rows, columns = (torch.linspace(-0.5, 0.5, n).double() for n in gradient.shape[2:])
    far = rows[:, None] ** 2 + columns**2
    return gradient * torch.exp(-far / (20 * width**2))


@pytest.mark.parametrize(
    ("exercise", "answer", "text"),
    [
        (check.gram, extra_step, "triu"),
        (check.variation, missing_step, "该是平方和一类"),
        (check.dream_step, wrong_dims, "沿哪几维"),
        (check.mixing_gap, wrong_operator, "加、减、乘、除"),
        (check.center_mask, wrong_number, "用的数不对"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_one_wrong_step_is_named(exercise, answer, text):
    found = told(exercise, answer)
    assert found and found.startswith("只差一步：") and text in found, found


def test_a_single_place_is_told_with_its_line():
    line = wrong_operator.__code__.co_firstlineno + 1
    assert f"第 {line} 行的 add（`return share" in told(check.mixing_gap, wrong_operator)


@pytest.mark.parametrize("answer", [wrong_reduction, lambda features: None, lambda features: 1 / 0])
def test_more_than_one_wrong_step_is_not_named(answer):
    assert told(check.gram, answer) is None


def test_edits_that_never_end_are_given_up(monkeypatch):
    monkeypatch.setattr(repair, "_ONE_RUN", 50)

    def my_gram(features):
        rest = features[0].numel() + torch.zeros(())
        while rest > 0:
            rest = rest - 1e9
        return features.flatten(2) @ features.flatten(2).mT * rest

    assert told(check.gram, my_gram) is None


def test_the_report_is_a_mistake_and_leaves_no_trace():
    state = torch.get_rng_state()
    report = check.mixing_gap(wrong_operator)
    assert report.kind == "mistake" and "只差一步" in repr(report)
    assert report == check.mixing_gap(wrong_operator) and torch.equal(torch.get_rng_state(), state)
