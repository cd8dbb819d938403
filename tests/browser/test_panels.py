"""在真的 JupyterLab 里拨每一章的面板：每种控件都动一动，图要变，并且等于那行代码在新进程里画出的图。

平时驱动三章；`CNNLAB_PANELS=all` 驱动全部，`CNNLAB_PANELS=patches,texture` 驱动点名的几章。
"""

import base64
import io
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import nbformat
import numpy as np
import pytest
from lab_server import opened, run_everything, wait_until
from panel_cells import BOOK, panel_slices
from PIL import Image

USUAL = ("activation_maps", "occlusion", "style_transfer")
ASKED = os.environ.get("CNNLAB_PANELS", "")
ALL = sorted(path.stem for path in BOOK.glob("*.ipynb") if panel_slices(path.stem))
CHAPTERS = ALL if ASKED == "all" else [name for name in ASKED.split(",") if name] or USUAL
SECONDS = 180
# 起先没有用的控件：几次取平均只管要取平均的方法；conv1 之前没有 ReLU
IDLE = {("faithfulness", "滑块"), ("middle_layers", "勾")}


class Driven:
    """页面上的一块面板：读它的图、代码和那句话，动它的控件。"""

    def __init__(self, page, place: int):
        self.page = page
        self.box = page.locator(".jp-OutputArea [class*='-live'].widget-vbox").nth(place)
        self.box.wait_for()

    @property
    def code(self) -> str:
        return self.box.locator("code").inner_text()

    @property
    def says(self) -> str:
        return self.box.locator("[role=status]").inner_text()

    @property
    def source(self) -> str:
        return self.box.locator("img").last.get_attribute("src")

    @property
    def slow(self) -> bool:
        return self.button("运行").count() > 0

    def button(self, text: str):
        return self.box.locator(f"button:text-is('{text}')")

    def settled(self) -> bool:
        """算完了：那句话里有用了几秒，或是停了、错了。"""
        return "秒" in self.says or "停" in self.says

    def changed(self, before: str) -> None:
        wait_until(lambda: self.settled() and self.code != before, SECONDS, f"{before} 变成别的")

    def picture(self) -> np.ndarray:
        data = base64.b64decode(self.source.split(",", 1)[1])
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=int)

    def controls(self):
        """每个看得见的控件：(种类, 怎样动它)。"""
        for kind, selector, move in (
            ("勾", ".widget-checkbox input", lambda one: one.click()),
            ("菜单", ".widget-dropdown select", self.pick_next),
            (
                "滑块",
                ".widget-hslider [role=slider], .widget-hslider .ui-slider-handle",
                self.slide,
            ),
            ("类别", "input[list]", self.pick_category),
            ("激活图", ".widget-toggle-buttons button", lambda one: one.click()),
            ("号码", "input[type=number]", self.next_number),
        ):
            found = self.box.locator(selector)
            count = found.count() if kind != "激活图" else min(found.count(), 1)
            for number in range(count):
                one = found.nth(number)
                if kind != "菜单" or one.locator("option").count() > 1:
                    yield kind, partial(move, one)

    def pick_next(self, menu) -> None:
        count = menu.locator("option").count()
        chosen = menu.evaluate("menu => menu.selectedIndex")
        menu.select_option(index=(chosen + 1) % count)

    def slide(self, handle) -> None:
        handle.scroll_into_view_if_needed()
        handle.focus()
        top = handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax")
        self.page.keyboard.press("ArrowLeft" if top else "ArrowRight")

    def next_number(self, box) -> None:
        at_end = box.input_value() == box.get_attribute("max")
        box.press("ArrowDown" if at_end else "ArrowUp")
        box.press("Enter")

    def pick_category(self, box) -> None:
        box.fill(self.box.locator("datalist option").nth(7).get_attribute("value"))
        box.press("Enter")

    def upload(self, path: Path) -> None:
        with self.page.expect_file_chooser() as chooser:
            self.box.locator("button:has-text('用我的图')").first.click()
        chooser.value.set_files(path)


def again(slug: str, place: int, code: str, path: Path) -> np.ndarray:
    """新进程里照那行代码画出的图，与面板上的经过同样的压缩。"""
    from cnnlab.show.frames import data_uri

    program = Path(__file__).with_name("panel_cells.py")
    subprocess.run([sys.executable, program, slug, str(place), code, path], check=True)
    data = base64.b64decode(data_uri(Image.open(path)).split(",", 1)[1])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=int)


def write_notebook(sources: list[str], path: Path) -> None:
    """一个只有这几格的笔记本。"""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)


def move_all(panel: Driven) -> dict[str, int]:
    """动每一个控件：快的每次等图，慢的最后按一次“运行”；返回 {种类: 图变了几次}。"""
    moved, start = {}, panel.code
    for kind, move in panel.controls():
        code, source = panel.code, panel.source
        move()
        if panel.slow:
            wait_until(lambda: "按“运行”" in panel.says, 30, f"{kind}动了之后的那句话")
            moved[kind] = 1
        else:
            panel.changed(code)
            moved[kind] = moved.get(kind, 0) + (panel.source != source)
    if panel.slow:
        panel.button("运行").click()
        panel.changed(start)
    return moved


