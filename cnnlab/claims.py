"""讲义的说法与实测：每条一张卡片，记入本进程的账本。

不做实验：数由笔记本量出，这里只核对、排版、记账。
"""

import html
import json
import os
from dataclasses import asdict, dataclass

from cnnlab.tables import show_table

VERDICTS = {"✔": "说得对", "◐": "不确切", "✘": "说错了", "ⓘ": "定义或步骤"}
COLORS = {"✔": "#009E73", "◐": "#E69F00", "✘": "#D55E00", "ⓘ": "#0072B2"}
KEY = "cnnlab_claims"  # 输出的元数据里放原始数据的键：收集附录时从运行过的笔记本里读

_book: dict[str, "Claim"] = {}


@dataclass(frozen=True)
class Claim:
    """一条说法的结论：编号、讲义说、测得、对照、样本数、判定、出处。"""

    number: str
    claim: str
    measured: str
    control: str
    n: str
    verdict: str
    source: str = ""

    @property
    def parts(self) -> list[tuple[str, str]]:
        """卡片上的各项：(名目, 文字)，空着的不列。"""
        pairs = [
            (f"讲义说（{self.number}）", self.claim),
            ("测得", self.measured),
            ("对照", self.control),
            ("N", self.n),
            ("判定", f"{self.verdict} {VERDICTS[self.verdict]}"),
            ("出处", self.source),
        ]
        return [(name, text) for name, text in pairs if text]

    def __repr__(self) -> str:
        return " · ".join(f"{name}：{text}" for name, text in self.parts)

    def _repr_markdown_(self) -> str:
        return "> " + " · ".join(f"**{name}**：{text}" for name, text in self.parts)

    def _repr_html_(self) -> str:
        style = f"border-left: 4px solid {COLORS[self.verdict]}; padding: 0.35em 0.9em; margin: 0.6em 0"
        lines = "".join(
            f'<div style="margin: 0.15em 0"><strong>{name}</strong>　{html.escape(text)}</div>'
            for name, text in self.parts
        )
        return f'<div class="cnnlab-claim" style="{style}; line-height: 1.5">{lines}</div>'

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        return _bundle(self, [self])


class Ledger(tuple):
    """若干条 Claim；显示为一张表。"""

    def __repr__(self) -> str:
        return "\n".join(map(repr, self))

    def _table(self):
        rows = [
            (one.number, one.claim, one.measured, one.control or None, one.n or None, one.verdict)
            for one in self
        ]
        return show_table(rows, ["编号", "讲义说", "测得", "对照", "N", "判定"])

    def _repr_markdown_(self) -> str:
        return self._table()._repr_markdown_() if self else "（账本是空的）"

    def _repr_html_(self) -> str:
        return self._table()._repr_html_() if self else "（账本是空的）"

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        return _bundle(self, list(self))


def record(
    number: int | str,
    claim: str,
    *,
    measured: str,
    control: str | None,
    n: int | str | None,
    verdict: str,
    holds=True,
    source: str | None = None,
) -> Claim:
    """记下一条说法的实测结论，返回它的卡片；holds 为假时报错，笔记本随之失败。

    number：讲义说法的编号；measured 与 control：写明数值的一句话；n：样本，如 "20 张照片"；
    verdict：✔ 说得对、◐ 不确切、✘ 说错了、ⓘ 定义或步骤（只有 ⓘ 可以没有对照和 n）；
    holds：正文的结论在这次运行里是否成立；source：更正所依据的论文（作者，年）。
    同一编号再记一次，后一次取代前一次。
    """
    if verdict not in VERDICTS:
        choices = "、".join(f"{sign} {name}" for sign, name in VERDICTS.items())
        raise ValueError(f"verdict 要是 {choices} 之一，得到 {verdict!r}")
    if verdict != "ⓘ" and not (control and n):
        raise ValueError(f"第 {number} 条缺少对照或样本数：只有 ⓘ 可以没有")
    if not bool(holds):
        raise AssertionError(f"第 {number} 条的结论在这次运行里不成立：测得 {measured}；对照 {control}")
    texts = [number, claim, measured, control, n, verdict, source]
    entry = Claim(*("" if text is None else str(text) for text in texts))
    _book[entry.number] = entry
    _append(entry)
    return entry


def ledger(*numbers: int | str) -> Ledger:
    """本进程记下的说法，按记录的先后；给了编号就只列这几条，按给的次序。"""
    if not numbers:
        return Ledger(_book.values())
    missing = [str(number) for number in numbers if str(number) not in _book]
    if missing:
        raise ValueError(f"账本里没有第 {'、'.join(missing)} 条；已记 {'、'.join(_book) or '无'}")
    return Ledger(_book[str(number)] for number in numbers)


def _bundle(shown, entries: list[Claim]) -> tuple[dict, dict]:
    data = {
        "text/plain": repr(shown),
        "text/markdown": shown._repr_markdown_(),
        "text/html": shown._repr_html_(),
    }
    return data, {KEY: [asdict(entry) for entry in entries]}


def _append(entry: Claim) -> None:
    """环境变量 CNNLAB_CLAIMS 是一个文件名时，把这条接在文件末尾，一行一条 JSON。"""
    path = os.environ.get("CNNLAB_CLAIMS")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(entry), ensure_ascii=False) + "\n")
