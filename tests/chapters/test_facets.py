"""多侧面与代码空间：聚类认得出埋下的簇，起点是最近照片的平均，代码有界，生成网络学得会。"""

import pytest
import torch
from torch import nn
from torch.nn import functional

import cnnlab
from cnnlab import wrap_model
from cnnlab.chapters.facets import (
    class_facets,
    cluster_photos,
    code_image,
    facet_starts,
    fit_generator,
    nearest_distance,
    photo_features,
)
from cnnlab.networks.digit_networks import DigitClassifier, ImageGenerator


def planted(sizes=(9, 6, 4), dimensions=12):
    generator = torch.Generator().manual_seed(0)
    labels = torch.cat([torch.full((size,), index) for index, size in enumerate(sizes)])
    centers = 5 * torch.eye(dimensions)[: len(sizes)]
    order = torch.randperm(len(labels), generator=generator)
    features = centers[labels] + 0.1 * torch.randn(len(labels), dimensions, generator=generator)
    return features[order], labels[order]


@pytest.fixture
def vision(tiny_cnn):
    return wrap_model(tiny_cnn, mean=[0.5] * 3, std=[0.25] * 3)


@pytest.fixture
def generator():
    torch.manual_seed(0)
    network = ImageGenerator(code_size=6, size=28, width=4).eval().requires_grad_(False)
    network.code_mean.fill_(0.5)
    return network


@pytest.fixture
def judge():
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).eval().requires_grad_(False)


@pytest.mark.parametrize("reduce", ["pca", None, "tsne"])
def test_clusters_are_found_and_ordered_by_size(reduce):
    features, labels = planted()
    assert torch.equal(cluster_photos(features, 3, reduce=reduce), labels)


def test_start_is_the_mean_of_the_nearest_photos():
    features = torch.tensor([[0.0], [1.0], [2.0], [50.0], [9.0]])
    labels = torch.tensor([0, 0, 0, 1, 0])
    images = torch.rand(5, 3, 4, 4)
    starts = facet_starts(images, features, labels, nearest=2)
    # 第 0 簇的中心是 3：最近的是 2 和 1
    assert torch.allclose(starts[0], images[[2, 1]].mean(0)) and torch.allclose(
        starts[1], images[3]
    )


def test_facets_raise_the_score_and_report_the_clusters(vision, photo):
    images = torch.cat([photo, photo.flip(-1), 1 - photo, 1 - photo.flip(-2)])
    before = images.clone()
    result = class_facets(vision, 2, images, facets=2, nearest=2, steps=60, natural=0.0)
    assert result.image.shape == (2, 3, 32, 32) and len(result.history["labels"]) == 4
    starts = facet_starts(
        images, photo_features(vision, images), torch.tensor(result.history["labels"]), nearest=2
    )
    assert vision(result.image)[:, 2].sum() > vision(starts)[:, 2].sum()
    assert torch.equal(images, before)
    assert torch.equal(cnnlab.reproduce(result, model=vision).image, result.image)


def test_given_labels_are_used(vision, photo):
    images = torch.cat([photo, 1 - photo, photo.flip(-1)])
    assert class_facets(vision, 0, images, labels=[1, 0, 1], natural=0.0, steps=3).history[
        "labels"
    ] == [1, 0, 1]


def test_phases_share_out_the_steps(vision, photo):
    seen = []
    class_facets(vision, 1, photo, labels=[0], natural=0.0, steps=20, on_step=seen.append)
    seen = [step.index for step in seen]
    assert len(seen) == 20 and seen.count(0) == 3


def test_bad_numbers_of_facets_and_reductions():
    with pytest.raises(ValueError, match="照片张数"):
        cluster_photos(torch.rand(3, 4), 4)
    with pytest.raises(ValueError, match="tsne"):
        cluster_photos(torch.rand(3, 4), 2, reduce="umap")


def test_code_image_stays_in_its_bounds_and_touches_no_weights(generator, judge):
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    result = code_image(judge, list(range(10)), generator, steps=30, learning_rate=0.5, spread=2.0)
    code = result.history["code"]
    assert result.image.shape == (10, 1, 28, 28) and code.shape == (10, 6)
    assert (code >= 0).all() and (code <= generator.code_mean + 2 * generator.code_std).all()
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())
    assert torch.allclose(generator(code), result.image)
    start = generator(generator.code_mean * torch.ones(10, 6))
    target = torch.arange(10)
    rise = judge(result.image)[target, target] - judge(start)[target, target]
    assert rise.min() > -1e-4 and rise.sum() > 0


def test_code_prior_pulls_towards_the_mean(generator, judge):
    free, held = (
        code_image(judge, 3, generator, code_l2=weight, steps=40).history["code"]
        for weight in (0.0, 5.0)
    )
    assert (held - generator.code_mean).norm() < (free - generator.code_mean).norm()


def test_code_image_can_be_made_again_with_its_networks(generator, judge):
    result = code_image(judge, 4, generator, steps=5, seed=3)
    again = cnnlab.reproduce(result, model=judge, generator=generator)
    assert torch.equal(again.image, result.image)


def test_generator_learns_and_keeps_the_codes_statistics():
    torch.manual_seed(0)
    classifier = DigitClassifier().eval().requires_grad_(False)
    images = cnnlab.digits(60)[0]
    network = ImageGenerator(width=8)
    training = fit_generator(network, classifier, images, "code", steps=30)
    assert training.losses[-1] < 0.8 * training.losses[0]
    assert not network.training and not any(p.requires_grad for p in network.parameters())
    hidden = classifier.pool1(functional.relu(classifier.conv1(images - 0.13)))
    hidden = classifier.pool2(functional.relu(classifier.conv2(hidden))).flatten(1)
    assert torch.allclose(
        network.code_mean, functional.relu(classifier.hidden(hidden)).mean(0), atol=1e-5
    )


def test_generator_of_photos_learns_from_a_vision_model():
    model, images = cnnlab.load_model(), cnnlab.photos("music", size=64).images
    painter = ImageGenerator(1000, channels=3, size=64, width=4)
    fit_generator(painter, model, images, "pool10", steps=2)
    result = code_image(model, ["zebra", 985], painter, steps=2)
    assert result.image.shape == (2, 3, 64, 64) and result.history["code"].shape == (2, 1000)


def test_nearest_distance_by_hand():
    gallery = torch.stack([torch.zeros(1, 2, 2), torch.ones(1, 2, 2)])
    distance, index = nearest_distance(torch.full((1, 1, 2, 2), 0.75), gallery)
    assert index.tolist() == [1] and distance[0] == pytest.approx(0.5)
