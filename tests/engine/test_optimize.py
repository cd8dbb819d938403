"""optimize：二次函数到达最低点；步数、副本、中断、NaN、死起点各如所说。"""

import pytest
import torch

from cnnlab.engine.optimize import Step, adam, lbfgs, optimize_image, progress, sgd
from cnnlab.engine.parameterizations import CodeImage, FourierImage, PixelImage
from cnnlab.engine.priors import clamp, jitter


@pytest.fixture
def bowl():
    """病态的二次函数（条件数 100）和它的最低点。"""
    generator = torch.Generator().manual_seed(0)
    lowest = torch.rand(1, 3, 6, 7, generator=generator)
    stiffness = torch.logspace(-1, 1, lowest.numel()).view_as(lowest)
    return (lambda image: (stiffness * (image - lowest).square()).sum()), lowest


@pytest.mark.parametrize(
    ("optimizer", "steps"), [(adam(0.05), 400), (sgd(0.02), 1500), (lbfgs(), 60), ("lbfgs", 60)]
)
def test_quadratic_reaches_its_minimum(bowl, optimizer, steps):
    loss, lowest = bowl
    result = optimize_image(torch.zeros_like(lowest), loss, steps=steps, optimizer=optimizer)
    assert float((result - lowest).abs().max()) < 2e-2


def test_lbfgs_needs_far_fewer_evaluations_than_adam(bowl):
    loss, lowest = bowl
    values = {
        name: float(loss(optimize_image(torch.zeros_like(lowest), loss, steps=40, optimizer=name)))
        for name in ("adam", "lbfgs")
    }
    assert values["lbfgs"] < values["adam"] / 10


def test_lbfgs_comes_back_from_a_first_step_that_overshoots():
    seen = []
    result = optimize_image(
        torch.full((1, 3, 4, 4), 0.3),
        lambda image: image.square().square().sum(),
        steps=25,
        optimizer=lbfgs(first_step=50),
        on_step=seen.append,
    )
    assert seen[1].loss > 1e5 * seen[0].loss
    # 每次退一半，直到损失不再高出起点一半以上
    moves = [float((each.image - 0.3).abs().mean()) for each in seen[1:5]]
    assert moves == pytest.approx([50, 25, 12.5, 6.25], rel=1e-4)
    assert result.abs().max() < 0.1


def test_lbfgs_agrees_with_torch_once_it_has_history(bowl):
    """每步一次求值、同样的第一步：与 torch.optim.LBFGS 走同样的路。"""
    loss, lowest = bowl
    start = torch.zeros_like(lowest)
    image = start.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(image), image)
    # torch 的第一步是 min(1, 1/Σ|g|)·g
    first = float(gradient.abs().mean() / gradient.abs().sum())

    def torch_lbfgs(parameters):
        return torch.optim.LBFGS(
            parameters, lr=1.0, max_iter=1, history_size=10, tolerance_grad=0, tolerance_change=0
        )

    ours = optimize_image(start, loss, steps=8, optimizer=lbfgs(first_step=first))
    theirs = optimize_image(start, loss, steps=8, optimizer=torch_lbfgs)
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_lbfgs_with_clamp_finds_the_constrained_minimum(bowl):
    loss, lowest = bowl
    result = optimize_image(
        torch.full_like(lowest, 0.5), loss, steps=80, optimizer="lbfgs", after_step=clamp(0.4, 0.6)
    )
    assert float((result - lowest.clamp(0.4, 0.6)).abs().max()) < 1e-2


