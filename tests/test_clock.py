"""章里没有一个断言看钟：量出的时间给读者看，机器忙时书也照样建成。"""

import ast

import pytest
from test_notebooks import NOTEBOOKS, cells, name_of, parsed

CLOCKS = {"time", "perf_counter", "monotonic", "process_time", "thread_time", "timeit", "now"}


def reads_clock(node: ast.AST, timed: set[str]) -> bool:
    """这一段里有没有读钟，或用到读钟得来的名字。"""
    for part in ast.walk(node):
        if isinstance(part, ast.Call):
            name = part.func
            called = getattr(name, "attr", getattr(name, "id", ""))
            if called in CLOCKS:
                return True
        if isinstance(part, ast.Name) and part.id in timed:
            return True
        if isinstance(part, ast.Attribute) and part.attr == "seconds":
            return True
    return False


def names_in(target: ast.AST) -> set[str]:
    """赋值的左边是哪几个名字；写 seconds[key] 的是 seconds。"""
    if isinstance(target, ast.Tuple | ast.List):
        return set().union(*map(names_in, target.elts))
    while isinstance(target, ast.Subscript | ast.Attribute | ast.Starred):
        target = target.value
    return {target.id} if isinstance(target, ast.Name) else set()


def timed_names(trees: list[ast.Module]) -> set[str]:
    """由钟得来的名字：赋值、循环、append、函数，一处传一处，直到不再增加。"""
    timed: set[str] = set()
    while True:
        found = set(timed)
        for node in (node for tree in trees for node in ast.walk(tree)):
            if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign) and node.value:
                if reads_clock(node.value, found):
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    found |= set().union(*map(names_in, targets))
            elif isinstance(node, ast.For | ast.comprehension) and reads_clock(node.iter, found):
                found |= names_in(node.target)
            elif isinstance(node, ast.FunctionDef) and reads_clock(node, found):
                found.add(node.name)
            elif (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("append", "extend", "update", "setdefault")
                and any(reads_clock(each, found) for each in node.args)
            ):
                found |= names_in(node.func.value)
        if found == timed:
            return timed
        timed = found


def judgements(trees: list[ast.Module]):
    """断言，和说法的 holds。"""
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Assert):
            yield node.test
        if isinstance(node, ast.Call):
            yield from (each.value for each in node.keywords if each.arg == "holds")


def faults(trees: list[ast.Module]) -> list[str]:
    timed = timed_names(trees)
    return [ast.unparse(each) for each in judgements(trees) if reads_clock(each, timed)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_no_judgement_depends_on_a_clock(path):
    # 练习的小样例给的是假的钟，照理不变
    code = [cell for cell in cells(path, "code") if "check" not in cell.metadata.get("tags", [])]
    assert not faults([parsed(cell) for cell in code])


@pytest.mark.parametrize(
    "text",
    [
        "import time\nbegan = time.time()\nassert time.time() - began < 1",
        "a = perf_counter()\nb = {}\nb['x'] = 2 * (perf_counter() - a)\nassert b['x'] > 0",
        "s = []\ns.append(monotonic())\nratio = s[0] / 2\nclaims.record(1, holds={'比': (1, ratio, 2)})",
        "def cost(job):\n    return process_time()\nassert cost(1) < cost(2)",
        "run = fit(network)\nassert run.seconds < 3",
    ],
)
def test_a_clock_is_found(text):
    assert faults([ast.parse(text)])


def test_what_no_clock_decides_is_let_through():
    text = "began = time.time()\nprint(time.time() - began)\nsteps = 3\nassert steps == 3"
    assert not faults([ast.parse(text)])
