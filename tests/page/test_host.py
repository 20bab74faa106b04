"""The line before the model, and what happens when the model breaks."""

import gzip
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
from PIL import Image

from qinsight.assess import Asked
from qinsight.errors import EngineError, RequestFailed, Stopped
from qinsight.page import background, build_page, tab
from qinsight.page.about_tab import about_text
from qinsight.page.background import in_background
from qinsight.page.host import Host
from qinsight.page.line import Job, Line, LineFull, TooMany
from qinsight.prompts import Task
from qinsight.ranking.folder import rank_folder
from qinsight.requests import Delta, Engine, Request
from shared.engines import PixelEngine, ScriptedEngine
from shared.pages import engine_of, eventually, served
from shared.pictures import photo_file
from shared.places import REPOSITORY

SCORE = ['<think>fine</think><answer>{"rating": 4.25}</answer>']
PHOTO = Image.new("RGB", (64, 64))


@dataclass(frozen=True)
class Replied:
    """A state of a tab, as far as its pace goes."""

    asked: tuple[Asked, ...]


class Served:
    """Takes turns of a line in threads, and remembers who had the model in which order."""

    def __init__(self, line: Line) -> None:
        self.line, self.order = line, []
        self.free = threading.Semaphore(0)
        self.threads: list[threading.Thread] = []

    def ask(self, job: Job, name: str) -> None:
        def turn() -> None:
            try:
                with self.line.turn(job):
                    self.order.append(name)
                    self.free.acquire()
            except Stopped:
                self.order.append(f"{name} stopped")

        self.threads.append(threading.Thread(target=turn, daemon=True))
        known = self.line._tickets
        self.threads[-1].start()
        eventually(lambda: self.line._tickets > known)

    def finish(self) -> list[str]:
        for _ in self.threads:
            self.free.release()
        for thread in self.threads:
            thread.join(5)
            assert not thread.is_alive()
        return self.order


def test_a_visitor_with_many_questions_lets_others_go_between_them() -> None:
    served = Served(Line())
    for number in range(4):
        served.ask(Job("greedy"), f"greedy {number}")
    served.ask(Job("ann"), "ann")
    served.ask(Job("bob"), "bob")
    assert served.finish() == ["greedy 0", "ann", "bob", "greedy 1", "greedy 2", "greedy 3"]


def test_newcomers_do_not_keep_an_old_question_waiting_for_ever() -> None:
    line = Line()
    served = Served(line)
    served.ask(Job("first"), "first")
    served.ask(Job("first"), "first again")
    for number in range(3):
        served.ask(Job(f"new {number}"), f"new {number}")
    served.free.release()
    served.free.release()
    eventually(lambda: len(served.order) == 3)
    for number in range(3, 80):
        served.ask(Job(f"new {number}"), f"new {number}")
    order = served.finish()
    assert order.index("first again") <= 60


def test_one_address_with_many_invented_names_does_not_starve_another() -> None:
    served = Served(Line())
    for number in range(30):
        served.ask(Job(f"name {number}", "192.0.2.7"), "crowd")
    served.ask(Job("ann", "192.0.2.8"), "ann")
    assert served.finish().index("ann") <= 9


def test_a_question_taken_back_costs_its_visitor_no_turn() -> None:
    served = Served(Line())
    served.ask(Job("running"), "running")
    for number in range(3):
        job = Job("ann")
        served.ask(job, "ann")
        job.stop()
        eventually(lambda number=number: len(served.order) == number + 2)
    served.ask(Job("ann"), "ann at last")
    served.ask(Job("bob"), "bob")
    assert served.finish() == ["running", *["ann stopped"] * 3, "ann at last", "bob"]


def test_everyone_in_line_knows_how_many_are_before_them() -> None:
    served = Served(Line())
    jobs = [Job(name) for name in ("a", "b", "c", "d")]
    for job in jobs:
        served.ask(job, job.visitor)
    assert [job.before for job in jobs] == [None, 1, 2, 3]
    jobs[1].stop()
    eventually(lambda: [job.before for job in jobs] == [None, None, 1, 2])
    served.free.release()
    eventually(lambda: [job.before for job in jobs] == [None, None, None, 1])
    served.finish()


def test_a_server_is_asked_by_several_visitors_at_once() -> None:
    line = Line()
    line.at_once = 3
    served = Served(line)
    for name in "abcd":
        served.ask(Job(name), name)
    eventually(lambda: sorted(served.order) == ["a", "b", "c"])
    served.finish()


