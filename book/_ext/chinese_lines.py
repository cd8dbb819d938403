"""源文件里换行的中文段落，在网页上接成一行：两个汉字（或全角标点）之间的换行不变成空格。

不管英文：单词之间的换行仍是空格。
"""

import re

from docutils import nodes

_WIDE = "\u2014\u2018-\u201d\u2026\u3000-\u303f\u3400-\u9fff\uf900-\ufaff\uff00-\uffef"
_BREAK = re.compile(f"(?<=[{_WIDE}])[ \\t]*\\n[ \\t]*(?=[{_WIDE}])")


def join_lines(text: str) -> str:
    """去掉全角字符之间的换行。"""
    return _BREAK.sub("", text)


def clean_document(app, document):
    """改写一页里的文字；代码和公式不动。"""
    untouched = (nodes.literal_block, nodes.literal, nodes.math, nodes.math_block, nodes.raw, nodes.comment)
    for node in list(document.findall(nodes.Text)):
        if "\n" not in node or isinstance(node.parent, untouched):
            continue
        joined = join_lines(node.astext())
        if joined != node.astext():
            node.parent.replace(node, nodes.Text(joined))


def setup(app):
    """每读完一页就改写它。"""
    app.connect("doctree-read", clean_document)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
