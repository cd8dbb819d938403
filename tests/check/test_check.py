"""练习检查器：四种状态、副作用、错法匹配、错误翻译、进度；报告确定而不打印。

不管某一章的练习对不对：那些在 test_exercises.py 里。
"""

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import torch
from torch import nn

from cnnlab import check
from cnnlab.check import core, notebook_file, session
from cnnlab.check.core import Exercise
from cnnlab.check.effects import EFFECTS
from cnnlab.check.errors import TRANSLATIONS, translated
from cnnlab.check.fixtures import CamNet, TinyNet, WindowNet, noise, uniform

ROOT = Path(__file__).resolve().parents[2]


def right(image, model):
    leaf = image.detach().clone().requires_grad_()
    return torch.autograd.grad(model(leaf)[:, 1].sum(), leaf)[0].abs().amax(1)


def by_sum(image, model):
    return right_gradient(image, model).abs().sum(1)


def right_gradient(image, model):
    leaf = image.detach().clone().requires_grad_()
    return torch.autograd.grad(model(leaf)[:, 1].sum(), leaf)[0]


def right_square_gradient(image):
    leaf = image.detach().clone().requires_grad_()
    return torch.autograd.grad((leaf**2).sum(), leaf)[0]


@pytest.fixture
def exercise():
    """一道只在测试里存在的练习。"""
    yield Exercise(
        id="sample-1",
        name="sample",
        title="样本",
        level=2,
        stub="my_sample(image, model)",
        probes=(
            lambda: (noise((2, 3, 6, 5), 1), TinyNet()),
            lambda: (noise((1, 3, 5, 7), 2), TinyNet(seed=3)),
        ),
        answer="(N, H, W)，非负",
        idea="这里是想法。",
        where="这里是出处。",
        question="然后呢？",
        oracle=lambda image, model: right_gradient(image, model).abs().max(1).values,
        properties=((lambda out, image, model: (out >= 0).all(), "不该有负数。"),),
        laws=(
            (
                lambda call, image, model: torch.allclose(call(image, model), call(image, model)),
                "两次不同。",
            ),
        ),
        mistakes={
            "sum": (by_sum, "用了求和。", "求和的想法。", "求和的出处。"),
            "mean": (lambda x, m: right_gradient(x, m).abs().mean(1), "用了平均。"),
        },
    )
    session._states.pop("sample-1", None)


# 四种状态


def test_right_answer_passes_and_says_what_was_checked(exercise):
    report = exercise(right)
    assert report and report.state == "passed"
    assert repr(report).startswith("✅ 通过：sample-1 样本 ★★\n")
    assert "2 条性质" in repr(report) and "然后呢？" in repr(report)
    assert "[解答：sample-1](solutions/sample.ipynb)" in report._repr_markdown_()


def test_stub_is_unfinished(exercise):
    def my_sample(image, model):
        raise NotImplementedError("练习 sample-1")

    report = exercise(my_sample)
    assert not report and report._repr_markdown_().startswith("**⬜ 尚未完成**：`sample-1`")


def test_not_implemented_by_torch_is_an_error(exercise):
    assert exercise(lambda image, model: nn.Module()(image)).state == "error"


def test_error_shows_the_learners_line_only(exercise):
    def my_sample(image, model):
        return image @ image.sum()

    report = exercise(my_sample)
    assert report.state == "error"
    assert "出错的是 `my_sample`" in repr(report) and "image @ image.sum()" in repr(report)
    assert "Traceback" not in repr(report) and "core.py" not in repr(report)