def test_the_line_is_bounded_and_says_so() -> None:
    line = Line(longest=3)
    jobs = [Job(name) for name in "abc"]
    for job in jobs:
        line.enter(job)
    with pytest.raises(LineFull, match="3 questions are waiting already"):
        line.enter(Job("d"))
    jobs[0].over()
    line.enter(Job("d"))


def test_a_visitors_own_questions_are_limited() -> None:
    line = Line(each=2)
    line.enter(Job("ann"))
    line.enter(Job("ann"))
    with pytest.raises(TooMany, match="Expected at most 2 questions at a time"):
        line.enter(Job("ann"))
    line.enter(Job("bob"))


def test_one_address_cannot_fill_the_whole_line() -> None:
    line = Line(longest=10)
    for number in range(5):
        line.enter(Job(f"name {number}", "192.0.2.7"))
    with pytest.raises(LineFull):
        line.enter(Job("name 5", "192.0.2.7"))
    line.enter(Job("ann", "192.0.2.8"))


def test_a_visitor_who_left_loses_the_questions_and_nobody_else_does() -> None:
    line = Line()
    mine, other, event = Job("ann"), Job("bob"), Job("eve", names={"e1"})
    for job in (mine, other, event):
        line.enter(job)
    line.drop("ann")
    line.drop("e1")
    assert [job.stopped.is_set() for job in (mine, other, event)] == [True, False, True]


def test_who_has_one_question_answered_is_not_in_line_with_the_next() -> None:
    line = Line()
    served, job, other = Served(line), Job("ann"), Job("bob")
    for one in (job, job, other):
        served.ask(one, one.visitor)
    assert (job.before, other.before) == (None, 1)
    served.free.release()
    eventually(lambda: served.order == ["ann", "bob"])
    assert (job.before, other.before) == (1, None)
    served.finish()


def test_one_question_of_a_job_may_leave_the_line_alone() -> None:
    line, stop, left = Line(), threading.Event(), threading.Event()
    job = Job("ann")

    def turn() -> None:
        with pytest.raises(Stopped), line.turn(job, stop):
            pass
        left.set()

    with line.turn(job):
        threading.Thread(target=turn, daemon=True).start()
        eventually(lambda: len(line._waiting) == 1)
        stop.set()
        assert left.wait(5)
    assert not job.stopped.is_set()


def test_a_long_job_leaves_nothing_behind_of_the_turns_it_had() -> None:
    line, job = Line(), Job("ann")
    for _ in range(3):
        with line.turn(job):
            pass
    assert job._watchers == []


@dataclass(frozen=True)
class State:
    status: str


def in_line(state: State, before: int) -> State:
    return State(f"{before} before me")


def test_the_place_in_line_is_told_as_the_status_and_then_the_work_goes_on() -> None:
    line = Line()
    first, go = Job("a"), threading.Event()

    def running() -> None:
        with line.turn(first):
            go.wait(5)

    threading.Thread(target=running, daemon=True).start()
    eventually(lambda: len(line._running) == 1)

    def work(job: Job) -> Iterator[State]:
        yield State("Looking …")
        with line.turn(job):
            yield State("Thinking …")

    states = in_background(work, Job("b"), in_line)
    seen = [next(states)]
    while seen[-1] is None or seen[-1].status != "1 before me":
        seen.append(next(states))
    go.set()
    assert [*states][-1] == State("Thinking …")


def test_a_place_far_back_is_told_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FAR", 0.5)
    line, go = Line(), threading.Event()
    crowd = [Job(str(number)) for number in range(30)]

    def running(job: Job) -> None:
        with line.turn(job):
            go.wait(5)
            time.sleep(0.05)

    for number, job in enumerate(crowd):
        threading.Thread(target=running, args=(job,), daemon=True).start()
        eventually(lambda number=number: line._tickets == number + 1)

    def work(job: Job) -> Iterator[State]:
        yield State("Looking …")
        with line.turn(job):
            yield State("Thinking …")

    states = in_background(work, Job("b"), in_line)
    next(states)
    go.set()
    seen = [state.status for state in states if state]
    assert seen[-1] == "Thinking …"
    assert len(seen) <= 10
    assert any(f"{number} before me" in seen for number in (1, 2, 3))


