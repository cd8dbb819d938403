"""由各章生成练习本 book/practice/章.ipynb：只有题面、空格和检查，上面没有写好的代码。

用法：python tools/make_practice.py；章里的题改了就再跑一遍，测试会查两边是否一致。
"""

import ast
import json
import re
from pathlib import Path

from cnnlab import check
from cnnlab.core.command_line import Parser, run_command

BOOK = Path(__file__).resolve().parent.parent / "book"


def statements_of(cells: list[dict]) -> dict[str, str]:
    """编号 -> 题面（引用块）。"""
    found = {}
    for cell in cells:
        text = "".join(cell["source"]) if cell["cell_type"] == "markdown" else ""
        for block in re.findall(r"(?m)(?:^>.*\n?)+", text):
            number = re.match(r"> \*\*练习 ([a-z_]+-\d+) ·", block)
            if number:
                # 练习本比章深一层文件夹
                found[number[1]] = re.sub(r"\]\((?!https?:|#)", "](../", block.strip())
    return found


def imports_of(cells: list[dict]) -> set[str]:
    """各章顶层的导入里，题目要用到的那些：torch、functional、nn，和 check。"""
    lines = {"import torch", "from cnnlab import check"}
    for cell in cells:
        tags = cell["metadata"].get("tags", [])
        if cell["cell_type"] != "code" or "setup" in tags:
            continue
        try:
            body = ast.parse("".join(cell["source"])).body
        except SyntaxError:
            continue
        for node in body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                text = ast.unparse(node)
                if text.startswith(("import torch", "from torch", "import math")):
                    lines.add(text)
    return lines


def import_cell(text: str, lines: set[str]) -> str:
    """按 ruff 的次序写成一格；题面里用到的书中函数也导入。"""
    used = [n for n in ("activations_of", "resize", "tsne") if re.search(rf"\b{n}\(", text)]
    lines = lines - {"from cnnlab import check"}
    groups = [
        sorted(line for line in lines if "torch" not in line),
        sorted((line for line in lines if "torch" in line), key=lambda x: (x[:4] == "from", x)),
        [f"from cnnlab import {', '.join(sorted([*used, 'check']))}"],
    ]
    return "\n\n".join("\n".join(group) for group in groups if group)


def title_of(cells: list[dict]) -> str:
    return "".join(cells[0]["source"]).splitlines()[0].lstrip("# ").strip()


def code(id: str, source: str, tags: list[str]) -> dict:
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": id,
        "metadata": {"tags": tags} if tags else {},
        "outputs": [],
        "source": source,
    }


def markdown(id: str, source: str) -> dict:
    return {"cell_type": "markdown", "id": id, "metadata": {}, "source": source}


def practice(slug: str) -> dict:
    """一章的练习本。"""
    notebook = json.loads((BOOK / f"{slug}.ipynb").read_text(encoding="utf-8"))
    cells, statements = notebook["cells"], statements_of(notebook["cells"])
    stubs = {tag: cell for cell in cells for tag in cell["metadata"].get("tags", [])}
    text = "\n".join(statements.values())
    head = (
        f"# 练习本：{title_of(cells)}\n\n"
        f"这里只有题目，没有写好的代码；讲解在[原来的一章](../{slug}.ipynb)。"
        "停不下来的格，按 ■。\n\n"
        "写好一题，运行它下面的检查。卡住了，在检查里写 `hint=2`：1 说哪里不对，2 说为什么要紧，3 说用什么。"
        "做过的题记在这台电脑上：末尾两格是本章的进度和下一题，`check.progress()` 是全书的。"
    )
    made = [markdown("title", head)]
    made += [cell for cell in cells if "setup" in cell["metadata"].get("tags", [])]
    made.append(code("imports", import_cell(text, imports_of(cells)), []))
    for item in check.exercises(slug):
        stub = "".join(stubs[f"exercise-{item.id}"]["source"])
        made.append(markdown(f"statement-{item.id}".replace("_", "-"), statements[item.id]))
        made.append(code(f"stub-{item.id}".replace("_", "-"), stub, ["exercise"]))
        call = f"check.{item.name}({item.function_name})"
        made.append(code(f"check-{item.id}".replace("_", "-"), call, ["check"]))
    made.append(code("progress", f'check.progress("{slug}")', []))
    made.append(code("next", f'check.next("{slug}")', []))
    for cell in made:
        cell["source"] = "".join(cell["source"]).splitlines(keepends=True)
    return {"cells": made, "metadata": notebook["metadata"], "nbformat": 4, "nbformat_minor": 5}


def text_of(slug: str) -> str:
    return json.dumps(practice(slug), ensure_ascii=False, indent=1) + "\n"


def main() -> None:
    """写出全部练习本。"""
    (BOOK / "practice").mkdir(exist_ok=True)
    for slug in sorted({item.slug for item in check.exercises()}):
        (BOOK / "practice" / f"{slug}.ipynb").write_text(text_of(slug), encoding="utf-8")


if __name__ == "__main__":
    Parser(__doc__).parse_args()
    run_command(main)
