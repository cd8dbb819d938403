"""网络的回答：一张照片一列，名字和概率都写在条上。"""

import pytest
import torch

from cnnlab.show.answers import show_answers


def test_one_column_a_photo():
    top = [("大熊猫 (giant panda)", 0.75), ("小熊猫 (lesser panda)", 0.25)]
    panels = show_answers(torch.rand(3, 3, 8, 8), [top] * 3, caption="三张")
    assert len(panels) == 6 and panels.figure.alt == "三张"
    below = panels[3]
    assert [text.get_text() for text in below.texts] == ["大熊猫", "0.75", "小熊猫", "0.25"]
    assert [bar.get_width() for bar in below.patches] == [0.75, 0.25]


def test_answers_of_another_number_of_photos_are_refused():
    with pytest.raises(ValueError, match="一一对应"):
        show_answers(torch.rand(2, 3, 8, 8), [[("猫", 1.0)]])
