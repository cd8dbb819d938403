"""错法常见的来历：同一个函数，喂进去的实参变了样，或者源码改了一处。"""

import inspect
import re
from collections.abc import Callable
from functools import cached_property


def fed(function: Callable, **changes: Callable) -> Callable:
    """喂进去的实参改了的 function：fed(f, steps=lambda n: n - 1) 少走一步。"""

    def mistaken(*arguments):
        given = inspect.signature(function).bind(*arguments)
        for name, change in changes.items():
            given.arguments[name] = change(given.arguments[name])
        return function(*given.args, **given.kwargs)

    return mistaken


def first(batch):
    """每一项都换成第一项。"""
    return batch[:1].expand_as(batch)


def wrong_ways(mistakes: dict[str, tuple], function: Callable) -> dict[str, tuple]:
    """错法表里的 (原文, 改成) 都换成改了源码的 function；已经是函数的不动。"""
    return {
        key: (
            wrong
            if callable(wrong)
            else Edited(function, *(wrong if isinstance(wrong, list) else [wrong])),
            *hints,
        )
        for key, (wrong, *hints) in mistakes.items()
    }


class Edited:
    """源码改了几处的 function：Edited(f, ("+ bias", "")) 忘了偏置；用到时才读源码、编译。"""

    def __init__(self, function: Callable, *changes: tuple[str, str]) -> None:
        self.function, self.changes = function, changes

    def __call__(self, *arguments):
        return self.built(*arguments)

    @cached_property
    def built(self) -> Callable:
        return built(self.source, self.function)

    @cached_property
    def source(self) -> str:
        text = source_of(self.function)
        for old, new in self.changes:
            if old not in text:
                raise ValueError(f"{self.function.__name__} 里没有 {old!r}")
            text = text.replace(old, new)
        return text


def source_of(function: Callable) -> str:
    """从 def 起的源码，不带装饰器。"""
    text = inspect.getsource(function)
    return text[re.search(r"^ *def ", text, re.MULTILINE).start() :].rstrip()


def built(source: str, function: Callable) -> Callable:
    """编译 source 里那个与 function 同名的函数；看得见的名字与 function 的一样。"""
    scope = dict(function.__globals__)
    exec(source, scope)
    return scope[function.__name__]
