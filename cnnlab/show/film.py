"""会动的一段画面：嵌在页面里的 WebP 动画，不用脚本。

不管帧怎样来；存成文件用 cnnlab.save_animation。
"""

import html
import io
from collections.abc import Sequence

from torch import Tensor

from cnnlab.core.arguments import checked
from cnnlab.core.images import to_pil
from cnnlab.show.frames import webp_uri


class Film:
    """show_film 的结果：`data` 是 WebP 的字节；显示为一张会动的图，下面是图注。"""

    def __init__(self, data: bytes, size: tuple[int, int], caption: str, alt: str):
        self.data, self.size, self.caption, self.alt = data, size, caption, alt

    def __repr__(self) -> str:
        return f"动画：{self.alt}"

    def _repr_html_(self) -> str:
        source = webp_uri(self.data)
        alt, caption = html.escape(self.alt), html.escape(self.caption)
        width, height = self.size
        return (
            f'<figure><img src="{source}" alt="{alt}" width="{width}" height="{height}" '
            f'style="max-width: 100%; height: auto"><figcaption>{caption}</figcaption></figure>'
        )


@checked
def show_film(
    frames: Sequence[Tensor], *, seconds: float = 0.25, caption: str = "", alt: str = ""
) -> Film:
    """把若干帧（(N, 3, H, W)，或 (3, H, W) 的列表）连成一段循环播放的画面，每帧 `seconds` 秒。

    caption 是图注，alt 是替代文字（不给就用图注）。
    """
    if len(frames) < 2:
        raise ValueError(f"动画至少要两帧，得到 {len(frames)} 帧")
    pictures = [to_pil(frame[None]) for frame in frames]
    buffer, shown = io.BytesIO(), round(1000 * seconds)
    pictures[0].save(
        buffer,
        "WEBP",
        save_all=True,
        append_images=pictures[1:],
        duration=shown,
        loop=0,
        quality=70,
    )
    return Film(buffer.getvalue(), pictures[0].size, caption, alt or caption)
