"""由程序包的源码和各章写出 book/api.md（接口表）：python tools/make_api.py

只读源码，不导入程序包。列出的名字是 cnnlab/__init__.py 的 _exports，加上各章导入的别的名字；
排法是书的次序：写它的那一章，或最先用到它的那一章；没有一章用到的放在最后，按模块。
"""

import ast
import json
import re
from pathlib import Path

from make_errata import chapters, markdown_of, title_of

from cnnlab.core.command_line import Parser

ROOT = Path(__file__).resolve().parent.parent
PACKAGE, PAGE = ROOT / "cnnlab", ROOT / "book" / "api.md"
# 以属性取用的：check.guess、doctor.doctor；{房间: 列出的名字}
ROOMS = {
    "check": [
        *("guess", "guessed", "spot", "or_else", "photo", "progress", "next", "show"),
        *("exercises", "milestone", "Exercise", "Report"),
    ],
    "show.doctor": ["doctor", "Report", "Finding"],
}
HEAD = """# 接口表

按书的次序：每个名字列在推导它的那一章，或最先用到它的那一章；“也用于”是另外用到它的章。
每个名字都可以写成 `cnnlab.名字`，例外的在名字后面写明从哪里取。参数的意思写在说明里，也可以用 `help(名字)` 看。
这一页由 `make pages` 从源码和各章写出。
"""
TABLE = "| 名字与参数 | 说明 |\n| --- | --- |\n"


def exports() -> dict[str, str]:
    """cnnlab/__init__.py 里登记的公开名字：{名字: 模块}。"""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "_exports":
            listed = ast.literal_eval(node.value)
            return {name: module for module, names in listed.items() for name in names}
    raise ValueError("cnnlab/__init__.py 里没有 _exports")


def definitions(module: str) -> dict[str, ast.AST]:
    """模块顶层的函数、类和常量：名字到语法节点。"""
    tree = ast.parse((PACKAGE / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))
    found: dict[str, ast.AST] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign):
            for target in ast.walk(node.targets[0]):
                if isinstance(target, ast.Name):
                    found[target.id] = node
    return found


