"""半精度的权重（网页里的那一份）与随包的权重，在 215 张照片上第一名全都相同。"""

import pytest
import torch

import cnnlab


@torch.no_grad()
def answers(model, images) -> list[int]:
    return [int(index) for part in images.split(8) for index in model(part).argmax(1)]


@pytest.mark.parametrize("size", [160, 224])
def test_half_precision_changes_no_answer(size):
    model, half = cnnlab.load_model(), cnnlab.load_model()
    with torch.no_grad():
        for parameter in half.parameters():
            parameter.copy_(parameter.half().float())
    images = cnnlab.photos(size=size).images
    assert len(images) == 215
    different = [
        name
        for name, before, after in zip(
            cnnlab.photos(size=size).names,
            answers(model, images),
            answers(half, images),
            strict=True,
        )
        if before != after
    ]
    assert different == []
