"""两章换了种子和线程数再跑一遍：断言照样成立。"""

import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "run_chapters.py"


@pytest.mark.parametrize("name", ["first_layer", "guided_backprop"])
def test_a_chapter_holds_with_other_seeds_and_threads(name):
    command = [sys.executable, str(TOOL), name, "--seed-shift", "1", "--threads", "2"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    assert f"{name}：CPU" in run.stdout
