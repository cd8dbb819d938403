"""Ctrl-C：一次就停下整个函数，给出大小对、取值在 [0, 1] 的图，历史一步不少；面板的停走同一条路。"""

import signal
import threading

import pytest
import torch

from cnnlab import (
    Ascent,
    class_facets,
    coarse_to_fine,
    dream,
    dream_zoom,
    load_model,
    photos,
    synthesize_texture,
    transfer_style,
)
from cnnlab.chapters import deepdream
from cnnlab.engine.optimize import optimize_image
from cnnlab.engine.stopping import stoppable

QUICK = Ascent(parameterization="pixel", robust=False)


@pytest.fixture(scope="module")
def model():
    return load_model()


@pytest.fixture(scope="module")
def picture():
    return photos(size=64).images[:1].sub(0.25).mul(2).clamp(0, 1)


def several(model, picture, on_step) -> dict:
    """几个尺度、几轮、几个阶段的函数，各走 6 步：{名字: (调用, 图的尺寸)}。"""
    shared = {"on_step": on_step}
    other = picture.flip(-1)
    stages = ((32, 0, 2, 0.05), (48, 0, 2, 0.05), (64, 0, 2, 0.05))
    return {
        "dream": lambda: dream(model, picture, "fire2", octaves=3, steps=2, **shared),
        "texture": lambda: synthesize_texture(
            model, picture, 64, ["relu1"], steps=3, scales=2, rounds=3, **shared
        ),
        "style": lambda: transfer_style(model, picture, other, scales=2, steps=3, **shared),
        "coarse": lambda: coarse_to_fine(model, 1, stages=stages, settings=QUICK, **shared),
        "facets": lambda: class_facets(
            model, 1, torch.cat([picture, other]), facets=1, steps=6, natural=0.0, **shared
        ),
    }


NAMES = ["dream", "texture", "style", "coarse", "facets"]


def stopped(model, picture, name: str, place: int, press):
    """走到第 `place` 步时按停：(Result, 走了几步)。"""
    taken = []

    def on_step(step):
        taken.append(step.loss)
        if len(taken) == place:
            press()

    return several(model, picture, on_step)[name](), taken


def raised():
    raise KeyboardInterrupt


@pytest.mark.parametrize("place", [1, 3, 5])
@pytest.mark.parametrize("press", [raised, lambda: signal.raise_signal(signal.SIGINT)])
@pytest.mark.parametrize("name", NAMES)
def test_one_interrupt_ends_the_whole_function(model, picture, name, press, place):
    result, taken = stopped(model, picture, name, place, press)
    assert len(taken) == place
    assert result.image.shape == (1, 3, 64, 64)
    assert 0 <= result.image.min() and result.image.max() <= 1
    assert result.history["loss"] == pytest.approx(taken, rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_without_an_interrupt_all_steps_are_taken(model, picture, name):
    _, taken = stopped(model, picture, name, 0, raised)
    assert len(taken) == 6


def test_an_interrupt_between_two_scales_is_not_lost(model, picture, monkeypatch):
    """Ctrl-C 落在缩放里，不在步里：也停，也有图。"""
    resize, pressed, taken = deepdream.resize, [], []

    def between(*arguments):
        if taken and not pressed:
            pressed.append(len(taken))
            signal.raise_signal(signal.SIGINT)
        return resize(*arguments)

    monkeypatch.setattr(deepdream, "resize", between)
    made = dream(model, picture, "fire2", octaves=3, steps=2, on_step=taken.append).image
    assert pressed == [2] and len(taken) == 2
    assert made.shape == picture.shape and 0 <= made.min() and made.max() <= 1


def test_the_second_interrupt_is_immediate_and_the_handler_comes_back():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), stoppable() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.asked
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    with stoppable() as again:
        assert not again.asked


def test_another_thread_is_stopped_by_its_own_on_step_alone(model, picture):
    results = {}

    def work():
        results["stopped"] = stopped(model, picture, "dream", 3, raised)

    with stoppable() as mine:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert not mine.asked
    made, taken = results["stopped"]
    assert len(taken) == 3 and made.image.shape == picture.shape


def test_a_stopped_film_has_the_frames_made_so_far(model, picture):
    taken = []

    def on_step(step):
        taken.append(step)
        if len(taken) == 4:
            raise KeyboardInterrupt

    film = dream_zoom(model, picture, "fire2", frames=5, octaves=1, steps=3, on_step=on_step)
    assert film.shape == (2, *picture.shape[1:]) and len(taken) == 4


def test_a_run_after_a_stopped_one_goes_its_whole_way(picture):
    optimize_image(picture, lambda image: image.sum(), steps=3, on_step=lambda step: raised())
    seen = []
    optimize_image(picture, lambda image: image.sum(), steps=3, on_step=seen.append)
    assert len(seen) == 3
