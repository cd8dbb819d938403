"""让建好的网页断网也完整：去掉 sphinx-thebe 的脚本（它指向外面的网址，还会登记两次）。

不管公式：那由 sphinx-mathjax-offline 负责。
"""


def is_thebe(script) -> bool:
    """是不是 sphinx-thebe 加进网页的脚本。"""
    body = script.attributes.get("body") or ""
    return "THEBE_JS_URL" in body or "sphinx-thebe" in str(script.filename)


def clean_page(app, pagename, templatename, context, doctree):
    """改写一页的脚本清单；配色默认用亮色，图都是按白底画的。"""
    context["script_files"] = [script for script in context["script_files"] if not is_thebe(script)]
    context["default_mode"] = "light"


def setup(app):
    """在别的扩展都加完脚本之后再清理。"""
    app.connect("html-page-context", clean_page, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
