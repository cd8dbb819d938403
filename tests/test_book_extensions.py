"""书自己的几个 Sphinx 扩展：中文搜索的切法、接行、去掉外面的脚本；和四个记号的字体。"""

import base64
import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent


def load(path: str):
    specification = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def search():
    pytest.importorskip("sphinx")
    return load("book/_ext/zh_bigram_search.py")


@pytest.fixture
def joiner():
    pytest.importorskip("docutils")
    return load("book/_ext/chinese_lines.py")


def test_text_is_cut_into_pairs_and_words(search):
    assert search.cut("卷积核，CNN") == ["卷积", "积核", "卷", "积", "核", "cnn"]
    assert search.cut("") == []


def test_a_query_is_cut_into_pieces_that_the_index_has(search):
    node = shutil.which("node")
    if node is None:
        pytest.skip("没有 node，查询的切法由浏览器测试检查")
    text = "感受野 SqueezeNet 的激活"
    program = search._SPLITTER + f"console.log(JSON.stringify(splitQuery({json.dumps(text)})))"
    run = subprocess.run([node, "-e", program], capture_output=True, text=True, check=True)
    pieces = json.loads(run.stdout)
    assert "感受" in pieces and "受野" in pieces and "的激" in pieces
    assert {piece.lower() for piece in pieces} <= set(search.cut(text))


def paragraph_after(joiner, *parts):
    from docutils import nodes, utils

    document = utils.new_document("page")
    paragraph = nodes.paragraph("", "", *(nodes.Text(part) for part in parts))
    document += paragraph
    joiner.clean_document(None, document)
    return paragraph.astext()


def test_chinese_lines_are_joined_and_english_ones_keep_their_space(joiner):
    assert paragraph_after(joiner, "一句话。", "\n", "又一句") == "一句话。又一句"
    assert paragraph_after(joiner, "one", "\n", "two") == "one\ntwo"
    assert paragraph_after(joiner, "用 CNN", "\n", "来看") == "用 CNN\n来看"


def test_remote_scripts_are_dropped():
    offline = load("book/_ext/offline_pages.py")
    ours = SimpleNamespace(filename="_static/offline.js", attributes={})
    thebe = SimpleNamespace(filename=None, attributes={"body": 'const THEBE_JS_URL = "https://…"'})
    context = {"script_files": [ours, thebe]}
    offline.clean_page(None, "page", "page.html", context, None)
    assert context["script_files"] == [ours]


def test_the_marks_font_is_what_its_tool_draws(tmp_path):
    pytest.importorskip("fontTools")
    tool = load("tools/make_marks_font.py")
    tool.build().save(tmp_path / "marks.ttf")
    assert (tmp_path / "marks.ttf").read_bytes() == tool.TARGET.read_bytes()


def quote_of(*paragraphs):
    from docutils import nodes

    quote = nodes.block_quote()
    empty = nodes.Text("")
    quote.extend(nodes.paragraph("", "", empty, each, empty) for each in paragraphs)
    return quote


def test_a_quoted_exercise_becomes_a_box_with_its_id():
    from docutils import nodes
    from docutils.utils import new_document

    exercises = load("book/_ext/exercises.py")
    document = new_document("page")
    head = nodes.strong("", "练习 first_layer-2 · 画出来 ★★")
    document += quote_of(head, nodes.Text("写一个函数。"))
    document += quote_of(nodes.strong("", "只是一句引用"), nodes.Text("别的话。"))
    exercises.Exercises(document).apply()
    box, other = document.children
    assert isinstance(box, nodes.admonition) and box["ids"] == ["first_layer-2"]
    assert [child.astext() for child in box] == ["练习 first_layer-2 · 画出来 ★★", "写一个函数。"]
    assert isinstance(other, nodes.block_quote)


@pytest.fixture
def finishing():
    return load("book/_ext/finishing.py")


def test_theme_words_are_translated_in_attributes_only(finishing):
    page = '<a title="Link to this heading" href="#Light">Light</a><p>Search</p>'
    assert finishing.in_chinese(page) == (
        '<a title="本节的链接" href="#Light">Light</a><p>Search</p>'
    )


def test_large_pictures_become_webp_and_pages_follow(finishing, tmp_path):
    import numpy as np
    from PIL import Image

    images = tmp_path / "_images"
    images.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (400, 400, 3), dtype=np.uint8)
    Image.fromarray(noise).save(images / "large.png")
    Image.fromarray(noise[:8, :8]).save(images / "small.png")
    page = tmp_path / "page.html"
    page.write_text('<img src="_images/large.png"><img src="_images/small.png">', "utf-8")
    app = SimpleNamespace(outdir=tmp_path, builder=SimpleNamespace(format="html"))
    finishing.finish(app, None)
    assert sorted(path.name for path in images.iterdir()) == ["large.webp", "small.png"]
    text = '<img src="_images/large.webp"><img src="_images/small.png">'
    assert page.read_text("utf-8") == text


def test_pictures_get_the_text_that_their_cell_gave(finishing, tmp_path):
    told, silent = b"told", b"silent"
    outputs = [
        {
            "data": {"image/png": base64.b64encode(data).decode()},
            "metadata": {"image/png": {"alt": alt}} if alt else {},
        }
        for data, alt in ((told, "左边 < 右边"), (silent, ""))
    ]
    notebook = tmp_path / "book" / "a.ipynb"
    notebook.parent.mkdir()
    notebook.write_text(json.dumps({"cells": [{"outputs": outputs}]}), "utf-8")
    texts = finishing.picture_texts(tmp_path)
    first, second = (hashlib.sha256(data).hexdigest() for data in (told, silent))
    page = "".join(
        f'<img alt="{alt}" src="../_images/{name}.png" />'
        for alt, name in [
            (f"../_images/{first}.png", first),
            ("自己写的", first),
            (f"../_images/{second}.png", second),
        ]
    )
    made = finishing.with_texts(page, texts, {})
    alts = re.findall('alt="([^"]*)"', made)
    assert alts == ["左边 &lt; 右边", "自己写的", "这一格画出的图"]
    assert made.count('aria-hidden="true">左边 &lt; 右边</p>') == 2


def test_wide_pictures_keep_a_width_at_which_their_text_is_read(finishing, tmp_path):
    from PIL import Image

    wide, narrow = "a" * 64, "b" * 64
    for name, pixels, dpi in ((wide, 900, 100), (narrow, 780, 120)):
        Image.new("L", (pixels, 20)).save(tmp_path / f"{name}.png", dpi=(dpi, dpi))
    widths = finishing.least_widths(tmp_path)
    assert widths == {f"{wide}.png": 471}
    page = "".join(f'<img alt="图" src="../_images/{name}.png" />' for name in (wide, narrow))
    made = finishing.with_texts(page, {}, {f"{wide}.png": 471})
    first, second = re.findall(r"(?:<div[^>]*>)?<img[^>]*>(?:</div>)?", made)
    assert first.startswith('<div class="output cnnlab-wide">') and "min-width: 471px" in first
    assert second.startswith("<img") and "min-width" not in second


@pytest.mark.parametrize("url", ["https://github.com/OWNER/cnnlab", "https://example.org/a/cnnlab"])
def test_buttons_wait_for_an_address(finishing, url):
    options = {"repository_url": url, "launch_buttons": {"colab_url": "https://example.org"}}
    finishing.hide_buttons(None, SimpleNamespace(html_theme_options=options))
    known = "OWNER" not in url
    assert options["use_repository_button"] is options["use_issues_button"] is known
    assert bool(options["launch_buttons"]) is known
