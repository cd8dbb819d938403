"""断网打开建好的每一页：没有外部请求、报错、坏图、生公式、缺字；搜索和静态滑块能用。"""

import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
HTML = ROOT / "_build" / "html"
# 不占地方、本来就不画出来的字符
INVISIBLE = set("\ufe0f\u200d\u200b\ufeff")
SEARCHES = {"卷积核": "first_layer", "感受野": "patches", "激活": "activation_maps"}


def toc() -> list[str]:
    """_toc.yml 里的每一页，不带后缀。"""
    table = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    listed = [table["root"]]
    for part in table.get("parts", []):
        for entry in part["chapters"]:
            listed += [entry["file"], *(section["file"] for section in entry.get("sections", []))]
    return listed


PAGES = [*toc(), "search", "genindex"]

RAW_TEX = r"""() => {
  const found = [];
  for (const math of document.querySelectorAll(".math")) {
    if (!math.querySelector("mjx-container")) found.push(math.textContent.slice(0, 80));
  }
  for (const bad of document.querySelectorAll("mjx-merror, [data-mjx-error]")) found.push("公式出错：" + bad.textContent);
  const skip = "script, style, code, pre, textarea, mjx-container, .math, svg, .tex2jax_ignore";
  const walker = document.createTreeWalker(document.querySelector("main") || document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (node.parentElement.closest(skip)) continue;
    const raw = node.textContent.match(/\$[^$\n]*[\\_^][^$\n]*\$|\\\(|\\\[|\\(frac|sum|partial|begin)\b/);
    if (raw) found.push(raw[0]);
  }
  return found;
}"""

BROKEN_IMAGES = """() => [...document.images]
  .filter(image => image.getAttribute("src") && !(image.complete && image.naturalWidth > 0))
  .map(image => image.getAttribute("src").slice(0, 120))"""

NO_ALTERNATIVE = """() => [...document.querySelectorAll("article img")]
  .filter(image => !(image.getAttribute("alt") || "").trim())
  .map(image => image.getAttribute("src").slice(0, 120))"""


@cache
def drawable() -> frozenset[int]:
    """系统字体加起来画得出的字符。"""
    from fontTools.ttLib import TTCollection, TTFont

    listed = subprocess.run(
        ["fc-list", "--format=%{file}\n"], capture_output=True, text=True, check=True
    ).stdout
    # 书自带的四个记号
    covered = set(TTFont(ROOT / "book" / "_static" / "marks.ttf").getBestCmap())
    for name in sorted(set(listed.split("\n"))):
        if name.endswith((".ttf", ".otf")):
            covered |= set(TTFont(name, lazy=True).getBestCmap() or ())
        elif name.endswith((".ttc", ".otc")):
            # 一个字体集里各字体的字符表大同小异，第一个就够
            covered |= set(TTCollection(name, lazy=True).fonts[0].getBestCmap() or ())
    return frozenset(covered)


def test_every_page_of_the_toc_was_built(html):
    missing = [name for name in toc() if not (html / f"{name}.html").exists()]
    assert not missing, f"没有建出这些页：{missing}"


def test_the_front_door_leads_to_the_book(chromium, html):
    page = chromium.new_page()
    page.goto((html / "index.html").as_uri())
    page.wait_for_url("**/book/index.html")
    assert page.title().startswith("看懂卷积神经网络")
    page.close()


@pytest.mark.parametrize("name", PAGES)
def test_page_is_whole_without_a_network(visit, html, name):
    page = visit.open(html / f"{name}.html")
    # 让延迟加载的图也加载
    page.evaluate(
        "document.querySelectorAll('img[loading=lazy]').forEach(image => image.loading = 'eager')"
    )
    page.wait_for_function(
        "() => [...document.images].every(image => image.complete)", timeout=30_000
    )
    visit.assert_clean()
    assert page.evaluate(BROKEN_IMAGES) == [], "有坏图"
    assert page.evaluate(RAW_TEX) == [], "有没排的公式"
    text = page.evaluate("document.body.innerText")
    assert "\ufffd" not in text, "有乱码"
    boxes = {
        character
        for character in text
        if not character.isspace() and ord(character) not in drawable()
    }
    # 私有区的字符是主题的图标字体
    boxes = {character for character in boxes - INVISIBLE if not 0xE000 <= ord(character) <= 0xF8FF}
    assert not boxes, f"没有字体画得出：{sorted(boxes)}"


@pytest.mark.parametrize("name", toc())
def test_every_figure_has_an_alternative_text(visit, html, name):
    page = visit.open(html / f"{name}.html")
    assert page.evaluate(NO_ALTERNATIVE) == [], "图没有替代文字"


@pytest.mark.parametrize(("query", "slug"), SEARCHES.items())
def test_search_finds_the_chapter(visit, html, query, slug):
    if f"book/{slug}" not in toc():
        pytest.skip(f"书里还没有 {slug} 一章")
    page = visit.open(html / "search.html", f"?q={query}")
    page.wait_for_selector("#search-results ul.search li a", timeout=20_000)
    # 结果一条条出现，等到收尾的那句话
    page.wait_for_function(
        "() => !document.querySelector('#search-progress')?.textContent.trim()", timeout=20_000
    )
    found = page.eval_on_selector_all(
        "#search-results ul.search li > a:first-child",
        "links => links.map(a => a.getAttribute('href'))",
    )
    places = [place.split("#")[0].split("?")[0].removeprefix("./") for place in found]
    assert f"book/{slug}.html" in places[:5], f"搜“{query}”，前几条是 {places[:5]}"
    visit.assert_clean()


def test_search_finds_nothing_for_nonsense(visit, html):
    page = visit.open(html / "search.html", "?q=鼙鼓喑哑")
    page.wait_for_timeout(1500)
    assert page.locator("#search-results ul.search li").count() == 0


def pages_with_sliders() -> list[str]:
    """建好的页里有静态滑块的那些；没有建书时也留一条，好让它说明缺什么。"""
    found = [
        name
        for name in toc()
        if (path := HTML / f"{name}.html").exists()
        and 'class="cnnlab-frames"' in path.read_text(encoding="utf-8")
    ]
    return found or ["book/index"]


@pytest.mark.parametrize("name", pages_with_sliders())
def test_static_slider_moved_by_keyboard_changes_its_picture(visit, html, name):
    page = visit.open(html / f"{name}.html")
    boxes = page.locator(".cnnlab-frames")
    if boxes.count() == 0:
        pytest.skip("书里还没有滑块")
    for number in range(boxes.count()):
        box = boxes.nth(number)
        picture, sliders = box.locator("img"), box.locator("input[type=range]")
        for order in range(sliders.count()):
            slider = sliders.nth(order)
            before = picture.get_attribute("src"), picture.get_attribute("alt")
            at_end = slider.input_value() == slider.get_attribute("max")
            slider.focus()
            page.keyboard.press("ArrowLeft" if at_end else "ArrowRight")
            after = picture.get_attribute("src"), picture.get_attribute("alt")
            assert before[0] != after[0], f"第 {number} 个滑块动了，图没有变"
            assert before[1] != after[1], f"第 {number} 个滑块的替代文字没有变"
            page.wait_for_function(
                "image => image.complete && image.naturalWidth > 0", arg=picture.element_handle()
            )
    visit.assert_clean()
