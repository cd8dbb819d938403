"""这一次会话里练习的状态，以及按编号找练习。

只记最近一次检查的状态；环境变量 CNNLAB_PROGRESS 指明文件时才写盘。
"""

import difflib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# 终端写不出的记号（中文 Windows 的 GBK）换成写得出的
PLAIN_MARKS = {"⬜": "□", "⚠️": "！", "❌": "×", "✅": "√"}
STATES = {"todo": "⬜ 尚未完成", "error": "⚠️ 运行出错", "wrong": "❌ 还不对", "passed": "✅ 通过"}

_registry: dict = {}
_states: dict[str, str] = {}


def register(exercise) -> None:
    """登记一道练习；名字或编号重复时报错。"""
    for other in _registry.values():
        clash = other.id == exercise.id or other.name == exercise.name
        if clash and other is not exercise:
            raise ValueError(f"练习 {exercise.id}（{exercise.name}）与 {other.id} 重名或重号")
    _registry[exercise.id] = exercise


def exercises(slug: str | None = None) -> list:
    """某一章（缺省为全部）的练习，按编号排序。"""
    chosen = [item for item in _registry.values() if slug in (None, item.slug)]
    return sorted(chosen, key=lambda item: (item.slug, int(item.id.rsplit("-", 1)[1])))


def find(id: str):
    """按编号找练习；没有时列出最接近的。"""
    if id in _registry:
        return _registry[id]
    close = difflib.get_close_matches(id, _registry, n=3, cutoff=0.3)
    raise ValueError(f"没有编号为 {id!r} 的练习；最接近的有：{'、'.join(close) or '（无）'}")


def record(id: str, state: str) -> None:
    """记下一道练习的状态；有 CNNLAB_PROGRESS 时写进它指的文件。"""
    _states[id] = state
    path = os.environ.get("CNNLAB_PROGRESS")
    if path:
        text = json.dumps({**_saved(), id: state}, ensure_ascii=False, indent=1, sort_keys=True)
        Path(path).write_text(text + "\n", encoding="utf-8")


def _saved() -> dict[str, str]:
    path = os.environ.get("CNNLAB_PROGRESS")
    if not path or not Path(path).exists():
        return {}
    try:
        saved = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ValueError("CNNLAB_PROGRESS 指的文件不是进度文件：换一个名字或删掉它") from error
    return saved if isinstance(saved, dict) else {}


def printable(text: str) -> str:
    """标准输出写得出的样子：写不出 ❌ 一类记号的，换成普通的记号。"""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        for mark, plain in PLAIN_MARKS.items():
            text = text.replace(mark, plain)
        return text.encode(encoding, "replace").decode(encoding)
    return text


@dataclass(frozen=True)
class Lines:
    """几行文字：在终端里是纯文本，在笔记本里是列表。"""

    head: str
    items: tuple[str, ...]

    def __repr__(self) -> str:
        return printable("\n  ".join([self.head, *self.items]))

    def _repr_markdown_(self) -> str:
        return "\n".join([f"**{self.head}**", "", *(f"- {item}" for item in self.items)])


def progress(slug: str | None = None) -> Lines:
    """列出练习的状态：指定的一章，或者这次会话里检查过的各章。"""
    states = {**_saved(), **_states}
    slugs = {slug} if slug else {id.rsplit("-", 1)[0] for id in states}
    chosen = [item for name in sorted(slugs) for item in exercises(name)]
    if slug and not chosen:
        raise ValueError(f"没有叫 {slug!r} 的章；有练习的章：{_slugs()}")
    done = sum(states.get(item.id) == "passed" for item in chosen)
    items = tuple(
        f"{STATES[states.get(item.id, 'todo')]}　{item.id} {item.title} {item.stars}"
        for item in chosen
    )
    return Lines(f"练习进度：{done} / {len(chosen)}", items)


def _slugs() -> str:
    return "、".join(sorted({item.slug for item in _registry.values()}))


def show(id: str) -> Lines:
    """给出一道练习的解答在哪一页。"""
    exercise = find(id)
    return Lines(f"{exercise.id} {exercise.title}", (exercise.link,))


@dataclass(frozen=True)
class Chosen:
    """or_else 选中的函数；照原样调用，显示时说明用的是谁的。"""

    function: Callable
    message: str

    def __call__(self, *arguments, **options):
        return self.function(*arguments, **options)

    def __repr__(self) -> str:
        return self.message


def or_else(mine: Callable, ours: Callable) -> Chosen:
    """你的函数通过了检查就用它，否则用本书的；对应的练习由函数名认出。"""
    name = getattr(mine, "__name__", "")
    matching = [item for item in _registry.values() if item.function_name == name]
    if not matching:
        raise ValueError(f"没有哪道练习要你写 {name!r}：函数名要与练习里的一致")
    if matching[0](mine):
        return Chosen(mine, f"下面用的是你的 {name}")
    return Chosen(ours, f"{name} 还没有通过检查，下面用本书的 {getattr(ours, '__name__', '实现')}")
