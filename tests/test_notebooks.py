"""笔记本和各页的卫生：无输出、格子短、设置格一致、Markdown 处处能读、用词与标点。

不管内容对不对：那由笔记本自己的 assert 负责，nbval 会运行每一格。
"""

import ast
import copy
import importlib.util
import itertools
import json
import re
import warnings
from functools import cache
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"
CHAPTERS = sorted(BOOK.glob("*.ipynb"))
SOLUTIONS = sorted((BOOK / "solutions").glob("*.ipynb"))
NOTEBOOKS = CHAPTERS + SOLUTIONS
# 由程序写出的接口表和参考文献不归用词规则管
PAGES = [path for path in sorted(BOOK.glob("*.md")) if path.name not in {"api.md", "references.md"}]

CODE_LINES, BY_HAND_LINES, DEF_LINES = 20, 30, 6
CELLS_A_SENTENCE = 3
LONG_SENTENCE, TOO_LONG_SENTENCE = 40, 80
BANNED = {
    "您": "用“你”",
    r"(?<![申邀])请(?![求教])": "不用“请”",
    "显然|众所周知|不难看出|显而易见|容易看出": "不替读者下判断",
    "可以看到效果很好|效果很好": "写看到了什么、在哪里、和什么比",
}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def read(path: Path):
    return nbformat.read(path, as_version=4)


def cells(path: Path, kind: str):
    return [cell for cell in read(path).cells if cell.cell_type == kind]


def tags(cell) -> set[str]:
    return set(cell.metadata.get("tags", []))


def is_exercise(cell) -> bool:
    return any(tag == "exercise" or tag.startswith("exercise-") for tag in tags(cell))


