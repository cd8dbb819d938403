"""练习检查的核心：一个练习一条 Exercise，检查一次得一份 Report。

不打印、不显示、不知道任何一章的内容；报告里没有参考答案的任何数。
"""

import inspect
import io
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from cnnlab.check import session
from cnnlab.check.compare import (
    ROUNDED,
    as_tensor,
    described,
    first_difference,
    form_fault,
    same,
    single_precision,
)
from cnnlab.check.effects import EFFECTS, changed, isolated, leaves, snapshot
from cnnlab.check.errors import is_unfinished, learner_frame, plain_message, translated
from cnnlab.check.gradients import FLOWING
from cnnlab.check.repair import repaired
from cnnlab.check.session import STATES, printable
from cnnlab.check.slips import diagnosis, follow_up
from cnnlab.check.variants import wrong_ways

GENERIC = (
    "形式都对，值不对，也不像常见的错法。",
    "用 1×1 或 2×2 的小例子手算一遍，再与函数的结果逐个比较。",
)


@dataclass(frozen=True)
class Report:
    """一次检查的结果：四种状态之一和几句话；通过时为真。

    kind 是没通过的缘由：form（形式）、effect（副作用）、property（性质）、mistake（认得的错法）、
    generic（值不对，说不出为什么）、error（运行出错）；通过或未完成时为空。
    """

    id: str
    title: str
    state: str
    lines: tuple[str, ...] = ()
    kind: str = ""

    def __bool__(self) -> bool:
        return self.state == "passed"

    def __repr__(self) -> str:
        plain = [re.sub(r"\[([^]]+)\]\(([^)]+)\)", r"\1（\2）", line) for line in self.lines]
        text = "\n  ".join([f"{STATES[self.state]}：{self.id} {self.title}", *plain])
        return printable(text)

    def _repr_markdown_(self) -> str:
        head = f"**{STATES[self.state]}**：`{self.id}` {self.title}"
        return "\n".join([head, "", *(f"- {line}" for line in self.lines)])


@dataclass(frozen=True)
class Run:
    """答案在一组数据上跑一次：返回值、副作用的键、异常，和标准值。"""

    probe: Callable
    output: Any = None
    effects: tuple[str, ...] = ()
    error: BaseException | None = None
    expected: Any = None

    def matches(self, other: "Run", tolerance: float) -> bool:
        if self.error or other.error:
            both = self.error and other.error
            return bool(both) and plain_message(self.error) == plain_message(other.error)
        return self.effects == other.effects and same(self.output, other.output, tolerance)


@dataclass(frozen=True)
class Verdict:
    """检查的结论：状态、总要说的话、分级的提示、没通过的缘由。"""

    state: str
    lines: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    kind: str = ""


class Unfit(Exception):
    """返回的东西不合题意，检查进行不下去；文字就是给学习者的话。"""


class _LearnerError(Exception):
    """学习者的函数抛出的异常，包一层以便与我们自己的分开。"""


_NEVER = object()


class _Answer:
    """学习者的函数：照样调用，记下最近一次的返回值；它抛的异常包成 _LearnerError。"""

    def __init__(self, function: Callable) -> None:
        self.function, self.returned = function, _NEVER

    def __call__(self, *arguments):
        try:
            self.returned = self.function(*arguments)
        except KeyboardInterrupt:  # 读者按了 ■
            raise
        except BaseException as error:
            raise _LearnerError from error
        return self.returned

    def __getattr__(self, name: str):
        return getattr(self.function, name)


def call_plainly(answer: Callable, *arguments) -> Any:
    return answer(*arguments)