def test_normalized_steps_have_the_stated_size(photo):
    images = torch.cat([photo, photo])
    slope = torch.tensor([1.0, 1000.0]).view(2, 1, 1, 1) * torch.linspace(1, 2, 32)
    loss = lambda image: (slope * image).sum()
    moved = optimize_image(images, loss, steps=1, optimizer=sgd(0.1, normalize="mean")) - images
    assert torch.allclose(moved.abs().mean((1, 2, 3)), torch.tensor([0.1, 0.1]), rtol=1e-4)
    moved = optimize_image(images, loss, steps=1, optimizer=sgd(0.1, normalize="norm")) - images
    assert torch.allclose(moved.flatten(1).norm(dim=1), torch.tensor([0.1, 0.1]), rtol=1e-4)


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "lbfgs"])
def test_one_evaluation_per_step_and_the_caller_is_untouched(photo, optimizer):
    calls, before, state = [], photo.clone(), torch.get_rng_state()
    loss = lambda image: calls.append(1) or image.square().sum()
    seen = []
    with torch.no_grad():
        result = optimize_image(
            photo, loss, steps=7, optimizer=optimizer, transform=jitter(2), on_step=seen.append
        )
    assert len(calls) == 7
    assert torch.equal(photo, before) and not photo.requires_grad and photo.grad is None
    assert not result.requires_grad and result.is_contiguous()
    assert torch.equal(torch.get_rng_state(), state)
    assert [step.index for step in seen] == list(range(7)) and isinstance(seen[0], Step)
    assert torch.equal(seen[0].image, photo) and seen[-1].loss < seen[0].loss


def test_no_steps_gives_the_start(photo):
    assert torch.equal(optimize_image(photo, lambda image: image.sum(), steps=0), photo)
    with pytest.raises(ValueError, match="steps"):
        optimize_image(photo, lambda image: image.sum(), steps=-1)


def test_snapshots_are_copies(photo):
    images = []
    optimize_image(
        photo,
        lambda image: image.sum(),
        steps=3,
        optimizer="sgd",
        on_step=lambda step: images.append(step.image),
    )
    assert not torch.equal(images[0], images[1]) and torch.equal(images[0], photo)


def test_modules_are_optimised_by_their_parameters(photo):
    fourier = FourierImage(32, sd=0.0)
    result = optimize_image(fourier, lambda image: (image - photo).square().mean(), steps=150)
    assert torch.equal(result, fourier().detach())
    assert float((result - photo).square().mean()) < 0.2 * float((0.5 - photo).square().mean())
    weight = torch.rand(12, 4, generator=torch.Generator().manual_seed(0))
    code = CodeImage(lambda each: (each @ weight.T).view(-1, 3, 2, 2), torch.zeros(1, 4))
    wanted = (torch.tensor([[1.0, -1.0, 0.5, 2.0]]) @ weight.T).view(1, 3, 2, 2)
    optimize_image(code, lambda image: (image - wanted).square().sum(), steps=60, optimizer="lbfgs")
    assert torch.allclose(code.code, torch.tensor([[1.0, -1.0, 0.5, 2.0]]), atol=1e-2)


def test_transform_and_projections_may_be_lists(photo):
    order = []
    transforms = [
        lambda image: order.append("a") or image,
        lambda image: order.append("b") or image,
    ]
    projections = [
        lambda image, gradient, index: image + 1,
        lambda image, gradient, index: image * 0 + index,
    ]
    result = optimize_image(
        photo, lambda image: image.sum(), steps=2, transform=transforms, after_step=projections
    )
    assert order == ["a", "b"] * 2 and float(result.mean()) == 1.0
    assert torch.equal(
        optimize_image(
            photo, lambda image: 0 * image.sum() + image.sum(), steps=0, transform=[], after_step=[]
        ),
        photo,
    )


def test_projection_sees_the_gradient(photo):
    seen = []
    optimize_image(
        photo,
        lambda image: 3 * image.sum(),
        steps=1,
        after_step=lambda image, gradient, index: seen.append(gradient.clone()) or image,
    )
    assert torch.equal(seen[0], torch.full_like(photo, 3.0))


