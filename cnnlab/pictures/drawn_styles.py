"""风格画的名册，供风格迁移用：STYLES 把名字对到 draw(height, width, rng) -> (H, W, 3)。

不管怎么画，也不管张量；取用经 photos.style_image，同一个 seed 画出同一幅画。
"""

from cnnlab.pictures.ornaments import circles, golden_spirals, stained_glass, waves
from cnnlab.pictures.paintings import garden, ink_landscape, starry_night, woodcut

STYLES = {
    "waves": waves,
    "starry_night": starry_night,
    "stained_glass": stained_glass,
    "woodcut": woodcut,
    "ink_landscape": ink_landscape,
    "circles": circles,
    "golden_spirals": golden_spirals,
    "garden": garden,
}
