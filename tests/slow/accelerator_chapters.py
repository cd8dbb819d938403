"""在假想的加速器 sim 上从头到尾跑几章：python tests/slow/accelerator_chapters.py [名字 …]

不给名字时是全部的章和解答（名字写成 solutions/saliency）。每一章一个内核，启动时登记 sim；打印每章的秒数、
在 sim 与在 CPU 上各算了多少次卷积和矩阵乘法。有一格报错、或网络不在 sim 上，就以 1 退出。
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parents[2]
STARTUP = """import sys
sys.path[:0] = [{root!r}, {tests!r}]
import simulated_accelerator
simulated_accelerator.start(float64={float64})
"""
REPORT = """import simulated_accelerator as _sim, cnnlab.core.profiles as _profiles
print(_profiles.default_device().type, *_sim.COUNTS.values())"""


def startup_folder(float64: bool) -> str:
    """一个 IPython 的设置目录：内核一启动就登记 sim。"""
    folder = Path(tempfile.mkdtemp())
    scripts = folder / "profile_default" / "startup"
    scripts.mkdir(parents=True)
    text = STARTUP.format(root=str(ROOT), tests=str(ROOT / "tests"), float64=float64)
    (scripts / "00_sim.py").write_text(text, encoding="utf-8")
    return str(folder)


def run(path: Path) -> str:
    """跑一本笔记本；报错是一段话，没有错是空串。"""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(REPORT))
    began = time.monotonic()
    client = NotebookClient(
        notebook, timeout=1800, kernel_name="python3", resources={"metadata": {"path": path.parent}}
    )
    try:
        client.execute()
    except CellExecutionError as error:
        return str(error)[:600] + "\n……\n" + str(error)[-300:]
    device, here, there = "".join(
        output.get("text", "") for output in notebook.cells[-1].outputs
    ).split()
    seconds = time.monotonic() - began
    name = path.relative_to(ROOT / "book").with_suffix("")
    print(
        f"{name}：{seconds:.0f} 秒，网络在 {device} 上，卷积和矩阵乘法 {here} 次在 sim、{there} 次在 CPU",
        flush=True,
    )
    wrong = device != "sim" or (name.parent.name != "solutions" and int(here) == 0)
    return f"网络在 {device} 上，sim 上算了 {here} 次" if wrong else ""


def main(arguments: list[str]) -> int:
    names = [name for name in arguments if not name.startswith("--")]
    paths = [ROOT / "book" / f"{name}.ipynb" for name in names]
    if not paths:
        book = ROOT / "book"
        paths = sorted(book.glob("*.ipynb")) + sorted((book / "solutions").glob("*.ipynb"))
    os.environ["IPYTHONDIR"] = startup_folder("--no-float64" not in arguments)
    os.environ |= {"CNNLAB_PROFILE": "quick", "CNNLAB_BARS": "0"}
    wrong = {path.stem: fault for path in paths if (fault := run(path))}
    for name, fault in wrong.items():
        print(f"== {name}\n{fault}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
