"""命令行：文件夹里的区块搜索与相似搜索，与直接调用一致；空文件夹报错。"""

import signal

import pytest
import torch

from cnnlab import load_model, max_activating_patches, photos
from cnnlab.__main__ import main as command_line
from cnnlab.core.images import save_image
from cnnlab.pictures.photos import PhotoFolder
from cnnlab.show.mine import main


@pytest.fixture
def folder(tmp_path):
    chosen = photos(size=96)[[3, 60, 120, 180]]
    for name, image in zip("abcd", chosen.images, strict=True):
        save_image(image, tmp_path / "shots" / f"{name}.png")
    (tmp_path / "shots" / "notes.txt").write_text("不是照片", encoding="utf-8")
    return tmp_path / "shots"


def test_patches_from_a_folder(folder, capsys):
    output = folder.parent / "found.png"
    rows = main(
        [str(folder), "--layer", "fire3", "--channel", "17", "--k", "3", "--output", str(output)]
    )
    images = torch.stack([PhotoFolder(folder)[i] for i in range(4)])
    expected = max_activating_patches(load_model(), images, "fire3", 17, 3)
    assert [value for _, value in rows] == pytest.approx(expected.values[0].tolist(), rel=1e-4)
    assert [file[-5] for file, _ in rows] == ["abcd"[i] for i in expected.image_index[0].tolist()]
    assert output.stat().st_size > 1000 and len(capsys.readouterr().out.splitlines()) == 4


def test_the_most_similar_photo_is_the_photo_itself(folder):
    rows = main(
        [
            str(folder),
            "--like",
            str(folder / "c.png"),
            "--k",
            "2",
            "--output",
            str(folder.parent / "found.png"),
        ]
    )
    assert (
        rows[0][0].endswith("c.png")
        and rows[0][1] == pytest.approx(0, abs=1e-5)
        and rows[1][1] > 0.05
    )


def test_a_folder_without_photos(tmp_path):
    with pytest.raises(ValueError, match="没有能读的照片"):
        main([str(tmp_path)])


def mine(folder, *more):
    output = folder.parent / "found.png"
    return main([str(folder), "--layer", "fire2", "--k", "3", "--output", str(output), *more])


def test_broken_files_are_skipped_and_named_and_old_results_are_not_photos(folder, capsys):
    expected = mine(folder)
    (folder / "b2.jpg").write_bytes(b"junk")
    (folder / "._b.jpg").write_bytes(b"what a Mac leaves beside a photo")
    (folder / "d.jpg").mkdir()
    save_image(torch.rand(1, 3, 96, 96), folder / "mine.png")
    assert mine(folder, "--output", str(folder / "mine.png")) == expected
    said = capsys.readouterr().err
    assert "跳过 1 个打不开的文件" in said and "b2.jpg" in said


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--output", "found.xyz"], r"\.png"),
        (["--output", "/nowhere/found.png"], "不存在"),
        (["--channel", "900"], "900"),
        (["--layer", "fire99"], "fire99"),
        (["--k", "0"], "k 是 0"),
        (["--like", "nobody.jpg"], "没有文件"),
    ],
)
def test_what_was_typed_wrong_is_said_before_any_photo_is_read(folder, monkeypatch, more, words):
    monkeypatch.setattr(PhotoFolder, "read", lambda *_: pytest.fail("已经读起照片来了"))
    with pytest.raises(ValueError, match=words):
        mine(folder, *more)


@pytest.mark.parametrize("more", [[], ["--like", "panda"]])
def test_an_interrupt_keeps_what_was_seen_and_the_next_run_goes_on(
    folder, monkeypatch, capsys, more
):
    expected = mine(folder, *more)
    monkeypatch.setattr("cnnlab.show.mine.BATCH", 1)
    read, seen = PhotoFolder.read, []

    def interrupted(self, index):
        seen.append(index)
        if index == 1:
            signal.raise_signal(signal.SIGINT)
        return read(self, index)

    monkeypatch.setattr(PhotoFolder, "read", interrupted)
    assert len(mine(folder, *more)) == 2
    assert "停在 2/4 张" in capsys.readouterr().err
    seen.clear()
    rows = mine(folder, *more)
    assert [file for file, _ in rows] == [file for file, _ in expected] and seen == [2, 3]
    assert not list(folder.parent.glob("*.progress"))


def test_a_users_mistake_is_one_line(folder, capsys):
    with pytest.raises(SystemExit) as stopped:
        command_line(["mine", str(folder / "nowhere")])
    assert str(stopped.value).startswith("错误：没有文件夹")