def test_wrong_number_of_arguments_names_the_convention(exercise):
    assert "检查按位置传入 `(image, model)`" in repr(exercise(lambda image: image))


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (right(noise((2, 3, 6, 5), 1), TinyNet()), "不是函数"),
        (lambda x, m: None, "忘了 return"),
        (lambda x, m: "图", "类型是 str"),
        (lambda x, m: right_gradient(x, m), "形状是 (2, 3, 6, 5)"),
        (lambda x, m: right(x, m).half(), "数据类型是 float16"),
        (lambda x, m: right(x, m) / 0, "NaN 或无穷大"),
        (lambda x, m: right(x, m).requires_grad_(), "计算图"),
        (lambda x, m: -right(x, m), "不该有负数"),
        (lambda x, m: right(x, m) + torch.rand(()), "全局随机数"),
    ],
)
def test_first_fault_speaks(exercise, answer, text):
    report = exercise(answer)
    assert report.state == "wrong" and text in repr(report)


# 提示


def test_mistake_gets_its_own_hints_level_by_level(exercise):
    assert exercise(by_sum).lines == ("用了求和。", "下一级提示：`check.sample(my_sample, hint=2)`")
    assert exercise(by_sum, hint=2).lines[:2] == ("用了求和。", "求和的想法。")
    assert exercise(by_sum, hint=3).lines == ("用了求和。", "求和的想法。", "求和的出处。")


def test_missing_levels_fall_back_to_the_exercise(exercise):
    report = exercise(exercise.mistakes["mean"][0], hint=3)
    assert report.lines[0] == "用了平均。" and report.lines[1].startswith("只差一步：第 ")
    assert report.lines[2:] == ("这道题的想法：这里是想法。", "这里是出处。")


def test_second_hint_names_the_learners_own_line(exercise):
    def my_sample(image, model):
        return right_gradient(image, model).abs().mean(1)

    told = exercise(my_sample, hint=2).lines[1]
    assert "`return right_gradient(image, model).abs().mean(1)`" in told and "用错了一种" in told


def test_single_precision_is_taken_when_the_values_are_right(exercise):
    assert exercise(lambda x, m: right(x, m).float())
    assert exercise(lambda x, m: by_sum(x, m).float()).lines[0] == "用了求和。"


def test_unknown_mistake_gets_a_place_but_no_value(exercise):
    def my_sample(image, model):
        result = right(image, model)
        result[1, 2, 3] += 1
        return result

    report = exercise(my_sample)
    assert "(1, 2, 3)，共 1 处" in repr(report) and report.kind == "mistake"
    expected = right(noise((2, 3, 6, 5), 1), TinyNet())[1, 2, 3]
    assert f"{expected:.3g}" not in repr(report)


def test_unknown_hint_level_is_refused(exercise):
    with pytest.raises(ValueError, match="1、2 或 3"):
        exercise(right, hint=4)


# 副作用


def _leave_grad(x, m):
    x.requires_grad_()


def _leave_parameter_grad(x, m):
    m(x).sum().backward()


def _change_parameter(x, m):
    m.linear.bias.data += 1


def _leave_hook(x, m):
    m.conv1.register_forward_hook(lambda *a: None)


def _swap_module(x, m):
    m.relu1 = nn.Softplus().eval()


SIDE_EFFECTS = {
    "inputs": lambda x, m: x.mul_(2),
    "input_grad": _leave_grad,
    "parameters": _change_parameter,
    "parameter_grad": _leave_parameter_grad,
    "mode": lambda x, m: m.dropout.train(),
    "hooks": _leave_hook,
    "modules": _swap_module,
    "grad_mode": lambda x, m: torch.set_grad_enabled(False),
    "random": lambda x, m: numpy.random.rand(),
}


@pytest.mark.parametrize("key", EFFECTS)
def test_side_effect_is_caught_and_can_be_allowed(exercise, key):
    def my_sample(image, model):
        result = right(image, model)
        SIDE_EFFECTS[key](image, model)
        return result

    report = exercise(my_sample)
    assert report.lines[0] == EFFECTS[key][0]
    assert exercise.execute(my_sample, exercise.probes[0]).effects == (key,)
    assert dataclasses.replace(exercise, allow=(key,), laws=())(my_sample)