def test_interrupt_gives_the_best_so_far(photo):
    def stop(step):
        if step.index == 7:
            raise KeyboardInterrupt

    # 步长太大：损失先降后升再降，最好的不是最后一张
    losses, images = [], []
    record = lambda step: (losses.append(step.loss), images.append(step.image), stop(step))
    result = optimize_image(
        photo,
        lambda image: (image - 0.3).abs().sum(),
        steps=100,
        optimizer=sgd(0.4),
        on_step=record,
    )
    assert torch.equal(result, images[losses.index(min(losses))])
    assert losses[-1] > min(losses)


def test_interrupt_before_the_first_evaluation_gives_the_start(photo):
    def loss(image):
        raise KeyboardInterrupt

    assert torch.equal(optimize_image(photo, loss, steps=3), photo)


def test_nan_stops_with_the_place(photo):
    with pytest.raises(FloatingPointError, match="第 0 次求值时损失是 nan"):
        optimize_image(photo, lambda image: (image - 2).sqrt().sum(), steps=5)
    with pytest.raises(FloatingPointError, match="梯度里有 NaN"):
        optimize_image(0 * photo, lambda image: image.sqrt().sum(), steps=5)
    with pytest.raises(FloatingPointError, match="图像里出现了 NaN"):
        optimize_image(
            photo,
            lambda image: image.sum(),
            steps=1,
            after_step=lambda image, gradient, index: image / 0,
        )


def test_divergence_is_named_as_such(photo):
    def loss(image):
        if float(image.detach().abs().max()) > 20:
            raise ValueError("像是 0–255 的图像")
        return image.square().sum()

    with pytest.raises(FloatingPointError, match="优化发散了"):
        optimize_image(photo, loss, steps=50, optimizer=sgd(3.0))


def test_dead_start_is_reported_with_the_reason_and_not_run(photo):
    calls = []
    with pytest.warns(RuntimeWarning, match=r"梯度恰好处处为 0.*ReLU"):
        result = optimize_image(
            photo, lambda image: calls.append(1) or (image - 2).relu().sum(), steps=50
        )
    assert torch.equal(result, photo) and len(calls) == 1


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs", sgd(0.1, normalize="mean")])
def test_zero_gradient_gives_no_nan(photo, optimizer):
    with pytest.warns(RuntimeWarning, match="恰好处处为 0"):
        result = optimize_image(
            photo,
            lambda image: (image - 2).relu().sum(),
            steps=3,
            optimizer=optimizer,
            transform=jitter(1),
        )
    assert torch.equal(result, photo)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda image: image.detach().sum(), "不依赖图像"),
        (lambda image: torch.ones((), requires_grad=True) * 2, "不依赖图像"),
        (lambda image: image.mean(1), "标量"),
        (lambda image: 3.0, "标量"),
    ],
)
def test_losses_that_cannot_be_minimised_are_refused(photo, loss, message):
    with pytest.raises(ValueError, match=message):
        optimize_image(photo, loss, steps=2)


def test_unknown_names_list_what_exists(photo):
    with pytest.raises(ValueError, match="rmsprop") as caught:
        optimize_image(photo, lambda image: image.sum(), optimizer="rmsprop")
    assert all(name in str(caught.value) for name in ("adam", "sgd", "lbfgs"))
    with pytest.raises(ValueError, match="max") as caught:
        sgd(normalize="max")
    assert all(name in str(caught.value) for name in ("None", "mean", "norm"))


def test_same_start_same_result_to_the_bit(photo, tiny_cnn):
    loss = lambda image: -tiny_cnn(image)[:, 1].sum()
    run = lambda: optimize_image(PixelImage(photo), loss, steps=12, transform=jitter(3))
    assert torch.equal(run(), run())


def test_progress_bar_counts_passes_on_and_can_be_hidden(photo, monkeypatch):
    monkeypatch.setenv("CNNLAB_BARS", "0")
    seen = []
    with progress(3, "试", seen.append) as on_step:
        optimize_image(photo, lambda image: image.sum(), steps=3, on_step=on_step)
    assert len(seen) == 3
