"""Colab 存回来的笔记本（它的元数据、滑块的状态、输出），经 nbstripout 之后与原来一样过得了各项检查。"""

import subprocess
import sys

import nbformat
import pytest
import test_notebooks
from test_notebooks import BOOK, cells, read

COLAB = {
    "accelerator": "GPU",
    "colab": {"provenance": [], "gpuType": "T4", "toc_visible": True},
    "widgets": {"application/vnd.jupyter.widget-state+json": {"a1": {"model_name": "IntSlider"}}},
}


@pytest.fixture
def saved_by_colab(tmp_path):
    """一章，照 Colab 的样子存一遍：没有格子的 id，有输出、执行次数和它自己的元数据。"""
    notebook = nbformat.read(BOOK / "saliency.ipynb", as_version=4)
    notebook.metadata |= COLAB
    notebook.nbformat_minor = 0
    for number, cell in enumerate(notebook.cells):
        cell.metadata |= {"id": cell.pop("id"), "outputId": "0f"}
        if cell.cell_type == "code":
            cell.execution_count = number
            cell.outputs = [nbformat.v4.new_output("stream", text="好\n")]
    path = tmp_path / "saliency.ipynb"
    nbformat.write(notebook, path)
    subprocess.run([sys.executable, "-m", "nbstripout", str(path)], check=True)
    return path


def test_nothing_that_was_written_is_lost(saved_by_colab):
    original = BOOK / "saliency.ipynb"
    for kind in ("code", "markdown"):
        sources = [
            [cell.source for cell in cells(path, kind)] for path in (saved_by_colab, original)
        ]
        assert sources[0] == sources[1]


def test_the_usual_checks_take_it(saved_by_colab, monkeypatch):
    test_notebooks.test_no_outputs(saved_by_colab)
    test_notebooks.test_setup_cell_is_the_same_everywhere(saved_by_colab, monkeypatch)
    test_notebooks.test_cells_are_short(saved_by_colab)
    test_notebooks.test_every_code_cell_follows_a_sentence(saved_by_colab)
    assert "widgets" not in read(saved_by_colab).metadata
