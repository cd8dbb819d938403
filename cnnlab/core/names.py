"""名字写错时的一句话：没有这个名字，相近的和可用的有哪些。

不管名字指的是什么。
"""

import difflib
from collections.abc import Iterable


def unknown(kind: str, name, known: Iterable, *, hint: str = "", cutoff: float = 0.4) -> ValueError:
    """没有名为 `name` 的 `kind`：给出要抛的错误，相近的名字排在最前，多于 24 个时只列前 24 个。

    用法：`raise unknown("层", name, layers)`；`hint` 接在可用的名字后面，说别的出路。
    """
    shown = repr(name) if len(repr(name)) <= 60 else type(name).__name__
    names = [str(each) for each in known]
    near = difflib.get_close_matches(str(name), names, n=5, cutoff=cutoff)
    listed = list(dict.fromkeys([*near, *names]))
    more = f"……共 {len(names)} 个" if len(listed) > 24 else ""
    available = "、".join(listed[:24]) or "（一个也没有）"
    return ValueError(f"没有名为 {shown} 的{kind}；可用的有：{available}{more}{hint}")
