"""Large files of the hub, brought so that a command that was killed goes on in the middle of one.

`huggingface_hub` 2.4 begins such a file anew, and brings all shards of a model at once: whoever is interrupted before
the first of them is whole has nothing. Here what came is kept beside its place in the hub's cache, where
`snapshot_download` finds the file once it is whole.
"""

import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from qinsight.errors import EngineError
from qinsight.whole_files import hold

LARGE = 1 << 17  # bytes; of smaller files nothing is gained
AT_ONCE = 4  # files: the published weights have four
SHA256 = 64  # letters of the name that the hub gives a large file: the hash of its content


@dataclass(frozen=True)
class Large:
    """A file of the hub, and where it belongs in the cache."""

    model: str
    name: str
    url: str
    size: int
    place: Path

    @property
    def part(self) -> Path:
        return self.place.with_name(f"{self.place.name}.part")

    @property
    def come(self) -> int:
        """Bytes that an earlier command has brought."""
        return self.part.stat().st_size if self.part.exists() else 0


def large_files(model: str, planned: Sequence[Any]) -> list[Large]:
    """Those of what `snapshot_download` plans that are worth it."""
    wanted = [file for file in planned if file.will_download and (file.file_size or 0) >= LARGE]
    return [_large(model, file) for file in wanted]


def _large(model: str, file: Any) -> Large:
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(model, file.filename, revision=file.commit_hash)
    blobs = Path(constants.HF_HUB_CACHE) / f"models--{model.replace('/', '--')}" / "blobs"
    return Large(model, file.filename, url, file.file_size, blobs / str(get_hf_file_metadata(url).etag))


def fetch(files: Sequence[Large], told: Callable[[int], None]) -> None:
    """Bring the files, several at a time; `told` hears of bytes, those first that are there already."""
    ended = threading.Event()

    def counted(size: int) -> None:
        if ended.is_set():
            raise EngineError("The download was ended.")
        told(size)

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="qinsight-fetch") as pool:
        try:
            for done in [pool.submit(_fetch, file, counted) for file in files]:
                done.result()
        finally:
            ended.set()  # Ctrl-C, or one that failed: what the others have is kept


def _fetch(file: Large, counted: Callable[[int], None]) -> None:
    file.place.parent.mkdir(parents=True, exist_ok=True)
    with file.part.open("a+b") as part:
        if not hold(part) or file.place.exists():  # another command brings it, or has
            return
        _bring(file, part, counted)
    if _is_whole(file):
        file.part.replace(file.place)
        return
    file.part.unlink()
    raise EngineError(
        "The file {file} of {model} came damaged. Start once more: it is downloaded anew.",
        file=file.name,
        model=file.model,
    )


def _bring(file: Large, part: BinaryIO, counted: Callable[[int], None]) -> None:
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    come = min(part.seek(0, 2), file.size)
    part.truncate(come)
    part.seek(come)
    counted(come)
    http_get(
        file.url,
        part,
        resume_size=come,
        headers=build_hf_headers(),
        expected_size=file.size,
        tqdm_class=_silent_bar(counted),
    )


def _is_whole(file: Large) -> bool:
    """Whether the content is what the hub calls it."""
    if len(file.place.name) != SHA256:
        return file.come == file.size
    with file.part.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest() == file.place.name


def _silent_bar(counted: Callable[[int], None]) -> type:
    from tqdm import tqdm

    class Bar(tqdm):
        """Shows nothing, and tells of bytes."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(disable=True)

        def update(self, n: float | None = 1) -> bool | None:
            counted(int(n or 0))
            return None

    return Bar
