"""假想的加速器 sim：公开函数的结果与 CPU 的一样，几章从头到尾在它上面跑完。

每一件都在单独的进程里：登记了 sim，别的测试就都看见一个加速器。全部章节见 `make accelerator`。
"""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent
HABITS = ["default_device", "image_on_sim", "two_devices", "inference_mode", "half_networks"]
CHAPTERS = ["first_layer", "middle_layers", "occlusion"]


def run(*command: str) -> str:
    found = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, cwd=FOLDER, check=False
    )
    assert found.returncode == 0, found.stdout[-4000:] + found.stderr[-4000:]
    return found.stdout


@pytest.mark.parametrize("options", [[], ["--no-float64"]], ids=["float64", "no float64"])
def test_every_public_function_answers_as_on_the_cpu(options):
    output = run("accelerator_calls.py", *options)
    assert "0 处不对" in output


@pytest.mark.parametrize("habit", HABITS)
def test_a_readers_habit_changes_no_answer(habit):
    assert "0 处不对" in run("reader_habits.py", habit)


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_runs_on_the_accelerator(name):
    output = run("accelerator_chapters.py", name)
    assert f"{name}：" in output and "网络在 sim 上" in output
