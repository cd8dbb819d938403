"""照 Colab 的版本建一个环境，像第一格那样装上 cnnlab，看 pip 换掉了什么，再跑几章。

用法：python tools/colab_environment.py 文件夹 [章名 …] [--python python3.13]
版本取自 Colab 公布的清单（2026 年 8 月），那里是 Python 3.13。torch 与 torchvision 从现在的环境里借：借来的包在另一个
文件夹里，由一个 .pth 文件接上，pip 不会改环境之外的包。--python 另指一个 Python，那时 torch 也重新下载（几个 GB）。
有一处不对就以 1 退出。
"""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cnnlab.core.command_line import Parser, run_command

ROOT = Path(__file__).resolve().parent.parent
PINNED = """numpy==2.1.3 pandas==2.2.3 matplotlib==3.10.0 scikit-learn==1.6.1 scikit-image==0.25.2
    ipywidgets==7.7.1 ipython==7.34.0 ipykernel==6.17.1 opencv-python-headless>=4.10 tqdm safetensors
    setuptools>=77.0.3"""
BORROWED = ("torch", "torchvision")
# 借来的包自己带的，别的包用上面的版本
OURS = {"numpy", "pillow", "setuptools"}


def requirements(name: str, found: set[str]) -> set[str]:
    """`name` 和它要的全部包（现在的环境里有的）。"""
    if name in found or name in OURS:
        return found
    try:
        listed = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return found
    found.add(name)
    for each in listed:
        # torch 的 CUDA 库写在 cuda-toolkit 的可选项里
        if "extra ==" not in each or name == "cuda-toolkit":
            requirements(re.match(r"[A-Za-z0-9_.-]+", each).group().lower(), found)
    return found


def borrow(site: Path, folder: Path) -> None:
    """把 torch、torchvision 和它们要的包连到 `folder`（在环境之外），由一个 .pth 接到环境的最后。"""
    folder.mkdir()
    for name in set().union(*(requirements(each, set()) for each in BORROWED)):
        distribution = importlib.metadata.distribution(name)
        tops = {Path(str(file)).parts[0] for file in distribution.files or []}
        for top in tops - {"..", "__pycache__"}:
            if not (folder / top).exists():
                (folder / top).symlink_to(distribution.locate_file(top))
    (site / "borrowed.pth").write_text(f"{folder}\n", encoding="utf-8")


def build(folder: Path, python: str | None) -> Path:
    """建好环境，返回它的 python。"""
    subprocess.run([python or sys.executable, "-m", "venv", str(folder)], check=True)
    ours = folder / "bin" / "python"
    (site,) = folder.glob("lib/python*/site-packages")
    if python is None:
        borrow(site, folder.with_name(folder.name + "-borrowed"))
    else:
        install(ours, *BORROWED)
    install(ours, *PINNED.split())
    return ours


def install(python: Path, *packages: str) -> None:
    command = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages]
    subprocess.run(command, check=True)


def versions(python: Path) -> dict[str, str]:
    command = [python, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {each["name"].lower(): each["version"] for each in json.loads(listed)}


def wheel(folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    return next(folder.glob("*.whl"))


def run(python: Path, name: str) -> str:
    """在新环境的内核里跑一章（仓库之外的一份副本）；报错是一段话，没有错是空串。"""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    share = Path(tempfile.mkdtemp())
    spec = share / "kernels" / "colab" / "kernel.json"
    spec.parent.mkdir(parents=True)
    start = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": start, "display_name": "colab", "language": "python"}))
    os.environ["JUPYTER_PATH"] = str(share)
    os.environ |= {"CNNLAB_PROFILE": "quick", "CNNLAB_BARS": "0", "PYTHONPATH": ""}
    notebook = nbformat.read(ROOT / "book" / f"{name}.ipynb", as_version=4)
    began = time.monotonic()
    place = {"metadata": {"path": tempfile.mkdtemp()}}
    client = NotebookClient(notebook, timeout=900, kernel_name="colab", resources=place)
    try:
        client.execute()
    except CellExecutionError as error:
        return str(error)[:600] + "\n……\n" + str(error)[-300:]
    print(f"{name}：{time.monotonic() - began:.0f} 秒，没有一格报错", flush=True)
    return ""


def changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return [
        f"{name} 从 {old} 换成了 {after.get(name, '（没有了）')}"
        for name, old in before.items()
        if after.get(name) != old
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(__doc__)
    parser.add_argument(
        "folder", metavar="文件夹", type=Path, help="建在哪里：一个还不存在的文件夹"
    )
    parser.add_argument("slugs", metavar="章名", nargs="*", default=[], help="如 deepdream")
    parser.add_argument("--python", help="用哪个 Python；不给就是运行它的这个，torch 借它的")
    chosen = parser.parse_args(arguments)
    ours, began = versions(sys.executable), time.monotonic()
    python = build(chosen.folder.resolve(), chosen.python)
    print(f"建好环境：{time.monotonic() - began:.0f} 秒", flush=True)
    package = wheel(Path(tempfile.mkdtemp()))
    before, began = versions(python), time.monotonic()
    install(python, f"cnnlab @ {package.as_uri()}")
    seconds = time.monotonic() - began
    after = versions(python)
    added = sorted(set(after) - set(before))
    print(f"装上 cnnlab：{seconds:.0f} 秒，多了 {'、'.join(added)}", flush=True)
    wrong = changes(before, after) + changes(ours, versions(sys.executable))
    print("pip 没有换掉任何一个包" if not wrong else "\n".join(wrong), flush=True)
    for name in chosen.slugs:
        if fault := run(python, name):
            wrong.append(name)
            print(f"== {name}\n{fault}")
    return bool(wrong)


if __name__ == "__main__":
    run_command(main)
