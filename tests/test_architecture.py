"""程序包的结构：一个文件夹一间房，导入只朝上；循环、钩子、torchvision 各有唯一的住处。

不管模块算得对不对：那些在各自的测试文件里。
"""

import ast
import importlib
import os
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "cnnlab"

# 从上到下：每间房只导入自己和排在前面的房
ROOMS = ["core", "networks", "pictures", "engine", "chapters", "show", "check"]
PACKAGES = {"cnnlab", *(f"cnnlab.{room}" for room in ROOMS)}

# torchvision 只在这两间房的函数里导入
TORCHVISION_HOMES = ("networks", "pictures")

# 导入慢的包：呈现之前的各房只在函数里导入
HEAVY = {
    "torchvision",
    "matplotlib",
    "sklearn",
    "skimage",
    "cv2",
    "scipy",
    "pandas",
    "IPython",
    "ipywidgets",
}


# 各房的函数体最多几行；画法一步步写下来要长些，一章的算法要一眼看完
LONGEST = {"pictures": 75, "chapters": 25}


def room_of(path: Path) -> str:
    """文件在哪间房；直接放在 cnnlab/ 下的是空字符串。"""
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


FILES = sorted(path for path in PACKAGE.rglob("*.py") if room_of(path) != "data")
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
LOW_FILES = [path for path in FILES if room_of(path) in ROOMS[:5]]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def is_typing_block(node: ast.AST) -> bool:
    """`if TYPE_CHECKING:` 一段：运行时不导入。"""
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imports(node: ast.AST, inside_function: bool = False):
    """语法树里的每一个导入：(点分名字, 是否在函数里, 行号)。"""
    for child in ast.iter_child_nodes(node):
        if is_typing_block(child):
            continue
        inside = inside_function or isinstance(
            child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
        )
        if isinstance(child, ast.Import):
            yield from ((alias.name, inside, child.lineno) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"第 {child.lineno} 行：用完整的名字导入，不用相对导入"
            if child.module in PACKAGES:
                names = [f"{child.module}.{alias.name}" for alias in child.names]
                yield from ((name, inside, child.lineno) for name in names)
            else:
                yield child.module, inside, child.lineno
        yield from imports(child, inside)


def exported_from() -> dict[str, str]:
    """`from cnnlab import 名字` 里的名字住在哪个模块。"""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_exports":
            table = ast.literal_eval(node.value)
            return {name: module for module, names in table.items() for name in names}
    return {}


EXPORTED = exported_from()


def module_of(dotted: str) -> str:
    """点分名字所指的模块：`cnnlab.core.images.resize` 是 core.images，`cnnlab.resize` 也是。"""
    parts = dotted.split(".")[1:]
    if parts and parts[0] in EXPORTED:
        return EXPORTED[parts[0]]
    return ".".join(parts[:2])


def edges_of(path: Path):
    """一个文件用到的 cnnlab 模块：(模块, 行号)。"""
    for name, _, line in imports(TREES[path]):
        if name.startswith("cnnlab."):
            yield module_of(name), line


def test_rooms_are_the_folders():
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert folders == set(ROOMS)
    loose = [path.name for path in FILES if not room_of(path)]
    assert len(loose) <= 3, f"直接放在 cnnlab/ 下的模块太多：{loose}"


@pytest.mark.parametrize("path", [path for path in FILES if room_of(path)], ids=name_of)
def test_a_room_imports_only_rooms_above_it(path):
    own = ROOMS.index(room_of(path))
    for used, line in edges_of(path):
        room = used.split(".")[0]
        assert room in ROOMS[: own + 1], f"{name_of(path)}:{line} {room_of(path)} 不该用 {used}"


def test_chapters_are_those_of_the_book():
    parts = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))["parts"]
    files = [ROOT / f"{each['file']}.ipynb" for part in parts for each in part["chapters"]]
    slugs = {path.stem for path in files if path.exists() and path.parent.name == "book"}
    modules = {path.stem for path in (PACKAGE / "chapters").glob("*.py")} - {"__init__"}
    assert modules == slugs


def test_modules_form_no_circle():
    graph = {}
    for path in FILES:
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        graph[module] = {used for used, _ in edges_of(path)} - {module}
    assert list(TopologicalSorter(graph).static_order())


