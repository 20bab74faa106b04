"""Needs your eyes: accept, reject and look at a bound, on the light table and in what is exported."""

import csv
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qinsight.__main__ import main
from qinsight.engines.checkpoint import PREVIEW, Device
from qinsight.engines.local import LocalEngine
from qinsight.page.lightbox import Lightbox
from qinsight.page.shoot import Bound, Choices, Shoot, bound_of, choices, judged, shown, written
from qinsight.page.words import ENGLISH, Language, Words
from qinsight.photos.listing import look
from qinsight.ranking.contact_sheet import write_html
from qinsight.ranking.folder import ranking
from qinsight.ranking.rows import Row
from qinsight.ranking.xmp import merged
from qinsight.requests import About
from qinsight.trust.calibration import Calibration, read
from qinsight.trust.confidence import calibration_for
from shared.axe import violations
from shared.pages import rated_shoot, served
from shared.places import REPOSITORY

KNOWN = read(PREVIEW / "calibration.json")
PHOTOS = ("cat.jpg", "cat_blurred.jpg", "coffee_noisy.jpg", "astronaut_dark.jpg", "rocket_compressed.jpg")
AT = Bound(0.1, 3.5)


@pytest.fixture(scope="module")
def shoot(tmp_path_factory: pytest.TempPathFactory) -> Shoot:
    """Five photos that the preview has rated on the command line, with a bound."""
    folder = tmp_path_factory.mktemp("shoot")
    for name in PHOTOS:
        Image.open(REPOSITORY / "examples" / "photos" / name).resize((300, 200)).save(folder / name)
    out = folder / "q-insight"
    flags = ["--at-most-wrong", str(AT.at_most_wrong), "--good-from", str(AT.good_from), "--device", "cpu"]
    assert main(["rank", str(folder), "--out", str(out), "--model", "preview", *flags]) == 0
    found = look(folder, out)
    shoot = Shoot(folder, out, found, Lightbox(folder, found.frames, uploaded=False))
    shoot.hold(ranking(out, found.frames), ranked=True)
    return shoot


def heaps(table: dict[str, Any] | None) -> dict[str, str]:
    """The heap of each frame of a light table, by its name."""
    assert table is not None
    return {frame[2]: row["heap"] for frame, row in zip(table["frames"], table["rows"], strict=True)}


