"""小项目：骨架是未完成，填上解答就全部通过，一直跑到最后那张图。"""

import json
from pathlib import Path

import matplotlib
import pytest

BOOK = Path(__file__).resolve().parents[2] / "book"
PROJECTS = sorted((BOOK / "projects").glob("*.ipynb"))


def code_of(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [
        ("".join(cell["source"]), tuple(cell["metadata"].get("tags", ())))
        for cell in cells
        if cell["cell_type"] == "code" and "setup" not in cell["metadata"].get("tags", ())
    ]


def solutions_of(path: Path) -> dict[str, str]:
    found = code_of(BOOK / "solutions" / "projects" / path.name)
    return {tag: source for source, tags in found for tag in tags}


@pytest.mark.parametrize("path", PROJECTS, ids=lambda path: path.stem)
def test_project_runs_with_its_solution(path):
    matplotlib.use("Agg")
    from matplotlib import pyplot

    answers, scope, reports = solutions_of(path), {}, []
    for source, tags in code_of(path):
        key = next((tag for tag in tags if tag.startswith("project-")), None)
        exec(answers[key] if key else source, scope)
        if "check" in tags:
            reports.append(eval(source, scope))
            assert reports[-1], repr(reports[-1])
    assert len(reports) >= 2 and pyplot.get_fignums(), "最后要有一张图"
    pyplot.close("all")


@pytest.mark.parametrize("path", PROJECTS, ids=lambda path: path.stem)
def test_skeleton_is_unfinished(path):
    from cnnlab import check

    scope = {"check": check}
    for source, tags in code_of(path):
        if any(tag.startswith("project-") for tag in tags):
            exec(source, scope)
        elif "check" in tags:
            assert eval(source, scope).state == "todo"
