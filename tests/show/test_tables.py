"""表格与源码：内容不变、转义、源码逐字。"""

import numpy as np
import pytest
import torch

from cnnlab.show.tables import show_source, show_table


def test_table_keeps_words_and_rounds_numbers():
    table = show_table(
        [["conv1", 3, 0.123456], ["fire5", 63, 12345.6]], ["层", "感受野", "值"], digits=3
    )
    assert table.rows == [["conv1", "3", "0.123"], ["fire5", "63", "12346"]]
    assert table.numeric == [False, True, True]
    assert "| conv1 | 3 | 0.123 |" in table._repr_markdown_()


def test_table_takes_dicts_tensors_and_blanks():
    assert show_table({"甲": torch.tensor(0.5), "乙": np.int64(7)}).rows == [
        ["甲", "0.5"],
        ["乙", "7"],
    ]
    table = show_table([{"名": "a", "对": True}, {"名": "b", "对": None}])
    assert table.headers == ["名", "对"] and table.rows == [["a", "是"], ["b", "–"]]


def test_table_escapes_for_each_format():
    table = show_table([["a|b", "<b>"]], ["x", "y"])
    assert "a\\|b" in table._repr_markdown_()
    assert "&lt;b&gt;" in table._repr_html_() and "<b>" not in table._repr_html_()


def test_uneven_rows_are_refused():
    with pytest.raises(ValueError, match="格"):
        show_table([[1, 2], [3]])
    with pytest.raises(ValueError, match="格"):
        show_table([])


def sample(value):
    """说明。

    第二行。
    """
    return value + 1


def test_source_is_the_functions_own_and_can_drop_the_docstring():
    source = show_source(sample)
    assert "第二行" in repr(source) and repr(source).startswith("def sample(value):")
    short = repr(show_source(sample, docstring=False))
    assert short == "def sample(value):\n    return value + 1"
    assert show_source(sample)._repr_markdown_().startswith("~~~python\ndef sample")


def test_source_of_builtin_is_refused():
    with pytest.raises(ValueError, match="源码"):
        show_source(len)