@pytest.mark.parametrize("slug", CHAPTERS)
def test_panel_follows_its_controls_and_equals_its_code(server, chromium, slug, tmp_path):
    for place in range(len(panel_slices(slug))):
        path = server[2] / f"{slug}-{place}.ipynb"
        write_notebook(panel_slices(slug)[place], path)
        with opened(chromium, server, path) as page:
            errors = []
            page.on("pageerror", lambda error, errors=errors: errors.append(str(error)))
            page.on(
                "console",
                lambda said, errors=errors: said.type == "error" and errors.append(said.text),
            )
            run_everything(page, *server[:2])
            panel = Driven(page, 0)
            wait_until(lambda panel=panel: panel.settled(), SECONDS, "第一张图")
            first = panel.source
            moved = move_all(panel)
            idle = [kind for kind, times in moved.items() if not times]
            assert moved and all((slug, kind) in IDLE for kind in idle), f"{slug}：{moved}"
            assert panel.source != first
            expected = again(slug, place, panel.code, tmp_path / "again.png")
            shown = panel.picture()
            assert shown.shape == expected.shape and np.abs(shown - expected).max() <= 1, panel.code
            if panel.slow:
                stop_halfway(panel)
            if panel.box.locator("button:has-text('用我的图')").count():
                upload_two(panel, tmp_path)
            if shots := os.environ.get("CNNLAB_SHOTS"):
                panel.box.screenshot(path=Path(shots) / f"{slug}-{place}.png")
            assert not errors, errors


def stop_halfway(panel: Driven) -> None:
    """按了“停”，留下到那时最好的图，代码写的是做了的步数。"""
    panel.box.locator("select").first.evaluate("menu => menu.blur()")
    for kind, move in panel.controls():
        if kind == "菜单":
            move()
            break
    panel.button("运行").click()
    growing = panel.box.locator("img[alt='正在生长的图']")
    growing.wait_for()
    panel.button("停").click()
    wait_until(lambda: "停" in panel.says or "秒" in panel.says, SECONDS, "停下")
    assert panel.box.locator("img").count() > 0
    if "停在半途" in panel.says:
        assert re.search(r"steps=\d+|停在第 \d+ 步", panel.code), panel.code


def upload_two(panel: Driven, folder: Path) -> None:
    """先传一个文字文件：一句话说清楚；再传一张照片：代码里是它的名字。"""
    notes, mine = folder / "notes.txt", folder / "mine.png"
    notes.write_text("不是图片", encoding="utf-8")
    Image.effect_noise((320, 240), 80).convert("RGB").save(mine)
    panel.upload(notes)
    if panel.slow:
        wait_until(lambda: "按“运行”" in panel.says, 30, "传了文字文件")
        panel.button("运行").click()
    wait_until(lambda: "不是图像文件" in panel.says, 30, "那句话")
    before = panel.code
    panel.upload(mine)
    if panel.slow:
        wait_until(lambda: "按“运行”" in panel.says, 30, "传了照片")
        panel.button("运行").click()
    panel.changed(before)
    assert "load_image('mine.png'" in panel.code


WORKBENCH = """from cnnlab import run_profile, workbench
run_profile()
workbench(size=96)"""


def test_workbench_runs_two_methods_side_by_side(server, chromium):
    path = server[2] / "workbench.ipynb"
    write_notebook([WORKBENCH], path)
    with opened(chromium, server, path, width=1500) as page:
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        run_everything(page, *server[:2])
        menus = page.locator(".widget-dropdown:has-text('方法') select")
        menus.first.select_option("显著图")
        panels = page.locator(".jp-OutputArea [class*='-live'].widget-vbox")
        wait_until(lambda: "saliency_map(" in panels.first.inner_text(), SECONDS, "显著图")
        page.locator("label:has-text('两种并排') input").click()
        wait_until(lambda: panels.count() == 2, SECONDS, "两块面板")
        menus.last.select_option("Grad-CAM")
        wait_until(lambda: "grad_cam(" in panels.last.inner_text(), SECONDS, "Grad-CAM")
        photo = panels.first.locator(".widget-dropdown:has-text('照片') select")
        photo.select_option("koala")
        for panel, name in ((panels.first, "saliency_map"), (panels.last, "grad_cam")):
            code = panel.locator("code")
            wait_until(lambda code=code: "'koala'" in code.inner_text(), SECONDS, name)
        history = page.locator("details:has-text('运行过的')")
        history.locator("summary").click()
        listed = history.locator("li code").all_inner_texts()
        assert sum("'koala'" in line for line in listed) == 2 and len(listed) >= 4
        if shots := os.environ.get("CNNLAB_SHOTS"):
            page.screenshot(path=Path(shots) / "workbench.png")
        assert not errors, errors
