"""内置照片里的脸：手工标的方框与说法。

只读表；照片本身见 photos。
"""

import csv
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from cnnlab.core.names import unknown
from cnnlab.core.paths import DATA

FACES = DATA / "photo_faces.csv"
VIEWS = ("frontal", "profile", "none", "doubtful")


@dataclass(frozen=True)
class FaceLabels:
    """内置照片的手工标注，次序同 `photos()`：views 是每张的一种说法，boxes 是 {照片名: 脸的方框}。

    frontal：有朝向镜头的脸；profile：只有侧面的头（鱼都在内）；none：没有；doubtful：说不准。
    方框 (top, left, bottom, right) 按 photos(size=224) 的像素，末端不含。
    """

    names: tuple[str, ...]
    views: tuple[str, ...]
    boxes: dict[str, list[tuple[int, int, int, int]]]

    def where(self, view: str) -> Tensor:
        """属于这种说法的照片：布尔的 (N,)。"""
        if view not in VIEWS:
            raise unknown("说法", view, VIEWS)
        return torch.tensor([one == view for one in self.views])

    def masks(self, size: int = 224) -> Tensor:
        """有脸的照片（次序同 `where("frontal")`）的脸的掩码：布尔的 (n, size, size)。"""
        masks = torch.zeros(len(self.boxes), size, size, dtype=torch.bool)
        for mask, boxes in zip(masks, self.boxes.values(), strict=True):
            for box in boxes:
                top, left, bottom, right = (round(edge * size / 224) for edge in box)
                mask[top:bottom, left:right] = True
        return masks


@lru_cache(maxsize=1)
def face_labels() -> FaceLabels:
    """215 张内置照片里哪些有朝向镜头的脸：为本书看着照片手工标的，表在 data/photo_faces.csv。"""
    lines = FACES.read_text(encoding="utf-8").splitlines()
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    split = {row["name"]: row["face_boxes"].split(";") for row in rows if row["face_boxes"]}
    boxes = {
        name: [tuple(map(int, box.split())) for box in listed] for name, listed in split.items()
    }
    return FaceLabels(tuple(row["name"] for row in rows), tuple(row["view"] for row in rows), boxes)
