"""Converted weights answer with the words of ours, in a process that is watched, started again, and never left behind."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

import qinsight
from qinsight.__main__ import main
from qinsight.assess import Asked, ask, last
from qinsight.engines import llama_engine
from qinsight.engines.checkpoint import PARTS, Device, Precision, locate
from qinsight.engines.convert import convert
from qinsight.engines.gguf_header import Type
from qinsight.engines.llama_engine import LlamaEngine
from qinsight.engines.local import LocalEngine
from qinsight.errors import EngineError, RequestFailed, Stopped
from qinsight.flags import open_here
from qinsight.page.about_tab import headline
from qinsight.page.host import Host
from qinsight.prompts import Order, Task
from qinsight.requests import Engine, Request, Sampling
from qinsight.trust.confidence import calibration_for
from shared.places import REPOSITORY

gguf = pytest.importorskip("gguf")
EXAMPLES = REPOSITORY / "examples" / "photos"
CPU = Device.CPU


@pytest.fixture(scope="module")
def converted(official: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The preview and the fixture model in f32."""
    folder = tmp_path_factory.mktemp("converted")
    convert("preview", folder / "preview", Type.F32)
    convert(str(official), folder / "published", Type.F32)
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture
def opened(converted: dict[str, Path]) -> Iterator[Callable[[str], LlamaEngine]]:
    """Opens one of them, and ends it after the test."""
    pytest.importorskip("xllamacpp")
    engines = []

    def start(name: str) -> LlamaEngine:
        engines.append(LlamaEngine.open(str(converted[name]), CPU))
        return engines[-1]

    yield start
    for engine in engines:
        engine.close()
    assert running() == []


def running() -> list[psutil.Process]:
    """The servers of llama.cpp below this process."""
    found = psutil.Process().children(recursive=True)
    return [one for one in found if is_ours(one)]


