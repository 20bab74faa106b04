"""The Rank tab in a real browser, given what people have: odd suffixes, other kinds, whole folders, names alike."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from shared.engines import PixelEngine
from shared.pages import choose_folder, drop, eventually, served, shows, upload


def saved(path: Path, shade: int, kind: str = "JPEG") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 56), (shade,) * 3).save(path, kind)
    return str(path)


def other(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def choose(page: Any, files: Any, where: str) -> None:
    """Choose files and wait until the page knows of them."""
    with page.expect_response("**/run/predict*"):
        upload(page, files, where)


@pytest.mark.browser
def test_whatever_is_chosen_is_ranked_or_said_and_the_button_works(
    visit: Callable[..., Any], tmp_path: Path
) -> None:
    chosen = [
        saved(tmp_path / "ok.jpg", 200),
        saved(tmp_path / "DSCN0001.nrw", 150),
        saved(tmp_path / "SDIM0001.X3F", 140),
        saved(tmp_path / "DSCF0001.MPO", 130),
        saved(tmp_path / "no_suffix", 120),
        other(tmp_path / "a.psd", b"8BPS"),
        other(tmp_path / "b.svg", b"<svg/>"),
        other(tmp_path / "c.ora", b"PK\3\4"),
        other(tmp_path / "clip.mov", b"...."),
        other(tmp_path / "rubbish.jpg", b"rubbish"),
    ]
    with served(PixelEngine()) as url:
        page = visit(url)
        page.get_by_role("tab", name="Shoot").click()
        choose(page, chosen, "rank-files")
        page.locator("#rank").click()
        shows(page, "rank-status", "5 photos rated, 1 could not be read.")
        shows(page, "rank-left-out", "Left out: other kinds: 4 (a.psd, b.svg, c.ora, clip.mov).")
        shows(page, "rank-table", "DSCN0001.nrw")


@pytest.mark.browser
def test_other_kinds_alone_are_a_sentence_without_a_path_and_the_next_photos_are_ranked(
    visit: Callable[..., Any], tmp_path: Path
) -> None:
    with served(PixelEngine()) as url:
        page = visit(url, locale="de")
        page.get_by_role("tab", name="Shoot").click()
        choose(
            page, [other(tmp_path / "a.xcf", b"gimp xcf"), other(tmp_path / "b.exr", b"v/1\1")], "rank-files"
        )
        shows(page, "rank-problem", "Expected photos (jpg, png")
        problem = page.locator("#rank-problem").inner_text()
        assert "Left out: other kinds: 2 (a.xcf, b.exr)." in problem
        assert "/" not in problem
        with page.expect_response("**/run/predict*"):
            page.locator("#rank-files button[aria-label*='lear' i]").first.click()
        choose(page, [saved(tmp_path / "ok.jpg", 200)], "rank-files")
        page.locator("#rank").click()
        shows(page, "rank-status", "1 photos rated.")


@pytest.mark.browser
def test_a_folder_keeps_its_folders_and_leaves_out_those_of_the_system(
    visit: Callable[..., Any], tmp_path: Path
) -> None:
    shoot = tmp_path / "shoot"
    saved(shoot / "one" / "IMG_1.jpg", 200)
    saved(shoot / "two" / "IMG_1.jpg", 100)
    saved(shoot / "two" / "IMG_1.DNG", 100)
    for system in ("@eaDir/IMG_1.jpg/SYNOPHOTO_THUMB_M.jpg", "#recycle/old.jpg", "$RECYCLE.BIN/S-1/x.jpg"):
        saved(shoot / system, 250)
    saved(shoot / "Cat.lrdata" / "thumb.jpg", 250)
    saved(shoot / "._IMG_1.jpg", 250)
    with served(PixelEngine()) as url:
        page = visit(url)
        page.get_by_role("tab", name="Shoot").click()
        choose_folder(page, shoot)
        page.locator("#rank").click()  # at once, while the folder is on its way
        shows(page, "rank-status", "2 photos rated.")
        shows(page, "rank-left-out", "system folders: 4 (")
        shows(page, "rank-left-out", "hidden: 1 (._IMG_1.jpg)")
        shows(page, "rank-table", "two/IMG_1.jpg")
        text = page.locator("#rank-table .qi-cards").inner_text()
        assert re.findall(r"(?:one|two)/IMG_1\.jpg(?: \+ IMG_1\.DNG)?", text) == [
            "one/IMG_1.jpg",
            "two/IMG_1.jpg + IMG_1.DNG",
        ]
        page.get_by_role("button", name="Clear").first.click()
        with page.expect_response("**/run/predict*"):
            drop(page, [str(shoot)], "#purpose")
        page.wait_for_function("document.querySelectorAll('#rank-files tr').length === 8")
        page.locator("#rank").click()
        shows(page, "rank-status", "2 photos rated.")
        shows(page, "rank-left-out", "system folders: 4 (")
        shows(page, "rank-table", "two/IMG_1.jpg")
        if directory := os.environ.get("QINSIGHT_SCREENSHOTS"):
            page.screenshot(path=f"{directory}/rank.png", full_page=True)


@pytest.mark.browser
def test_what_is_left_out_is_said_in_the_visitors_language(visit: Callable[..., Any], tmp_path: Path) -> None:
    chosen = [saved(tmp_path / "ok.jpg", 200), other(tmp_path / "a.psd", b"8BPS")]
    with served(PixelEngine()) as url:
        page = visit(url, locale="zh-CN")
        page.locator("#tabs button[role=tab]").nth(2).click()
        choose(page, chosen, "rank-files")
        page.locator("#rank").click()
        shows(page, "rank-left-out", "其他类型 1 个")


@pytest.mark.browser
def test_photos_of_one_name_are_all_in_the_table(visit: Callable[..., Any], tmp_path: Path) -> None:
    chosen = [
        saved(tmp_path / str(shade) / name, shade)
        for shade, name in ((200, "a.jpg"), (120, "a.jpg"), (60, "A.JPG"))
    ]
    with served(PixelEngine()) as url:
        page = visit(url)
        page.get_by_role("tab", name="Shoot").click()
        choose(page, chosen, "rank-files")
        page.locator("#rank").click()
        shows(page, "rank-status", "3 photos rated.")
        shows(page, "rank-table", "A (3).JPG")
        names = page.locator("#rank-table .qi-card small")
        eventually(lambda: names.all_inner_texts() == ["a.jpg", "a (2).jpg", "A (3).JPG"])


@pytest.mark.browser
def test_who_presses_rate_all_while_files_are_still_coming_has_them_rated(
    visit: Callable[..., Any], tmp_path: Path
) -> None:
    photos = [str(saved(tmp_path / f"{shade}.jpg", shade)) for shade in range(60, 180, 10)]
    with served(PixelEngine()) as url:
        page = visit(url)
        page.get_by_role("tab", name="Shoot").click()
        upload(page, photos, "rank-files")
        page.locator("#rank").click()
        shows(page, "rank-status", "12 photos rated.")
        page.locator("#rank").click()  # all are known: nothing is asked anew
        shows(page, "rank-status", "12 photos rated.")
