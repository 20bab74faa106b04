"""A GPU that is lent for each question, and replies kept so that examples need none."""

import importlib
import json
import multiprocessing
import re
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
from PIL import Image

from qinsight.assess import ask, assessment, comparison, last
from qinsight.engines.checkpoint import locate
from qinsight.engines.local import LocalEngine
from qinsight.errors import EngineError, NotLent, RequestFailed, Stopped
from qinsight.page import build_page, launch, zerogpu
from qinsight.page.assess_tab import EXAMPLES
from qinsight.page.compare_tab import PAIRS
from qinsight.page.host import Host
from qinsight.page.line import Job
from qinsight.page.recordings import Recordings, replay
from qinsight.page.sentences import translated
from qinsight.page.zerogpu import LentGpu, get_ready, lent, seconds_needed
from qinsight.photos import load_photo
from qinsight.prompts import Task
from qinsight.ranking.folder import rank_folder, ranking
from qinsight.requests import About, Delta, Engine, Finish, Request, Sampling
from shared.api import Page
from shared.engines import A_FIRST, B_FIRST, DIAGNOSIS, SCORE, ScriptedEngine
from shared.pages import engine_of, eventually

SHIPPED = locate("preview").fingerprint

# As the real package does it: in a forked process, arguments and results pickled, of errors only their names.
SPACES = """
import multiprocessing, pickle
import gradio as gr

asked = []

def GPU(task, duration=None):
    def run(connection, given):
        try:
            for found in task(*pickle.loads(given)):
                connection.send(("yield", found))
        except Exception as error:
            connection.send(("error", type(error).__name__))
        connection.send(("end", None))

    def handler(*args):
        asked.append(duration(*args))
        ours, theirs = multiprocessing.Pipe()
        fork = multiprocessing.get_context("fork")
        worker = fork.Process(target=run, args=(theirs, pickle.dumps(args)), daemon=True)
        worker.start()
        try:
            while True:
                kind, value = ours.recv()
                if kind == "end":
                    return
                if kind == "error":
                    raise gr.Error(value, title="ZeroGPU worker error", print_exception=False)
                yield value
        finally:
            worker.kill()
            worker.join()

    return handler
"""


@pytest.fixture
def spaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A package of that name which lends a process instead of a GPU."""
    (tmp_path / "lender").mkdir()
    (tmp_path / "lender" / "spaces.py").write_text(SPACES)
    monkeypatch.syspath_prepend(str(tmp_path / "lender"))
    monkeypatch.delitem(sys.modules, "spaces", raising=False)
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setenv("HF_DEACTIVATE_ASYNC_LOAD", "")
    yield importlib.import_module("spaces")
    sys.modules.pop("spaces", None)


@pytest.fixture(autouse=True)
def uploads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Page]]:
    pages = []

    def serve(open_engine: Callable[..., Engine], **options: Any) -> Page:
        host = Host(open_engine, **options)
        host.load()
        blocks = build_page(host)
        _, url, _ = launch(blocks, host, prevent_thread_lock=True, quiet=True)
        pages.append(blocks)
        return Page(url, host, blocks)

    yield serve
    for page in pages:
        page.close(verbose=False)


def of_size(width: int, height: int) -> list[Request]:
    return assessment(Image.new("RGB", (width, height)))


# --- whether, and for how long --------------------------------------------------------------------------


def test_nothing_is_lent_unless_the_variable_says_so(spaces: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lent()
    for value in ("", "0", "false", "no"):
        monkeypatch.setenv("SPACES_ZERO_GPU", value)
        assert not lent(), value
    monkeypatch.delenv("SPACES_ZERO_GPU")
    assert not lent()


def test_nothing_is_lent_where_the_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not lent()


def test_a_larger_photo_asks_for_the_gpu_longer_and_no_photo_for_more_than_a_minute() -> None:
    sampling = Sampling()
    small, large = (seconds_needed(of_size(*size), sampling, None) for size in ((280, 280), (2800, 2800)))
    assert small < large - 15
    bounded = seconds_needed(of_size(8000, 6000), sampling, 1_003_520)
    assert small < bounded < 30
    three = [Image.new("RGB", (8000, 6000)) for _ in range(3)]
    longest = seconds_needed(comparison(*three), Sampling(max_new_tokens=1 << 20), 1_003_520)
    assert bounded < longest < 60


def test_a_photo_that_two_questions_share_is_counted_once() -> None:
    both = of_size(1000, 1000)
    assert seconds_needed(both, Sampling(), None) == seconds_needed(both[:1], Sampling(), None)


def test_shorter_replies_ask_for_less() -> None:
    requests = of_size(280, 280)
    assert (
        seconds_needed(requests, Sampling(max_new_tokens=20), None)
        < seconds_needed(requests, Sampling(), None) - 10
    )


def test_weights_are_read_in_one_thread_where_a_gpu_is_lent(spaces: Any) -> None:
    """Torch is patched in one thread only: the others of transformers' reader looked for a real GPU."""
    get_ready()
    from transformers.core_model_loading import is_env_variable_true

    assert is_env_variable_true("HF_DEACTIVATE_ASYNC_LOAD")


