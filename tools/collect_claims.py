"""由各章运行出来的结果写出“说法与实测”一页：python tools/collect_claims.py 输出.md [笔记本或文件夹 …]

默认读建书时留下的运行结果（_build/.jupyter_cache）；也可以给运行过的 .ipynb，或记录下来的 .jsonl。
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "_build" / ".jupyter_cache"
KEY = "cnnlab_claims"
COLUMNS = {
    "number": "编号",
    "claim": "讲义说",
    "measured": "测得",
    "control": "对照",
    "n": "N",
    "verdict": "判定",
}
HEAD = """# 说法与实测

讲义的每一个说法，各章量出的数，和它的对照。判定：✔ 说得对，◐ 不确切，✘ 说错了，ⓘ 定义或步骤。
这一页由 `tools/collect_claims.py` 从各章的运行结果写出。
"""


def claims_of(path: Path) -> list[dict]:
    """一个运行过的笔记本或一个 .jsonl 文件里的全部说法。"""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    outputs = [output for cell in json.loads(text)["cells"] for output in cell.get("outputs", [])]
    return [claim for output in outputs for claim in output.get("metadata", {}).get(KEY, [])]


def files_in(paths: list[Path]) -> list[Path]:
    """这些路径之下的笔记本和 .jsonl，旧的在前：同一编号以新的为准。"""
    found = []
    for path in paths:
        found += [path] if path.is_file() else [*path.rglob("*.ipynb"), *path.rglob("*.jsonl")]
    return sorted(found, key=lambda path: path.stat().st_mtime)


def order_of(number: str) -> tuple:
    """按编号里的数排，其次按字母。"""
    digits = re.match(r"\d+", number)
    return (int(digits.group()) if digits else 10**6, number)


def page_text(claims: list[dict]) -> str:
    """整页的 Markdown：一张表，按编号排好。"""
    latest = {claim["number"]: claim for claim in claims}
    lines = ["| " + " | ".join(COLUMNS.values()) + " |", "|" + " --- |" * len(COLUMNS)]
    for number in sorted(latest, key=order_of):
        cells = [latest[number].get(key, "").replace("|", "\\|") or "–" for key in COLUMNS]
        lines.append("| " + " | ".join(cells) + " |")
    return HEAD + "\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sources = [Path(name) for name in sys.argv[2:]] or [CACHE]
    gathered = [claim for path in files_in(sources) for claim in claims_of(path)]
    if not gathered:
        sys.exit("没有找到说法：先用 make book 运行各章")
    Path(sys.argv[1]).write_text(page_text(gathered), encoding="utf-8")
