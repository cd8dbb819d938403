"""运行过的笔记本导出成网页，断网打开；或在 JupyterLab 里不连内核打开：每张图都在，没有死掉的面板。

平时看两章短的；`CNNLAB_PANELS=all` 看全部，`CNNLAB_PANELS=patches,texture` 看点名的几章。
"""

import functools
import os

import nbformat
import pytest
from lab_server import BOOK, opened, wait_until
from nbclient import NotebookClient
from nbconvert import HTMLExporter

ASKED = os.environ.get("CNNLAB_PANELS", "")
ALL = sorted(path.stem for path in BOOK.glob("*.ipynb") if "explore(" in path.read_text("utf-8"))
CHAPTERS = ALL if ASKED == "all" else [name for name in ASKED.split(",") if name]
CHAPTERS = CHAPTERS or ["first_layer", "middle_layers"]
BROKEN = """() => Array.from(document.querySelectorAll("img"))
  .filter((one) => !(one.complete && one.naturalWidth > 0)).map((one) => one.alt || one.src.slice(0, 80))"""


@functools.cache
def executed(slug: str):
    """运行一遍的笔记本，连同控件的状态，与 `nbconvert --execute` 存下的一样。"""
    notebook = nbformat.read(BOOK / f"{slug}.ipynb", as_version=4)
    where = {"metadata": {"path": str(BOOK)}}
    # 测试自己不显示图（MPLBACKEND=Agg），笔记本要显示
    inline = dict(os.environ, MPLBACKEND="module://matplotlib_inline.backend_inline")
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources=where)
    client.execute(env=inline)
    assert "widgets" in notebook.metadata
    return notebook


def pictures(notebook) -> tuple[int, int]:
    """输出里有几张图（不算画好的几帧），几块面板。"""
    data = [out.data for cell in notebook.cells for out in cell.get("outputs", []) if "data" in out]
    panels = sum("cnnlab-frames" in one.get("text/html", "") for one in data)
    return sum("image/png" in one for one in data), panels


def every_picture_shows(page, plain: int, panels: int, area: str) -> bool:
    """图都画出来了，静态面板看得见，没有“取不到控件”的字样。"""
    shown = page.locator(".cnnlab-frames img")
    wait_until(lambda: shown.count() == panels, 60, f"{panels} 块静态面板")
    for number in range(panels):
        shown.nth(number).scroll_into_view_if_needed()
        assert shown.nth(number).is_visible(), f"第 {number} 块面板看不见"
    assert page.locator(f"{area} img").count() >= plain + panels and plain
    wait_until(lambda: not page.evaluate(BROKEN), 30, "每张图都取到")
    assert not page.locator(".widget-vbox:visible, .jupyter-widgets-disconnected:visible").count()
    assert (
        page.get_by_text("model not found").or_(page.get_by_text("Error displaying")).count() == 0
    )
    return shown.count() == panels


def moved(page) -> list[bool]:
    """键盘拨动每块静态面板：图变了没有。"""
    changed = []
    for box in page.locator(".cnnlab-frames").all():
        before = box.locator("img").get_attribute("src")
        slider = box.locator("input").first
        slider.focus()
        at_end = slider.input_value() == slider.get_attribute("max")
        page.keyboard.press("ArrowLeft" if at_end else "ArrowRight")
        changed.append(box.locator("img").get_attribute("src") != before)
    return changed


@pytest.mark.parametrize("slug", CHAPTERS)
def test_an_exported_page_shows_every_picture_without_a_network(visit, slug, tmp_path):
    notebook = executed(slug)
    path = tmp_path / f"{slug}.html"
    path.write_text(HTMLExporter().from_notebook_node(notebook)[0], encoding="utf-8")
    page = visit.open(path)
    assert every_picture_shows(page, *pictures(notebook), "body")
    assert moved(page) == [True] * pictures(notebook)[1]


@pytest.mark.parametrize("slug", CHAPTERS)
def test_a_saved_notebook_shows_every_picture_without_a_kernel(server, chromium, slug):
    notebook = executed(slug)
    blank = nbformat.v4.new_notebook()
    nbformat.write(blank, server[2] / "blank.ipynb")
    nbformat.write(notebook, server[2] / f"{slug}.ipynb")
    with opened(chromium, server, server[2] / "blank.ipynb") as page:
        page.evaluate(
            """path => window.jupyterapp.commands.execute("docmanager:open",
              { path, factory: "Notebook", kernelPreference: { shouldStart: false, autoStartDefault: false } })""",
            f"{slug}.ipynb",
        )
        page.wait_for_selector(".jp-Notebook h1")
        assert every_picture_shows(page, *pictures(notebook), ".jp-OutputArea")
