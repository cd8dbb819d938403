"""账本：不成立就失败，没有对照不收，卡片与表格内容齐全。"""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from cnnlab import claims
from cnnlab.claims import KEY, ledger, record

CARD = {"measured": "相关 0.97", "control": "普通梯度 0.55", "n": "20 张照片", "verdict": "◐"}


@pytest.fixture(autouse=True)
def _empty_ledger(monkeypatch):
    monkeypatch.setattr(claims, "_book", {})
    monkeypatch.delenv("CNNLAB_CLAIMS", raising=False)


def test_record_keeps_everything_and_card_says_it():
    card = record(54, "图很清晰", **CARD, source="Adebayo 等，2018")
    for text in ("54", "图很清晰", "相关 0.97", "普通梯度 0.55", "20 张照片", "◐ 不确切", "Adebayo 等，2018"):
        assert text in card._repr_markdown_() and text in card._repr_html_() and text in repr(card)
    assert ledger() == (card,)


@pytest.mark.parametrize("holds", [False, np.bool_(False), torch.tensor(False)])
def test_a_claim_that_does_not_hold_fails_and_is_not_kept(holds):
    with pytest.raises(AssertionError, match=r"第 54 条.*0\.97"):
        record(54, "图很清晰", **CARD, holds=holds)
    assert ledger() == ()


def test_control_and_number_are_needed_except_for_definitions():
    with pytest.raises(ValueError, match="对照"):
        record(1, "说法", **{**CARD, "control": None})
    with pytest.raises(ValueError, match="样本数"):
        record(1, "说法", **{**CARD, "n": None})
    record(13, "逐个展开", measured="1024 格", control=None, n=None, verdict="ⓘ")
    with pytest.raises(ValueError, match="✔ 说得对"):
        record(1, "说法", **{**CARD, "verdict": "对"})


def test_recording_again_replaces_and_selection_keeps_the_order_asked():
    record(1, "旧", **CARD)
    record(2, "乙", **CARD)
    record(1, "新", **CARD)
    assert [one.claim for one in ledger(2, 1)] == ["乙", "新"]
    with pytest.raises(ValueError, match="没有第 7 条"):
        ledger(1, 7)


def test_ledger_is_a_table_and_carries_its_data():
    record(1, "甲 <b>", **CARD)
    record(2, "乙", **CARD)
    data, metadata = ledger()._repr_mimebundle_()
    assert "&lt;b&gt;" in data["text/html"] and "| 2 | 乙 |" in data["text/markdown"]
    assert [one["number"] for one in metadata[KEY]] == ["1", "2"]
    json.dumps([data, metadata])


def test_claims_are_appended_to_the_file_named_by_the_environment(tmp_path, monkeypatch):
    path = tmp_path / "claims.jsonl"
    monkeypatch.setenv("CNNLAB_CLAIMS", str(path))
    record(1, "甲", **CARD)
    record(2, "乙", **CARD)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line["claim"] for line in lines] == ["甲", "乙"] and lines[0]["verdict"] == "◐"


def test_claims_are_collected_from_executed_notebooks_and_files(tmp_path):
    path = Path(__file__).resolve().parent.parent / "tools" / "collect_claims.py"
    spec = importlib.util.spec_from_file_location("collect_claims", path)
    collect = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(collect)
    record(10, "旧 a|b", **CARD)
    record(9, "乙", **CARD)
    _, metadata = ledger()._repr_mimebundle_()
    notebook = {"cells": [{"outputs": [{"metadata": metadata}]}, {"outputs": [{}]}, {}]}
    (tmp_path / "one.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    (tmp_path / "two.jsonl").write_text(
        json.dumps({**metadata[KEY][0], "number": "9b"}) + "\n", encoding="utf-8"
    )
    claims = [claim for file in collect.files_in([tmp_path]) for claim in collect.claims_of(file)]
    rows = [line for line in collect.page_text(claims).splitlines() if line.startswith("| ")][2:]
    assert [row.split(" | ")[0] for row in rows] == ["| 9", "| 9b", "| 10"] and "旧 a\\|b" in rows[2]
