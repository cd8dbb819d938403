"""把各章从头跑一遍：换种子、换线程数也要成立；报告哪一格出错、每章用了多少 CPU 时间。

用法：python tools/run_chapters.py first_layer occlusion --seed-shift 1 --threads 2 --save 文件夹
不给章名就跑全部。--seed-shift 把格子里写明的每一个种子加上这个数；--save 存下跑完的笔记本，
和每张图的 PNG（名字是 <章>-<第几格>-<第几张>），供人看。有一格出错，返回 1。
"""

import ast
import base64
import io
import os
import re
from pathlib import Path

import nbformat
import psutil
from nbclient import NotebookClient
from PIL import Image

from cnnlab.core.command_line import Parser, one_of_names, run_command, whole_from

BOOK = Path(__file__).resolve().parent.parent / "book"
SEED_NAME = re.compile(r"(^|_)(seeds?|random_state)$")
SEED_CALLS = {"manual_seed", "default_rng", "RandomState", "Random", "seed"}
DATA_IMAGE = re.compile(r"data:image/(?:png|webp|jpeg);base64,([A-Za-z0-9+/=]+)")
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def seed_places(tree: ast.AST) -> list[ast.Constant]:
    """语法树里写明的种子：seed=0、manual_seed(0)、seed = 0、for seed in (0, 1)、range(3)。"""
    values = []
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg and SEED_NAME.search(node.arg):
            values.append(node.value)
        elif isinstance(node, ast.Call) and node.args:
            if ast.unparse(node.func).rpartition(".")[2] in SEED_CALLS:
                values.append(node.args[0])
        elif isinstance(node, ast.Assign) and SEED_NAME.search(ast.unparse(node.targets[0])):
            values.append(node.value)
        elif isinstance(node, ast.For | ast.comprehension) and SEED_NAME.search(
            ast.unparse(node.target)
        ):
            values.append(node.iter)
    return [one for value in values for one in literal_numbers(value)]


def literal_numbers(value: ast.expr) -> list[ast.Constant]:
    """一个种子，或一列种子里的各个；range(n) 不在这里：它由 shifted 改写。"""
    items = value.elts if isinstance(value, ast.Tuple | ast.List) else [value]
    return [one for one in items if isinstance(one, ast.Constant) and type(one.value) is int]


def shifted(source: str, shift: int) -> str:
    """一格代码，其中写明的种子都加上 `shift`；别的一字不动。"""
    if not shift:
        return source
    code = re.sub(r"(?m)^(\s*)[%!].*$", lambda found: found[1] + "pass", source)
    lines = source.splitlines(keepends=True)
    places = {(one.lineno, one.col_offset): one for one in seed_places(ast.parse(code))}
    for (row, column), one in sorted(places.items(), reverse=True):
        line = lines[row - 1].encode()
        new = str(one.value + shift).encode()
        lines[row - 1] = (line[:column] + new + line[one.end_col_offset :]).decode()
    joined = "".join(lines)
    # for seed in range(3)：从 shift 数起
    pattern = r"(for \w*seed in )range\((\d+)\)"
    return re.sub(
        pattern, lambda found: f"{found[1]}range({shift}, {int(found[2]) + shift})", joined
    )


class TimedClient(NotebookClient):
    """跑一章，记下每一格用的 CPU 时间；出错的格记下来，接着跑。"""

    def begin(self) -> None:
        self.cpu, self.errors = {}, {}
        self.on_cell_execute = lambda cell, cell_index: self.note(cell_index, -1)
        self.on_cell_executed = lambda cell, cell_index, **reply: self.note(cell_index, 1)

    def note(self, index: int, sign: int) -> None:
        kernel = psutil.Process(self.km.provisioner.pid)
        spent = sum(kernel.cpu_times()[:4])  # 连同它的子进程
        self.cpu[index] = self.cpu.get(index, 0.0) + sign * spent


def run(path: Path, *, seed_shift: int, timeout: int) -> tuple[TimedClient, nbformat.NotebookNode]:
    """跑一章，返回执行器和跑完的笔记本。"""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = shifted(cell.source, seed_shift)
    client = TimedClient(
        notebook,
        timeout=timeout,
        allow_errors=True,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.begin()
    client.execute()
    return client, notebook


def failures(notebook) -> list[tuple[int, str]]:
    """出错的格：(第几格, 错误的最后一句)。"""
    return [
        (index, ESCAPES.sub("", f"{output.ename}: {output.evalue}"))
        for index, cell in enumerate(notebook.cells)
        for output in cell.get("outputs", [])
        if output.output_type == "error"
    ]


def pictures(output) -> list[bytes]:
    """一个输出里的图：内嵌的位图，或 HTML 里的（滑块的每一帧）。"""
    data = output.get("data", {})
    if "image/png" in data:
        return [base64.b64decode(data["image/png"])]
    found = dict.fromkeys(DATA_IMAGE.findall("".join(data.get("text/html", ""))))
    return [base64.b64decode(one) for one in found]


def save(notebook, slug: str, folder: Path) -> None:
    """存下跑完的笔记本和每张图。"""
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / f"{slug}.ipynb")
    for index, cell in enumerate(notebook.cells):
        found = [one for output in cell.get("outputs", []) for one in pictures(output)]
        for number, content in enumerate(found):
            picture = Image.open(io.BytesIO(content)).convert("RGB")
            picture.save(folder / f"{slug}-{index:02d}-{number}.png")


def main(arguments=None) -> int:
    known = {path.stem: path for path in sorted(BOOK.glob("*.ipynb"))}
    parser, chapter = Parser(__doc__), one_of_names("章", known)
    parser.add_argument("slugs", metavar="章名", nargs="*", type=chapter, help="不给就是全部")
    parser.add_argument("--seed-shift", type=int, default=0, help="每个种子加多少")
    parser.add_argument("--threads", type=whole_from(1), default=1, help="几个线程")
    parser.add_argument("--save", type=Path, help="存笔记本和图的文件夹")
    parser.add_argument("--timeout", type=whole_from(1), default=600, help="一格至多几秒")
    chosen = parser.parse_args(arguments)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(chosen.threads)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(BOOK.parent), os.environ.get("PYTHONPATH", "")])
    os.environ.setdefault("CNNLAB_PROFILE", "quick")
    os.environ.setdefault("CNNLAB_BARS", "0")
    broken = 0
    for slug in chosen.slugs or known:
        client, notebook = run(known[slug], seed_shift=chosen.seed_shift, timeout=chosen.timeout)
        slowest = sorted(client.cpu, key=client.cpu.get, reverse=True)[:8]
        listed = "、".join(f"第 {index} 格 {client.cpu[index]:.1f}" for index in slowest)
        print(f"{slug}：CPU {sum(client.cpu.values()):.1f} 秒，最慢的：{listed}", flush=True)
        for index, error in failures(notebook):
            broken += 1
            print(f"  ✘ 第 {index} 格 {error}", flush=True)
        if chosen.save:
            save(notebook, slug, chosen.save)
    return int(broken > 0)


if __name__ == "__main__":
    run_command(main)
