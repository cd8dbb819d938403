"""把建好的书打成压缩包：python tools/make_zip.py（先 make book）

解开之后打开 index.html 就能读，不要网络，也不要服务器。
"""

import tomllib
import zipfile
from pathlib import Path

from cnnlab.core.command_line import Parser, run_command

ROOT = Path(__file__).resolve().parent.parent
HTML = ROOT / "_build" / "html"


def make_zip(html: Path = HTML, folder: Path = ROOT / "dist") -> Path:
    """写出 dist/cnnlab-book-<版本>.zip，返回它的路径；里面只有一个文件夹。"""
    if not (html / "index.html").exists():
        raise FileNotFoundError("书还没有建：先运行 make book")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    name = f"cnnlab-book-{project['version']}"
    folder.mkdir(exist_ok=True)
    target = folder / f"{name}.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(html.rglob("*")):
            if path.is_file():
                archive.write(path, f"{name}/{path.relative_to(html).as_posix()}")
    return target


def main() -> None:
    made = make_zip()
    print(f"{made.relative_to(ROOT)}，{made.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    Parser(__doc__).parse_args()
    run_command(main)
