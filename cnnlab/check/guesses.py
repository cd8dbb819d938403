"""先猜一猜：章的开头记下读者的猜测，章末与量到的放进一张表。

这一次会话的记在内存里；跨会话的由 notebook_file 存，与练习的进度在一起。
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnlab.check import notebook_file

if TYPE_CHECKING:
    from cnnlab.show.tables import Table

# 章 -> {问题: 猜的；还没猜是 None}，次序是开头那一格里的次序
_asked: dict[str, dict[str, str | None]] = {}


def guess(chapter: str, answers: dict) -> Table | None:
    """记下“先猜一猜”里的猜测：{问题: 你猜的}；写 `...` 的还没猜，全没猜时什么也不显示。

    `chapter` 是章名，如 "saliency"。你猜的可以是文字、数、True 或 False。以前猜过、这次写 `...` 的，
    留着以前的。
    """
    if not isinstance(chapter, str) or not chapter:
        raise ValueError(f'章名要是一个字符串，如 "saliency"；得到 {chapter!r}')
    if not isinstance(answers, dict) or not answers:
        raise ValueError(f"猜测写成 {{问题: 你猜的}}，还没猜的写 ...；得到 {answers!r}")
    kept = notebook_file.load()
    before = kept["guesses"].get(chapter)
    before = {**(before if isinstance(before, dict) else {}), **_asked.get(chapter, {})}
    new = {question: _text_of(question, answer) for question, answer in answers.items()}
    mine = {question: new[question] or before.get(question) for question in new}
    _asked[chapter] = mine
    if not any(new.values()):
        return None
    kept["guesses"][chapter] = {question: text for question, text in mine.items() if text}
    notebook_file.save(kept)
    return _table(mine.items(), "问题", "你猜的")


def guessed(chapter: str, *measured) -> Table:
    """你猜的与量到的，一问一行；`measured` 按开头那一格里各问的次序给。没有猜过时只列量到的。"""
    asked = _asked.get(chapter)
    if asked is None:
        known = "、".join(_asked) or "无"
        raise ValueError(f"{chapter!r} 还没有猜：先运行开头“先猜一猜”的那一格；猜过的章：{known}")
    if len(measured) != len(asked):
        raise ValueError(f"开头问了 {len(asked)} 个问题，这里给了 {len(measured)} 个量到的答案")
    if not any(asked.values()):
        return _table(zip(asked, measured, strict=True), "问题", "量到的")
    rows = [(q, mine, seen) for (q, mine), seen in zip(asked.items(), measured, strict=True)]
    return _table(rows, "问题", "你猜的", "量到的")


def _text_of(question, answer) -> str | None:
    """一个猜测的文字；`...` 是还没猜。"""
    if not isinstance(question, str):
        raise ValueError(f"问题要是文字；得到 {question!r}")
    if answer is ... or answer is None:
        return None
    if isinstance(answer, str):
        if not answer.strip():
            raise ValueError(f"“{question}”猜的是空的：写上你猜的，还没猜就写 ...")
        return answer.strip()
    if isinstance(answer, (bool, int, float)):
        return "对" if answer is True else "错" if answer is False else f"{answer:g}"
    raise ValueError(f"“{question}”要猜文字或一个数；得到 {type(answer).__name__}")


def _table(rows, *headers: str) -> Table:
    from cnnlab.show.tables import show_table  # 检查自己用不着画图的那一间，到这里才导入

    return show_table(list(rows), list(headers))