def test_a_place_far_back_is_told_in_the_end_though_nothing_else_happens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(background, "FAR", 0.3)
    served, job = Served(Line()), Job("me")
    crowd = [Job(str(number)) for number in range(9)]
    for one in crowd:
        served.ask(one, one.visitor)

    def work(job: Job) -> Iterator[State]:
        yield State("Looking …")
        with served.line.turn(job):
            yield State("Thinking …")

    states = in_background(work, job, in_line)
    while (state := next(states)) is None or state.status != "9 before me":
        pass
    crowd[8].stop()
    started = time.monotonic()
    assert next(states) == State("8 before me")
    assert time.monotonic() - started < 2
    states.close()
    served.finish()


def test_an_update_while_waiting_leaves_buttons_and_picture_as_they_are() -> None:
    """A `gr.skip()` costs the server a millisecond or two, for each component of each update."""
    page = build_page(Host(lambda progress: ScriptedEngine(SCORE)))
    photo = str(REPOSITORY / "examples" / "photos" / "cat.jpg")
    visitor = gr.Request(session_hash="visitor", client=None, headers={})
    questions = {f.fn.__self__.__class__.__name__: f for f in page.fns.values() if f.name == "run"}
    for name in ("AssessTab", "CompareTab"):
        question = questions[name]
        subject = photo if name == "AssessTab" else (photo, photo, None)
        question.fn.__self__.tables.turn_to("visitor", 1, subject)
        states = question.fn(visitor)
        next(states)
        waiting = next(states)  # the model is not loaded yet
        assert gr.skip() not in waiting
        assert not any(isinstance(value, gr.blocks.Block) for value in waiting)
        states.close()


def test_the_first_words_of_a_reply_are_shown_without_a_pause_and_those_after_them_with_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tab, "PACE", 2.0)
    replies = [
        "<think>",
        "<think>Grain",
        "<think>Grain all over",
        "<think>Grain all over the",
        "<think>Grain.",
    ]
    shown = threading.Semaphore(1)

    def work(job: Job) -> Iterator[Replied]:
        for text in replies:
            shown.acquire(timeout=5)
            yield Replied((Asked(Request(Task.SCORE, (PHOTO,)), text),))

    came: list[float] = []
    for state in in_background(work, Job(), pace=tab.until_words):
        assert state is not None
        came.append(time.monotonic())
        shown.release()
    first, second, words, later, _ = came  # the last one of all waits for nothing, either
    assert max(second - first, words - second) < 2.0 <= later - words


def test_gradios_queue_is_not_asked_a_thousand_times_a_second() -> None:
    queue = build_page(Host(lambda progress: ScriptedEngine(SCORE)))._queue
    assert queue.sleep_when_free >= 0.005
    assert queue.progress_update_sleep_when_free >= 0.05


def test_the_page_with_all_our_script_and_style_travels_in_less_than_60_kilobytes() -> None:
    with (
        served(ScriptedEngine(SCORE)) as url,
        httpx.stream("GET", url, headers={"Accept-Encoding": "gzip"}) as sent,
    ):
        packed = b"".join(sent.iter_raw())
    assert len(packed) < 60_000
    page = gzip.decompress(packed).decode()
    assert "window.qiLoupe = {" in page


def test_a_size_that_is_chosen_is_the_one_that_is_told_and_shown(tmp_path: Path) -> None:
    engine = ScriptedEngine(SCORE)
    host = Host(lambda progress: engine, max_pixels=100_352)
    host.load()
    photo_file(tmp_path, "large.png", Image.new("RGB", (800, 600)))
    asked = engine_of(host, Job())
    [*asked.stream([Request(Task.SCORE, (PHOTO,))])]
    [*rank_folder(asked, tmp_path, tmp_path / "out")]
    assert [limit for _, _, limit in engine.asked] == [100_352] * 2
    assert "at 0.1 megapixels at most" in about_text(host)
    assert "100352 px" in (tmp_path / "out" / "results.jsonl").read_text(encoding="utf-8")


# --- a model that breaks ----------------------------------------------------------------------------------


