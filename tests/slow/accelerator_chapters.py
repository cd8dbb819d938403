"""在假想的加速器 sim 上从头到尾跑几章：python tests/slow/accelerator_chapters.py [名字 …]

不给名字时是全部的章、解答、填上解答的小项目和考试的解答（名字写成 solutions/saliency、projects/dream、
solutions/exam/ten_claims）。每一章一个内核，启动时登记 sim；出错的格记下来，接着跑。
最后是一张表：每章的秒数；随包的网络有几次在 sim、几次在 CPU 上算；一切卷积和矩阵乘法又各有几次（手写的、检查里的
小网络、画图的小计算可以在 CPU 上）。有一格报错、网络不在 sim 上、或有一次在 CPU 上算，就以 1 退出。
"""

import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tools"))
from make_project_pictures import answered  # noqa: E402

STARTUP = """import sys
sys.path[:0] = [{root!r}, {tests!r}]
import simulated_accelerator
simulated_accelerator.start(float64={float64})
simulated_accelerator.count_networks()
"""
# 解答、小项目本身不定设备；练习是在各章里做的，那里已经定过
PREPARE = "from cnnlab import run_profile; run_profile()"
REPORT = """import simulated_accelerator as _sim, cnnlab.core.profiles as _profiles
print(_profiles.default_device().type, *_sim.COUNTS.values())"""
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
HEAD = ("章", "秒", "设备", "网络在 sim", "网络在 CPU", "算在 sim", "算在 CPU", "出错的格")


def startup_folder(float64: bool) -> str:
    """一个 IPython 的设置目录：内核一启动就登记 sim。"""
    folder = Path(tempfile.mkdtemp())
    scripts = folder / "profile_default" / "startup"
    scripts.mkdir(parents=True)
    text = STARTUP.format(root=str(ROOT), tests=str(ROOT / "tests"), float64=float64)
    (scripts / "00_sim.py").write_text(text, encoding="utf-8")
    return str(folder)


def run(path: Path) -> dict:
    """跑一本笔记本：秒数、设备、各处算了几次、出错的格。"""
    project = path.parent == ROOT / "book/projects"
    notebook = answered(path.stem) if project else nbformat.read(path, as_version=4)
    if path.parent.name != "book":
        notebook.cells.insert(0, nbformat.v4.new_code_cell(PREPARE))
    notebook.cells.append(nbformat.v4.new_code_cell(REPORT))
    began = time.monotonic()
    place = {"metadata": {"path": path.parent}}
    NotebookClient(
        notebook, timeout=1800, kernel_name="python3", resources=place, allow_errors=True
    ).execute()
    printed = "".join(output.get("text", "") for output in notebook.cells[-1].outputs).split()
    device, *counts = printed or ["（没有）", "0", "0", "0", "0"]
    faults = [
        f"第 {number} 格 {output.ename}: {ESCAPES.sub('', output.evalue)[:600]}"
        for number, cell in enumerate(notebook.cells)
        for output in cell.get("outputs", [])
        if output.output_type == "error"
    ]
    seconds = round(time.monotonic() - began)
    sim, there = int(counts[2]), int(counts[3])
    if device != "sim" or there or (path.parent.name == "book" and sim == 0):
        faults.append(f"网络在 {device} 上；它们有 {sim} 次在 sim、{there} 次在 CPU 上算")
    return {"seconds": seconds, "device": device, "counts": counts, "faults": faults}


def row(name: str, found: dict) -> str:
    heavy, heavy_there, networks, networks_there = found["counts"]
    cells = (name, found["seconds"], found["device"], networks, networks_there, heavy, heavy_there)
    return "| " + " | ".join(map(str, [*cells, len(found["faults"])])) + " |"


def main(arguments: list[str]) -> int:
    names = [name for name in arguments if not name.startswith("--")]
    book = ROOT / "book"
    paths = [book / f"{name}.ipynb" for name in names]
    if not paths:
        folders = (book, book / "solutions", book / "projects", book / "solutions/exam")
        paths = [path for folder in folders for path in sorted(folder.glob("*.ipynb"))]
    os.environ["IPYTHONDIR"] = startup_folder("--no-float64" not in arguments)
    os.environ |= {"CNNLAB_PROFILE": "quick", "CNNLAB_BARS": "0"}
    table = []
    for path in paths:
        name = str(path.relative_to(book).with_suffix(""))
        found = run(path)
        table.append((name, found))
        state = "没有一格报错" if not found["faults"] else "\n  ".join(["", *found["faults"]])
        print(f"{name}：{found['seconds']} 秒，网络在 {found['device']} 上，{state}", flush=True)
    print("| " + " | ".join(HEAD) + " |\n" + "| --- " * len(HEAD) + "|")
    print("\n".join(row(name, found) for name, found in table))
    return int(any(found["faults"] for _, found in table))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
