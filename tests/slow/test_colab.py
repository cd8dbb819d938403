"""Colab 的版本：装上 cnnlab 不换掉任何一个包，两章从头到尾跑完。"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "colab_environment.py"


@pytest.mark.skipif(
    not os.environ.get("CNNLAB_COLAB"), reason="要从网上装一整套包：make colab 才跑"
)
def test_colabs_versions_stay_and_two_chapters_run(tmp_path):
    command = [sys.executable, str(TOOL), str(tmp_path / "colab"), "first_layer", "deepdream"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout[-4000:] + found.stderr[-4000:]
    assert "pip 没有换掉任何一个包" in found.stdout
    assert found.stdout.count("没有一格报错") == 2
