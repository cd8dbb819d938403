"""小项目的目标图：照书后的解答做一遍，存下“你的图”一格画出的图。

用法：python tools/make_project_pictures.py [项目名 …]；不给就是全部，各用十几秒到一分钟 CPU。
写到 book/images/project_<项目名>.webp，项目页和解答页都用它。
"""

import io
import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image
from run_chapters import BOOK, pictures

from cnnlab.core.command_line import Parser, one_of_names, run_command

WIDEST = 900


def answered(name: str) -> nbformat.NotebookNode:
    """项目的笔记本：要写的格换成解答里同名的格，每一处检查都要通过。"""
    page = nbformat.read(BOOK / "projects" / f"{name}.ipynb", as_version=4)
    solution = nbformat.read(BOOK / "solutions" / "projects" / f"{name}.ipynb", as_version=4)
    steps = {cell.id: cell.source for cell in solution.cells if cell.id.startswith("step-")}
    for cell in page.cells:
        cell.source = steps.get(cell.id, cell.source)
        if "check" in cell.metadata.get("tags", ()):
            cell.source = f"_report = {cell.source}\nassert _report, repr(_report)"
    return page


def stacked(found: list[Image.Image]) -> Image.Image:
    """几张图从上到下叠成一张。"""
    size = max(one.width for one in found), sum(one.height for one in found)
    sheet, top = Image.new("RGB", size, "white"), 0
    for one in found:
        sheet.paste(one, (0, top))
        top += one.height
    return sheet


def make(name: str) -> Path:
    """跑一遍，存下“你的图”那一格画出的。"""
    page = answered(name)
    folder = {"metadata": {"path": str(BOOK / "projects")}}
    NotebookClient(page, timeout=600, resources=folder).execute()
    drawn = next(cell for cell in page.cells if cell.id == "picture")
    found = [Image.open(io.BytesIO(one)) for output in drawn.outputs for one in pictures(output)]
    picture = stacked(found)
    picture.thumbnail((WIDEST, WIDEST), Image.Resampling.LANCZOS)
    path = BOOK / "images" / f"project_{name}.webp"
    picture.save(path, quality=80, method=6)
    return path


def main() -> None:
    known = sorted(path.stem for path in (BOOK / "projects").glob("*.ipynb"))
    parser, project = Parser(__doc__), one_of_names("小项目", known)
    parser.add_argument("names", metavar="项目名", nargs="*", type=project, help="不给就是全部")
    names = parser.parse_args().names or known
    os.environ |= {"CNNLAB_PROFILE": "quick", "CNNLAB_BARS": "0"}
    os.environ["PYTHONPATH"] = os.pathsep.join([str(BOOK.parent), os.environ.get("PYTHONPATH", "")])
    for each in names:
        print(make(each).relative_to(BOOK.parent))


if __name__ == "__main__":
    run_command(main)
