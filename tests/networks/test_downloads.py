"""downloads：对着本机的小服务器检查下载、核对与报错。"""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import socket
import threading
from typing import ClassVar

import pytest
import torch

from cnnlab.networks import downloads
from cnnlab.networks.downloads import DownloadError, cache_directory, fetch, load_checkpoint


class Handler(http.server.SimpleHTTPRequestHandler):
    """普通的文件服务；路径含 truncated 时只发一半就断开，含 silent 时不答复。"""

    requests: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.requests.append(self.path)
        if "silent" in self.path:
            self.server.released.wait(5)
            return
        if "truncated" not in self.path:
            return super().do_GET()
        body = b"0123456789" * 100
        self.send_response(200)
        self.send_header("Content-Length", str(2 * len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """在 127.0.0.1 上提供 `tmp_path/www`，缓存目录在 `tmp_path/torch`。"""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(Handler, "requests", [])
    folder = tmp_path / "www"
    folder.mkdir()
    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        running.folder, running.released = folder, threading.Event()
        running.url = f"http://127.0.0.1:{running.server_address[1]}"
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.released.set()
        running.shutdown()
        thread.join()


def checkpoint_bytes(value: float = 1.0) -> bytes:
    buffer = io.BytesIO()
    torch.save({"weight": torch.full((3,), value)}, buffer)
    return buffer.getvalue()


def hashed_name(content: bytes, stem: str = "net") -> str:
    return f"{stem}-{hashlib.sha256(content).hexdigest()[:8]}.pth"


def publish(server, name: str, content: bytes) -> str:
    (server.folder / name).write_bytes(content)
    return f"{server.url}/{name}"


def assert_helpful(error: Exception, name: str, url: str) -> None:
    text = str(error)
    assert name in text and url in text
    assert str(cache_directory() / name) in text


def files_in_cache() -> list[str]:
    return sorted(path.name for path in cache_directory().glob("*"))


def test_a_good_file_is_downloaded_once_and_loads(server):
    content = checkpoint_bytes(2.5)
    url = publish(server, hashed_name(content), content)
    path = fetch(url)
    assert path.read_bytes() == content
    assert fetch(url) == path and len(Handler.requests) == 1
    assert load_checkpoint(path, url=url)["weight"].tolist() == [2.5] * 3
    assert files_in_cache() == [path.name]


def test_the_cache_is_the_one_of_torch_hub(server, tmp_path):
    assert cache_directory() == tmp_path / "torch" / "hub" / "checkpoints"


def test_a_wrong_hash_is_refused_and_leaves_nothing(server):
    name = "net-00000000.pth"
    url = publish(server, name, checkpoint_bytes())
    with pytest.raises(DownloadError, match="sha256 应以 00000000 开头") as caught:
        fetch(url, megabytes=12.5)
    assert_helpful(caught.value, name, url)
    assert "12.5 MB" in str(caught.value)
    assert files_in_cache() == []


def test_a_truncated_body_is_refused_and_leaves_nothing(server):
    url = f"{server.url}/truncated.pth"
    with pytest.raises(DownloadError, match="应有 2000 字节，实有 1000 字节") as caught:
        fetch(url)
    assert_helpful(caught.value, "truncated.pth", url)
    assert files_in_cache() == []


def test_a_missing_file_names_the_status(server):
    url = f"{server.url}/absent.pth"
    with pytest.raises(DownloadError, match="HTTP 404") as caught:
        fetch(url)
    assert_helpful(caught.value, "absent.pth", url)


def test_no_connection(server):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/net.pth"
    with pytest.raises(DownloadError, match="连不上服务器") as caught:
        fetch(url)
    assert_helpful(caught.value, "net.pth", url)
    assert files_in_cache() == []


def test_a_silent_server_times_out(server, monkeypatch):
    monkeypatch.setattr(downloads, "TIMEOUT_SECONDS", 0.2)
    with pytest.raises(DownloadError, match="超时"):
        fetch(f"{server.url}/silent.pth")


def test_an_interruption_leaves_no_partial_file(server, monkeypatch):
    def interrupted(url, target):
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(downloads, "_stream", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch(f"{server.url}/net.pth")
    assert files_in_cache() == []


def test_a_broken_cached_file_is_removed_and_then_fetched_again(server):
    content = checkpoint_bytes()
    name = hashed_name(content)
    url = publish(server, name, content)
    cached = cache_directory() / name
    cached.parent.mkdir(parents=True)
    cached.write_bytes(content[:-7])
    with pytest.raises(DownloadError, match="已从缓存中删除") as caught:
        fetch(url)
    assert_helpful(caught.value, name, url)
    assert Handler.requests == [] and not cached.exists()
    assert fetch(url).read_bytes() == content


def test_a_file_put_by_hand_needs_no_network(server):
    content = checkpoint_bytes()
    cached = cache_directory() / hashed_name(content)
    cached.parent.mkdir(parents=True)
    cached.write_bytes(content)
    assert fetch(f"http://127.0.0.1:9/{cached.name}") == cached


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", checkpoint_bytes()[:-40]])
def test_an_unreadable_checkpoint_is_removed(server, content):
    cached = cache_directory() / "net.pth"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(content)
    with pytest.raises(DownloadError, match="读不出来") as caught:
        load_checkpoint(cached, url="http://example.org/net.pth")
    assert_helpful(caught.value, "net.pth", "http://example.org/net.pth")
    assert not cached.exists()


def test_code_in_a_checkpoint_is_not_run(server, tmp_path):
    target = tmp_path / "elsewhere.pth"
    torch.save({"bad": functools.partial(print, "ran")}, target)
    with pytest.raises(DownloadError, match="没有删除"):
        load_checkpoint(target)
    assert target.exists()


def test_legacy_checkpoints_load(server, tmp_path):
    target = tmp_path / "old.pth.tar"
    torch.save(
        {"state_dict": {"module.w": torch.ones(2)}}, target, _use_new_zipfile_serialization=False
    )
    assert load_checkpoint(target)["state_dict"]["module.w"].tolist() == [1.0, 1.0]


def test_strings_written_by_python_2_load(server, tmp_path):
    target = tmp_path / "old.pth.tar"
    torch.save({"arch": "hello", "w": torch.ones(2)}, target, _use_new_zipfile_serialization=False)
    modern = b"X\x05\x00\x00\x00hello"
    content = target.read_bytes()
    assert content.count(modern) == 1
    target.write_bytes(content.replace(modern, b"U\x05h\xe9llo"))
    with pytest.raises(UnicodeDecodeError):
        torch.load(target, weights_only=True)
    loaded = load_checkpoint(target)
    assert loaded["arch"] == "h\u00e9llo" and loaded["w"].tolist() == [1.0, 1.0]
