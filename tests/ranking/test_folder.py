"""Folders ranked, killed, resumed: every photo once, no line torn, nothing lost."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from qinsight.errors import EngineError, QInsightError, Stopped
from qinsight.photos import Photo, read_photo
from qinsight.photos.listing import look, photos_in
from qinsight.prompts import Task
from qinsight.ranking.folder import Progress, _finished, _phash, rank_folder, ranking
from qinsight.ranking.rows import Row, of_each_file
from qinsight.requests import About, Delta, Request
from shared.engines import PixelEngine, ScriptedEngine
from shared.places import REPOSITORY


def shoot(folder: Path, count: int) -> Path:
    """`count` plain photos, each of another brightness, some in a subfolder."""
    (folder / "second card").mkdir(parents=True)
    for number in range(count):
        place = folder / "second card" if number % 3 == 2 else folder
        Image.new("RGB", (64, 56), (number, number, number)).save(place / f"IMG_{number:03}.png")
    return folder


def run(engine: ScriptedEngine, folder: Path, out: Path, **options: int) -> list[Progress]:
    return list(rank_folder(engine, folder, out, **options))


def lines(out: Path) -> list[dict[str, object]]:
    text = (out / "results.jsonl").read_text(encoding="utf-8")
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def test_every_photo_of_a_folder_is_rated_and_ranked_by_expected_rating(tmp_path: Path) -> None:
    folder = shoot(tmp_path / "shoot", 20)
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "notes.txt").write_text("no photo")
    states = run(PixelEngine(), folder, tmp_path / "out")
    assert [state.done for state in states] == list(range(1, 21))
    assert {state.total for state in states} == {20}
    rows = ranking(tmp_path / "out")
    assert sorted(row.photo for row in rows) == photos_in(folder)
    expected = [row.expected_rating for row in rows]
    assert expected == sorted(expected, reverse=True)
    assert len(set(expected)) == 20
    brightest = rows[0]
    assert brightest.photo == "IMG_019.png"
    assert brightest.rating == round(1 + 4 * 19 / 255, 2)
    assert brightest.rating != brightest.expected_rating
    assert (brightest.distortion_class, brightest.severity) == ("darken", "slight")
    assert (brightest.thinking, brightest.diagnosis) == ("bright", "dark")
    assert (brightest.width, brightest.height) == (64, 56)


def test_photos_are_asked_in_batches_and_the_last_may_be_smaller(tmp_path: Path) -> None:
    engine = PixelEngine()
    run(engine, shoot(tmp_path / "shoot", 10), tmp_path / "out", batch=4)
    assert [len(requests) for requests, _, _ in engine.asked] == [8, 8, 4]


def test_a_second_run_asks_nothing_again(tmp_path: Path) -> None:
    folder, out = shoot(tmp_path / "shoot", 10), tmp_path / "out"
    run(PixelEngine(), folder, out)
    before = lines(out)
    engine = PixelEngine()
    states = run(engine, folder, out)
    assert engine.photos == 0
    assert states[-1].done == states[-1].total == 10
    assert lines(out) == before


def test_only_what_changed_is_asked_again(tmp_path: Path) -> None:
    folder, out = shoot(tmp_path / "shoot", 10), tmp_path / "out"
    run(PixelEngine(), folder, out)
    Image.new("RGB", (64, 56), (200, 200, 200)).save(folder / "IMG_001.png")
    (folder / "IMG_003.png").rename(folder / "renamed.png")
    (folder / "IMG_004.png").unlink()
    engine = PixelEngine()
    run(engine, folder, out)
    assert engine.photos == 1
    rows = {row.photo: row for row in ranking(out, photos_in(folder))}
    assert sorted(rows) == photos_in(folder)
    assert rows["IMG_001.png"].rating == round(1 + 4 * 200 / 255, 2)
    assert rows["renamed.png"].rating == round(1 + 4 * 3 / 255, 2)


def test_another_model_or_another_size_asks_again(tmp_path: Path) -> None:
    folder, out = shoot(tmp_path / "shoot", 4), tmp_path / "out"
    run(PixelEngine(), folder, out)
    engine = PixelEngine()
    run(engine, folder, out, max_pixels=50_000)
    assert engine.photos == 4
    assert {row["model"] for row in lines(out)} == {"scripted (fp32, 50000 px)"}


def test_a_model_that_was_trained_on_under_the_same_name_asks_again(tmp_path: Path) -> None:
    class Trained(PixelEngine):
        @property
        def about(self) -> About:
            return replace(super().about, weights="0123456789abcdef")

    folder, out = shoot(tmp_path / "shoot", 4), tmp_path / "out"
    run(PixelEngine(), folder, out)
    asked = []
    for _ in range(2):
        run(engine := Trained(), folder, out)
        asked.append(engine.photos)
    assert asked == [4, 0]


def test_unreadable_photos_are_listed_with_their_reason_and_do_not_stop_the_rest(tmp_path: Path) -> None:
    folder, out = shoot(tmp_path / "shoot", 5), tmp_path / "out"
    (folder / "IMG_000b.jpg").write_bytes(b"nonsense")
    (folder / "gone.png").write_bytes(b"soon gone")
    found = look(folder, out)
    (folder / "gone.png").unlink()
    states = list(rank_folder(PixelEngine(), folder, out, found=found))
    assert states[-1].failed == 2
    rows = {row.photo: row for row in ranking(out)}
    assert len(rows) == 7
    assert "expected a photo" in str(rows["IMG_000b.jpg"].error)
    assert "cannot be read" in str(rows["gone.png"].error)
    assert rows["IMG_000b.jpg"].rating is None
    assert [row.photo for row in ranking(out)][-2:] == ["IMG_000b.jpg", "gone.png"]


def test_an_unreadable_answer_is_a_row_with_its_reason_and_is_tried_again(tmp_path: Path) -> None:
    folder, out = shoot(tmp_path / "shoot", 5), tmp_path / "out"
    run(PixelEngine(mumble=3), folder, out)
    bad = next(row for row in ranking(out) if row.photo == "IMG_003.png")
    assert bad.rating is None
    assert bad.expected_rating is None
    assert "the model said 'hm'" in str(bad.error)
    engine = PixelEngine()
    run(engine, folder, out)
    assert engine.photos == 1
    assert [row["photo"] for row in lines(out)].count("IMG_003.png") == 1
    assert all(row.error is None for row in ranking(out))


def test_a_batch_too_large_for_the_memory_is_asked_photo_by_photo(tmp_path: Path) -> None:
    engine = PixelEngine(refuse="batches")
    run(engine, shoot(tmp_path / "shoot", 8), tmp_path / "out")
    assert engine.photos == 8
    assert all(row.error is None for row in ranking(tmp_path / "out"))


def test_a_photo_that_the_model_cannot_answer_is_a_row_with_its_reason_also_alone(tmp_path: Path) -> None:
    for batch in (1, 4):
        out = tmp_path / f"out {batch}"
        folder = tmp_path / "shoot"
        run(PixelEngine(refuse="dark photos"), folder if batch > 1 else shoot(folder, 5), out, batch=batch)
        errors = {row.photo: row.error for row in ranking(out) if row.error}
        assert errors == {"IMG_000.png": "The model ran out of memory."}


def test_a_model_that_is_gone_ends_the_run_and_keeps_what_was_finished(tmp_path: Path) -> None:
    folder, out = shoot(tmp_path / "shoot", 12), tmp_path / "out"
    engine = PixelEngine()
    going = rank_folder(engine, folder, out, batch=4)
    for _ in range(4):
        next(going)
    engine.refuse = "always"
    with pytest.raises(EngineError, match="is gone"):
        list(going)
    assert len(lines(out)) == 4
    run(PixelEngine(), folder, out)
    assert len(ranking(out)) == 12


def test_stop_ends_a_run_between_photos_and_the_next_one_goes_on(tmp_path: Path) -> None:
    folder, out = shoot(tmp_path / "shoot", 30), tmp_path / "out"
    stop = threading.Event()
    going = rank_folder(PixelEngine(), folder, out, batch=4, stop=stop)
    next(going)
    stop.set()
    with pytest.raises(Stopped):
        list(going)
    assert not any(thread.name.startswith("qinsight-decode") for thread in threading.enumerate())
    kept = len(lines(out))
    assert 0 < kept < 30
    engine = PixelEngine()
    run(engine, folder, out)
    assert engine.photos == 30 - kept


def test_a_run_that_is_dropped_leaves_no_thread(tmp_path: Path) -> None:
    going = rank_folder(PixelEngine(), shoot(tmp_path / "shoot", 60), tmp_path / "out", batch=2)
    next(going)
    going.close()
    assert not any(thread.name.startswith("qinsight-decode") for thread in threading.enumerate())


def test_a_torn_last_line_is_written_anew(tmp_path: Path) -> None:
    folder, out = shoot(tmp_path / "shoot", 6), tmp_path / "out"
    run(PixelEngine(), folder, out)
    whole = lines(out)
    path = out / "results.jsonl"
    path.write_bytes(path.read_bytes()[:-40])
    run(PixelEngine(), folder, out)
    facts = [{(row["photo"], row["expected_rating"]) for row in found} for found in (whole, lines(out))]
    assert facts[0] == facts[1]
    assert len(lines(out)) == 6


def test_a_results_file_that_is_none_is_refused_and_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "results.jsonl").write_text("somebody's notes\n")
    with pytest.raises(
        QInsightError, match=r"line 1 of .*results\.jsonl; it cannot be read .expected one JSON object"
    ):
        run(PixelEngine(), shoot(tmp_path / "shoot", 2), out)
    assert (out / "results.jsonl").read_text() == "somebody's notes\n"


@pytest.mark.parametrize("folder", ["nothing here", "empty", "file.txt"])
def test_a_folder_without_photos_is_one_sentence(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("")
    with pytest.raises(QInsightError, match=r"Expected (a folder of )?photos"):
        run(PixelEngine(), tmp_path / folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(QInsightError, match="cannot be written"):
        run(PixelEngine(), shoot(tmp_path / "shoot", 2), tmp_path / "file" / "out")


def test_two_runs_do_not_write_to_one_folder(tmp_path: Path) -> None:
    folder, out = shoot(tmp_path / "shoot", 4), tmp_path / "out"
    first = rank_folder(PixelEngine(), folder, out)
    next(first)
    with pytest.raises(QInsightError, match="Another run"):
        run(PixelEngine(), folder, out)
    list(first)


def test_frames_of_a_burst_share_a_group_and_the_best_is_marked(tmp_path: Path) -> None:
    folder, out = tmp_path / "shoot", tmp_path / "out"
    folder.mkdir()
    generator = random.Random(3)
    scene = Image.new("RGB", (16, 12))
    scene.putdata([(generator.randrange(256),) * 3 for _ in range(16 * 12)])
    scene = scene.resize((224, 168), Image.Resampling.BICUBIC)
    for number, gain in enumerate((0.80, 0.95, 0.90)):
        scene.point(lambda value, gain=gain: int(value * gain)).save(folder / f"burst_{number}.png")
    scene.rotate(90, expand=True).filter(ImageFilter.BoxBlur(3)).save(folder / "other.png")
    run(PixelEngine(), folder, out)
    rows = {row.photo: row for row in ranking(out)}
    groups = {name: rows[name].group for name in rows}
    assert groups == {"burst_0.png": 1, "burst_1.png": 1, "burst_2.png": 1, "other.png": None}
    assert [name for name in rows if rows[name].best] == ["burst_1.png"]


# --- a server, asked about many photos side by side ---------------------------------------------------------------


class Server(PixelEngine):
    """A server that is asked about at most `in_flight` // 2 photos at a time, and holds back the dark ones."""

    def __init__(self, in_flight: int, held: int = -1, **how: str) -> None:
        super().__init__(in_flight=in_flight, **how)
        self.held = held  # up to this brightness
        self.released = threading.Event()
        self.now = self.most = 0
        self.lock = threading.Lock()

    def stream(self, requests: Sequence[Request], *rest: Any, **options: Any) -> Iterator[Delta]:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            if requests[0].photos[0].getpixel((0, 0))[0] <= self.held:
                while not self.released.wait(0.01):
                    if options["stop"].is_set():
                        raise Stopped("Stopped.")
            yield from super().stream(requests, *rest, **options)
        finally:
            with self.lock:
                self.now -= 1


