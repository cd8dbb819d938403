"""画出练习检查用的四个记号的小字体：python tools/make_marks_font.py

写出 book/_static/marks.ttf（⬜ ✅ ❌ ⚠）；没有表情符号字体的系统上，书页里也不会出现缺字的方框。
"""

from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

from cnnlab.core.command_line import Parser

TARGET = Path(__file__).resolve().parent.parent / "book" / "_static" / "marks.ttf"
SQUARE = [(80, -60), (80, 780), (920, 780), (920, -60)]
# 记号 → 轮廓；顺时针是填实的，逆时针是挖空的
SHAPES = {
    "⬜": [SQUARE, [(160, 20), (840, 20), (840, 700), (160, 700)]],
    "✅": [SQUARE, [(240, 330), (330, 420), (430, 310), (690, 600), (780, 510), (430, 130)][::-1]],
    "❌": [
        [
            *[(100, 30), (430, 360), (100, 690), (190, 780), (520, 450), (850, 780)],
            *[(940, 690), (610, 360), (940, 30), (850, -60), (520, 270), (190, -60)],
        ]
    ],
    "⚠": [
        [(40, -60), (500, 800), (960, -60)],
        [(455, 180), (545, 180), (560, 520), (440, 520)],
        [(450, 40), (550, 40), (550, 130), (450, 130)],
    ],
}


def outline(contours):
    """由若干闭合折线得到一个字形。"""
    pen = TTGlyphPen(None)
    for points in contours:
        pen.moveTo(points[0])
        for point in points[1:]:
            pen.lineTo(point)
        pen.closePath()
    return pen.glyph()


def build():
    """四个记号的字体，外加必有的 .notdef。"""
    names = [".notdef", *(f"uni{ord(mark):04X}" for mark in SHAPES)]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(mark): f"uni{ord(mark):04X}" for mark in SHAPES})
    glyphs = {f"uni{ord(mark):04X}": outline(contours) for mark, contours in SHAPES.items()}
    builder.setupGlyf({".notdef": outline([]), **glyphs})
    builder.setupHorizontalMetrics(dict.fromkeys(names, (1000, 0)))
    builder.setupHorizontalHeader(ascent=880, descent=-120)
    builder.setupNameTable({"familyName": "cnnlab marks", "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=880, sTypoDescender=-120, usWinAscent=880, usWinDescent=120)
    builder.setupPost()
    # 时间固定，同样的源码得到同样的文件
    builder.font["head"].created = builder.font["head"].modified = 0
    builder.font.recalcTimestamp = False
    return builder


if __name__ == "__main__":
    Parser(__doc__).parse_args()
    build().save(TARGET)
    print(f"写出 {TARGET.name}，{TARGET.stat().st_size} 字节")