def parsed(cell) -> ast.Module:
    """一格代码的语法树；`%pip` 之类的行换成 pass。"""
    return ast.parse(re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", cell.source))


def prose(path: Path) -> list[str]:
    """一个文件里的 Markdown：笔记本是各格，.md 是整页。"""
    if path.suffix == ".md":
        return [path.read_text(encoding="utf-8")]
    return [cell.source for cell in cells(path, "markdown")]


def without_code(text: str) -> str:
    """去掉代码块、行内代码、公式、网址和 HTML 标签，只留人读的字。"""
    for pattern in (
        r"(?ms)^```.*?^```",
        r"(?s)\$\$.*?\$\$",
        r"`[^`\n]*`",
        r"\$[^$\n]*\$",
        r"\]\([^)]*\)",
        r"<[^>]+>",
    ):
        text = re.sub(pattern, " ", text)
    return text


# 笔记本的形状


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_no_outputs(path):
    nbformat.validate(read(path))
    for number, cell in enumerate(read(path).cells):
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None, (
                f"第 {number} 格存着输出：运行 nbstripout {name_of(path)}"
            )


@pytest.mark.parametrize("path", CHAPTERS, ids=name_of)
def test_cells_are_short(path):
    for number, cell in enumerate(read(path).cells):
        if cell.cell_type == "code":
            length = sum(bool(line.strip()) for line in cell.source.splitlines())
            longer = tags(cell) & {"by-hand", "hide-input"} or is_exercise(cell)
            limit = BY_HAND_LINES if longer else CODE_LINES
            assert length <= limit, f"第 {number} 格有 {length} 行，至多 {limit} 行"


@pytest.mark.parametrize("path", CHAPTERS, ids=name_of)
def test_functions_are_short_where_they_are_not_the_point(path):
    for number, cell in enumerate(read(path).cells):
        if cell.cell_type == "code" and "by-hand" not in tags(cell) and not is_exercise(cell):
            for node in ast.walk(parsed(cell)):
                assert not isinstance(node, ast.ClassDef), f"第 {number} 格定义了类 {node.name}"
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    length = node.end_lineno - node.lineno + 1
                    assert length <= DEF_LINES, (
                        f"第 {number} 格的 {node.name} 有 {length} 行：长的函数住在程序包里"
                        "（练习标 exercise，手写的算法标 by-hand）"
                    )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_nothing_raises_at_the_top_level(path):
    for number, cell in enumerate(read(path).cells):
        if cell.cell_type == "code":
            assert not any(isinstance(node, ast.Raise) for node in parsed(cell).body), (
                f"第 {number} 格一运行就报错"
            )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_setup_cell_is_the_same_everywhere(path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    first = cells(path, "code")[0]
    assert first.source == load_tool("make_setup_cells").setup_source(), (
        "第一个代码格与别的章不同：运行 make pages"
    )
    assert tags(first) == {"setup", "hide-input"}


def test_the_command_for_first_cells_finds_nothing_to_write(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    tool = load_tool("make_setup_cells")
    source = tool.setup_source()
    for path in tool.notebooks():
        notebook = json.loads(path.read_text(encoding="utf-8"))
        assert tool.with_setup(copy.deepcopy(notebook), source) == notebook, path.name


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_no_raw_interact_and_no_star_import(path):
    for number, cell in enumerate(read(path).cells):
        if cell.cell_type == "code":
            found = re.search(
                r"\binteract(ive|ive_output|_manual)?\s*\(|@interact\b|import \*", cell.source
            )
            assert not found, f"第 {number} 格：滑块用 explore，名字逐个导入"


@pytest.mark.parametrize("path", CHAPTERS, ids=name_of)
def test_every_code_cell_follows_a_sentence(path):
    """一句话之下至多三格要读的代码；折起来的、检查的格子不算。"""
    since = CELLS_A_SENTENCE
    for number, cell in enumerate(read(path).cells):
        if cell.cell_type == "markdown":
            since = 0
        elif not (tags(cell) & {"setup", "check", "hide-input"} or "run_profile()" in cell.source):
            since += 1
            assert since <= CELLS_A_SENTENCE, f"第 {number} 格代码前面没有话"


@pytest.mark.parametrize("path", CHAPTERS, ids=name_of)
def test_every_chapter_asserts(path):
    asserted = sum(
        isinstance(node, ast.Assert)
        for cell in cells(path, "code")
        for node in ast.walk(parsed(cell))
    )
    assert asserted >= 2, f"只有 {asserted} 个 assert：至少要有“手算与包一致”和一个局限"


# 练习


@pytest.mark.parametrize("path", CHAPTERS, ids=name_of)
def test_exercise_cells_are_followed_by_their_check(path):
    code = cells(path, "code")
    for cell, following in zip(code, [*code[1:], None], strict=True):
        if is_exercise(cell):
            label = sorted(tag for tag in tags(cell) if tag.startswith("exercise-"))
            assert label, "练习格要有 exercise-<编号> 的标签"
            assert label[0].startswith(f"exercise-{path.stem}-"), f"{label[0]}：编号是 <章>-<序号>"
            assert following is not None and "check" in tags(following), (
                f"{label[0]} 后面不是检查格"
            )
            assert "check." in following.source, f"{label[0]} 后面的格没有调用 check"


# Markdown 处处能读


@pytest.mark.parametrize("path", [*NOTEBOOKS, *PAGES], ids=name_of)
def test_markdown_is_plain(path):
    for text in prose(path):
        assert not re.search(r"(```|:::)\s*\{", text), "只用普通的 Markdown，不用指令"
        assert not re.search(r"\{[a-z][a-z:-]*\}`", text), (
            "不用角色：数字由 assert 守着，论文用链接"
        )
        assert "{cite" not in text, "论文用链接指向参考文献页"


@pytest.mark.parametrize("path", [*NOTEBOOKS, *PAGES], ids=name_of)
def test_links_lead_somewhere(path):
    keys = set(
        re.findall(r"(?m)^@\w+\{(\S+),$", (BOOK / "references.bib").read_text(encoding="utf-8"))
    )
    for text in prose(path):
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", target) or target.startswith("#"):
                continue
            place, _, anchor = target.partition("#")
            assert (path.parent / place).exists(), f"链接落空：{target}"
            if Path(place).name == "references.md" and anchor:
                assert anchor in keys, f"references.bib 里没有 {anchor!r}"


@pytest.mark.parametrize("path", [*NOTEBOOKS, *PAGES], ids=name_of)
def test_images_have_alternative_text(path):
    for text in prose(path):
        empty = re.findall(r"!\[\s*\]\([^)]*\)", text)
        assert not empty, f"图片没有替代文字：{empty}"


# 用词与标点


@pytest.mark.parametrize("path", [*NOTEBOOKS, *PAGES], ids=name_of)
def test_spacing_and_punctuation(path):
    autocorrect = pytest.importorskip("autocorrect_py")
    for text in prose(path):
        faults = [
            f"  {line.old}\n→ {line.new}" for line in autocorrect.lint_for(text, "markdown").lines
        ]
        assert not faults, "中西文之间的空格或标点：\n" + "\n".join(faults)


@pytest.mark.parametrize("path", [*NOTEBOOKS, *PAGES], ids=name_of)
def test_banned_words(path):
    for text in map(without_code, prose(path)):
        for pattern, advice in BANNED.items():
            found = re.search(f".{{0,12}}(?:{pattern}).{{0,12}}", text)
            assert not found, f"“{found.group(0)}”：{advice}"


def sentences(path: Path) -> list[tuple[int, str]]:
    """文中的句子和各自的汉字数。"""
    found = []
    for text in map(without_code, prose(path)):
        for line in re.split(r"\n\s*\n|\n(?=\s*(?:[-*>|#]|\d+\.))", text):
            for sentence in re.split(r"[。！？；：|]", line):
                found.append(
                    (len(re.findall(r"[\u4e00-\u9fff]", sentence)), " ".join(sentence.split()))
                )
    return found


@pytest.mark.parametrize("path", [*NOTEBOOKS, *PAGES], ids=name_of)
def test_sentence_length(path):
    counted = sentences(path)
    longest = max(counted, default=(0, ""))
    over = sorted((pair for pair in counted if pair[0] > LONG_SENTENCE), reverse=True)
    if over:
        shown = "\n".join(f"  {count} 字：{sentence}" for count, sentence in over[:5])
        warnings.warn(
            f"{name_of(path)} 有 {len(over)} 句超过 {LONG_SENTENCE} 个汉字：\n{shown}", stacklevel=1
        )
    assert longest[0] <= TOO_LONG_SENTENCE, f"{longest[0]} 个汉字一句，拆开它：{longest[1]}"


# 一章 = 一个模块 = 一个笔记本 = 一个测试文件 = 一个检查文件 = 一个解答笔记本


def toc_files() -> list[str]:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    listed = [toc["root"]]
    for part in toc.get("parts", []):
        for entry in part["chapters"]:
            listed.append(entry["file"])
            listed += [section["file"] for section in entry.get("sections", [])]
    return listed


def test_toc_lists_every_page_once():
    listed = toc_files()
    assert len(listed) == len(set(listed)), "_toc.yml 里有重复的页"
    for name in listed:
        assert any((ROOT / f"{name}{suffix}").exists() for suffix in (".md", ".ipynb")), (
            f"_toc.yml 里的 {name} 没有文件"
        )
    there = {name_of(path).removesuffix(path.suffix) for path in [*NOTEBOOKS, *BOOK.glob("*.md")]}
    assert there <= set(listed), f"这些页没有列进 _toc.yml：{sorted(there - set(listed))}"


def load_tool(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_one_slug_one_chapter_everywhere():
    """书里的每一章都有同名的模块、测试、检查、解答；章的模块也都有自己的一章。"""
    slugs = {path.stem for path in CHAPTERS}
    listed = {
        name.removeprefix("book/") for name in toc_files() if (ROOT / f"{name}.ipynb").exists()
    }
    assert slugs == {name for name in listed if "/" not in name}
    for folder, suffix in (
        ("cnnlab/chapters", ".py"),
        ("cnnlab/check", ".py"),
        ("book/solutions", ".ipynb"),
    ):
        missing = {slug for slug in slugs if not (ROOT / folder / f"{slug}{suffix}").exists()}
        assert not missing, f"{folder}/ 里缺少 {sorted(missing)}"
    missing = {
        slug for slug in slugs if not (ROOT / "tests" / "chapters" / f"test_{slug}.py").exists()
    }
    assert not missing, f"tests/ 里缺少 {sorted(missing)} 的测试"
    assert {path.stem for path in SOLUTIONS} == slugs, "解答笔记本与各章对不上"


@pytest.mark.parametrize("tool", ["make_references", "make_api", "make_errata", "make_claims"])
def test_generated_pages_are_current(tool, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    module = load_tool(tool)
    assert module.PAGE.read_text(encoding="utf-8") == module.page_text(), (
        f"{module.PAGE.name} 旧了：运行 make pages"
    )


def test_the_index_maps_every_chapter():
    text = (BOOK / "index.md").read_text(encoding="utf-8")
    missing = [path.name for path in CHAPTERS if f"({path.name})" not in text]
    assert not missing, f"book/index.md 的章节地图里没有 {missing}"


def test_each_chapter_ends_with_a_link_to_the_next():
    order = [ROOT / f"{name}.ipynb" for name in toc_files()]
    chapters = [path for path in order if path in CHAPTERS]
    for path, following in itertools.pairwise(chapters):
        last = nbformat.read(path, as_version=4).cells[-1].source
        assert last.startswith("下一章：") and f"({following.name})" in last, (
            f"{path.name} 的末尾应当链接到 {following.name}"
        )
