"""账本：不成立就失败，没有对照不收，卡片与表格内容齐全；讲义的每条说法恰好在一章里记一次。"""

import ast
import importlib.util
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from cnnlab import claims
from cnnlab.show.claims import claim_texts, ledger, record

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = {
    "measured": {"相关": 0.97},
    "control": {"普通梯度": 0.55},
    "n": "20 张照片",
    "holds": {"相关": (0.9, 0.97, None)},
}


@pytest.fixture(autouse=True)
def _empty_ledger(monkeypatch):
    monkeypatch.setattr(claims, "_book", {})


def test_record_keeps_everything_and_card_says_it():
    card = record(54, **NUMBERS)
    for text in (
        "54",
        claim_texts()["54"]["claim"],
        "相关 0.97",
        "普通梯度 0.55",
        "20 张照片",
        "◐ 不确切",
        "Adebayo 等，2018",
    ):
        assert text in card._repr_markdown_() and text in card._repr_html_() and text in repr(card)
    assert ledger() == (card,)


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), torch.tensor(0.5)])
def test_a_claim_that_does_not_hold_fails_and_is_not_kept(value):
    with pytest.raises(AssertionError, match=r"第 54 条.*0\.97"):
        record(54, **{**NUMBERS, "holds": {"相关": (0.9, value, None)}})
    assert ledger() == ()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("measured", "相关 0.97", "{名字: 数}"),
        ("control", "普通梯度 0.55", "{名字: 数}"),
        ("holds", True, "下界, 值, 上界"),
        ("holds", np.bool_(True), "下界, 值, 上界"),
    ],
)
def test_prose_and_bare_truths_are_refused(name, value, words):
    with pytest.raises(TypeError, match=words):
        record(54, **{**NUMBERS, name: value})
    assert ledger() == ()


DATA = {
    "measured": {"相关": 0.97123, "逐层": [0.5, torch.tensor(2e-7)], "张": 12},
    "control": {"普通梯度": torch.tensor(-0.551)},
    "n": 20,
}


def test_data_becomes_sentences():
    card = record(54, **DATA, holds={"相关": (0.9, 0.97123, None), "张": (5, 12, 20)})
    assert card.measured == "相关 0.971；逐层 0.5、2×10⁻⁷；张 12"
    assert card.control == "普通梯度 −0.551" and card.n == "20"


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ((0.98, 0.97, None), "“相关”是 0.97，应不小于 0.98"),
        ((None, torch.tensor(0.97), 0.5), "“相关”是 0.97，应不大于 0.5"),
        ((0, float("nan"), None), "“相关”是 nan，应不小于 0"),
        ((None, float("nan"), 1), "“相关”是 nan，应不大于 1"),
    ],
)
def test_a_failure_names_the_bound_and_its_numbers(bounds, words):
    with pytest.raises(AssertionError, match=words) as failure:
        record(54, **DATA, holds={"好的": (0, 1, 2), "相关": bounds})
    assert "好的" not in str(failure.value) and "0.971" in str(failure.value)
    assert ledger() == ()


def test_bounds_need_three_places():
    with pytest.raises(ValueError, match="“相关”要写成"):
        record(54, **DATA, holds={"相关": (0.9, 0.97)})


@pytest.mark.parametrize("missing", ["control", "n", "holds"])
def test_control_number_and_condition_are_needed_except_for_definitions(missing):
    with pytest.raises(ValueError, match=r"第 1 条缺少.*ⓘ"):
        record(1, **{**NUMBERS, missing: None})
    assert record(13, measured={"格": 1024}).verdict == "ⓘ"


def test_a_remark_is_said_apart_and_may_stand_where_there_is_nothing_to_compare():
    card = record(54, **NUMBERS, remark="两张图同一个种子")
    assert dict(card.parts)["备注"] == "两张图同一个种子" and dict(card.parts)["样本"]
    lone = record(37, **{**NUMBERS, "control": None}, remark="是笔误")
    assert "备注" in ledger(54, 37)._repr_html_() and "对照" not in dict(lone.parts)
    assert "备注" not in ledger(record(54, **NUMBERS).number)._repr_html_()


def test_unknown_number_is_refused():
    with pytest.raises(ValueError, match="没有第 107 条说法"):
        record(107, **NUMBERS)


def test_recording_again_replaces_and_selection_keeps_the_order_asked():
    for number, measured in ((1, "旧"), (2, "乙"), (1, "新")):
        record(number, **{**NUMBERS, "measured": {"名": measured}})
    assert [one.measured for one in ledger(2, 1)] == ["名 乙", "名 新"]
    with pytest.raises(ValueError, match="没有第 7 条"):
        ledger(1, 7)


