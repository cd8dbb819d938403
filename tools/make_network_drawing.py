"""画出本书的网络 SqueezeNet 1.1：各层的名字、大小、通道、感受野，下面拆开一个 Fire 模块。

大小和感受野都从网络里量出，写成 book/images/squeezenet.svg；白底的卡片，亮色、暗色的页面上都看得清。
用法：python tools/make_network_drawing.py
"""

from pathlib import Path

import torch

from cnnlab import activations_of, load_model, receptive_field
from cnnlab.core.command_line import Parser

PICTURE = Path(__file__).resolve().parent.parent / "book" / "images" / "squeezenet.svg"

STYLE = """
text { font-family: "Noto Sans CJK SC", "Noto Sans SC", "PingFang SC", "Microsoft YaHei", sans-serif;
  font-size: 15px; fill: #222 }
.code { font-family: "DejaVu Sans Mono", Menlo, Consolas, "Noto Sans Mono CJK SC", monospace; font-size: 14px }
.head { font-weight: 600 }
.note { fill: #666; font-size: 13.5px }
.line { stroke: #888; fill: none; stroke-width: 1.3 }
.arrow { fill: #888 }
.rule { stroke: #ccc }
.conv { fill: #0072B2 } .pool { fill: #b8b8b8 } .fire { fill: #D55E00 } .image { fill: #009E73 }
.box { fill: none; stroke-width: 1.6; rx: 5px }
.box.conv { fill: none; stroke: #0072B2 } .box.relu { stroke: #b8b8b8 } .box.fire { fill: none; stroke: #D55E00 }
"""

# 自上而下的各行：名字、颜色、做什么
ROWS = (
    ("conv1", "conv", "3×3 卷积，步幅 2，ReLU"),
    ("pool1", "pool", "最大池化，步幅 2"),
    ("fire2", "fire", ""),
    ("fire3", "fire", ""),
    ("pool3", "pool", "最大池化，步幅 2"),
    ("fire4", "fire", "下面拆开的就是它"),
    ("fire5", "fire", ""),
    ("pool5", "pool", "最大池化，步幅 2"),
    ("fire6", "fire", ""),
    ("fire7", "fire", ""),
    ("fire8", "fire", ""),
    ("fire9", "fire", ""),
    ("conv10", "conv", "1×1 卷积，ReLU"),
)
WIDE, HIGH = 600, 1122  # 缩到手机那么宽，最小的字还有 8 像素高
TOP, STEP, CENTRE = 92, 34, 132


def text(x, y, words, kind="", anchor="start") -> str:
    return f'<text x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}">{words}</text>'


def arrow(x, y, x2, y2) -> str:
    """从 (x, y) 到 (x2, y2) 的箭头，头朝下。"""
    head = f'<path class="arrow" d="M{x2 - 4} {y2 - 7} L{x2 + 4} {y2 - 7} L{x2} {y2} Z"/>'
    return f'<path class="line" d="M{x} {y} L{x2} {y2 - 6}"/>{head}'


def stack(model) -> list[str]:
    """上半：一层一行，色条的长短是一张激活图的边长。"""
    names = [name for name, _, _ in ROWS]
    sizes = activations_of(model, torch.zeros(1, 3, 224, 224), names)
    parts = [
        text(20, 62, "层", "head"),
        text(CENTRE, 62, "激活图有多大", "head", "middle"),
        text(222, 62, "通道×高×宽", "head"),
        text(330, 62, "感受野", "head"),
        '<line class="rule" x1="14" y1="72" x2="560" y2="72"/>',
    ]
    lines = [("照片", "image", "红、绿、蓝", "3×224×224", "1")]
    for name, kind, what in ROWS:
        shape = "×".join(str(length) for length in sizes[name].shape[1:])
        lines.append((name, kind, what, shape, str(receptive_field(model, name).size)))
    for row, (name, kind, what, shape, field) in enumerate(lines):
        y, side = TOP + row * STEP, int(shape.rsplit("×", 1)[1]) * 0.5
        parts += [
            text(20, y + 5, name, "code"),
            f'<rect class="{kind}" x="{CENTRE - side / 2}" y="{y - 8}" width="{side}" height="16" rx="2"/>',
            text(222, y + 5, shape, "code"),
            text(330, y + 5, field, "code"),
            text(384, y + 5, what, "note"),
        ]
    y = TOP + len(lines) * STEP
    parts += [
        text(20, y + 5, "全图平均", ""),
        text(222, y + 5, "1000", "code"),
        text(384, y + 5, "得分；再经 softmax 成概率", "note"),
    ]
    return parts


def box(x, y, wide, kind, words, note) -> str:
    corner = f'x="{x - wide / 2}" y="{y}" width="{wide}" height="48" rx="5"'
    label = text(x, y + 21, words, "code", "middle") + text(x, y + 39, note, "note", "middle")
    return f'<rect class="box {kind}" {corner}/>{label}'


def fire(model, name="fire4") -> list[str]:
    """下半：一个 Fire 模块，先压缩，再分两路展开，按通道接起来。"""
    squeeze, one, three = (
        model.layers[f"{name}/{part}"].weight.shape
        for part in ("squeeze1x1", "expand1x1", "expand3x3")
    )
    middle, left, right = 742, 662, 824
    return [
        '<rect class="box fire" x="580" y="42" width="326" height="400" rx="10"/>',
        text(middle, 68, f"一个 Fire 模块：{name}", "head", "middle"),
        text(middle, 96, f"前一层的 {squeeze[1]} 个通道", "note", "middle"),
        arrow(middle, 102, middle, 126),
        box(middle, 126, 170, "conv", "squeeze1x1", f"{squeeze[0]} 个 1×1 核，ReLU"),
        arrow(middle, 174, left, 218),
        arrow(middle, 174, right, 218),
        box(left, 218, 152, "conv", "expand1x1", f"{one[0]} 个 1×1 核，ReLU"),
        box(right, 218, 152, "conv", "expand3x3", f"{three[0]} 个 3×3 核，ReLU"),
        arrow(left, 266, middle - 30, 318),
        arrow(right, 266, middle + 30, 318),
        box(middle, 318, 200, "relu", "concat", f"接起来：{one[0]} + {three[0]} 个通道"),
        arrow(middle, 366, middle, 394),
        text(middle, 414, f"输出 {one[0] + three[0]} 个通道", "note", "middle"),
        text(middle, 432, f"前 {one[0]} 个来自 1×1，后 {three[0]} 个来自 3×3", "note", "middle"),
        text(582, 474, "压缩：把许多通道按权重混成少数几个，省计算。", "note"),
        text(582, 498, "展开：一路只混通道，一路还看周围 3×3 格。", "note"),
        text(582, 522, "感受野：这一层的一个神经元看得到照片上", "note"),
        text(582, 546, "多少像素见方的一块。", "note"),
    ]


def drawing() -> str:
    model = load_model()
    module = "\n".join(fire(model))
    body = "\n".join([*stack(model), '<g transform="translate(-442 558)">', module, "</g>"])
    heading = text(20, 28, "SqueezeNet 1.1：一张 224×224 的照片从上往下走", "head")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {HIGH}" role="img">\n'
        f"<title>SqueezeNet 1.1 的各层</title>\n<style>{STYLE}</style>\n"
        f'<rect width="{WIDE}" height="{HIGH}" rx="12" fill="white"/>\n'
        f"{heading}\n{body}\n</svg>\n"
    )


if __name__ == "__main__":
    Parser(__doc__).parse_args()
    PICTURE.write_text(drawing(), encoding="utf-8")
    print(f"写好了 {PICTURE}")
