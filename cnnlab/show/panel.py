"""参数面板：控件、运行与停、正在生长的图、写出同样结果的一行代码。

不管算法，不管控件怎样读（见 call），也不管没有内核时的几帧（见 stills）。算在面板自己的线程里，最后的图在主线程里画。
"""

from __future__ import annotations

import contextlib
import hashlib
import html
import itertools
import math
import threading
import time

import ipywidgets

from cnnlab.show.call import Call, Job
from cnnlab.show.controls import ROLES
from cnnlab.show.frames import (
    PIXELS,
    data_uri,
    encode,
    least_width,
    one_size,
    picture_tag,
    render,
    static_page,
)
from cnnlab.show.outcome import Outcome, code_tag, draw_result, growing, halted, with_steps
from cnnlab.show.stills import moments_of, positions_of
from cnnlab.show.worker import Run, Stopped, Worker, on_main

_numbers = itertools.count(1)


class Panel:
    """explore 的结果：`widget` 是控件；`run()`、`stop()`、`save()`、`wait()` 与按钮相同；`outcome` 是最后一次的结果。"""

    def __init__(
        self, function, controls: dict, *, show=None, number=None, total=None, frames=None, size
    ):
        self.function, self.show, self.number, self.total = function, show, number, total
        names = sorted(controls)
        self.call = Call(function, controls, size)
        self.controls, self.boxes = self.call.controls, self.call.boxes
        self.grid = next((each.grid for each in self.controls.values() if each.grid), None)
        self.slow = "on_step" in self.call.parameters
        self.outcome, self.cache, self.current = None, {}, Run()
        self.after = None
        # 收起来的面板不跟着控件走，露面时再补
        self.asleep = self.behind = False
        self.idle = threading.Event()
        self.idle.set()
        self.worker = Worker()
        digest = hashlib.sha1(repr((self.call.name, names)).encode()).hexdigest()[:8]
        self.name = f"cnnlab-panel-{digest}-{next(_numbers)}"
        self._build()
        self.frames, self.page = [], ""
        self._draw_frames(frames)
        self.bar.value = 0
        for box in filter(None, self.boxes.values()):
            box.observe(self._changed, "value")
        self._show_maps()

    @property
    def code(self) -> str:
        """写出最后一次结果的一行代码。"""
        return self.outcome.code if self.outcome else ""

    @property
    def picture(self):
        """最后一次的图（PIL）。"""
        return self.outcome.picture if self.outcome else None

    # 控件

    def _build(self) -> None:
        self.go, self.halt, self.keep = buttons = [
            ipywidgets.Button(description=text, layout={"width": "6em"})
            for text in ("运行", "停", "保存")
        ]
        for button, do in zip(buttons, (self.run, self.stop, self.save), strict=True):
            button.on_click(lambda _, do=do: do())
        self.halt.disabled = True
        self.bar = ipywidgets.IntProgress(layout={"width": "12em"})
        self.image, self.line, self.says = (ipywidgets.HTML() for _ in range(3))
        boxes = [control.box for control in self.controls.values() if control.box is not None]
        for box in boxes:
            box.layout.max_width = "calc(100% - 4px)"
        shown = [self.go, self.halt, self.bar, self.keep] if self.slow else [self.keep]
        row = ipywidgets.HBox(shown, layout={"flex_flow": "row wrap"})
        self.widget = ipywidgets.VBox([*boxes, row, self.says, self.image, self.line])
        self.widget.add_class(f"{self.name}-live")

    def _changed(self, change) -> None:
        """快的跟着走；慢的停下正在算的，等“运行”。"""
        if isinstance(change.new, float) and math.isclose(change.new, change.old, abs_tol=1e-15):
            return  # 网页把滑块放到格子上，末位的舍入不算拨过
        self.current.replaced = True
        self.behind = self.asleep
        if not self.asleep:
            self._follow()

    def _follow(self) -> None:
        self.behind = False
        if self.slow:
            self._tell("参数变了，按“运行”")
            self.worker.submit(self._show_maps)
        else:
            self.run()

    def wake(self) -> None:
        """露面：收起来的时候控件动过，就跟上。"""
        self.asleep = False
        if self.behind:
            self._follow()

    def _show_maps(self) -> None:
        """通道的按钮跟着网络、照片和层换；读不出的照片由 run 去说。"""
        photo = next((role for role in ROLES["photo"] if role in self.controls), None)
        if self.grid is None or photo is None:
            return
        with contextlib.suppress(ValueError, RuntimeError):
            used = [self.controls[role] for role in ("model", photo, "layer")]
            values, codes = zip(*(control.read() for control in used), strict=True)
            seen = (codes, self.controls[photo].content())
            if seen != self.grid.shown:
                self.grid.show(*values)
                self.grid.shown = seen

    def run(self) -> None:
        """读控件，去算。"""
        self.current.replaced = True
        try:
            job = self.call.read()
        except Exception as error:
            self._tell(str(error), wrong=True)
            return
        run = self.current = Run()
        self.idle.clear()
        self.worker.submit(lambda: self._work(job, run))

    def stop(self) -> None:
        """停：正在做的一步做完就停，留下到那时最好的图。"""
        self.current.asked = True

    def wait(self, seconds: float = 600) -> Panel:
        """等算完；写脚本和测试时用。"""
        if not self.idle.wait(seconds):
            raise TimeoutError(f"等了 {seconds} 秒还没有算完；按“停”或调小参数")
        return self

    def save(self) -> str:
        """把最后的图存成 PNG，返回文件名；合成的图连同全部设置，别的图连同那行代码；上传的照片也存一份。"""
        if self.outcome is None:
            self._tell("还没有图可存，先运行", wrong=True)
            return ""
        digest = hashlib.sha1(self.code.encode()).hexdigest()[:6]
        path = f"{self.call.name.strip('<>')}-{digest}.png"
        try:
            self.outcome.save(path)
            stored = "".join(control.store() for control in self.controls.values())
        except OSError as error:
            self._tell(f"没有存成：{error}；笔记本所在的文件夹要写得进去", wrong=True)
            return ""
        self._tell(f"存成 {path}{stored}")
        return path

    def _tell(self, text: str, wrong: bool = False) -> None:
        # 不用颜色：红字在暗色的界面上看不清
        shown = f"<b>⚠ {html.escape(text)}</b>" if wrong else html.escape(text)
        self.says.value = f'<span role="status">{shown}</span>'

    # 计算

    def _work(self, job: Job, run: Run) -> None:
        try:
            self.halt.disabled, self.go.disabled = False, True
            if not run.over:
                self._tell("正在算……")
                self._show_maps()
                self._finish(self.cache.get(job.key) or self._compute(job, run), run)
        except KeyboardInterrupt:
            if not run.replaced:
                self._keep_part(job.code, run)
        except Exception as error:
            if not run.replaced:
                self._tell(str(error) or type(error).__name__, wrong=True)
        finally:
            self.halt.disabled, self.go.disabled, self.bar.value = True, False, 0
            if run is self.current:
                self.idle.set()

    def _compute(self, job: Job, run: Run, watch=None) -> Outcome:
        arguments, code, key = job
        options = {"on_step": self._ticker(run, watch)} if self.slow else {}
        self.bar.max = int(self.total(arguments) if self.total else arguments.get("steps", 0)) or 1
        run.begin = time.perf_counter()
        result = self.function(**arguments, **options)
        seconds = run.seconds
        shown = {**arguments, "code": code}
        picture = on_main(lambda: render(lambda _: draw_result(self.show, result, shown), code))
        note = str(self.number(result, arguments)) if self.number else ""
        if run.asked:
            # 步数分在几层尺度上时，写不成一个 steps
            whole = "steps" in self.call.parameters and self.total is None
            code = (with_steps if whole else halted)(code, run.steps)
        outcome = Outcome(picture, result, code, seconds, note, run.asked)
        if not run.over:
            self.cache[key] = outcome
        return outcome

    def computed(self) -> Outcome:
        """控件现在的位置上的结果；算过的不再算。"""
        job = self.call.read()
        return self.cache.get(job.key) or self._compute(job, Run())

    def _keep_part(self, code: str, run: Run) -> None:
        """停得早，函数没有给出结果：留下正在生长的那张图，代码旁写明停在第几步。"""
        if run.image is None:
            self._tell("停了，还没有图")
            return
        code = halted(code, run.steps)
        self._finish(Outcome(growing(run.image), None, code, run.seconds, "", True), run)

    def _ticker(self, run: Run, watch):
        """每一步看要不要停；每五分之一秒把正在生长的图画出来。"""
        last = [0.0]

        def tick(step):
            if run.over:
                raise Stopped
            run.steps, run.image = run.steps + 1, step.image
            if watch is not None:
                watch(step)
            elif time.perf_counter() - last[0] > 0.2:
                self.bar.max = max(self.bar.max, run.steps)
                self.bar.value = run.steps
                self.image.value = picture_tag(data_uri(growing(step.image)), "正在生长的图")
                last[0] = time.perf_counter()

        return tick

    def _finish(self, outcome: Outcome, run: Run) -> None:
        if run.replaced:
            return
        self.outcome, text = outcome, outcome.words
        named = [outcome.code] if self.call.name.isidentifier() else []
        self.image.value = picture_tag(data_uri(outcome.picture), "：".join([*named, text]))
        self.line.value = "".join(map(code_tag, named))
        self._tell(text)
        if self.after is not None:
            self.after(self)

    # 没有内核时

    def _draw_frames(self, frames) -> None:
        """画好的几帧：frames 是 {控件: 几个值}，或一次运行里取几个时刻；给 {} 就一帧也不画，慢的函数等“运行”。"""
        if frames == {}:
            if self.slow:
                self._tell("按“运行”")
            else:
                self.run()
            return
        if isinstance(frames, int):
            steps = []
            outcome = self._compute(self.call.read(), Run(), steps.append)
            made, start = moments_of(steps, frames), frames - 1
        else:
            made, start = positions_of(self, frames)
            outcome = self.computed()
        self._finish(outcome, Run())
        pictures, places, alts = zip(*made, strict=True)
        least = least_width(max(picture.width for picture in pictures), PIXELS)
        sources, size = encode(one_size(pictures))
        self.frames = [
            {"at": at, "alt": alt, "source": source}
            for source, at, alt in zip(sources, places, alts, strict=True)
        ]
        self.page = static_page(self.name, self.frames, size, least, start)

    def _repr_html_(self) -> str:
        return self.page

    def __repr__(self) -> str:
        return f"面板：{self.code}"

    def _ipython_display_(self) -> None:
        """两份输出：先是静态的，再是控件；连着内核的控件在场时，样式表把静态的那份藏起来。"""
        from IPython.display import display

        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
        live = {"text/plain": "", "text/html": "", "application/vnd.jupyter.widget-view+json": view}
        display({"text/plain": repr(self), "text/html": self.page}, raw=True)
        display(live, raw=True)
