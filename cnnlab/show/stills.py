"""没有内核时的几帧：把控件拨到几个位置各算一次，或在一次运行里取几个时刻。

不管面板怎样运行；帧怎样压小、怎样写成网页在 frames。
"""

from __future__ import annotations

import itertools

import ipywidgets

from cnnlab.core.checks import describe
from cnnlab.show.outcome import growing

MOST_FRAMES = 12


def moments_of(steps: list, count: int) -> list[tuple]:
    """一次运行的各步里取 `count` 个时刻：(图, {轴: 文字}, 替代文字)。"""
    if not steps:
        raise ValueError(
            "frames 是几个时刻，可是函数一步也没有报告：它要收 on_step；或写成 {控件: [几个值]}"
        )
    most = min(MOST_FRAMES, len(steps))
    if not 2 <= count <= most:
        raise ValueError(f"frames 是 {count} 个时刻，应在 2 到 {most} 之间")
    chosen = [steps[round(i * (len(steps) - 1) / (count - 1))] for i in range(count)]
    return [
        (growing(step.image), {"第几步": str(step.index + 1)}, f"第 {step.index + 1} 步的图")
        for step in chosen
    ]


def positions_of(panel, frames: dict | None) -> tuple[list[tuple], int]:
    """控件的几个位置上的图：(图, {轴: 文字}, 替代文字)，和控件起先在第几个；拨完回到原处。"""
    boxes, controls = panel.boxes, panel.controls
    frames = some_values(boxes) if frames is None else frames
    check_frames(frames, [name for name, box in boxes.items() if box is not None])
    grid = [
        dict(zip(frames, values, strict=True)) for values in itertools.product(*frames.values())
    ]
    if not 1 <= len(grid) <= MOST_FRAMES or len(frames) > 2:
        raise ValueError(
            f"静态的帧有 {len(grid)} 张、{len(frames)} 根轴；最多 {MOST_FRAMES} 张、两根轴"
        )
    before = {name: boxes[name].value for name in frames}
    made, start = [], 0
    for setting in grid:
        texts = {
            boxes[name].description: controls[panel.call.role(name)].put(value)
            for name, value in setting.items()
        }
        if before == {name: boxes[name].value for name in frames}:
            start = len(made)
        outcome = panel.computed()
        words = "，".join(f"{name} {text}" for name, text in texts.items()) or outcome.code
        made.append((outcome.picture, texts, f"{words}。{outcome.note}".strip("。")))
    for name, value in before.items():
        boxes[name].value = value
    return made, start


def check_frames(frames, movable: list[str]) -> None:
    """frames 是 {控件: [几个值]}，控件都是拨得动的。"""
    written = isinstance(frames, dict)
    if not written or not all(isinstance(one, list | tuple) for one in frames.values()):
        raise TypeError(
            f"frames 应写成 {{控件: [几个值]}}，或一次运行里取几个时刻的个数，得到 {describe(frames)}"
        )
    if wrong := [name for name in frames if name not in movable]:
        raise ValueError(
            f"frames 里的 {'、'.join(wrong)} 不是可以拨的控件；有的是 {'、'.join(movable) or '无'}"
        )


def some_values(boxes: dict) -> dict:
    """没有指定时：第一个有几种取法的菜单或滑块，取不多于五个值；都没有就只画一张。"""
    for name, box in boxes.items():
        if isinstance(box, ipywidgets.Dropdown) and len(box.options) > 1:
            return {name: [one[0] if isinstance(one, tuple) else one for one in box.options[:5]]}
        if isinstance(box, ipywidgets.IntSlider | ipywidgets.FloatSlider):
            count = round((box.max - box.min) / box.step)
            return {name: [box.min + i * box.step for i in range(0, count + 1, -(-count // 4))]}
    return {}
