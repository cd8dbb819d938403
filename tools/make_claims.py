"""由 cnnlab/data/claims.csv 写出 book/claims.md：python tools/make_claims.py

说法的文字、判定、论文都在那个文件里；各章量出的数由 book/_ext/claims_page.py 在建书时填进来。
"""

from collections import Counter
from itertools import groupby
from pathlib import Path

from make_errata import chapters, markdown_of, title_of

from cnnlab.core.command_line import Parser
from cnnlab.show.claims import VERDICTS, claim_texts

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "book" / "claims.md"
HEAD = """# 说法与实测

讲义的说法都在某一章里做过实验，离线量不了的注明。这里按章列出全部 {total} 条：{counts}。
“测得”一栏的数来自建这本书时各章的运行，点“实验”回到那一格。编号带字母的，是后面的章对同一条的复查。网页上可以按判定和按字筛选。
"""
TABLE = "| 编号 | 讲义说 | 判定 | 测得、对照与样本 |\n| --- | --- | --- | --- |"


def row_text(row: dict[str, str]) -> str:
    """表的一行。"""
    names, keys = filter(None, row["source"].split("；")), row["papers"].split()
    papers = "；".join(
        f"[{name}](references.md#{key})" for name, key in zip(names, keys, strict=True)
    )
    verdict = f"{row['verdict']} {VERDICTS[row['verdict']]}" + (f"（{papers}）" if papers else "")
    measured = (
        row["pending"] or f'<span class="cnnlab-measured" data-number="{row["number"]}"></span>'
    )
    return f'| <span id="row-{row["number"]}">{row["number"]}</span> | {row["claim"]} | {verdict} | {measured} |'


def page_text() -> str:
    """整页的 Markdown。"""
    found = list(claim_texts().values())
    signs = Counter(row["verdict"] for row in found)
    counts = "，".join(f"{sign} {name} {signs[sign]} 条" for sign, name in VERDICTS.items())
    order = {slug: place for place, slug in enumerate(chapters())}
    parts = [HEAD.format(total=len(found), counts=counts)]
    for slug, group in groupby(
        sorted(found, key=lambda row: order[row["chapter"]]), key=lambda row: row["chapter"]
    ):
        title = title_of(markdown_of(ROOT / "book" / f"{slug}.ipynb"))
        lines = "\n".join(row_text(row) for row in group)
        parts.append(f"## {title}\n\n见[《{title}》]({slug}.ipynb)。\n\n{TABLE}\n{lines}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    Parser(__doc__).parse_args()
    PAGE.write_text(page_text(), encoding="utf-8")
    print(f"写出 {PAGE.relative_to(ROOT)}")
