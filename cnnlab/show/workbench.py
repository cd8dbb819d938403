"""工作台：一块面板里换照片、网络、方法和它的参数，可以两种方法并排，留下每次运行的代码。

每种方法就是一块 explore 的面板；这里只管换哪一块、照片怎样同步、历史怎样记。
"""

from __future__ import annotations

import html

import ipywidgets

from cnnlab.core.arguments import checked
from cnnlab.core.hooks import named_layers
from cnnlab.show.controls import ROLES, categories_of, make_controls
from cnnlab.show.layers import spread_layers
from cnnlab.show.panel import Panel

LAYERS = ["fire5", "conv1", "relu1", "fire2", "fire3", "fire4", "fire6", "fire7", "fire8", "fire9"]
PHOTO = {"photo": "panda"}
BOTH = {**PHOTO, "category": "大熊猫"}
# 方法 -> (函数的名字, 它的控件)；照片排在最前
METHODS = {
    "显著图": ("saliency_map", BOTH | {"reduce": ["max", "sum"]}),
    "遮挡": (
        "occlusion_map",
        BOTH
        | {
            "window": (16, 96, 8),
            "stride": (8, 48, 8),
            "fill": ["mean", "grey", "black", "white"],
            "output": ["score", "probability"],
        },
    ),
    "平滑梯度": ("smooth_grad", BOTH | {"samples": (4, 64, 4), "noise": (0.0, 0.4)}),
    "积分梯度": ("integrated_gradients", BOTH | {"steps": (2, 64, 2)}),
    "类激活图": ("class_activation_map", BOTH),
    "Grad-CAM": ("grad_cam", BOTH | {"layer": LAYERS[::-1]}),
    "三条 ReLU 规则": ("ruled_gradient", BOTH | {"rule": ["guided", "deconvnet", "plain"]}),
    "神经元的引导式梯度": ("guided_gradient", PHOTO | {"layer": LAYERS, "channel": 12}),
    "DeepDream": ("dream", PHOTO | {"layer": LAYERS[::-1], "octaves": (1, 6), "steps": (2, 30, 2)}),
    "特征反演": ("invert_features", PHOTO | {"layer": LAYERS, "steps": (20, 200, 20)}),
    "合成一个类": (
        "class_image",
        {
            "category": "大熊猫",
            "size": [96, 128, 192],
            "steps": (16, 256, 16),
            "crop": (0.0, 0.9),
            "seed": (0, 9),
        },
    ),
    "合成一个通道": (
        "channel_image",
        {"layer": LAYERS, "channel": 12, "size": [96, 128], "steps": (16, 128, 16)},
    ),
}


def suited(methods: dict, model, size: int) -> dict:
    """各种方法的控件，换成这个网络有的层和类别：没有 LAYERS 的换成它自己的几层，没有大熊猫的从 0 号类起。"""
    names = categories_of({"model": model})
    known = names is not None and {"大熊猫", "giant panda"} & {*names, *(names.chinese or ())}
    changes = {} if known else {"category": 0}
    if not set(LAYERS) <= set(named_layers(model)):
        changes["layer"] = spread_layers(model, size)[::-1]
        changes["channel"] = 0
    return {
        method: (function, {name: changes.get(name, given) for name, given in controls.items()})
        for method, (function, controls) in methods.items()
    }


