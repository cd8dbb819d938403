"""把笔记本里写成引用的练习排成带锚点的方框。

笔记本里是普通的 Markdown：`> **练习 saliency-1 · 标题 ★**`，空一行，题目；在哪里看都像样。
编号就是锚点：`saliency.html#saliency-1`。
"""

import re

from docutils import nodes
from docutils.transforms import Transform

HEAD = re.compile(r"练习 ([a-z_]+-(?:\d+|open)) · (.+)", re.DOTALL)


class Exercises(Transform):
    """第一段是“练习 编号 · 标题”的引用，换成 `admonition exercise`。"""

    default_priority = 400

    def apply(self):
        for quote in list(self.document.findall(nodes.block_quote)):
            found = head_of(quote)
            if found:
                quote.replace_self(self.box(quote, *found.groups()))

    def box(self, quote, number: str, title: str):
        box = nodes.admonition(classes=["exercise"], ids=[number])
        box += nodes.title("", "", nodes.Text(f"练习 {number} · {title}"))
        box.extend(quote.children[1:])
        return box


def head_of(quote) -> re.Match | None:
    """引用的第一段若只有一句粗体的“练习 编号 · 标题”，返回拆开的样子。"""
    first = quote.children[0] if quote.children else None
    if not isinstance(first, nodes.paragraph):
        return None
    # 解析器在粗体前后各留一个空的文字节点
    parts = [child for child in first.children if child.astext()]
    alone = len(parts) == 1 and isinstance(parts[0], nodes.strong)
    return HEAD.fullmatch(parts[0].astext()) if alone else None


def setup(app):
    app.add_transform(Exercises)
    return {"parallel_read_safe": True}