# 书里的各章


def recorded() -> list[tuple[str, str]]:
    """各章里 record 的调用：(编号, 章)。"""
    found = []
    for path in sorted((ROOT / "book").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = "\n".join(
            "".join(cell["source"])
            for cell in cells
            if cell["cell_type"] == "code" and "record(" in "".join(cell["source"])
        )
        for node in ast.walk(ast.parse(code)):
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, "attr", getattr(node.func, "id", "")) == "record"
            ):
                found.append((str(node.args[0].value), path.stem))
    return found


def test_every_claim_is_run_once_in_its_chapter():
    calls, texts = recorded(), claim_texts()
    assert not (
        repeated := [
            number for number, times in Counter(number for number, _ in calls).items() if times > 1
        ]
    ), f"记了两次：{repeated}"
    expected = {(number, text["chapter"]) for number, text in texts.items() if not text["pending"]}
    assert set(calls) == expected, (
        f"有文字没有实验：{sorted(expected - set(calls))}；有实验没有文字：{sorted(set(calls) - expected)}"
    )
    assert {str(number) for number in range(1, 107)} <= set(texts)


def test_texts_are_whole_and_papers_are_in_the_bibliography():
    bibliography = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    assert len({text["claim"] for text in claim_texts().values()}) == len(claim_texts())
    for text in claim_texts().values():
        keys, names = text["papers"].split(), [name for name in text["source"].split("；") if name]
        assert text["verdict"] in claims.VERDICTS and text["claim"] and len(keys) == len(names)
        assert all(f"{{{key}," in bibliography for key in keys), keys
        assert all(name[-4:] in key for key, name in zip(keys, names, strict=True)), (keys, names)


# 建书时


@pytest.fixture
def extension():
    pytest.importorskip("docutils")
    specification = importlib.util.spec_from_file_location(
        "claims_page", ROOT / "book" / "_ext" / "claims_page.py"
    )
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


class Builder:
    def get_relative_uri(self, page, other):
        return f"{other.rpartition('/')[2]}.html"


def pages(extension, *outputs):
    """读一章 book/one（它的输出是 outputs），再写出两页。"""
    from types import SimpleNamespace

    from docutils import nodes, utils

    document = utils.new_document("page")
    document += [nodes.raw("", text, format="html") for text in outputs]
    app = SimpleNamespace(env=SimpleNamespace(docname="book/one"), builder=Builder())
    extension.collect(app, document)
    chapter, table = (
        {"body": "".join(outputs)},
        {
            "body": '<span class="cnnlab-measured" data-number="1"></span>|<span class="cnnlab-measured" data-number="9"></span>'
        },
    )
    extension.fill(app, "book/one", "", chapter, None)
    extension.fill(app, "book/claims", "", table, None)
    extension.forget(app, app.env, "book/one")
    assert app.env.cnnlab_claims == {}
    return chapter["body"], table["body"]


def test_numbers_reach_the_page_and_links_go_both_ways(extension):
    card = record(1, **{**NUMBERS, "measured": {'甲 <b> "引号"': 1}})
    chapter, table = pages(extension, card._repr_html_(), ledger(1)._repr_html_())
    assert (
        chapter.count('id="claim-1"') == 1
        and chapter.count('href="claims.html#row-1"') == 2
        and "data-claim" not in chapter
    )
    assert table.endswith("|–") and "甲 &lt;b&gt;" in table and 'href="one.html#claim-1"' in table


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("measured", {"相关": float("nan")}, "应是数或文字"),
        ("measured", {"相关": 1j}, "应是数或文字"),
        ("control", {"相关": torch.tensor(float("nan"))}, "应是数或文字"),
        ("n", -1, "n 是 -1，应不小于 1"),
        ("n", True, "n 是 True，应是整数"),
        ("n", 2.5, "n 是 2.5，应是整数"),
        ("holds", {}, "缺少"),
        ("holds", {"相关": (None, 0.5, None)}, "两边都没有界"),
        ("holds", {"相关": (0.9, None, 1.0)}, "要是三个数"),
        ("holds", {"相关": (0.9, torch.rand(2), 1.0)}, "要是三个数"),
    ],
)
def test_what_is_no_number_and_bounds_that_hold_nothing_are_refused(name, value, words):
    with pytest.raises((ValueError, TypeError), match=words):
        record(54, **{**NUMBERS, name: value})
    assert ledger() == ()


def test_the_sample_may_be_a_number_of_any_kind():
    assert record(54, **{**NUMBERS, "n": torch.tensor(3)}).n == "3"
    assert record(54, **{**NUMBERS, "n": np.int64(8)}).n == "8"