@dataclass(frozen=True, eq=False)
class Exercise:
    """一道练习；像函数一样调用它来检查答案：check.name(my_name, hint=1)。

    probes：每个都不带参数，返回一组全新的实参；检查按位置传给学习者的函数。
    oracle：参考实现；开放构造题可以没有，只看 properties。
    ours：大图和真网络上也快的实现，供 or_else；不给就用 oracle。
    mistakes：键 -> (错误实现, 提示一[, 提示二, 提示三])；没有提示的由性质或副作用说话。
        错误实现是函数，或一对 (原文, 改成)，几对放一个列表：改的是 ours 的源码，没有 ours 就是参考实现的。
    properties：(谓词(返回值, *实参), 提示一[, …])；laws：(谓词(call, *实参), 提示一[, …])。
    tell：(返回值, *实参) -> 一句话，填进性质的提示一里的 {}，说学习者自己量到的数。
    run：怎样从学习者给的东西得到返回值，默认直接调用；allow：允许的副作用，键见 EFFECTS。
    """

    id: str
    name: str
    title: str
    level: int
    stub: str
    probes: Sequence[Callable[[], tuple]]
    answer: str
    idea: str
    where: str
    question: str
    oracle: Callable | None = None
    ours: Callable | None = None
    mistakes: dict[str, tuple] = field(default_factory=dict)
    properties: Sequence[tuple] = ()
    laws: Sequence[tuple] = ()
    tolerance: float = 1e-6
    run: Callable = call_plainly
    allow: Sequence[str] = ()
    keeps_graph: bool = False
    tell: Callable | None = None

    @property
    def slug(self) -> str:
        return self.id.rsplit("-", 1)[0]

    @property
    def function_name(self) -> str:
        return self.stub.split("(")[0]

    @property
    def stars(self) -> str:
        return "★" * self.level

    @property
    def link(self) -> str:
        return f"[解答：{self.id}]({session.book_folder()}solutions/{self.slug}.ipynb)"

    def __call__(self, answer: Callable, hint: int = 1) -> Report:
        if hint not in (1, 2, 3):
            raise ValueError(f"hint 只能是 1、2 或 3，收到 {hint!r}")
        verdict = self.examine(answer)
        if hint > 1 and verdict.kind in ("mistake", "property") and len(verdict.hints) == 1:
            verdict = replace(verdict, hints=(*verdict.hints, *self._located(answer)))
        report = self.render(verdict, hint)
        session.record(self.id, report.state)
        return report

    def execute(self, answer: Callable, probe: Callable[[], tuple]) -> Run:
        """在一组全新的数据上跑一次，记下返回值、副作用或异常。"""
        arguments, called = probe(), _Answer(answer)
        with isolated():
            before = snapshot(arguments)
            try:
                output = self.run(called, *arguments)
            except _LearnerError as wrapped:
                return Run(probe, error=wrapped.__cause__)
            except Unfit as fault:
                return Run(probe, error=fault)
            except Exception as error:
                # 学习者的代码也可能在调用之后才跑到（如 autograd 函数的反向）
                theirs = learner_frame(error) or called.returned is _NEVER
                text = _unusable(called.returned)
                return Run(probe, error=error if theirs else Unfit(text))
            effects = changed(before, snapshot(arguments))
        return Run(probe, output, tuple(key for key in effects if key not in self.allow))

    def examine(self, answer: Callable) -> Verdict:
        """逐组数据检查，第一个毛病说话；与要看到第几级提示无关。"""
        if not callable(answer):
            usage = f"`check.{self.name}({self.function_name})`"
            kind = type(answer).__name__
            text = f"传进来的是 {kind}，不是函数：写成 {usage}，不带括号。"
            return Verdict("wrong", (text,), kind="form")
        run = self.execute(answer, self.probes[0])
        with redirect_stdout(io.StringIO()):  # 学习者的 print 只出现一遍
            return self._examined(answer, run)

    def _examined(self, answer: Callable, run: Run) -> Verdict:
        for number, probe in enumerate(self.probes):
            run = self.execute(answer, probe) if number else run
            kind, hints = self._judged(answer, run)
            if isinstance(hints, BaseException):  # 性质检查里又调用了一次，那一次出了错
                run, hints = Run(probe, error=hints), ()
            if run.error and is_unfinished(run.error):
                return Verdict("todo", (self._unfinished_line(run.error),))
            if run.error or hints:
                return self._refusal(answer, run, number, kind, hints)
        moved = {leaf.device.type for leaf in leaves(run.output) if isinstance(leaf, Tensor)} - {
            "cpu"
        }
        note = tuple(f"返回值在 {device} 上，检查时搬回了 CPU。" for device in sorted(moved))
        return Verdict("passed", (*note, *self._passed_lines()))

    def _judged(self, answer: Callable, run: Run) -> tuple[str, Any]:
        """(缘由, 各级提示)；我们自己的检查算不下去时，只说返回的是什么。"""
        if run.error:
            return (
                ("form", (f"{run.error}题目要的是：{self.answer}。",))
                if isinstance(run.error, Unfit)
                else ("error", ())
            )
        try:
            return self._fault(answer, run)
        except _LearnerError as wrapped:
            return "error", wrapped.__cause__
        except Exception:
            return "form", (f"{_unusable(run.output)}题目要的是：{self.answer}。",)

    def _refusal(self, answer: Callable, run: Run, number: int, kind: str, hints: tuple) -> Verdict:
        named = () if hints == (ROUNDED,) else self._mistake_hints(answer, run, number)
        if named:
            kind, hints = "mistake", named
        elif kind == "generic":
            told = self._diagnosed(answer)
            place = hints[0].removeprefix(GENERIC[0])
            kind, hints = ("mistake", (told + place, follow_up(told))) if told else (kind, hints)
        elif kind == "property" and self.oracle:
            hints = ((self._diagnosed(answer, tried=False) or "") + hints[0], *hints[1:])
        if run.error and not isinstance(run.error, Unfit):
            lines = self._error_lines(run.error)
            return Verdict("error", lines, hints or translated(run.error) or ("",), kind)
        return Verdict("wrong", (), hints, kind)

    def _diagnosed(self, answer: Callable, tried: bool = True) -> str | None:
        runs = []
        for probe in self.probes:
            run = self.execute(answer, probe)
            expected = self._expected(probe).output
            if not run.error and not form_fault(run.output, expected, keeps_graph=True):
                runs.append(replace(run, expected=expected))
        with isolated():
            return diagnosis(self, runs, answer if tried else None)

    def _located(self, answer: Callable) -> tuple[str, ...]:
        """毛病没有自己的第二级提示时：错在学习者的哪一行，或返回值的哪一处；值都对时没有。"""
        wanted = [run.output for run in self._oracle_runs] if self.oracle else []
        with redirect_stdout(io.StringIO()), isolated():
            runs = [self.execute(answer, run.probe) for run in self._oracle_runs] if wanted else []
            pairs = list(zip(runs, wanted, strict=True))
            if all(same(run.output, right, self.tolerance) for run, right in pairs):
                return ()
            told = repaired(self, answer, wanted)
        for number, (run, right) in enumerate(pairs, 1):
            fits = not run.error and not form_fault(run.output, right, keeps_graph=True)
            if not told and fits and not same(run.output, right, self.tolerance):
                told = _place_to_look(run.output, right, self.tolerance, number)
        return (told,) if told else ()

    def _expected(self, probe: Callable) -> Run:
        """标准实现在一组数据上的结果；没有标准实现时是空的。"""
        return self._oracle_runs[self.probes.index(probe)] if self.oracle else Run(probe)

    # 数据的种子是定的，错法和标准实现各跑一遍就够
    @cached_property
    def _oracle_runs(self) -> list[Run]:
        return [self.execute(self.oracle, probe) for probe in self.probes]

    @cached_property
    def _mistake_runs(self) -> dict[str, list[Run]]:
        return {
            key: [self.execute(wrong, probe) for probe in self.probes]
            for key, (wrong, *_) in self.mistakes.items()
        }

    def render(self, verdict: Verdict, hint: int) -> Report:
        """把结论写成报告：提示给到第 hint 级，缺的级用整道练习的想法与出处。"""
        lines = list(verdict.lines)
        if verdict.hints:
            idea = f"这道题的想法：{self.idea}"
            levels = [*verdict.hints, *[None] * 3][:3]
            levels[1] = levels[1] or idea
            late = (idea,) if self.idea not in levels[1] else ()
            levels[2:] = [levels[2]] if levels[2] else [*late, self.where]
            lines += filter(None, levels if hint == 3 else levels[:hint])
            if hint < 3:
                usage = f"check.{self.name}({self.function_name}, hint={hint + 1})"
                lines.append(f"下一级提示：`{usage}`")
        title = f"{self.title} {self.stars}"
        return Report(self.id, title, verdict.state, tuple(lines), verdict.kind)

    def _fault(self, answer: Callable, run: Run) -> tuple[str, tuple]:
        """四道关口里的第一个毛病：(缘由, 各级提示)；没有毛病时提示为空。"""
        expected = self._expected(run.probe).output
        fault = form_fault(run.output, expected, keeps_graph=self.keeps_graph)
        if fault:
            return "form", (f"{fault}题目要的是：{self.answer}。",)
        if run.effects:
            return "effect", EFFECTS[run.effects[0]]
        output = _like(run.output, expected)
        # float32 的值对，别处却差在精度上：说精度，不说性质
        single = isinstance(output, (Tensor, tuple, list)) and output is not run.output
        right = single and not self.keeps_graph and same(run.output, expected, self.tolerance)
        rounded = right and ("form", (ROUNDED,))
        for predicate, *hints in self.properties:
            if not predicate(output, *run.probe()):
                if rounded:
                    return rounded
                told = self.tell(output, *run.probe()) if self.tell else ""
                return "property", (hints[0].format(told), *hints[1:])
        for law, *hints in self.laws:
            with isolated():
                if not law(self._guarded(answer, expected), *run.probe()):
                    return (law not in FLOWING and rounded) or ("property", tuple(hints))
        if self.oracle and not same(run.output, expected, self.tolerance):
            place = first_difference(run.output, expected, self.tolerance)
            return "generic", (GENERIC[0] + place, f"{GENERIC[1]}{self.idea}")
        return "", ()

    def _guarded(self, answer: Callable, expected) -> Callable:
        called = _Answer(answer)
        return lambda *arguments: _like(self.run(called, *arguments), expected)

    def _mistake_hints(self, answer: Callable, run: Run, number: int) -> tuple:
        """认出错法：到这一组为止处处与它一样；有几个时取别的组上也最像的。"""
        runs = [self.execute(answer, probe) for probe in self.probes]
        runs[number] = run if run.error else runs[number]
        best, most = (), 0
        for key, (_, *hints) in self.mistakes.items():
            made = self._mistake_runs[key]
            alike = [a.matches(b, self.tolerance) for a, b in zip(runs, made, strict=True)]
            # 只有一个数的答案容易碰巧相同，要每一组都相同才算
            needed = alike if _single(run.output) else alike[: number + 1]
            wrong_here = not made[number].matches(self._expected(run.probe), self.tolerance)
            if hints and wrong_here and all(needed) and sum(alike) > most:
                best, most = tuple(hints), sum(alike)
        return best

    def _unfinished_line(self, error: BaseException) -> str:
        told = str(error)
        if told and self.id not in told:
            return f"还有没写完的地方：`{plain_message(error)}`"
        return "把 `raise NotImplementedError` 换成你的实现。"

    def _error_lines(self, error: BaseException) -> tuple[str, ...]:
        lines = [f"`{plain_message(error)}`"]
        frame = learner_frame(error)
        if frame is not None:
            code = f"：`{frame.line}`" if frame.line else ""
            lines.append(f"出错的是 `{frame.name}` 的第 {frame.lineno} 行{code}")
        elif isinstance(error, TypeError) and "(" in self.stub:
            lines.append(f"检查按位置传入 `{self.stub.removeprefix(self.function_name)}`。")
        return tuple(lines)

    def _passed_lines(self) -> tuple[str, ...]:
        stages = ["返回值的形式", "副作用"]
        count = len(self.properties) + len(self.laws)
        if count:
            stages.append(f"{count} 条性质")
        if self.oracle:
            stages.append(f"{len(self.probes)} 组数据上的值")
        return (f"查过了：{'、'.join(stages)}。", f"接着想：{self.question}", self.link)


