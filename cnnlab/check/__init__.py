"""练习检查：check.<练习名>(你的函数) 返回一份报告，通过时为真。

一章一个模块，与章同名；检查器本身见 core。
"""

import difflib
from importlib import import_module
from pkgutil import iter_modules

from cnnlab.check.core import Exercise, Report
from cnnlab.check.guesses import guess, guessed
from cnnlab.check.projects import milestone
from cnnlab.check.session import exercises, next, or_else, photo, progress, register, show
from cnnlab.check.spotting import spot

__all__ = [
    "Exercise",
    "Report",
    "exercises",
    "guess",
    "guessed",
    "milestone",
    "next",
    "or_else",
    "photo",
    "progress",
    "show",
    "spot",
]

_modules = [import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)]

for _module in _modules:
    for _value in list(vars(_module).values()):
        if isinstance(_value, Exercise):
            register(_value)

# 导入子模块会把它绑成包的属性；练习与章同名时（如 saliency）练习要赢，所以放在所有导入之后
for _exercise in exercises():
    if _exercise.name in __all__:
        raise ValueError(f"练习名 {_exercise.name} 与 check 自己的名字冲突")
    globals()[_exercise.name] = _exercise


def __getattr__(name: str):
    if name.startswith("__"):
        raise AttributeError(name)
    close = difflib.get_close_matches(name, [*globals()], n=3, cutoff=0.6)
    near = f"；最接近的有：{'、'.join(close)}" if close else "；check.progress() 列出全部练习"
    raise AttributeError(f"没有叫 {name} 的练习{near}")