def test_check_leaves_no_trace(exercise, capsys):
    def my_sample(image, model):
        torch.manual_seed(99)
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        raise RuntimeError

    before = torch.get_rng_state(), torch.get_num_threads()
    exercise(my_sample)
    assert torch.equal(torch.get_rng_state(), before[0]) and torch.get_num_threads() == before[1]
    assert torch.is_grad_enabled() and torch.get_default_dtype() == torch.float32
    assert capsys.readouterr() == ("", "")


def test_report_is_the_same_every_time(exercise):
    message = "{} 在 /srv/course/notes.py \x1b[31m红\x1b[0m"

    def my_sample(image, model):
        raise RuntimeError(message.format(object()))

    first, second = exercise(my_sample, hint=2), exercise(my_sample, hint=2)
    assert first == second
    for forbidden in ("0x7", "/srv", "\x1b", "\\x1b[31m"):
        assert forbidden not in repr(first)


# 常见的 torch 错误


def _second_backward():
    total = (noise((2,)).requires_grad_() ** 2).sum()
    total.backward()
    total.backward()


def _in_place():
    hidden = noise((2,)).requires_grad_().exp()
    hidden.add_(1).sum().backward()


def _two_devices():
    # 没有 GPU 的机器造不出真的，照抄它的原话
    raise RuntimeError(
        "Expected all tensors to be on the same device, but found at least two devices"
    )


TORCH_ERRORS = {
    "反向传播了两次": _second_backward,
    "原地操作": _in_place,
    "求导的路断了": lambda: torch.autograd.grad(noise((2,)).sum(), noise((2,))),
    "一个标量": lambda: noise((2,)).requires_grad_().exp().backward(),
    "同一个设备": _two_devices,
    "数据类型不一致": lambda: TinyNet()(torch.zeros(1, 3, 6, 6)),
    "形状对不上": lambda: TinyNet()(noise((1, 4, 6, 6))),
    "先 detach()": lambda: noise((2,)).requires_grad_().numpy(),
    "结束整个程序": lambda: sys.exit(),
    "先拆开": lambda: (noise((2,)),) > 0,
    "有一个值是 None": lambda: noise((2,)) * noise((2,)).grad,
}


def test_every_translation_has_a_real_error():
    assert len(TORCH_ERRORS) == len(TRANSLATIONS)


@pytest.mark.parametrize("text", TORCH_ERRORS)
def test_torch_error_is_translated(text):
    with pytest.raises((Exception, SystemExit)) as caught:
        TORCH_ERRORS[text]()
    assert text in translated(caught.value)[0], str(caught.value)


def test_unknown_error_is_not_translated():
    assert translated(KeyError("层")) == ()


# 不是“一个函数对一个标准值”的练习


def test_properties_alone_can_decide(exercise):
    build = dataclasses.replace(
        exercise,
        probes=(lambda: (),),
        oracle=None,
        laws=(),
        mistakes={},
        properties=(
            (lambda out: out.shape == (3, 2), "要三个平面向量。"),
            (lambda out: (out.norm(dim=1) > 0).all(), "有一个是零。"),
        ),
    )
    assert build(lambda: torch.ones(3, 2))
    assert build(lambda: torch.zeros(3, 2)).lines[0] == "有一个是零。"
    report = build(lambda: 7)  # 性质算不出来：说返回的是什么，不说性质不成立
    assert report.kind == "form" and report.lines[0].startswith("返回的是一个 int，检查进行不下去")


def test_class_is_checked_through_run(exercise):
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(context, x):
            context.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(context, gradient):
            return 2 * context.saved_tensors[0] * gradient

    class Unfinished(Square):
        @staticmethod
        def forward(context, x):
            raise NotImplementedError

    def gradient(function, x):
        leaf = x.clone().requires_grad_()
        return torch.autograd.grad(function.apply(leaf).sum(), leaf)[0]

    rule = dataclasses.replace(
        exercise,
        probes=(lambda: (noise((2, 3), 5),),),
        run=gradient,
        oracle=type("Oracle", (), {"apply": staticmethod(lambda x: x**2)}),
        properties=(),
        laws=((lambda call, x: torch.allclose(call(2 * x), 2 * call(x)), "要成比例。"),),
        mistakes={},
    )
    assert rule(Square)
    assert rule(Unfinished).state == "todo"


