"""Colab 的 ipywidgets 7.7.1 和它自己的前端（JupyterLab 3）：拨一章的面板，传图、运行、停。

新建一个小环境，只装这几个包；torch 等别的从现在的环境里借。装不上时跳过，在 CI 里算失败。
"""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# ipywidgets 7 配 jupyterlab_widgets 1：不写明就会装上 3，那是 ipywidgets 8 的前端
PACKAGES = ("ipywidgets==7.7.1", "jupyterlab-widgets<2", "jupyterlab<4")
CHAPTER = "occlusion"


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    """装着 ipywidgets 7.7.1 的环境里的 jupyter-lab。"""
    folder = tmp_path_factory.mktemp("widgets7") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    install = [folder / "bin" / "python", "-m", "pip", "install", "-q", *PACKAGES]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        lacking = pytest.fail if os.environ.get("CI") else pytest.skip
        lacking(f"装不上 {'、'.join(PACKAGES)}：{done.stderr[-600:]}")
    (site,) = folder.glob("lib/python*/site-packages")
    borrowed = sysconfig.get_path("purelib")
    # 借来的排在最后，两边都有的包用新装的
    (site / "borrowed.pth").write_text(f"import site; site.addsitedir({borrowed!r})\n")
    return folder / "bin" / "jupyter-lab"


def test_a_panel_is_driven_under_ipywidgets_7(program):
    asked = [program.with_name("python"), "-c", "import ipywidgets; print(ipywidgets.__version__)"]
    found = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    assert found.strip() == "7.7.1"
    drive = [sys.executable, "-m", "pytest", "tests/browser/test_panels.py"]
    options = ["-k", f"equals_its_code and {CHAPTER}", "-o", "addopts=-p no:nbval"]
    chosen = {"CNNLAB_LAB": str(program), "CNNLAB_PANELS": CHAPTER}
    done = subprocess.run(
        [*drive, *options], env=os.environ | chosen, cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode == 0 and "1 skipped" in done.stdout:
        pytest.skip("没有 Chromium")
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout[-4000:] + done.stderr
