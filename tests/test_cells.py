"""书里的格子怎样写：84 列，一格一个意思，句子短，只画图的格子折起来，一章里没有两句相同的话。

笔记本的卫生（无输出、标签、链接、用词）在 test_notebooks.py 里。
"""

import ast
import re
import statistics
import unicodedata
from collections import Counter

import pytest
from test_notebooks import (
    BOOK,
    CHAPTERS,
    cells,
    is_exercise,
    name_of,
    parsed,
    prose,
    read,
    sentences,
    tags,
)

COLUMNS = 84
IMPORT_LINES = 6
NODES_MEDIAN, NODES_P90, NODES_MOST = 13, 30, 40
REPEATED = 18

# 章之外的笔记本：解答、小项目、练习本、找错与大作业
OTHERS = sorted(set(BOOK.glob("*/**/*.ipynb")) - set(CHAPTERS))
OTHERS = [path for path in OTHERS if ".ipynb_checkpoints" not in path.parts]

rewritten = pytest.mark.parametrize("path", CHAPTERS, ids=name_of)
others = pytest.mark.parametrize("path", OTHERS, ids=name_of)


def width(line: str) -> int:
    """一行占几列：汉字和全角标点占两列。"""
    return sum(2 if unicodedata.east_asian_width(mark) in "WF" else 1 for mark in line)


def called(node) -> str:
    """一次调用的函数名：claims.record(…) 是 "claims.record"，f(…) 是 "f"，别的是空串。"""
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


def is_free(statement) -> bool:
    """记录说法、摆滑块、列出猜测的一句不限长短：它们折起来，读者不必读。"""
    value = getattr(statement, "value", None)
    return called(value) in {"claims.record", "explore", "check.guessed"}


def statements(path) -> list:
    """一章里的简单语句：手写的算法和不限长短的不算。"""
    found = []
    for cell in cells(path, "code"):
        if "by-hand" not in tags(cell):
            simple = (
                node
                for node in ast.walk(parsed(cell))
                if isinstance(node, ast.stmt) and not hasattr(node, "body")
            )
            found += [node for node in simple if not is_free(node)]
    return found


def nodes(statement) -> int:
    return sum(1 for _ in ast.walk(statement))


def drawn_only(tree: ast.Module) -> bool:
    """这一格只画图：每一句都是一次 show_… 的调用，或把它的结果存起来。"""
    values = [getattr(statement, "value", None) for statement in tree.body]
    return bool(values) and all(called(value).startswith("show_") for value in values)


def folded_because(cell) -> str:
    """这一格为什么该折起来；不必折就是空串。"""
    tree = parsed(cell)
    calls = {called(node) for node in ast.walk(tree)}
    if "setup" in tags(cell):
        return "设置"
    if any(isinstance(node, ast.Import | ast.ImportFrom) for node in tree.body):
        return "导入"
    if "claims.record" in calls:
        return "记录说法"
    if "explore" in calls:
        return "滑块"
    if "check.guessed" in calls:
        return "猜的与量到的"
    return "只画图" if drawn_only(tree) else ""


def literal_markup(page: str) -> list[str]:
    """建好的一页里露在外面的星号：没有配成粗体的 ** 与 *，各附前后几个字；代码和公式里的不算。

    `page` 是 HTML 全文。CommonMark 里，句号之后、汉字之前的 ** 不能结束粗体。
    """
    for pattern in (
        r"(?is)<(script|style|pre|code|textarea)\b.*?</\1>",
        r'(?is)<(div|span) class="[^"]*\bmath\b[^"]*".*?</\1>',
        r"<[^>]*>",
    ):
        page = re.sub(pattern, " ", page)
    return re.findall(r"[^\n]{0,12}\*{1,2}[^\n]{0,12}", page)


@rewritten
def test_lines_fit_the_page(path):
    """练习的题面由检查和解答核对，宽度不在这里管。"""
    for number, cell in enumerate(cells(path, "code")):
        for line in [] if is_exercise(cell) else cell.source.splitlines():
            assert width(line) <= COLUMNS, f"第 {number} 个代码格：{width(line)} 列：{line}"


@rewritten
def test_statements_are_small(path):
    counted = [(nodes(statement), statement) for statement in statements(path)]
    for count, statement in counted:
        assert count <= NODES_MOST, (
            f"一句有 {count} 个结点，至多 {NODES_MOST}，拆开它：{ast.unparse(statement)}"
        )
    sizes = [count for count, _ in counted]
    median, p90 = statistics.median(sizes), statistics.quantiles(sizes, n=10)[-1]
    assert median <= NODES_MEDIAN and p90 <= NODES_P90, (
        f"结点数的中位数 {median}（至多 {NODES_MEDIAN}），第 90 百分位 {p90:.0f}（至多 {NODES_P90}）"
    )


