"""实验台：把网页里空的 `<div class="cnnlab-lab" …></div>` 变成能算的面板，只在有它的页上加脚本。

面板本身在 book/_static/lab/ 里；建书时写出它要的数据（lab_data）和没有脚本时看的静态图（lab_stills）。
"""

import html
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import lab_data
import lab_stills

PANEL = re.compile(r'<div class="cnnlab-lab"([^>]*)></div>')
ATTRIBUTE = re.compile(r'data-([a-z]+)="([^"]*)"')
# 按这个次序装：后面的用到前面的
SCRIPTS = [
    "numbers",
    "kernel",
    "layers",
    "network",
    "stylizer",
    "pictures",
    "cosine",
    "explanations",
    "synthesis",
    "worker",
    "engine",
    "drawing",
    "elements",
    "convolution",
    "experiments",
    "knobs",
    "neuron",
    "read_photo",
    "photo",
    "experiment",
    "challenges",
    "panel",
]


def settings_of(attributes: str) -> dict[str, str]:
    """div 上写的 data-…：experiments、photo、size。"""
    found = dict(ATTRIBUTE.findall(attributes))
    first = found.get("experiments", "").split()[:1]
    return {
        "experiment": (first or ["occlusion"])[0],
        "photo": found.get("photo", "jaguar"),
        "size": found.get("size", "160"),
    }


def filled(attributes: str, still: str, text: str) -> str:
    """面板装起来之前（或没有脚本时）看见的：一张静态图和一句话。"""
    return (
        f'<div class="cnnlab-lab"{attributes}><figure class="lab-still"><img src="{still}" alt="{html.escape(text)}">'
        f"<figcaption>{html.escape(text)}。打开网页的脚本，这里就是一个能算的面板。</figcaption></figure></div>"
    )


def fill_page(app, pagename, templatename, context, doctree):
    """有面板的页：填上静态图，加脚本和样式；没有面板的页原样不动。"""
    body = context.get("body", "")
    if app.builder.format != "html" or not PANEL.search(body):
        return
    folder = Path(app.outdir) / "_static" / "lab"
    lab_data.write_data(folder)

    def panel(found: re.Match) -> str:
        name, text = lab_stills.write_still(folder, **settings_of(found[1]))
        return filled(found[1], context["pathto"](f"_static/lab/{name}", 1), text)

    context["body"] = PANEL.sub(panel, body)
    app.add_css_file("lab/lab.css")
    for name in SCRIPTS:
        app.add_js_file(f"lab/{name}.js")


def setup(app):
    """写每一页时看一眼。"""
    app.connect("html-page-context", fill_page)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
