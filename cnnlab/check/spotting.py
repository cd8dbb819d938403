"""找错：同一个函数的五种写法，只有一种是对的；读者先选，再由检查说那一种错在哪里。

牌是练习自己的：易读的答案，和错法表里由它改出来的前四种；选中的写法当场交给同一道练习的检查。
"""

import random
from dataclasses import dataclass

from cnnlab.check import session
from cnnlab.check.core import Verdict
from cnnlab.check.session import Lines, printable
from cnnlab.check.variants import Edited, built, source_of


@dataclass(frozen=True)
class Spread:
    """摊开的五种写法：在终端里是纯文本，在笔记本里是代码块。"""

    id: str
    title: str
    sources: tuple[str, ...]

    @property
    def ask(self) -> str:
        return f"哪一种是对的？选好了写 `check.spot({self.id!r}, answer=号码)`。"

    def __repr__(self) -> str:
        parts = [f"【{n}】\n{source}" for n, source in enumerate(self.sources, 1)]
        head = f"找错：{self.id} {self.title}，五种写法里只有一种对"
        return printable("\n\n".join([head, *parts, self.ask]))

    def _repr_markdown_(self) -> str:
        parts = [f"**写法 {n}**\n\n```python\n{s}\n```" for n, s in enumerate(self.sources, 1)]
        head = f"**找错：`{self.id}` {self.title}**，五种写法里只有一种对"
        return "\n\n".join([head, *parts, self.ask])


def spot(id: str | None = None, answer=None, seed: int = 0) -> Spread | Lines | None:
    """找错：check.spot("occlusion-2") 摊开五种写法，answer=3 说第 3 种对不对、错在哪里。

    不给编号时列出全部的牌；answer=... 是还没选，什么也不显示。同一个 seed 次序不变，换一个 seed 重新洗牌。
    """
    if id is None:
        return Lines(f"找错：{len(cards())} 题", tuple(map(_card_line, cards())))
    if id not in cards():
        raise ValueError(f"找错里没有 {id!r}；有：{'、'.join(cards())}")
    if answer is ...:
        return None
    exercise, sources = session.find(id), versions(id, seed)
    if answer is None:
        return Spread(id, exercise.title, tuple(sources))
    if answer not in range(1, len(sources) + 1):
        raise ValueError(f"answer 是 1 到 {len(sources)} 的号码，收到 {answer!r}")
    verdicts = [_judged(exercise, source) for source in sources]
    if verdicts[answer - 1].state != "passed":
        fault = _fault(verdicts[answer - 1])
        return Lines(f"❌ 第 {answer} 种不对", (fault, "再看看别的几种。"))
    others = [(n, v) for n, v in enumerate(verdicts, 1) if n != answer]
    told = tuple(f"第 {n} 种：{_fault(verdict)}" for n, verdict in others)
    return Lines(f"✅ 第 {answer} 种是对的", told)


def _card_line(id: str) -> str:
    return f"`check.spot({id!r})`　{session.find(id).title}"


def cards() -> list[str]:
    """有牌的练习的编号，按书的次序：错法里有四种是由源码改出来的。"""
    order = session.BOOK_ORDER.index
    dealt = [item for item in session.exercises() if len(_edits(item)) == 4]
    return [item.id for item in sorted(dealt, key=lambda item: order(item.slug))]


def _edits(exercise) -> list[Edited]:
    edits = [wrong for wrong, *_ in exercise.mistakes.values() if isinstance(wrong, Edited)]
    return edits[:4] if exercise.ours else []


def versions(id: str, seed: int = 0) -> list[str]:
    """洗过的五种源码，对的一种混在里面。"""
    exercise = session.find(id)
    made = [source_of(exercise.ours), *(edit.source for edit in _edits(exercise))]
    random.Random(f"{id} {seed}").shuffle(made)
    return made


def _judged(exercise, source: str) -> Verdict:
    return exercise.examine(built(source, exercise.ours))


def _fault(verdict: Verdict) -> str:
    return (*verdict.hints, *verdict.lines)[0]
