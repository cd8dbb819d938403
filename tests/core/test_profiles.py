"""两档设置和设备：打印的就是网络所在的设备。有加速器的情形在 tests/slow/test_accelerator.py。"""

import ast
import re
from pathlib import Path

import nbformat
import pytest
import torch

from cnnlab.core import profiles
from cnnlab.core.profiles import default_device, run_profile


@pytest.fixture(autouse=True)
def _restored(monkeypatch):
    monkeypatch.setattr(profiles, "_chosen", {"device": torch.device("cpu")})
    monkeypatch.delenv("CNNLAB_DEVICE", raising=False)


def pretend(monkeypatch, kind):
    """torch 认得一个叫 `kind` 的加速器；None 是没有。"""
    device = kind and torch.device(kind)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: device is not None)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: device)


def test_quick_and_full_choose(monkeypatch):
    monkeypatch.setenv("CNNLAB_PROFILE", "quick")
    assert run_profile().choose(quick=160, full=320) == 160
    monkeypatch.setenv("CNNLAB_PROFILE", "full")
    profile = run_profile()
    assert profile.choose(quick=160, full=320) == 320
    assert "完整档" in repr(profile)


def test_the_argument_wins_over_the_variable(monkeypatch):
    monkeypatch.setenv("CNNLAB_PROFILE", "quick")
    assert run_profile("full").name == "full"


@pytest.mark.parametrize(("kind", "name"), [(None, "quick"), ("cuda", "full"), ("mps", "full")])
def test_full_where_there_is_an_accelerator(monkeypatch, kind, name):
    monkeypatch.delenv("CNNLAB_PROFILE", raising=False)
    pretend(monkeypatch, kind)
    profile = run_profile()
    assert (profile.name, profile.device) == (name, kind or "cpu")
    assert profile.device in repr(profile) and default_device().type == profile.device


def test_the_variable_names_another_device(monkeypatch):
    monkeypatch.delenv("CNNLAB_PROFILE", raising=False)
    pretend(monkeypatch, "cuda")
    monkeypatch.setenv("CNNLAB_DEVICE", "cpu")
    profile = run_profile()
    assert (profile.name, profile.device) == ("quick", "cpu")


@pytest.mark.parametrize("name", ["gpu", "xpu:0"])
def test_a_device_that_is_not_there_is_refused(monkeypatch, name):
    monkeypatch.setenv("CNNLAB_DEVICE", name)
    with pytest.raises(ValueError, match="没有这个设备"):
        run_profile()


def test_without_a_profile_networks_stay_on_the_cpu():
    assert default_device() == torch.device("cpu")


@pytest.mark.parametrize("name", ["fast", "QUICK"])
def test_unknown_profile_is_refused(monkeypatch, name):
    monkeypatch.setenv("CNNLAB_PROFILE", name)
    with pytest.raises(ValueError, match="quick"):
        run_profile()
    with pytest.raises(ValueError, match="full"):
        run_profile(name)


def test_reduced_precision_is_off():
    run_profile()
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.backends.cudnn.allow_tf32


BOOK = Path(__file__).resolve().parents[2] / "book"
CHAPTERS = sorted(BOOK.glob("*.ipynb"))


def chosen_numbers(path: Path) -> set[int]:
    """一章里 `profile.choose(…)` 写着的整数。"""
    cells = nbformat.read(path, as_version=4).cells
    code = [cell.source for cell in cells if "profile.choose(" in cell.source]
    calls = [
        node
        for source in code
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "profile.choose"
    ]
    found = [each for call in calls for each in ast.walk(call) if isinstance(each, ast.Constant)]
    return {each.value for each in found if type(each.value) is int}


def table_row(path: Path) -> str:
    """《开始之前》的档位表里，说这一章的那一行。"""
    title = nbformat.read(path, as_version=4).cells[0].source.splitlines()[0].lstrip("# ")
    cells = nbformat.read(BOOK / "getting_started.ipynb", as_version=4).cells
    (table,) = (cell.source for cell in cells if "### 快速档与完整档" in cell.source)
    lines = [line for line in table.splitlines() if line.startswith("|")]
    rows = [line for line in lines if title in line.split("|")[1].strip().split("、")]
    assert len(rows) == 1, f"{title} 在表里有 {len(rows)} 行"
    return rows[0]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_the_table_of_profiles_says_what_a_chapter_makes_larger(path):
    numbers, row = chosen_numbers(path), table_row(path)
    assert numbers == set(map(int, re.findall(r"\d+", row))), row
    assert bool(numbers) != ("两档一样" in row)


@pytest.mark.parametrize("habit", [lambda: torch.device("meta"), torch.inference_mode])
def test_a_readers_default_device_or_inference_mode_changes_no_answer(habit):
    from cnnlab import class_image, load_image, load_model, occlusion_map, orientation_tuning

    model, image = load_model(), load_image("panda", 64)

    def answers():
        pictures = [load_image("koala", 64), image]
        return [
            occlusion_map(model, pictures[0], 388, window=32, stride=32),
            class_image(model, 388, size=48, steps=2).image,
            orientation_tuning(model, "conv1", angles=4),
            model.top(image),
        ]

    expected = answers()
    with habit():
        found = answers()
    for first, second in zip(expected[:3], found[:3], strict=True):
        assert second.device.type == "cpu" and torch.allclose(first, second, atol=1e-6)
    assert expected[3] == found[3]


@pytest.mark.parametrize("dtype", [torch.half, torch.bfloat16])
def test_a_half_precision_network_answers_in_float32(dtype):
    from cnnlab import activations_of, gram_matrix, load_digit_network, load_image, load_model

    image, model = load_image("panda", 64), load_model()
    full, half = model(image), load_model().to(dtype)
    scores = half(image)
    activation = activations_of(half, image, "fire4")["fire4"]
    assert scores.dtype == activation.dtype == torch.float32
    assert (scores - full).abs().max() < 0.05 * full.abs().max()
    assert torch.isfinite(gram_matrix(activation)).all()
    digits = load_digit_network("classifier").to(dtype)(torch.rand(2, 1, 28, 28))
    assert digits.dtype == torch.float32
