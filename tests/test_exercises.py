"""每一章的练习：解答通过、错法各有提示、报告不漏答案、笔记本填上解答就全绿。

不管检查器本身对不对：那些在 test_check.py 里。
单元格在本进程里 exec，只取导入语句、练习格和检查格：练习只靠导入的名字和实参，
全部章节几秒跑完；真内核里的样子由 test_check.py 用一章代表。
"""

import ast
import importlib.util
import json
import re
from functools import cache
from itertools import combinations
from pathlib import Path

import pytest

from cnnlab import check
from cnnlab.check.compare import as_tensor
from cnnlab.check.effects import leaves

BOOK = Path(__file__).resolve().parent.parent / "book"
MAKE_PRACTICE = BOOK.parent / "tools" / "make_practice.py"
EXERCISES = check.exercises()
SLUGS = sorted({exercise.slug for exercise in EXERCISES})


def by_id(exercise) -> str:
    return exercise.id


each_exercise = pytest.mark.parametrize("exercise", EXERCISES, ids=by_id)
each_chapter = pytest.mark.parametrize("slug", SLUGS)


@cache
def cells_of(path: Path) -> list[tuple[str, str, tuple[str, ...]]]:
    """笔记本的单元格：(类型, 源码, 标签)。"""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [
        (cell["cell_type"], "".join(cell["source"]), tuple(cell["metadata"].get("tags", ())))
        for cell in notebook["cells"]
    ]