def imported() -> dict[str, dict[str, str]]:
    """各章导入的名字：{章: {名字: 模块或 ""}}，按书的次序。"""
    found: dict[str, dict[str, str]] = {}
    for slug in chapters():
        cells = json.loads((ROOT / "book" / f"{slug}.ipynb").read_text(encoding="utf-8"))["cells"]
        names = found.setdefault(slug, {})
        for cell in cells:
            if cell["cell_type"] != "code":
                continue
            code = re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", "".join(cell["source"]))
            for node in ast.walk(ast.parse(code)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cnnlab"):
                    module = node.module.removeprefix("cnnlab").lstrip(".")
                    names.update({alias.name: module for alias in node.names})
                elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "claims":
                    names[node.attr] = ""
    return found


def homes() -> dict[str, tuple[str, str]]:
    """每个名字的 (章或 "", 模块)：推导它的一章，或最先导入它的一章。"""
    public, used = exports(), imported()
    modules = dict(public)
    for names in used.values():
        modules |= {name: module for name, module in names.items() if module and name not in public}
    found = {}
    for name, module in modules.items():
        own = module.removeprefix("chapters.") if module.startswith("chapters.") else ""
        first = next((slug for slug, names in used.items() if name in names), "")
        found[name] = (own or first, module)
    return found


def signature(node: ast.AST, name: str) -> str:
    """一行签名：参数名和默认值，不写类型；数据类是它的各个字段。"""
    if isinstance(node, ast.ClassDef):
        maker = next((each for each in node.body if getattr(each, "name", "") == "__init__"), None)
        if maker is not None:
            return f"{name}({shown(maker.args).removeprefix('self').lstrip(', ')})"
        fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
        listed = [
            each.target.id + (f"={ast.unparse(each.value)}" if each.value else "")
            for each in fields
        ]
        return f"{name}({', '.join(listed)})" if listed else name
    if isinstance(node, ast.FunctionDef):
        return f"{name}({shown(node.args)})"
    return name


def shown(arguments: ast.arguments) -> str:
    """参数表，去掉类型。"""
    for one in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
        one.annotation = None
    for star in (arguments.vararg, arguments.kwarg):
        if star is not None:
            star.annotation = None
    return ast.unparse(arguments)


def about(node: ast.AST) -> str:
    """docstring 全文排进一格：第一句之后换行，星号、竖线、尖括号都不当作标记。"""
    documented = isinstance(node, ast.FunctionDef | ast.ClassDef)
    text = (ast.get_docstring(node) if documented else "") or ""
    head, _, rest = text.partition("\n")
    rest = re.sub(r"(?<=[A-Za-z0-9])\s*\n\s*(?=[A-Za-z0-9])", " ", rest.strip())
    rest = re.sub(r"\s*\n\s*", "", rest)
    joined = f"{head}<br>{rest}" if rest else head
    parts = re.split(r"(`[^`]*`|<br>)", joined)
    return "".join(
        part if place % 2 else re.sub(r"([_\[\]<$|])", r"\\\1", part).replace("*", "＊")
        for place, part in enumerate(parts)
    )


def comment(module: str, node: ast.AST) -> str:
    """常量上一行的注释。"""
    lines = (PACKAGE / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8").splitlines()
    before = lines[node.lineno - 2].strip()
    return before.lstrip("# ") if before.startswith("#") else ""


def row(name: str, module: str, also: list[str], *, reachable: bool = True) -> str:
    """一个名字的一行。"""
    node = definitions(module)[name]
    text = about(node) if not isinstance(node, ast.Assign) else comment(module, node)
    place = "" if reachable else f"<br>取自 `cnnlab.{module}`"
    text += f"<br>也用于：{'、'.join(also)}" if also else ""
    cells = (f"`{signature(node, name)}`".replace("|", "\\|") + place, text)
    return "| " + " | ".join(cell or "–" for cell in cells) + " |"


def sections() -> list[str]:
    """各章一节；最后是没有一章用到的名字，按模块。"""
    public, used, found = exports(), imported(), homes()
    titles = {slug: title_of(markdown_of(ROOT / "book" / f"{slug}.ipynb")) for slug in used}
    parts = []
    for slug, title in titles.items():
        rows = []
        for name, (home, module) in found.items():
            if home == slug:
                others = [each for each in used if each != slug and name in used[each]]
                also = [f"[{titles[each]}]({each}.ipynb)" for each in others]
                also = also if len(also) <= 6 else ["各章"]
                rows.append(row(name, module, also, reachable=name in public))
        if rows:
            lines = "\n".join(rows)
            parts.append(f"## {title}\n\n见[《{title}》]({slug}.ipynb)。\n\n{TABLE}{lines}\n")
    rest = {name: module for name, (home, module) in found.items() if not home}
    parts.append("## 各章没有用到的\n\n写自己的实验时用得上。\n\n" + TABLE)
    parts[-1] += "\n".join(row(name, module, []) for name, module in rest.items()) + "\n"
    for room, names in ROOMS.items():
        places = sources(room)
        lines = "\n".join(row(name, places.get(name, room), []) for name in names)
        last = room.rpartition(".")[2]
        parts.append(
            f"## 以 cnnlab.{last} 取用的\n\n例如 `{last}.{names[0]}`。\n\n{TABLE}{lines}\n"
        )
    return parts


def sources(room: str) -> dict[str, str]:
    """一个房间的 __init__.py 从哪个模块导入了哪些名字。"""
    path = PACKAGE / room.replace(".", "/") / "__init__.py"
    tree = ast.parse(path.read_text(encoding="utf-8")) if path.exists() else ast.Module([], [])
    found = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cnnlab."):
            found |= {alias.name: node.module.removeprefix("cnnlab.") for alias in node.names}
    return found


def page_text() -> str:
    """整页的 Markdown。"""
    return "\n".join([HEAD, *sections()])


if __name__ == "__main__":
    Parser(__doc__).parse_args()
    PAGE.write_text(page_text(), encoding="utf-8")
    print(f"写出 {PAGE.relative_to(ROOT)}")
