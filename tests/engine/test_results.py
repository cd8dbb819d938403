"""results：设置写进 PNG，读回来重做，逐位相同；对不上的讲明白。"""

import base64
import json
import resource
import zlib

import pytest
import torch

import cnnlab
from cnnlab.core.images import save_image
from cnnlab.engine import results
from cnnlab.engine.results import Result, reproduce, reproducible
from cnnlab.networks.models import load_model, wrap_model


@reproducible
def scribble(
    model, target, *, image=None, size=(6, 7), seed=0, generator=None, weights=None, on_step=None
):
    """随机画几笔：结果取决于每一个参数。"""
    generator = generator or torch.Generator().manual_seed(seed)
    picture = torch.rand(1, 3, *size, generator=generator) / 2
    picture = picture if image is None else picture + image / 4
    with torch.no_grad():
        picture = (
            picture
            + torch.sigmoid(model(torch.rand(1, 3, 32, 32, generator=generator))[0, target]) / 8
        )
    return picture + (weights or {"a": 0.0})["a"], {"loss": [1.0, 0.5]}


@pytest.fixture
def model(tiny_cnn):
    model = wrap_model(tiny_cnn, mean=(0.4,) * 3, std=(0.2,) * 3)
    model.from_zoo = True
    return model


@pytest.fixture
def known(monkeypatch, model):
    """让 scribble 和模型都能按名字取到。"""
    monkeypatch.setattr(cnnlab, "scribble", scribble, raising=False)
    monkeypatch.setattr(results, "load_model", lambda name, device=None: model)
    monkeypatch.setattr(results, "is_at_hand", lambda name: True)


def test_result_has_image_history_and_all_arguments(model, photo):
    result = scribble(model, 2, image=photo[..., :6, :7], on_step=print)
    assert (
        isinstance(result, Result)
        and result.image.shape == (1, 3, 6, 7)
        and result.history == {"loss": [1.0, 0.5]}
    )
    arguments = result.settings["arguments"]
    assert set(arguments) == {"model", "target", "image", "size", "seed", "generator", "weights"}
    assert arguments["model"]["weights"] == model.weights_hash() and arguments["seed"] == 0
    assert result.settings["versions"]["torch"] == torch.__version__
    assert json.loads(json.dumps(result.settings)) == result.settings
    assert len(repr(result.settings)) < 1000 and "kB" in repr(result.settings)


def test_reproduce_from_a_png_to_the_bit(tmp_path, model, photo, known):
    result = scribble(model, 2, image=photo[..., :6, :7], seed=4, weights={"a": 0.01})
    path = save_image(result, tmp_path / "x.png", inputs=True)
    again = reproduce(path)
    assert torch.equal(again.image, result.image) and again.settings == result.settings
    assert not torch.equal(
        scribble(model, 2, image=photo[..., :6, :7], seed=5, weights={"a": 0.01}).image,
        result.image,
    )
    assert torch.equal(reproduce(result).image, result.image)


def test_generator_state_is_kept_from_before_the_call(model, known):
    generator = torch.Generator().manual_seed(9)
    torch.rand(5, generator=generator)
    first = scribble(model, 0, generator=generator)
    second = scribble(model, 0, generator=generator)
    assert not torch.equal(first.image, second.image)
    assert torch.equal(reproduce(first).image, first.image) and torch.equal(
        reproduce(second).image, second.image
    )


def test_replacements_override_and_must_exist(model, known):
    result = scribble(model, 2, seed=1)
    assert torch.equal(reproduce(result, seed=3).image, scribble(model, 2, seed=3).image)
    with pytest.raises(ValueError, match="colour"):
        reproduce(result, colour=1)


def test_other_weights_are_refused(model, known, monkeypatch, tiny_cnn):
    result = scribble(model, 2)
    tiny_cnn.conv1.weight.data.mul_(1.01)
    other = wrap_model(tiny_cnn, mean=(0.4,) * 3, std=(0.2,) * 3)
    with pytest.raises(ValueError, match="权重与当时的不同"):
        reproduce(result, model=other)


def test_own_networks_and_functions_must_be_given_again(tiny_cnn, known):
    result = scribble(tiny_cnn, 2)
    with pytest.raises(ValueError, match=r"reproduce\(..., model=...\)"):
        reproduce(result)
    assert torch.equal(reproduce(result, model=tiny_cnn).image, result.image)


def test_large_tensors_are_not_written(monkeypatch, model, photo, known):
    monkeypatch.setattr(results, "_LARGEST", 10)
    result = scribble(model, 2, image=photo[..., :6, :7])
    with pytest.raises(ValueError, match=r"image=\.\.\."):
        reproduce(result)
    assert torch.equal(reproduce(result, image=photo[..., :6, :7]).image, result.image)


@pytest.mark.parametrize("function", ["load_image", "os.system", "missing", ""])
def test_only_synthesis_functions_are_called(model, function, known):
    result = scribble(model, 2)
    with pytest.raises(ValueError, match="不是 cnnlab 的合成函数"):
        reproduce(Result(result.image, {}, {**result.settings, "function": function}))