def is_ours(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return "qinsight.engines.llama" in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
    return False


def answers(engine: Engine, requests: list[Request], sampling: Sampling) -> tuple[Asked, ...]:
    return last(ask(engine, requests, sampling))


def example(name: str) -> Image.Image:
    return Image.open(EXAMPLES / f"{name}.jpg").convert("RGB")


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(EngineError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- the same words -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def questions(fixture_requests: dict[str, Request]) -> list[Request]:
    """All three tasks, with and without a reference, both orders of a pair, a photo of a few tokens."""
    cat, blurred = example("cat"), example("cat_blurred")
    tiny = Image.linear_gradient("L").resize((60, 57)).convert("RGB")
    return [
        *fixture_requests.values(),
        *(
            Request(task, (photo,))
            for photo in (cat, blurred, tiny)
            for task in (Task.SCORE, Task.DEGRADATION)
        ),
        Request(Task.COMPARISON, (cat, blurred)),
        Request(Task.COMPARISON, (blurred, cat)),
    ]


@pytest.mark.parametrize("penalty", [None, 1.2])
@pytest.mark.parametrize("name", ["preview", "published"])
def test_in_f32_every_reply_is_token_for_token_the_local_engines(
    official: Path,
    opened: Callable[[str], LlamaEngine],
    questions: list[Request],
    name: str,
    penalty: float | None,
) -> None:
    sampling = Sampling(96, repetition_penalty=penalty)
    ours = LocalEngine.open("preview" if name == "preview" else str(official), CPU, Precision.FP32)
    local, llama = answers(ours, questions, sampling), answers(opened(name), questions, sampling)
    assert [one.text for one in llama] == [one.text for one in local]
    assert [one.finish for one in llama] == [one.finish for one in local]
    # not of the published fixture's gibberish: half characters come together
    counts = [[one.tokens for one in replies] for replies in (llama, local)]
    assert name == "published" or counts[0] == counts[1]
    rated = [(one.expected_rating, other.expected_rating) for one, other in zip(llama, local, strict=True)]
    assert all((one is None) == (other is None) for one, other in rated)
    assert all(abs(one - other) < 1e-3 for one, other in rated if one is not None and other is not None)
    assert name == "published" or sum(one is not None for one, _ in rated) > 2


@pytest.mark.parametrize(("kind", "known"), [(Type.F32, True), (Type.F16, True), (Type.Q8_0, False)])
def test_whole_weights_have_the_calibration_of_those_they_were_converted_from(
    tmp_path: Path, kind: Type, known: bool
) -> None:
    pytest.importorskip("xllamacpp")
    (folder,) = convert("preview", tmp_path / "out", kind)
    engine = LlamaEngine.open(str(folder), CPU)
    assert (calibration_for(engine.about, str(folder)) is not None) is known
    engine.close()


def test_each_part_answers_its_own_questions_and_is_started_when_it_is_first_asked(
    opened: Callable[[str], LlamaEngine], fixture_requests: dict[str, Request], expected: dict[str, Any]
) -> None:
    engine = opened("published")
    assert len(running()) == 1
    replies = answers(engine, [fixture_requests["comparison"], fixture_requests["score"]], Sampling(64))
    assert len(running()) == 2
    for reply, name in zip(replies, ("comparison", "score"), strict=True):
        assert reply.text.startswith(expected[name]["text"].rstrip("\ufffd"))


def test_no_photo_is_shown_larger_than_the_checkpoints_own_processor_makes_it(
    opened: Callable[[str], LlamaEngine],
) -> None:
    engine, large = opened("preview"), example("cat").resize((2500, 2000))
    ours = LocalEngine.open("preview", CPU, Precision.FP32)
    local, llama = (
        last(ask(one, [Request(Task.SCORE, (large,))], Sampling(96), max_pixels=5_000_000))[0]
        for one in (ours, engine)
    )
    assert llama.text == local.text


def test_a_longer_question_than_there_is_room_for_starts_a_roomier_server(
    opened: Callable[[str], LlamaEngine], monkeypatch: pytest.MonkeyPatch, questions: list[Request]
) -> None:
    whole = answers(opened("preview"), questions[3:4], Sampling(96))[0].text
    monkeypatch.setattr(llama_engine, "CONTEXT", 256)
    engine = opened("preview")
    small = max(running(), key=lambda one: one.create_time())
    assert answers(engine, questions[3:4], Sampling(96))[0].text == whole
    assert small not in running()


# --- by every way in ----------------------------------------------------------------------------------------------


def test_the_command_line_asks_a_converted_folder(
    converted: dict[str, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pytest.importorskip("xllamacpp")
    photos = [str(EXAMPLES / f"{name}.jpg") for name in ("cat", "cat_blurred")]
    model = ["--model", str(converted["preview"])]
    assert main(["score", *photos, "--json", *model]) == 0
    good, bad = map(json.loads, capsys.readouterr().out.splitlines())
    assert good["rating"] > bad["rating"]
    assert main(["diagnose", photos[1], *model]) == 0
    assert "blur" in capsys.readouterr().out
    assert main(["compare", *photos, *model]) == 0
    assert "A is better" in capsys.readouterr().out
    for photo in photos:
        shutil.copy(photo, tmp_path)
    assert main(["rank", str(tmp_path), "--out", str(tmp_path / "out"), *model]) == 0
    assert running() == []


def test_a_program_opens_it_and_its_end_is_that_of_the_server(converted: dict[str, Path]) -> None:
    pytest.importorskip("xllamacpp")
    with qinsight.open(str(converted["preview"])) as model:
        assert 1 <= model.score(EXAMPLES / "cat.jpg").rating <= 5
        assert len(running()) == 1
    assert running() == []


def test_the_page_loads_it_in_a_thread_that_ends_and_says_what_answers(converted: dict[str, Path]) -> None:
    """The system would end a server with the thread that started it."""
    pytest.importorskip("xllamacpp")
    told = []

    def load(progress: Callable[..., None]) -> Engine:
        def told_too(words: Any, done: float | None) -> None:
            told.append(str(words))
            progress(words, done)

        path = str(converted["published"])
        engine = open_here(path, Device.AUTO, Precision.AUTO, told_too, None)
        threads.append(engine)
        return engine

    threads: list[Any] = []
    host = Host(load)
    loading = threading.Thread(target=host.load)
    loading.start()
    loading.join()
    time.sleep(0.5)
    assert headline(host).startswith("published")
    assert "f32" in headline(host)
    assert any("Starting llama.cpp" in words for words in told)
    assert len(answers(threads[0], [Request(Task.SCORE, (example("cat"),))], Sampling(8))) == 1
    threads[0].close()


def test_about_tells_the_weights_apart_and_that_one_question_is_answered_at_a_time(
    opened: Callable[[str], LlamaEngine],
) -> None:
    about = opened("preview").about
    assert (about.name, about.precision, about.in_flight, about.preview) == (
        "Q-Insight preview",
        "f32",
        1,
        True,
    )
    assert len(about.weights) == 16
    assert about.source == locate("preview").fingerprint
    assert about.memory_bytes > 10**7
    assert about.max_pixels == 1_003_520


def test_the_order_may_be_another_than_the_weights_own(converted: dict[str, Path]) -> None:
    pytest.importorskip("xllamacpp")
    request, said = Request(Task.SCORE, (example("cat"),)), {}
    for order in (None, *Order):
        engine = LlamaEngine.open(str(converted["preview"]), CPU, order=order)
        said[order] = answers(engine, [request], Sampling(96))[0].text
        engine.close()
    assert said[None] == said[Order.PHOTO_FIRST] != said[Order.QUESTION_FIRST]


# --- watched ------------------------------------------------------------------------------------------------------


def test_killed_in_the_middle_of_an_answer_it_is_a_sentence_and_the_next_question_is_answered(
    opened: Callable[[str], LlamaEngine],
) -> None:
    engine, request = opened("published"), Request(Task.SCORE, (example("cat"),))
    before = answers(engine, [request], Sampling(48))[0].text
    stream = engine.stream([request], Sampling(2000))
    next(stream)
    (server,) = running()
    server.kill()
    with pytest.raises(RequestFailed, match="ended in the middle of an answer"):
        list(stream)
    assert answers(engine, [request], Sampling(48))[0].text == before
    assert running() != [server]


def test_killed_between_two_questions_nobody_notices(opened: Callable[[str], LlamaEngine]) -> None:
    engine, request = opened("preview"), Request(Task.SCORE, (example("cat"),))
    for server in running():
        server.kill()
    while running():
        time.sleep(0.01)
    assert answers(engine, [request], Sampling(96))[0].answer is not None


def test_one_that_dies_again_and_again_is_told_and_not_started_for_ever(
    opened: Callable[[str], LlamaEngine],
) -> None:
    engine, request = opened("published"), Request(Task.SCORE, (example("cat"),))

    def kill_in_the_middle() -> None:
        stream = engine.stream([request], Sampling(2000))
        next(stream)
        running()[0].kill()
        list(stream)

    assert "in the middle" in refusal(kill_in_the_middle)
    assert "in the middle" in refusal(kill_in_the_middle)
    assert "ended again" in refusal(lambda: answers(engine, [request], Sampling(8)))
    assert running() == []
    assert len(answers(engine, [request], Sampling(8))) == 1  # who asks again may have made room


def test_stopped_it_is_free_for_the_next_at_once(opened: Callable[[str], LlamaEngine]) -> None:
    engine, request, stop = opened("published"), Request(Task.SCORE, (example("cat"),)), threading.Event()
    stream = engine.stream([request], Sampling(5000), stop=stop)
    next(stream)
    stop.set()
    with pytest.raises(Stopped):
        list(stream)
    assert len(answers(engine, [request], Sampling(8))) == 1


def test_several_visitors_at_once_each_get_their_own_answer(opened: Callable[[str], LlamaEngine]) -> None:
    engine, found = opened("preview"), {}
    asked = {name: Request(Task.DEGRADATION, (example(name),)) for name in ("cat", "cat_blurred")}
    alone = {name: answers(engine, [request], Sampling(96))[0].text for name, request in asked.items()}

    def one(name: str) -> None:
        found[name] = answers(engine, [asked[name]], Sampling(96))[0].text

    threads = [threading.Thread(target=one, args=(name,)) for name in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == alone


OPENS = """
import os, sys, time
from qinsight.engines.llama_engine import LlamaEngine
if sys.argv[2] == "forked":
    if os.fork() == 0:
        time.sleep(30)
        os._exit(0)
engine = LlamaEngine.open(sys.argv[1])
print("open", flush=True)
{then}
"""


@pytest.mark.parametrize("then", ["time.sleep(60)", "os._exit(3)", "sys.exit(0)", "raise SystemExit"])
def test_none_is_left_however_we_end(converted: dict[str, Path], then: str) -> None:
    pytest.importorskip("xllamacpp")
    assert left_by(converted["preview"], OPENS.format(then=then), kill="sleep" in then) == []


def test_none_is_left_when_another_process_holds_our_pipes_open(converted: dict[str, Path]) -> None:
    pytest.importorskip("xllamacpp")
    code = OPENS.format(then="os.fork() or time.sleep(20)\ntime.sleep(60)")
    assert left_by(converted["preview"], code, kill=True) == []


def left_by(model: Path, code: str, *, kill: bool) -> list[psutil.Process]:
    """The servers of a program that are still there four seconds after it ended, or was killed."""
    others = {one.pid for one in psutil.process_iter() if is_ours(one)}
    program = subprocess.Popen(
        [sys.executable, "-c", code, model, "alone"],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert program.stdout is not None
        assert program.stdout.readline() == "open\n"
        if kill:
            servers = [one for one in psutil.Process(program.pid).children(recursive=True) if is_ours(one)]
            assert len(servers) == 1
            program.send_signal(signal.SIGKILL)
        else:
            servers = [one for one in psutil.process_iter() if is_ours(one) and one.pid not in others]
        program.wait(30)
        psutil.wait_procs(servers, 4)
        return [one for one in servers if is_ours(one)]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.stdout.close()


# --- what cannot be opened ----------------------------------------------------------------------------------------


@pytest.fixture
def copy(converted: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the converted preview, to be broken."""
    return Path(shutil.copytree(converted["preview"], tmp_path / "copy"))


def test_a_model_without_its_vision_tower_is_told(copy: Path) -> None:
    (copy / "mmproj.gguf").unlink()
    assert "(mmproj) beside model.gguf" in refusal(lambda: LlamaEngine.open(str(copy)))


def test_a_vision_tower_without_its_model_is_told(copy: Path) -> None:
    (copy / "model.gguf").unlink()
    assert "architecture qwen2vl" in refusal(lambda: LlamaEngine.open(str(copy)))


@pytest.mark.parametrize(
    ("file", "word", "other"),
    [("model.gguf", b"qwen2vl", b"llamaxx"), ("mmproj.gguf", b"qwen2.5vl_merger", b"pixtral_projectr")],
)
def test_a_gguf_of_another_architecture_is_told(copy: Path, file: str, word: bytes, other: bytes) -> None:
    (copy / file).write_bytes((copy / file).read_bytes().replace(word, other))
    assert other.decode() in refusal(lambda: LlamaEngine.open(str(copy)))


@pytest.mark.parametrize("file", ["model.gguf", "mmproj.gguf"])
def test_a_file_that_was_cut_short_is_told_before_llama_cpp_reads_it(copy: Path, file: str) -> None:
    (copy / file).write_bytes((copy / file).read_bytes()[:-1000])
    sentence = refusal(lambda: LlamaEngine.open(str(copy)))
    assert file in sentence
    assert "cut short" in sentence


def test_a_second_model_in_the_folder_is_told(copy: Path) -> None:
    shutil.copy(copy / "model.gguf", copy / "other.gguf")
    assert "one model and its mmproj" in refusal(lambda: LlamaEngine.open(str(copy)))


@pytest.mark.parametrize(
    ("file", "word", "other", "cause"),
    [
        (
            "model.gguf",
            b"blk.1.ffn_up.weight",
            b"blk.1.ffn_xx.weight",
            "tensor 'blk.1.ffn_up.weight' not found",
        ),
        ("model.gguf", b"gpt2", b"gptx", "unknown tokenizer: 'gptx'"),
        (
            "mmproj.gguf",
            b"vision.block_count",
            b"vision.block_xxxxx",
            "Key not found: clip.vision.block_count",
        ),
    ],
)
def test_a_file_that_llama_cpp_refuses_is_told_in_its_words(
    copy: Path, file: str, word: bytes, other: bytes, cause: str
) -> None:
    pytest.importorskip("xllamacpp")
    (copy / file).write_bytes((copy / file).read_bytes().replace(word, other))
    sentence = refusal(lambda: LlamaEngine.open(str(copy)))
    assert sentence.startswith("The converted weights of Q-Insight preview cannot be run: ")
    assert cause in sentence
    assert running() == []


def test_a_vision_tower_of_another_model_is_told(converted: dict[str, Path], copy: Path) -> None:
    pytest.importorskip("xllamacpp")
    shutil.copy(converted["published"] / PARTS[0] / "mmproj.gguf", copy)
    assert "mismatch between text model" in refusal(lambda: LlamaEngine.open(str(copy)))


def test_a_published_layout_with_only_one_part_says_which_is_missing(
    converted: dict[str, Path], tmp_path: Path, fixture_requests: dict[str, Request]
) -> None:
    pytest.importorskip("xllamacpp")
    shutil.copytree(converted["published"] / PARTS[0], tmp_path / "half" / PARTS[0])
    engine = LlamaEngine.open(str(tmp_path / "half"))
    sentence = refusal(lambda: answers(engine, [fixture_requests["comparison"]], Sampling(8)))
    assert f"the part '{PARTS[1]}'" in sentence
    assert "python -m qinsight convert ByteDance/Q-Insight --out q-insight --type f32" in sentence
    engine.close()


def test_files_of_others_without_our_card_are_opened_too(copy: Path) -> None:
    pytest.importorskip("xllamacpp")
    (copy / "qinsight.json").unlink()
    engine = LlamaEngine.open(str(copy), order=Order.PHOTO_FIRST)
    assert engine.about.name == "copy"
    assert answers(engine, [Request(Task.SCORE, (example("cat"),))], Sampling(96))[0].answer is not None
    engine.close()


def test_a_precision_is_refused_as_it_was_chosen_before(converted: dict[str, Path]) -> None:
    path = str(converted["preview"])
    assert "converted to f32" in refusal(lambda: LlamaEngine.open(path, CPU, Precision.NF4))


def test_too_little_memory_is_told_before_it_is_started(
    converted: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("xllamacpp")
    monkeypatch.setattr(llama_engine, "BESIDE", 1e15)
    assert "of free memory" in refusal(lambda: LlamaEngine.open(str(converted["preview"])))


# --- the wheel ----------------------------------------------------------------------------------------------------


def test_without_the_wheel_there_is_the_line_that_installs_it(
    converted: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    assert "pip install xllamacpp" in refusal(lambda: LlamaEngine.open(str(converted["preview"])))


@pytest.mark.parametrize(
    ("wheel", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "does not fit this processor"),
        ("raise ImportError('GLIBC_2.38 not found')", "cannot be run: GLIBC_2.38 not found"),
        ("import os; os._exit(7)", "cannot be run: exit code 7"),
        ("print('no such device', flush=True); import os; os._exit(1)", "cannot be run: no such device"),
        ("x = 1", "cannot be run"),
    ],
)
def test_a_wheel_that_does_not_run_here_is_one_sentence(
    converted: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wheel: str, words: str
) -> None:
    (tmp_path / "xllamacpp.py").write_text(wheel)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    assert words in refusal(lambda: LlamaEngine.open(str(converted["preview"])))
    assert running() == []


SLOW = """
import time
class Anything:
    def __getattr__(self, name): return Anything()
ggml_type = llama_flash_attn_type = Anything()
CommonParams = Anything
def Server(settings): time.sleep(60)
"""


def test_none_is_left_when_we_are_killed_while_it_reads_the_weights(
    converted: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "xllamacpp.py").write_text(SLOW.replace("time.sleep(60)", "print('reading'); time.sleep(60)"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    code = """
import sys
from qinsight.engines.llama_engine import LlamaEngine
told = []
def tell(words, done):
    told.append(done) or len(told) == 20 and print("open", flush=True)
LlamaEngine.open(sys.argv[1], progress=tell)
"""
    assert left_by(converted["preview"], code, kill=True) == []


def test_what_waits_for_its_start_can_be_stopped(
    converted: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("xllamacpp")
    engine = LlamaEngine.open(str(converted["published"]))
    (tmp_path / "xllamacpp.py").write_text(SLOW)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    request = Request(Task.COMPARISON, (example("cat"),) * 3, reference=True)
    with pytest.raises(Stopped):
        list(engine.stream([request], stop=stop))
    engine.close()
    assert running() == []
