"""先猜一猜：记下、留住、与量到的放在一起；写错了用中文说明。"""

import ast
import json
from pathlib import Path

import pytest

from cnnlab import check
from cnnlab.check import guesses

BOOK = Path(__file__).resolve().parent.parent.parent / "book"
CHAPTERS = sorted(BOOK.glob("*.ipynb"))


@pytest.fixture
def kept(monkeypatch, tmp_path):
    """一个干净的会话和一个还不存在的进度文件。"""
    monkeypatch.setattr(guesses, "_asked", {})
    path = tmp_path / "新文件夹" / "progress.json"
    monkeypatch.setenv("CNNLAB_PROGRESS", str(path))
    return path


def test_placeholders_are_silent_and_write_nothing(kept):
    assert check.guess("saliency", {"几张会变": ..., "对还是错": ...}) is None
    assert not kept.exists()
    table = check.guessed("saliency", 6, "错")
    assert table.headers == ["问题", "量到的"]
    assert table.rows == [["几张会变", "6"], ["对还是错", "错"]]


def test_guesses_stand_beside_what_was_measured(kept):
    said = check.guess("saliency", {"几张会变": 2, "对还是错": "对"})
    assert said.rows == [["几张会变", "2"], ["对还是错", "对"]]
    table = check.guessed("saliency", 6, 0.12345)
    assert table.headers == ["问题", "你猜的", "量到的"]
    assert table.rows == [["几张会变", "2", "6"], ["对还是错", "对", "0.123"]]


def test_guesses_outlive_the_session_and_a_fresh_copy(kept, monkeypatch):
    check.guess("saliency", {"甲": "对", "乙": ...})
    monkeypatch.setattr(guesses, "_asked", {})
    assert check.guess("saliency", {"甲": ..., "乙": ...}) is None
    assert check.guessed("saliency", 1, 2).rows == [["甲", "对", "1"], ["乙", "–", "2"]]
    check.guess("saliency", {"甲": ..., "乙": True})
    stored = json.loads(kept.read_text(encoding="utf-8"))["guesses"]
    assert stored == {"saliency": {"甲": "对", "乙": "对"}}


def test_a_broken_file_stops_nothing(kept):
    kept.parent.mkdir()
    for text in ("坏", '{"guesses": {"saliency": 3}}', '{"guesses": {"saliency": {"甲": [1]}}}'):
        kept.write_text(text, encoding="utf-8")
        check.guess("saliency", {"甲": ...})
        assert check.guessed("saliency", 1)
    assert check.guess("saliency", {"甲": "对"})


def test_nothing_is_written_under_test(monkeypatch):
    monkeypatch.delenv("CNNLAB_PROGRESS", raising=False)
    monkeypatch.setattr(guesses, "_asked", {})
    saved = []
    monkeypatch.setattr(guesses.notebook_file.json, "dumps", saved.append)
    assert check.guess("saliency", {"甲": "对"}) and not saved


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((5, {"甲": "对"}), "章名要是一个字符串"),
        (("saliency", "对"), "猜测写成"),
        (("saliency", {}), "猜测写成"),
        (("saliency", {3: "对"}), "问题要是文字"),
        (("saliency", {"甲": ["对"]}), "要猜文字或一个数"),
        (("saliency", {"甲": "  "}), "空的"),
    ],
)
def test_bad_guesses_are_refused_in_chinese(kept, arguments, message):
    with pytest.raises(ValueError, match=message):
        check.guess(*arguments)
    assert not kept.exists()


def test_the_table_asks_for_the_guess_cell_and_every_answer(kept):
    with pytest.raises(ValueError, match="先运行开头"):
        check.guessed("saliency", 1)
    check.guess("saliency", {"甲": ..., "乙": ...})
    with pytest.raises(ValueError, match="开头问了 2 个问题，这里给了 1 个"):
        check.guessed("saliency", 1)


def calls_of(path: Path, name: str) -> list[ast.Call]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    found = [source for source in sources if f"check.{name}(" in source]
    trees = [node for source in found for node in ast.walk(ast.parse(source))]
    return [n for n in trees if isinstance(n, ast.Call) and ast.unparse(n.func) == f"check.{name}"]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_each_chapter_asks_once_and_answers_every_question(path):
    (asked,), (told,) = calls_of(path, "guess"), calls_of(path, "guessed")
    chapter, questions = asked.args
    assert chapter.value == told.args[0].value == path.stem
    assert 2 <= len(questions.keys) == len(told.args) - 1
    assert all(ast.unparse(value) == "..." for value in questions.values), "发布的样子都没有猜"
