"""手描的轮廓：与照片对齐、在图内、缩放一致；交并比的手算值。"""

import pytest
import torch

from cnnlab.core.images import load_image
from cnnlab.pictures.outlines import intersection_over_union, object_mask, outlined_photos
from cnnlab.pictures.photos import photo


def test_every_outline_belongs_to_a_photo_and_covers_a_sensible_part():
    assert len(outlined_photos()) == 8
    for name in outlined_photos():
        mask = object_mask(name)
        assert mask.dtype == torch.bool and mask.shape == (224, 224)
        assert 0.1 < mask.float().mean() < 0.8
        assert photo(name, 224).shape[-2:] == mask.shape


def test_mask_scales_with_the_photo():
    small, large = object_mask("koala", 56), object_mask("koala", 224)
    assert (
        intersection_over_union(small.repeat_interleave(4, 0).repeat_interleave(4, 1), large) > 0.93
    )


def test_the_white_duck_is_brighter_than_its_dark_water():
    image, mask = load_image("duck", 224)[0].mean(0), object_mask("duck")
    assert image[mask].mean() > 0.5 > 0.2 > image[~mask].mean()


def test_intersection_over_union_by_hand():
    first, second = torch.tensor([[1, 1], [0, 0]]), torch.tensor([[1, 0], [1, 0]])
    assert intersection_over_union(first, second) == pytest.approx(1 / 3)
    assert intersection_over_union(first * 0, second * 0) == 0
    with pytest.raises(ValueError, match="形状"):
        intersection_over_union(first, second[:1])


def test_unknown_photo_lists_the_known_ones():
    with pytest.raises(ValueError, match="koala"):
        object_mask("unicorn")
