"""随包的权重：每一份都装得进它的网络，冻结、评估模式，不碰随机数；缺了文件说得清楚。"""

import pytest
import torch

from cnnlab import load_decoder, load_digit_network, load_shortcut_network, load_stylizer
from cnnlab.core.paths import DATA
from cnnlab.networks.shipped import read_shipped


@pytest.mark.parametrize(
    "load",
    [
        lambda: load_digit_network("classifier"),
        lambda: load_shortcut_network("clean"),
        lambda: load_stylizer("drawn"),
        load_decoder,
    ],
)
def test_every_shipped_network_is_frozen_and_in_single_precision(load):
    before = torch.get_rng_state()
    network = load()
    assert torch.equal(torch.get_rng_state(), before) and not network.training
    for parameter in network.parameters():
        assert parameter.dtype == torch.float32 and not parameter.requires_grad


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"没有文件 .*nothing\.safetensors"):
        read_shipped("nothing", folder=tmp_path)


def test_a_file_that_is_no_such_network(tmp_path):
    shipped = DATA / "shortcut_clean.safetensors"
    (tmp_path / "stylizer_other.safetensors").write_bytes(shipped.read_bytes())
    (tmp_path / "stylizer_cut.safetensors").write_bytes(shipped.read_bytes()[:-100])
    (tmp_path / "stylizer_text.safetensors").write_text("abc")
    for name in ("other", "cut", "text"):
        with pytest.raises(ValueError, match=f"stylizer_{name}.*装不成这个网络"):
            load_stylizer(name, folder=tmp_path)
    with pytest.raises(ValueError, match="装不成这个网络"):
        load_decoder(tmp_path / "stylizer_other.safetensors")
    with pytest.raises(TypeError, match="folder 应是文件名"):
        load_stylizer(folder=None)
