"""挖一个大文件夹：中途杀掉再接着看、两个进程分着看，都与一口气看完的相同；坏文件跳过。"""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

PHOTOS = 2000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """2,000 张生成的 JPEG，夹着三个坏文件；每张是几块颜色，互不相同。"""
    root = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for index in range(PHOTOS):
        small = random.integers(0, 256, (5, 6, 3), dtype=np.uint8)
        picture = Image.fromarray(small).resize((300, 240), Image.Resampling.BICUBIC)
        place = root / f"{index % 7}"
        place.mkdir(exist_ok=True)
        picture.save(place / f"{index:05d}.jpg", quality=80)
    (root / "0" / "broken.jpg").write_bytes(b"junk")
    whole = (root / "1" / "00001.jpg").read_bytes()
    (root / "1" / "half.jpg").write_bytes(whole[: len(whole) // 2])
    os.mkfifo(root / "2" / "pipe.jpg")
    return root


def command(folder, output, *launcher):
    launcher = launcher or (sys.executable, "-m")
    options = ["--layer", "fire3", "--channel", "17", "--k", "7", "--output", str(output)]
    return [*launcher, "cnnlab", "mine", str(folder), *options]


def mine(folder, output, *launcher):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CNNLAB_BARS": "0"}
    return subprocess.run(
        command(folder, output, *launcher), capture_output=True, text=True, env=environment
    )


@pytest.fixture(scope="module")
def unbroken(folder, tmp_path_factory):
    done = mine(folder, tmp_path_factory.mktemp("out") / "found.png")
    assert done.returncode == 0, done.stderr
    assert "跳过 3 个打不开的文件" in done.stderr and len(done.stdout.splitlines()) == 8
    return done.stdout.splitlines()[:7]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_killed_in_the_middle_and_resumed(folder, tmp_path, unbroken, number):
    output = tmp_path / "found.png"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CNNLAB_BARS": "0"}
    running = subprocess.Popen(
        command(folder, output), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment,
    )  # fmt: skip
    progress = tmp_path / "found.png.0-1.progress"
    while running.poll() is None and not progress.exists():
        time.sleep(0.05)
    running.send_signal(number)
    output_text, errors = running.communicate()
    assert progress.exists()
    if number == signal.SIGINT:
        # 给出已经看过的，并说停在哪里
        assert running.returncode == 0 and "接着看" in errors and len(output_text.splitlines()) == 8
    resumed = mine(folder, output)
    assert resumed.stdout.splitlines()[:7] == unbroken
    assert "跳过 3 个" in resumed.stderr and not progress.exists()


def test_two_processes_give_the_result_of_one(folder, tmp_path, unbroken):
    launcher = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m")  # fmt: skip
    shared = mine(folder, tmp_path / "found.png", *launcher)
    assert shared.returncode == 0, shared.stderr
    found = [line for line in shared.stdout.splitlines() if str(folder) in line]
    assert found == unbroken and "跳过 3 个" in shared.stderr
