"""One command downloads, converts and opens: room is checked first, a kill costs little, nothing half-made is opened."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qinsight.engines.checkpoint import PREVIEW, locate
from qinsight.engines.convert import SETTINGS, convert, converted_size
from qinsight.engines.convert_settings import read_config
from qinsight.engines.gguf_header import Type
from qinsight.engines.ready import ready
from qinsight.errors import EngineError
from shared import places
from shared.hub import REPOSITORY, Hub, hub_of

pytest.importorskip("gguf")
pytest.importorskip("xllamacpp")


@pytest.fixture
def hub(official: Path) -> Iterator[Hub]:
    with hub_of(official) as found:
        yield found


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "qinsight" / "gguf"


def asked(photo: Path, home: Path, hub: Hub, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "qinsight", "score", str(photo), "--json", "--max-new-tokens", "48"]
    return run([*command, *flags], home, hub)


def run(command: list[str], home: Path, hub: Hub) -> subprocess.CompletedProcess[str]:
    told = {"env": hub.environment(home), "cwd": places.REPOSITORY, "check": False}
    return subprocess.run(command, **told, capture_output=True, text=True)


def test_one_flag_downloads_converts_and_answers_and_the_next_start_needs_no_network(
    hub: Hub, official: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    photo = official / "images" / "score.png"
    first = asked(photo, tmp_path, hub, "--convert", "f32")
    assert json.loads(first.stdout)["reply"] == expected["score"]["text"], first.stderr
    assert {Path(name).parent.name for name in hub.fetched} == {"score_degradation"}
    count, hub.address = len(hub.fetched), "http://127.0.0.1:9"
    again = asked(photo, tmp_path, hub, "--convert", "f32", "--model", REPOSITORY)
    assert json.loads(again.stdout)["reply"] == expected["score"]["text"], again.stderr
    assert len(hub.fetched) == count


KILLED = """
import os
from qinsight.engines.gguf_header import Type
from qinsight.engines.ready import ready

def told(words, done):
    if words.startswith("Converting") and done:
        os.kill(os.getpid(), 9)

ready("auto", Type.F32, told)
"""


def test_a_conversion_that_was_killed_is_not_opened_and_begins_again_without_a_download(
    hub: Hub, official: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    killed = run([sys.executable, "-c", KILLED], tmp_path, hub)
    assert killed.returncode == -9, killed.stderr
    assert len(list(tmp_path.rglob("model.gguf"))) == 1  # half of it, where nobody looks for it
    kept = tmp_path / "cache" / "qinsight" / "gguf"
    assert [place.name for place in kept.iterdir() if not place.name.startswith(".")] == []
    hub.fetched.clear()
    again = asked(official / "images" / "score.png", tmp_path, hub, "--convert", "f32")
    assert json.loads(again.stdout)["reply"] == expected["score"]["text"], again.stderr
    assert [name for name in hub.fetched if name.endswith(".safetensors")] == []
    assert [place.name for place in kept.iterdir()] == ["ByteDance--Q-Insight-f32"]


@pytest.mark.parametrize(
    ("lacking", "sentence"),
    [
        ("memory", "GB of free memory for ByteDance/Q-Insight/score_degradation in q4_0"),
        ("disk", "to download"),
    ],
)
def test_memory_and_disk_are_checked_before_any_weight_is_downloaded(
    hub: Hub, tmp_path: Path, lacking: str, sentence: str
) -> None:
    little = f"""
import shutil, sys, psutil
from collections import namedtuple
Free = namedtuple("Free", "available total used free")
if "{lacking}" == "memory":
    psutil.virtual_memory = lambda: Free(1e6, 8e9, 0, 1e6)
else:
    shutil.disk_usage = lambda place: Free(1e6, 8e9, 0, 1e6)
from qinsight.__main__ import main
sys.exit(main(["score", "examples/photos/cat.jpg", "--convert", "q4_0"]))
"""
    refused = run([sys.executable, "-c", little], tmp_path, hub)
    assert refused.returncode == 1
    assert sentence in refused.stderr
    assert "Traceback" not in refused.stderr
    assert [name for name in hub.fetched if name.endswith(".safetensors")] == []


def test_the_size_that_is_checked_is_that_of_the_files(tmp_path: Path) -> None:
    for number, kind in enumerate((Type.F32, Type.Q8_0, Type.Q4_0)):
        [folder] = convert("preview", tmp_path / str(number), kind)
        size = sum(file.stat().st_size for file in folder.glob("*.gguf"))
        told = converted_size(read_config(locate("preview").parts[""].fetch()), kind)
        assert size <= told <= size + SETTINGS


def test_weights_that_were_trained_on_are_converted_anew_and_the_older_copy_goes(
    cache: Path, tmp_path: Path
) -> None:
    model = tmp_path / "mine"
    shutil.copytree(PREVIEW, model)
    first = ready(str(model), Type.F16)
    assert ready(str(model), Type.F16) == first
    weights = model / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-2:] = b"\x00\x00"
    weights.write_bytes(content)
    second = ready(str(model), Type.F16)
    assert second != first
    assert list(cache.iterdir()) == [second]


def test_what_cannot_be_converted_is_one_sentence(cache: Path, tmp_path: Path) -> None:
    converted = ready("preview", Type.F16)
    (tmp_path / "empty").mkdir()
    for model, kind, sentence in (
        (str(converted), Type.F16, "is converted already"),
        (str(tmp_path / "empty"), Type.F16, "the folder is empty"),
        ("preview", Type.Q4_K_M, "llama.cpp's own quantiser"),
        ("nowhere", Type.F16, "found no folder nowhere"),
    ):
        with pytest.raises(EngineError, match=sentence):
            ready(model, kind)
