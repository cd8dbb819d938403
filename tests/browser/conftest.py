"""浏览器测试共用的：系统里的 Chromium、建好的书。

缺 Chromium 或没有建书时跳过，并说明怎样补上；在 CI 里（CI=true）则算失败。
"""

import os
import shutil
import sys
from pathlib import Path

import pytest
from lab_server import lab_server

ROOT = Path(__file__).resolve().parent.parent.parent
HTML = ROOT / "_build" / "html"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


def lacking(reason: str):
    """CI 里失败，别处跳过。"""
    if os.environ.get("CI", "").lower() in {"1", "true", "yes"}:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/browser/" in item.path.as_posix():
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium():
    """一个无头的 Chromium，每次都是新的空配置。"""
    path = (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
    if path is None:
        lacking("没有 Chromium。Debian、Ubuntu 上：apt-get install chromium fonts-noto-cjk")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        lacking("没有 playwright：pip install playwright")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def html() -> Path:
    """建好的书的文件夹。"""
    if not (HTML / "index.html").exists():
        lacking("书还没有建：先运行 make book")
    return HTML


class Visit:
    """一个断了网的页面，和它打开期间的请求、错误。"""

    def __init__(self, page):
        self.page, self.outside, self.errors = page, [], []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("requestfailed", lambda request: self.errors.append(f"取不到 {request.url[:200]}"))
        page.route("**/*", self._route)

    def _console(self, message):
        if message.type == "error":
            self.errors.append(message.text)

    def _route(self, route):
        if route.request.url.startswith(("file:", "data:", "blob:", "about:")):
            route.continue_()
        else:
            self.outside.append(route.request.url)
            route.abort()

    def open(self, path: Path, query: str = ""):
        """打开磁盘上的一页，等公式排完。"""
        self.page.goto(path.as_uri() + query, wait_until="load")
        self.page.evaluate(
            "window.MathJax && MathJax.startup ? MathJax.startup.promise.then(() => 0) : 0"
        )
        return self.page

    def assert_clean(self):
        assert not self.outside, f"请求了外面的地址：{self.outside}"
        assert not self.errors, f"浏览器报错：{self.errors}"


@pytest.fixture
def visit(chromium):
    """一个断网的新页面。"""
    context = chromium.new_context(
        viewport={"width": 1280, "height": 900}, offline=True, locale="zh-CN"
    )
    yield Visit(context.new_page())
    context.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory, chromium):
    """一个 JupyterLab，各个测试共用：(网址, 口令, 放笔记本的文件夹)。

    环境变量 CNNLAB_LAB 指明用哪一个 jupyter-lab：例如装着 ipywidgets 7.7.1 的环境里的那个。
    """
    program = Path(os.environ.get("CNNLAB_LAB") or Path(sys.executable).with_name("jupyter-lab"))
    if not program.exists():
        pytest.skip("没有 JupyterLab：pip install -e '.[book]'")
    with lab_server(tmp_path_factory.mktemp("lab"), program) as running:
        yield running
