"""画好的几帧：把图画成位图、补成一样大、压成小的 WebP，以及没有内核时那份会动的 HTML。

不管帧里画什么。不依赖 torch，也不从别处取任何脚本。
"""

import base64
import html
import io
import json
from collections.abc import Sequence

from matplotlib import pyplot as plt
from PIL import Image, ImageOps

from cnnlab.show.figures import MARGIN, PHONE, WIDTH, use_style

MOST_BYTES = 36_000
WIDEST = 900  # 像素，书页的宽度
PIXELS = 100  # 每英寸

# body.jp-Notebook 是导出的网页：那里没有内核，总是用静态的。
# 连着内核的面板在场时静态的一份藏起来；断了线的（存过状态的笔记本重新打开）藏的是面板。
_STYLE = """<style>
html:not(:has(> body.jp-Notebook)):has(.{name}-live:not(.jupyter-widgets-disconnected)) #{name},
body.jp-Notebook .{name}-live, .{name}-live.jupyter-widgets-disconnected,
.jp-OutputArea-child:has(#{name}) + .jp-OutputArea-child:not(:has(.{name}-live)) {{ display: none; }}
</style>"""

_PAGE = """<div class="cnnlab-frames" id="{name}" style="max-width: 100%">{style}
<div style="overflow-x: auto"><img src="{source}" alt="{alt}" width="{width}" height="{height}"
style="max-width: 100%; min-width: {least}px; height: auto"></div>
<script>(() => {{
const box = document.getElementById("{name}"), picture = box.querySelector("img"), holder = picture.parentElement;
const {{ frames, axes }} = {data};
const show = () => {{
  const at = {{}};
  for (const input of box.querySelectorAll("input")) {{
    at[input.name] = axes[input.name][Number(input.value)];
    input.nextElementSibling.value = at[input.name];
    input.setAttribute("aria-valuetext", at[input.name]);
  }}
  const frame = frames.find((one) => Object.keys(at).every((axis) => one.at[axis] === at[axis]));
  picture.src = frame.source;
  picture.alt = frame.alt;
  holder.tabIndex = holder.scrollWidth > holder.clientWidth ? 0 : -1;
}};
for (const [axis, values] of Object.entries(axes)) {{
  const label = document.createElement("label"), input = document.createElement("input");
  label.style = "display: flex; gap: 0.8em; align-items: center; margin: 0.4em 0; flex-wrap: wrap";
  const text = document.createElement("span"), output = document.createElement("output");
  text.textContent = axis;
  output.style = "min-width: 4em";
  Object.assign(input, {{ type: "range", min: 0, max: values.length - 1, step: 1, name: axis, oninput: show }});
  input.value = values.indexOf(frames[{start}].at[axis]);
  input.style = "flex: 1 1 8em; max-width: 24em; touch-action: pan-y";
  input.setAttribute("aria-label", axis);
  label.append(text, input, output);
  box.insertBefore(label, holder);
}}
box.addEventListener("keydown", (event) => event.stopPropagation());
show();
}})();</script></div>"""


def static_page(
    name: str, frames: list[dict], size: tuple[int, int], least: int, start: int
) -> str:
    """几帧图的 HTML：每根轴一个滑块，由脚本加上；脚本不运行的地方只有起始的一帧。

    `frames` 的每一帧是 {"at": {轴: 文字}, "alt": 替代文字, "source": 数据 URI}；图不窄于 least 像素，窄屏上左右拖。
    """
    names = frames[0]["at"]
    axes = {axis: list(dict.fromkeys(frame["at"][axis] for frame in frames)) for axis in names}
    # "</" 在脚本里会被当作脚本的结尾
    data = json.dumps({"frames": frames, "axes": axes}, ensure_ascii=False).replace("</", "<\\/")
    first = frames[start]
    return _PAGE.format(
        name=name,
        style=_STYLE.format(name=name),
        source=first["source"],
        alt=html.escape(first["alt"]),
        width=size[0],
        height=size[1],
        least=least,
        data=data,
        start=start,
    )


def least_width(pixels: int, per_inch: float) -> int:
    """一张图缩到多宽，里面的字还看得清；缩到手机那么宽也看得清的图是 0。"""
    least = round(PHONE * pixels / per_inch / (WIDTH + 2 * MARGIN))
    return least if least > PHONE + 2 else 0  # 裁边的舍入可以多出一两个像素


def picture_tag(source: str, alt: str) -> str:
    """一张图的 HTML。"""
    return f'<img src="{source}" alt="{html.escape(alt)}" style="max-width: 100%">'


def data_uri(picture: Image.Image) -> str:
    """一张图的 WebP 数据 URI。"""
    return webp_uri(webp(picture.convert("RGB")))


def webp_uri(code: bytes) -> str:
    """一段 WebP 的数据 URI。"""
    return "data:image/webp;base64," + base64.b64encode(code).decode()


def render(draw, value) -> Image.Image:
    """draw(value) 画出的图；画完关掉它新开的所有图，留下原来就开着的。"""
    use_style()
    before = set(plt.get_fignums())
    try:
        with plt.ioff():
            blank = plt.figure()  # 画在“当前图”上的 draw 不会画到别人的图里
            drawn = draw(value)
        figure = getattr(drawn, "figure", None)
        if figure is None:
            newest = plt.figure(max(set(plt.get_fignums()) - before))
            figure = newest if newest.axes else blank
        if not figure.axes:
            raise ValueError(f"draw({value!r}) 没有画出图：返回图或坐标轴，或用 plt 画一张新图")
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=PIXELS, bbox_inches="tight")
        plt.close(figure)  # 函数画好了交来的，也关上
        return Image.open(file).convert("RGB")
    finally:
        for number in set(plt.get_fignums()) - before:
            plt.close(number)


def one_size(pictures: Sequence[Image.Image]) -> list[Image.Image]:
    """补白到同一大小，拖动时图不跳；再缩到不宽于书页。"""
    width = max(picture.width for picture in pictures)
    height = max(picture.height for picture in pictures)
    shrink = min(1.0, WIDEST / width)
    sheets = []
    for picture in pictures:
        sheet = Image.new("RGB", (width, height), "white")
        sheet.paste(picture, ((width - picture.width) // 2, (height - picture.height) // 2))
        sheets.append(ImageOps.scale(sheet, shrink, Image.Resampling.LANCZOS))
    return sheets


def encode(pictures: list[Image.Image]) -> tuple[list[str], tuple[int, int]]:
    """WebP 数据 URI；先降画质，还太大就一起缩小。"""
    factor = 1.0
    while True:
        sheets = [ImageOps.scale(one, factor, Image.Resampling.LANCZOS) for one in pictures]
        codes = [webp(sheet) for sheet in sheets]
        if max(map(len, codes)) <= MOST_BYTES or sheets[0].width < 200:
            return [webp_uri(code) for code in codes], sheets[0].size
        factor *= 0.85


def webp(picture: Image.Image) -> bytes:
    """一张图的 WebP；太大就降画质。"""
    for quality in (85, 72, 60, 48):
        file = io.BytesIO()
        picture.save(file, format="webp", quality=quality, method=4)
        if file.tell() <= MOST_BYTES:
            break
    return file.getvalue()