def exercise(
    title: str, *, asked: str = "", open_ended: bool = False, ours=None, mistakes=(), **parts
) -> Callable:
    """装饰一个函数，得到一道练习：函数体是参考实现，练习名、编号、学习者的签名都由它来。

    练习名是函数名；编号是章名加它在模块里的次序；学习者写的叫 my_练习名，参数照抄，asked 另给名字。
    open_ended 为真的没有标准实现，只看性质，函数只说有哪些参数。parts 是 Exercise 的其余各项。
    """

    def made(reference: Callable) -> Exercise:
        module, name = sys.modules[reference.__module__], reference.__name__
        before = sum(isinstance(value, Exercise) for value in vars(module).values())
        return Exercise(
            id=f"{module.__name__.rpartition('.')[2]}-{before + 1}",
            name=name,
            title=title,
            stub=stub_of(reference, asked or f"my_{name}"),
            oracle=None if open_ended else reference,
            ours=ours,
            mistakes=wrong_ways(dict(mistakes), ours or reference),
            **parts,
        )

    return made


def stub_of(reference: Callable, name: str) -> str:
    """学习者要写的：函数的名字和参数；类只有名字。"""
    if isinstance(reference, type):
        return name
    return f"{name}({', '.join(inspect.signature(reference).parameters)})"