# --- the same answers ---------------------------------------------------------------------------------------


def test_the_page_answers_the_same_with_a_lent_gpu(
    spaces: Any, served: Callable[..., Page], photo: Path
) -> None:
    found = []
    for wrapped in (False, True):
        for scripts, name, count in (([SCORE], "score", 1), ([A_FIRST, B_FIRST], "compare", 2)):
            engine = ScriptedEngine(*scripts)
            page = served(
                lambda progress, engine=engine, wrapped=wrapped: LentGpu(engine) if wrapped else engine
            )
            last_state = page.answers(name, *[page.upload(photo)] * count)[-1]
            found.append(last_state | {"seconds": 0})
            assert (engine.asked == []) == wrapped  # with a lent GPU another process was asked
    assert found[:2] == found[2:]
    assert found[0]["rating"] == 4.25
    assert len(spaces.asked) == 2


def test_a_real_model_answers_the_same_with_a_lent_gpu(
    engine: LocalEngine, spaces: Any, fixture_requests: dict[str, Request]
) -> None:
    requests, sampling = [fixture_requests["score"], fixture_requests["comparison"]], Sampling(8)
    assert [*LentGpu(engine).stream(requests, sampling)] == [*engine.stream(requests, sampling)]


def test_all_weights_are_in_memory_before_the_first_question(official: Path, spaces: Any) -> None:
    engine = LocalEngine.open(str(official))
    assert len(engine.about.details) == 1
    LentGpu(engine)
    assert sorted(engine.about.details) == ["comparison", "score_degradation"]


def test_an_unreadable_photo_never_reaches_the_gpu(
    spaces: Any, served: Callable[..., Page], tmp_path: Path
) -> None:
    page = served(lambda progress: LentGpu(ScriptedEngine(SCORE)))
    (tmp_path / "rubbish.jpg").write_bytes(b"rubbish")
    for given in (page.upload(tmp_path / "rubbish.jpg"), "data:image/png;base64,AAAA"):
        assert "expected a photo" in page.answers("score", given)[-1]["error"]
    assert page.call("score", "/etc/passwd").status_code == 422
    assert spaces.asked == []


class Failing(ScriptedEngine):
    """Raises what it is given."""

    def __init__(self, error: Exception) -> None:
        super().__init__(SCORE)
        self.error = error

    def stream(self, *args: Any, **options: Any) -> Iterator[Delta]:
        yield Delta(0, "<think>")
        raise self.error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            RequestFailed("The model ran out of memory on this photo. Try a smaller copy."),
            "ran out of memory",
        ),
        (EngineError("Expected another task."), "Expected another task."),
        (RuntimeError("secret words"), "The model crashed on this question. Try another photo"),
    ],
)
def test_a_workers_error_is_a_sentence_and_the_next_question_is_answered(
    spaces: Any, error: Exception, told: str
) -> None:
    with pytest.raises((RequestFailed, EngineError), match=told) as raised:
        [*LentGpu(Failing(error)).stream(of_size(64, 64))]
    assert "secret" not in str(raised.value)
    assert [*LentGpu(ScriptedEngine(SCORE)).stream(of_size(64, 64)[:1])][-1].finish is Finish.STOP


