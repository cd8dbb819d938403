"""建好的页里的静态面板，断网：宽屏和手机、亮色和暗色，键盘和手指都拨得动；不运行脚本时有第一张图。"""

import os
from pathlib import Path

import pytest
from conftest import Visit
from PIL import Image

from cnnlab.show.figures import TEXT

PAGES = ("activation_maps", "getting_started", "occlusion")
PHONE, DESK = 390, 1400


@pytest.fixture
def touching(chromium):
    """开一个能用手指点的断网页面：touching(宽, 亮暗, 脚本)。"""
    contexts = []

    def start(width: int, mode: str = "light", scripts: bool = True) -> Visit:
        context = chromium.new_context(
            viewport={"width": width, "height": 844},
            has_touch=True,
            is_mobile=width == PHONE,
            offline=True,
            java_script_enabled=scripts,
        )
        contexts.append(context)
        context.add_init_script(f"localStorage.mode = localStorage.theme = '{mode}'")
        return Visit(context.new_page())

    yield start
    for context in contexts:
        context.close()


def state(box) -> tuple:
    """现在的图和替代文字。"""
    picture = box.locator("img")
    return picture.get_attribute("src"), picture.get_attribute("alt")


def tap(page, slider) -> None:
    """手指点滑块的另一头。"""
    slider.scroll_into_view_if_needed()
    place = slider.bounding_box()
    at_end = slider.input_value() == slider.get_attribute("max")
    x = place["x"] + (8 if at_end else place["width"] - 8)
    page.touchscreen.tap(x, place["y"] + place["height"] / 2)


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE])
@pytest.mark.parametrize("name", PAGES)
def test_static_panel_moves_by_keyboard_and_touch(touching, html, name, width, mode):
    visit = touching(width, mode)
    page = visit.open(html / "book" / f"{name}.html")
    box = page.locator(".cnnlab-frames").last
    sliders = box.locator("input[type=range]")
    assert sliders.count() >= 1
    for number in range(sliders.count()):
        slider = sliders.nth(number)
        before = state(box)
        slider.focus()
        at_end = slider.input_value() == slider.get_attribute("max")
        page.keyboard.press("ArrowLeft" if at_end else "ArrowRight")
        moved = state(box)
        assert moved[0] != before[0] and moved[1] != before[1], "键盘拨了，图没有变"
        tap(page, slider)
        assert state(box)[0] != moved[0], "手指点了，图没有变"
    place = box.bounding_box()
    assert place["x"] >= 0 and place["x"] + place["width"] <= width, "面板比屏幕宽"
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    if shots := os.environ.get("CNNLAB_SHOTS"):
        box.scroll_into_view_if_needed()
        page.screenshot(path=Path(shots) / f"static-{name}-{width}-{mode}.png")
    visit.assert_clean()


@pytest.mark.parametrize("name", PAGES)
def test_first_picture_is_there_without_scripts(touching, html, name):
    page = touching(PHONE, scripts=False).page
    page.goto((html / "book" / f"{name}.html").as_uri())
    picture = page.locator(".cnnlab-frames img").last
    picture.scroll_into_view_if_needed()
    assert picture.evaluate("image => image.complete && image.naturalWidth > 0")
    assert picture.get_attribute("alt") and page.locator(".cnnlab-frames input").count() == 0


@pytest.mark.parametrize("name", PAGES)
def test_a_phone_shows_figures_whole_and_their_text_is_read(touching, html, name):
    page = touching(PHONE).open(html / "book" / f"{name}.html")
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    seen = 0
    for picture in page.locator("article .cell_output img[src$='.png']").all():
        path = html / "_images" / Path(picture.get_attribute("src")).name
        with Image.open(path) as image:
            scale = picture.bounding_box()["width"] / image.width
            height = TEXT / 72 * image.info["dpi"][0] * scale
        assert height >= 7.9, f"{path.name} 里最小的字高 {height:.1f} 像素"
        seen += 1
    assert seen
    assert page.locator(".cnnlab-wide").count() == 0, "有的图要左右拖着看"
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
