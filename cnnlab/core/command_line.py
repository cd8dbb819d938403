"""命令行说中文：帮助的标题、写错了的选项、读不了的文件，都是一句话，说哪里不对、该怎样写。

不管有哪些命令、各收什么：那在各自的 main。
"""

import argparse
import errno
import re
import sys
from collections.abc import Callable, Iterable

from cnnlab.core.names import unknown

# argparse 的话 → 中文；{0}、{1} 是括号里的那几段
_SAYINGS = {
    r"the following arguments are required: (.+)": "还缺 {0}",
    r"ambiguous option: (\S+) could match (.+)": "{0} 可以是 {1}，写全它的名字",
    r"argument (.+?): expected (?:one|at least one) argument": "{0} 后面还要写一个值",
    r"argument (.+?): expected (\d+) arguments?": "{0} 后面要写 {1} 个值",
    r"argument (.+?): invalid int value: (.+)": "{0} 是 {1}，应是整数",
    r"argument (.+?): invalid float value: (.+)": "{0} 是 {1}，应是一个数",
    r"argument (.+?): invalid choice: (.+?) \(choose from (.+)\)": "{0} 是 {1}；可选的有 {2}",
    r"argument (.+?): ignored explicit argument (.+)": "{0} 后面不写值，得到 {1}",
    r"argument .+?: (没有名为.+)": "{0}",
    r"argument (.+?): (.*[\u4e00-\u9fff].*)": "{0} {1}",
}
_SYSTEM = {
    errno.ENOENT: "没有这个文件或文件夹",
    errno.EACCES: "没有权限",
    errno.EISDIR: "这是一个文件夹",
    errno.ENOTDIR: "路径里有一段不是文件夹",
    errno.EEXIST: "已经有了",
    errno.ENOSPC: "磁盘满了",
    errno.EROFS: "磁盘是只读的",
}


class _Help(argparse.RawDescriptionHelpFormatter):
    def add_usage(self, usage, actions, groups, prefix=None):
        super().add_usage(usage, actions, groups, prefix or "用法：")


class Parser(argparse.ArgumentParser):
    """说中文的 argparse.ArgumentParser；`description` 多半是 __doc__，照原样分行。"""

    def __init__(self, description: str | None = None, prog: str | None = None):
        super().__init__(
            prog=prog or f"python {sys.argv[0]}",
            description=description,
            formatter_class=_Help,
            add_help=False,
        )
        self._positionals.title, self._optionals.title = "参数", "选项"
        self.add_argument("-h", "--help", action="help", help="显示这段说明")

    def error(self, message: str):
        """一行：哪里不对，怎样看用法。"""
        text = self._in_chinese(message)
        needed = " ".join(
            f"[{each.metavar}]" if each.nargs in ("*", "?") else str(each.metavar or each.dest)
            for each in self._actions
            if not each.option_strings
        )
        line = " ".join(filter(None, [self.prog, needed, "[选项]"]))
        self.exit(2, f"错误：{text}。用法：{line}；加 --help 看全部\n")

    def _in_chinese(self, message: str) -> str:
        if found := re.fullmatch("unrecognized arguments: (.+)", message, re.DOTALL):
            first = found[1].split()[0]
            if not first.startswith("-"):
                return f"多写了 {found[1]}"
            return str(unknown("选项", first, self._option_string_actions))
        for pattern, saying in _SAYINGS.items():
            if found := re.fullmatch(pattern, message, re.DOTALL):
                return saying.format(*found.groups())
        return f"参数给得不对（{message}）"


def one_of_names(kind: str, names: Iterable[str]) -> Callable[[str], str]:
    """add_argument 的 type：`names` 里的一个，写错时列出相近的。"""
    names = list(names)

    def read(text: str) -> str:
        if text not in names:
            raise argparse.ArgumentTypeError(str(unknown(kind, text, names)))
        return text

    return read


def whole_from(least: int) -> Callable[[str], int]:
    """add_argument 的 type：不小于 `least` 的整数。"""

    def read(text: str) -> int:
        if not re.fullmatch(r"\s*[+-]?\d+\s*", text) or int(text) < least:
            raise argparse.ArgumentTypeError(f"是 {text!r}，应是不小于 {least} 的整数")
        return int(text)

    return read


def run_command(main: Callable, *arguments) -> None:
    """运行 `main`，它给出一个不是 0 的数就以它退出；用户写错了什么，是一行话，不是一长串调用记录。"""
    try:
        code = main(*arguments)
    except (ValueError, TypeError, OSError) as error:
        sys.exit(f"错误：{_reason(error)}")
    except KeyboardInterrupt:
        sys.exit("已停止")
    if isinstance(code, int) and code:
        sys.exit(int(code))


def _reason(error: Exception) -> str:
    from cnnlab.core.checks import is_chinese

    if is_chinese(error):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        why = _SYSTEM.get(error.errno, error.strerror)
        return f"读写不了 {error.filename}（{why}）；查一查路径"
    return f"{type(error).__name__}: {error}"
