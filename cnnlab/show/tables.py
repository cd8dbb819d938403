"""表格与源码：单元格末尾的一个值，在书页、JupyterLab 与 Colab 里都排得好看。

不画图，不用 pandas。
"""

import ast
import html
import inspect
import textwrap
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from cnnlab.core.arguments import checked
from cnnlab.core.checks import describe

LINE = "1px solid rgba(128, 128, 128, 0.45)"


@dataclass(frozen=True)
class Table:
    """一张小表：headers 是列名，rows 是各行的文字，numeric 是右对齐的列。"""

    headers: list[str]
    rows: list[list[str]]
    numeric: list[bool]
    caption: str = ""

    def __repr__(self) -> str:
        lines = [" | ".join(row) for row in [self.headers, *self.rows]]
        return "\n".join([self.caption] * bool(self.caption) + lines)

    def _repr_markdown_(self) -> str:
        rule = ["--:" if right else ":--" for right in self.numeric]
        safe = [[cell.replace("|", "\\|") for cell in row] for row in [self.headers, *self.rows]]
        lines = ["| " + " | ".join(row) + " |" for row in [safe[0], rule, *safe[1:]]]
        return "\n".join([f"**{self.caption}**", ""] * bool(self.caption) + lines)

    def _repr_html_(self) -> str:
        head = self._line(
            "th", self.headers, f"border-bottom: {LINE}; font-weight: 600; white-space: nowrap;"
        )
        body = "".join(self._line("td", row, "") for row in self.rows)
        caption = html.escape(self.caption)
        caption = f'<caption style="caption-side: top">{caption}</caption>' if caption else ""
        style = f"border-collapse: collapse; border-bottom: {LINE}; border-top: {LINE};"
        return f'<table class="cnnlab-table" style="{style} margin: 0.5em 0">{caption}<thead>{head}</thead><tbody>{body}</tbody></table>'

    def _line(self, tag: str, cells: list[str], style: str) -> str:
        inside = ""
        for cell, right in zip(cells, self.numeric, strict=True):
            side = f"text-align: {'right' if right else 'left'}; padding: 0.3em 0.9em; {style}"
            inside += f'<{tag} style="{side}">{html.escape(cell)}</{tag}>'
        return f"<tr>{inside}</tr>"


@dataclass(frozen=True)
class Source:
    """一个函数的源码；显示为带高亮的 Python 代码块。"""

    name: str
    code: str = field(repr=False)

    def __repr__(self) -> str:
        return self.code

    def _repr_markdown_(self) -> str:
        return f"~~~python\n{self.code}\n~~~"


@checked
def show_table(rows, headers=None, *, caption: str = "", digits: int = 3) -> Table:
    """把 rows 排成一张表，浮点数留 digits 位有效数字。

    rows：各行的序列；或字典的列表（列名取自键）；或 {名字: 数} （两列）。
    """
    if isinstance(rows, dict):
        rows = [(name, value) for name, value in rows.items()]
    rows = list(rows) if isinstance(rows, Iterable) else [rows]
    if any(isinstance(row, str) or not isinstance(row, Collection) for row in rows):
        raise TypeError("rows 应是各行的列表，每行是一列格子；一行也要写成 [[…]]")
    if rows and isinstance(rows[0], dict):
        headers = list(headers or rows[0])
        rows = [[row[name] for name in headers] for row in rows]
    width = len(headers) if headers is not None else max((len(row) for row in rows), default=0)
    if not rows or any(len(row) != width for row in rows):
        raise ValueError(f"每行都要有 {width} 格，各行的格数是 {[len(row) for row in rows]}")
    numeric = [all(_is_number(row[column]) for row in rows) for column in range(width)]
    texts = [[_text(cell, digits) for cell in row] for row in rows]
    names = [str(name) for name in headers] if headers is not None else [""] * width
    return Table(names, texts, numeric, caption)


@checked
def show_source(function, *, docstring: bool = True) -> Source:
    """包里这个函数（或类）自己的源码，逐字不差；docstring=False 时略去文档字符串。"""
    function = inspect.unwrap(function)
    try:
        code = textwrap.dedent(inspect.getsource(function)).rstrip()
    except (TypeError, OSError) as error:
        raise ValueError(
            f"取不到 {describe(function)} 的源码：要一个用 Python 写的函数或类"
        ) from error
    return Source(function.__qualname__, code if docstring else _without_docstring(code))


def _without_docstring(code: str) -> str:
    node = ast.parse(code).body[0]
    first = node.body[0]
    if ast.get_docstring(node) is None or len(node.body) == 1:
        return code
    lines = code.splitlines()
    return "\n".join(lines[: first.lineno - 1] + lines[first.end_lineno :])


def _is_number(value) -> bool:
    single = hasattr(value, "__float__") and getattr(value, "ndim", 0) == 0
    return single and not isinstance(value, (str, bool))


def _text(value, digits: int) -> str:
    if value is None:
        return "–"
    return (
        number_text(value, digits) if _is_number(value) or isinstance(value, bool) else str(value)
    )


def number_text(value, digits: int = 3) -> str:
    """一个数的文字：整数照写，小数留 digits 位有效数字，很小的写成 2.1×10⁻⁷，负号用 −，真假是“是”“否”。"""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool):
        return "是" if value else "否"
    if isinstance(value, int):
        return str(value).replace("-", "−")
    number = float(value)
    text = f"{number:.{digits}g}" if abs(number) < 10**digits else f"{number:.0f}"
    mantissa, _, exponent = text.partition("e")
    power = f"×10{str(int(exponent)).translate(_SUPERSCRIPT)}" if exponent else ""
    return (mantissa + power).replace("-", "−")


_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
