"""在 JupyterLab 里粗暴地用面板：连点、传怪文件、跑着时存盘和关页、重启内核、两块一起跑、只用键盘、窄屏、暗色。"""

import os
import re
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest
from lab_server import opened, run_everything, wait_until
from PIL import Image
from test_panels import Driven, write_notebook

SECONDS = 60
SLOW = """import time
from types import SimpleNamespace

from cnnlab import explore


def grow(image, *, steps=10, bright=1.0, on_step=None):
    made = 0 * image
    try:
        for step in range(steps):
            time.sleep(0.1)
            made = made + image * bright / steps
            on_step(SimpleNamespace(image=made, index=step))
    except KeyboardInterrupt:
        pass
    return made.clamp(0, 1)
"""
PANEL = """explore(
    grow, photo=["duck", "panda"], steps=(10, 200, 10), bright=(0.2, 1.0, 0.2), photo_size=96, frames=2
)"""


@contextmanager
def at_work(chromium, server, name: str, sources=(SLOW, PANEL), width: int = 1280):
    """打开一个新笔记本，全部运行，等第一块面板画好：(页面, 面板)。"""
    path = server[2] / f"{name}.ipynb"
    write_notebook(list(sources), path)
    with opened(chromium, server, path, width) as page:
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        run_everything(page, *server[:2])
        panel = Driven(page, 0)
        wait_until(panel.settled, SECONDS, "第一张图")
        yield page, panel
        assert not errors, errors


def lengthen(panel) -> None:
    """步数拨到最大，面板要跑二十秒。"""
    handle = panel.box.locator(".widget-hslider [role=slider], .ui-slider-handle").first
    handle.focus()
    panel.page.keyboard.press("End")
    wait_until(lambda: "按“运行”" in panel.says, SECONDS, "参数变了")


def growing(panel) -> None:
    panel.box.locator("img[alt='正在生长的图']").wait_for()


def test_clicking_run_again_and_again_ends_with_one_picture(server, chromium):
    with at_work(chromium, server, "clicks") as (_, panel):
        before = panel.code
        panel.box.locator("select").first.select_option(index=1)
        wait_until(lambda: "按“运行”" in panel.says, SECONDS, "换了照片")
        panel.button("运行").dblclick()
        panel.button("运行").click(force=True, no_wait_after=True)
        panel.changed(before)
        assert "'panda'" in panel.code and "停在半途" not in panel.says
        assert panel.button("运行").is_enabled() and panel.button("停").is_disabled()


def test_two_panels_run_at_once(server, chromium):
    with at_work(chromium, server, "two", (SLOW, PANEL, PANEL)) as (page, first):
        second = Driven(page, 1)
        wait_until(second.settled, SECONDS, "第二块")
        for panel in (first, second):
            panel.box.locator("select").first.select_option(index=1)
            lengthen(panel)  # 慢的机器上，看第二块时第一块还没有算完
        for panel in (first, second):
            panel.button("运行").click()
        growing(first)
        growing(second)
        for panel in (first, second):
            wait_until(lambda panel=panel: "'panda'" in panel.code, SECONDS, "两块都算完")
        assert first.source == second.source


def test_saved_and_closed_while_running_it_goes_on(server, chromium):
    path = server[2] / "closed.ipynb"
    with at_work(chromium, server, "closed") as (page, panel):
        lengthen(panel)
        panel.button("运行").click()
        growing(panel)
        page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        wait_until(lambda: "cnnlab-frames" in path.read_text("utf-8"), SECONDS, "存了盘")
        nbformat.validate(nbformat.read(path, as_version=4))
        page.goto(f"{server[0]}/lab/tree/{path.name}?token={server[1]}")
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        again = Driven(page, 0)
        growing(again)
        again.button("停").click()
        wait_until(lambda: "停在半途" in again.says, SECONDS, "停下")
        assert re.search(r"steps=\d+", again.code)


def test_after_a_restart_the_static_frames_are_shown(server, chromium):
    with at_work(chromium, server, "restart") as (page, panel):
        assert page.locator(".cnnlab-frames img").is_hidden()
        lengthen(panel)
        panel.button("运行").click()
        growing(panel)
        page.evaluate(
            """() => window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()"""
        )
        wait_until(page.locator(".cnnlab-frames img").is_visible, SECONDS, "静态的一份")
        assert panel.box.is_hidden()
        slider = page.locator(".cnnlab-frames input").first
        before = page.locator(".cnnlab-frames img").get_attribute("src")
        slider.focus()
        page.keyboard.press("ArrowLeft")
        assert page.locator(".cnnlab-frames img").get_attribute("src") != before
        run_everything(page, *server[:2])
        wait_until(Driven(page, 0).settled, SECONDS, "重新运行")
        assert page.locator(".cnnlab-frames img").is_hidden()


def test_odd_files_are_refused_and_the_panel_goes_on(server, chromium, tmp_path):
    fast = 'def same(image):\n    return image\n\n\nexplore(same, photo=["duck", "panda"], photo_size=64)'
    with at_work(chromium, server, "odd", (SLOW, fast)) as (_, panel):
        files = {"empty.png": b"", "phone.heic": b"\0\0\0\x18ftypheic" + bytes(200)}
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
            panel.upload(tmp_path / name)
            wait_until(lambda name=name: name in panel.says, SECONDS, name)
        large = tmp_path / "large.png"
        Image.effect_noise((3600, 3600), 90).save(large, compress_level=0)
        assert large.stat().st_size > 12e6, "要超过服务器平常的上限 10 MB"
        panel.upload(large)
        wait_until(lambda: "large.png" in panel.code, SECONDS, "大照片")


def test_keyboard_alone_runs_and_stops(server, chromium):
    with at_work(chromium, server, "keys") as (page, panel):
        panel.box.locator("select").first.focus()
        for _ in range(12):
            if page.evaluate("() => document.activeElement.textContent.trim()") == "运行":
                break
            page.keyboard.press("Tab")
            if page.evaluate("() => document.activeElement.getAttribute('role')") == "slider":
                page.keyboard.press("End")
        page.keyboard.press("Enter")
        growing(panel)
        page.keyboard.press("Tab")
        assert page.evaluate("() => document.activeElement.textContent.trim()") == "停"
        page.keyboard.press("Space")
        wait_until(lambda: "停在半途" in panel.says, SECONDS, "停下")


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_it_fits_and_is_read_in_either_theme(server, chromium, width, theme, tmp_path):
    look = f"look-{theme.split()[1]}-{width}"
    with at_work(chromium, server, look, width=width) as (page, panel):
        page.evaluate(
            "theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", theme
        )
        page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
        (tmp_path / "empty.png").write_bytes(b"")
        panel.upload(tmp_path / "empty.png")
        panel.button("运行").click()
        wait_until(lambda: "empty.png" in panel.says, SECONDS, "那句话")
        assert panel.box.locator("[role=status] b").inner_text().startswith("⚠")
        if shots := os.environ.get("CNNLAB_SHOTS"):
            page.screenshot(path=Path(shots) / f"{look}.png")
        assert panel.box.evaluate("box => box.scrollWidth - box.clientWidth") <= 1