def test_context_manager_is_checked_through_run(exercise):
    @contextlib.contextmanager
    def my_training(model):
        model.train()
        yield

    def use(manager, image, model):
        with manager(model):
            return model.training

    holder = dataclasses.replace(
        exercise, run=use, oracle=None, properties=((lambda out, *_: out, "没有切换。"),), laws=()
    )
    assert holder(my_training).lines[0] == EFFECTS["mode"][0]


def test_error_inside_a_law_belongs_to_the_learner(exercise):
    calls = []

    def my_sample(image, model):
        calls.append(1)
        if len(calls) > 1:
            raise KeyError("第二次")
        return right(image, model)

    assert exercise(my_sample).state == "error"


def test_complex_answers_compare_both_parts(exercise):
    spectrum = dataclasses.replace(
        exercise,
        probes=(lambda: (noise((4, 4), 5),),),
        oracle=torch.fft.fft2,
        properties=(),
        laws=(),
        mistakes={},
    )
    assert spectrum(lambda x: torch.fft.fft(torch.fft.fft(x, dim=0), dim=1))
    assert "第一处不同" in repr(spectrum(lambda x: torch.fft.fft2(x).conj().resolve_conj()))
    assert "NaN" in repr(spectrum(lambda x: torch.fft.fft2(x) * float("nan")))
    assert "meta 张量" in repr(spectrum(lambda x: torch.fft.fft2(x).to("meta")))


def test_network_moved_to_another_device_is_a_side_effect(exercise):
    def my_sample(image, model):
        result = right(image, model)
        model.to("meta")
        return result

    assert not exercise(my_sample)


def test_nested_answers(exercise):
    pair = dataclasses.replace(
        exercise,
        probes=(lambda: (noise((2, 3), 5),),),
        oracle=lambda x: {"sum": float(x.sum()), "parts": [x + 1, (3, "甲")]},
        properties=(),
        laws=(),
        mistakes={},
    )
    assert pair(lambda x: {"sum": x.sum(), "parts": (x + 1, [3, "甲"])})
    assert "键" in repr(pair(lambda x: {"total": x.sum(), "parts": (x + 1, [3, "甲"])}))
    assert "'parts'" in repr(pair(lambda x: {"sum": x.sum(), "parts": (x + 2, [3, "甲"])}))
    assert "个数" in repr(pair(lambda x: {"sum": x.sum(), "parts": (x + 1,)}))


# 进度、解答、谁的函数


@pytest.fixture
def progress_file(monkeypatch, tmp_path):
    """一个干净的会话和一个还不存在的文件夹里的进度文件。"""
    monkeypatch.setattr(session, "_states", {})
    monkeypatch.setattr(session, "_photo", [None])
    path = tmp_path / "新文件夹" / "progress.json"
    monkeypatch.setenv("CNNLAB_PROGRESS", str(path))
    return path


def unsolved(image):
    raise NotImplementedError


def test_progress_keeps_the_best_state_with_its_date(progress_file, monkeypatch):
    check.square_gradient(right_square_gradient)
    check.square_gradient(unsolved)
    kept = json.loads(progress_file.read_text(encoding="utf-8"))["exercises"]["getting_started-2"]
    assert kept["state"] == "passed" and len(kept["date"]) == 10
    monkeypatch.setattr(session, "_states", {})
    listed = check.progress("getting_started")._repr_markdown_()
    assert "✅ 通过　getting_started-2" in listed and kept["date"] in listed


