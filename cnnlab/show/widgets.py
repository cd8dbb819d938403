"""滑块：一个单元格的输出，有内核时是控件，静态书页里是预先算好的几帧。

不管每帧怎样画：由 draw 决定。不依赖 torch，也不从别处取任何脚本。
"""

import base64
import hashlib
import html
import io
import itertools
import json

from matplotlib import pyplot as plt
from PIL import Image

from cnnlab.show.figures import use_style

MOST_FRAMES = 9
MOST_BYTES = 36_000
WIDEST = 900  # 像素，书页的宽度
PIXELS = 100  # 每英寸

_numbers = itertools.count(1)

_PAGE = """<div class="cnnlab-frames" id="{name}" style="max-width: 100%">
<label style="display: flex; gap: 0.8em; align-items: center; margin: 0.4em 0; flex-wrap: wrap">
<span>{label}</span>
<input type="range" min="0" max="{last}" step="1" value="{start}" aria-label="{label}"
 aria-valuetext="{text}" style="flex: 1 1 12em; max-width: 24em">
<output style="min-width: 5em">{text}</output></label>
<img src="{source}" alt="{alt}" width="{width}" height="{height}" style="max-width: 100%; height: auto">
<script>(() => {{
const box = document.getElementById("{name}"), frames = {frames};
const input = box.querySelector("input"), output = box.querySelector("output");
const picture = box.querySelector("img");
const show = () => {{
  const frame = frames[Number(input.value)];
  picture.src = frame.source; picture.alt = frame.alt;
  output.value = frame.text; input.setAttribute("aria-valuetext", frame.text);
}};
input.addEventListener("input", show); input.addEventListener("change", show); show();
}})();</script></div>"""


class Explorer:
    """explore 的结果：frames 是每帧的文字、替代文字与图；显示时兼有控件与静态滑块。"""

    def __init__(self, label: str, frames: list[dict], size: tuple[int, int], start: int):
        self.label, self.frames, self.size, self.start = label, frames, size, start
        self._widget = None

    def __repr__(self) -> str:
        texts = "、".join(frame["text"] for frame in self.frames)
        return f"滑块“{self.label}”：{texts}"

    @property
    def widget(self):
        """ipywidgets 的滑块与图；第一次用到时才建。"""
        if self._widget is None:
            self._widget = _live(self.label, self.frames, self.start)
        return self._widget

    def _repr_html_(self) -> str:
        frame = self.frames[self.start]
        # "</" 在脚本里会被当作脚本的结尾
        frames = json.dumps(self.frames, ensure_ascii=False).replace("</", "<\\/")
        digest = hashlib.sha1((self.label + frames).encode()).hexdigest()[:10]
        return _PAGE.format(
            name=f"cnnlab-frames-{digest}-{next(_numbers)}",
            label=html.escape(self.label),
            text=html.escape(frame["text"]),
            alt=html.escape(frame["alt"]),
            source=frame["source"],
            frames=frames,
            start=self.start,
            last=len(self.frames) - 1,
            width=self.size[0],
            height=self.size[1],
        )

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
        return {
            "text/plain": repr(self),
            "text/html": self._repr_html_(),
            "application/vnd.jupyter.widget-view+json": view,
        }


def explore(draw, label: str, values, *, start: int = 0, alt=None) -> Explorer:
    """用滑块在 values 中选一个值，看 draw(value) 画出的图；每个值只画一次。

    draw 用 matplotlib 画图，返回图或坐标轴，或画在当前图上；不要调用 plt.show。
    values：2 到 9 个文字或数；start 是起始的序号；
    alt 是每帧的替代文字：alt(value) 或与 values 一样长的列表，默认“label：值”。
    """
    values = list(values)
    if not 2 <= len(values) <= MOST_FRAMES:
        raise ValueError(
            f"滑块要有 2 到 {MOST_FRAMES} 个值，得到 {len(values)} 个：挑出最说明问题的几个"
        )
    if not 0 <= start < len(values):
        raise ValueError(f"start 是起始值的序号，要在 0 到 {len(values) - 1} 之间，得到 {start}")
    texts = [str(value) for value in values]
    alts = _alts(alt, label, values, texts)
    pictures = _one_size([_render(draw, value) for value in values])
    sources, size = _encode(pictures)
    frames = [
        {"text": text, "alt": words, "source": source}
        for text, words, source in zip(texts, alts, sources, strict=True)
    ]
    return Explorer(label, frames, size, start)


