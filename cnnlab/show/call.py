"""一次调用：控件读出的参数，和写出它的那行代码；属于 settings 的几项合成一个设置对象。

不管控件怎样读，也不管在哪里算。
"""

from __future__ import annotations

import dataclasses
import inspect
from typing import NamedTuple

from cnnlab.show.controls import ROLES, is_default, make_controls


class Job(NamedTuple):
    """要算的一次：参数、写出它的代码、记住结果用的钥匙（代码之外还有上传的内容）。"""

    arguments: dict
    code: str
    key: str


class Call:
    """一个函数和它的控件：`controls` 是 {参数: 控件}，`boxes` 是 {控件名: 动它的那个 widget}。"""

    def __init__(self, function, given: dict, size: int):
        self.function, self.parameters = function, inspect.signature(function).parameters
        self.name = getattr(function, "__name__", "<partial>")
        settings = getattr(self.parameters.get("settings"), "default", None)
        if dataclasses.is_dataclass(settings):
            settings = given.pop("settings", settings)
        self.settings = settings if dataclasses.is_dataclass(settings) else None
        self.defaults = {name: one.default for name, one in self.parameters.items()}
        self.defaults |= vars(self.settings) if self.settings else {}
        made = make_controls(given, lambda name: self.defaults[self.role(name)], size)
        self.controls = {self.role(name): control for name, control in made.items()}
        self.boxes = {name: control.watched for name, control in made.items()}
        wanted = [name for name, each in self.parameters.items() if _is_required(each)]
        if missing := [name for name in wanted if name not in self.controls]:
            raise ValueError(f"{self.name} 还要 {'、'.join(missing)}；写成 {missing[0]}=值或控件")

    def role(self, name: str) -> str:
        """控件 `name` 充当哪个参数。"""
        for role in (name, *ROLES.get(name, ())):
            if role in self.defaults:
                return role
        known = "、".join(self.defaults) or "无"
        roles = "、".join(dict.fromkeys([*ROLES.get(name, ()), name]))
        way = f"；{name}= 传给叫 {roles} 的参数" if name in ROLES else ""
        raise ValueError(f"{self.name} 没有参数 {name}；有的是 {known}{way}")

    def read(self) -> Job:
        """读控件：等于默认值的不写，没有默认值的按位置写。"""
        pairs = {name: control.read() for name, control in self.controls.items()}
        if self.settings is not None:
            pairs = self._with_settings(pairs)
        written, by_place = [], True
        for name, parameter in self.parameters.items():
            given, required = name in pairs, parameter.default is parameter.empty
            by_place &= given and required and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
            if given and not is_default(pairs[name], parameter.default):
                written.append(pairs[name][1] if by_place else f"{name}={pairs[name][1]}")
        code = f"{self.name}({', '.join(written)})"
        contents = [control.content() for control in self.controls.values()]
        return Job(
            {name: value for name, (value, _) in pairs.items()}, code, code + "".join(contents)
        )

    def _with_settings(self, pairs: dict) -> dict:
        """属于 settings 的几项合成一个设置对象，其余的项取自给出的设置。"""
        own = {name: pair for name, pair in pairs.items() if name not in self.parameters}
        rest = {name: pair for name, pair in pairs.items() if name in self.parameters}
        value = dataclasses.replace(self.settings, **{name: pair[0] for name, pair in own.items()})
        default = self.parameters["settings"].default
        return {
            **rest,
            "settings": (value, repr(default) if value == default else settings_code(value, own)),
        }


def _is_required(parameter: inspect.Parameter) -> bool:
    """调用时非给不可；on_step 由面板给。"""
    several = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and not several and parameter.name != "on_step"


def settings_code(settings, pairs: dict) -> str:
    """写出一个设置对象的代码：只写与这种设置的默认值不同的项；`pairs` 是由控件读到的几项 {名: (值, 代码)}。"""
    written = []
    for each in dataclasses.fields(settings):
        value = getattr(settings, each.name)
        pair = pairs.get(each.name, (value, repr(value)))
        if not is_default(pair, each.default):
            written.append(f"{each.name}={pair[1]}")
    return f"{type(settings).__name__}({', '.join(written)})"
