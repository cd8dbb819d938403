"""在真的 JupyterLab 里从头到尾运行一章，再用键盘拨动滑块，图要跟着变。"""

import shutil
from pathlib import Path

import nbformat
import pytest
from lab_server import run_everything, stop_kernels, wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
BOOK = ROOT / "book"


def chapter_with_slider() -> Path | None:
    """最短的一章里有滑块的那个笔记本。"""
    candidates = [
        path for path in BOOK.glob("*.ipynb") if "explore(" in path.read_text(encoding="utf-8")
    ]
    preferred = [path for path in candidates if path.stem == "first_layer"]
    return (preferred or sorted(candidates, key=lambda path: path.stat().st_size) or [None])[0]


def executed_cells(path: Path):
    """存了盘的代码格；还没有一格运行过时是 None。"""
    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    return code if any(cell.execution_count for cell in code) else None


def test_a_chapter_runs_and_its_slider_changes_the_picture(server, chromium):
    chapter = chapter_with_slider()
    if chapter is None:
        pytest.skip("书里还没有带滑块的一章")
    url, token, folder = server
    copy = Path(shutil.copy(chapter, folder))
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{url}/lab/tree/{copy.name}?token={token}&reset")
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=120_000)
    run_everything(page, url, token)

    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    code = wait_until(lambda: executed_cells(copy), 60, "运行过的笔记本存了盘")
    errors = [output for cell in code for output in cell.outputs if output.output_type == "error"]
    assert not errors, "\n".join(f"{error.ename}: {error.evalue}" for error in errors)
    unfinished = [
        cell.source.splitlines()[0]
        for cell in code
        if cell.source.strip() and not cell.execution_count
    ]
    assert not unfinished, f"这些格没有运行：{unfinished}"

    box = page.locator(".jp-OutputArea .widget-vbox:has(img)").first
    box.wait_for()
    handle = box.locator("[role=slider], .noUi-handle").first

    def picture():
        return box.locator("img").last.get_attribute("src")

    before = picture()
    handle.scroll_into_view_if_needed()
    handle.focus()
    at_end = handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax")
    page.keyboard.press("ArrowLeft" if at_end else "ArrowRight")
    wait_until(lambda: picture() != before, 60, "图跟着滑块变")
    context.close()
    stop_kernels(url, token)


def test_the_index_is_rendered_in_chinese_and_leads_to_a_chapter(server, chromium):
    url, token, folder = server
    for name in ("index.md", "first_layer.ipynb"):
        shutil.copy(BOOK / name, folder)
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{url}/lab/tree/index.md?token={token}&reset")
    page.wait_for_selector(".jp-RenderedMarkdown h1", timeout=120_000)
    assert "看懂卷积神经网络" in page.locator(".jp-RenderedMarkdown h1").first.inner_text()
    assert "文件" in page.locator("#jp-MainMenu, .jp-MenuBar").first.inner_text()
    page.locator(".jp-RenderedMarkdown a", has_text="第一个卷积层").first.click()
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
    assert "第一个卷积层" in page.locator(".jp-Notebook h1").first.inner_text()
    context.close()
    stop_kernels(url, token)
