"""名字写错时的一句话：相近的在前，很多时只列一些，没有可用的也说得出。"""

from cnnlab.core.names import unknown


def test_near_names_come_first_and_the_rest_follow():
    error = unknown("风格", "wave", ["ink", "waves", "snow"], hint="，或给一张图")
    assert isinstance(error, ValueError)
    assert str(error) == "没有名为 'wave' 的风格；可用的有：waves、ink、snow，或给一张图"


def test_many_names_are_counted_and_none_is_said():
    many = str(unknown("照片", "fish99", [f"fish{index}" for index in range(200)]))
    assert many.count("、") == 23 and many.endswith("……共 200 个")
    assert "（一个也没有）" in str(unknown("网络", 3, []))
