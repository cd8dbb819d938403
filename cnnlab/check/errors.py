"""把运行时错误说成一句人话，并找出学习者自己的那一行。

只处理文字和调用栈；不运行任何东西。
"""

import re
import sysconfig
import traceback
from pathlib import Path

import torch

# 依次尝试，第一个命中的说话
TRANSLATIONS = (
    (
        r"backward through the graph a second time",
        "同一张计算图反向传播了两次：第一次之后图就释放了，重新算一次得分再求导。",
    ),
    (
        r"inplace operation|in-place operation|modified inplace",
        "原地操作改写了求导还要用的值：换成不原地的写法，或者先 clone()。",
    ),
    (
        r"does not require grad|have been used in the graph|require_grad",
        "求导的路断了：输入没有打开 requires_grad，或者中间被 detach()、no_grad、.item() 截断了。",
    ),
    (r"implicitly created only for scalar", "只能对一个标量求导：先把得分加成一个数。"),
    (r"same device|on cuda|cuda:\d", "张量不在同一个设备上：新建的张量要跟着输入的 device 走。"),
    (
        r"scalar type|dtype|(?:weight|bias) type",
        "数据类型不一致：新建的张量要跟着输入的 dtype 走，检查用的是 float64。",
    ),
    (
        r"cannot be multiplied|must match|size mismatch|invalid for input of size|"
        r"to have \d+ channels|broadcast|subscript|Expected \d+D|shape|dimension",
        "形状对不上：在这一行之前看一看每个张量的 .shape。",
    ),
    (
        r"numpy\(\) on Tensor that requires grad",
        "还挂在计算图上的张量不能直接变成 NumPy 数组：先 detach()。",
    ),
    (r"^SystemExit", "函数里调用了 exit()：它会结束整个程序，删掉它。"),
    (
        r"between instances of 'tuple'|'tuple' object has no attribute|Tensor.*not tuple",
        "有一个值是元组，不是张量：先拆开，如 (value,) = context.saved_tensors。",
    ),
    (r"NoneType", "有一个值是 None：是不是忘了 return，或者没有反向传播就读了 .grad？"),
)

_FOREIGN = (
    str(Path(__file__).parents[1]),
    str(Path(torch.__file__).parent),
    sysconfig.get_paths()["stdlib"],
    "site-packages",
)


def translated(error: BaseException) -> tuple[str, ...]:
    """常见错误的一句中文解释；不认识的得空元组。"""
    text = f"{type(error).__name__}: {_text(error)}"
    return tuple(sentence for pattern, sentence in TRANSLATIONS if re.search(pattern, text))[:1]


def _text(error: BaseException) -> str:
    try:
        return str(error).strip()
    except Exception:  # 学习者自己的异常类可能写不成文字
        return ""


def plain_message(error: BaseException) -> str:
    """错误的类名和第一行，去掉路径、内存地址和颜色控制符。"""
    text = (_text(error).splitlines() or [""])[0]
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    text = re.sub(r"0x[0-9a-fA-F]+", "0x…", text)
    text = re.sub(r"(?<![\w.])(?:/[\w.\-]+){2,}", "…", text)
    text = text.replace("`", "'")
    if len(text) > 160:
        text = text[:160] + "…"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def learner_frame(error: BaseException) -> traceback.FrameSummary | None:
    """调用栈里最深的、不属于本包、torch 和标准库的一层。"""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not any(part in f.filename for part in _FOREIGN)]
    return own[-1] if own else None


def is_unfinished(error: BaseException) -> bool:
    """是练习里原来的 raise NotImplementedError，而不是 torch 自己抛的。"""
    if not isinstance(error, NotImplementedError) or "aten::" in _text(error):
        return False
    last = traceback.extract_tb(error.__traceback__)[-1].filename
    return str(Path(torch.__file__).parent) not in last
