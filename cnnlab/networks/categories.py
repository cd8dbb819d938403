"""类别名：每个输出编号的英文名与中文名，以及由名字查编号。

不管网络的权重与结构，也不管图像。
"""

from __future__ import annotations

import csv
import difflib
import functools
import re
from collections.abc import Iterable
from importlib import resources

PLACES_URL = (
    "https://raw.githubusercontent.com/csailvision/places365/master/categories_places365.txt"
)


class Categories(tuple):
    """英文类别名的不可变序列；`.chinese` 是同序的中文名（没有中文名时是 None）。"""

    chinese: tuple[str, ...] | None

    def __new__(cls, english: Iterable[str], chinese: Iterable[str] | None = None) -> Categories:
        names = super().__new__(cls, (str(name) for name in english))
        translations = None if chinese is None else tuple(str(name) for name in chinese)
        if translations is not None and len(translations) != len(names):
            raise ValueError(
                f"中文名有 {len(translations)} 个，英文名有 {len(names)} 个，两者应当一样多"
            )
        names.chinese = translations
        return names

    def label(self, index: int) -> str:
        """编号 `index` 的显示名，例如“大熊猫 (giant panda)”；没有中文名时只有英文名。"""
        index = int(index)
        if not 0 <= index < len(self):
            raise ValueError(f"类别编号 {index} 超出范围，应当在 0 到 {len(self) - 1} 之间")
        if self.chinese is None:
            return self[index]
        return f"{self.chinese[index]} ({self[index]})"

    def index_of(self, name: str) -> int:
        """名字（英文、中文或 `label` 的写法，不分大小写）对应的编号；查不到时列出相近的名字。"""
        if not isinstance(name, str):
            raise TypeError(f"类别名应当是字符串，得到的是 {type(name).__name__}")
        key = _normalized(name)
        if key not in self._numbers:
            nearest = "、".join(self.label(index) for index in self._nearest(key))
            hint = f"相近的有：{nearest}" if nearest else f"没有相近的；这里共有 {len(self)} 个类别"
            raise ValueError(f"没有名为“{name}”的类别，{hint}")
        return self._numbers[key]

    @functools.cached_property
    def _numbers(self) -> dict[str, int]:
        """规范化的名字到编号的字典：英文名优先，再是中文名，最后是显示名。"""
        table: dict[str, int] = {}
        for names in (self, self.chinese or (), map(self.label, range(len(self)))):
            for index, name in enumerate(names):
                table.setdefault(_normalized(name), index)
        return table

    def _nearest(self, key: str, count: int = 6) -> list[int]:
        """相近的类别编号：先是含有整个 `key` 的，再是拼写接近的，最后是有一个词相同的。"""
        names = [*map(_normalized, self), *map(_normalized, self.chinese or ())]
        whole = [
            name for name in names if key in _words(name) or (not key.isascii() and key in name)
        ]
        close = difflib.get_close_matches(key, names, n=count, cutoff=0.6)
        shared = [name for name in names if _words(name) & _words(key)]
        found = [self._numbers[name] for name in (*whole, *close, *shared)]
        return list(dict.fromkeys(found))[:count]


def _words(name: str) -> set[str]:
    return {word for word in re.findall(r"\w+", name) if len(word) > 2}


def _normalized(name: str) -> str:
    """比较用的写法：小写，下划线当空格，去掉多余的空格和汉字旁边的空格。"""
    text = " ".join(name.replace("_", " ").casefold().split())
    return re.sub(r"(?<=[\u3400-\u9fff]) | (?=[\u3400-\u9fff])", "", text)


@functools.cache
def imagenet_categories() -> Categories:
    """ImageNet 的 1000 个类别（Russakovsky 等，2015）：英文名与本书所译的中文名。"""
    source = resources.files("cnnlab").joinpath("data/imagenet_categories.csv")
    rows = list(csv.DictReader(source.read_text(encoding="utf-8").splitlines()))
    return Categories((row["english"] for row in rows), (row["chinese"] for row in rows))


def places_categories() -> Categories:
    """Places365 的 365 个场景名（Zhou 等，2017）；名单随下载而来，不随包分发。"""
    from cnnlab.networks.downloads import discard, fetch

    path = fetch(PLACES_URL, megabytes=0.01)
    fields = [
        line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()
    ]
    if [field[-1] for field in fields] != [str(index) for index in range(365)]:
        raise discard(path, PLACES_URL, "内容不是 365 行“/字母/名字 编号”")
    return Categories(_readable(field[0]) for field in fields)


def _readable(entry: str) -> str:
    """把 `/a/apartment_building/outdoor` 写成 `apartment building (outdoor)`。"""
    name, *details = entry.strip("/").replace("_", " ").split("/")[1:]
    return f"{name} ({', '.join(details)})" if details else name
