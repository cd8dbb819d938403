"""命令行：python -m cnnlab mine 文件夹 …；python -m cnnlab check 笔记本.ipynb"""

import sys

from cnnlab.check import marking
from cnnlab.core.command_line import run_command
from cnnlab.core.names import unknown
from cnnlab.show import mine

COMMANDS = {"mine": mine.main, "check": marking.main}
USAGE = (
    f"用法：python -m cnnlab 命令 …；可用的命令：{'、'.join(COMMANDS)}（加 --help 看各自的参数）"
)


def main(arguments: list[str]) -> None:
    """第一个词是命令，其余交给它；没有这个命令时列出有的。"""
    if arguments[:1] in (["-h"], ["--help"]):
        print(USAGE)
    elif not arguments:
        sys.exit(USAGE)
    elif arguments[0] not in COMMANDS:
        sys.exit(f"错误：{unknown('命令', arguments[0], COMMANDS)}。{USAGE}")
    else:
        run_command(COMMANDS[arguments[0]], arguments[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
