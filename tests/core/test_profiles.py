"""两档设置。"""

import pytest

from cnnlab.core.profiles import run_profile


def test_quick_and_full_choose(monkeypatch):
    monkeypatch.setenv("CNNLAB_PROFILE", "quick")
    assert run_profile().choose(quick=160, full=320) == 160
    monkeypatch.setenv("CNNLAB_PROFILE", "full")
    profile = run_profile()
    assert profile.choose(quick=160, full=320) == 320 and profile.device in ("cpu", "cuda")
    assert "完整档" in repr(profile)


def test_quick_is_the_default(monkeypatch):
    monkeypatch.delenv("CNNLAB_PROFILE", raising=False)
    assert run_profile().name == "quick"


def test_unknown_profile_is_refused(monkeypatch):
    monkeypatch.setenv("CNNLAB_PROFILE", "fast")
    with pytest.raises(ValueError, match="quick"):
        run_profile()
