"""nbval 运行各章时的设置：快速档，等一格的输出久一点。"""

import os

os.environ.setdefault("CNNLAB_PROFILE", "quick")
os.environ.setdefault("CNNLAB_BARS", "0")

try:
    from nbval.plugin import IPyNbCell
except ImportError:
    pass
else:
    # nbval 等一格的输出最多 5 秒，机器忙时不够
    _original_init = IPyNbCell.__init__

    def _patient_init(self, *args, **kwargs):
        _original_init(self, *args, **kwargs)
        self.output_timeout = 60

    IPyNbCell.__init__ = _patient_init
