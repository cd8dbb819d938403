"""讲义的说法与实测：每条一张卡片，记入本进程的账本。

说法的文字、判定和出处都在 data/claims.csv；数由各章量出，这里只核对、排版、记账。
"""

import csv
import functools
import html
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from cnnlab.core.arguments import checked
from cnnlab.core.checks import describe, whole
from cnnlab.core.paths import DATA
from cnnlab.show.tables import number_text, show_table

TEXTS = DATA / "claims.csv"

VERDICTS = {"✔": "说得对", "◐": "不确切", "✘": "说错了", "ⓘ": "定义或步骤"}
COLORS = {"✔": "#009E73", "◐": "#E69F00", "✘": "#D55E00", "ⓘ": "#0072B2"}
TABLE = [
    ("number", "编号"), ("claim", "讲义说"), ("measured", "测得"), ("control", "对照"),
    ("n", "样本"), ("verdict", "判定"), ("remark", "备注"),
]  # fmt: skip
_book: dict[str, "Claim"] = {}


@dataclass(frozen=True)
class Claim:
    """一条说法的结论：编号、讲义说、测得、对照、样本、判定、出处、备注。"""

    number: str
    claim: str
    measured: str
    control: str
    n: str
    verdict: str
    source: str = ""
    remark: str = ""

    @property
    def parts(self) -> list[tuple[str, str]]:
        """卡片上的各项：(名目, 文字)，空着的不列。"""
        pairs = [
            (f"讲义说（{self.number}）", self.claim),
            ("测得", self.measured),
            ("对照", self.control),
            ("样本", self.n),
            ("备注", self.remark),
            ("判定", f"{self.verdict} {VERDICTS[self.verdict]}"),
            ("出处", self.source),
        ]
        return [(name, text) for name, text in pairs if text]

    def __repr__(self) -> str:
        return " · ".join(f"{name}：{text}" for name, text in self.parts)

    def _repr_markdown_(self) -> str:
        return "> " + " · ".join(f"**{name}**：{text}" for name, text in self.parts)

    def _repr_html_(self) -> str:
        style = (
            f"border-left: 4px solid {COLORS[self.verdict]}; padding: 0.35em 0.9em; margin: 0.6em 0"
        )
        lines = "".join(
            f'<div style="margin: 0.15em 0"><strong>{name}</strong>　{html.escape(text)}</div>'
            for name, text in self.parts
        )
        return f'<div style="{style}; line-height: 1.5">{_mark(self)}{lines}</div>'


class Ledger(tuple):
    """若干条 Claim；显示为一张表。"""

    def __repr__(self) -> str:
        return "\n".join(map(repr, self))

    def _table(self):
        named = dict(TABLE) if any(one.remark for one in self) else dict(TABLE[:-1])
        rows = [[getattr(one, field) or None for field in named] for one in self]
        return show_table(rows, list(named.values()))

    def _repr_markdown_(self) -> str:
        return self._table()._repr_markdown_() if self else "（账本是空的）"

    def _repr_html_(self) -> str:
        if not self:
            return "（账本是空的）"
        return "".join(map(_mark, self)) + (
            f'<div class="cnnlab-ledger">{self._table()._repr_html_()}</div>'
        )


@checked
def record(number: int | str, *, measured, control=None, n=None, holds=None, remark="") -> Claim:
    """记下一条说法的实测结论，返回它的卡片；`holds` 里有一条不成立就报错，笔记本随之失败。

    `number` 是讲义说法的编号，文字、判定、出处由它在 data/claims.csv 里查。`measured` 与 `control` 是
    {名字: 数、几个数或文字}，不收一整句话，排成文字是这里的事；`n` 是样本，如 "20 张照片"。
    对照是同一个量在别的条件下的值；别的话写在 `remark` 里。
    `holds` 是判定赖以成立的界：{名字: (下界, 值, 上界)}，下界 ≤ 值 ≤ 上界，None 是这一边不设界。
    只有 ⓘ（定义或步骤）可以没有对照、样本和 `holds`；没有对照可比的，写明备注。同一编号再记一次，后一次取代前一次。
    """
    text = claim_text(number)
    if text["verdict"] != "ⓘ" and not ((control or remark) and n and holds):
        raise ValueError(f"第 {number} 条缺少对照（或备注）、样本或 holds：只有 ⓘ 可以没有")
    found = {
        "measured": _sentence(measured),
        "control": _sentence(control),
        "n": n if isinstance(n, str) else "" if n is None else str(whole(n, "n", 1)),
        "remark": remark,
    }
    if broken := _broken(holds):
        raise AssertionError(
            f"第 {number} 条的结论在这次运行里不成立：{broken}"
            f"测得 {found['measured']}；对照 {found['control'] or '无'}"
        )
    known = {name: text[name] for name in ("claim", "verdict", "source")}
    entry = _book[str(number)] = Claim(number=str(number), **known, **found)
    return entry