def no_thread_is_left() -> bool:
    ours = ("qinsight-decode", "qinsight-ask")
    return not any(thread.name.startswith(ours) for thread in threading.enumerate())


def test_a_server_is_asked_about_each_photo_alone_and_about_many_at_a_time(tmp_path: Path) -> None:
    folder, engine = shoot(tmp_path / "shoot", 40), Server(8, held=3)
    going = rank_folder(engine, folder, tmp_path / "out")
    done = 0
    while engine.most < 4:
        done += 1
        next(going)
    engine.released.set()
    assert done + len(list(going)) == 40
    assert engine.most == 4
    assert [len(requests) for requests, _, _ in engine.asked] == [2] * 40
    assert sorted(row.photo for row in ranking(tmp_path / "out")) == photos_in(folder)
    other = tmp_path / "other"
    run(Server(8), folder, other)
    facts = [
        {(r.photo, r.rating, r.expected_rating) for r in ranking(place)}
        for place in (tmp_path / "out", other)
    ]
    assert facts[0] == facts[1]
    assert no_thread_is_left()


def test_no_photo_waits_for_the_slowest_reply_of_a_server(tmp_path: Path) -> None:
    out, engine = tmp_path / "out", Server(8, held=0)
    going = rank_folder(engine, shoot(tmp_path / "shoot", 40), out)
    rows = [next(going).row for _ in range(39)]
    assert "IMG_000.png" not in [row.photo for row in rows if row]
    assert len(lines(out)) == 39
    engine.released.set()
    assert [state.row.photo for state in going if state.row] == ["IMG_000.png"]


