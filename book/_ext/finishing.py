"""建好网页之后的收尾：图配上替代文字，宽图在手机上不缩到看不清字，大图换成 WebP，主题里剩下的英文换成中文；
地址没定时不画通向外面的按钮。

不管章的内容。
"""

import base64
import hashlib
import html
import json
import re
from pathlib import Path

LARGEST = 300_000
# 主题没有翻译的提示，原样在标签的属性里
CHINESE = {
    "Link to this heading": "本节的链接",
    "Toggle primary sidebar": "打开或收起目录",
    "Toggle secondary sidebar": "打开或收起本页目录",
    "System Settings": "跟随系统",
    "Color mode": "亮色、暗色",
    "Light": "亮色",
    "Dark": "暗色",
    "Search this book...": "搜索本书……",
    "Launch interactive content": "在别处运行",
    "Launch on Colab": "在 Colab 里运行",
    "Colab logo": "Colab 的标志",
    "Page": "本页",
    "Main": "主要",
    "Site navigation": "全书目录",
    "Source repositories": "源代码仓库",
    "Source repository": "源代码仓库",
    "Open an issue": "提一个问题",
    "Download this page": "下载这一页",
    "Download source file": "下载源文件",
    "Print to PDF": "打印成 PDF",
    "Fullscreen mode": "全屏",
    "Search": "搜索",
}
ATTRIBUTES = "title|aria-label|placeholder|alt|data-bs-title"
_TEXT = re.compile(rf'\b({ATTRIBUTES})="({"|".join(map(re.escape, CHINESE))})"')

_PICTURE = re.compile(r'<img alt="([^"]*)" (src="(?:\.\./)*_images/(([0-9a-f]{64})\.\w+)"[^>]*)/>')


def in_chinese(page: str) -> str:
    """网页里主题的英文提示换成中文；正文不动。"""
    return _TEXT.sub(lambda found: f'{found[1]}="{CHINESE[found[2]]}"', page)


def picture_texts(executed: Path) -> dict[str, str]:
    """跑过的笔记本里各张图的说明：{图的散列，也就是书页里的文件名: 图注或替代文字}。"""
    texts = {}
    for path in executed.rglob("*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", []):
                if text := output.get("metadata", {}).get("image/png", {}).get("alt"):
                    data = base64.b64decode("".join(output["data"]["image/png"]))
                    texts[hashlib.sha256(data).hexdigest()] = text
    return texts


def least_widths(folder: Path) -> dict[str, int]:
    """{文件名: 字还看得清时的宽度}：只有宽图；每英寸几个像素写在 PNG 里。"""
    from cnnlab.show.frames import PIXELS, least_width
    from PIL import Image

    widths = {}
    for path in folder.glob("*.png"):
        with Image.open(path) as picture:
            per_inch = picture.info.get("dpi", (PIXELS,))[0]
            widths[path.name] = least_width(picture.width, per_inch)
    return {name: width for name, width in widths.items() if width}


def with_texts(page: str, texts: dict[str, str], widths: dict[str, int]) -> str:
    """没有替代文字的图用它的说明；图下面另放一行，只在窄屏上显示。宽图放在能左右拖的框里。"""

    def told(found):
        alt, rest, file, name = found.groups()
        written = "" if "_images/" in alt else alt
        text = html.escape(texts.get(name, "")) or written
        alt = written or text or "这一格画出的图"
        below = f'<p class="cnnlab-picture-text" aria-hidden="true">{text}</p>' if text else ""
        if file not in widths:
            return f'<img alt="{alt}" {rest}/>{below}'
        style = f'style="min-width: {widths[file]}px"'
        return f'<div class="output cnnlab-wide"><img alt="{alt}" {rest}{style} /></div>{below}'

    return _PICTURE.sub(told, page)


def to_webp(path: Path) -> Path:
    """一张 PNG 换成 WebP，返回新文件；原来的删掉。"""
    from PIL import Image

    smaller = path.with_suffix(".webp")
    with Image.open(path) as picture:
        picture.convert("RGB").save(smaller, quality=88, method=6)
    path.unlink()
    return smaller


def finish(app, error):
    """全部网页写完之后改写它们。"""
    if error or app.builder.format != "html":
        return
    folder = Path(app.outdir)
    widths = least_widths(folder / "_images")
    large = [path for path in folder.glob("_images/*.png") if path.stat().st_size > LARGEST]
    renamed = {path.name: to_webp(path).name for path in large}
    texts = picture_texts(folder.parent / "jupyter_execute")
    for path in folder.rglob("*.html"):
        before = path.read_text(encoding="utf-8")
        page = with_texts(before, texts, widths)
        for old, new in renamed.items():
            page = page.replace(old, new)
        page = in_chinese(page)
        if page != before:
            path.write_text(page, encoding="utf-8")


def is_placeholder(address: str) -> bool:
    """仓库的地址还没有定。"""
    return not address or "/OWNER/" in address


def hide_buttons(app, config):
    """地址没定时，通向仓库和 Colab 的按钮都不画；定了就有提问的按钮。"""
    options = config.html_theme_options
    known = not is_placeholder(options.get("repository_url", ""))
    options["use_repository_button"] = options["use_issues_button"] = known
    if not known:
        options["launch_buttons"] = {}
        options["repository_url"] = ""


def setup(app):
    """登记两处：读完设置，和建完网页。"""
    app.connect("config-inited", hide_buttons)
    app.connect("build-finished", finish, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
