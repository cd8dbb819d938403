"""最近邻与逐对算距离比较；自身、重复、零向量、并列；检索得分与手算比较；特征与前向比较。"""

import math

import pytest
import torch

from cnnlab.chapters.neighbors import (
    extract_features,
    found_again,
    nearest_neighbors,
    pixel_vectors,
    retrieval_score,
)
from cnnlab.networks.random_twins import randomized_copy


@pytest.fixture
def vectors():
    generator = torch.Generator().manual_seed(4)
    return torch.randn(300, 7, generator=generator), torch.randn(500, 7, generator=generator)


def test_equals_all_pairwise_distances(vectors):
    query, gallery = vectors
    expected = torch.cdist(query.double(), gallery.double()).sort(dim=1)
    found = nearest_neighbors(query, gallery, 6)
    assert torch.equal(found.index, expected.indices[:, :6])
    assert torch.allclose(found.distance.double(), expected.values[:, :6], atol=1e-5)


def test_cosine_by_hand_and_zero_vectors():
    query = torch.tensor([[2.0, 0.0], [0.0, 0.0]])
    gallery = torch.tensor([[0.0, 5.0], [0.1, 0.1], [9.0, 0.0], [-1.0, 0.0]])
    found = nearest_neighbors(query, gallery, 4, "cosine")
    assert found.index[0].tolist() == [2, 1, 0, 3]
    assert torch.allclose(
        found.distance[0], torch.tensor([0, 1 - 1 / math.sqrt(2), 1, 2]), atol=1e-6
    )
    assert torch.equal(found.distance[1], torch.ones(4)) and found.index[1].tolist() == [0, 1, 2, 3]


def test_large_offsets_give_exact_zero_and_no_nan():
    gallery = 1000 + torch.rand(40, 64, generator=torch.Generator().manual_seed(0))
    found = nearest_neighbors(gallery, gallery, 2)
    assert torch.equal(found.index[:, 0], torch.arange(40)) and (found.distance[:, 0] == 0).all()
    assert torch.isfinite(found.distance).all() and (found.distance[:, 1] > 0).all()


def test_exclude_self_goes_by_index_and_keeps_duplicates(vectors):
    gallery = vectors[1].clone()
    gallery[37] = gallery[12]
    found = nearest_neighbors(gallery, gallery, 3, exclude_self=True)
    assert not (found.index == torch.arange(500)[:, None]).any()
    assert found.index[12, 0] == 37 and found.distance[12, 0] == 0 and found.index[37, 0] == 12


def test_a_library_in_blocks_gives_what_one_block_gives(monkeypatch, vectors):
    gallery = vectors[1][:100]
    distance = torch.cdist(gallery.double(), gallery.double())
    nearest = distance.sort(dim=1).indices[:, :6]
    others = distance.fill_diagonal_(torch.inf).sort(dim=1).indices[:, :5]
    monkeypatch.setattr("cnnlab.chapters.neighbors.BLOCK", 9)
    monkeypatch.setattr("cnnlab.chapters.neighbors.ROWS", 14)
    assert torch.equal(nearest_neighbors(gallery, gallery, 6).index, nearest)
    found = nearest_neighbors(gallery, gallery, 5, exclude_self=True).index
    assert torch.equal(found, others)


def test_ties_go_to_the_smaller_index():
    found = nearest_neighbors(torch.zeros(1, 3), torch.ones(6, 3), 6)
    assert found.index.tolist() == [[0, 1, 2, 3, 4, 5]]


def test_the_two_metrics_agree_on_equal_norms_and_can_disagree(vectors):
    unit = [torch.nn.functional.normalize(each, dim=1) for each in vectors]
    assert torch.equal(
        nearest_neighbors(*unit, 4).index, nearest_neighbors(*vectors, 4, "cosine").index
    )
    query, gallery = torch.tensor([[1.0, 0.0]]), torch.tensor([[10.0, 1.0], [0.5, 0.5]])
    assert nearest_neighbors(query, gallery, 1).index.item() == 1
    assert nearest_neighbors(query, gallery, 1, "cosine").index.item() == 0


