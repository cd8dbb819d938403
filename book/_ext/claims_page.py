"""把各章量出的数填进“说法与实测”一页，并在各章的记号与那一页之间来回加链接。

说法的文字在 cnnlab/data/claims.csv；各章的卡片和账本里有带着这次运行的数的记号（cnnlab.claims）。
"""

import html
import json
import re

from docutils import nodes

PAGE = "book/claims"
MARK = re.compile(r'<span class="cnnlab-claim" data-claim="([^"]*)"></span>')
PLACE = re.compile(r'<span class="cnnlab-measured" data-number="([^"]*)"></span>')


def claims_in(text: str) -> list[dict[str, str]]:
    """一段 HTML 里各个记号带的数据。"""
    return [json.loads(html.unescape(found)) for found in MARK.findall(text)]


def collect(app, document):
    """每读完一页，记下它量出的数；重读时整页换掉。"""
    pages = app.env.__dict__.setdefault("cnnlab_claims", {})
    pages[app.env.docname] = {
        card["number"]: card
        for node in document.findall(nodes.raw)
        for card in claims_in(node.astext())
    }


def forget(app, env, page):
    """一页要重读，或已经删掉。"""
    env.__dict__.setdefault("cnnlab_claims", {}).pop(page, None)


def refresh(app, env):
    """有章重新读过，这一页就要重写。"""
    return [PAGE] if PAGE in env.found_docs else []


def measured_text(card: dict[str, str], link: str) -> str:
    """表里的一格：测得、对照、样本、备注，和回到那一格的链接。"""
    names = {"measured": "测得", "control": "对照", "n": "样本", "remark": "备注"}
    parts = [(name, card.get(key, "")) for key, name in names.items()]
    lines = [f"{name}：{html.escape(text)}" for name, text in parts if text]
    return "<br>".join([*lines, f'<a href="{link}#claim-{card["number"]}">实验</a>'])


def fill(app, pagename, templatename, context, doctree):
    """填上数；各章的记号换成链接。"""
    body = context.get("body", "")
    if pagename == PAGE:
        cells = {
            number: measured_text(card, app.builder.get_relative_uri(PAGE, page))
            for page, cards in app.env.cnnlab_claims.items()
            for number, card in cards.items()
        }
        context["body"] = PLACE.sub(lambda found: cells.get(found[1], "–"), body)
    elif MARK.search(body):
        seen = set()
        context["body"] = MARK.sub(lambda found: _link(app, pagename, found[1], seen), body)


def _link(app, pagename: str, data: str, seen: set[str]) -> str:
    """记号换成去“说法与实测”的链接；第一次出现的带锚点，数据不再留在网页里。"""
    number = json.loads(html.unescape(data))["number"]
    anchor = "" if number in seen else f' id="claim-{number}"'
    seen.add(number)
    href = f"{app.builder.get_relative_uri(pagename, PAGE)}#row-{number}"
    return f'<a class="cnnlab-claim"{anchor} href="{href}">第 {number} 条</a> '


def setup(app):
    """读的时候收集，写的时候填。"""
    app.connect("env-purge-doc", forget)
    app.connect("doctree-read", collect)
    app.connect("env-updated", refresh)
    app.connect("html-page-context", fill)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
