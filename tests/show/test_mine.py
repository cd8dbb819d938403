"""命令行：文件夹里的区块搜索与相似搜索，与直接调用一致；空文件夹报错。"""

import pytest
import torch

from cnnlab import load_model, max_activating_patches, photos
from cnnlab.core.images import save_image
from cnnlab.show.mine import Folder, main


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
    images = torch.stack([Folder(folder)[i] for i in range(4)])
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
    with pytest.raises(ValueError, match="没有照片"):
        main([str(tmp_path)])
