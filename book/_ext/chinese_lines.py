"""源文件里换行的中文段落，在网页上接成一行：两个汉字（或全角标点）之间的换行不变成空格。

不管英文：单词之间的换行仍是空格。
"""

import re

from docutils import nodes

_WIDE = re.compile(
    "[\u2014\u2018-\u201d\u2026\u3000-\u303f\u3400-\u9fff\uf900-\ufaff\uff00-\uffef]"
)
_CODE = (nodes.literal_block, nodes.literal, nodes.math, nodes.math_block, nodes.raw, nodes.comment)


def is_wide(character: str) -> bool:
    """是不是汉字或全角标点。"""
    return bool(_WIDE.fullmatch(character))


def clean_document(app, document):
    """改写一页里的文字；代码和公式不动。MyST 把一个换行放在单独的一个节点里。"""
    for node in list(document.findall(nodes.Text)):
        if node.strip() or "\n" not in node or isinstance(node.parent, _CODE):
            continue
        place = node.parent.index(node)
        before, after = node.parent.children[:place], node.parent.children[place + 1 :]
        left, right = (before[-1].astext() if before else ""), (after[0].astext() if after else "")
        if is_wide(left[-1:]) and is_wide(right[:1]):
            node.parent.remove(node)


def setup(app):
    """每读完一页就改写它。"""
    app.connect("doctree-read", clean_document)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