def test_a_photo_that_is_long_in_decoding_holds_back_no_reply(tmp_path: Path) -> None:
    decoded = threading.Event()

    def decode(path: Path, content: bytes) -> Photo:
        assert path.name != "IMG_004.png" or decoded.wait(10)
        return read_photo(content)

    out, engine = tmp_path / "out", Server(32, held=255)
    going = rank_folder(engine, shoot(tmp_path / "shoot", 8), out, decode=decode)
    threading.Timer(0.3, engine.released.set).start()
    rows = [next(going).row for _ in range(3)]
    assert {row.photo for row in rows if row} == {"IMG_000.png", "IMG_001.png", "IMG_003.png"}
    decoded.set()
    assert len(list(going)) == 5


def test_no_more_photos_are_held_than_are_asked_about(tmp_path: Path) -> None:
    decoded = []

    def decode(path: Path, content: bytes) -> Photo:
        decoded.append(path)
        return read_photo(content)

    engine = Server(8, held=255)
    stop = threading.Event()
    going = rank_folder(engine, shoot(tmp_path / "shoot", 60), tmp_path / "out", decode=decode, stop=stop)
    threading.Timer(0.7, stop.set).start()
    with pytest.raises(Stopped):
        next(going)
    assert 4 <= len(decoded) <= 4 + 4  # two wait in the queue, one for a place in it, one for a server
    assert no_thread_is_left()


