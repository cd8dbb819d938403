"""程序包的结构：五层，依赖只朝上；循环、钩子、torchvision 各有唯一的住处。

不管模块算得对不对：那些在 test_<模块>.py 里。
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "cnnlab"

# 从下到上五层；新模块在这里登记
BANDS = {
    1: "images hooks",
    2: "downloads categories architectures squeezenet zoo models drawing ornaments paintings styles textures datasets profiles digit_networks outlines stylizers shortcut",
    3: "gradients receptive parameterizations priors terms objectives optimizers optimize results processes training",
    4: "getting_started first_layer middle_layers activation_maps patches neighbors embedding occlusion class_activation saliency"
    " class_activation guided_backprop faithfulness gradient_ascent facets deepdream inversion growth texture style_transfer fast_style",
    5: "figures charts tables plotting widgets card mine doctor claims check",
}
BAND_OF = {module: band for band, modules in BANDS.items() for module in modules.split()}

# 同一层里允许的边，逐条登记：(谁, 用到谁)
SAME_BAND = {
    ("getting_started", "neighbors"),
    ("saliency", "class_activation"),
    ("texture", "growth"),
    ("style_transfer", "texture"),
    ("fast_style", "style_transfer"),
    ("facets", "gradient_ascent"),
    ("architectures", "downloads"),
    ("categories", "downloads"),
    ("squeezenet", "categories"),
    ("squeezenet", "zoo"),
    ("zoo", "architectures"),
    ("zoo", "categories"),
    ("zoo", "downloads"),
    ("zoo", "squeezenet"),
    ("models", "categories"),
    ("models", "zoo"),
    ("ornaments", "drawing"),
    ("paintings", "drawing"),
    ("styles", "ornaments"),
    ("styles", "paintings"),
    ("textures", "drawing"),
    ("datasets", "styles"),
    ("datasets", "textures"),
    ("objectives", "terms"),
    ("optimize", "optimizers"),
    ("optimize", "parameterizations"),
    ("optimize", "priors"),
    ("training", "processes"),
    ("saliency", "class_activation"),
    ("embedding", "neighbors"),
    ("faithfulness", "class_activation"),
    ("faithfulness", "guided_backprop"),
    ("faithfulness", "occlusion"),
    ("faithfulness", "saliency"),
    ("shortcut", "datasets"),
    ("charts", "figures"),
    ("plotting", "charts"),
    ("plotting", "figures"),
    ("plotting", "tables"),
    ("widgets", "figures"),
    ("card", "figures"),
    ("claims", "tables"),
    ("mine", "plotting"),
    ("doctor", "tables"),
}

# torchvision 只在这几个模块的函数里导入
TORCHVISION_HOMES = ("models", "architectures", "zoo", "datasets")

# 导入慢的包：第一到四层只在函数里导入
HEAVY = {"torchvision", "matplotlib", "sklearn", "skimage", "cv2", "scipy", "pandas", "mlxtend", "IPython", "ipywidgets"}


def module_of(path: Path) -> str:
    """文件属于哪个模块；check/ 下的文件都算 check。"""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


FILES = sorted(path for path in PACKAGE.rglob("*.py") if "data" not in path.relative_to(PACKAGE).parts and path != PACKAGE / "__init__.py")
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
LOW_FILES = [path for path in FILES if BAND_OF.get(module_of(path), 0) < 5]


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
        inside = inside_function or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(child, ast.Import):
            yield from ((alias.name, inside, child.lineno) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"第 {child.lineno} 行：用完整的名字导入，不用相对导入"
            if child.module == "cnnlab":
                yield from ((f"cnnlab.{alias.name}", inside, child.lineno) for alias in child.names)
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


def edges_of(path: Path, tree: ast.Module):
    """一个文件用到的 cnnlab 模块：(模块, 行号)。"""
    for name, _, line in imports(tree):
        parts = name.split(".")
        if parts[0] == "cnnlab" and len(parts) > 1:
            yield EXPORTED.get(parts[1], parts[1]) if parts[1] not in BAND_OF else parts[1], line


def test_every_module_has_a_band():
    unknown = sorted({module_of(path) for path in FILES} - set(BAND_OF))
    assert not unknown, f"这些模块还没有在 BANDS 里登记属于哪一层：{unknown}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_up(path):
    module = module_of(path)
    for used, line in edges_of(path, TREES[path]):
        if used == module:
            continue
        assert used in BAND_OF, f"{name_of(path)}:{line} 导入了没有登记的 cnnlab.{used}"
        allowed = BAND_OF[used] < BAND_OF[module] or (module, used) in SAME_BAND
        assert allowed, f"{name_of(path)}:{line} {module} 不该用 {used}：依赖只朝上，同层的边要登记"


def test_same_band_edges_are_in_use_and_within_one_band():
    used = {(module_of(path), other) for path in FILES for other, _ in edges_of(path, TREES[path])}
    existing = {module_of(path) for path in FILES}
    for source, target in SAME_BAND:
        assert BAND_OF[source] == BAND_OF[target], f"{source} 与 {target} 不在同一层，不必登记"
        if {source, target} <= existing:
            assert (source, target) in used, f"登记了 {source} → {target}，但没有哪里用到：删掉这一条"


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
    module = module_of(path)
    for name, is_method, line in calls_of(TREES[path]):
        where = f"{name_of(path)}:{line}"
        if name == "step" and is_method:
            assert module in {"optimize", "training"}, f"{where} `.step(` 只在 optimize 和 training 里"
        if name.startswith("register_") and name.endswith("_hook"):
            assert module == "hooks", f"{where} 钩子只在 hooks 里登记"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_torchvision_only_in_resources_inside_functions(path):
    for name, inside, line in imports(TREES[path]):
        if name.split(".")[0] == "torchvision":
            where = f"{name_of(path)}:{line}"
            assert module_of(path) in TORCHVISION_HOMES, f"{where} torchvision 只在 {TORCHVISION_HOMES} 里导入"
            assert inside, f"{where} torchvision 只在函数里导入"


@pytest.mark.parametrize("path", LOW_FILES, ids=name_of)
def test_lower_bands_stay_light_and_silent(path):
    for name, inside, line in imports(TREES[path]):
        top, where = name.split(".")[0], f"{name_of(path)}:{line}"
        assert top != "matplotlib", f"{where} 第一到四层不画图"
        assert inside or top not in HEAVY, f"{where} {top} 导入慢，放到函数里"
    printed = [line for name, is_method, line in calls_of(TREES[path]) if name == "print" and not is_method]
    assert not printed, f"{name_of(path)}：第一到四层不打印（第 {printed} 行）"


@pytest.mark.parametrize("path", LOW_FILES, ids=name_of)
def test_no_global_seed(path):
    seeds = {"torch.manual_seed", "torch.random.manual_seed", "np.random.seed", "numpy.random.seed", "random.seed"}
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Call):
            where = f"{name_of(path)}:{node.lineno}"
            assert ast.unparse(node.func) not in seeds, f"{where} 不改全局的随机数状态：收 generator 或 seed 参数"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_and_functions_are_short(path):
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= 300, f"{name_of(path)} 有 {lines} 行：超过 300 行就是两件事"
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.FunctionDef):
            docstring = ast.get_docstring(node, clean=False)
            length = node.end_lineno - node.lineno + 1 - (docstring.count("\n") + 1 if docstring else 0)
            assert length <= 40, f"{name_of(path)}:{node.lineno} {node.name} 有 {length} 行（不算 docstring）"


def test_import_cnnlab_loads_no_more_than_torch():
    """`import cnnlab` 之后，没有多出 `import torch` 之外的慢包。"""
    heavy = ["torchvision", "matplotlib", "sklearn", "skimage", "cv2", "scipy", "mlxtend", "ipywidgets", "IPython", "torch._dynamo"]
    program = "import sys, {0}; print(*[name for name in {1} if name in sys.modules])"
    environment = dict(os.environ, PYTHONPATH=str(ROOT))

    def loaded(module: str) -> set[str]:
        run = subprocess.run(
            [sys.executable, "-c", program.format(module, heavy)], capture_output=True, text=True, check=True, env=environment, cwd=ROOT
        )
        return set(run.stdout.split())

    assert loaded("cnnlab") <= loaded("torch")


def test_every_exported_name_exists():
    import cnnlab

    missing = [name for name in EXPORTED if not hasattr(cnnlab, name)]
    assert not missing, f"_exports 里登记了却没有：{missing}"