class Breaking(ScriptedEngine):
    """Raises what it is given, then answers."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__(SCORE)
        self.errors = [*errors]

    def stream(self, requests: Sequence[Request], *args: Any, **options: Any) -> Iterator[Delta]:
        if self.errors:
            raise self.errors.pop(0)
        yield from super().stream(requests)


def answers(host: Host) -> str:
    job = Job()
    try:
        engine = engine_of(host, job)
        return "".join(delta.text for delta in engine.stream([Request(Task.SCORE, (PHOTO,))]))
    finally:
        job.over()


def opened(*engines: Engine) -> tuple[Host, list[Engine]]:
    left = [*engines]
    host = Host(lambda progress: left.pop(0))
    host.start()
    return host, left


def test_a_model_that_crashes_is_reported_and_loaded_again(capsys: pytest.CaptureFixture[str]) -> None:
    host, left = opened(Breaking(RuntimeError("secret words of a reply")), ScriptedEngine(SCORE))
    with pytest.raises(EngineError, match="The model crashed on this question and is being loaded again"):
        answers(host)
    assert "4.25" in answers(host)
    assert left == []
    told = capsys.readouterr().err
    assert "The model crashed (RuntimeError)" in told
    assert "secret" not in told


def test_a_model_that_keeps_crashing_is_not_loaded_for_ever() -> None:
    again = Breaking(RuntimeError("a"), RuntimeError("b"))
    host, left = opened(Breaking(RuntimeError("c")), again, ScriptedEngine(SCORE))
    for expected in ("being loaded again", "Try another photo", "Try another photo"):
        with pytest.raises(EngineError, match=expected):
            answers(host)
    assert "4.25" in answers(host)
    assert len(left) == 1


def test_a_reload_that_fails_is_explained_to_every_visitor() -> None:
    engines = iter([Breaking(RuntimeError("a"))])

    def once(progress: Any) -> Engine:
        for engine in engines:
            return engine
        raise EngineError("Expected a folder with a checkpoint.")

    host = Host(once)
    host.start()
    with pytest.raises(EngineError, match="being loaded again"):
        answers(host)
    eventually(lambda: not host.loading)
    with pytest.raises(EngineError, match="Expected a folder"):
        answers(host)


@pytest.mark.parametrize(
    "error", [MemoryError(), RequestFailed("The model ran out of memory on this photo.")]
)
def test_after_want_of_memory_the_next_visitor_is_served_by_the_same_model(error: Exception) -> None:
    host, left = opened(Breaking(error), ScriptedEngine(SCORE))
    with pytest.raises(RequestFailed, match="ran out of memory"):
        answers(host)
    assert "4.25" in answers(host)
    assert len(left) == 1


def test_want_of_memory_before_the_model_is_asked_is_a_sentence_too() -> None:
    def work(job: Job) -> Iterator[State]:
        yield State("Reading …")
        bytes(1 << 60)

    with pytest.raises(RequestFailed, match="too little memory for this photo"):
        [*in_background(work, Job())]


class Counted(PixelEngine):
    """A server's engine that answers one question for each release of `free`."""

    def __init__(self) -> None:
        super().__init__(in_flight=2)
        self.free = threading.Semaphore(0)

    def stream(self, requests: Sequence[Request], *args: Any, **options: Any) -> Iterator[Delta]:
        self.free.acquire()
        yield from super().stream(requests, *args, **options)


def test_who_ranks_through_a_server_lets_another_visitor_go_between_the_photos(tmp_path: Path) -> None:
    """Each of its photos is asked with a stop event of its own, which says nothing of who asks."""
    for shade in range(6):
        Image.new("RGB", (64, 56), (shade,) * 3).save(tmp_path / f"{shade}.png")
    host, _ = opened(engine := Counted())

    def ranked() -> None:
        [*rank_folder(engine_of(host, Job("ann")), tmp_path, tmp_path / "out", batch=4)]

    def rated() -> None:
        [*engine_of(host, Job("bob")).stream([Request(Task.SCORE, (PHOTO,))])]

    threads = [threading.Thread(target=work, daemon=True) for work in (ranked, rated)]
    for thread, waiting in zip(threads, (3, 4), strict=True):
        thread.start()
        eventually(lambda waiting=waiting: len(host.line._waiting) == waiting)
    for _ in range(7):
        engine.free.release()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    photos = [requests[0].photos[0].size for requests, _, _ in engine.asked]
    assert photos.index(PHOTO.size) == 1
    assert len(photos) == 7


def test_a_question_ends_with_its_job_whoever_else_holds_a_stop_event() -> None:
    host, _ = opened(ScriptedEngine(SCORE))
    job = Job("ann")
    engine = engine_of(host, job)
    job.stop()
    with host.line.turn(Job("bob")), pytest.raises(Stopped):
        [*engine.stream([Request(Task.SCORE, (PHOTO,))], stop=threading.Event())]


def test_the_model_is_free_again_when_a_reader_goes() -> None:
    host, _ = opened(ScriptedEngine(["a", "b", "c"]))
    stream = engine_of(host, Job()).stream([Request(Task.SCORE, (PHOTO,))])
    next(stream)
    assert len(host.line._running) == 1
    stream.close()
    assert len(host.line._running) == 0
