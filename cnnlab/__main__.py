"""命令行：python -m cnnlab mine 文件夹 …；python -m cnnlab check 笔记本.ipynb"""

import sys

from cnnlab.check import marking
from cnnlab.core.checks import is_chinese
from cnnlab.show import mine

COMMANDS = {"mine": mine.main, "check": marking.main}


def main(arguments: list[str]) -> None:
    """第一个词是命令，其余交给它；没有这个命令时列出有的。"""
    if not arguments or arguments[0] not in COMMANDS:
        sys.exit(
            f"用法：python -m cnnlab 命令 …；可用的命令：{'、'.join(COMMANDS)}（加 --help 看各自的参数）"
        )
    try:
        COMMANDS[arguments[0]](arguments[1:])
    except (ValueError, TypeError, OSError) as error:
        # 用户写错了什么：一行话，不是一长串调用记录
        reason = (
            f"读写不了 {error.filename}（{error.strerror}）；查一查路径" if _plain(error) else error
        )
        sys.exit(f"错误：{reason}")
    except KeyboardInterrupt:
        sys.exit("已停止")


def _plain(error: Exception) -> bool:
    """系统的错，没有写给读者的话。"""
    return isinstance(error, OSError) and error.strerror is not None and not is_chinese(error)


if __name__ == "__main__":
    main(sys.argv[1:])
