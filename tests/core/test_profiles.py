"""两档设置和设备：打印的就是网络所在的设备。有加速器的情形在 tests/slow/test_accelerator.py。"""

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
