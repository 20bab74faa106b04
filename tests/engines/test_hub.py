"""Downloads, from a hub of our own on this machine: the real client, the real command line, another address."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared import places
from shared.hub import REPOSITORY, Hub, hub_of


@pytest.fixture
def hub(official: Path) -> Iterator[Hub]:
    """A hub that has the fixture as ByteDance/Q-Insight."""
    with hub_of(official) as found:
        yield found


def scoring(model: str, photo: Path) -> list[str]:
    command = [sys.executable, "-m", "qinsight", "score", str(photo), "--json"]
    return [*command, "--model", model, "--device", "cpu", "--max-new-tokens", "48"]


def score(model: str, photo: Path, home: Path, hub: Hub) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        scoring(model, photo),
        env=hub.environment(home),
        cwd=places.REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


def test_published_weights_are_downloaded_once_and_only_the_part_that_is_asked(
    hub: Hub, official: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    photo = official / "images" / "score.png"
    first = score(REPOSITORY, photo, tmp_path, hub)
    assert json.loads(first.stdout)["reply"] == expected["score"]["text"], first.stderr
    assert {Path(name).parent.name for name in hub.fetched} == {"score_degradation"}
    count = len(hub.fetched)
    again = score(REPOSITORY, photo, tmp_path, hub)
    assert json.loads(again.stdout)["reply"] == expected["score"]["text"], again.stderr
    assert len(hub.fetched) == count
    hub.address = "http://127.0.0.1:9"
    without_network = score(REPOSITORY, photo, tmp_path, hub)
    assert json.loads(without_network.stdout)["reply"] == expected["score"]["text"], without_network.stderr
    assert len(hub.fetched) == count


@pytest.mark.parametrize(
    ("model", "reachable", "sentence"),
    [
        ("nobody/nothing", True, "there is none called nobody/nothing"),
        (REPOSITORY, False, "the hub cannot be reached"),
    ],
)
def test_a_download_that_is_impossible_is_one_sentence(
    hub: Hub, official: Path, tmp_path: Path, model: str, reachable: bool, sentence: str
) -> None:
    hub.address = hub.address if reachable else "http://127.0.0.1:9"
    result = score(model, official / "images" / "score.png", tmp_path, hub)
    assert result.returncode == 1
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


CHUNK = 10 << 20  # the hub's client hands over as many bytes at a time


def test_a_download_that_was_killed_goes_on_in_the_middle_of_a_file(tmp_path: Path) -> None:
    root, home = tmp_path / "hub", tmp_path / "home"
    (root / "score_degradation").mkdir(parents=True)
    (root / "score_degradation" / "config.json").write_text("{}")
    weights = root / "score_degradation" / "model.safetensors"
    weights.write_bytes(random.Random(1).randbytes(3 * CHUNK))
    fetch = f"from qinsight.engines.checkpoint import locate; print(locate({REPOSITORY!r}).parts['score_degradation'].folder())"
    command = [sys.executable, "-c", fetch]
    with hub_of(root) as hub:
        told = {"env": hub.environment(home), "cwd": places.REPOSITORY}
        hub.stall_after = 2 * CHUNK + 1
        with subprocess.Popen(command, **told) as killed:
            assert hub.stalled.acquire(timeout=60)
            while sum(part.stat().st_size for part in home.rglob("*.part")) < 2 * CHUNK:
                assert killed.poll() is None
                time.sleep(0.05)
            killed.kill()
        hub.stall_after, hub.ranges = None, []
        again = subprocess.run(command, **told, capture_output=True, text=True, check=True)
    assert hub.ranges == [("score_degradation/model.safetensors", 2 * CHUNK)]
    came = Path(again.stdout.strip()) / "model.safetensors"
    assert came.read_bytes() == weights.read_bytes()
    assert list(home.rglob("*.part")) == []


def test_a_file_that_comes_damaged_is_refused_and_brought_anew(
    hub: Hub, official: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    photo = official / "images" / "score.png"
    hub.damaged = True
    refused = score(REPOSITORY, photo, tmp_path, hub)
    assert refused.returncode == 1
    assert "came damaged" in refused.stderr
    assert "Traceback" not in refused.stderr
    hub.damaged = False
    again = score(REPOSITORY, photo, tmp_path, hub)
    assert json.loads(again.stdout)["reply"] == expected["score"]["text"], again.stderr
