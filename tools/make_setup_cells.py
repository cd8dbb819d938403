"""写每本笔记本的第一个代码格：没有 cnnlab 的地方（Colab、别的 Jupyter 服务）先装上它。

用法：python tools/make_setup_cells.py；仓库地址取自 _config.yml。各章、解答、练习册都是同一格。
"""

import json
from pathlib import Path

from set_repository import current_url

from cnnlab.core.command_line import Parser, run_command

ROOT = Path(__file__).resolve().parent.parent
SOURCE = """from importlib.util import find_spec

repository = "{url}"
if find_spec("cnnlab") is None and "/OWNER/" in repository:
    print("没有 cnnlab，书也还没有公开的地址：传上它的 .whl 文件，用 %pip 安装")
elif find_spec("cnnlab") is None:
    print("安装 cnnlab，不到一分钟；这里已有的包一个也不换")
    %pip install -q "cnnlab @ git+{{repository}}"
"""


def setup_source(url: str | None = None) -> str:
    """设置格的代码。"""
    return SOURCE.format(url=url or current_url(ROOT)).strip()


def notebooks(book: Path = ROOT / "book") -> list[Path]:
    """书里的全部笔记本：各章、解答、练习册、小项目；`_lab` 里的工作台只在装好的地方打开。"""
    elsewhere = {"_build", "_lab"}
    return sorted(path for path in book.rglob("*.ipynb") if not elsewhere & set(path.parts))


def with_setup(notebook: dict, source: str) -> dict:
    """换掉设置格的代码；没有设置格就在第一格文字之后加一格。"""
    tagged = (cell for cell in notebook["cells"] if "setup" in cell["metadata"].get("tags", []))
    cell = next(tagged, None)
    if cell is None:
        cell = {"id": "setup", "cell_type": "code", "execution_count": None, "outputs": []}
        notebook["cells"].insert(1, cell)
        cell |= {"metadata": {"tags": ["setup", "hide-input"]}, "source": ""}
    # 内容没变就一个字也不动：各家存笔记本的写法不同
    if "".join(cell["source"]) != source:
        cell["source"] = source.splitlines(keepends=True)
    return notebook


def main() -> None:
    source = setup_source()
    for path in notebooks():
        before = path.read_text(encoding="utf-8")
        old, notebook = json.loads(before), with_setup(json.loads(before), source)
        if notebook != old:
            after = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
            path.write_text(after, encoding="utf-8")
            print(f"改了 {path.relative_to(ROOT)}")


if __name__ == "__main__":
    Parser(__doc__).parse_args()
    run_command(main)
