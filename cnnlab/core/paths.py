"""随包数据放在哪里：权重、照片和表都从这一个文件夹读。"""

from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "data"
