"""取得网上的文件：下载到 torch.hub 的缓存目录，核对哈希与大小，坏文件删掉并说明。

不管文件里是什么网络或数据。
"""

from __future__ import annotations

import hashlib
import http.client
import os
import pickle
import re
import urllib.error
import urllib.parse
import urllib.request
import uuid
import warnings
from pathlib import Path

import torch

CHUNK = 1 << 20
TIMEOUT_SECONDS = 20


class DownloadError(OSError):
    """文件取不到或是坏的；文字里有原因、文件名、网址、大小和手动放置的位置。"""


def cache_directory() -> Path:
    """torch.hub 存放权重的目录（受 `TORCH_HOME` 影响）。"""
    return Path(torch.hub.get_dir()) / "checkpoints"


def fetch(url: str, *, megabytes: float | None = None) -> Path:
    """返回 `url` 在本地缓存里的路径；没有就下载，有就先核对再用。

    文件名里有 `-xxxxxxxx.` 的，sha256 要以它开头；`megabytes` 只用在说明里。取不到或核对不上时抛出 `DownloadError`。
    """
    path = cache_directory() / Path(urllib.parse.urlparse(url).path).name
    if not path.exists():
        _download(url, path, megabytes)
    elif _prefix_in_name(path) and (problem := _problem(path, _sha256(path), None)):
        raise discard(path, url, problem, megabytes=megabytes)
    return path


def load_checkpoint(
    path: str | Path, *, url: str | None = None, megabytes: float | None = None
) -> object:
    """读出 `torch.save` 存的内容，只允许张量和基本类型；读不出时删掉缓存里的这个文件并报错。"""
    path = Path(path)
    try:
        return _load(path)
    except FileNotFoundError:
        raise
    except (RuntimeError, EOFError, ValueError, KeyError, OSError, pickle.UnpicklingError) as error:
        reason = f"文件读不出来（{type(error).__name__}: {_first_line(error)}）"
        raise discard(path, url, reason, megabytes=megabytes) from error


def discard(
    path: Path, url: str | None, reason: str, *, megabytes: float | None = None
) -> DownloadError:
    """删掉缓存里的坏文件，返回（不抛出）说明原因的 `DownloadError`。"""
    removed = cache_directory().resolve() in path.resolve().parents
    if removed:
        path.unlink(missing_ok=True)
    action = "已从缓存中删除，再运行一次会重新下载" if removed else "它不在缓存目录里，所以没有删除"
    return _error(path, url, f"{reason}，{action}", megabytes)


def _load(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnicodeDecodeError:
        # Python 2 写的旧权重，字符串要按 latin1 解；torch 警告说这个参数无效，其实旧格式用得上
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True, encoding="latin1")


def _download(url: str, path: Path, megabytes: float | None) -> None:
    """下载到临时文件，核对之后才改名，因此中断时不会留下半个文件。"""
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        digest, announced = _stream(url, partial)
        if problem := _problem(partial, digest, announced):
            raise _error(path, url, f"下载到的文件不对：{problem}，已删除", megabytes)
        os.replace(partial, path)
    except DownloadError:
        raise
    except (OSError, http.client.HTTPException) as error:
        raise _error(path, url, f"下载失败：{_cause(error)}", megabytes) from error
    finally:
        partial.unlink(missing_ok=True)


def _stream(url: str, target: Path) -> tuple[str, int | None]:
    """把 `url` 的内容写进 `target`，返回 sha256 与服务器所报的字节数。"""
    from tqdm.auto import tqdm

    digest = hashlib.sha256()
    request = urllib.request.Request(url, headers={"User-Agent": "cnnlab"})
    with (
        urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response,
        open(target, "wb") as file,
    ):
        length = response.headers.get("Content-Length")
        announced = int(length) if length else None
        with tqdm(total=announced, unit="B", unit_scale=True, desc="下载", leave=False) as bar:
            while block := response.read(CHUNK):
                file.write(block)
                digest.update(block)
                bar.update(len(block))
    return digest.hexdigest(), announced


def _problem(path: Path, digest: str, size: int | None) -> str | None:
    """文件哪里不对；都对时是 None。"""
    actual, prefix = path.stat().st_size, _prefix_in_name(path)
    if size is not None and actual != size:
        return f"应有 {size} 字节，实有 {actual} 字节，文件不完整"
    if prefix and not digest.startswith(prefix):
        return f"sha256 应以 {prefix} 开头，实为 {digest[: len(prefix)]}，文件损坏"
    return None


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _prefix_in_name(path: Path) -> str | None:
    """torchvision 的文件名带着哈希的开头，例如 `resnet18-f37072fd.pth`。"""
    match = re.search(r"-([0-9a-f]{8,64})\.", path.name)
    return match.group(1) if match else None


def _cause(error: Exception) -> str:
    """用中文说出网络错误的种类。"""
    if isinstance(error, urllib.error.HTTPError):
        return f"服务器答复 HTTP {error.code}"
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return f"{TIMEOUT_SECONDS} 秒内没有答复（超时）"
    if isinstance(error, (urllib.error.URLError, ConnectionError, http.client.HTTPException)):
        return f"连不上服务器（{_first_line(reason)}）"
    return f"读写文件出错（{_first_line(reason)}）"


def _first_line(error: object) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160] or type(error).__name__


def _error(path: Path, url: str | None, reason: str, megabytes: float | None) -> DownloadError:
    """一段完整的说明：文件、原因、网址、大小、手动放置的位置。"""
    lines = [f"没能取得文件 {path.name}：{reason}。"]
    if url:
        amount = f"（约 {megabytes:g} MB）" if megabytes else ""
        lines.append(f"没有网络时可以在别处下载 {url}{amount}，")
        lines.append(f"放到 {path}，然后再运行一次。")
    return DownloadError("\n".join(lines))