def calls_of(tree: ast.Module):
    """语法树里的每一次调用：(被调用者的最后一个名字, 是不是方法, 行号)。"""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                yield node.func.attr, True, node.lineno
            elif isinstance(node.func, ast.Name):
                yield node.func.id, False, node.lineno


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_loops_and_hooks_live_in_one_place(path):
    if path.parent.name == "check":  # 错法照学习者的样子写：自己挂钩子、自己走优化器
        return
    for name, is_method, line in calls_of(TREES[path]):
        where = f"{name_of(path)}:{line}"
        if name == "step" and is_method:
            assert path.stem in {"optimize", "training"}, f"{where} `.step(` 只在这两个模块里"
        if name.startswith("register_") and name.endswith("_hook"):
            assert path.stem in {"hooks", "relu_rules"}, f"{where} 钩子只在 hooks、relu_rules 里"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_torchvision_only_in_resources_inside_functions(path):
    for name, inside, line in imports(TREES[path]):
        if name.split(".")[0] == "torchvision":
            where = f"{name_of(path)}:{line}"
            assert room_of(path) in TORCHVISION_HOMES, (
                f"{where} torchvision 只在 {TORCHVISION_HOMES} 里导入"
            )
            assert inside, f"{where} torchvision 只在函数里导入"


@pytest.mark.parametrize("path", LOW_FILES, ids=name_of)
def test_lower_bands_stay_light_and_silent(path):
    for name, inside, line in imports(TREES[path]):
        top, where = name.split(".")[0], f"{name_of(path)}:{line}"
        assert top != "matplotlib", f"{where} 呈现之前的各房不画图"
        assert inside or top not in HEAVY, f"{where} {top} 导入慢，放到函数里"
    printed = [
        line for name, is_method, line in calls_of(TREES[path]) if name == "print" and not is_method
    ]
    assert not printed, f"{name_of(path)}：呈现之前的各房不打印（第 {printed} 行）"


@pytest.mark.parametrize("path", LOW_FILES, ids=name_of)
def test_no_global_seed(path):
    seeds = {
        "torch.manual_seed",
        "torch.random.manual_seed",
        "np.random.seed",
        "numpy.random.seed",
        "random.seed",
    }
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Call):
            where = f"{name_of(path)}:{node.lineno}"
            assert ast.unparse(node.func) not in seeds, (
                f"{where} 不改全局的随机数状态：收 generator 或 seed 参数"
            )


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_and_functions_are_short(path):
    lines = path.read_text(encoding="utf-8").count("\n")
    # 一章的练习是一张表，错法一行行地长；别的文件超过 400 行就是两件事
    most = 700 if path.parent.name == "check" else 400
    assert lines <= most, f"{name_of(path)} 有 {lines} 行，至多 {most} 行"
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.FunctionDef):
            body = node.body[bool(ast.get_docstring(node)) :]
            length = node.end_lineno - body[0].lineno + 1 if body else 0
            assert length <= LONGEST.get(room_of(path), 45), (
                f"{name_of(path)}:{node.lineno} {node.name} 有 {length} 行（不算签名与 docstring）"
            )


def count_of(node: ast.FunctionDef) -> int:
    """函数有几个参数。"""
    given = node.args
    named = len(given.posonlyargs) + len(given.args) + len(given.kwonlyargs)
    return named + bool(given.vararg) + bool(given.kwarg)


@pytest.mark.parametrize("path", [path for path in FILES if room_of(path) != "show"], ids=name_of)
def test_functions_take_few_arguments(path):
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.FunctionDef):
            assert count_of(node) <= 12, f"{name_of(path)}:{node.lineno} {node.name} 的参数太多"


def test_import_cnnlab_loads_no_more_than_torch():
    """`import cnnlab` 之后，没有多出 `import torch` 之外的慢包。"""
    heavy = [
        "torchvision",
        "matplotlib",
        "sklearn",
        "skimage",
        "cv2",
        "scipy",
        "ipywidgets",
        "IPython",
        "torch._dynamo",
    ]
    program = "import sys, {0}; print(*[name for name in {1} if name in sys.modules])"
    environment = dict(os.environ, PYTHONPATH=str(ROOT))

    def loaded(module: str) -> set[str]:
        run = subprocess.run(
            [sys.executable, "-c", program.format(module, heavy)],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
            cwd=ROOT,
        )
        return set(run.stdout.split())

    assert loaded("cnnlab") <= loaded("torch")


def test_every_exported_name_exists():
    import cnnlab

    missing = [name for name in EXPORTED if not hasattr(cnnlab, name)]
    assert not missing, f"_exports 里登记了却没有：{missing}"


@pytest.mark.parametrize("folder", ["benchmarks", "tools"])
def test_programs_beside_the_package_import_what_there_is(folder):
    """没有测试会跑到的程序，导入的名字也要都在。"""
    missing = []
    for path in sorted((ROOT / folder).glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "cnnlab":
                there = importlib.import_module(node.module)
                missing += [
                    f"{path.name}：{a.name}" for a in node.names if not hasattr(there, a.name)
                ]
    assert missing == []
