"""axe-core 看十二页，亮色和暗色：没有一条违例。"""

import pytest
from test_book_pages import toc

PAGES = [
    "book/index",
    "book/getting_started",
    "book/first_layer",
    "book/activation_maps",
    "book/neighbors",
    "book/occlusion",
    "book/saliency",
    "book/gradient_ascent",
    "book/style_transfer",
    "book/claims",
    "book/glossary",
    "book/api",
]


def test_the_pages_are_in_the_book():
    assert set(PAGES) <= set(toc())


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_page_has_no_violation(visit, html, name, mode):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    visit.page.add_init_script(f"localStorage.mode = localStorage.theme = '{mode}'")
    page = visit.open(html / f"{name}.html")
    options = {
        "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"],
        "resultTypes": ["violations"],
    }
    found = axe.run(page, options=options).response["violations"]
    lines = [f"{rule['id']}：{node['html'][:160]}" for rule in found for node in rule["nodes"]]
    assert not lines, "\n".join(lines)