def test_progress_of_the_book_is_a_table_with_stars(progress_file):
    check.square_gradient(right_square_gradient)
    table = repr(check.progress())
    assert table.startswith("练习进度：1 / 83，1 / ") and "⬜✅⬜⬜　getting_started" in table
    assert "getting_started-1" in repr(check.next())
    assert "texture-1" in repr(check.next("texture"))
    with pytest.raises(ValueError, match="没有叫 '甲' 的章"):
        check.next("甲")


def test_the_next_exercise_is_sought_from_the_chapter_on_and_then_from_the_front(progress_file):
    check.square_gradient(right_square_gradient)
    assert "getting_started-1" in repr(check.next("getting_started"))
    session.record("getting_started-1", "passed")
    session.record("getting_started-3", "passed")
    session.record("getting_started-4", "passed")
    assert "first_layer-1" in repr(check.next("getting_started"))
    for item in check.exercises("fast_style"):
        session.record(item.id, "passed")
    assert "first_layer-1" in repr(check.next("fast_style"))


def test_broken_progress_file_stops_nothing(progress_file):
    progress_file.parent.mkdir()
    for text in (
        "\xff 不是 JSON",
        "[1]",
        '{"exercises": {"getting_started-2": 3}}',
        '{"photo": 5}',
    ):
        progress_file.write_text(text, encoding="utf-8")
        assert check.square_gradient(right_square_gradient)
        assert "✅ 通过　getting_started-2" in repr(check.progress("getting_started"))
    progress_file.unlink()
    progress_file.mkdir()  # 写不进去
    assert check.square_gradient(right_square_gradient) and check.progress()


def test_the_photo_is_remembered(progress_file, monkeypatch, tmp_path):
    from PIL import Image

    Image.new("RGB", (30, 20), (200, 10, 10)).save(tmp_path / "我的.png")
    check.photo(tmp_path / "我的.png")
    monkeypatch.setattr(session, "_photo", [None])
    assert check.photo(size=32).shape == (1, 3, 32, 32) and check.photo()[0, 0].mean() > 0.7


@pytest.mark.parametrize("name", ["CI", "PYTEST_VERSION", "CNNLAB_BARS"])
def test_nothing_is_written_when_building_or_testing(monkeypatch, name):
    for each in ("CNNLAB_PROGRESS", "CI", "PYTEST_VERSION", "PYTEST_CURRENT_TEST", "CNNLAB_BARS"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setitem(sys.modules, "ipykernel", object())
    assert notebook_file.place().name == "progress.json"
    monkeypatch.setenv(name, "0")
    assert notebook_file.place() is None
    monkeypatch.setenv("CNNLAB_PROGRESS", "off")
    assert notebook_file.place() is None


def test_show_links_the_solution_and_names_the_nearest():
    assert "(solutions/getting_started.ipynb)" in check.show("getting_started-2")._repr_markdown_()
    with pytest.raises(ValueError, match="getting_started-2"):
        check.show("geting_started-2")
    with pytest.raises(ValueError, match="getting_started"):
        check.progress("geting_started")


def test_or_else_uses_mine_only_when_it_passes():
    def my_square_gradient(image):
        return right_square_gradient(image)

    def ours(image):
        return image * 2

    mine = check.or_else(my_square_gradient, ours)
    assert mine.function is my_square_gradient and "你的" in repr(mine)

    def my_square_gradient(image):
        raise NotImplementedError

    chosen = check.or_else(my_square_gradient, ours)
    assert chosen.function is ours and "本书的写法" in repr(chosen)
    assert chosen(torch.ones(2)).tolist() == [2, 2]
    with pytest.raises(ValueError, match="函数名"):
        check.or_else(ours, ours)


# 包


def _fake_package(tmp_path: Path, **modules: str) -> dict[str, str]:
    """只有检查器、它用的 core 和几个假章的包，给子进程用。"""
    home = tmp_path / "cnnlab" / "check"
    home.mkdir(parents=True)
    (tmp_path / "cnnlab" / "__init__.py").write_text("")
    shutil.copytree(ROOT / "cnnlab" / "core", tmp_path / "cnnlab" / "core")
    chapters = {item.slug for item in check.exercises()}
    for source in (ROOT / "cnnlab" / "check").glob("*.py"):
        if source.stem not in chapters:
            shutil.copy(source, home)
    for name, exercise in modules.items():
        text = (
            "from cnnlab.check.core import Exercise\n"
            "def make(id, name):\n"
            "    return Exercise(id=id, name=name, title='', level=1, stub='f()', probes=(),\n"
            "                    answer='', idea='', where='', question='')\n"
        )
        (home / f"{name}.py").write_text(text + exercise)
    return dict(os.environ, PYTHONPATH=str(tmp_path))


def _python(program: str, environment: dict[str, str]) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=environment,
        cwd=environment["PYTHONPATH"],
    )


