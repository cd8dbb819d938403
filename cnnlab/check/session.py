"""练习的进度和读者的照片，以及按编号找练习。

这一次会话的记在内存里；跨会话的由 notebook_file 存。
"""

import difflib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from cnnlab.check import notebook_file

# 终端写不出的记号（中文 Windows 的 GBK）换成写得出的
PLAIN_MARKS = {"⬜": "□", "⚠️": "！", "❌": "×", "✅": "√"}
STATES = {"todo": "⬜ 尚未完成", "error": "⚠️ 运行出错", "wrong": "❌ 还不对", "passed": "✅ 通过"}

_registry: dict = {}
_states: dict[str, str] = {}
_photo: list[str | None] = [None]

# 书的次序
BOOK_ORDER = [
    "getting_started",
    "first_layer",
    "middle_layers",
    "activation_maps",
    "patches",
    "neighbors",
    "embedding",
    "occlusion",
    "saliency",
    "guided_backprop",
    "faithfulness",
    "gradient_ascent",
    "facets",
    "deepdream",
    "inversion",
    "texture",
    "style_transfer",
    "fast_style",
]


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
    """记下一道练习的状态：这次会话里的最近一次，文件里的最好一次。"""
    _states[id] = state
    if notebook_file.place():
        kept = notebook_file.load()
        kept["exercises"][id] = notebook_file.better(kept["exercises"].get(id), state)
        notebook_file.save(kept)


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


def _standing() -> dict[str, dict]:
    """每道练习的状态：文件里最好的一次，没有文件时是这次会话里的。"""
    now = {id: {"state": state} for id, state in _states.items()}
    return {**now, **notebook_file.load()["exercises"]}


def progress(slug: str | None = None) -> Lines:
    """一章的练习各是什么状态；不给章名时是全书的表，一章一行。"""
    standing = _standing()
    chosen = exercises(slug)
    if not chosen:
        raise ValueError(f"没有叫 {slug!r} 的章；有练习的章：{_slugs()}")
    passed = [item for item in chosen if standing.get(item.id, {}).get("state") == "passed"]
    stars = f"{sum(item.level for item in passed)} / {sum(item.level for item in chosen)} ★"
    head = f"练习进度：{len(passed)} / {len(chosen)}，{stars}"
    if slug is None:
        return Lines(head, tuple(_chapter_line(name, standing) for name in BOOK_ORDER))
    return Lines(head, tuple(_exercise_line(item, standing.get(item.id)) for item in chosen))


def _chapter_line(slug: str, standing: dict) -> str:
    chosen = exercises(slug)
    marks = "".join(STATES[standing.get(i.id, {}).get("state", "todo")].split()[0] for i in chosen)
    return f"{marks}　{slug}　{'　'.join(item.stars for item in chosen)}"


def _exercise_line(item, one: dict | None) -> str:
    one = one or {"state": "todo"}
    date = f"　{one['date']}" if one.get("date") else ""
    return f"{STATES[one['state']]}　{item.id} {item.title} {item.stars}{date}"


def book_folder() -> str:
    """从这本笔记本到书的文件夹：练习本、考试、项目和解答在书的下一两层里。"""
    here = Path.cwd()
    for above, folder in enumerate([here, *here.parents][:3]):
        if (folder / "solutions").is_dir():
            return "../" * above
    return ""


def next(slug: str | None = None) -> Lines:
    """下一道该做的练习：按书的次序，第一道还没有通过的；给了章名就从那一章找起。"""
    if slug is not None and slug not in BOOK_ORDER:
        raise ValueError(f"没有叫 {slug!r} 的章；有练习的章：{_slugs()}")
    standing, first = _standing(), BOOK_ORDER.index(slug) if slug else 0
    order = [*BOOK_ORDER[first:], *BOOK_ORDER[:first]]
    for item in (item for name in order for item in exercises(name)):
        if standing.get(item.id, {}).get("state") != "passed":
            # 练习本的文件夹里，这一章就在旁边
            above = "" if Path.cwd().name == "practice" else book_folder()
            link = f"[去做这一题]({above}{item.slug}.ipynb)"
            return Lines(f"下一题：{item.id} {item.title} {item.stars}", (item.idea, link))
    return Lines("全部做完了", ("再看一看各章的开放题。",))


def photo(path: str | Path | None = None, size: int = 224) -> Tensor:
    """练习的图用哪张照片：给一次路径就记住；没有给过时是书里的熊猫。(1, 3, size, size)"""
    from cnnlab.pictures.photos import load_image

    kept = notebook_file.load()
    if path is not None:
        image = load_image(path, size)  # 先读一次：读不了的不记
        kept["photo"] = _photo[0] = str(Path(path).resolve())
        notebook_file.save(kept)
        return image
    chosen = _photo[0] or kept["photo"]
    return load_image(chosen if chosen and Path(chosen).exists() else "panda", size)


def _slugs() -> str:
    return "、".join(sorted({item.slug for item in _registry.values()}))


def show(id: str) -> Lines:
    """给出一道练习的解答在哪一页。"""
    exercise = find(id)
    return Lines(f"{exercise.id} {exercise.title}", (exercise.link,))


@dataclass(frozen=True)
class Chosen:
    """or_else 选中的函数；照原样调用，message 说用的是谁的。"""

    function: Callable
    message: str

    def __call__(self, *arguments, **options):
        return self.function(*arguments, **options)

    def __repr__(self) -> str:
        return self.message


def or_else(mine: Callable, ours: Callable | None = None) -> Chosen:
    """你的函数通过了检查就用它，否则用本书的；对应的练习由函数名认出。

    不给 ours 时，本书的是检查里的标准实现：写法朴素，小图上用。
    """
    name = getattr(mine, "__name__", "")
    matching = [item for item in _registry.values() if item.function_name == name]
    if not matching:
        raise ValueError(f"没有哪道练习要你写 {name!r}：函数名要与练习里的一致")
    exercise = matching[0]
    if exercise(mine):
        return Chosen(mine, f"这是你的 {name} 算出来的")
    ours = ours or exercise.ours or exercise.oracle
    if ours is None:
        raise ValueError(f"{name} 没有标准实现：在第二个参数里给一个")
    return Chosen(ours, f"这是本书的写法算出来的；{name} 通过检查之后，换成你的")
