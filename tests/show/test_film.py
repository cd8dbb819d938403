"""动画：嵌在页面里，帧数与尺寸对，文字转义。"""

import io

import pytest
import torch
from PIL import Image

from cnnlab import show_film


def test_film_holds_every_frame_and_its_words():
    frames = torch.linspace(0, 1, 4).view(4, 1, 1, 1).expand(4, 3, 16, 24)
    film = show_film(frames, caption="由暗到亮 <1>", alt="四帧")
    with Image.open(io.BytesIO(film.data)) as picture:
        assert picture.n_frames == 4 and picture.size == (24, 16)
    page = film._repr_html_()
    assert 'alt="四帧"' in page and "由暗到亮 &lt;1&gt;" in page and "data:image/webp" in page


def test_one_frame_is_no_film():
    with pytest.raises(ValueError, match="两帧"):
        show_film(torch.zeros(1, 3, 8, 8))