def test_an_exercise_derives_from_its_reference():
    texts = dict.fromkeys(("answer", "idea", "where", "question"), "")

    @core.exercise("样本", level=1, probes=(), **texts)
    def doubled(image, factor):
        return 2 * image

    assert (doubled.id, doubled.name) == ("test_check-1", "doubled")
    assert doubled.stub == "my_doubled(image, factor)" and doubled.function_name == "my_doubled"
    assert doubled.oracle(3, None) == 6

    @core.exercise("样本", level=1, probes=(), asked="your_way", open_ended=True, **texts)
    def free(seed): ...

    assert free.oracle is None and free.stub == "your_way(seed)"

    @core.exercise("样本", level=1, probes=(), asked="MyKind", **texts)
    class kind(torch.autograd.Function): ...

    assert kind.stub == kind.function_name == "MyKind" and kind.oracle is not None


def test_exercises_are_numbered_in_the_order_of_their_module():
    for slug in {item.slug for item in check.exercises()}:
        module = sys.modules[f"cnnlab.check.{slug}"]
        written = [value.id for value in vars(module).values() if isinstance(value, Exercise)]
        assert written == [f"{slug}-{number + 1}" for number in range(len(written))]


def test_exercise_wins_over_the_module_of_the_same_name(tmp_path):
    environment = _fake_package(
        tmp_path, zebra="zebra = make('zebra-1', 'zebra')\n", yak="horn = make('yak-1', 'horn')\n"
    )
    program = (
        "import cnnlab.check.zebra, cnnlab.check as check\n"
        "from cnnlab.check import zebra\n"
        "print(type(check.zebra).__name__, type(zebra).__name__, type(check.yak).__name__, check.horn.id)"
    )
    assert _python(program, environment).stdout.split() == [
        "Exercise",
        "Exercise",
        "module",
        "yak-1",
    ]


@pytest.mark.parametrize("name", ["horn", "progress"])
def test_names_that_clash_are_refused(tmp_path, name):
    environment = _fake_package(
        tmp_path,
        yak="horn = make('yak-1', 'horn')\n",
        zebra=f"{name} = make('zebra-1', {name!r})\n",
    )
    run = _python("import cnnlab.check", environment)
    assert run.returncode != 0 and name in run.stderr.splitlines()[-1]


def test_import_is_light():
    program = "import sys, {0}\nprint([name for name in ('torchvision', 'sklearn', 'matplotlib', 'scipy', 'ipywidgets') if name in sys.modules])"
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    assert _python(program.format("cnnlab.check"), environment).stdout.strip() == "[]"


# 共用的小网络


def test_fixtures_are_what_they_say():
    state = torch.get_rng_state()
    image = uniform((2, 3, 6, 8), 1)
    window = WindowNet()(image)
    by_hand = image[:, 1, 3, 5] + image[:, 1, 3, 6] + image[:, 1, 4, 5] + image[:, 1, 4, 6]
    assert torch.allclose(window, torch.stack([by_hand, -by_hand], 1))
    cam = CamNet()
    assert torch.equal(cam(image), cam.conv(image).clamp(min=0).mean((2, 3)))
    first, second = TinyNet(), TinyNet()
    assert torch.equal(first(image), second(image)) and not first.training
    assert torch.equal(torch.get_rng_state(), state) and image.dtype == torch.float64
    assert not torch.equal(first.train()(image), first(image))