def refusing(error: Exception) -> Callable[..., Iterator[Delta]]:
    def refuse(*args: Any) -> Iterator[Delta]:
        raise error
        yield

    return refuse


def gradio_error(title: str, message: str) -> gr.Error:
    return gr.Error(message, title=title, print_exception=False)


REFUSALS = [
    (
        gradio_error(
            "ZeroGPU quota exceeded",
            "You have exceeded your free ZeroGPU quota (30s requested vs. 7s left). Try again in 0:41:07. "
            '<a href="x">Subscribe</a>',
        ),
        "used up for now. Try again in 0:41:07.",
    ),
    (
        gradio_error("ZeroGPU quota exceeded", "You have exceeded your ZeroGPU runs limit. "),
        "used up for now. Try again later.",
    ),
    (gradio_error("ZeroGPU queue timeout", "No GPU was available after 60s. Retry later"), "No GPU was free"),
    (gradio_error("ZeroGPU client error", "No GPU was available"), "No GPU was free"),
    (gradio_error("ZeroGPU client error", "Expired ZeroGPU proxy token"), "permission to use a GPU has run"),
    (gradio_error("ZeroGPU pending credits exceeded", "You have too many"), "as many questions on GPUs"),
    (gradio_error("ZeroGPU client error", "Internal Gradio error"), "No GPU can be had"),
    (RuntimeError("ZeroGPU API /schedule error: 500 (Internal Server Error)"), "No GPU can be had"),
    (RuntimeError("Unexpected end of stream"), "No GPU can be had"),
    (httpx.ConnectError("refused"), "No GPU can be had"),
    (httpx.ReadTimeout("slow"), "No GPU can be had"),
]


