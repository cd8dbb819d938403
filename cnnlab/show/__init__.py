"""呈现：画图、表、滑块、账本、神经元的卡片、体检。"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, ["claims", "doctor", "mine", "plotting", "widgets"]
)
