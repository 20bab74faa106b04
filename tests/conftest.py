"""Fixtures of several rooms: the fixture model, loaded once, uploads of one's own, and a browser."""

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from PIL import Image

from qinsight.engines.server_link import KEY_VARIABLES
from qinsight.prompts import Task
from qinsight.requests import Request
from shared.pictures import photo_file
from shared.places import CHROMIUM, OFFICIAL


@pytest.fixture(scope="session")
def official() -> Path:
    """The fixture model in the published layout."""
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


@pytest.fixture
def uploads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder for uploads of the test's own."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")
    return tmp_path / "uploads"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page in a context of its own, ready for use."""
    contexts = []

    def open_page(url: str, **options: Any) -> Any:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.goto(url)
        page.wait_for_selector("#headline p:has-text('scripted')")
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A grey ramp in a file."""
    return Path(
        photo_file(tmp_path, "photo.png", Image.linear_gradient("L").resize((224, 168)).convert("RGB"))
    )
