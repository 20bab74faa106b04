"""What several test files share: the fixture model, loaded once, and an engine that says what it is told."""

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from PIL import Image

from qinsight.engines.server_link import KEY_VARIABLES
from qinsight.prompts import Task
from qinsight.requests import About, Delta, Finish, Request, Sampling

OFFICIAL = Path(__file__).parent / "fixtures" / "official_layout"


class ScriptedEngine:
    """An `Engine` that gives each request its script, one piece at a time, all requests side by side.

    A script is a list of pieces: words, or whole `Delta`s. The last piece of words ends the reply with
    `finish`. `asked` and `closed` tell what was done with it.
    """

    def __init__(self, *scripts: Sequence[str | Delta], finish: Finish = Finish.STOP) -> None:
        self.scripts = scripts
        self.finish = finish
        self.asked: list[tuple[list[Request], Sampling, int | None]] = []
        self.closed = 0

    @property
    def about(self) -> About:
        return About("scripted", frozenset(Task), "fp32", "cpu")

    def stream(
        self,
        requests: Sequence[Request],
        sampling: Sampling = Sampling(),  # noqa: B008 (frozen)
        *,
        max_pixels: int | None = None,
        stop: threading.Event | None = None,
        watched: bool = True,
    ) -> Iterator[Delta]:
        self.asked.append((list(requests), sampling, max_pixels))
        longest = max(len(script) for script in self.scripts)
        try:
            for place in range(longest):
                for number in range(len(requests)):
                    script = self.scripts[number % len(self.scripts)]
                    if place < len(script):
                        yield self._delta(number, script, place)
        finally:
            self.closed += 1

    def _delta(self, number: int, script: Sequence[str | Delta], place: int) -> Delta:
        piece = script[place]
        if isinstance(piece, Delta):
            return piece
        return Delta(number, piece, finish=self.finish if place == len(script) - 1 else None)


@pytest.fixture(scope="session")
def official() -> Path:
    """The fixture model in the published layout; see shared/fixtures/README.md."""
    return OFFICIAL


@pytest.fixture(scope="session")
def expected() -> dict[str, Any]:
    """What the published demo scripts give for the fixture model."""
    found: dict[str, Any] = json.loads((OFFICIAL / "expected.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="session")
def picture() -> Callable[[str], Image.Image]:
    """The fixture photos by name: score, dist, ref, a, b."""

    def open_rgb(name: str) -> Image.Image:
        return Image.open(OFFICIAL / "images" / f"{name}.png").convert("RGB")

    return open_rgb


@pytest.fixture(scope="session")
def fixture_requests(picture: Callable[[str], Image.Image]) -> dict[str, Request]:
    """The questions of the published demo scripts, by their names in expected.json."""
    return {
        "score": Request(Task.SCORE, (picture("score"),)),
        "dist": Request(Task.DEGRADATION, (picture("dist"),)),
        "comparison": Request(Task.COMPARISON, (picture("ref"), picture("a"), picture("b")), reference=True),
    }


@pytest.fixture(scope="session")
def engine() -> Any:
    """The fixture model, loaded once, in float32 on the CPU."""
    import torch

    from qinsight.engines.checkpoint import Device, Precision
    from qinsight.engines.local import LocalEngine

    torch.set_num_threads(1)
    return LocalEngine.open(str(OFFICIAL), Device.CPU, Precision.FP32)


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """A copy of one fixture checkpoint, to be broken."""
    return Path(shutil.copytree(OFFICIAL / "score_degradation", tmp_path / "checkpoint"))


@pytest.fixture
def no_key_and_no_thread_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in KEY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before and thread.is_alive()]
    assert left == []
