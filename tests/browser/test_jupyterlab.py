"""在真的 JupyterLab 里从头到尾运行一章，再用键盘拨动滑块，图要跟着变。"""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
BOOK = ROOT / "book"
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false"},
    # 每一格都真的画出来，不等滚到才画
    "notebook-extension/tracker": {"windowingMode": "none"},
}


def chapter_with_slider() -> Path | None:
    """最短的一章里有滑块的那个笔记本。"""
    candidates = [
        path for path in BOOK.glob("*.ipynb") if "explore(" in path.read_text(encoding="utf-8")
    ]
    preferred = [path for path in candidates if path.stem == "first_layer"]
    return (preferred or sorted(candidates, key=lambda path: path.stat().st_size) or [None])[0]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(url: str, token: str):
    """问服务器一句；忙得答不上来时是 None。"""
    request = urllib.request.Request(url, headers={"Authorization": f"token {token}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
    except OSError:
        return None


def wait_until(condition, seconds: float, what: str):
    """等到条件成立，返回它的值。"""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.3)
    raise AssertionError(f"{seconds:.0f} 秒里没有等到：{what}")


@pytest.fixture
def server(tmp_path, chromium):
    """只听本机的 JupyterLab；结束时只收掉它自己的进程组。"""
    program = Path(sys.executable).with_name("jupyter-lab")
    if not program.exists():
        pytest.skip("没有 JupyterLab：pip install -e '.[book]'")
    for name, values in SETTINGS.items():
        path = tmp_path / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    folder = tmp_path / "notebooks"
    folder.mkdir()
    port, token = free_port(), secrets.token_hex(16)
    environment = dict(
        os.environ, JUPYTERLAB_SETTINGS_DIR=str(tmp_path / "settings"), CNNLAB_PROFILE="quick"
    )
    for kind in ("CONFIG", "DATA", "RUNTIME"):
        environment[f"JUPYTER_{kind}_DIR"] = str(tmp_path / kind.lower())
    environment["JUPYTERLAB_WORKSPACES_DIR"] = str(tmp_path / "workspaces")
    command = [
        str(program),
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={folder}",
        "--expose-app-in-browser",
        f"--LabApp.app_settings_dir={BOOK / '_lab'}",
        "--LabApp.news_url=",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    log = (tmp_path / "server.log").open("w")
    process = subprocess.Popen(
        command, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(
            lambda: process.poll() is not None or ask(f"{url}/api/status", token),
            90,
            "JupyterLab 起来",
        )
        assert process.poll() is None, (tmp_path / "server.log").read_text()[-2000:]
        yield url, token, folder
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        log.close()


def run_everything(page, url: str, token: str):
    """等内核空闲，运行全部单元格，存盘。"""

    def idle():
        kernels = ask(f"{url}/api/kernels", token) or []
        return any(
            kernel["connections"] and kernel["execution_state"] == "idle" for kernel in kernels
        )

    wait_until(idle, 120, "内核空闲")
    page.evaluate(
        """() => { window.finished = null;
        window.jupyterapp.commands.execute("notebook:run-all-cells").then(() => { window.finished = true; },
          error => { window.finished = String(error); }); }"""
    )
    page.wait_for_function("() => window.finished !== null", timeout=300_000)
    wait_until(idle, 300, "运行完毕")


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
    handle, picture = box.locator("[role=slider], .noUi-handle").first, box.locator("img").first
    before = picture.get_attribute("src")
    handle.scroll_into_view_if_needed()
    handle.focus()
    page.keyboard.press("ArrowRight")
    if picture.get_attribute("src") == before:
        page.wait_for_timeout(1500)
    if picture.get_attribute("src") == before:
        # 滑块已在最右端
        page.keyboard.press("ArrowLeft")
    page.wait_for_function(
        "([image, old]) => image.src !== old", arg=[picture.element_handle(), before]
    )
    context.close()


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
