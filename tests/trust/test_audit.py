"""An audit finds what is rated upside down, counts per 1,000 with an interval, and goes on where it was killed."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qinsight.__main__ import main
from qinsight.engines.checkpoint import Device
from qinsight.engines.local import LocalEngine
from qinsight.engines.server import EndpointEngine
from qinsight.prompts import Order
from qinsight.trust import audit_command
from qinsight.trust.audit import MODEL, Tally, audit, questions, tallies
from qinsight.trust.harms import LADDERS, Ladder
from qinsight.trust.measures import measures
from shared.engines import PixelEngine
from shared.judges import Rater
from shared.preview_server import serving

EXAMPLES = Path(__file__).parents[2] / "examples" / "photos"
DARKNESS = {"darkness": LADDERS["darkness"]}


def texture(seed: int) -> Image.Image:
    dice = np.random.default_rng(seed)
    coarse = Image.fromarray(dice.integers(60, 200, (14, 14, 3), np.uint8))
    return coarse.resize((56, 56), Image.Resampling.BICUBIC)


@pytest.fixture
def photos(tmp_path: Path) -> dict[str, Path]:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(12):
        texture(seed).save(folder / f"{seed:02}.png")
    return {path.name: path for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("name", LADDERS)
def test_every_step_of_a_ladder_is_further_from_the_photo_than_the_one_before(name: str) -> None:
    with Image.open(EXAMPLES / "cat.jpg") as opened:
        photo = opened.convert("RGB").resize((224, 168), Image.Resampling.LANCZOS)
    ladder = LADDERS[name]
    first, *steps = ladder.pictures(photo)
    assert first is photo
    away = [np.abs(np.asarray(step, float) - np.asarray(photo, float)).mean() for step in steps]
    assert all(more > 1.1 * less for less, more in pairwise(away))
    assert [picture.tobytes() for picture in ladder.pictures(photo)] == [
        picture.tobytes() for picture in (first, *steps)
    ]


def test_a_planted_inversion_is_found_in_its_ladder(photos: dict[str, Path], tmp_path: Path) -> None:
    good = list(audit(Rater(), photos, tmp_path / "good", ladders=DARKNESS))
    bad = list(audit(Rater(inverted=True), photos, tmp_path / "bad", ladders=DARKNESS))
    right, wrong = (tallies(rated, DARKNESS)[MODEL]["darkness"] for rated in (good, bad))
    assert (right.inverted, right.pairs, right.too_few) == (0, 120, False)
    assert (wrong.inverted, wrong.pairs, wrong.too_few) == (120, 120, False)
    assert right.as_json()["interval_95"][1] < 300
    assert wrong.as_json()["interval_95"][0] > 700


def test_a_run_goes_on_where_it_was_killed_and_asks_anew_where_the_model_is_another(
    photos: dict[str, Path], tmp_path: Path
) -> None:
    first, out = Rater(), tmp_path / "out"
    begun = audit(first, photos, out, ladders=DARKNESS)
    for _ in range(5):
        next(begun)
    begun.close()
    second = Rater()
    rated = list(audit(second, photos, out, ladders=DARKNESS))
    assert [one.kept for one in rated] == [True] * 5 + [False] * 7
    assert second.questions == 7 * questions(1, DARKNESS)
    straight = list(audit(Rater(), photos, tmp_path / "straight", ladders=DARKNESS))
    assert tallies(rated, DARKNESS) == tallies(straight, DARKNESS)
    third = Rater()
    list(audit(third, photos, out, max_pixels=3136, ladders=DARKNESS))
    assert third.questions == 12 * questions(1, DARKNESS)


def test_ratings_that_are_the_same_are_said_apart_and_unreadable_ones_are_counted(
    photos: dict[str, Path], tmp_path: Path
) -> None:
    flat = {"nothing": Ladder((1, 2), lambda pixels, strength, dice: pixels)}
    same = tallies(list(audit(Rater(), photos, tmp_path / "same", ladders=flat)), flat)[MODEL]["nothing"]
    assert (same.inverted, same.tied, same.pairs) == (0, 36, 36)
    mumbling = Rater(mumbles=4 * questions(1, DARKNESS))
    found = tallies(list(audit(mumbling, photos, tmp_path / "hm", ladders=DARKNESS)), DARKNESS)
    assert (found[MODEL]["darkness"].pairs, found[MODEL]["darkness"].unread) == (40, 40)


def test_few_photos_are_said_to_be_too_few_and_how_many_would_do() -> None:
    few = Tally(((0, 0, 10),) * 3, steps=4)
    assert (few.too_few, few.photos_needed) == (True, 10)
    assert not Tally(((0, 0, 10),) * 10, steps=4).too_few
    split = Tally(((10, 0, 10), (0, 0, 10)) * 5, steps=4)  # the photos disagree: ten are not enough
    assert split.too_few
    assert split.photos_needed > 30
    assert Tally((), steps=4).share.value is None


def test_photos_that_depend_on_chance_alone_count_for_more_cases_than_those_that_do_not() -> None:
    spread = Tally(((1, 0, 10),) * 20, steps=4).share
    lumped = Tally(((10, 0, 10), (0, 0, 10), *[(0, 0, 10)] * 8) * 2, steps=4).share
    assert spread.value == lumped.value == pytest.approx(0.1)
    assert spread.high - spread.low < lumped.high - lumped.low


def test_plain_measures_stand_beside_the_model(photos: dict[str, Path], tmp_path: Path) -> None:
    beside = {"Laplacian variance": measures()["Laplacian variance"]}
    ladders = {name: LADDERS[name] for name in ("gaussian", "noise")}
    some = dict(list(photos.items())[:3])
    found = tallies(list(audit(Rater(), some, tmp_path / "out", beside=beside, ladders=ladders)), ladders)
    laplacian = found["Laplacian variance"]
    assert laplacian["gaussian"].inverted == 0
    assert laplacian["noise"].inverted == laplacian["noise"].pairs  # noise is sharp to it


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Rater:
    rater = Rater()
    monkeypatch.setattr(audit_command, "open_engine", lambda options, progress: rater)
    return rater


def test_the_command_audits_a_folder_writes_json_and_loses_nothing_to_a_broken_file(
    photos: dict[str, Path], tmp_path: Path, judged: Rater, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photos"
    (folder / "broken.jpg").write_bytes(b"no photo")
    given = ["audit", str(folder), "--out", str(tmp_path / "out"), "--most", "3", "--json"]
    assert main(given) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert told == json.loads((tmp_path / "out" / "audit.json").read_text())
    assert set(told["judges"][MODEL]) == set(LADDERS)
    assert (told["photos"], judged.questions) == (3, questions(3))
    assert told["judges"][MODEL]["darkness"] | {"interval_95": None} == {
        "photos": 3,
        "pairs": 30,
        "inverted": 0,
        "tied": 0,
        "unread": 0,
        "per_1000": 0.0,
        "interval_95": None,
        "too_few": True,
        "photos_needed": 10,
    }
    files = [str(folder / "00.png"), str(folder / "broken.jpg")]
    assert main(["audit", *files, "--out", str(tmp_path / "out")]) == 4
    said = capsys.readouterr()
    assert "broken.jpg: expected" in said.err
    assert "2 photos, 8 ladders of 4 steps: 66 questions" in said.err
    assert "too few photos to say: 1, about 10 would do" in said.out


def test_a_folder_that_is_not_there_and_a_model_that_does_not_rate_are_a_sentence_each(
    photos: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["audit", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]) == 1
    assert "there is no" in capsys.readouterr().err

    class Comparing(PixelEngine):
        @property
        def about(self) -> Any:
            from dataclasses import replace

            return replace(super().about, tasks=frozenset())

    monkeypatch.setattr(audit_command, "open_engine", lambda options, progress: Comparing())
    assert main(["audit", str(tmp_path / "photos"), "--out", str(tmp_path / "out")]) == 1
    assert "rates photos" in capsys.readouterr().err


def test_a_server_is_audited_as_what_it_serves_and_what_it_does_not_give_is_said(
    photos: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = LocalEngine.open("preview", Device.CPU)
    one = {"00.png": photos["00.png"]}
    (own,) = audit(engine, one, tmp_path / "own", ladders=DARKNESS)
    with serving(engine) as server:
        given = ["audit", str(photos["00.png"]), "--out", str(tmp_path / "out")]
        given += ["--endpoint", server.url, "--order", "photo_first"]
        assert main(given) == 0
        said = capsys.readouterr()
        assert "does not say its weights: audit.json is of what it serves as" in said.err
        assert "without odds" not in said.err
        told = json.loads((tmp_path / "out" / "audit.json").read_text())
        assert (told["weights"], told["written_ratings"]) == (None, 0)
        assert told["server"] in server.url
        line = json.loads((tmp_path / "out" / "audit.jsonl").read_text())
        assert line["rungs"][MODEL]["darkness"] == pytest.approx(own.rungs[MODEL]["darkness"], abs=0.02)
        behind = EndpointEngine.open(server.url, order=Order.PHOTO_FIRST)
        for kept in (False, True):
            (rated,) = audit(behind, one, tmp_path / "behind", ladders=DARKNESS)
            assert rated.kept == kept
    with serving(engine) as other:  # of another server nothing is known
        (rated,) = audit(EndpointEngine.open(other.url), one, tmp_path / "behind", ladders=DARKNESS)
        assert not rated.kept


def test_ratings_without_odds_count_as_they_were_written_and_it_is_said(
    photos: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], judged: Rater
) -> None:
    assert main(["audit", str(photos["00.png"]), "--out", str(tmp_path / "out")]) == 0
    assert f"{judged.questions} ratings came without odds" in capsys.readouterr().err
    told = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert (told["written_ratings"], told["server"]) == (judged.questions, None)
