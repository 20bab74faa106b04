"""A degradation set is what its labels say, the same for the same seed, and tested on other photos."""

import hashlib
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qinsight.answers import Clean, Comparison, Degradation, Winner
from qinsight.prompts import Task
from shared.pictures import discs as shared_discs
from training.data import crops
from training.data.degrade import leave_clean
from training.data.degraded_set import DECK, DegradedSet, SetSettings, clean_photo, make_set, split
from training.data.degraded_set import Original as Photo
from training.data.examples import Example, Rated, read_examples, refuse_leaks, write_examples
from training.data.lines import LabelError
from training.preview import lessons

SMALL = SetSettings(views=180, test_share=0.25, seed=5, tokens=(6, 16), with_reference=True)


def discs(seed: int, width: int = 200, height: int = 150) -> Image.Image:
    return shared_discs(seed, width, height, number=80)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six photos, one of them in a folder of its own."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "second card").mkdir()
    for number in range(6):
        discs(number).save(folder / ("second card" if number == 5 else "") / f"IMG_{number}.png")
    return folder


@pytest.fixture(scope="module")
def made(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> DegradedSet:
    return make_set(photos, tmp_path_factory.mktemp("made"), SMALL)


def rows(made: DegradedSet) -> list[Example]:
    return [*made.train, *made.test]


def opinions(made: DegradedSet) -> dict[Path, float]:
    return {row.photos[0]: row.target.mos for row in rows(made) if isinstance(row.target, Rated)}


def test_no_original_of_a_test_view_is_trained_on(made: DegradedSet) -> None:
    trained, tested = (
        {row.source for row in part if row.task is not Task.COMPARISON} for part in (made.train, made.test)
    )
    assert len(trained) == 4
    assert len(tested) == 2
    assert not trained & tested
    refuse_leaks(made.train, made.test)


def test_every_class_and_level_comes_as_often_as_every_other(made: DegradedSet) -> None:
    told = Counter(
        (row.target.distortion, row.target.severity) if isinstance(row.target, Degradation) else "clean"
        for row in made.train
        if row.task is Task.DEGRADATION
    )
    assert sum(told.values()) == 135
    assert 25 <= told.pop("clean") <= 30
    assert len(told) == 20
    assert set(told.values()) <= {5, 6}
    assert Counter(name for name, _ in DECK) == dict.fromkeys(crops.CLASSES, 5)


def test_views_have_the_size_the_model_reads_and_the_size_asked_for(made: DegradedSet) -> None:
    for photo in opinions(made):
        with Image.open(photo) as view:
            assert view.format == "PNG"
            assert view.width % 28 == view.height % 28 == 0
            assert 4 <= view.width * view.height // 28**2 <= 20


def test_the_better_photo_of_a_pair_is_the_one_with_the_better_opinion(made: DegradedSet) -> None:
    known = opinions(made)
    pairs = [row for row in rows(made) if row.task is Task.COMPARISON and not row.reference]
    assert len(pairs) > 60
    for row in pairs:
        a, b = (known[photo] for photo in row.photos)
        assert abs(a - b) >= 0.1
        assert row.target == Comparison(Winner.A if a > b else Winner.B)


def test_every_pair_is_asked_about_in_both_orders(made: DegradedSet) -> None:
    pairs = {row.photos for row in rows(made) if row.task is Task.COMPARISON and not row.reference}
    assert {(b, a) for a, b in pairs} == pairs
    assert len({row.id for row in rows(made)}) == len(rows(made))
    winners = Counter(
        row.target.winner for row in rows(made) if isinstance(row.target, Comparison) and not row.reference
    )
    assert winners[Winner.A] == winners[Winner.B]


def test_a_pair_that_is_drawn_twice_is_asked_about_once(photos: Path, tmp_path: Path) -> None:
    for seed in range(30, 45):  # 37 draws one twice
        small = replace(SMALL, views=4, test_share=0.0, seed=seed, tasks=(Task.COMPARISON,))
        asked = [row.id for row in make_set(photos, tmp_path, small).train]
        assert len(set(asked)) == len(asked)


def test_a_reference_is_the_worst_of_three_and_near_opinions_are_similar(made: DegradedSet) -> None:
    known = opinions(made)
    triples = [row for row in rows(made) if row.reference]
    assert len(triples) == 60
    assert {row.target.winner for row in triples if isinstance(row.target, Comparison)} == set(Winner)
    for row in triples:
        reference, a, b = (known[photo] for photo in row.photos)
        assert reference <= min(a, b)
        similar = Comparison(Winner.SIMILAR)
        assert (row.target == similar) == (abs(a - b) < 0.3)


def test_a_clean_view_is_the_photo_itself_and_says_so(made: DegradedSet) -> None:
    clean = [row for row in made.train if isinstance(row.target, Clean)]
    assert clean
    assert all(opinions(made)[row.photos[0]] == 4.6 for row in clean)


def test_any_number_of_processes_writes_the_same_files(
    photos: Path, made: DegradedSet, tmp_path: Path
) -> None:
    again = make_set(photos, tmp_path, SMALL, workers=2)
    assert [row.id for row in rows(again)] == [row.id for row in rows(made)]
    assert [row.target for row in rows(again)] == [row.target for row in rows(made)]
    one, two = (
        [hashlib.sha256(photo.read_bytes()).hexdigest() for photo in opinions(which)]
        for which in (made, again)
    )
    assert one == two


def test_another_seed_draws_other_views(photos: Path, made: DegradedSet, tmp_path: Path) -> None:
    other = make_set(photos, tmp_path, replace(SMALL, views=60, seed=6))
    assert [row.target for row in other.train] != [row.target for row in made.train]


def test_a_set_can_be_written_and_read_back(made: DegradedSet, tmp_path: Path) -> None:
    folder = made.train[0].photos[0].parent.parent
    write_examples(folder / "train.jsonl", made.train)
    assert read_examples(folder / "train.jsonl") == made.train
    line = json.loads((folder / "train.jsonl").read_text().splitlines()[0])
    assert line["photos"] == ["train/000000.png"]


def test_only_the_tasks_asked_for_are_asked(photos: Path, tmp_path: Path) -> None:
    made = make_set(photos, tmp_path, replace(SMALL, views=6, tasks=(Task.SCORE,)))
    assert {row.task for row in rows(made)} == {Task.SCORE}


def test_the_split_that_the_folder_lists_is_kept() -> None:
    listed = [Photo(name, name in "bdf") for name in "abcdefgh"]
    assert split(listed, SMALL) == (list("acegh"), list("bdf"))
    assert split(listed, replace(SMALL, test_share=0.0))[0] == list("acegh")


@pytest.mark.parametrize("broken", range(5))
def test_an_unreadable_photo_is_named_and_another_takes_its_views(
    photos: Path, tmp_path: Path, broken: int
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(5):
        content = (photos / f"IMG_{number}.png").read_bytes()
        (folder / f"{number}.png").write_bytes(content[:900] if number == broken else content)
    made = make_set(folder, tmp_path / "out", replace(SMALL, views=30, test_share=0.2))
    assert (made.views, made.photos) == (30, 4)
    assert list(made.unreadable) == [f"{broken}.png"]
    assert "damaged" in made.unreadable[f"{broken}.png"]
    refuse_leaks(made.train, made.test)
    assert {row.source for row in made.train}.isdisjoint({row.source for row in made.test})
    assert f"{broken}.png" not in {row.source for row in rows(made)}


def test_a_folder_without_a_readable_photo_is_refused(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"no photo")
    with pytest.raises(LabelError, match=r"none is left:\n[ab]\.png: "):
        make_set(tmp_path, tmp_path / "out", SMALL)
    (tmp_path / "b.png").unlink()
    with pytest.raises(LabelError, match="Expected at least 2 photos"):
        make_set(tmp_path, tmp_path / "out", SMALL)


def test_a_photo_is_shrunk_until_its_own_compression_is_gone(tmp_path: Path) -> None:
    Image.new("RGB", (2000, 1000), "grey").save(tmp_path / "a.jpg")
    discs(1, 400, 200).save(tmp_path / "b.jpg")
    discs(1, 400, 200).save(tmp_path / "c.png")
    sizes = {name: clean_photo(tmp_path / name, shrink=True).size for name in ("a.jpg", "b.jpg", "c.png")}
    assert sizes == {"a.jpg": (1200, 600), "b.jpg": (240, 120), "c.png": (320, 160)}
    assert clean_photo(tmp_path / "b.jpg", shrink=False).size == (400, 200)


def test_a_crop_is_the_one_that_the_warm_up_would_have_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    photo = discs(3, height=300)
    photo.paste("skyblue", (0, 0, 200, 150))  # without texture; such a crop is drawn again
    monkeypatch.setattr(lessons, "draw_lesson", lambda view, *_: leave_clean(view))
    monkeypatch.setattr(lessons, "SOFTENED", 0)
    monkeypatch.setattr(lessons, "CLEAN_BESIDE_NOISE", 0)
    for seed in range(12):
        rng = np.random.default_rng(seed)
        rng.random()  # whether it comes beside a noisy one is drawn first
        ours = crops.fit(leave_clean(crops.draw_crop([photo], 12, rng)))
        (theirs,) = lessons.draw_views([photo], 12, 1, np.random.default_rng(seed))
        assert ours.image.tobytes() == theirs.degraded.image.tobytes()
