"""python -m cnnlab check：每道练习的状态，停不下来的记作超时，其余照查。"""

import json
import subprocess
import sys

import pytest

from cnnlab.__main__ import main as cnnlab_main
from cnnlab.check import marking

CELLS = [
    "import torch\n%matplotlib inline",
    "import torch",
    "raise RuntimeError('画图的格不运行')",
    "def my_gram(features):\n    rows = features.flatten(2)\n"
    "    return rows @ rows.mT / features[0].numel()",
    "def my_saliency(image, target, model):\n    while True:\n        pass",
    "def my_variation(image):\n    print('[1]')\n    raise NotImplementedError",
    "def my_relative_error(found, target):\n    return (found - target).flatten(1).norm(dim=1)",
    "def my_saliency_too(:",
]


def notebook(path, cells):
    made = [{"cell_type": "code", "source": source, "metadata": {}} for source in cells]
    path.write_text(json.dumps({"cells": made}), encoding="utf-8")
    return path


def test_every_exercise_has_a_state_and_an_endless_one_ends(tmp_path):
    path = notebook(tmp_path / "作业.ipynb", CELLS)
    command = [sys.executable, "-m", "cnnlab", "check", str(path), "--limit", "25"]
    run = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    assert run.returncode == 1, run.stderr
    for line in (
        "✅ 通过　texture-1",
        "❌ 还不对　inversion-1",
        "⬜ 尚未完成　inversion-2",
        "⏱ 超时　saliency-1",
        "通过 1 / 4",
    ):
        assert line in run.stdout, run.stdout


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "a.ipynb"
    path.write_text("不是笔记本", encoding="utf-8")
    with pytest.raises(ValueError, match="不是笔记本"):
        marking.main([str(path)])
    with pytest.raises(ValueError, match="没有本书的练习"):
        marking.main([str(notebook(tmp_path / "b.ipynb", ["x = 1"]))])


@pytest.mark.parametrize("place", ["nope.ipynb", "."])
def test_a_notebook_that_is_not_there_is_told_in_words(place):
    with pytest.raises(SystemExit, match=r"错误：读写不了 .*查一查路径"):
        cnnlab_main(["check", place])
