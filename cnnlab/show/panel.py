"""参数面板：控件、运行与停、正在生长的图、写出同样结果的一行代码、没有内核时的几帧。

不管算法，也不管控件怎样读。算在面板自己的线程里，最后的图在主线程里画。
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import html
import inspect
import itertools
import threading
import time

import ipywidgets

from cnnlab.show.controls import ROLES, make_controls
from cnnlab.show.frames import data_uri, encode, one_size, picture_tag, render, static_page
from cnnlab.show.outcome import (
    Outcome,
    code_tag,
    default_settings,
    draw_result,
    growing,
    halted,
    is_default,
    settings_code,
    settings_of,
    with_steps,
)
from cnnlab.show.worker import Run, Stopped, Worker, on_main

MOST_FRAMES = 12
_numbers = itertools.count(1)


class Panel:
    """explore 的结果：`widget` 是控件；`run()`、`stop()`、`save()`、`wait()` 与按钮相同；`outcome` 是最后一次的结果。"""

    def __init__(self, function, controls: dict, *, show, number, total, frames, size: int):
        self.function, self.show, self.number, self.total = function, show, number, total
        self.parameters = inspect.signature(function).parameters
        self.base = default_settings(self.parameters)
        if self.base is not None:
            self.base = controls.pop("settings", self.base)
        self.settings = settings_of(self.base)
        made = make_controls(controls, self._default, size)
        self.controls = {self._role(name): control for name, control in made.items()}
        self.boxes = {name: control.watched for name, control in made.items()}
        self.grid = next((each.grid for each in made.values() if each.grid), None)
        self.slow = "on_step" in self.parameters
        self.outcome, self.cache, self.current = None, {}, Run()
        self.after = None
        self.idle = threading.Event()
        self.idle.set()
        self.worker = Worker(lambda do, *job: do(*job))
        digest = hashlib.sha1(repr((function.__name__, sorted(controls))).encode()).hexdigest()[:8]
        self.name = f"cnnlab-panel-{digest}-{next(_numbers)}"
        self._build()
        self.opening = 0
        self.frames, self.size = self._draw_frames(frames)
        self.bar.value = 0
        for control in self.controls.values():
            if control.watched is not None:
                control.watched.observe(self._changed, "value")
        self._show_maps()

    @property
    def code(self) -> str:
        """写出最后一次结果的一行代码。"""
        return self.outcome.code if self.outcome else ""

    @property
    def picture(self):
        """最后一次的图（PIL）。"""
        return self.outcome.picture if self.outcome else None

    # 参数

    def _role(self, name: str) -> str:
        """控件 `name` 充当哪个参数。"""
        known = {**self.parameters, **self.settings}
        for role in (name, *ROLES.get(name, ())):
            if role in known:
                return role
        raise ValueError(f"{self.function.__name__} 没有参数 {name}；有的是 {'、'.join(known)}")

    def _default(self, name: str):
        role = self._role(name)
        if role in self.parameters:
            default = self.parameters[role].default
            return None if default is inspect.Parameter.empty else default
        return self.settings[role]

    def _read(self) -> tuple[dict, str, str]:
        """(参数, 代码, 缓存的钥匙)：等于默认值的不写，没有默认值的按位置写。"""
        pairs = {name: control.read() for name, control in self.controls.items()}
        contents = [getattr(one.read, "content", str)() for one in self.controls.values()]
        pairs = self._with_settings(pairs)
        written, by_place = [], True
        for name, parameter in self.parameters.items():
            given = name in pairs
            required = parameter.default is parameter.empty
            by_place &= given and required and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
            if given and (required or not is_default(pairs[name], parameter.default)):
                written.append(pairs[name][1] if by_place else f"{name}={pairs[name][1]}")
        code = f"{self.function.__name__}({', '.join(written)})"
        return {name: value for name, (value, _) in pairs.items()}, code, code + "".join(contents)

    def _with_settings(self, pairs: dict) -> dict:
        """属于 settings 的几项合成一个设置对象，其余的项取自给出的设置。"""
        if self.base is None:
            return pairs
        own = {name: pair for name, pair in pairs.items() if name not in self.parameters}
        rest = {name: pair for name, pair in pairs.items() if name in self.parameters}
        value = dataclasses.replace(self.base, **{name: pair[0] for name, pair in own.items()})
        default = self.parameters["settings"].default
        code = repr(default) if value == default else settings_code(value, own)
        return {**rest, "settings": (value, code)}

    # 控件

    def _build(self) -> None:
        self.go, self.halt, self.keep = (
            ipywidgets.Button(description=text, layout={"width": "6em"})
            for text in ("运行", "停", "保存")
        )
        self.halt.disabled = True
        self.bar = ipywidgets.IntProgress(layout={"width": "12em"})
        self.image, self.line, self.says = (ipywidgets.HTML() for _ in range(3))
        for button, do in ((self.go, self.run), (self.halt, self.stop), (self.keep, self.save)):
            button.on_click(lambda _, do=do: do())
        buttons = [self.go, self.halt, self.bar, self.keep] if self.slow else [self.keep]
        boxes = [control.box for control in self.controls.values() if control.box is not None]
        for box in boxes:
            box.layout.max_width = "calc(100% - 4px)"
        row = ipywidgets.HBox(buttons, layout={"flex_flow": "row wrap"})
        self.widget = ipywidgets.VBox([*boxes, row, self.says, self.image, self.line])
        self.widget.add_class(f"{self.name}-live")

    def _changed(self, _=None) -> None:
        """快的跟着走；慢的停下正在算的，等“运行”。"""
        self.current.replaced = True
        if self.slow:
            self._tell("参数变了，按“运行”")
            self.worker.submit((self._show_maps,))
        else:
            self.run()

    def _show_maps(self) -> None:
        """通道的按钮跟着网络、照片和层换；读不出的照片由 run 去说。"""
        photo = next((role for role in ROLES["photo"] if role in self.controls), None)
        if self.grid is None or photo is None:
            return
        with contextlib.suppress(ValueError, RuntimeError):
            read = [self.controls[role].read() for role in ("model", photo, "layer")]
            content = getattr(self.controls[photo].read, "content", str)()
            seen = ([code for _, code in read], content)
            if seen != self.grid.shown:
                self.grid.show(*(value for value, _ in read))
                self.grid.shown = seen

    def run(self) -> None:
        """读控件，去算。"""
        self.current.replaced = True
        try:
            job = self._read()
        except Exception as error:
            self._tell(str(error), wrong=True)
            return
        self.current = Run()
        self.idle.clear()
        self.worker.submit((self._work, *job, self.current))

    def stop(self) -> None:
        """停：正在做的一步做完就停，留下到那时最好的图。"""
        self.current.asked = True

    def wait(self, seconds: float = 600) -> Panel:
        """等算完；写脚本和测试时用。"""
        if not self.idle.wait(seconds):
            raise TimeoutError(f"等了 {seconds} 秒还没有算完；按“停”或调小参数")
        return self

    def save(self) -> str:
        """把最后的图存成 PNG，返回文件名；合成的图连同全部设置，别的图连同那行代码。"""
        if self.outcome is None:
            self._tell("还没有图可存，先运行", wrong=True)
            return ""
        from PIL import PngImagePlugin

        digest = hashlib.sha1(self.code.encode()).hexdigest()[:6]
        path = f"{self.function.__name__}-{digest}.png"
        if hasattr(self.outcome.result, "settings"):
            from cnnlab.core.images import save_image

            save_image(self.outcome.result, path)
        else:
            about = PngImagePlugin.PngInfo()
            about.add_itxt("cnnlab-code", self.code)
            self.picture.save(path, pnginfo=about)
        self._tell(f"存成 {path}")
        return path

    def _tell(self, text: str, wrong: bool = False) -> None:
        # 不用颜色：红字在暗色的界面上看不清
        shown = f"<b>⚠ {html.escape(text)}</b>" if wrong else html.escape(text)
        self.says.value = f'<span role="status">{shown}</span>'

    # 计算

    def _work(self, arguments: dict, code: str, key: str, run: Run) -> None:
        try:
            self.halt.disabled, self.go.disabled = False, True
            if not run.over:
                self._tell("正在算……")
                self._show_maps()
                self._finish(self.cache.get(key) or self._compute(arguments, code, key, run), run)
        except KeyboardInterrupt:
            if not run.replaced:
                self._keep_part(code, run)
        except Exception as error:
            if not run.replaced:
                self._tell(str(error) or type(error).__name__, wrong=True)
        finally:
            self.halt.disabled, self.go.disabled, self.bar.value = True, False, 0
            if run is self.current:
                self.idle.set()

    def _compute(self, arguments: dict, code: str, key: str, run: Run, watch=None) -> Outcome:
        options = {"on_step": self._ticker(run, watch)} if self.slow else {}
        self.bar.max = int(self.total(arguments) if self.total else arguments.get("steps", 0)) or 1
        begin = time.perf_counter()
        result = self.function(**arguments, **options)
        seconds = time.perf_counter() - begin
        shown = {**arguments, "code": code}
        picture = on_main(lambda: render(lambda _: draw_result(self.show, result, shown), code))
        note = str(self.number(result, arguments)) if self.number else ""
        if run.asked:
            # 步数分在几层尺度上时，写不成一个 steps
            whole = "steps" in self.parameters and self.total is None
            code = with_steps(code, run.steps) if whole else halted(code, run.steps)
        outcome = Outcome(picture, result, code, seconds, note, run.asked)
        if not run.over:
            self.cache[key] = outcome
        return outcome

    def _keep_part(self, code: str, run: Run) -> None:
        """停得早，函数没有给出结果：留下正在生长的那张图，代码旁写明停在第几步。"""
        if run.image is None:
            self._tell("停了，还没有图")
            return
        seconds = time.perf_counter() - run.begin
        code = halted(code, run.steps)
        self._finish(Outcome(growing(run.image), None, code, seconds, "", True))

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

    def _finish(self, outcome: Outcome, run: Run | None = None) -> None:
        if run is not None and run.replaced:
            return
        self.outcome = outcome
        parts = [
            outcome.note,
            f"{outcome.seconds:.1f} 秒" if outcome.seconds >= 0.05 else "不到 0.1 秒",
            "停在半途，这是到那时的图" * outcome.stopped,
        ]
        text = "；".join(part for part in parts if part)
        named = [outcome.code] if self.function.__name__.isidentifier() else []
        self.image.value = picture_tag(data_uri(outcome.picture), "：".join([*named, text]))
        self.line.value = "".join(map(code_tag, named))
        self._tell(text)
        if self.after is not None:
            self.after(self)

    # 没有内核时

    def _draw_frames(self, frames) -> tuple[list[dict], tuple[int, int]]:
        """画好的几帧：frames 是 {控件: 几个值}，或一次运行里取几个时刻；慢的函数给 {} 就等“运行”。"""
        if frames == {} and self.slow:
            self._tell("按“运行”")
            return [], (0, 0)
        made = self._moments(frames) if isinstance(frames, int) else self._settings_drawn(frames)
        sources, size = encode(one_size([picture for picture, _, _ in made]))
        rows = zip(sources, made, strict=True)
        return [{"at": at, "alt": alt, "source": source} for source, (_, at, alt) in rows], size

    def _moments(self, count: int) -> list[tuple]:
        arguments, code, key = self._read()
        seen = []
        self._finish(self._compute(arguments, code, key, Run(), seen.append))
        if not 2 <= count <= MOST_FRAMES or len(seen) < count:
            raise ValueError(
                f"frames 是 {count} 个时刻，应在 2 到 {min(MOST_FRAMES, len(seen))} 之间"
            )
        self.opening = count - 1
        chosen = [seen[round(i * (len(seen) - 1) / (count - 1))] for i in range(count)]
        return [
            (growing(step.image), {"第几步": str(step.index + 1)}, f"第 {step.index + 1} 步的图")
            for step in chosen
        ]

    def _settings_drawn(self, frames: dict | None) -> list[tuple]:
        frames = self._some_values() if frames is None else frames
        grid = [
            dict(zip(frames, values, strict=True)) for values in itertools.product(*frames.values())
        ]
        if not 1 <= len(grid) <= MOST_FRAMES or len(frames) > 2:
            raise ValueError(
                f"静态的帧有 {len(grid)} 张、{len(frames)} 根轴；最多 {MOST_FRAMES} 张、两根轴"
            )
        before = {name: self.boxes[name].value for name in frames}
        made = []
        for setting in grid:
            texts = {
                self.boxes[name].description: self.controls[self._role(name)].put(value)
                for name, value in setting.items()
            }
            if all(self.boxes[name].value == value for name, value in before.items()):
                self.opening = len(made)
            outcome = self._made()
            words = "，".join(f"{name} {text}" for name, text in texts.items()) or outcome.code
            made.append((outcome.picture, texts, f"{words}。{outcome.note}".strip("。")))
        for name, value in before.items():
            self.boxes[name].value = value
        self._finish(self._made())
        return made

    def _made(self) -> Outcome:
        """控件现在的位置上的结果；算过的不再算。"""
        arguments, code, key = self._read()
        return self.cache.get(key) or self._compute(arguments, code, key, Run())

    def _some_values(self) -> dict:
        """没有指定时：第一个有几种取法的菜单或滑块，取不多于五个值；都没有就只画一张。"""
        for name, box in self.boxes.items():
            if isinstance(box, ipywidgets.Dropdown):
                texts = [one[0] if isinstance(one, tuple) else one for one in box.options]
                if len(texts) > 1:
                    return {name: texts[:5]}
            elif isinstance(box, ipywidgets.IntSlider | ipywidgets.FloatSlider):
                count = min(4, round((box.max - box.min) / box.step))
                stops = [
                    box.min + round(i / count * (box.max - box.min) / box.step) * box.step
                    for i in range(count + 1)
                ]
                return {name: stops}
        return {}

    def _repr_html_(self) -> str:
        return static_page(self.name, self.frames, self.size, self.opening) if self.frames else ""

    def __repr__(self) -> str:
        return f"面板：{self.code}"

    def _ipython_display_(self) -> None:
        """两份输出：先是静态的，再是控件；连着内核的控件在场时，样式表把静态的那份藏起来。"""
        from IPython.display import display

        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
        live = {"text/plain": "", "text/html": "", "application/vnd.jupyter.widget-view+json": view}
        display({"text/plain": repr(self), "text/html": self._repr_html_()}, raw=True)
        display(live, raw=True)