def _sentence(values) -> str:
    """{名字: 数} 排成“名字 数；名字 数”。"""
    if values is None:
        return ""
    if not isinstance(values, dict):
        raise TypeError(f"measured 与 control 要写成 {{名字: 数}}，得到 {describe(values)}")
    return "；".join(f"{name} {_value(value)}".strip() for name, value in values.items())


def _value(value) -> str:
    if isinstance(value, str):
        return value
    if hasattr(value, "tolist"):  # 张量与数组
        value = value.tolist()
    if isinstance(value, Iterable):
        return "、".join(map(_value, value))
    if not isinstance(value, int | float) or value != value:
        raise ValueError(f"measured 与 control 里应是数或文字，有一个是 {describe(value)}")
    return number_text(value)


def _broken(holds) -> str:
    """不成立的界，各自连同它的数；都成立就是空的。"""
    if holds is not None and not isinstance(holds, dict):
        raise TypeError(f"holds 要写成 {{名字: (下界, 值, 上界)}}，得到 {describe(holds)}")
    broken = ""
    for name, bounds in (holds or {}).items():
        if not isinstance(bounds, Sequence) or len(bounds) != 3:
            raise ValueError(
                f"holds 里的“{name}”要写成 (下界, 值, 上界)，没有界的一边写 None；得到 {describe(bounds)}"
            )
        try:
            low, high = (None if each is None else float(each) for each in bounds[::2])
            value = float(bounds[1])
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(
                f"holds 里的“{name}”要是三个数，没有界的一边写 None；得到 {describe(bounds)}"
            ) from None
        if low is None and high is None:
            raise ValueError(f"holds 里的“{name}”两边都没有界，什么也没有核对；写上一个界")
        if low is not None and not value >= low:
            broken += f"“{name}”是 {number_text(value, 6)}，应不小于 {number_text(low, 6)}；"
        if high is not None and not value <= high:
            broken += f"“{name}”是 {number_text(value, 6)}，应不大于 {number_text(high, 6)}；"
    return broken


@functools.cache
def claim_texts() -> dict[str, dict[str, str]]:
    """全部说法的文字：{编号: {number, chapter, verdict, claim, source}}，按编号排。"""
    with TEXTS.open(encoding="utf-8", newline="") as file:
        return {row["number"]: row for row in csv.DictReader(file)}


def claim_text(number: int | str) -> dict[str, str]:
    """一条说法的文字、判定、出处和所在的章。"""
    texts = claim_texts()
    if str(number) not in texts:
        raise ValueError(
            f"没有第 {number} 条说法；编号见 data/claims.csv，从 {next(iter(texts))} 到 {list(texts)[-1]}"
        )
    return texts[str(number)]


@checked
def ledger(*numbers: int | str) -> Ledger:
    """本进程记下的说法，按记录的先后；给了编号就只列这几条，按给的次序。"""
    if not numbers:
        return Ledger(_book.values())
    missing = [str(number) for number in numbers if str(number) not in _book]
    if missing:
        raise ValueError(f"账本里没有第 {'、'.join(missing)} 条；已记 {'、'.join(_book) or '无'}")
    return Ledger(_book[str(number)] for number in numbers)


def _mark(claim: Claim) -> str:
    """看不见的记号，带着这一条的数：建书时由它收集，写进“说法与实测”一页，并换成去那一页的链接。"""
    data = html.escape(json.dumps(asdict(claim), ensure_ascii=False))
    return f'<span class="cnnlab-claim" data-claim="{data}"></span>'