def code_of(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    return [(source, tags) for kind, source, tags in cells_of(path) if kind == "code"]


def chapter_code(slug: str) -> list[tuple[str, tuple[str, ...]]]:
    path = BOOK / f"{slug}.ipynb"
    if not path.exists():
        pytest.skip(f"还没有 book/{slug}.ipynb")
    return code_of(path)


def import_lines(source: str) -> str:
    """一格里顶层的导入语句；不是纯 Python 的格（带魔法命令）没有。"""
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return ""
    return "\n".join(
        ast.unparse(node) for node in body if isinstance(node, ast.Import | ast.ImportFrom)
    )


def scope_of(code: list[tuple[str, tuple[str, ...]]]) -> dict:
    scope: dict = {}
    for source, tags in code:
        if set(tags) <= {"hide-input"}:
            exec(import_lines(source), scope)
    return scope


@cache
def solutions(slug: str) -> dict[str, str]:
    """编号 -> 解答格的源码。"""
    found = {}
    for source, tags in code_of(BOOK / "solutions" / f"{slug}.ipynb"):
        for tag in tags:
            if tag.startswith("exercise-"):
                found[tag.removeprefix("exercise-")] = source
    return found


@cache
def reference(exercise):
    """解答里的函数（或类）。"""
    scope = scope_of(code_of(BOOK / "solutions" / f"{exercise.slug}.ipynb"))
    for source in solutions(exercise.slug).values():  # 与读者一样从头运行：后面的解答可以用前面的
        exec(source, scope)
    return scope[exercise.function_name]


@cache
def mistake_verdicts(exercise) -> dict:
    return {key: exercise.examine(wrong) for key, (wrong, *_) in exercise.mistakes.items()}


# 解答与错法


@each_exercise
def test_reference_passes(exercise):
    report = exercise(reference(exercise))
    assert report, f"解答没有通过自己的检查：\n{report!r}"
    if exercise.oracle:
        assert len(exercise.probes) >= 2, "有标准值的练习至少用两组数据"


@each_exercise
def test_mistakes_fail_with_their_own_hint(exercise):
    first_lines = {}
    for key, (_, *hints) in exercise.mistakes.items():
        verdict = mistake_verdicts(exercise)[key]
        report = exercise.render(verdict, 1)
        assert verdict.state in ("wrong", "error"), f"错法 {key} 得到的是：\n{report!r}"
        assert verdict.hints, f"错法 {key} 没有提示：\n{report!r}"
        if hints:
            assert hints[0] in report.lines, f"错法 {key} 没有得到自己的提示：\n{report!r}"
        first_lines[key] = verdict.hints[0]
    for first, second in combinations(first_lines, 2):
        assert first_lines[first] != first_lines[second], f"错法 {first} 与 {second} 的提示一样"


def has_graph(run) -> bool:
    return any(getattr(value, "requires_grad", False) for value in leaves(run.output))


@each_exercise
def test_mistakes_differ_from_each_other_and_from_the_reference(exercise):
    """任何两种在至少一组数据上分得开；值上分不开的，由性质来分（如“不许调用现成的函数”）。"""
    answers = {"解答": reference(exercise)}
    answers |= {key: wrong for key, (wrong, *_) in exercise.mistakes.items()}
    runs = {
        key: [exercise.execute(answer, probe) for probe in exercise.probes]
        for key, answer in answers.items()
    }
    by_property = {k for k, v in mistake_verdicts(exercise).items() if v.kind == "property"}
    for first, second in combinations(runs, 2):
        alike = all(
            a.matches(b, exercise.tolerance) and has_graph(a) == has_graph(b)
            for a, b in zip(runs[first], runs[second], strict=True)
        )
        assert not alike or second in by_property, f"{first} 与 {second} 在每一组数据上都分不开"


# 不漏答案


def reference_numbers(exercise) -> set[str]:
    """标准值写成 3 到 6 位有效数字的样子；有效数字不足三位的（0.5、12）不算。"""
    texts = set()
    for probe in exercise.probes:
        for leaf in leaves(exercise.execute(exercise.oracle or reference(exercise), probe).output):
            tensor = as_tensor(leaf)
            values = [] if tensor is None else tensor.double().abs().flatten()[:2000].tolist()
            for value in values:
                texts |= {f"{value:.{digits}g}" for digits in (3, 4, 5, 6)}
    return {text for text in texts if len(text.split("e")[0].replace(".", "").lstrip("0")) >= 3}


def tokens(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text)


def ngrams(text: str, size: int = 6) -> set[tuple[str, ...]]:
    found = tokens(text)
    return {tuple(found[i : i + size]) for i in range(len(found) - size + 1)}


def body_source(source: str) -> str:
    """解答的代码，不含 docstring 和注释。"""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


@each_exercise
def test_reports_leak_nothing(exercise):
    numbers = reference_numbers(exercise)
    code = ngrams(body_source(solutions(exercise.slug)[exercise.id]))
    others = [o for o in EXERCISES if o is not exercise]
    verdicts = mistake_verdicts(exercise)
    for key, hint in ((key, hint) for key in verdicts for hint in (1, 2, 3)):
        report = exercise.render(verdicts[key], hint)
        # 学习者自己的那一行是他自己的
        lines = [line for line in report.lines if not line.startswith("出错的是")]
        text, where = "\n".join(lines), f"错法 {key}，第 {hint} 级"
        shown = set(re.findall(r"\d+\.?\d*(?:e[+-]?\d+)?", text))
        assert not shown & numbers, f"{where}：报告里有标准值 {shown & numbers}"
        assert not ngrams(text) & code, f"{where}：报告里有解答的代码 {ngrams(text) & code}"
        for name in (name for o in others for name in (o.name, o.function_name)):
            assert not re.search(rf"(?<![\w.]){name}(?!\w)", text), (
                f"{where}：出现了别的练习 {name}"
            )


# 笔记本


def check_reports(slug: str, replaced: dict[str, str]) -> dict[str, object]:
    """依次执行练习格（可换成解答）和检查格，收集报告：编号 -> 报告。"""
    code, reports = chapter_code(slug), {}
    # 解答用到的导入写在解答那一页的开头
    scope = scope_of(code + (code_of(BOOK / "solutions" / f"{slug}.ipynb") if replaced else []))
    for source, tags in code:
        ids = [tag.removeprefix("exercise-") for tag in tags if tag.startswith("exercise-")]
        if ids:
            exec(replaced.get(ids[0], source), scope)
        elif "check" in tags:
            *before, last = ast.parse(source).body
            exec(compile(ast.Module(before, []), "<check>", "exec"), scope)
            report = eval(compile(ast.Expression(last.value), "<check>", "eval"), scope)
            reports[report.id] = report
    return reports


def ids_of(slug: str) -> set[str]:
    return {exercise.id for exercise in check.exercises(slug)}


@each_chapter
def test_injected_chapter_passes(slug):
    reports = check_reports(slug, solutions(slug))
    assert set(reports) == ids_of(slug), "每道练习都要有检查格"
    for report in reports.values():
        assert report, f"填上解答之后还没有通过：\n{report!r}"
        assert report._repr_markdown_().startswith("**✅ 通过**")


@each_chapter
def test_chapter_as_shipped_is_unfinished(slug):
    for report in check_reports(slug, {}).values():
        assert report._repr_markdown_().startswith("**⬜ 尚未完成**"), (
            f"发布的样子应当是未完成：\n{report!r}"
        )


@each_chapter
def test_each_exercise_has_a_statement_a_stub_and_one_check(slug):
    code = chapter_code(slug)
    prose = "\n".join(
        source for kind, source, _ in cells_of(BOOK / f"{slug}.ipynb") if kind == "markdown"
    )
    for exercise in check.exercises(slug):
        places = [i for i, (_, tags) in enumerate(code) if f"exercise-{exercise.id}" in tags]
        assert len(places) == 1, f"标签 exercise-{exercise.id} 应当恰好一格，找到 {len(places)} 格"
        assert "exercise" in code[places[0]][1]
        following = code[places[0] + 1]
        assert "check" in following[1], f"{exercise.id} 的练习格之后应当是检查格"
        assert f"check.{exercise.name}({exercise.function_name}" in following[0]
        assert f"> **练习 {exercise.id} · {exercise.title}" in prose, f"没有 {exercise.id} 的题面"
    for source, tags in code:
        if "exercise" in tags:
            top = [type(node).__name__ for node in ast.parse(source).body]
            assert "Raise" not in top, f"raise 应当在函数里：\n{source}"


def contract(source: str, name: str) -> list[tuple[str, str, str | None]]:
    """函数（或类及其方法）的名字、签名和 docstring。"""
    nodes = [node for node in ast.parse(source).body if getattr(node, "name", None) == name]
    assert nodes, f"没有定义 {name}"
    parts = [n for n in ast.walk(nodes[0]) if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    kept = parts if isinstance(nodes[0], ast.ClassDef) else parts[:1]
    return [
        (
            n.name,
            ast.unparse(n.args) if isinstance(n, ast.FunctionDef) else "",
            ast.get_docstring(n),
        )
        for n in kept
    ]


@each_exercise
def test_stub_agrees_with_the_solution(exercise):
    solution = contract(solutions(exercise.slug)[exercise.id], exercise.function_name)
    name, arguments, docstring = solution[0]
    if not isinstance(reference(exercise), type):
        assert exercise.stub == f"{name}({arguments})", "练习与解答的签名不同"
    assert docstring, "解答要有 docstring：它就是给学习者的约定"
    for source, tags in chapter_code(exercise.slug):
        if f"exercise-{exercise.id}" in tags:
            assert contract(source, exercise.function_name) == solution, "笔记本里的题与解答对不上"


@each_chapter
def test_practice_notebook_is_in_step(slug):
    """练习本是由章生成的：改了题就运行 python tools/make_practice.py。"""
    spec = importlib.util.spec_from_file_location("make_practice", MAKE_PRACTICE)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    made = BOOK / "practice" / f"{slug}.ipynb"
    assert made.read_text(encoding="utf-8") == tool.text_of(slug), "运行 tools/make_practice.py"
    assert ids_of(slug) <= set(re.findall(r"练习 ([a-z_]+-\d+) ·", made.read_text("utf-8")))


# 门槛


@each_chapter
def test_ids_follow_the_order_of_reading(slug):
    read = [
        tag.removeprefix("exercise-")
        for _, tags in chapter_code(slug)
        for tag in tags
        if tag.startswith("exercise-")
    ]
    assert read == [exercise.id for exercise in check.exercises(slug)]


def headings(slug: str) -> list[str]:
    prose = [text for kind, text, _ in cells_of(BOOK / f"{slug}.ipynb") if kind == "markdown"]
    return re.findall(r"(?m)^#+ +(.+)$", "\n".join(prose))


@each_exercise
def test_hints_point_to_sections_that_exist(exercise):
    """“某某”一节要真是本章的一个标题。"""
    tables = [*exercise.mistakes.values(), *exercise.properties, *exercise.laws]
    texts = [exercise.idea, exercise.where, exercise.question]
    texts += [hint for _, *hints in tables for hint in hints]
    for named in re.findall(r"“([^”]+)”一[节段]", "\n".join(texts)):
        found = [title for title in headings(exercise.slug) if named in title]
        assert found, f"{exercise.id} 的提示说到“{named}”，本章没有这个标题"


@each_chapter
def test_chapter_meets_the_bar(slug):
    chapter = check.exercises(slug)
    numbers = [int(exercise.id.rsplit("-", 1)[1]) for exercise in chapter]
    assert len(chapter) >= 4 and numbers == list(range(1, len(chapter) + 1))
    assert set(solutions(slug)) == ids_of(slug), "解答与练习要一一对应"
    for exercise in chapter:
        assert exercise.level in (1, 2, 3, 4)
        needed = 3 if exercise.level >= 3 else 2
        assert len(exercise.mistakes) >= needed, f"{exercise.id} 至少要有 {needed} 个有名字的错法"
        assert exercise.oracle or exercise.properties or exercise.laws
        assert "？" in exercise.question, f"{exercise.id} 的“接着想”要是一个问题"
        assert not exercise.answer.endswith("。"), f"{exercise.id} 的 answer 末尾不加句号"


@each_chapter
def test_check_module_is_named_after_its_chapter(slug):
    source = (Path(check.__file__).parent / f"{slug}.py").read_text(encoding="utf-8")
    for exercise in check.exercises(slug):
        assert re.search(rf"(?m)^(def|class) {exercise.name}\(", source), (
            f"{exercise.name} 应当定义在自己那一章里"
        )
        assert getattr(check, exercise.name) is exercise
