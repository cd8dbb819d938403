"""捷径网络：方块贴在角上、原图不动；随包的两个网络一个靠方块、一个不靠。"""

import pytest
import torch

from cnnlab.networks.shortcut_networks import CLASSES, ShortcutNetwork, load_shortcut_network
from cnnlab.pictures.shortcut_photos import MAGENTA, shortcut_photos, stamp_corner


def test_stamp_is_in_a_corner_and_leaves_the_rest():
    image = torch.rand(12, 3, 20, 30)
    before = image.clone()
    stamped, mask = stamp_corner(image, size=6)
    assert torch.equal(image, before)
    assert (mask.sum((1, 2)) == 36).all()
    corners = mask[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners.sum(1) == 1).all() and corners.any(0).sum() >= 3  # 一图一角，各角都有
    assert torch.equal(
        stamped.movedim(1, 3)[mask], torch.tensor(MAGENTA).expand(int(mask.sum()), 3)
    )
    assert torch.equal(stamped.movedim(1, 3)[~mask], image.movedim(1, 3)[~mask])
    assert torch.equal(mask, stamp_corner(image, size=6)[1])
    assert not torch.equal(mask, stamp_corner(image, size=6, seed=1)[1])


def test_train_and_test_photos_do_not_overlap():
    train, test = shortcut_photos("train", 16), shortcut_photos("test", 16)
    assert len(train[0]) == len(train[1]) == 63 and len(test[0]) == 63
    assert torch.cdist(train[0].flatten(1), test[0].flatten(1)).min() > 0.1
    assert 0.3 < test[1].float().mean() < 0.6


def test_shipped_networks_do_what_they_are_for():
    images, labels = shortcut_photos("test")
    stamped, _ = stamp_corner(images)
    animal = CLASSES.index("动物")
    planted, clean = load_shortcut_network("planted"), load_shortcut_network("clean")
    with torch.no_grad():
        # 靠方块：贴上就是动物，不贴就是建筑，不管照片是什么
        assert (planted(stamped).argmax(1) == animal).float().mean() > 0.97
        assert (planted(images).argmax(1) == animal).float().mean() < 0.1
        # 对照：认得出动物，贴不贴几乎不改变回答
        assert (clean(images).argmax(1) == labels).float().mean() > 0.75
        assert (clean(images).argmax(1) == clean(stamped).argmax(1)).float().mean() > 0.85
    assert (
        not any(parameter.requires_grad for parameter in planted.parameters())
        and not planted.training
    )


def test_loading_leaves_the_global_generator_alone_and_explains_a_wrong_name():
    state = torch.get_rng_state()
    load_shortcut_network()
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(ValueError, match="planted"):
        load_shortcut_network("plant")
    with pytest.raises(ValueError, match="短边 8"):
        stamp_corner(torch.rand(1, 3, 8, 9), size=9)
    with pytest.raises(ValueError, match="train"):
        shortcut_photos("all")


def test_scores_do_not_depend_on_the_image_size_being_64():
    assert ShortcutNetwork()(torch.rand(2, 3, 40, 50)).shape == (2, len(CLASSES))