def _alts(alt, label: str, values: list, texts: list[str]) -> list[str]:
    if alt is None:
        return [f"{label}：{text}" for text in texts]
    words = [str(alt(value)) for value in values] if callable(alt) else [str(one) for one in alt]
    if len(words) != len(values) or not all(words):
        raise ValueError(f"每个值都要有一句替代文字：值 {len(values)} 个，文字 {len(words)} 个")
    return words


def _render(draw, value) -> Image.Image:
    """draw(value) 画出的图；画完关掉它新开的所有图，留下原来就开着的。"""
    use_style()
    before = set(plt.get_fignums())
    try:
        with plt.ioff():
            blank = plt.figure()  # 画在“当前图”上的 draw 不会画到别人的图里
            drawn = draw(value)
        figure = drawn if hasattr(drawn, "savefig") else getattr(drawn, "figure", None)
        if figure is None:
            newest = plt.figure(max(set(plt.get_fignums()) - before))
            figure = newest if newest.axes else blank
        if not figure.axes:
            raise ValueError(f"draw({value!r}) 没有画出图：返回图或坐标轴，或用 plt 画一张新图")
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=PIXELS, bbox_inches="tight")
        return Image.open(file).convert("RGB")
    finally:
        for number in set(plt.get_fignums()) - before:
            plt.close(number)


def _one_size(pictures: list[Image.Image]) -> list[Image.Image]:
    """补白到同一大小，拖动时图不跳；再缩到不宽于书页。"""
    width = max(picture.width for picture in pictures)
    height = max(picture.height for picture in pictures)
    shrink = min(1.0, WIDEST / width)
    sheets = []
    for picture in pictures:
        sheet = Image.new("RGB", (width, height), "white")
        sheet.paste(picture, ((width - picture.width) // 2, (height - picture.height) // 2))
        sheets.append(_resized(sheet, shrink))
    return sheets


def _resized(picture: Image.Image, factor: float) -> Image.Image:
    if factor == 1:
        return picture
    size = (round(picture.width * factor), round(picture.height * factor))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _encode(pictures: list[Image.Image]) -> tuple[list[str], tuple[int, int]]:
    """WebP 数据 URI；先降画质，还太大就一起缩小。"""
    factor = 1.0
    while True:
        sheets = [_resized(picture, factor) for picture in pictures]
        codes = [_webp(sheet) for sheet in sheets]
        if max(map(len, codes)) <= MOST_BYTES or sheets[0].width < 200:
            sources = [
                "data:image/webp;base64," + base64.b64encode(code).decode() for code in codes
            ]
            return sources, sheets[0].size
        factor *= 0.85


def _webp(picture: Image.Image) -> bytes:
    for quality in (85, 72, 60, 48):
        file = io.BytesIO()
        picture.save(file, format="webp", quality=quality, method=4)
        if file.tell() <= MOST_BYTES:
            break
    return file.getvalue()


def _live(label: str, frames: list[dict], start: int):
    """有内核时的控件：滑块换图，图仍是预先画好的那几帧。"""
    import ipywidgets

    slider = ipywidgets.SelectionSlider(
        options=[(frame["text"], order) for order, frame in enumerate(frames)],
        value=start,
        description=label,
        style={"description_width": "initial"},
        layout={"width": "auto", "max_width": "34em"},
    )
    picture = ipywidgets.HTML(_tag(frames[start]))

    def show(change) -> None:
        picture.value = _tag(frames[change["new"]])

    slider.observe(show, names="value")
    return ipywidgets.VBox([slider, picture])


def _tag(frame: dict) -> str:
    return (
        f'<img src="{frame["source"]}" alt="{html.escape(frame["alt"])}" style="max-width: 100%">'
    )