@rewritten
def test_no_comprehension_within_another(path):
    kinds = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    for cell in cells(path, "code"):
        for node in ast.walk(parsed(cell)):
            if isinstance(node, kinds):
                inside = [one for one in ast.walk(node) if isinstance(one, kinds)]
                assert len(inside) == 1, f"推导式套着推导式：{ast.unparse(node)}"


@pytest.mark.parametrize("path", [*CHAPTERS, *OTHERS], ids=name_of)
def test_functions_have_a_def(path):
    for cell in cells(path, "code"):
        for node in ast.walk(parsed(cell)):
            if isinstance(node, ast.Assign):
                assert not isinstance(node.value, ast.Lambda), f"用 def：{ast.unparse(node)}"


@pytest.mark.parametrize("path", [*CHAPTERS, *OTHERS], ids=name_of)
def test_asserts_can_fail(path):
    """列表、元组、推导式总是真的，断言它们等于没有断言；要写 all(…)。"""
    always = (ast.List, ast.Tuple, ast.ListComp, ast.GeneratorExp, ast.Dict, ast.DictComp)
    for cell in cells(path, "code"):
        for node in ast.walk(parsed(cell)):
            vain = isinstance(node, ast.Assert) and isinstance(node.test, always)
            assert not vain, f"不会失败的断言：{ast.unparse(node)}"


@rewritten
def test_imports_are_few(path):
    for cell in cells(path, "code"):
        imports = [
            node for node in parsed(cell).body if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        lines = sum(node.end_lineno - node.lineno + 1 for node in imports)
        assert lines <= IMPORT_LINES, (
            f"一格里导入占了 {lines} 行，至多 {IMPORT_LINES}：分到用的地方"
        )


@rewritten
def test_what_need_not_be_read_is_folded(path):
    for number, cell in enumerate(cells(path, "code")):
        reason = folded_because(cell)
        assert not reason or "hide-input" in tags(cell), (
            f"第 {number} 个代码格（{reason}）要标 hide-input：{cell.source[:60]}"
        )


@rewritten
def test_no_sentence_twice(path):
    count = Counter(text for length, text in sentences(path) if length >= REPEATED)
    twice = [text for text, times in count.items() if times > 1]
    assert not twice, f"一章里出现了两次：{twice}"


@pytest.mark.parametrize("path", [*CHAPTERS, *sorted(BOOK.glob("*.md"))], ids=name_of)
def test_no_literal_markup(path):
    markdown_it = pytest.importorskip("markdown_it")
    reader = markdown_it.MarkdownIt("commonmark").enable("table")
    for text in prose(path):
        text = re.sub(r"(?s)\$\$.*?\$\$|\$[^$\n]*\$", " ", text)
        assert not literal_markup(reader.render(text)), "露出了星号：句号放到粗体外面"


def test_literal_markup_is_seen():
    assert literal_markup("<p>**人人的邻居。**数一数</p>")
    assert not literal_markup(
        "<p><strong>人人的邻居</strong>。<code>x**2</code></p><pre>a * b</pre>"
    )
    assert not literal_markup('<p><span class="math notranslate">a * b</span></p>')


@others
def test_other_notebooks_fit_the_page(path):
    for cell in cells(path, "code"):
        for line in [] if "setup" in tags(cell) else cell.source.splitlines():
            assert width(line) <= COLUMNS, f"{width(line)} 列：{line}"


OPTIONS = {"show", "number", "total", "frames", "photo_size", "settings", "return_sources"}


@pytest.mark.parametrize("path", CHAPTERS, ids=name_of)
def test_a_panel_with_a_question_and_its_answer(path):
    """每章至少一块面板：三个以上的参数，上面有一个问题，下面有折着的答案。"""
    listed, found = read(path).cells, False
    for number, cell in enumerate(listed):
        calls = ast.walk(parsed(cell)) if cell.cell_type == "code" else ()
        for call in (node for node in calls if called(node) == "explore"):
            controls = {keyword.arg for keyword in call.keywords} - OPTIONS
            words = [one.source for one in listed[:number] if one.cell_type == "markdown"][-1]
            below = next(one.source for one in listed[number:] if one.cell_type == "markdown")
            found |= len(controls) >= 3 and "？**" in words and "<details>" in below
    assert found, "没有带着问题、折着答案的面板"
