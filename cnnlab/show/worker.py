"""面板在哪里算：自己的一个线程，只留最新的请求；最后的图回到主线程里画。

没有内核的脚本和 Colab 就地算。不管算什么。
"""

import concurrent.futures
import os
import sys
import threading
import time


class Stopped(KeyboardInterrupt):
    """从 on_step 里抛出：图像优化当作 Ctrl-C，给出到那时最好的图；别的函数一路退出来。"""


def kernel():
    """正在用的 Jupyter 内核；没有时是 None。"""
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None)


def computes_inline() -> bool:
    """在回调里就地算：没有内核的脚本，和不显示别的线程里的更新的 Colab。"""
    asked = os.environ.get("CNNLAB_PANEL")
    if asked in ("inline", "thread"):
        return asked == "inline"
    return kernel() is None or "google.colab" in sys.modules


class Worker:
    """一个线程，只留最新的一件：还没开始的旧请求被新的替换，滑块后面不会排队。"""

    def __init__(self):
        self.ready, self.waiting, self.thread = threading.Condition(), None, None

    def submit(self, job) -> None:
        """交一件去算；就地算时算完才返回。"""
        if computes_inline():
            job()
            return
        with self.ready:
            self.waiting = job
            self.ready.notify_all()
            if self.thread is None:
                self.thread = threading.Thread(target=self._loop, name="cnnlab-panel", daemon=True)
                self.thread.start()

    def _loop(self) -> None:
        while True:
            with self.ready:
                self.ready.wait_for(lambda: self.waiting is not None)
                job, self.waiting = self.waiting, None
            job()


def on_main(draw):
    """在主线程里画：pyplot 的“当前图”是全局的。没有内核或已在主线程时就地画。"""
    running = kernel()
    if running is None or threading.current_thread() is threading.main_thread():
        return draw()
    answer = concurrent.futures.Future()

    def run():
        try:
            answer.set_result(draw())
        except BaseException as error:
            answer.set_exception(error)

    running.io_loop.add_callback(run)
    return answer.result()


class Run:
    """一次运行的令牌：`asked` 是按了停，`replaced` 是被新的请求换掉。"""

    def __init__(self):
        self.asked = self.replaced = False
        self.steps, self.image, self.begin = 0, None, time.perf_counter()

    @property
    def seconds(self) -> float:
        """开始到现在几秒。"""
        return time.perf_counter() - self.begin

    @property
    def over(self) -> bool:
        """不必再算下去。"""
        return self.asked or self.replaced
