"""工作台：换方法、并排、照片同步、历史；每种方法的控件都是它的参数。"""

import inspect
import io

import pytest
import torch
from PIL import Image
from torch import nn

import cnnlab
from cnnlab.show.controls import ROLES
from cnnlab.show.workbench import METHODS, workbench

FEW = {name: METHODS[name] for name in ("显著图", "类激活图", "Grad-CAM")}


@pytest.fixture(scope="module")
def model():
    return cnnlab.load_model()


@pytest.mark.parametrize("method", METHODS)
def test_every_control_is_a_parameter(method):
    name, controls = METHODS[method]
    parameters = inspect.signature(getattr(cnnlab, name)).parameters
    settings = parameters["settings"].default if "settings" in parameters else None
    known = {*parameters, *(vars(settings) if settings else ())}
    for control in controls:
        assert known & {control, *ROLES.get(control, ())}, f"{name} 没有参数 {control}"


def test_methods_change_and_the_history_remembers(model):
    bench = workbench(model, size=64, methods=FEW)
    menu = bench.places[0].children[0]
    menu.value = "Grad-CAM"
    assert bench.history[0].startswith("grad_cam(load_model(), photo('panda', 64)")
    assert bench.history[1].startswith("saliency_map(")
    assert bench.places[0].children[1] is bench.panel("Grad-CAM").widget


@pytest.mark.parametrize("method", ["平滑梯度", "积分梯度", "三条 ReLU 规则", "神经元的引导式梯度"])
def test_gradients_of_either_sign_are_drawn(model, method):
    panel = workbench(model, size=64, methods={**FEW, method: METHODS[method]}).panel(method)
    assert panel.picture.width > 100 and panel.code.startswith(METHODS[method][0])


def test_a_channel_is_clicked_in_the_workbench(model):
    method = "神经元的引导式梯度"
    panel = workbench(model, size=64, methods={**FEW, method: METHODS[method]}).panel(method)
    panel.grid.buttons.value = 40
    assert "40" in panel.code


def test_two_methods_see_the_same_photo(model):
    bench = workbench(model, size=64, methods=FEW)
    bench.beside.value = True
    assert len(bench.slots.children) == 2
    bench.panel("显著图", 0).boxes["photo"].value = "koala"
    assert bench.panel("类激活图", 1).boxes["photo"].value == "koala"
    assert "photo('koala', 64)" in bench.panel("类激活图", 1).code


def test_photo_and_category_stay_when_the_method_changes(model):
    bench = workbench(model, size=64, methods=FEW)
    panel, menu = bench.panel("显著图"), bench.places[0].children[0]
    file = io.BytesIO()
    Image.new("L", (40, 30), 200).save(file, "PNG")
    upload = panel.controls["image"].box.children[1]
    new = ({"name": "mine.png", "content": file.getvalue()},)
    upload.notify_change(
        {"name": "value", "old": (), "owner": upload, "type": "change", "new": new}
    )
    panel.boxes["category"].value = "猎豹 (cheetah)"
    menu.value = "Grad-CAM"
    wanted = "load_image('mine.png', 64), 'cheetah'"
    assert wanted in bench.panel("Grad-CAM").code
    assert "网络认为照片是" in bench.panel("Grad-CAM").says.value
    # 收起来的不重算，露面时跟上
    before = panel.code
    bench.panel("Grad-CAM").boxes["photo"].value = "koala"
    assert panel.code == before and len(bench.history) == 5
    menu.value = "显著图"
    assert "photo('koala', 64), 'cheetah'" in panel.code


def test_two_sides_ask_about_two_categories(model):
    bench = workbench(model, size=64, methods={"显著图": METHODS["显著图"]})
    bench.beside.value = True
    bench.panel("显著图", 0).boxes["category"].value = "猎豹 (cheetah)"
    assert "'cheetah'" in bench.panel("显著图", 0).code
    assert "'giant panda'" in bench.panel("显著图", 1).code


def test_a_workbench_of_one_method_and_of_none(model):
    one = {"显著图": METHODS["显著图"]}
    bench = workbench(model, size=64, methods=one)
    bench.beside.value = True
    assert len(bench.slots.children) == 2 and len(bench.panels) == 2
    with pytest.raises(ValueError, match="methods 是空的"):
        workbench(model, methods={})
    with pytest.raises(ValueError, match="cnnlab 里没有这个函数"):
        workbench(model, methods={"甲": ("no_such", {}), **one})


def own_network():
    """读者自己的网络：没有类别名，没有书里的层，结尾也不是类激活图认得的。"""
    torch.manual_seed(0)
    stages = [nn.Conv2d(3, 8, 3), nn.GELU(), nn.Conv2d(8, 6, 3), nn.MaxPool2d(2)]
    head = [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 5)]
    return nn.Sequential(*stages, *head)


def test_a_network_of_ones_own_is_looked_into():
    own = cnnlab.wrap_model(own_network(), mean=(0.5,) * 3, std=(0.5,) * 3)
    bench = workbench(own, size=32)
    assert bench.methods["Grad-CAM"][1]["layer"] == ["4", "3", "2", "1", "0"]
    assert bench.panel("显著图").code == "saliency_map(model, photo('panda', 32), 0)"
    assert bench.panel("Grad-CAM").code == "grad_cam(model, photo('panda', 32), 0, '4')"
    panel = bench.panel("显著图")
    panel.boxes["category"].value = 4
    assert panel.code == "saliency_map(model, photo('panda', 32), 4)"
    panel.boxes["category"].value = 5
    assert "编号 0 到 4" in panel.says.value


def test_a_method_that_refuses_a_network_says_so_in_its_place():
    own = cnnlab.wrap_model(own_network(), mean=(0.5,) * 3, std=(0.5,) * 3)
    bench = workbench(own, size=32)
    menu, _ = bench.places[0].children
    menu.value = "类激活图"
    assert "只对结尾是" in bench.panel("类激活图").says.value
    menu.value = "三条 ReLU 规则"
    assert "GELU" in bench.panel("三条 ReLU 规则").says.value
    menu.value = "显著图"
    assert bench.panel("显著图").code.startswith("saliency_map(model")


def test_the_second_shipped_network_has_its_own_layers():
    bench = workbench(cnnlab.load_model("efficientnet_lite0"), size=64)
    layers = bench.methods["Grad-CAM"][1]["layer"]
    assert 4 <= len(layers) <= 12 and "fire5" not in layers
    assert bench.panel("Grad-CAM").code.startswith("grad_cam(load_model('efficientnet_lite0')")
