"""按 Ctrl-C：先记下，走完这一步再停，到那时的结果不丢。

不管停下之后给出什么：那是各个循环的事。
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Stop:
    """一次运行的停：`asked` 是按过 Ctrl-C，后面的步都不走了。"""

    asked = False


_THREAD = threading.local()


@contextmanager
def stoppable() -> Iterator[Stop]:
    """在 with 之内，第一次 Ctrl-C 只记下来（`asked`），循环走完这一步再停；第二次立刻抛出 KeyboardInterrupt。

    套在里面的是同一次运行：几个尺度的合成按一次，后面的尺度一步也不走，函数照常走完，给出大小对的图。
    """
    if getattr(_THREAD, "stop", None) is not None:
        yield _THREAD.stop
        return
    stop = Stop()
    try:
        _THREAD.stop = stop
        with _noted_in(stop):
            yield stop
    finally:
        _THREAD.stop = None


@contextmanager
def _noted_in(stop: Stop) -> Iterator[None]:
    """Ctrl-C 记在 `stop` 里；它只到主线程，别的线程里由 on_step 抛出。"""

    def note(number, frame) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, note)
        yield
    finally:
        signal.signal(signal.SIGINT, previous or signal.SIG_DFL)