def test_pictures_without_settings_are_refused(tmp_path, photo):
    with pytest.raises(ValueError, match="没有 cnnlab 的设置"):
        reproduce(save_image(photo, tmp_path / "plain.png"))


def test_another_environment_is_pointed_out(model, known):
    result = scribble(model, 2)
    settings = {**result.settings, "versions": {**result.settings["versions"], "torch": "0.1"}}
    with pytest.warns(RuntimeWarning, match=r"torch 0\.1"):
        reproduce(Result(result.image, {}, settings))


def test_weights_hash_of_any_module(tiny_cnn):
    before = results.weights_hash(tiny_cnn)
    assert before == results.weights_hash(tiny_cnn) and len(before) == 12
    tiny_cnn.linear.bias.data[0] += 1
    assert results.weights_hash(tiny_cnn) != before


def test_the_embedded_network_is_found_by_name(monkeypatch):
    monkeypatch.setattr(cnnlab, "scribble", scribble, raising=False)
    result = scribble(load_model(), 7)
    assert torch.equal(reproduce(result).image, result.image)


# 小、私密、经得起改过的 PNG


def test_own_pictures_stay_out_of_the_png_unless_asked(tmp_path, model, known):
    image = torch.rand(1, 3, 60, 70, generator=torch.Generator().manual_seed(0))
    result = scribble(model, 2, image=image, size=(60, 70), weights={"a": 0.01})
    small, large = tmp_path / "small.png", tmp_path / "large.png"
    save_image(result, small)
    save_image(result, large, inputs=True)
    assert small.stat().st_size + 30_000 < large.stat().st_size
    assert torch.equal(reproduce(large).image, result.image)
    with pytest.raises(ValueError, match=r"image=\.\.\."):
        reproduce(small)
    assert torch.equal(reproduce(small, image=image).image, result.image)
    with pytest.raises(ValueError, match="不是同一个"):
        reproduce(small, image=1 - image)


def test_photos_are_kept_in_eight_bits(model, photo, known):
    eight = (photo * 255).round() / 255
    long, short = (
        scribble(model, 2, image=each, size=(32, 32)).settings["arguments"]["image"]
        for each in (photo, eight)
    )
    assert len(short["tensor"]) * 2 < len(long["tensor"])
    result = scribble(model, 2, image=eight, size=(32, 32))
    assert torch.equal(reproduce(result).image, result.image)


def _changed(change, settings):
    settings = json.loads(json.dumps(settings))
    change(settings)
    return settings


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.pop("arguments"),
        lambda s: s.update(function=3),
        lambda s: s["arguments"].update(size=10**6),
        lambda s: s["arguments"].update(target={"list": 5}),
        lambda s: s["arguments"].update(target={"nothing": 5}),
        lambda s: s["arguments"].update(steps=10**9),
        lambda s: s["arguments"].update(size={"tuple": [5000, 5000]}),
        lambda s: s["arguments"]["image"].update(tensor="????"),
        lambda s: s["arguments"]["image"].update(shape=[1, 3, 9000, 9000]),
        lambda s: s["arguments"]["image"].update(shape=[1, 3, 2, 2]),
        lambda s: s["arguments"]["image"].update(dtype="object"),
        lambda s: s["arguments"]["model"].update(model="vgg19"),
        lambda s: s["arguments"].update(extra=1),
        lambda s: s["arguments"].update(
            target={"settings": "load_image", "fields": {"source": "x"}}
        ),
    ],
)
def test_changed_settings_give_one_error(tmp_path, model, photo, known, monkeypatch, change):
    result = scribble(model, 2, image=photo[..., :6, :7])
    monkeypatch.setattr(results, "is_at_hand", lambda name: name != "vgg19")
    settings = _changed(change, result.settings)
    changed = save_image(Result(result.image, {}, settings), tmp_path / "x.png", inputs=True)
    with pytest.raises(ValueError, match=r"[\u4e00-\u9fff]"):
        reproduce(changed)


def test_a_bomb_in_the_settings_is_unpacked_no_further_than_it_says(tmp_path, model, photo, known):
    result = scribble(model, 2, image=photo[..., :6, :7])
    bomb = base64.b64encode(zlib.compress(bytes(300_000_000), 9)).decode()
    settings = _changed(lambda s: s["arguments"]["image"].update(tensor=bomb), result.settings)
    path = save_image(Result(result.image, {}, settings), tmp_path / "bomb.png", inputs=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="不符"):
        reproduce(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000


def test_an_own_network_is_never_looked_up_by_its_class_name(tiny_cnn, known):
    own = wrap_model(tiny_cnn, mean=(0.4,) * 3, std=(0.2,) * 3)
    own.network_name = "alexnet"
    with pytest.raises(ValueError, match="你自己的网络"):
        reproduce(scribble(own, 2))


def test_weights_of_any_type_have_a_hash(tiny_cnn):
    assert len(results.weights_hash(tiny_cnn.bfloat16())) == 12
