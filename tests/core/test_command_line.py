"""命令行写错了：一行中文，说哪里不对、该怎样写；帮助的标题也是中文。"""

import subprocess
import sys
from pathlib import Path

import pytest

from cnnlab.__main__ import main as command_line
from cnnlab.core.command_line import Parser, one_of_names, run_command, whole_from

ROOT = Path(__file__).resolve().parents[2]
ENGLISH = ["usage", "error:", "argument", "invalid", "required", "expected", "options", "Traceback"]


def parser() -> Parser:
    made = Parser("试一试", prog="python 试.py")
    made.add_argument("folder", metavar="文件夹")
    made.add_argument("--k", type=whole_from(1), default=9)
    made.add_argument("--keep", action="store_true")
    made.add_argument("--share", type=float)
    made.add_argument("--sizes", type=int, nargs=2)
    made.add_argument("--layer", type=one_of_names("层", ["fire2", "fire3"]))
    made.add_argument("--kind", choices=["pixel", "fourier"])
    return made


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("", "还缺 文件夹"),
        ("a b c", "多写了 b c"),
        ("a --kk 3", "没有名为 '--kk' 的选项；可用的有：--k"),
        ("a --s 3", "--s 可以是 --share, --sizes，写全它的名字"),
        ("a --k", "--k 后面还要写一个值"),
        ("a --k three", "--k 是 'three'，应是不小于 1 的整数"),
        ("a --k 0", "--k 是 '0'，应是不小于 1 的整数"),
        ("a --share half", "--share 是 'half'，应是一个数"),
        ("a --sizes 3", "--sizes 后面要写 2 个值"),
        ("a --sizes 3 1.5", "--sizes 是 '1.5'，应是整数"),
        ("a --layer fier3", "没有名为 'fier3' 的层；可用的有：fire3"),
        ("a --kind pixle", "--kind 是 'pixle'；可选的有"),
        ("a --keep=1", "--keep 后面不写值"),
    ],
)
def test_what_was_typed_wrong_is_said_in_one_chinese_line(capsys, typed, words):
    with pytest.raises(SystemExit) as stopped:
        parser().parse_args(typed.split())
    said = capsys.readouterr().err
    assert stopped.value.code == 2 and said.count("\n") == 1
    assert words in said and "python 试.py 文件夹 [选项]" in said
    assert not any(word in said for word in ENGLISH), said


def test_help_is_chinese_and_right_arguments_are_taken(capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["--help"])
    said = capsys.readouterr().out
    assert "用法：python 试.py" in said and "参数:" in said and "选项:" in said
    assert not any(word in said for word in ENGLISH), said
    taken = parser().parse_args(["照片 一", "--k", "3", "--layer", "fire2", "--keep"])
    assert (taken.folder, taken.k, taken.layer, taken.keep) == ("照片 一", 3, "fire2", True)


def test_what_a_command_meets_is_one_line():
    def missing():
        Path("/没有的/文件").read_text()

    def interrupted():
        raise KeyboardInterrupt

    for main, words in ((missing, "没有这个文件或文件夹"), (interrupted, "已停止")):
        with pytest.raises(SystemExit, match=words):
            run_command(main)
    with pytest.raises(SystemExit) as stopped:
        run_command(lambda: True)
    assert stopped.value.code == 1
    run_command(lambda: ["不是数的结果"])
    run_command(lambda: 0)


def said_by(*command: str) -> str:
    run = subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "PATH": ""},
        check=False,
    )
    assert run.returncode != 0, command
    return run.stderr


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("", "可用的命令：mine、check"),
        ("mien 照片", "没有名为 'mien' 的命令"),
        ("mine", "还缺 文件夹"),
        ("mine 照片 --chanel 3", "--channel"),
        ("check", "还缺 笔记本.ipynb"),
        ("check 没有.ipynb", "没有这个文件或文件夹"),
        ("check 没有.ipynb --limit 0", "--limit 是 '0'"),
    ],
)
def test_the_commands_of_the_package(capsys, typed, words):
    with pytest.raises(SystemExit) as stopped:
        command_line(typed.split())
    code = stopped.value.code
    said = code if isinstance(code, str) else capsys.readouterr().err.rstrip("\n")
    assert words in said and "\n" not in said
    assert not any(word in said for word in ENGLISH), said


def test_the_package_as_a_program():
    assert said_by("-m", "cnnlab", "mine") == (
        "错误：还缺 文件夹。用法：python -m cnnlab mine 文件夹 [选项]；加 --help 看全部\n"
    )


def test_every_tool_refuses_an_option_it_has_not():
    """都在一个进程里运行：torch 只导入一次。"""
    program = """
import runpy, sys
from pathlib import Path
sys.path.insert(0, "tools")
for path in sorted(Path("tools").glob("*.py")):
    sys.argv = [str(path), "--nosuch"]
    try:
        runpy.run_path(str(path), run_name="__main__")
    except SystemExit:
        continue
    print(path, "没有拒绝")
sys.exit(1)
"""
    lines = said_by("-c", program).splitlines()
    assert len(lines) == len(list((ROOT / "tools").glob("*.py")))
    for line in lines:
        assert line.startswith(("错误：没有名为 '--nosuch' 的选项", "错误：还缺 ")), line
        assert not any(word in line for word in ENGLISH), line
