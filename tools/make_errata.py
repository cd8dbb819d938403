"""由各章的“讲义勘误”一节写出 book/errata.md：python tools/make_errata.py

勘误的正文只写在各章里；这一页把它们按章的次序抄在一起，并链回原处。
"""

import json
import re
from pathlib import Path

import yaml

from cnnlab.core.command_line import Parser

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "book" / "errata.md"
HEADING = "讲义勘误"
NOT_ERRATA = "下面几条判为说得对"  # 从这一句起是补充，不抄
HEAD = """# 讲义勘误

各章读讲义时遇到的说法，凡是不准确或写错了的，都用实验量过，列在那一章的“讲义勘误”一节。
这一页由 `make pages` 把它们抄在一起；证据在各章里。
"""


def chapters(root: Path = ROOT) -> list[str]:
    """_toc.yml 里的章，按次序，只取 book/ 下的笔记本。"""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    listed = [entry["file"] for part in toc.get("parts", []) for entry in part["chapters"]]
    names = [name.removeprefix("book/") for name in listed]
    return [
        name for name in names if "/" not in name and (root / "book" / f"{name}.ipynb").exists()
    ]


def markdown_of(path: Path) -> str:
    """一个笔记本的全部 Markdown 格，连成一篇。"""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def title_of(text: str) -> str:
    """一章的标题。"""
    return re.search(r"^# (.+)$", text, flags=re.MULTILINE).group(1).strip()


def errata_of(text: str) -> str:
    """“讲义勘误”一节的各条，不含说得对的几条；没有这一节时是空的。"""
    pattern = rf"^(#+) [^\n]*{HEADING}[^\n]*\n(.*?)(?=^#{{1,2}} |\Z)"
    found = re.search(pattern, text, flags=re.MULTILINE | re.DOTALL)
    body = found.group(2).partition(NOT_ERRATA)[0] if found else ""
    return "\n".join(line for line in body.splitlines() if line.startswith("- "))


def page_text() -> str:
    """整页的 Markdown。"""
    parts = [HEAD]
    for slug in chapters():
        text = markdown_of(ROOT / "book" / f"{slug}.ipynb")
        if body := errata_of(text):
            parts.append(
                f"## {title_of(text)}\n\n见[《{title_of(text)}》]({slug}.ipynb)。\n\n{body}\n"
            )
    return "\n".join(parts)


if __name__ == "__main__":
    Parser(__doc__).parse_args()
    PAGE.write_text(page_text(), encoding="utf-8")
    print(f"写出 {PAGE.relative_to(ROOT)}")
