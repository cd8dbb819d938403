"""附录与各章对得上：引入的词在术语表里，文献的写法一致、都有人引用，公开的名字都在接口表里，勘误不收说得对的。"""

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"
CHAPTERS = sorted(BOOK.glob("*.ipynb"))
# 加粗是为了强调，不是引入一个词：学习目标开头的动词，和句中要重读的几个字
GOALS = (
    "换算 求导 核对 找错 体检 画出 实现 判断 测量 数清 推导 取出 检验 推算 算出 设计 造出 写出 说明 构造 证明 "
    "区分 计算 找出 混合 说出 训练 避开"
)
STRESSED = (
    "步幅2 挑方向 认得回来 同一类 各用一把尺 同一把尺 全部 之前 格子的大小 随机权重 打乱了也像 分 就是 别的 像素 "
    "这里有什么 在哪里 为什么 另一个通道 另一张 网络用了哪里 哪里支持这一类 不靠标签也能 在这里动一下会怎样"
)


def markdown(path: Path) -> list[str]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]


def glossary() -> set[str]:
    """术语表的词头和别名。"""
    found = set()
    for line in (BOOK / "glossary.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 5:
            found |= {cells[0], *re.split(r"[；，、]", cells[3])}
    return found


def introduced(text: str) -> list[str]:
    """一格里加粗的短词；标题、编号和整句不算。"""
    text = re.sub(r"(?s)<details>.*?</details>", "", text)
    bold = re.findall(r"\*\*([^*\n]{1,12})\*\*", text)
    return [each for each in bold if not re.search(r"[。？！，：；·]|^\d|^练习|^本章|^开始", each)]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_words_introduced_in_bold_are_in_the_glossary(path):
    known = glossary() | set(GOALS.split())
    stressed = set(STRESSED.split())
    missing = [
        word
        for text in markdown(path)
        for word in introduced(text)
        if word not in known and word.replace(" ", "") not in stressed
    ]
    assert not missing, f"术语表里没有 {missing}；只是重读，就登记在 STRESSED 里"


@pytest.fixture
def references(monkeypatch):
    pytest.importorskip("pybtex")
    monkeypatch.syspath_prepend(ROOT / "tools")
    import make_references

    return make_references


def test_citations_have_one_form_and_every_reference_is_cited(references):
    entries = references.parse_file(str(references.BIB), bib_format="bibtex").entries
    forms = {key: references.short_form(entry) for key, entry in entries.items()}
    for path in [*CHAPTERS, *BOOK.glob("*.md")]:
        for text, key in re.findall(
            r"\[([^\[\]]+)\]\(references\.md#(\w+)\)", path.read_text(encoding="utf-8")
        ):
            assert text.startswith(forms[key]), f"{path.name}：{text} 应写作 {forms[key]}"
    uncited = set(entries) - set(references.places())
    assert not uncited, f"没有一处引用：{sorted(uncited)}"


def test_the_table_of_functions_lists_every_public_name(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    import make_api

    listed = set(re.findall(r"(?m)^\| `(\w+)", make_api.PAGE.read_text(encoding="utf-8")))
    modules = {"check", "claims", "doctor", "mine", "plotting", "widgets"}
    used = {name for names in make_api.imported().values() for name in names} - modules
    missing = (set(make_api.exports()) | used) - listed
    assert not missing, f"接口表里没有 {sorted(missing)}"
    for path in [*(ROOT / "book" / "projects").glob("*.ipynb"), *CHAPTERS]:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            source = "".join(cell["source"])
            if cell["cell_type"] == "code" and not re.search(r"(?m)^\s*[%!]", source):
                for node in ast.walk(ast.parse(source)):
                    if isinstance(node, ast.ImportFrom) and node.module == "cnnlab":
                        names = {alias.name for alias in node.names} - modules
                        assert names <= listed, f"{path.name}：{names - listed}"


def test_errata_are_claims_that_were_corrected():
    from cnnlab.show.claims import claim_texts

    verdicts = {number: row["verdict"] for number, row in claim_texts().items()}
    for line in (BOOK / "errata.md").read_text(encoding="utf-8").splitlines():
        listed = re.findall(r"第 ([\da、]+) 条", line) if line.startswith("- ") else []
        numbers = [number for each in listed for number in each.split("、")]
        right = all(verdicts[number] == "✔" for number in numbers)
        assert not (numbers and right), f"判为说得对，不该在勘误里：{line[:40]}"
