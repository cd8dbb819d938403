"""zoo：名册与 torchvision 一致，各种写法的权重文件都读得进，出错时说得清楚。"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import http.server
import threading

import pytest
import torch

from cnnlab.networks import architectures
from cnnlab.networks.categories import PLACES_URL
from cnnlab.networks.downloads import DownloadError, cache_directory
from cnnlab.networks.zoo import ZOO, build
from cnnlab.pictures.photos import photo

TORCHVISION_NAMES = [info.name for info in ZOO.values() if info.source == "torchvision"]


@pytest.mark.parametrize("name", TORCHVISION_NAMES)
def test_the_registry_agrees_with_torchvision(name):
    from torchvision.models import get_model_weights

    official = get_model_weights(name).IMAGENET1K_V1
    assert ZOO[name].url == official.url
    assert ZOO[name].megabytes == pytest.approx(official.meta["_file_size"], abs=0.1)


def test_only_the_two_that_ship_are_offline():
    assert [info.name for info in ZOO.values() if info.offline] == [
        "squeezenet1_1",
        "efficientnet_lite0",
    ]


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
    before = torch.get_rng_state()
    blueprint = build("efficientnet_lite0")
    assert torch.equal(torch.get_rng_state(), before)
    images = torch.cat([photo(name, 224) for name in ("panda", "koala", "polar_bear")])
    mean, std = (
        torch.tensor(values).view(1, 3, 1, 1) for values in (blueprint.mean, blueprint.std)
    )
    with torch.no_grad():
        probability = blueprint.module.eval()((images - mean) / std).softmax(1)
    best = probability.max(1)
    names = [blueprint.categories.label(index) for index in best.indices]
    assert names == ["大熊猫 (giant panda)", "考拉 (koala)", "北极熊 (ice bear)"]
    assert best.values.min() > 0.5


def test_an_unknown_network_lists_the_nearest_first():
    with pytest.raises(ValueError, match="resnet50、") as caught:
        build("resnet-50")
    assert all(name in str(caught.value) for name in ZOO)


def test_an_unknown_choice_of_weights_is_refused():
    with pytest.raises(ValueError, match='"default"'):
        build("alexnet", "imagenet")


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
        running.folder, running.url = (
            tmp_path / "www",
            f"http://127.0.0.1:{running.server_address[1]}",
        )
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def small(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """形状照旧、每个张量只存一个数的权重：文件只有几十 KB。"""
    return {
        key: torch.tensor(float(index % 7 + 1)).expand(value.shape) if value.dim() else value
        for index, (key, value) in enumerate(state.items())
    }


def publish(
    server, monkeypatch, name: str, content: object, *, suffix: str = ".pth", legacy: bool = False
) -> str:
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


@pytest.mark.parametrize(
    "name", ["alexnet", "vgg16", "resnet50", "densenet121", "googlenet", "inception_v3"]
)
def test_checkpoints_of_the_real_layout_load(server, monkeypatch, name):
    from torchvision import models

    with torch.device("meta"):
        options = (
            {"aux_logits": True, "init_weights": False}
            if name in ("googlenet", "inception_v3")
            else {}
        )
        layout = models.get_model(name, weights=None, **options).state_dict()
    if name == "densenet121":
        layout = {
            key.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): layout[key]
            for key in layout
        }
    if name == "resnet50":
        layout = {key: value for key, value in layout.items() if "num_batches" not in key}
    written = small(
        {key: value if value.dim() else torch.tensor(0) for key, value in layout.items()}
    )
    publish(server, monkeypatch, name, written)
    state = build(name).module.state_dict()
    wanted = {architectures.current_name(key): value for key, value in written.items()}
    wanted.pop(None, None)
    assert set(wanted) == {key for key in state if key in wanted} and len(wanted) > 10
    assert all(torch.equal(state[key], value) for key, value in wanted.items())
    assert not any(tensor.is_meta for tensor in state.values())


@pytest.mark.parametrize(
    ("name", "wrap"), [("alexnet_places365", "features."), ("resnet18_places365", "")]
)
def test_places_checkpoints_load_with_their_scene_names(server, monkeypatch, name, wrap):
    from torchvision import models

    with torch.device("meta"):
        layout = models.get_model(
            name.removesuffix("_places365"), weights=None, num_classes=365
        ).state_dict()
    layout = {key: value for key, value in layout.items() if value.dim()}
    written = small(
        {
            (f"{wrap}module.{key.removeprefix(wrap)}" if key.startswith(wrap) else key): layout[key]
            for key in layout
        }
    )
    checkpoint = {"epoch": 90, "arch": name, "state_dict": written, "best_prec1": 54.0}
    publish(server, monkeypatch, name, checkpoint, suffix="_fake.pth.tar", legacy=True)
    names = cache_directory() / PLACES_URL.rsplit("/", 1)[1]
    names.parent.mkdir(parents=True)
    names.write_text("".join(f"/s/scene_{index} {index}\n" for index in range(365)))
    loaded = build(name)
    assert len(loaded.categories) == 365 and loaded.categories[7] == "scene 7"
    state = loaded.module.state_dict()
    assert any("module." in key for key in written)
    assert all(
        torch.equal(state[key.replace("module.", "")], value) for key, value in written.items()
    )


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
