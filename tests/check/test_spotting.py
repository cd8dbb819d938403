"""找错：每张牌恰好一种写法对，另外四种各有各的话；选之前不说答案。"""

import pytest

from cnnlab import check
from cnnlab.check import session, spotting
from cnnlab.check.variants import Edited, source_of

each_card = pytest.mark.parametrize("id", spotting.cards())


@each_card
def test_one_version_is_right_and_the_others_are_told_apart(id):
    exercise = session.find(id)
    assert exercise.ours.__name__ == exercise.function_name
    verdicts = [spotting._judged(exercise, source) for source in spotting.versions(id)]
    faults = [spotting._fault(v) for v in verdicts if v.state != "passed"]
    assert len(faults) == 4 and len(set(faults)) == 4, faults
    assert {v.kind for v in verdicts} <= {"", "mistake", "effect", "property"}, faults


def test_answers_are_judged_in_the_words_of_the_hint(monkeypatch):
    monkeypatch.setattr(session, "_states", {})
    exercise, sources = session.find("occlusion-2"), spotting.versions("occlusion-2")
    right = [n for n, s in enumerate(sources, 1) if s == source_of(exercise.ours)]
    wrong = next(n for n, s in enumerate(sources, 1) if ".softmax(1)" in s)
    report = repr(check.spot("occlusion-2", answer=wrong))
    assert report.startswith(f"❌ 第 {wrong} 种不对") and "概率" in report
    assert f"第 {right[0]} 种" not in report  # 选错时不说哪一种对
    told = check.spot("occlusion-2", answer=right[0])
    assert repr(told).startswith("✅") and len(told.items) == 4
    assert not session._states  # 找错不算做过这道练习


def test_the_order_is_stable_and_a_seed_shuffles():
    assert check.spot("saliency-1") == check.spot("saliency-1")
    orders = {check.spot("saliency-1", seed=seed).sources for seed in range(5)}
    assert len(orders) > 1 and len({frozenset(order) for order in orders}) == 1


def test_what_is_shown_holds_no_verdict():
    shown = check.spot("saliency-1")
    for text in (repr(shown), shown._repr_markdown_()):
        assert text.count("def my_saliency") == 5 and "answer=号码" in text
        assert not any(mark in text for mark in "✅❌#")
    assert len(check.spot().items) == len(spotting.cards())
    assert check.spot("saliency-1", answer=...) is None


@pytest.mark.parametrize("answer", [0, 6, "3", 2.5, None])
def test_bad_numbers_and_names_are_refused_in_chinese(answer):
    with pytest.raises(ValueError, match="occlusion-2"):
        check.spot("oclusion-2")
    if answer is not None:
        with pytest.raises(ValueError, match="1 到 5 的号码"):
            check.spot("occlusion-2", answer=answer)


def test_an_edit_that_meets_nothing_is_refused():
    def my_double(image):
        return 2 * image

    with pytest.raises(ValueError, match="my_double 里没有"):
        Edited(my_double, ("3 * image", "image"))(1)


def test_every_edit_of_every_exercise_meets_its_answer():
    edits = [
        wrong
        for exercise in check.exercises()
        for wrong, *_ in exercise.mistakes.values()
        if isinstance(wrong, Edited)
    ]
    assert len(edits) > 100
    for edit in edits:
        assert edit.source != source_of(edit.function), edit.changes
