"""categories：1000 个 ImageNet 类别的中英文名与查找。"""

from __future__ import annotations

import copy
import csv
import pickle
import re
from importlib import resources

import pytest

from cnnlab.networks.categories import (
    PLACES_URL,
    Categories,
    imagenet_categories,
    places_categories,
)
from cnnlab.networks.downloads import DownloadError, cache_directory


def test_there_are_a_thousand_distinct_names_in_both_languages():
    categories = imagenet_categories()
    assert len(categories) == len(categories.chinese) == 1000
    assert len({name.casefold() for name in categories}) == 1000
    assert len({name.replace(" ", "") for name in categories.chinese}) == 1000


def test_no_name_is_blank_or_padded_and_chinese_names_are_chinese():
    categories = imagenet_categories()
    for name in (*categories, *categories.chinese):
        assert name and name == name.strip()
    assert all(re.search(r"[\u3400-\u9fff]", name) for name in categories.chinese)
    assert not any(
        re.search(r"[\u3400-\u9fff][A-Za-z]|[A-Za-z][\u3400-\u9fff]", name)
        for name in categories.chinese
    )


def test_the_file_numbers_its_rows_from_zero():
    text = (
        resources.files("cnnlab")
        .joinpath("data/imagenet_categories.csv")
        .read_text(encoding="utf-8")
    )
    assert [int(row["index"]) for row in csv.DictReader(text.splitlines())] == list(range(1000))


def test_english_names_are_torchvisions_except_the_ambiguous_ones():
    from torchvision.models._meta import _IMAGENET_CATEGORIES

    changed = {
        index: name
        for index, (name, theirs) in enumerate(
            zip(imagenet_categories(), _IMAGENET_CATEGORIES, strict=True)
        )
        if name != theirs
    }
    assert changed == {134: "crane (bird)", 264: "Cardigan (dog)", 517: "crane (machine)"}


@pytest.mark.parametrize(
    ("index", "english", "chinese"),
    [
        (0, "tench", "丁鱥"),
        (88, "macaw", "金刚鹦鹉"),
        (105, "koala", "考拉"),
        (134, "crane (bird)", "鹤"),
        (145, "king penguin", "王企鹅"),
        (232, "Border collie", "边境牧羊犬"),
        (235, "German shepherd", "德国牧羊犬"),
        (281, "tabby", "虎斑猫"),
        (296, "ice bear", "北极熊"),
        (387, "lesser panda", "小熊猫"),
        (388, "giant panda", "大熊猫"),
        (474, "cardigan", "开襟羊毛衫"),
        (504, "coffee mug", "马克杯"),
        (610, "jersey", "T 恤衫"),
        (850, "teddy", "泰迪熊"),
        (954, "banana", "香蕉"),
        (999, "toilet tissue", "卫生纸"),
    ],
)
def test_anchors_along_the_list_agree(index, english, chinese):
    categories = imagenet_categories()
    assert categories[index] == english and categories.chinese[index] == chinese
    assert categories.label(index) == f"{chinese} ({english})"
    for name in (
        english,
        english.upper(),
        english.replace(" ", "_"),
        chinese,
        f"{chinese} ({english})",
    ):
        assert categories.index_of(name) == index


def test_every_name_finds_its_own_index():
    categories = imagenet_categories()
    for index in range(1000):
        assert categories.index_of(categories[index]) == index
        assert categories.index_of(categories.chinese[index]) == index


def test_spaces_beside_chinese_characters_do_not_matter():
    assert imagenet_categories().index_of("T恤衫") == imagenet_categories().index_of("jersey")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("giant pandas", "大熊猫 (giant panda)"),
        ("德国牧羊狗", "德国牧羊犬 (German shepherd)"),
        ("熊猫", "小熊猫 (lesser panda)"),
        ("crane", "起重机 (crane (machine))"),
        ("polar bear", "棕熊 (brown bear)"),
    ],
)
def test_an_unknown_name_lists_the_nearest_in_both_languages(name, expected):
    with pytest.raises(ValueError, match="没有名为") as caught:
        imagenet_categories().index_of(name)
    assert name in str(caught.value) and expected in str(caught.value)


def test_a_name_like_nothing_says_how_many_there_are():
    with pytest.raises(ValueError, match="共有 1000 个类别"):
        imagenet_categories().index_of("qqqqxxxx")


@pytest.mark.parametrize("index", [-1, 1000])
def test_an_index_outside_the_list_is_refused(index):
    with pytest.raises(ValueError, match="0 到 999"):
        imagenet_categories().label(index)


def test_a_number_is_not_a_name():
    with pytest.raises(TypeError, match="字符串"):
        imagenet_categories().index_of(388)


def test_categories_without_chinese_and_copies():
    digits = Categories(map(str, range(10)))
    assert digits.chinese is None and digits.label(7) == "7" and digits.index_of("7") == 7
    for duplicate in (
        copy.deepcopy(imagenet_categories()),
        pickle.loads(pickle.dumps(imagenet_categories())),
    ):
        assert duplicate == imagenet_categories() and duplicate.label(388) == "大熊猫 (giant panda)"


def test_the_two_lists_have_one_length():
    with pytest.raises(ValueError, match="一样多"):
        Categories(["cat", "dog"], ["猫"])


@pytest.fixture
def places_file(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub._hub_dir", None)
    path = cache_directory() / PLACES_URL.rsplit("/", 1)[1]
    path.parent.mkdir(parents=True)
    return path


def test_places_names_are_read_from_the_projects_file(places_file):
    entries = [
        "/a/airfield",
        "/a/apartment_building/outdoor",
        *(f"/z/zoo_{index}" for index in range(363)),
    ]
    places_file.write_text("".join(f"{entry} {index}\n" for index, entry in enumerate(entries)))
    places = places_categories()
    assert len(places) == 365 and places[0] == "airfield"
    assert places.index_of("apartment building (outdoor)") == 1


def test_a_wrong_places_file_is_removed(places_file):
    places_file.write_text("<html>not found</html>\n")
    with pytest.raises(DownloadError, match="365"):
        places_categories()
    assert not places_file.exists()
