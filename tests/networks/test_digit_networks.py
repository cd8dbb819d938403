"""数字网络：随包的权重读得出、认得准，两个分类网络结构不同，生成网络给出 [0, 1] 的图像。"""

import pytest
import torch

from cnnlab.networks.digit_networks import CODE_SIZE, ImageGenerator, load_digit_network
from cnnlab.pictures.photos import digits


@pytest.mark.parametrize("name", ["classifier", "second_classifier", "lecture_classifier"])
def test_classifiers_know_digits_they_never_saw(name):
    images, labels = digits()
    network = load_digit_network(name)
    assert not network.training and not any(p.requires_grad for p in network.parameters())
    assert (network(images[4000:4400]).argmax(1) == labels[4000:4400]).float().mean() > 0.95


def test_generator_turns_codes_back_into_digits():
    images, labels = digits()
    held, classifier, generator = (
        images[4000:4100],
        load_digit_network("classifier"),
        load_digit_network("generator"),
    )
    codes = classifier.code(classifier.hidden(features(classifier, held)))
    made = generator(codes)
    assert made.shape == held.shape and made.min() >= 0 and made.max() <= 1
    assert (classifier(made).argmax(1) == labels[4000:4100]).float().mean() > 0.9
    wrong = generator(codes.roll(1, 0))
    assert (made - held).square().mean() < 0.5 * (wrong - held).square().mean()


def features(classifier, images):
    hidden = classifier.pool1(classifier.relu1(classifier.conv1(images - 0.13)))
    return classifier.pool2(classifier.relu2(classifier.conv2(hidden))).flatten(1)


def test_threes_generator_draws_threes_whatever_the_code():
    images, labels = digits()
    classifier, generator = load_digit_network("classifier"), load_digit_network("threes_generator")
    codes = classifier.code(classifier.hidden(features(classifier, images[4000:4100])))
    threes = images[:4000][labels[:4000] == 3]
    nearest_three = torch.cdist(generator(codes).flatten(1), threes.flatten(1)).min(1).values
    own = torch.cdist(images[4000:4100].flatten(1), threes.flatten(1)).min(1).values
    assert nearest_three.median() < own.median()


def test_other_sizes_and_bad_input():
    generator = ImageGenerator(8, channels=3, size=64, width=8).eval()
    assert generator(torch.randn(2, 8)).shape == (2, 3, 64, 64)
    with pytest.raises(ValueError, match="4 的倍数"):
        ImageGenerator(8, size=30)
    with pytest.raises(ValueError, match="generator"):
        load_digit_network("generater")


def test_loading_leaves_the_random_state_alone():
    before = torch.get_rng_state()
    assert load_digit_network("generator").code_mean.shape == (CODE_SIZE,)
    assert torch.equal(before, torch.get_rng_state())