def test_retrieval_score_by_hand():
    features = torch.tensor([[0.0], [0.1], [0.3], [5.0], [5.1]])
    found = retrieval_score(features, ["a", "a", "b", "b", "b"])
    assert found.each.tolist() == [1, 1, 0, 1, 1] and abs(found.score - 0.8) < 1e-6
    assert abs(found.chance - (2 + 6) / 20) < 1e-9 and found.majority == 0.6
    random = torch.rand(400, 8, generator=torch.Generator().manual_seed(1))
    labels = [i % 4 for i in range(400)]
    assert (
        abs(retrieval_score(random, labels, k=10).score - retrieval_score(random, labels).chance)
        < 0.03
    )


def test_features_are_independent_of_the_batch_and_equal_a_forward(tiny_cnn, assert_no_hooks):
    images = torch.rand(19, 3, 16, 16, generator=torch.Generator().manual_seed(5))
    expected = tiny_cnn.relu2(
        tiny_cnn.conv2(tiny_cnn.pool1(tiny_cnn.relu1(tiny_cnn.conv1(images))))
    )
    features = extract_features(tiny_cnn, images, "relu2")
    assert torch.allclose(features, expected.mean((2, 3)), atol=1e-5)
    assert torch.allclose(
        features[3:4], extract_features(tiny_cnn, images[3:4], "relu2"), atol=1e-6
    )
    joined = extract_features(tiny_cnn, images, ["conv2", "linear"])
    assert joined.shape == (19, 21) and not joined.requires_grad
    assert_no_hooks(tiny_cnn)


def test_penultimate_features_of_wrapped_networks(tiny_cnn):
    from cnnlab.networks.models import load_model, wrap_model

    images = torch.rand(3, 3, 64, 64)
    wrapped = wrap_model(tiny_cnn, mean=(0, 0, 0), std=(1, 1, 1))
    assert torch.allclose(
        extract_features(wrapped, images), extract_features(tiny_cnn, images, "relu2"), atol=1e-5
    )
    assert extract_features(load_model(weights=None), images).shape == (3, 512)


def test_pixel_vectors_are_the_small_pictures():
    images = torch.rand(2, 3, 64, 48)
    assert pixel_vectors(images).shape == (2, 3072)
    flat = torch.full((1, 3, 64, 64), 0.3)
    assert torch.allclose(pixel_vectors(flat, 4), torch.full((1, 48), 0.3), atol=1e-6)


def test_found_again(vectors):
    gallery = vectors[1]
    query = gallery + 1e-4
    query[7] = gallery[8]
    assert found_again(query, gallery).tolist() == [i != 7 for i in range(500)]


def test_randomized_copy_keeps_the_scale_and_the_original(tiny_cnn):
    state = torch.get_rng_state()
    before = tiny_cnn.conv2.weight.clone()
    copy = randomized_copy(tiny_cnn, seed=3)
    assert torch.equal(before, tiny_cnn.conv2.weight) and torch.equal(state, torch.get_rng_state())
    assert abs(copy.conv2.weight.std() / before.std() - 1) < 0.1
    assert (
        abs(torch.corrcoef(torch.stack([copy.conv2.weight.flatten(), before.flatten()]))[0, 1])
        < 0.1
    )
    assert torch.equal(copy.conv2.weight, randomized_copy(tiny_cnn, seed=3).conv2.weight)


def test_bad_input(tiny_cnn, vectors):
    query, gallery = vectors
    broken = gallery.clone()
    broken[3, 2] = torch.nan
    for call, message in [
        (lambda: nearest_neighbors(query, gallery, metric="manhattan"), "euclidean"),
        (lambda: nearest_neighbors(query[:, :3], gallery), "D 要相同"),
        (lambda: nearest_neighbors(query, gallery, 501), "库里只有 500"),
        (lambda: nearest_neighbors(query, gallery, 0), "k 是|k 应在"),
        (lambda: nearest_neighbors(query, broken), "NaN"),
        (lambda: nearest_neighbors(query, gallery, exclude_self=True), "查询就是库本身"),
        (lambda: retrieval_score(gallery, ["a"] * 3), "类别"),
        (lambda: extract_features(tiny_cnn, torch.rand(1, 3, 16, 16)), "layer"),
        (lambda: extract_features(tiny_cnn, torch.rand(1, 3, 16, 16), "conv9"), "没有名为"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
