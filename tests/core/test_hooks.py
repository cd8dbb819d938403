"""钩子：取值、生命周期、异常、模式、.grad、别名，以及三条 ReLU 规则。"""

import gc
import threading
import weakref

import pytest
import torch
from torch import nn
from torch.nn import functional

from cnnlab.core.hooks import activations_of, evaluating, find_layer, input_of, record_activations
from cnnlab.core.relu_rules import RELU_RULES, override_relu_gradient
from cnnlab.networks.models import load_model


def hook_count(model):
    return sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks)
        for m in model.modules()
    )


class InPlaceNet(nn.Module):
    """原地 ReLU、原地相加、重复使用同一个 ReLU、dropout：各种陷阱在一处。"""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)

    def forward(self, image):
        value = self.relu(self.first(image))
        other = self.second(value)
        other += value
        return self.drop(self.relu(other)).mean((2, 3))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return InPlaceNet().double()


@pytest.fixture
def image():
    return torch.rand(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_values_equal_a_manual_forward_and_are_not_aliased(network, image):
    found = activations_of(network, image, ["first", "second"])
    first = functional.conv2d(image, network.first.weight, network.first.bias, padding=1)
    second = functional.conv2d(first.relu(), network.second.weight, network.second.bias, padding=1)
    assert torch.allclose(found["first"], first) and (found["first"] < 0).any()
    assert torch.allclose(found["second"], second)
    with record_activations(network, ["first", "second"]) as recorded:
        network(image)
    assert torch.equal(recorded["first"], found["first"]) and torch.equal(
        recorded["second"], found["second"]
    )


def test_hooks_are_gone_afterwards_and_after_an_exception(network, image):
    activations_of(network, image, "first")
    with pytest.raises(RuntimeError), record_activations(network, "second"):
        network(image[:, :2])
    with pytest.raises(RuntimeError), override_relu_gradient(network, "guided"):
        network(image[:, :2])
    with pytest.raises(ValueError, match="图像有 2 个通道"):
        input_of(network, image[:, :2], "second")
    assert hook_count(network) == 0
    # 规则也没有残留：离开之后是普通梯度
    image.requires_grad_()
    plain = torch.autograd.grad(network.eval()(image).sum(), image)[0]
    with override_relu_gradient(network, "plain"):
        again = torch.autograd.grad(network(image).sum(), image)[0]
    assert torch.allclose(plain, again)


def test_mode_grad_and_graph(network, image):
    network.train()
    network.second.eval()
    first, second = activations_of(network, image, "relu"), activations_of(network, image, "drop")
    assert network.training and not network.second.training and network.drop.training
    assert not first["relu"].requires_grad
    assert torch.equal(
        second["drop"], activations_of(network, image, "drop")["drop"]
    )  # 评估模式：没有随机
    image.requires_grad_()
    activation = activations_of(network, image, "second")["second"]
    (gradient,) = torch.autograd.grad(activation.sum(), image)
    assert gradient.abs().sum() > 0
    assert image.grad is None and all(p.grad is None for p in network.parameters())


def test_recorded_activation_is_on_the_path_to_the_output(network, image):
    network.eval()
    image.requires_grad_()
    with record_activations(network, "second") as recorded:
        output = network(image)
    (gradient,) = torch.autograd.grad(output.sum(), recorded["second"])
    assert gradient.shape == recorded["second"].shape and gradient.abs().sum() > 0


def test_forward_stops_at_the_layer(image):
    class Late(nn.Module):
        def __init__(self):
            super().__init__()
            self.early = nn.Conv2d(3, 2, 1).double()

        def forward(self, image):
            self.early(image)
            raise AssertionError("前向没有停下来")

    assert activations_of(Late(), image, "early")["early"].shape == (2, 2, 8, 8)


def test_input_of_is_what_enters_the_layer(network, image):
    first = functional.conv2d(image, network.first.weight, network.first.bias, padding=1)
    assert torch.allclose(input_of(network, image, "second"), first.relu())


def test_unknown_layer_lists_the_layers(network, image):
    with pytest.raises(ValueError, match="first、second"):
        activations_of(network, image, "frist")
    assert find_layer(network, "first") is network.first


@pytest.mark.parametrize("ask", [activations_of, input_of])
def test_a_layer_the_forward_never_reaches_is_named(network, image, ask):
    network.layers = {"first": network.first, "gone": nn.Conv2d(3, 3, 1)}
    with pytest.raises(ValueError, match="没有经过 gone"):
        ask(network, image, "gone")


def test_evaluating_restores_every_flag(network):
    network.train()
    network.first.eval()
    with pytest.raises(KeyError), evaluating(network):
        assert not any(module.training for module in network.modules())
        raise KeyError
    assert network.training and not network.first.training and network.drop.training


def test_three_rules_by_hand():
    """2×2：前向 [1, -1, 2, 0]，传回的梯度 [3, 4, -5, 6]。"""
    value = torch.tensor([[1.0, -1.0], [2.0, 0.0]], requires_grad=True)
    weight = torch.tensor([[3.0, 4.0], [-5.0, 6.0]])
    expected = {
        "plain": [[3.0, 0.0], [-5.0, 0.0]],
        "deconvnet": [[3.0, 4.0], [0.0, 6.0]],
        "guided": [[3.0, 0.0], [0.0, 0.0]],
    }
    model = nn.ReLU()
    for rule, answer in expected.items():
        with override_relu_gradient(model, rule):
            output = model(value)
            assert torch.equal(output, value.relu())
            (gradient,) = torch.autograd.grad((output * weight).sum(), value)
        assert gradient.tolist() == answer
    with override_relu_gradient(model, lambda gradient, slope: gradient * 0 + 7):
        assert (torch.autograd.grad(model(value).sum(), value)[0] == 7).all()


@pytest.mark.parametrize(
    "call",
    [
        functional.relu,
        torch.relu,
        lambda v: v.clone().relu_(),
        lambda v: functional.relu(v.clone(), inplace=True),
        lambda v: v.clamp(min=0),
        lambda v: torch.clamp_min(v, 0),
        nn.ReLU(),
        nn.Sequential(nn.Sequential(nn.ReLU())),
    ],
)
def test_every_way_of_writing_relu_is_reached(call):
    class Net(nn.Module):
        def forward(self, value):
            return call(value)

    value = torch.tensor([1.0, -1.0, 2.0], requires_grad=True)
    with override_relu_gradient(Net(), "deconvnet") as model:
        (gradient,) = torch.autograd.grad(
            (model(value) * torch.tensor([1.0, 2.0, -3.0])).sum(), value
        )
    assert gradient.tolist() == [1, 2, 0]


@pytest.mark.parametrize("activation", [nn.ReLU6(), nn.SiLU(), nn.Hardswish()])
def test_smooth_activations_use_their_slope(activation):
    value = torch.tensor([-4.0, -1.0, 0.5, 7.0], dtype=torch.float64, requires_grad=True)
    slope = torch.autograd.grad(activation(value).sum(), value)[0]
    weight = torch.tensor([1.0, 2.0, -3.0, 4.0], dtype=torch.float64)
    for rule, expected in {
        "plain": weight * slope,
        "guided": weight.clamp(min=0) * slope,
        "deconvnet": weight.clamp(min=0),
    }.items():
        with override_relu_gradient(activation, rule):
            assert torch.allclose(
                torch.autograd.grad((activation(value) * weight).sum(), value)[0], expected
            )


def test_only_this_model_is_changed():
    value = torch.tensor([1.0, -1.0], requires_grad=True)
    with override_relu_gradient(nn.ReLU(), "deconvnet"):
        (gradient,) = torch.autograd.grad(functional.relu(value).sum(), value)
    assert gradient.tolist() == [1, 0]


def test_compiled_modules_and_unknown_rules_are_refused():
    scripted = torch.jit.script(nn.Sequential(nn.ReLU()))
    with (
        pytest.raises(ValueError, match="ReLU"),
        override_relu_gradient(nn.Sequential(scripted), "guided"),
    ):
        pass
    with pytest.raises(ValueError, match="guided"), override_relu_gradient(nn.ReLU(), "guidde"):
        pass


def test_in_place_activations_still_change_the_tensor_that_is_used_again():
    class Net(nn.Module):
        def forward(self, image):
            first, second = image * 1, image * 2
            return (
                first
                + 2 * functional.relu(first, inplace=True)
                + second * functional.hardtanh(second, 0.0, 6.0, True)
            )

    value = torch.tensor([-0.5, 3.0, 7.0], requires_grad=True)
    expected = Net()(value)
    (plain,) = torch.autograd.grad(expected.sum(), value)
    with override_relu_gradient(Net(), "plain") as model:
        output = model(value)
    assert torch.equal(output, expected)
    assert torch.equal(torch.autograd.grad(output.sum(), value)[0], plain)


@pytest.mark.parametrize("rule", ["plain", "deconvnet", "guided"])
def test_built_in_rules_equal_the_same_rules_given_as_functions(rule, network, image):
    image.requires_grad_()
    gradients = []
    for each in (rule, lambda gradient, slope: RELU_RULES[rule](gradient, slope)):
        with override_relu_gradient(network.eval(), each):
            gradients.append(torch.autograd.grad(network(image).sum(), image)[0])
    assert torch.equal(*gradients) and gradients[0].abs().sum() > 0


# 中断、线程、嵌套、重复使用、原地、随机数


def test_an_interrupt_inside_the_forward_leaves_no_rule_behind(network, image):
    def interrupt(*_):
        raise KeyboardInterrupt

    handle = network.second.register_forward_hook(interrupt)
    with pytest.raises(KeyboardInterrupt), override_relu_gradient(network, "guided"):
        network(image)
    handle.remove()
    value = torch.tensor([1.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(-torch.relu(value).sum(), value)
    assert gradient.tolist() == [-1] and hook_count(network) == 0


def test_nested_rules_the_innermost_wins():
    value = torch.tensor([1.0, -1.0, 2.0], requires_grad=True)
    weight = torch.tensor([1.0, 2.0, -3.0])

    def gradient():
        return torch.autograd.grad((model(value) * weight).sum(), value)[0].tolist()

    model = nn.ReLU()
    with override_relu_gradient(model, "guided"):
        with override_relu_gradient(model, "deconvnet"):
            assert gradient() == [1, 2, 0]
        with override_relu_gradient(model, "plain"):
            assert gradient() == [1, 0, -3]
        assert gradient() == [1, 0, 0]
    assert gradient() == [1, 0, -3]


def test_a_submodule_called_by_itself_follows_the_rule(network, image):
    value = torch.tensor([1.0, -1.0, 2.0], requires_grad=True)
    with override_relu_gradient(network, "guided"):
        output = network.relu(value * 1) * torch.tensor([1.0, 2.0, -3.0])
    assert torch.autograd.grad(output.sum(), value)[0].tolist() == [1, 0, 0]


def test_threads_do_not_see_each_others_hooks_and_rules(network, image):
    """一个线程记激活、改规则，另一个线程同时照常用：两边都与单独跑时相同。"""
    network.train()

    def plain():
        leaf = image.clone().requires_grad_()
        with evaluating(network):
            return torch.autograd.grad(network(leaf).sum(), leaf)[0]

    def guided():
        leaf = image.clone().requires_grad_()
        with evaluating(network), override_relu_gradient(network, "guided"):
            return torch.autograd.grad(network(leaf).sum(), leaf)[0]

    calls = [plain, guided, lambda: activations_of(network, image, "second")["second"]]
    expected, wrong = [call() for call in calls], []

    def repeat(call, answer):
        try:
            wrong.extend(1 for _ in range(40) if not torch.equal(call(), answer))
        except Exception as error:
            wrong.append(error)

    pairs = zip(calls, expected, strict=True)
    threads = [threading.Thread(target=repeat, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [] and hook_count(network) == 0
    assert all(module.training for module in network.modules())


def test_each_use_of_a_module_has_its_name(network, image):
    """同一个 ReLU 用两次：名字是第 1 次，":2" 是第 2 次；单独要、和别的层一起要，都一样。"""
    first = functional.conv2d(image, network.first.weight, network.first.bias, padding=1).relu()
    both = activations_of(network, image, ["relu", "relu:2", "drop"])
    assert torch.allclose(both["relu"], first) and torch.equal(both["relu:2"], both["drop"])
    assert torch.equal(activations_of(network, image, "relu")["relu"], both["relu"])
    assert torch.equal(activations_of(network, image, "relu:2")["relu:2"], both["relu:2"])
    network.eval()
    with record_activations(network, ["relu", "relu:2"]) as recorded:
        network(1 - image)
        network(image)
    assert torch.equal(recorded["relu"], both["relu"])
    assert torch.equal(recorded["relu:2"], both["relu:2"])
    with pytest.raises(ValueError, match="relu:3"):
        activations_of(network, image, "relu:3")


def test_a_submodule_called_by_itself_is_recorded(network, image):
    with record_activations(network, "first") as recorded:
        network.first(image)
        output = network.first(1 - image)
    assert torch.equal(recorded["first"], output)


class Hostile(nn.Module):
    """在输入上原地计算，又用函数形式的 dropout。"""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, image):
        image -= 0.5
        return functional.dropout(self.conv(image), 0.5).mean((2, 3))


@pytest.mark.parametrize("ask", [activations_of, input_of])
def test_the_callers_image_and_random_numbers_stay(ask):
    network, image = Hostile(), torch.rand(1, 3, 8, 8, requires_grad=True)
    before, state = image.detach().clone(), torch.get_rng_state()
    ask(network, image, "conv")
    assert torch.equal(image, before) and torch.equal(torch.get_rng_state(), state)


def test_scripted_layers_are_refused_in_words():
    network = torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
    for call in (lambda: activations_of(network, torch.rand(1, 3, 8, 8), "0"),):
        with pytest.raises(ValueError, match="TorchScript"):
            call()


def test_a_forward_that_stops_lets_go_of_what_it_held():
    """错误里存着变量，变量里存着错误，激活就要等垃圾回收。"""
    model, held = load_model(), []
    handle = model.layers["conv1"].register_forward_pre_hook(
        lambda module, inputs: held.append(weakref.ref(inputs[0]))
    )
    gc.collect()
    gc.disable()
    try:
        activations_of(model, torch.rand(1, 3, 64, 64), "fire2")
        assert held[0]() is None
    finally:
        gc.enable()
        handle.remove()


@pytest.mark.parametrize("compiled", [torch.compile, lambda network: network.compile() or network])
def test_layers_of_a_compiled_model_are_refused(compiled):
    """钩子在编译过的模块里时灵时不灵：看先编译还是先挂上；不碰这个运气。"""
    network = compiled(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
    layer = next(name for name, each in network.named_modules() if isinstance(each, nn.Conv2d))
    with pytest.raises(ValueError, match="传编译之前的那个"):
        activations_of(network, torch.rand(1, 3, 8, 8), layer)


def test_layers_written_in_one_string_and_a_module_for_a_name():
    network, image = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), torch.rand(1, 3, 8, 8)
    for typed in ("0，1", "0, 1", "0、1"):
        with pytest.raises(ValueError, match=r"几层要写成列表：\['0', '1'\]"):
            activations_of(network, image, typed)
    with pytest.raises(ValueError, match="得到 Sequential；") as told:
        activations_of(network, image, [network])
    assert "\n" not in str(told.value)