def of_csv(path: Path) -> dict[str, str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return {row["photo"]: row["app_heap"] for row in csv.DictReader(file)}


def test_the_light_table_and_its_exports_have_the_heaps_of_the_command_line(
    shoot: Shoot, tmp_path: Path
) -> None:
    told = of_csv(shoot.out / "ranking.csv")
    assert {"accept", "reject"} <= {*told.values()}
    assert heaps(shown(shoot, "key", ENGLISH, KNOWN, [*AT])) == told
    chosen = choices({"sure": [*AT]}, "full", "", False, True)
    rows = judged(ranking(shoot.out, shoot.found.frames), shoot, chosen, KNOWN)
    assert of_csv(written(shoot, rows, "csv", chosen, tmp_path)) == told
    sheet = written(shoot, rows, "html", chosen, tmp_path, KNOWN.holds_for).read_text(encoding="utf-8")
    assert "▲ accept" in sheet
    assert "▼ reject" in sheet
    assert "What the app says holds for photographs like: 840 views" in sheet
    with zipfile.ZipFile(written(shoot, rows, "xmp", chosen, tmp_path)) as archive:
        for name, heap in told.items():
            assert f"q-insight:{heap}<" in archive.read(f"{name}.xmp").decode()


def test_without_a_bound_or_a_calibration_there_is_no_heap(shoot: Shoot) -> None:
    for known, asked in ((KNOWN, None), (KNOWN, [0, 0]), (None, [*AT])):
        table = shown(shoot, "key", ENGLISH, known, asked)
        assert {*heaps(table).values()} == {""}
        assert (table or {})["sure"] == (None if known is None else {"asked": asked, "holds": holds(ENGLISH)})


def holds(words: Words) -> str:
    return words("holds_for", photos=KNOWN.holds_for)


def test_the_large_view_says_between_what_a_rating_lies_in_every_language(shoot: Shoot) -> None:
    for language in Language:
        table = shown(shoot, "key", Words(language), KNOWN)
        assert table is not None
        row = judged([*shoot.rows.values()], shoot, Choices({}), KNOWN)[0]
        said = Words(language)("between", low=row.app_low, high=row.app_high)
        assert said in table["rows"][shoot.box.place_of[row.photo]]["remark"]


def test_no_frame_of_a_bracket_is_in_reject_nor_one_that_may_yet_prove_to_be_of_one(shoot: Shoot) -> None:
    asked = [*AT]
    poor = next(
        name for name, heap in heaps(shown(shoot, "", ENGLISH, KNOWN, asked)).items() if heap == "reject"
    )
    place = shoot.box.place_of[poor]
    row = replace(shoot.rows[place], bracket=True, group=1)
    for one in (replace(shoot, rows={**shoot.rows, place: row}), replace(shoot, ranked=False)):
        assert heaps(shown(one, "", ENGLISH, KNOWN, asked))[poor] == "look"
        chosen = choices({"sure": asked}, "full", "", False, True)
        assert {row.photo: row.app_heap for row in judged([*one.rows.values()], one, chosen, KNOWN)}[
            poor
        ] == "look"


@pytest.mark.parametrize(
    "told",
    [
        None,
        7,
        "0.1",
        [],
        [0.1],
        [0.1, 3, 4],
        [0.5, 3],
        [0, 3],
        [-1, 3],
        [0.1, 1],
        [0.1, 5.05],
        ["0.1", 3],
        [True, 3],
        [float("nan"), 3],
        [0.1, float("nan")],
        [0.1, None],
        {"at_most": 0.1},
    ],
)
def test_a_bound_that_makes_no_sense_asks_for_no_heaps(told: Any) -> None:
    assert bound_of(told) == Bound()
    assert choices({"sure": told}, "full", "", False, True).bound == Bound()


def test_xmp_has_the_apps_heap_as_keyword_and_loses_it_with_the_bound() -> None:
    row = Row("a.jpg", "", "m", rating=3.0, distortion_class="blur", severity="slight")
    first = merged(None, replace(row, app_heap="look", app_low=1.0, app_high=4.5), stars=3)
    text = first.decode()
    assert "q-insight:look<" in text
    assert "qinsight:appHeap" in text
    assert "4.5" in text
    again = merged(first, row, stars=3).decode()
    assert "look" not in again
    assert "appHeap" not in again
    assert "appHigh" not in again


def test_a_contact_sheet_without_a_calibration_says_nothing_of_the_app(tmp_path: Path) -> None:
    Image.new("RGB", (60, 60)).save(tmp_path / "a.jpg")
    row = Row("a.jpg", "", "m", rating=3.0, expected_rating=3.0)
    write_html([row], tmp_path / "sheet.html", tmp_path)
    assert "The app" not in (tmp_path / "sheet.html").read_text(encoding="utf-8")


def known(about: About) -> Calibration | None:
    """As `app.py` finds it for the preview."""
    return calibration_for(about, "preview")


@pytest.mark.browser
def test_a_photographer_filters_what_needs_eyes_decides_and_takes_the_heaps_home(
    shoot: Shoot, browser: Any
) -> None:
    with served(LocalEngine.open("preview", Device.CPU), local=True, calibration=known) as url:
        page = rated_shoot(browser, url, shoot.folder, 5)
        choice = page.locator("[data-sure] select")
        choice.select_option("0.05")
        assert "choose “pick from” first" in page.locator("[data-sure]").inner_text()
        assert page.locator("[data-one=look]").is_hidden()
        page.locator("[data-slider=high]").fill("3.5")
        page.wait_for_selector(".qi-card em:has-text('◆ look')")
        expected = heaps(shown(shoot, "", ENGLISH, KNOWN, [0.05, 3.5]))
        eyed = [name for name, heap in expected.items() if heap == "look"]
        assert eyed
        button = page.locator("[data-one=look]")
        assert button.inner_text() == f"Needs your eyes {len(eyed)}"
        assert ", ◆ look, " in page.locator(f".qi-card:has(small:text-is('{eyed[0]}'))").get_attribute(
            "aria-label"
        )
        button.click()
        assert page.locator(".qi-card").count() == len(eyed)
        assert violations(page) == []
        page.locator(".qi-card").first.focus()
        page.keyboard.press("x")  # decided: it needs no eyes any more
        assert button.inner_text() == f"Needs your eyes {len(eyed) - 1}"
        with page.expect_download() as download:
            page.locator("#download-jsonl").click()
        lines = Path(download.value.path()).read_text(encoding="utf-8").splitlines()
        assert {(row := json.loads(line))["photo"]: row["app_heap"] for line in lines} == expected
        page.context.close()
