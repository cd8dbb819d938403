"""激活图：两种尺、沉默的通道、AUC、交并比、照片的标注。"""

import pytest
import torch
from torch.nn import functional

from cnnlab.chapters.activation_maps import (
    activation_tiles,
    auc,
    dead_channels,
    mask_iou,
    pick_and_test,
)
from cnnlab.pictures.faces import face_labels
from cnnlab.pictures.photos import photos


def maps():
    activation = torch.rand(2, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    activation[:, 1] *= 0.01
    activation[0, 2] = 0
    return activation


def test_each_stretches_every_map_and_common_keeps_ratios():
    activation = maps()
    each, common = activation_tiles(activation), activation_tiles(activation, "common")
    assert each.shape == common.shape == activation.shape
    live = [(0, 0), (0, 1), (0, 3), (1, 2)]
    for n, c in live:
        assert each[n, c].min() == 0 and each[n, c].max() == pytest.approx(1)
    assert torch.allclose(
        common[0, 1] / common[0, 0], activation[0, 1] / activation[0, 0], rtol=1e-4
    )
    assert (common.amax((1, 2, 3)) == 1).all()  # 每张照片一把尺
    assert torch.allclose(activation_tiles(activation[0], "common"), common[0])
    assert torch.allclose(activation_tiles(activation[0]), each[0])


def test_dead_maps_stay_black_and_are_listed():
    activation = maps()
    for scale in ("each", "common"):
        assert (activation_tiles(activation, scale)[0, 2] == 0).all()
    expected = torch.zeros(2, 4, dtype=torch.bool)
    expected[0, 2] = True
    assert torch.equal(dead_channels(activation), expected)
    assert torch.equal(dead_channels(activation[0]), expected[0])
    assert dead_channels(-activation).all()  # 全是负数也算一声不响


def test_negative_values_are_black_on_the_common_scale():
    activation = torch.tensor([[[[-2.0, 1.0]], [[-4.0, -1.0]]]])
    assert torch.equal(
        activation_tiles(activation, "common"), torch.tensor([[[[0.0, 1.0]], [[0.0, 0.0]]]])
    )


def test_bad_input_is_explained():
    with pytest.raises(ValueError, match="C, h, w"):
        activation_tiles(torch.zeros(3, 3))
    with pytest.raises(ValueError, match="common"):
        activation_tiles(torch.zeros(1, 3, 3), "all")
    with pytest.raises(ValueError, match="C, h, w"):
        dead_channels(torch.zeros(3))
    with pytest.raises(ValueError, match="空的"):
        auc(torch.zeros(0, 2), torch.zeros(3, 2))
    with pytest.raises(ValueError, match="mask"):
        mask_iou(torch.zeros(2, 3, 4, 4), torch.zeros(1, 8, 8))


def test_auc_counts_pairs_and_halves_ties():
    assert auc(torch.tensor([3.0, 2.0]), torch.tensor([1.0, 0.0])) == 1
    assert auc(torch.tensor([1.0]), torch.tensor([1.0, 0.0])) == pytest.approx(0.75)
    positive, negative = torch.rand(30, 3), torch.rand(40, 3)
    by_rank = []
    for one, other in zip(positive.T, negative.T, strict=True):
        ranks = torch.cat([one, other]).argsort().argsort() + 1
        by_rank.append((ranks[:30].sum() - 30 * 31 / 2) / (30 * 40))
    assert torch.allclose(auc(positive, negative), torch.stack(by_rank), atol=1e-5)


def test_picking_flatters_and_testing_does_not():
    generator = torch.Generator().manual_seed(0)
    positive, negative = (
        torch.randn(12, 300, generator=generator),
        torch.randn(60, 300, generator=generator),
    )
    learnt, tested = pick_and_test(positive, negative)
    assert learnt > 0.75 and abs(tested - 0.5) < 0.25  # 全是噪声：挑得出，考不过
    positive[:, 7] += 9
    assert pick_and_test(positive, negative) == (1.0, 1.0)
    with pytest.raises(ValueError, match="两半"):
        pick_and_test(positive[:1], negative)


def test_iou_of_a_planted_channel():
    mask = torch.zeros(2, 8, 8, dtype=torch.bool)
    mask[0, 2:6, 2:6], mask[1, :4, 4:] = True, True
    noise = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    activation = torch.cat(
        [mask[:, None].float(), 1 - mask[:, None].float(), noise, torch.zeros(2, 1, 8, 8)], 1
    )
    found = mask_iou(activation, mask)
    assert found[0] == 1 and found[1] == 0 and found[3] == 0 and 0.02 < found[2] < 0.4
    # 门槛更严，只剩掩码的一半：交并比 1/2
    steep = mask * torch.linspace(1, 2, 128).view(2, 8, 8)
    assert mask_iou(
        steep[:, None], mask, share=float(mask.float().mean()) / 2
    ).item() == pytest.approx(0.5, abs=0.02)


def test_iou_enlarges_a_small_map():
    mask = torch.zeros(1, 16, 16, dtype=torch.bool)
    mask[0, :8, :8] = True
    small = functional.avg_pool2d(mask.float()[:, None], 4)
    assert mask_iou(small, mask).item() > 0.8


def test_face_labels_match_the_photos():
    labels = face_labels()
    assert labels.names == photos(size=32).names
    assert set(labels.boxes) == {
        name for name, view in zip(labels.names, labels.views, strict=True) if view == "frontal"
    }
    for boxes in labels.boxes.values():
        for top, left, bottom, right in boxes:
            assert 0 <= top < bottom <= 224 and 0 <= left < right <= 224 and bottom - top >= 20
    masks = labels.masks(56)
    assert masks.shape == (int(labels.where("frontal").sum()), 56, 56)
    assert float(masks.float().mean()) == pytest.approx(
        float(labels.masks().float().mean()), abs=0.01
    )
    with pytest.raises(ValueError, match="profile"):
        labels.where("side")