class Workbench:
    """`workbench()` 的结果：`widget` 是控件，`history` 是每次运行的代码，新的在前。"""

    def __init__(self, model, size: int, methods: dict):
        self.model, self.size, self.methods = model, size, methods
        self.panels, self.history, self.shared = {}, [], {}
        # 只有一种方法时，两边都是它
        self.places = [self._place(method) for method in (list(methods) * 2)[:2]]
        self.beside = ipywidgets.Checkbox(value=False, description="两种并排", indent=False)
        self.slots = ipywidgets.HBox(layout={"flex_flow": "row wrap"})
        self.lines = ipywidgets.HTML()
        self.widget = ipywidgets.VBox([self.beside, self.slots, self.lines])
        self.beside.observe(self._arrange, "value")
        self._arrange()

    def _place(self, method: str):
        """一个位置：选方法的菜单，下面是那种方法的面板。"""
        menu = ipywidgets.Dropdown(options=list(self.methods), value=method, description="方法")
        place = ipywidgets.VBox([menu])
        menu.observe(lambda change: self._fill(place), "value")
        return place

    def _arrange(self, _=None) -> None:
        shown = self.places if self.beside.value else self.places[:1]
        for place in shown:
            place.layout = {"width": "49%" if len(shown) > 1 else "100%", "min_width": "22em"}
        self.slots.children = shown
        for place in shown:
            self._fill(place)

    def _fill(self, place) -> None:
        """摆上这种方法的面板；收起来的面板不跟着照片重算。"""
        menu = place.children[0]
        panel = self.panel(menu.value, self.places.index(place))
        place.children = [menu, panel.widget]
        shown = [each.children[1] for each in self.slots.children if len(each.children) > 1]
        for each in self.panels.values():
            each.asleep = each.widget not in shown
        panel.wake()

    def panel(self, method: str, place: int = 0) -> Panel:
        """一个位置上一种方法的面板；第一次用到时才建。照片是大家的，类别是一边的。"""
        import cnnlab

        if (method, place) not in self.panels:
            name, controls = self.methods[method]
            function = getattr(cnnlab, name, None)
            if function is None:
                raise ValueError(f"方法“{method}”写的是 {name}，cnnlab 里没有这个函数")
            controls = {"model": self.model, **controls, **self._shared(controls, place)}
            number = self._seen if "photo" in controls and hasattr(self.model, "top") else None
            panel = Panel(function, controls, number=number, frames={}, size=self.size)
            self.panels[method, place] = panel
            panel.after = self._remember
            self._remember(panel)
        return self.panels[method, place]

    def _shared(self, controls: dict, place: int) -> dict:
        """换了方法也不变的控件：两边一张照片，每边一个类别；上传的照片因此到哪种方法都在。"""
        shared = {}
        for name, owner in (("photo", "两边"), ("category", place)):
            if name in controls:
                key = (name, owner, repr(controls[name]))
                if key not in self.shared:
                    given = {"model": self.model, name: controls[name]}
                    self.shared[key] = make_controls(given, lambda _: None, self.size)[name]
                shared[name] = self.shared[key]
        return shared

    def _seen(self, result, arguments: dict) -> str:
        """写在图旁边：网络把这张照片看成什么。"""
        image = next(arguments[role] for role in ROLES["photo"] if role in arguments)
        name, share = self.model.top(image, 1)[0][0]
        return f"网络认为照片是{name}，{share:.0%}"

    def _remember(self, panel: Panel) -> None:
        if panel.code and panel.code not in self.history[:1]:
            self.history.insert(0, panel.code)
        rows = "".join(f"<li><code>{html.escape(code)}</code></li>" for code in self.history[:20])
        self.lines.value = (
            f"<details><summary>运行过的 {len(self.history)} 次</summary><ol>{rows}</ol></details>"
        )

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.widget)

    def __repr__(self) -> str:
        return f"工作台：{'、'.join(self.methods)}"


@checked
def workbench(model=None, *, size: int = 160, methods: dict | None = None) -> Workbench:
    """工作台：选照片（可上传）、方法和参数，看结果和写出它的一行代码；可以两种方法并排看同一张照片。

    `model` 是用来看的网络，默认 SqueezeNet 1.1；`size` 是照片的边长。`methods` 是 {名字: (函数名, 控件)}，默认是书里的各种方法。
    返回 Workbench：`.widget` 是控件，`.history` 是运行过的代码，新的在前。
    """
    import cnnlab

    model = model or cnnlab.load_model()
    methods = suited(METHODS, model, size) if methods is None else methods
    if not methods:
        raise ValueError(
            'methods 是空的；写成 {名字: (函数名, 控件)}，如 {"显著图": ("saliency_map", {"photo": "panda"})}'
        )
    return Workbench(model, size, methods)
