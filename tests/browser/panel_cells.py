"""一章里每块面板要先运行的格子；在新的进程里把面板写出的一行代码再算一遍，画成同样的图。

用法：python tests/browser/panel_cells.py 章名 第几块 代码 存图的文件。不打开浏览器。
"""

import ast
import inspect
import re
import symtable
import sys
from pathlib import Path

import nbformat

BOOK = Path(__file__).resolve().parent.parent.parent / "book"


def plain(source: str) -> str:
    """一格的代码，`%pip` 之类的行换成 pass。"""
    return re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", source)


def tree_of(source: str) -> ast.Module:
    """一格的语法树；`%pip` 之类的行换成 pass。"""
    return ast.parse(plain(source))


def scopes(table):
    """符号表和套在里面的各张。"""
    yield table
    for child in table.get_children():
        yield from scopes(child)


def bound(source: str) -> set[str]:
    """一格里绑定或改动的全局名字：赋值、函数、导入，和被下标赋值的。"""
    table = symtable.symtable(plain(source), "格", "exec")
    found = {
        one.get_name() for one in table.get_symbols() if one.is_assigned() or one.is_imported()
    }
    for node in ast.walk(tree_of(source)):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            found |= {part.id for part in ast.walk(node.value) if isinstance(part, ast.Name)}
    return found


def used(source: str) -> set[str]:
    """一格里读到的全局名字；函数的参数和局部的名字不算。"""
    table = symtable.symtable(plain(source), "格", "exec")
    found = {one.get_name() for one in table.get_symbols() if one.is_referenced()}
    for scope in scopes(table):
        if scope is not table:
            found |= {one.get_name() for one in scope.get_symbols() if one.is_global()}
    return found


def is_panel(source: str) -> bool:
    """这一格摆出一块参数面板（不是预先画好的滑块）。"""
    for node in ast.walk(tree_of(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "explore":
            return len(node.args) == 1
    return False


def panel_slices(slug: str, path: Path | None = None) -> list[list[str]]:
    """每块面板：要先运行的各格和它自己，按书里的次序。"""
    notebook = nbformat.read(path or BOOK / f"{slug}.ipynb", as_version=4)
    skipped = {"setup", "check", "exercise"}
    cells = [
        cell.source
        for cell in notebook.cells
        if cell.cell_type == "code"
        and not skipped & set(cell.metadata.get("tags", []))
        and not re.search(r"\b(check|claims)\.", cell.source)
    ]
    found = []
    for place, source in enumerate(cells):
        if is_panel(source):
            wanted, kept = used(source), [source]
            for earlier in reversed(cells[:place]):
                if bound(earlier) & wanted and not is_panel(earlier):
                    wanted |= used(earlier)
                    kept.insert(0, earlier)
            found.append(kept)
    return found


def captured(cells: list[str]) -> tuple[dict, dict]:
    """运行各格，但不摆面板：(名字, explore 收到的)。"""
    names, given = {}, {}

    def explore(function, **options):
        given.update(function=function, **options)

    for source in cells:
        # 导入 explore 的一格之后换掉它
        exec(compile(tree_of(source), "<格>", "exec"), names)
        names["explore"] = explore
    return names, given


def drawn_again(cells: list[str], code: str):
    """照一行代码再算一遍，用面板的画法画出来（PIL）。"""
    import cnnlab
    from cnnlab.show.frames import render
    from cnnlab.show.outcome import draw_result

    names, given = captured(cells)
    known = {name: getattr(cnnlab, name) for name in dir(cnnlab) if not name.startswith("_")}
    for name in re.findall(r"[A-Za-z_]\w*", code):
        if name not in names and hasattr(cnnlab, name):
            known[name] = getattr(cnnlab, name)
    call = ast.parse(code, mode="eval").body

    def value(node):
        return eval(compile(ast.Expression(node), "<代码>", "eval"), {**known, **names})

    function = given["function"]
    arguments = [value(node) for node in call.args]
    options = {one.arg: value(one.value) for one in call.keywords}
    result = function(*arguments, **options)
    shown = inspect.signature(function).bind(*arguments, **options)
    shown.apply_defaults()
    at = {**shown.arguments, "code": code}
    return render(lambda _: draw_result(given.get("show"), result, at), code)


if __name__ == "__main__":
    slug, place, code, path = sys.argv[1:]
    drawn_again(panel_slices(slug)[int(place)], code).save(path)
