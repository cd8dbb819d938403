"""浏览器测试用的 JupyterLab：起一个只听本机的服务器，运行笔记本，等到一件事成立。"""

import json
import os
import secrets
import signal
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BOOK = ROOT / "book"
# 与 Makefile 的 LAB_OPTIONS 相同：不写时上传超过 10 MB 的照片会断开连接
UPLOADS = '--ServerApp.tornado_settings={"websocket_max_message_size": 104857600}'
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false"},
    # 每一格都真的画出来，不等滚到才画
    "notebook-extension/tracker": {"windowingMode": "none"},
}


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


@contextmanager
def lab_server(tmp_path: Path, program: Path):
    """只听本机的 JupyterLab：(网址, 口令, 放笔记本的文件夹)；结束时只收掉它自己的进程组。"""
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
        UPLOADS,
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


def stop_kernels(url: str, token: str):
    """收掉服务器上的全部内核：下一个笔记本用新的。"""
    for kernel in ask(f"{url}/api/kernels", token) or []:
        request = urllib.request.Request(
            f"{url}/api/kernels/{kernel['id']}",
            method="DELETE",
            headers={"Authorization": f"token {token}"},
        )
        urllib.request.urlopen(request, timeout=20)


@contextmanager
def opened(chromium, server, path: Path, width: int = 1280):
    """在 JupyterLab 里打开文件夹里的一个笔记本；结束时关掉页面和内核。"""
    url, token, _ = server
    context = chromium.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    page.set_default_timeout(120_000)
    try:
        page.goto(f"{url}/lab/tree/{path.name}?token={token}&reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        yield page
    finally:
        context.close()
        stop_kernels(url, token)
