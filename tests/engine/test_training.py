"""training 与 processes：断了再续与一气呵成逐位相同；存档、时限、中断、NaN；两个进程等于一个进程的双倍批量。"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from cnnlab.engine.training import Training, cosine, fit, random_square, shuffled_batches

ROOT = Path(__file__).resolve().parents[2]


def small_network(width=6):
    """带 dropout 和批归一化的小网络：随机数和缓冲都要对得上才能续得一样。"""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.3), nn.Linear(width, 2)
    )


def data(dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(40, 4, generator=generator, dtype=dtype)
    return inputs, (inputs[:, 0] > inputs[:, 1]).long()


def cross_entropy(network, batch):
    inputs, labels = batch
    return functional.cross_entropy(network(inputs), labels)


def noisy_batches(step, generator):
    inputs, labels = data()
    chosen = torch.randint(40, (16,), generator=generator)
    return inputs[chosen] + 0.1 * torch.randn(16, 4, generator=generator), labels[chosen]


def weights(network):
    return torch.cat([tensor.flatten().double() for tensor in network.state_dict().values()])


def test_training_lowers_the_loss_and_restores_everything_else():
    network = small_network().eval()
    network[3].train()
    before, state = weights(network), torch.get_rng_state()
    record = fit(
        network,
        cross_entropy,
        shuffled_batches(*data(), batch_size=20),
        steps=200,
        learning_rate=0.02,
    )
    assert (
        isinstance(record, Training)
        and record.steps == len(record.losses) == 200
        and not record.interrupted
    )
    assert sum(record.losses[-20:]) < 0.6 * sum(record.losses[:20])
    assert not torch.equal(weights(network), before)
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in network] == [False, False, False, True, False]
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("batches", [noisy_batches, shuffled_batches(*data(), batch_size=16)])
def test_resumed_equals_unbroken_to_the_bit(tmp_path, optimizer, batches):
    options = {"steps": 12, "optimizer": optimizer, "schedule": cosine, "seed": 3}
    unbroken = small_network()
    record = fit(unbroken, cross_entropy, batches, **options)

    def stop(step):
        if step.index == 4:
            raise KeyboardInterrupt

    path = tmp_path / "run.pt"
    first = fit(small_network(), cross_entropy, batches, checkpoint=path, on_step=stop, **options)
    assert first.interrupted and first.steps == 5
    torch.rand(3)
    second = small_network()
    resumed = fit(second, cross_entropy, batches, checkpoint=path, **options)
    assert torch.equal(weights(second), weights(unbroken))
    assert resumed.losses == record.losses and not resumed.interrupted
    assert sorted(path.parent.iterdir()) == [path]


def test_finished_checkpoint_is_only_read(tmp_path):
    path = tmp_path / "run.pt"
    fit(small_network(), cross_entropy, noisy_batches, steps=3, checkpoint=path)
    other = small_network()
    record = fit(other, lambda *_: pytest.fail("不该再算"), noisy_batches, steps=3, checkpoint=path)
    assert record.steps == 3


def test_checkpoints_are_written_on_the_way(tmp_path):
    path, seen = tmp_path / "deep" / "run.pt", []

    def watch(step):
        seen.append(torch.load(path, weights_only=True)["record"]["steps"] if path.exists() else 0)

    fit(
        small_network(),
        cross_entropy,
        noisy_batches,
        steps=7,
        checkpoint=path,
        save_every=3,
        on_step=watch,
    )
    assert seen == [0, 0, 0, 3, 3, 3, 6]
    assert torch.load(path, weights_only=True)["record"]["steps"] == 7


def test_other_checkpoints_are_refused(tmp_path):
    path = tmp_path / "run.pt"
    fit(small_network(), cross_entropy, noisy_batches, steps=1, checkpoint=path)
    with pytest.raises(ValueError, match=r"另一个网络.*0\.weight.*\(7, 4\).*\(6, 4\)"):
        fit(small_network(7), cross_entropy, noisy_batches, steps=2, checkpoint=path)
    with pytest.raises(ValueError, match="另一个网络"):
        fit(nn.Linear(4, 2), cross_entropy, noisy_batches, steps=2, checkpoint=path)
    with pytest.raises(ValueError, match="种子是 0，这次是 1"):
        fit(small_network(), cross_entropy, noisy_batches, steps=2, checkpoint=path, seed=1)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="读不出来"):
        fit(small_network(), cross_entropy, noisy_batches, steps=2, checkpoint=path)
    torch.save({"a": 1}, path)
    with pytest.raises(ValueError, match="不是训练的存档"):
        fit(small_network(), cross_entropy, noisy_batches, steps=2, checkpoint=path)


def saved(tmp_path, **options):
    network = small_network()
    settings = {"steps": 4, "checkpoint": tmp_path / "run.pt", "learning_rate": 0.01} | options
    batches = settings.pop("batches", shuffled_batches(*data(), batch_size=20))
    return fit(network, cross_entropy, batches, **settings)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"optimizer": "sgd"}, "优化器"),
        ({"learning_rate": 0.02}, "学习率"),
        ({"seed": 1}, "种子"),
        ({"batches": shuffled_batches(*data(), batch_size=10)}, "批量"),
        ({"batches": shuffled_batches(-data()[0], data()[1], batch_size=20)}, "数据"),
    ],
)
def test_another_training_is_refused_before_anything_is_overwritten(tmp_path, options, words):
    saved(tmp_path)
    before = (tmp_path / "run.pt").read_bytes()
    with pytest.raises(ValueError, match=words):
        saved(tmp_path, **{"steps": 8} | options)
    assert (tmp_path / "run.pt").read_bytes() == before


def test_a_flipped_bit_is_noticed(tmp_path):
    saved(tmp_path)
    content = bytearray((tmp_path / "run.pt").read_bytes())
    generator = torch.Generator().manual_seed(0)
    places = torch.randint(len(content), (60,), generator=generator).tolist()
    state = torch.load(tmp_path / "run.pt", weights_only=True)
    loaded = 0
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 4
        (tmp_path / "run.pt").write_bytes(changed)
        try:
            saved(tmp_path)
        except ValueError as error:
            assert "存档" in str(error)
        else:
            loaded += 1
            found = torch.load(tmp_path / "run.pt", weights_only=True)
            assert all(torch.equal(found["network"][k], v) for k, v in state["network"].items())
    assert loaded < 60


def test_a_full_disk_keeps_the_old_checkpoint_and_says_so(tmp_path, monkeypatch):
    saved(tmp_path)
    before = (tmp_path / "run.pt").read_bytes()

    def full(state, path):
        Path(path).write_bytes(b"half")
        raise RuntimeError("[enforce fail at inline_container.cc:603] no space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.warns(RuntimeWarning, match="旧的存档还在"):
        record = saved(tmp_path, steps=8)
    assert record.steps == 8 and (tmp_path / "run.pt").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"save_every": 0}, "save_every"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"steps": -1}, "steps"),
    ],
)
def test_limits_that_never_end_are_refused(tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        saved(tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_is_no_scalar_is_named():
    for loss in (lambda network, batch: network(batch[0]), lambda network, batch: 3.0):
        with pytest.raises(ValueError, match="标量"):
            fit(small_network(), loss, shuffled_batches(*data(), batch_size=20), steps=1)


def test_progress_drives_the_schedule():
    factors = []
    schedule = lambda p: factors.append(p) or 1.0
    fit(small_network(), cross_entropy, noisy_batches, steps=4, schedule=schedule)
    assert factors == [0, 0.25, 0.5, 0.75]


def test_real_ctrl_c_finishes_the_step(tmp_path):
    path = tmp_path / "run.pt"

    def loss(network, batch):
        if len(started) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        started.append(1)
        return cross_entropy(network, batch)

    started, handler = [], signal.getsignal(signal.SIGINT)
    network = small_network()
    record = fit(network, loss, noisy_batches, steps=9, checkpoint=path)
    assert record.interrupted and record.steps == 4 == len(started)
    assert signal.getsignal(signal.SIGINT) is handler
    fit(network, cross_entropy, noisy_batches, steps=9, checkpoint=path)
    unbroken = small_network()
    fit(unbroken, cross_entropy, noisy_batches, steps=9)
    assert torch.equal(weights(network), weights(unbroken))


def test_nan_stops_before_the_weights_are_touched():
    network = small_network()
    before = torch.cat([parameter.detach().flatten() for parameter in network.parameters()])
    with pytest.raises(FloatingPointError, match="第 0 步的损失是 nan"):
        fit(
            network,
            lambda net, batch: cross_entropy(net, batch) * float("nan"),
            noisy_batches,
            steps=3,
        )
    assert torch.equal(
        torch.cat([parameter.detach().flatten() for parameter in network.parameters()]), before
    )
    assert network.training


def test_frozen_parameters_stay(tmp_path):
    network = small_network()
    network[0].requires_grad_(False)
    before = network[0].weight.clone()
    fit(network, cross_entropy, noisy_batches, steps=3)
    assert torch.equal(network[0].weight, before)
    with pytest.raises(ValueError, match="没有可以训练的参数"):
        fit(network.requires_grad_(False), cross_entropy, noisy_batches, steps=3)


def test_bad_arguments_are_refused():
    with pytest.raises(TypeError, match="steps"):
        fit(small_network(), cross_entropy, noisy_batches)
    with pytest.raises(ValueError, match="adam、sgd"):
        fit(small_network(), cross_entropy, noisy_batches, steps=1, optimizer="lion")
    with pytest.raises(ValueError, match="batch_size"):
        shuffled_batches(*data(), batch_size=41)
    with pytest.raises(ValueError, match="一样长"):
        shuffled_batches(torch.rand(3), torch.rand(4), batch_size=1)


def test_shuffled_batches_visit_every_sample_once_an_epoch_and_reshuffle():
    batch = shuffled_batches(torch.arange(40), batch_size=8, seed=2)
    epochs = [
        torch.cat([batch(5 * epoch + step, None)[0] for step in range(5)]) for epoch in range(2)
    ]
    assert all(torch.equal(epoch.sort().values, torch.arange(40)) for epoch in epochs)
    assert not torch.equal(*epochs)
    assert torch.equal(
        batch(3, None)[0], shuffled_batches(torch.arange(40), batch_size=8, seed=2)(3, None)[0]
    )


def train_double(path, seed):
    """双精度的小网络用 SGD 走 5 步，存档。"""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)).double()
    batches = shuffled_batches(*data(torch.float64), batch_size=20)
    fit(
        network,
        cross_entropy,
        batches,
        steps=5,
        optimizer="sgd",
        learning_rate=0.1,
        checkpoint=path,
    )
    return torch.load(path, weights_only=True)


PROGRAM = """
import os, sys
sys.path[:0] = [{root!r}, {tests!r}]
from test_training import train_double
train_double({path!r}, 7 + int(os.environ["RANK"]))
"""


def test_two_processes_equal_one_with_the_doubled_batch(tmp_path):
    """各进程从不同的随机权重起步，第 0 个进程的发给大家；动量里存着平均过的梯度。"""
    path, script = tmp_path / "two.pt", tmp_path / "two.py"
    script.write_text(
        PROGRAM.format(root=str(ROOT), tests=str(Path(__file__).parent), path=str(path))
    )
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        str(script),
    ]
    subprocess.run(
        launcher,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        timeout=240,
    )
    together, alone = torch.load(path, weights_only=True), train_double(tmp_path / "one.pt", 7)
    for name, tensor in alone["network"].items():
        assert torch.allclose(together["network"][name], tensor, rtol=1e-5, atol=0)
    for index, state in alone["optimizer"]["state"].items():
        assert torch.allclose(
            together["optimizer"]["state"][index]["momentum_buffer"],
            state["momentum_buffer"],
            rtol=1e-5,
            atol=0,
        )
    assert together["record"]["losses"] == pytest.approx(alone["record"]["losses"], rel=1e-5)


def test_a_checkpoint_that_cannot_be_a_file_is_told_or_only_warned_of(tmp_path):
    network, (images, labels) = nn.Linear(4, 2), (torch.rand(8, 4), torch.arange(8))
    batches = shuffled_batches(images, labels, batch_size=4)

    def loss(network, batch):
        return network(batch[0]).square().mean()

    with pytest.raises(ValueError, match="文件夹"):
        fit(network, loss, batches, steps=1, checkpoint=tmp_path)
    (tmp_path / "file").touch()
    with pytest.warns(RuntimeWarning, match="写不进"):
        record = fit(network, loss, batches, steps=1, checkpoint=tmp_path / "file" / "run.pt")
    assert record.steps == 1 and not record.interrupted
    (tmp_path / "text").write_text("不是存档", encoding="utf-8")
    with pytest.raises(ValueError, match="读不出来") as caught:
        fit(network, loss, batches, steps=1, checkpoint=tmp_path / "text")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("wrong", [{"seed": 1.5}, {"batch_size": 0}, {"batch_size": "4"}])
def test_wrong_batches_are_told(wrong):
    with pytest.raises((ValueError, TypeError), match=next(iter(wrong))):
        shuffled_batches(torch.rand(8, 4), **wrong)


def test_lists_are_refused_before_the_first_batch():
    with pytest.raises(
        TypeError, match=r"tensors 里应都是张量，有一个是 \[1, 2\]；先 torch.as_tensor"
    ):
        shuffled_batches(torch.rand(2), [1, 2], batch_size=1)


def test_a_random_square_is_square_and_lies_inside():
    rows = torch.arange(60.0)[:, None].expand(60, 80)
    columns = torch.arange(80.0)[None].expand(60, 80)
    image, generator = torch.stack([rows, columns, rows])[None], torch.Generator().manual_seed(0)
    steps = set()
    for _ in range(20):
        found = random_square(image, 20, generator)
        assert found.shape == (1, 3, 20, 20)
        down, across = found[0, 0, :, 0].diff()[3:-3], found[0, 1, 0].diff()[3:-3]
        assert torch.allclose(down, across, atol=1e-3)  # 纵横一样缩放
        assert 1 <= down.mean() + 1e-3 and down.mean() <= 3 + 1e-3
        assert found[:, 0].max() <= 59 and found[:, 1].max() <= 79
        steps.add(round(down.mean().item(), 2))
    assert len(steps) > 5
