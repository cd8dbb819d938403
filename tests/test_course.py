"""课程本身：练习上面没有印着答案，星数跟着解答的长短走，猜测、找错、大作业都连得上。"""

import ast
import importlib
import inspect
import io
import json
import keyword
import re
import tokenize
import unicodedata
from functools import cache
from pathlib import Path

import pytest

import cnnlab
from cnnlab import check
from cnnlab.check import spotting

BOOK = Path(__file__).resolve().parent.parent / "book"
EXERCISES = check.exercises()
SLUGS = sorted({exercise.slug for exercise in EXERCISES})
SHARED = 0.4
RUN = 6

# 一道题费多少力：解答语法树的结点数，一个循环、分支或 with 加 30，要自己想出来的（造一个、改错）加 60。
# 星数与它大致相合：各级的上下界互相重叠，落在重叠里的由人定。
EFFORT = {1: (0, 130), 2: (55, 230), 3: (100, 300), 4: (170, 10**6)}
BLOCKS = (ast.For, ast.While, ast.If, ast.With, ast.Try)


@cache
def cells_of(name: str) -> list[dict]:
    return json.loads((BOOK / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]


def tags_of(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


def exercise_of(cell: dict) -> str:
    found = [tag for tag in tags_of(cell) if tag.startswith("exercise-")]
    return found[0].removeprefix("exercise-") if found else ""


@cache
def solutions(slug: str) -> dict[str, str]:
    cells = cells_of(f"solutions/{slug}")
    return {exercise_of(cell): "".join(cell["source"]) for cell in cells if exercise_of(cell)}


def without_docstrings(source: str) -> ast.Module:
    tree = ast.parse(re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", source))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree


# 答案不印在题目上面

KEPT_NAMES = {*keyword.kwlist, *dir(__builtins__), "torch", "functional", "nn", "math"}
LAYOUT = {
    tokenize.NEWLINE,
    tokenize.NL,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.COMMENT,
    tokenize.ENDMARKER,
}


def tokens(source: str) -> list[str]:
    """源码的记号；自己起的名字不算数，都换成 _，方法名和 torch 之类的留着。"""
    found, before = [], ""
    code = ast.unparse(without_docstrings(source))
    for one in tokenize.generate_tokens(io.StringIO(code).readline):
        if one.type not in LAYOUT:
            own = one.type == tokenize.NAME and before != "." and one.string not in KEPT_NAMES
            found.append("_" if own else one.string)
            before = one.string
    return found


def runs(found: list[str]) -> set[tuple[str, ...]]:
    return {tuple(found[i : i + RUN]) for i in range(len(found) - RUN + 1)}


def body_tokens(source: str) -> list[str]:
    """不含第一行 def 或 class 的记号。"""
    found, depth = tokens(source), 0
    for place, mark in enumerate(found):
        depth += (mark in "([{") - (mark in ")]}")
        if mark == ":" and depth == 0:
            return found[place + 1 :]
    return found


def printed(cell: dict) -> set[tuple[str, ...]]:
    """一格印出的代码：它自己，和 show_source 列出的。"""
    source = "".join(cell["source"])
    names = re.findall(r"show_source\((\w+)", source)
    shown = [inspect.getsource(inspect.unwrap(getattr(cnnlab, name))) for name in names]
    return set().union(*(runs(tokens(text)) for text in [source, *shown]))


def shared_above(slug: str) -> dict[str, float]:
    """编号 -> 解答的六连记号里，有几成已经印在题目上面。"""
    above, shared = set(), {}
    for cell in cells_of(slug):
        if cell["cell_type"] == "code" and (id := exercise_of(cell)):
            own = runs(body_tokens(solutions(slug)[id]))
            shared[id] = len(own & above) / max(1, len(own))
        elif cell["cell_type"] == "code" and "setup" not in tags_of(cell):
            above |= printed(cell)
    return shared


@pytest.mark.parametrize("slug", SLUGS)
def test_no_answer_is_printed_above_its_exercise(slug):
    for id, share in shared_above(slug).items():
        assert share <= SHARED, f"{id} 的解答有 {share:.0%} 印在题目上面：把题目挪到那段代码之前"


def test_a_copied_answer_is_seen():
    answer = "def f(x):\n    gram = x @ x.T / x.numel()\n    return (gram - 1).square().sum()"
    copied = "rows @ rows.T"
    code = "y = b @ b.T / b.numel()\nz = (y - 1).square().sum()"
    own = runs(body_tokens(answer))
    assert len(own & runs(tokens(code))) > SHARED * len(own)
    assert not own & runs(tokens(copied))


# 星数


def effort(exercise) -> int:
    tree = without_docstrings(solutions(exercise.slug)[exercise.id])
    nodes = list(ast.walk(tree))
    invented = exercise.oracle is None or exercise.title.startswith("改错")
    return len(nodes) + 30 * sum(isinstance(n, BLOCKS) for n in nodes) + 60 * invented


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
def test_stars_follow_the_length_of_the_solution(exercise):
    low, high = EFFORT[exercise.level]
    assert low <= effort(exercise) <= high, (
        f"{exercise.id} 是 {exercise.stars}，费力 {effort(exercise)}，这一级是 {low} 到 {high}"
    )


def test_more_stars_more_effort():
    middles = []
    for level in (1, 2, 3, 4):
        efforts = sorted(effort(each) for each in EXERCISES if each.level == level)
        middles.append(efforts[len(efforts) // 2])
    assert middles == sorted(middles) and middles[3] > 2 * middles[0], middles


@pytest.mark.parametrize("slug", SLUGS)
def test_titles_carry_the_stars(slug):
    text = "\n".join("".join(c["source"]) for c in cells_of(slug) if c["cell_type"] == "markdown")
    for exercise in check.exercises(slug):
        title = f"> **练习 {exercise.id} · {exercise.title} {exercise.stars}**"
        assert title in text, f"题面的星数与检查里的不同：{title}"


# 连得上


def pages(folder: str) -> set[str]:
    return {path.stem for path in (BOOK / folder).glob("*.ipynb")}


def text_of(name: str) -> str:
    return "\n".join("".join(c["source"]) for c in cells_of(name) if c["cell_type"] == "markdown")


@pytest.mark.parametrize("slug", SLUGS)
def test_each_chapter_leads_to_its_practice(slug):
    text, first = text_of(slug), check.exercises(slug)[0]
    assert f"(practice/{slug}.ipynb)" in text
    assert f"check.{first.name}({first.function_name}, hint=2)" in text


def test_every_project_follows_a_chapter():
    linked = {name for slug in SLUGS for name in re.findall(r"\(projects/(\w+)\.", text_of(slug))}
    assert linked == pages("projects")


@pytest.mark.parametrize("name", sorted(pages("projects")))
def test_every_project_shows_what_its_answers_draw(name, monkeypatch):
    """目标图在项目页和解答页上都有；画它的工具把要写的格全换成了解答。"""
    assert (BOOK / "images" / f"project_{name}.webp").exists()
    for page in (f"projects/{name}", f"solutions/projects/{name}"):
        assert f"images/project_{name}.webp)" in text_of(page)
    monkeypatch.syspath_prepend(str(BOOK.parent / "tools"))
    answered = importlib.import_module("make_project_pictures").answered(name)
    sources = [cell.source for cell in answered.cells if cell.cell_type == "code"]
    assert any(source.startswith("def my_") for source in sources)
    assert not any("你的代码" in source for source in sources)


def test_the_deck_is_dealt_in_the_order_of_the_book():
    sources = ["".join(cell["source"]) for cell in cells_of("exam/spot")]
    shown = [id for source in sources for id in re.findall(r'^check\.spot\("([^"]+)"\)$', source)]
    asked = [
        id
        for source in sources
        for id in re.findall(r'^check\.spot\("([^"]+)", answer=\.\.\.\)$', source)
    ]
    order = check.session.BOOK_ORDER
    places = [order.index(check.session.find(id).slug) for id in shown]
    assert shown == asked and set(shown) == set(spotting.cards()) and len(shown) >= 15
    assert places == sorted(places)
    assert not any("✅" in source or "❌" in source for source in sources), "不透露哪一种对"


def test_the_exam_asks_ten_claims_and_gives_no_verdict():
    asked, solved = cells_of("exam/ten_claims"), cells_of("solutions/exam/ten_claims")
    claims = [re.findall(r"(?m)^> \*\*(.+)。\*\*$", "".join(cell["source"])) for cell in asked]
    claims = [claim for found in claims for claim in found]
    verdicts = re.findall(r"\*\*判断：(对|错|要改写)。\*\*", text_of("solutions/exam/ten_claims"))
    assert len(claims) == len(verdicts) == 10 and {"对", "错", "要改写"} == set(verdicts)
    code = ["".join(cell["source"]) for cell in asked if cell["cell_type"] == "code"]
    assert sum(" = ...  #" in source for source in code) == 10
    for number in range(1, 11):
        (measured,) = [c for c in solved if c["id"] == f"measure-{number}"]
        figures = [c for c in solved if c["id"].startswith(f"figure-{number}-")]
        assert "assert " in "".join(measured["source"]) and len(figures) == 2
    book = "".join(text_of(slug) for slug in SLUGS)
    assert not any(claim in book for claim in claims), "这一句在书里已经有了判断"


@pytest.mark.parametrize("slug", SLUGS)
def test_each_open_question_has_a_model_answer_and_three_levels(slug):
    cells = {cell["id"]: cell for cell in cells_of("solutions/exam/open_questions")}
    name = "open-" + slug.replace("_", "-")
    folded = "".join(cells[f"{name}-answer"]["source"])
    assert folded.count("<details>") == 2 and "范答" in folded
    assert re.findall(r"\*\*([一二三]级)\*\*", folded) == ["一级", "二级", "三级"]
    assert cells[f"{name}-1"]["cell_type"] == "code", "范答里的数要量出来"
    assert f"练习 {slug}-open" in text_of(slug)
    assert "(solutions/exam/open_questions.ipynb)" in text_of(slug)


def width(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(mark) in "WF" else 1 for mark in line)


EXAMS = [
    "exam/spot",
    "exam/ten_claims",
    "solutions/exam/ten_claims",
    "solutions/exam/open_questions",
]


@pytest.mark.parametrize("name", EXAMS)
def test_exam_cells_follow_the_rule_of_cells(name):
    for cell in cells_of(name):
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            assert not cell["outputs"] and cell["execution_count"] is None
            lines = source.splitlines()
            if "setup" not in tags_of(cell):
                assert len(lines) <= 40 and max(map(width, lines)) <= 84, source
        for target in re.findall(r"\]\(([^)\s]+\.(?:ipynb|md))[^)]*\)", source):
            assert ((BOOK / name).parent / target).exists(), f"链接落空：{target}"
