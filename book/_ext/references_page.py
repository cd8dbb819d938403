"""“参考文献”一页：标题从键换成正文里的写法，锚点仍是键。

文献的标题在 Markdown 里是键（链接要用它），紧跟着一段粗体是正文里的写法，如 Gatys 等，2016。
"""

from docutils import nodes
from docutils.transforms import Transform

PAGE = "book/references"


class Heads(Transform):
    """一节的第一段若只有粗体字，就用它作这一节的标题。"""

    default_priority = 410

    def apply(self):
        if self.document.settings.env.docname != PAGE:
            return
        for section in self.document.findall(nodes.section):
            title, first = section.children[0], section.children[1]
            parts = [child for child in first.children if child.astext()]
            if len(parts) == 1 and isinstance(parts[0], nodes.strong):
                title.children = []
                title += nodes.Text(parts[0].astext())
                section.remove(first)


def setup(app):
    app.add_transform(Heads)
    return {"parallel_read_safe": True}