def test_building_fixtures_leaves_the_random_state_alone():
    state = torch.get_rng_state()
    TinyNet(), CamNet(), WindowNet(), noise((2,)), uniform((2,))
    assert torch.equal(torch.get_rng_state(), state)


# 真内核


def test_reports_show_in_a_real_kernel():
    """一章的练习在真内核里：原样是 ⬜，填上解答是 ✅，都以 Markdown 显示。"""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    solved = json.loads((ROOT / "book/solutions/getting_started.ipynb").read_text(encoding="utf-8"))
    answers = [
        "".join(cell["source"])
        for cell in solved["cells"]
        if any(tag.startswith("exercise-") for tag in cell["metadata"].get("tags", ()))
    ]
    sources = ["import torch\nfrom cnnlab import check"]
    for exercise, answer in zip(check.exercises("getting_started"), answers, strict=True):
        call = f"check.{exercise.name}({exercise.function_name})"
        sources += [f"def {exercise.stub}:\n    raise NotImplementedError", call, answer, call]
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in sources]
    )
    nbclient.NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": str(ROOT)}}
    ).execute()
    shown = [
        cell.outputs[0]["data"]["text/markdown"][2:6] for cell in notebook.cells if cell.outputs
    ]
    assert shown == ["⬜ 尚未", "✅ 通过"] * 4


@pytest.mark.parametrize(
    ("folder", "solution", "chapter"),
    [
        (".", "solutions/", ""),
        ("practice", "../solutions/", ""),
        ("exam", "../solutions/", "../"),
        ("projects", "../solutions/", "../"),
        ("solutions", "../solutions/", "../"),
        ("solutions/exam", "../../solutions/", "../../"),
    ],
)
def test_links_are_found_from_every_folder_of_the_book(
    tmp_path, monkeypatch, progress_file, folder, solution, chapter
):
    (tmp_path / "solutions").mkdir()
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(tmp_path / folder)
    assert f"({solution}saliency.ipynb)" in check.exercises("saliency")[0].link
    assert f"({chapter}getting_started.ipynb)" in check.next()._repr_markdown_()


def test_a_pair_of_values_and_indices_is_called_by_its_name():
    report = check.saliency(lambda image, target, model: image.abs().max(1))
    assert report.kind == "form" and ".values" in report.lines[0]


def test_numpy_inside_a_differentiable_answer_is_not_told_to_detach():
    def squares(image):
        values = image.numpy()
        found = sum((numpy.diff(values, axis=axis) ** 2).sum((1, 2, 3)) for axis in (2, 3))
        return torch.from_numpy(found)

    report = check.variation(squares)
    assert report.kind == "property" and "先 detach()" not in repr(report)


def test_what_an_answer_prints_appears_once(capsys):
    def my_square_gradient(image):
        print("看一看")
        return 3 * image

    check.square_gradient(my_square_gradient)
    assert capsys.readouterr().out == "看一看\n"


def test_an_error_that_nobody_knows_still_has_hints():
    def my_gram(features):
        return {}["缺"]

    lines = check.gram(my_gram).lines
    assert lines[0].startswith("`KeyError") and lines[-1].endswith("hint=2)`")
    idea = f"这道题的想法：{check.gram.idea}"
    assert idea in check.gram(my_gram, hint=2).lines
    assert check.gram(my_gram, hint=3).lines[-2:] == (idea, check.gram.where)


def test_a_tuple_compared_with_a_number_is_explained():
    class MyGuidedReLU(torch.autograd.Function):
        @staticmethod
        def forward(context, value):
            context.save_for_backward(value)
            return value.clamp(min=0)

        @staticmethod
        def backward(context, gradient):
            return gradient.clamp(min=0) * (context.saved_tensors > 0)

    assert "先拆开" in check.autograd_rule(MyGuidedReLU).lines[2]