def _place_to_look(output, right, tolerance: float, number: int) -> str:
    """只错了一部分的，第一处在哪里；处处都错的，看哪一处都一样。"""
    place = first_difference(output, right, tolerance)
    count = re.search(r"共 (\d+) 处", place)
    whole = count and int(count[1]) > 0.8 * as_tensor(right).numel()
    return "" if whole or not place else f"检查用的第 {number} 组数据上，{place}手算这一处。"


def _unusable(output) -> str:
    if output is None:
        return "函数返回了 None：是不是忘了 return？"
    return f"返回的是{described(output)}，检查进行不下去。"


def _single(output) -> bool:
    found = as_tensor(output)
    return found is not None and found.numel() == 1


def _like(output, expected):
    """学习者给的是 Python 的数、float32 的张量时，换成与标准值一样的再去查性质。"""
    if isinstance(expected, Tensor) and isinstance(output, (bool, int, float)):
        return torch.tensor(float(output), dtype=torch.float64)
    if isinstance(expected, (tuple, list)) and isinstance(output, (tuple, list)):
        made = [_like(a, b) for a, b in zip(output, expected, strict=False)]
        changed = any(a is not b for a, b in zip(made, output, strict=False))
        return type(output)(made) if changed and type(output) in (tuple, list) else output
    return output.double() if single_precision(output, expected) else output
