"""python -m cnnlab check 笔记本.ipynb：运行一本做过的笔记本里的练习，列出每道的状态。

在子进程里运行，有时限：停不下来的一道记作超时，其余的照查。只运行导入语句和定义练习函数的格，
不运行图和训练，所以快，也不依赖网络。
"""

import ast
import json
import subprocess
import sys
from pathlib import Path

from cnnlab.check import session
from cnnlab.core.command_line import Parser, whole_from

START, DONE = "开始", "结果"


def main(arguments: list[str]) -> None:
    """命令行入口；有一道没有通过时退出码是 1。"""
    parser = Parser(main.__doc__, prog="python -m cnnlab check")
    parser.add_argument("notebook", metavar="笔记本.ipynb", type=Path, help="做过的笔记本")
    parser.add_argument("--limit", type=whole_from(1), default=60, help="每一趟至多几秒，缺省 60")
    options = parser.parse_args(arguments)
    cells = code_cells(options.notebook)
    wanted = [item for item in session.exercises() if defining(cells, item.function_name)]
    if not wanted:
        raise ValueError(f"{options.notebook} 里没有本书的练习")
    results = run_all(options.notebook, [item.id for item in wanted], options.limit)
    for item in wanted:
        state, first = results[item.id]
        label = session.STATES.get(state, "⏱ 超时")
        print(session.printable(f"{label}　{item.id} {item.title} {item.stars}　{first}").rstrip())
    passed = sum(state == "passed" for state, _ in results.values())
    print(f"通过 {passed} / {len(wanted)}")
    if passed < len(wanted):
        sys.exit(1)


def code_cells(path: Path) -> list[str]:
    """笔记本里的代码格；不是笔记本时报错。"""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        return ["".join(cell["source"]) for cell in cells]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} 不是笔记本（.ipynb）") from error


def parsed(source: str) -> list[ast.stmt]:
    """一格的语句；写错了语法的、带魔法命令的，当作没有。"""
    try:
        return ast.parse(source).body
    except SyntaxError:
        return []


def defining(cells: list[str], name: str) -> str | None:
    """最后一个定义了 name 的格。"""
    kinds = (ast.FunctionDef, ast.ClassDef)
    found = [
        source
        for source in cells
        if any(isinstance(node, kinds) and node.name == name for node in parsed(source))
    ]
    return found[-1] if found else None


def run_all(path: Path, ids: list[str], limit: float) -> dict[str, tuple[str, str]]:
    """编号 -> (状态, 第一句话)；停不下来的记作 timeout，另起一个子进程查剩下的。"""
    results, left = {}, list(ids)
    while left:
        lines = one_run(path, left, limit)
        for kind, id, *rest in lines:
            if kind == DONE:
                results[id] = tuple(rest)
        begun = [id for kind, id, *_ in lines if kind == START]
        stuck = begun[-1] if begun and begun[-1] not in results else left[0]
        if any(id not in results for id in left):
            results.setdefault(stuck, ("timeout", f"{limit:g} 秒内没有结束"))
        left = [id for id in left if id not in results]
    return results


def one_run(path: Path, ids: list[str], limit: float) -> list[list[str]]:
    """在子进程里依次检查 ids，到时限就停；返回它已经说出的行。"""
    program = "from cnnlab.check.marking import child; child()"
    command = [sys.executable, "-c", program, str(path), *ids]
    try:
        run = subprocess.run(command, stdout=subprocess.PIPE, timeout=limit)
        text = run.stdout
    except subprocess.TimeoutExpired as stopped:
        text = stopped.stdout or b""
    lines = [line for line in text.decode("utf-8", "replace").splitlines() if line[:1] == "["]
    return [json.loads(line) for line in lines if line[-1:] == "]"]


def child() -> None:
    """子进程里做的：读入导入语句和练习函数，逐道检查，结果一行行写到标准输出。"""
    path, ids = Path(sys.argv[1]), sys.argv[2:]
    out, sys.stdout = sys.stdout, sys.stderr  # 学习者的 print 不混进结果
    cells, scope = code_cells(path), {}
    for source in cells:
        for node in parsed(source):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                attempt(ast.unparse(node), scope)
    for id in ids:
        exercise = session.find(id)
        tell(out, START, id)
        trouble = attempt(defining(cells, exercise.function_name), scope)
        if trouble:
            tell(out, DONE, id, "error", trouble)
            continue
        report = exercise(scope[exercise.function_name])
        tell(out, DONE, id, report.state, report.lines[0] if report.state != "passed" else "")


def attempt(source: str, scope: dict) -> str | None:
    """执行一段；出错时返回一句话。"""
    try:
        exec(source, scope)
    except (Exception, SystemExit) as error:
        return f"这一格运行不了：{type(error).__name__}"
    return None


def tell(out, *parts: str) -> None:
    out.buffer.write((json.dumps(parts, ensure_ascii=False) + "\n").encode())
    out.flush()
