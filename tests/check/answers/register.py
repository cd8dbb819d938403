"""答案的登记簿：谁的练习、对还是错、错的该由哪一道关口拦下。"""

from collections.abc import Callable

RIGHT: list[tuple[str, Callable]] = []
WRONG: list[tuple[str, str, Callable]] = []


def right(exercise: str) -> Callable:
    """这是 exercise 的一种对的写法。"""

    def keep(function):
        RIGHT.append((exercise, function))
        return function

    return keep


def wrong(exercise: str, kind: str) -> Callable:
    """这是 exercise 的一种错法，报告的 kind 应当是给的这一种。"""

    def keep(function):
        WRONG.append((exercise, kind, function))
        return function

    return keep
