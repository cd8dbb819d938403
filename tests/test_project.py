"""几份文件说的是同一件事：pyproject.toml、environment.yml、Makefile、README.md、LICENSE、CITATION.cff。"""

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# conda-forge 的名字 → PyPI 的名字
CONDA_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib", "lazy-loader": "lazy_loader"}
# 只由 pip 安装的：conda-forge 没有 zhplot，opencv 的名字不通
PIP_ONLY = {"zhplot", "opencv-python-headless"}


def split_requirement(text: str) -> tuple[str, str]:
    """“名字>=版本”拆成两半。"""
    name, bound = re.fullmatch(
        r"([A-Za-z0-9_.-]+?)((?:[<>=!~].*)?)", text.replace(" ", "")
    ).groups()
    return name, bound


def set_repository():
    path = ROOT / "tools" / "set_repository.py"
    spec = importlib.util.spec_from_file_location("set_repository", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_core_dependencies_have_lower_bounds_only():
    for requirement in PROJECT["dependencies"]:
        assert re.fullmatch(r">=[0-9.]+", split_requirement(requirement)[1]), (
            f"{requirement}：只写下界"
        )


def test_environment_agrees_with_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *conda, last = environment["dependencies"]
    assert last == {"pip": ["-e .[book,dev]"]}
    listed = dict(map(split_requirement, conda))
    assert listed.pop("python") == PROJECT["requires-python"]
    assert listed.pop("pip") == ""
    wanted = dict(map(split_requirement, PROJECT["dependencies"]))
    ours = {CONDA_NAMES.get(name, name): bound for name, bound in listed.items()}
    assert ours == {name: bound for name, bound in wanted.items() if name not in PIP_ONLY}
    assert set(wanted) >= PIP_ONLY


def test_jupyter_book_stays_below_two():
    assert "jupyter-book>=1.0.4.post1,<2" in PROJECT["optional-dependencies"]["book"]


def test_repository_url_is_the_same_everywhere():
    tool = set_repository()
    url = tool.current_url()
    owner_url = re.compile(r"https://github\.com/[\w.-]+/cnnlab\b")
    for path in tool.text_files():
        found = set(owner_url.findall(path.read_text(encoding="utf-8")))
        assert found <= {url}, f"{path.relative_to(ROOT)} 里的仓库地址与 _config.yml 不同：{found}"


def test_set_repository_changes_every_copy(tmp_path):
    tool = set_repository()
    (tmp_path / "_config.yml").write_text(
        "repository:\n  url: https://example.com/old/cnnlab\n  branch: main\n", encoding="utf-8"
    )
    (tmp_path / "chapter.ipynb").write_text(
        '"git+https://example.com/old/cnnlab"', encoding="utf-8"
    )
    (tmp_path / "other.md").write_text("别的话", encoding="utf-8")
    changed = tool.set_url("https://example.org/someone/cnnlab", tmp_path)
    assert sorted(path.name for path in changed) == ["_config.yml", "chapter.ipynb"]
    assert tool.current_url(tmp_path) == "https://example.org/someone/cnnlab"
    assert "git+https://example.org/someone/cnnlab" in (tmp_path / "chapter.ipynb").read_text(
        encoding="utf-8"
    )
    with pytest.raises(ValueError, match="不像一个仓库地址"):
        tool.set_url("someone/cnnlab", tmp_path)


def make_targets() -> set[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"(?m)^([a-z-]+):(?!=)", text))


def test_readme_commands_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    used = set(re.findall(r"\bmake ([a-z-]+)\b", text))
    assert {"book", "test"} <= used, "README 里要有 make book 和 make test"
    assert used <= make_targets(), f"Makefile 里没有 {used - make_targets()}"


def test_every_make_target_has_a_line_of_help():
    run = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    phony = (
        re.search(r"(?m)^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"))
        .group(1)
        .split()
    )
    for target in phony:
        assert f"make {target} " in run.stdout, f"make help 没有列出 {target}"


def test_ci_runs_the_two_commands_of_the_readme():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    commands = re.findall(r"(?m)^make ([\w-]+)", script.read_text(encoding="utf-8"))
    assert commands == ["book", "test", "more-tests"]


def test_licence_lists_the_shipped_data():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "MIT License" in text and "CC BY 4.0" in text
    for name in ("squeezenet1_1.safetensors", "photos/", "ATTRIBUTION.csv", "zhplot", "digits.png"):
        assert name in text, f"LICENSE 没有提到 {name}"


def test_citation_agrees_with_the_project():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == PROJECT["version"]
    assert citation["repository-code"] == set_repository().current_url()


def test_wheel_contains_the_data(tmp_path):
    """打成的 wheel 里有权重和照片，没有书、测试和工具。"""
    pytest.importorskip("hatchling")
    run = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    import zipfile

    (wheel,) = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    data = [
        path
        for path in (ROOT / "cnnlab" / "data").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    for path in data:
        assert path.relative_to(ROOT).as_posix() in packed, f"wheel 里没有 {path.name}"
    assert {name.split("/")[0] for name in packed if ".dist-info" not in name} == {"cnnlab"}
