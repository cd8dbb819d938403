"""由程序包的源码写出 book/api.md（公开接口表）：python tools/make_api.py

只读源码，不导入程序包；列出的名字以 cnnlab/__init__.py 的 _exports 为准。
"""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE, PAGE = ROOT / "cnnlab", ROOT / "book" / "api.md"
# 不在 _exports 里、但读者会用到的模块：列出它们全部的公开名字
WHOLE_MODULES = (
    "show.plotting",
    "show.widgets",
    "show.claims",
    "show.card",
    "show.doctor",
    "check.core",
)
HEAD = """# 接口表

每个名字都可以写成 `cnnlab.名字`；最后几个模块要从模块里取，例如 `from cnnlab.show.plotting import show_grid`。
这一页由 `make pages` 从源码写出；完整的说明在 JupyterLab 里用 `help(名字)` 看。
"""


def exports() -> dict[str, list[str]]:
    """cnnlab/__init__.py 里登记的公开名字，按模块。"""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "_exports":
            return ast.literal_eval(node.value)
    raise ValueError("cnnlab/__init__.py 里没有 _exports")


def module_tree(module: str) -> ast.Module | None:
    """一个模块的语法树；没有这个文件时是 None。"""
    path = PACKAGE / f"{module.replace('.', '/')}.py"
    return ast.parse(path.read_text(encoding="utf-8")) if path.exists() else None


def definitions(tree: ast.Module) -> dict[str, ast.AST]:
    """模块顶层的函数、类和常量：名字到语法节点。"""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = node
    return found


def signature(node: ast.AST, name: str) -> str:
    """一行签名：参数名和默认值，不写类型。"""
    if isinstance(node, ast.ClassDef):
        return name
    if not isinstance(node, ast.FunctionDef):
        return name
    arguments = ast.parse(ast.unparse(node.args).join(["def f(", "): pass"])).body[0].args
    for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
        argument.annotation = None
    for star in (arguments.vararg, arguments.kwarg):
        if star is not None:
            star.annotation = None
    return f"{name}({ast.unparse(arguments)})"


def summary(node: ast.AST) -> str:
    """docstring 的第一行，去掉句号。"""
    text = ast.get_docstring(node) if isinstance(node, ast.FunctionDef | ast.ClassDef) else None
    return text.splitlines()[0].rstrip("。") if text else ""


def rows(module: str, names: list[str] | None) -> list[str]:
    """一个模块的表格行；names 是 None 时列出全部不以下划线开头的函数和类。"""
    tree = module_tree(module)
    if tree is None:
        return []
    found = definitions(tree)
    if names is None:
        kinds = ast.FunctionDef | ast.ClassDef
        names = [
            name
            for name, node in found.items()
            if not name.startswith("_") and isinstance(node, kinds)
        ]
    lines = []
    for name in names:
        node = found.get(name)
        if node is not None:
            cells = (f"`{signature(node, name)}`", summary(node))
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines


def page_text() -> str:
    """整页的 Markdown。"""
    parts, listed = [HEAD], exports()
    sections = [(module, names) for module, names in listed.items()]
    sections += [(module, None) for module in WHOLE_MODULES if module not in listed]
    for module, names in sections:
        lines = rows(module, names)
        if lines:
            about = (ast.get_docstring(module_tree(module)) or "").splitlines()
            parts.append(f"## cnnlab.{module}\n")
            parts.append((about[0] if about else "") + "\n")
            parts.append("| 名字 | 得到什么 |\n| --- | --- |\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page_text(), encoding="utf-8")
    print(f"写出 {PAGE.relative_to(ROOT)}")