def test_a_batch_is_how_many_photos_a_server_has_at_a_time(tmp_path: Path) -> None:
    engine = Server(8, held=255)
    going = rank_folder(engine, shoot(tmp_path / "shoot", 60), tmp_path / "out", batch=9)
    threading.Timer(0.7, engine.released.set).start()
    list(going)
    assert engine.most == 9


def test_a_photo_that_a_server_cannot_answer_is_a_row_with_its_reason(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(Server(8, refuse="dark photos"), shoot(tmp_path / "shoot", 12), out)
    assert {row.photo: row.error for row in ranking(out) if row.error} == {
        "IMG_000.png": "The model ran out of memory."
    }
    assert len(lines(out)) == 12


def test_a_server_that_is_gone_ends_the_run_and_what_was_finished_stays(tmp_path: Path) -> None:
    folder, out = shoot(tmp_path / "shoot", 30), tmp_path / "out"
    engine = Server(8)
    going = rank_folder(engine, folder, out)
    done = [next(going).row for _ in range(6)]
    engine.refuse = "always"
    with pytest.raises(EngineError, match="is gone"):
        done += [state.row for state in going]
    assert {row.photo for row in done if row} <= {str(row["photo"]) for row in lines(out)}
    assert no_thread_is_left()
    run(Server(8), folder, out)
    assert sorted(str(row["photo"]) for row in lines(out)) == photos_in(folder)


def test_what_went_well_is_written_before_a_failure_is_told() -> None:
    good, bad = Future(), Future()
    good.set_result([Row("good.png", "", "")])
    bad.set_exception(EngineError("The model is gone."))
    for running in ({good, bad}, {bad, good}):
        rows = _finished(running, 0, threading.Event())
        assert next(rows).photo == "good.png"
        with pytest.raises(EngineError, match="is gone"):
            next(rows)


def test_a_run_with_a_server_that_is_dropped_stops_its_questions(tmp_path: Path) -> None:
    engine = Server(8, held=2)
    going = rank_folder(engine, shoot(tmp_path / "shoot", 30), tmp_path / "out")
    next(going)
    going.close()
    assert engine.now == 0
    assert no_thread_is_left()


@pytest.mark.parametrize("in_flight", [0, 8])
def test_nobody_watches_the_words_of_a_folder_and_only_ratings_have_odds(
    tmp_path: Path, in_flight: int
) -> None:
    engine = PixelEngine(in_flight=in_flight)
    run(engine, shoot(tmp_path / "shoot", 5), tmp_path / "out")
    assert set(engine.watched) == {False}
    wanted = {(request.task, request.odds) for requests, _, _ in engine.asked for request in requests}
    assert wanted == {(Task.SCORE, True), (Task.DEGRADATION, False)}


CHILD = """
import sys, time
sys.path[:0] = [{tests!r}, {root!r}]
from pathlib import Path
from shared.engines import PixelEngine
from qinsight.ranking.folder import rank_folder
print("ready", flush=True)
for state in rank_folder(PixelEngine(in_flight={in_flight}), Path({folder!r}), Path({out!r}), batch=4):
    time.sleep(0.002)
"""


@pytest.mark.skipif(os.name != "posix", reason="there is no kill -9 here")
@pytest.mark.parametrize("in_flight", [0, 16])
def test_killed_twenty_times_at_random_moments_every_photo_is_there_exactly_once(
    tmp_path: Path, in_flight: int
) -> None:
    folder, out, straight = shoot(tmp_path / "shoot", 200), tmp_path / "out", tmp_path / "straight"
    run(PixelEngine(), folder, straight)
    tests = REPOSITORY / "tests"
    program = CHILD.format(
        tests=str(tests), root=str(tests.parent), folder=str(folder), out=str(out), in_flight=in_flight
    )
    generator, kills, kept = random.Random(7), 0, set()
    for _ in range(20):
        child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        try:
            child.wait(generator.uniform(0.01, 0.25))
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            kills += 1
        child.wait()
        child.stdout.close()
        finished = {row.photo: row.expected_rating for row in ranking(out)}
        assert kept <= finished.items()  # nothing that was finished is lost or changed
        kept = set(finished.items())
    run(PixelEngine(), folder, out)
    assert kills >= 10
    assert sorted(str(row["photo"]) for row in lines(out)) == photos_in(folder)
    facts = [
        {(r.photo, r.rating, r.expected_rating, r.phash) for r in ranking(place)} for place in (out, straight)
    ]
    assert facts[0] == facts[1]


@pytest.mark.skipif(
    not hasattr(os, "statvfs") or shutil.which("bash") is None, reason="needs a shell's ulimit"
)
def test_a_full_disk_is_one_sentence_and_what_was_finished_stays(tmp_path: Path) -> None:
    folder, out = shoot(tmp_path / "shoot", 60), tmp_path / "out"
    tests = REPOSITORY / "tests"
    program = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n" + CHILD.format(
        tests=str(tests), root=str(tests.parent), folder=str(folder), out=str(out), in_flight=0
    )
    result = subprocess.run(
        ["bash", "-c", f'ulimit -f 8; exec {sys.executable} -c "$PROGRAM"'],
        env={**os.environ, "PROGRAM": program},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0
    assert "Results cannot be written" in result.stderr
    finished = {row.photo for row in ranking(out)}
    assert 0 < len(finished) < 60
    run(PixelEngine(), folder, out)
    assert sorted(row.photo for row in ranking(out)) == photos_in(folder)


def test_rows_survive_names_with_quotes_newlines_and_other_scripts(tmp_path: Path) -> None:
    folder, out = tmp_path / "shoot", tmp_path / "out"
    folder.mkdir()
    names = ['say "cheese".png', "two\nlines.png", "写真 ñandú.png", "=cmd().png"]
    for number, name in enumerate(names):
        Image.new("RGB", (64, 56), (number * 9,) * 3).save(folder / name)
    run(PixelEngine(), folder, out)
    engine = PixelEngine()
    run(engine, folder, out)
    assert engine.photos == 0
    assert {row.photo for row in ranking(out)} == set(names)
    assert all(isinstance(row, Row) for row in ranking(out))


# --- what a frame is, and what a burst is not ---------------------------------------------------------------------


def test_a_raw_and_its_jpeg_are_asked_once_and_the_row_names_both(tmp_path: Path) -> None:
    folder, out = shoot(tmp_path / "shoot", 2), tmp_path / "out"
    Image.new("RGB", (64, 56), (90, 90, 90)).save(folder / "IMG_9.JPG")
    (folder / "IMG_9.CR2").write_bytes(b"II*\0 not asked")
    engine = PixelEngine()
    states = run(engine, folder, out)
    assert engine.photos == states[-1].total == 3
    (row,) = [row for row in ranking(out, look(folder).frames) if row.photo == "IMG_9.JPG"]
    assert row.also == "IMG_9.CR2"
    assert [one.row.also for one in states if one.row and one.row.photo == "IMG_9.JPG"] == ["IMG_9.CR2"]
    assert [one.photo for one in of_each_file([row])] == ["IMG_9.JPG", "IMG_9.CR2"]
    assert [one.photo for one in of_each_file([row], raw_only=True)] == ["IMG_9.CR2"]
    run(engine, folder, out)
    assert engine.photos == 3


def test_where_the_jpeg_of_a_frame_is_damaged_another_file_of_it_is_asked_and_it_is_said(
    tmp_path: Path,
) -> None:
    folder, out = tmp_path / "shoot", tmp_path / "out"
    folder.mkdir()
    (folder / "IMG_9.JPG").write_bytes(b"damaged")
    Image.new("RGB", (64, 56), (90, 90, 90)).save(folder / "IMG_9.DNG", "PNG")
    states = run(PixelEngine(), folder, out)
    (row,) = ranking(out, look(folder).frames)
    assert (states[-1].done, states[-1].failed, row.photo, row.also) == (1, 0, "IMG_9.DNG", "IMG_9.JPG")
    assert row.remarks
    assert row.remarks.startswith("IMG_9.JPG: expected a photo")


def test_remarks_about_reading_a_photo_stay_with_its_row(tmp_path: Path) -> None:
    folder, out = tmp_path / "shoot", tmp_path / "out"
    folder.mkdir()
    frames = [Image.new("RGB", (64, 56), (shade, 0, 0)) for shade in (10, 200)]
    frames[0].save(folder / "a.png", save_all=True, append_images=frames[1:])
    run(PixelEngine(), folder, out)
    run(PixelEngine(), folder, out)
    assert [row.remarks for row in ranking(out)] == ["first of 2 frames"]


def plain(kind: str) -> Image.Image:
    """A frame without structure: of one shade, a gradient, a glow, grain."""
    down, across = np.mgrid[0:168, 0:224].astype(np.float32)
    grey = {
        "lens cap": 2 + 0 * down,
        "white": 255 + 0 * down,
        "sky": 120 + down / 2,
        "sunset": 220 - down,
        "slope": 40 + across / 3 + down / 4,
        "glow": np.clip(250 - np.hypot(across - 112, down - 84), 0, 255),
        "sea": np.where(down < 80, 200, 70),
        "grain": 60 + np.random.default_rng(1).normal(0, 12, down.shape),
        "other grain": 60 + np.random.default_rng(2).normal(0, 12, down.shape),
    }[kind]
    return Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).convert("RGB")


def test_frames_without_structure_are_no_burst(tmp_path: Path) -> None:
    folder, out = tmp_path / "shoot", tmp_path / "out"
    folder.mkdir()
    kinds = ("lens cap", "white", "sky", "sunset", "slope", "glow", "sea", "grain", "other grain")
    for kind in kinds:
        plain(kind).save(folder / f"{kind}.jpg")
    run(PixelEngine(), folder, out)
    rows = ranking(out)
    assert len(rows) == len(kinds)
    assert {row.group for row in rows} == {None}


def test_a_photo_with_structure_has_the_hash_that_imagehash_gives(tmp_path: Path) -> None:
    import imagehash

    for path in sorted((REPOSITORY / "examples" / "photos").glob("*.jpg")):
        image = read_photo(path).image
        assert _phash(image) == str(imagehash.phash(image)), path.name
        assert _phash(image.point(lambda value: 110 + value // 16)) is not None  # in fog