@pytest.mark.parametrize(
    ("error", "told"), REFUSALS, ids=lambda one: one[:30] if isinstance(one, str) else ""
)
def test_why_no_gpu_was_lent_is_a_sentence_in_three_languages_and_never_a_crash(
    spaces: Any,
    served: Callable[..., Page],
    monkeypatch: pytest.MonkeyPatch,
    photo: Path,
    error: Exception,
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(spaces, "GPU", lambda task, duration: refusing(error))
    loaded = []
    page = served(lambda progress: loaded.append(1) or LentGpu(ScriptedEngine(SCORE)))  # type: ignore[func-returns-value]
    with pytest.raises(NotLent, match=re.escape(told)) as raised:
        [*engine_of(page.host, Job()).stream(of_size(64, 64))]
    for place in (0, 1):
        assert translated(raised.value.sentence, place) is not None
    assert told in page.answers("score", page.upload(photo))[-1]["error"]
    assert "crashed" not in capsys.readouterr().err
    assert loaded == [1]


def test_a_visitor_who_hangs_up_while_queueing_for_a_gpu_has_stopped_and_broken_nothing(
    spaces: Any,
    served: Callable[..., Page],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    loaded = []
    for words in (
        "Connection closed by visitor while queueing",
        "Connection closed by visitor on queue success",
    ):
        error = RuntimeError(words)
        monkeypatch.setattr(spaces, "GPU", lambda task, duration, error=error: refusing(error))
        page = served(lambda progress: loaded.append(1) or LentGpu(ScriptedEngine(SCORE)))  # type: ignore[func-returns-value]
        for _ in range(4):
            with pytest.raises(Stopped):
                [*engine_of(page.host, Job()).stream(of_size(64, 64))]
        assert page.host.about is not None
    assert loaded == [1, 1]
    assert "crashed" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("title", "message", "told"),
    [
        ("ZeroGPU worker error", "GPU task aborted", "The GPU was needed for longer than was asked for."),
        (
            "ZeroGPU illegal duration",
            "The requested GPU duration (900s)",
            "needs a GPU for longer than it is lent",
        ),
    ],
)
def test_what_is_wrong_with_one_photo_is_told_of_that_photo(
    spaces: Any, monkeypatch: pytest.MonkeyPatch, title: str, message: str, told: str
) -> None:
    monkeypatch.setattr(spaces, "GPU", lambda task, duration: refusing(gradio_error(title, message)))
    with pytest.raises(RequestFailed, match=told):
        [*LentGpu(ScriptedEngine(SCORE)).stream(of_size(64, 64))]


def test_a_ranking_stops_at_the_first_refusal_and_goes_on_later(
    spaces: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for shade in range(40):
        Image.new("RGB", (64, 56), (shade, 9, 9)).save(tmp_path / f"{shade}.png")
    quota = iter([True, False])
    asked = []

    def lend(task: Callable[..., Any], duration: Any) -> Callable[..., Any]:
        def handler(*given: Any) -> Iterator[Any]:
            asked.append(len(given[0]) // 2)
            if next(quota, False):
                yield from task(*given)
            else:
                raise REFUSALS[0][0]

        return handler

    monkeypatch.setattr(spaces, "GPU", lend)
    monkeypatch.setattr(zerogpu, "_end_with_the_page", lambda: None)  # it asks in this very process
    engine = LentGpu(ScriptedEngine(SCORE, DIAGNOSIS))
    out = tmp_path / "out"
    with pytest.raises(NotLent):
        [*rank_folder(engine, tmp_path, out)]
    assert asked == [16, 16]
    assert len(ranking(out)) == 16
    quota = iter([True, True])
    assert [*rank_folder(engine, tmp_path, out)][-1].done == 40
    assert asked[2:] == [16, 8]
    assert not any(row.error for row in ranking(out))


def test_stop_ends_a_question_at_its_next_word(spaces: Any) -> None:
    job = Job()
    words = LentGpu(ScriptedEngine(["and on "] * 1000)).stream(of_size(64, 64)[:1], stop=job.stopped)
    next(words)
    job.stop()
    with pytest.raises(Stopped):
        next(words)
    eventually(lambda: not multiprocessing.active_children())


def test_several_questions_borrow_a_gpu_each(spaces: Any, served: Callable[..., Page]) -> None:
    page = served(lambda progress: LentGpu(ScriptedEngine(SCORE)), at_once=zerogpu.AT_ONCE)
    assert page.host.line.at_once == 4


# --- examples without a GPU ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def preview() -> LocalEngine:
    return LocalEngine.open("preview")


def test_the_recorded_replies_are_the_models_own(preview: LocalEngine) -> None:
    about, recordings = preview.about, Recordings()
    for paths in [*((path,) for path in EXAMPLES), *PAIRS]:
        photos = [load_photo(path) for path in paths]
        requests = assessment(*photos) if len(photos) == 1 else comparison(*photos)
        told = recordings.find(about, Sampling(), requests, [str(path) for path in paths])
        assert told is not None, paths
        live = last(ask(preview, requests))
        for old, new in zip(told, live, strict=True):
            assert (old.text, old.tokens, old.answer) == (new.text, new.tokens, new.answer)
            assert old.expected_rating == pytest.approx(new.expected_rating, abs=0.01)
            assert old.severity_odds == pytest.approx(new.severity_odds, abs=0.01)


def named(model: str = "Q-Insight preview", weights: str = SHIPPED) -> About:
    return About(model, frozenset(Task), "fp32", "cpu", weights=weights)


def found(recordings: Recordings, *paths: Path, about: About | None = None, **options: Any) -> bool:
    settings = Sampling(**options)
    requests = (
        of_size(64, 64) if len(paths) == 1 else [Request(one.task, one.photos) for one in of_size(64, 64)]
    )
    return recordings.find(about or named(), settings, requests, [str(path) for path in paths]) is not None


def test_only_the_recorded_model_and_our_own_photos_are_replayed(tmp_path: Path) -> None:
    recordings, cat = Recordings(), EXAMPLES[0].with_name("cat.jpg")
    assert found(recordings, cat)
    (copy := tmp_path / "cat.jpg").write_bytes(cat.read_bytes())
    assert found(recordings, copy)
    copy.write_bytes(EXAMPLES[0].with_name("rocket.jpg").read_bytes())
    assert not found(recordings, copy)
    assert not found(recordings, cat, about=named("ByteDance/Q-Insight", ""))
    assert not found(recordings, cat, about=named(weights="of another training"))
    assert not found(recordings, cat, temperature=1.0)
    assert not found(recordings, cat, max_new_tokens=3)


def test_a_replay_grows_to_the_recorded_reply_and_can_be_stopped() -> None:
    requests = of_size(64, 64)
    told = Recordings().find(named(), Sampling(), requests, [str(EXAMPLES[0])])
    assert told is not None
    states = [*replay(told, stop := threading.Event())]
    assert len(states) > 10
    assert states[-1] == tuple(told)
    assert all(one.answer is None for one in states[0])
    assert all(told[0].text.startswith(state[0].text) for state in states)
    stop.set()
    with pytest.raises(Stopped):
        [*replay(told, stop)]


def clicked(page: Page, path: Path) -> list[list[Any]]:
    """What the Assess tab shows after a click on an example, as its handlers give it."""
    tab = next(f.fn.__self__ for f in page.blocks.fns.values() if f.name == "turn_to_example")
    request = gr.Request(session_hash="visitor", client=None, headers={})
    last = tab.tables.newest("visitor")
    tab.tables.turn_to("visitor", last.number + 1 if last else 1, str(path))
    return [[value.get("shown") for value in values] for values in tab.run(request)]


def test_an_example_is_answered_without_the_gpu_and_the_page_says_so(
    spaces: Any, served: Callable[..., Page]
) -> None:
    class Preview(ScriptedEngine):
        @property
        def about(self) -> About:
            return named()

    engine = LentGpu(Preview(SCORE, DIAGNOSIS))
    page = served(lambda progress: engine, recordings=Recordings())
    shown = clicked(page, EXAMPLES[0].with_name("cat_blurred.jpg"))
    assert "recorded reply of Q-Insight preview" in shown[-1][1]
    assert any("A recorded reply …" in values[1] for values in shown)
    assert "blur" in json.dumps(shown[-1][4]).lower()
    assert spaces.asked == []


def test_an_example_that_was_never_recorded_costs_the_gpu_once(
    spaces: Any, served: Callable[..., Page], photo: Path
) -> None:
    page = served(lambda progress: LentGpu(ScriptedEngine(SCORE, DIAGNOSIS)), recordings=Recordings())
    shown = [clicked(page, EXAMPLES[0])[-1] for _ in range(2)]
    assert len(spaces.asked) == 1
    assert "recorded reply of scripted" not in shown[0][1]
    assert "recorded reply of scripted" in shown[1][1]
    assert shown[0][5:] == shown[1][5:]
    for _ in range(2):
        clicked(page, photo)
    assert len(spaces.asked) == 3


def test_a_page_with_a_gpu_of_its_own_always_asks_the_model(served: Callable[..., Page]) -> None:
    engine = ScriptedEngine(SCORE, DIAGNOSIS)
    page = served(lambda progress: engine)
    for _ in range(2):
        assert "recorded" not in clicked(page, EXAMPLES[0])[-1][1]
    assert len(engine.asked) == 2


def test_recordings_are_written_as_they_are_read(tmp_path: Path) -> None:
    old = Recordings()
    about = named()
    (tmp_path / "replies").mkdir()
    file = old.write(about, tmp_path / "replies")
    (tmp_path / "photos").symlink_to(EXAMPLES[0].parent)
    assert Recordings(tmp_path)._known == old._known
    assert json.loads(file.read_text()) == json.loads(
        (EXAMPLES[0].parents[1] / "replies" / file.name).read_text()
    )
