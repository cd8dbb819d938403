"""练习检查的核心：一个练习一条 Exercise，检查一次得一份 Report。

不打印、不显示、不知道任何一章的内容；报告里没有参考答案的任何数。
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from cnnlab.check import session
from cnnlab.check.compare import first_difference, form_fault, same
from cnnlab.check.effects import EFFECTS, changed, isolated, leaves, snapshot
from cnnlab.check.errors import is_unfinished, learner_frame, plain_message, translated
from cnnlab.check.session import STATES, printable

GENERIC = (
    "形式都对，值不对，也不像常见的错法。",
    "用 1×1 或 2×2 的小例子手算一遍，再与函数的结果逐个比较。",
)


@dataclass(frozen=True)
class Report:
    """一次检查的结果：四种状态之一和几句话；通过时为真。"""

    id: str
    title: str
    state: str
    lines: tuple[str, ...] = ()

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
    """答案在一组数据上跑一次：返回值、副作用的键、异常。"""

    output: Any = None
    effects: tuple[str, ...] = ()
    error: Exception | None = None

    def matches(self, other: "Run", tolerance: float) -> bool:
        if self.error or other.error:
            both = self.error and other.error
            return bool(both) and plain_message(self.error) == plain_message(other.error)
        return self.effects == other.effects and same(self.output, other.output, tolerance)


@dataclass(frozen=True)
class Verdict:
    """检查的结论：状态、总要说的话、分级的提示。"""

    state: str
    lines: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()


class _LearnerError(Exception):
    """学习者的函数在性质检查里抛出的异常，包一层以便与我们自己的分开。"""


def call_plainly(answer: Callable, *arguments) -> Any:
    return answer(*arguments)


@dataclass(frozen=True, eq=False)
class Exercise:
    """一道练习；像函数一样调用它来检查答案：check.name(my_name, hint=1)。

    probes：每个都不带参数，返回一组全新的实参；检查按位置传给学习者的函数。
    oracle：与书中代码写法不同的参考实现；开放构造题可以没有，只看 properties。
    mistakes：键 -> (错误实现, 提示一[, 提示二, 提示三])；没有提示的由性质或副作用说话。
    properties：(谓词(返回值, *实参), 提示一[, …])；laws：(谓词(call, *实参), 提示一[, …])。
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
    mistakes: dict[str, tuple] = field(default_factory=dict)
    properties: Sequence[tuple] = ()
    laws: Sequence[tuple] = ()
    tolerance: float = 1e-6
    run: Callable = call_plainly
    allow: Sequence[str] = ()
    keeps_graph: bool = False

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
        return f"[解答：{self.id}](solutions/{self.slug}.ipynb)"

    def __call__(self, answer: Callable, *, hint: int = 1) -> Report:
        if hint not in (1, 2, 3):
            raise ValueError(f"hint 只能是 1、2 或 3，收到 {hint!r}")
        report = self.render(self.examine(answer), hint)
        session.record(self.id, report.state)
        return report

    def execute(self, answer: Callable, probe: Callable[[], tuple]) -> Run:
        """在一组全新的数据上跑一次，记下返回值、副作用或异常。"""
        arguments = probe()
        with isolated():
            before = snapshot(arguments)
            try:
                output = self.run(answer, *arguments)
            except Exception as error:
                return Run(error=error)
            effects = changed(before, snapshot(arguments))
        return Run(output, tuple(key for key in effects if key not in self.allow))

    def examine(self, answer: Callable) -> Verdict:
        """逐组数据检查，第一个毛病说话；与要看到第几级提示无关。"""
        if not callable(answer):
            usage = f"`check.{self.name}({self.function_name})`"
            kind = type(answer).__name__
            return Verdict("wrong", (f"传进来的是 {kind}，不是函数：写成 {usage}，不带括号。",))
        for probe in self.probes:
            try:
                run = self.execute(answer, probe)
                hints = () if run.error else self._fault(answer, run, probe)
            except _LearnerError as wrapped:
                run, hints = Run(error=wrapped.__cause__), ()
            if run.error and is_unfinished(run.error):
                return Verdict("todo", ("把 `raise NotImplementedError` 换成你的实现。",))
            if run.error or hints:
                named = self._mistake_hints(run, probe)
                state, lines = (
                    ("error", self._error_lines(run.error)) if run.error else ("wrong", ())
                )
                return Verdict(state, lines, named or hints or translated(run.error))
        moved = {leaf.device.type for leaf in leaves(run.output) if isinstance(leaf, Tensor)} - {
            "cpu"
        }
        note = tuple(f"返回值在 {device} 上，检查时搬回了 CPU。" for device in sorted(moved))
        return Verdict("passed", (*note, *self._passed_lines()))

    def render(self, verdict: Verdict, hint: int) -> Report:
        """把结论写成报告：提示给到第 hint 级，缺的级用整道练习的想法与出处。"""
        lines = list(verdict.lines)
        if verdict.hints:
            levels = [*verdict.hints, *(None,) * (3 - len(verdict.hints))]
            lines += [levels[0], levels[1] or self.idea, levels[2] or self.where][:hint]
            if hint < 3:
                usage = f"check.{self.name}({self.function_name}, hint={hint + 1})"
                lines.append(f"下一级提示：`{usage}`")
        title = f"{self.title} {self.stars}"
        return Report(self.id, title, verdict.state, tuple(lines))

    def _fault(self, answer: Callable, run: Run, probe: Callable) -> tuple:
        """四道关口里的第一个毛病，以各级提示给出；没有毛病得空元组。"""
        expected = self.execute(self.oracle, probe).output if self.oracle else None
        fault = form_fault(run.output, expected, keeps_graph=self.keeps_graph)
        if fault:
            return (f"{fault}题目要的是：{self.answer}。",)
        if run.effects:
            return EFFECTS[run.effects[0]]
        for predicate, *hints in self.properties:
            if not _holds(predicate, run.output, *probe()):
                return tuple(hints)
        for law, *hints in self.laws:
            with isolated():
                if not _holds(law, self._guarded(answer), *probe()):
                    return tuple(hints)
        if self.oracle and not same(run.output, expected, self.tolerance):
            place = first_difference(run.output, expected, self.tolerance)
            return (GENERIC[0] + place, f"{GENERIC[1]}{self.idea}")
        return ()

    def _guarded(self, answer: Callable) -> Callable:
        def call(*arguments):
            try:
                return self.run(answer, *arguments)
            except Exception as error:
                raise _LearnerError from error

        return call

    def _mistake_hints(self, run: Run, probe: Callable) -> tuple:
        for wrong, *hints in self.mistakes.values():
            if hints and run.matches(self.execute(wrong, probe), self.tolerance):
                return tuple(hints)
        return ()

    def _error_lines(self, error: Exception) -> tuple[str, ...]:
        lines = [f"`{plain_message(error)}`"]
        frame = learner_frame(error)
        if frame is not None:
            code = f"：`{frame.line}`" if frame.line else ""
            lines.append(f"出错的是 `{frame.name}` 的第 {frame.lineno} 行{code}")
        elif isinstance(error, TypeError):
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


def _holds(predicate: Callable, *arguments) -> bool:
    try:
        return bool(predicate(*arguments))
    except _LearnerError:
        raise
    except Exception:
        # 返回值的形状离谱时谓词会抛错，也算不满足
        return False
