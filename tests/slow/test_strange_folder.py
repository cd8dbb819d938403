"""项目放在有空格和汉字的文件夹里，书照样建得成。"""

import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["glossary", "teachers"]


def test_the_book_is_built_in_a_folder_with_spaces_and_chinese(tmp_path):
    folder = tmp_path / "课程 dir" / "看懂 CNN"
    folder.mkdir(parents=True)
    for name in ("book", "cnnlab", "_config.yml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    chapters = [{"file": f"book/{name}"} for name in PAGES]
    toc = {"format": "jb-book", "root": "book/index", "chapters": chapters}
    (folder / "_toc.yml").write_text(yaml.safe_dump(toc), encoding="utf-8")
    program = Path(sys.executable).with_name("jupyter-book")
    run = subprocess.run(
        [program, "build", "."], cwd=folder, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    for name in PAGES:
        assert (folder / "_build" / "html" / "book" / f"{name}.html").exists()
