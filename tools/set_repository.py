"""换公开仓库的地址：python tools/set_repository.py https://example.org/someone/cnnlab

地址的正本是 _config.yml 里的 repository.url；别处（各章笔记本的第一格、README、CITATION.cff）都是抄本。
"""

import re
import subprocess
from pathlib import Path

from cnnlab.core.command_line import Parser, run_command

ROOT = Path(__file__).resolve().parent.parent
SUFFIXES = {".md", ".ipynb", ".yml", ".cff", ".py", ".toml"}


def current_url(root: Path = ROOT) -> str:
    """_config.yml 里写的仓库地址。"""
    config = (root / "_config.yml").read_text(encoding="utf-8")
    found = re.search(r"^repository:\s*\n\s+url:\s*(\S+)\s*$", config, flags=re.MULTILINE)
    if found is None:
        raise ValueError("_config.yml 里没有 repository.url")
    return found.group(1)


def text_files(root: Path = ROOT) -> list[Path]:
    """仓库里会出现地址的文本文件。"""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        paths = [root / line for line in listed.stdout.splitlines()]
    else:
        # 不是 git 仓库（例如从压缩包解开）
        skipped = {".venv", "_build", ".git"}
        paths = [
            path for path in root.rglob("*") if not skipped & set(path.relative_to(root).parts)
        ]
    return sorted(path for path in paths if path.suffix in SUFFIXES and path.is_file())


def set_url(new: str, root: Path = ROOT) -> list[Path]:
    """把旧地址处处换成新地址，返回改过的文件。"""
    if not re.fullmatch(r"https?://[^\s\"'\\]+[^\s\"'\\/]", new):
        raise ValueError(f"这不像一个仓库地址：{new!r}。要写成 https://… ，末尾不带斜杠")
    old, changed = current_url(root), []
    for path in text_files(root):
        text = path.read_text(encoding="utf-8")
        if old in text and old != new:
            path.write_text(text.replace(old, new), encoding="utf-8")
            changed.append(path)
    return changed


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("url", metavar="https://…", help="新的地址，末尾不带斜杠")
    url = parser.parse_args().url
    print(f"改了 {len(set_url(url))} 个文件，地址现在是 {url}")


if __name__ == "__main__":
    run_command(main)
