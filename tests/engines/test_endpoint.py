"""A server is asked the published words with every pixel; whatever it does, the person hears one sentence."""

import asyncio
import base64
import io
import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from PIL import Image, ImageChops

from qinsight.answers import Degradation, Distortion, Score, Severity
from qinsight.assess import ask, assessment, last
from qinsight.engines import server as endpoint
from qinsight.engines.server import EndpointEngine, Patience, RequestsFailed, encode
from qinsight.errors import EngineError, PhotoError, Stopped
from qinsight.photos.view import view
from qinsight.prompts import DEGRADATION, SCORE, SYSTEM, Order, Task
from qinsight.requests import MAX_PIXELS, Finish, Request, Sampling
from shared.chat_server import (
    QUICK,
    SCORED,
    Act,
    Answering,
    connect,
    cut_after,
    garbage,
    hangs_after,
    photo,
    refuses,
    running,
    says,
    score,
    texts,
    wait_until,
)

REAL = os.environ.get("QINSIGHT_TEST_ENDPOINT")
PROMPT = 1.0  # seconds within which a stop must have reached the server; 0.05 where nobody else is at work

pytestmark = pytest.mark.usefixtures("no_key_and_no_thread_is_left")


def pictures(body: dict[str, Any]) -> list[Image.Image]:
    urls = [part["image_url"]["url"] for part in body["messages"][1]["content"] if part["type"] != "text"]
    assert all(url.startswith("data:image/png;base64,") for url in urls)
    return [Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))) for url in urls]


# --- what is asked ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("near", [True, False])
@pytest.mark.parametrize("size", [(84, 56), (301, 203), (28, 4000), (2400, 1300)])
def test_every_pixel_of_the_prepared_photo_arrives(size: tuple[int, int], near: bool) -> None:
    taken = photo(*size)
    arrived = Image.open(io.BytesIO(base64.b64decode(encode(taken, MAX_PIXELS, near))))
    arrived.load()
    wanted = view(taken, MAX_PIXELS)
    assert (arrived.mode, arrived.size) == ("RGB", wanted.size)
    assert ImageChops.difference(arrived, wanted).getbbox() is None


@pytest.mark.parametrize("order", list(Order))
def test_the_question_is_the_published_one_in_the_order_the_checkpoint_wants(order: Order) -> None:
    with running(says(*SCORED)) as server:
        requests = [Request(task, (photo(),)) for task in (Task.SCORE, Task.DEGRADATION)]
        texts(connect(server, order=order, concurrency=1).stream(requests))
    for body, question in zip(server.bodies, (SCORE, DEGRADATION), strict=True):
        system, user = body["messages"]
        assert system == {"role": "system", "content": SYSTEM}
        kinds = [part["type"] for part in user["content"]]
        assert kinds == (["text", "image_url"] if order is Order.QUESTION_FIRST else ["image_url", "text"])
        assert {"type": "text", "text": question} in user["content"]
        assert body["model"] == "qinsight"


def test_the_photos_of_a_comparison_stand_where_its_words_put_them() -> None:
    three = (photo(28, 56), photo(56, 84), photo(84, 112))
    with running(says("<answer>Image A</answer>")) as server:
        texts(connect(server).stream([Request(Task.COMPARISON, three, reference=True)], max_pixels=5_000))
    (body,) = server.bodies
    kinds = "".join(part["type"][0] for part in body["messages"][1]["content"])
    assert kinds == "tititit"
    for arrived, sent in zip(pictures(body), three, strict=True):
        assert ImageChops.difference(arrived.convert("RGB"), view(sent, 5_000)).getbbox() is None


def test_greedy_is_temperature_zero_and_leaves_the_penalty_to_the_checkpoint() -> None:
    with running(says(*SCORED)) as server:
        texts(connect(server).stream(score(), Sampling(max_new_tokens=77)))
    (body,) = server.bodies
    assert body["temperature"] == 0
    assert body["max_tokens"] == 77
    assert body["stream"] is True
    assert not {"repetition_penalty", "repeat_penalty", "top_k", "top_p", "seed"} & set(body)


def test_samples_differ_in_their_seed_and_a_penalty_goes_by_both_its_names() -> None:
    sampling = Sampling(temperature=1.0, seed=7, repetition_penalty=1.2)
    with running(says(*SCORED)) as server:
        texts(connect(server, repetition_penalty=1.05).stream(score(3), sampling))
    assert sorted(body["seed"] for body in server.bodies) == [7, 8, 9]
    assert {body["top_k"] for body in server.bodies} == {50}
    assert {body["repetition_penalty"] for body in server.bodies} == {1.2}
    assert {body["repeat_penalty"] for body in server.bodies} == {1.2}


def test_a_photo_asked_about_several_times_is_made_ready_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def counting(shown: Image.Image, *rest: Any) -> bytes:
        made.append(shown)
        return encode(shown, *rest)

    monkeypatch.setattr(endpoint, "encode", counting)
    one, other = photo(), photo()
    with running(says(*SCORED)) as server:
        texts(connect(server).stream([*assessment(one) * 3, *assessment(other)]))
    assert len(server.bodies) == 8
    assert sorted(map(id, made)) == sorted(map(id, (one, other)))


def test_the_key_comes_from_the_environment_ours_before_openais(monkeypatch: pytest.MonkeyPatch) -> None:
    with running(says(*SCORED)) as server:
        connect(server)
        monkeypatch.setenv("OPENAI_API_KEY", "theirs")
        connect(server)
        monkeypatch.setenv("QINSIGHT_API_KEY", "ours\n")
        texts(connect(server).stream(score()))
        connect(server, api_key="mine")
    assert server.keys == [None, "bearer theirs", "bearer ours", "bearer ours", "bearer mine"]


# --- what comes back ----------------------------------------------------------------------------------------------


def test_each_token_is_a_delta_and_those_of_the_answer_have_alternatives() -> None:
    with running(says(*SCORED)) as server:
        deltas = list(connect(server).stream(score()))
    assert [delta.text for delta in deltas] == SCORED
    assert [delta.tokens for delta in deltas] == [1] * len(SCORED)
    assert [delta.finish for delta in deltas] == [None] * 7 + [Finish.STOP]
    assert [bool(delta.alternatives) for delta in deltas] == [False] * 4 + [True] * 4
    words, chances = zip(*deltas[5].alternatives, strict=True)
    assert words[:3] == ("other0", "3.5", "other1")  # the chosen one was not the most likely
    assert len(words) == 20
    assert chances[:2] == (pytest.approx(0.1353, abs=1e-4), pytest.approx(0.0821, abs=1e-4))


def test_tokens_that_come_together_are_told_apart() -> None:
    async def act(answering: Answering) -> None:
        await answering.begin()
        await answering.word("<answer>", '{"rating": 3', "}")
        await answering.word("</", "answer>", finish="stop")
        await answering.end()

    with running(act) as server:
        deltas = list(connect(server).stream(score()))
    assert [delta.text for delta in deltas] == ["<answer>", '{"rating": 3', "}", "</", "answer>"]
    assert [bool(delta.alternatives) for delta in deltas] == [False, True, True, True, True]
    assert deltas[-1].finish is Finish.STOP


def test_an_assessment_through_a_server_reads_like_one_from_weights() -> None:
    found = [
        '<think></think><answer>{"distortion_class": "',
        "blur",
        '", "severity": "',
        "slight",
        '"}</answer>',
    ]

    def choose(body: dict[str, Any], _: int) -> Act:
        is_score = {"type": "text", "text": SCORE} in body["messages"][1]["content"]
        return says(*(SCORED if is_score else found))

    with running(choose=choose) as server:
        asked = last(ask(connect(server), assessment(photo())))
    assert [one.answer for one in asked] == [Score(3.5), Degradation(Distortion.BLUR, Severity.SLIGHT)]
    assert [place.length for place in asked[0].places] == [len(word) for word in SCORED[4:]]
    assert [place.offset for place in asked[0].places[:2]] == [len("".join(SCORED[:n])) for n in (4, 5)]


def test_thinking_that_a_server_cut_out_is_put_back() -> None:
    async def act(answering: Answering) -> None:
        await answering.begin()
        await answering.word("a bit", reasoning_content="a bit")
        await answering.word(" soft", reasoning_content=" soft")
        await answering.word("<answer>4</answer>", finish="stop")
        await answering.end()

    with running(act) as server:
        assert texts(connect(server).stream(score())) == {0: "<think>a bit soft</think><answer>4</answer>"}


def test_a_server_that_does_not_stop_is_cut_at_the_limit() -> None:
    async def act(answering: Answering) -> None:
        await answering.begin()
        for _ in range(10_000):
            await answering.word("on ")

    with running(act) as server:
        deltas = list(connect(server).stream(score(), Sampling(max_new_tokens=5)))
    assert deltas[-1].finish is Finish.LENGTH
    assert len(deltas) == 6


def test_many_requests_run_side_by_side_but_never_more_than_allowed() -> None:
    async def slowly(answering: Answering) -> None:
        await asyncio.sleep(0.05)
        await says(*SCORED)(answering)

    with running(slowly) as server:
        found = texts(connect(server, concurrency=8).stream(score(40)))
    assert found == dict.fromkeys(range(40), "".join(SCORED))
    assert server.most_open == 8


def test_streams_that_run_side_by_side_share_a_thread_and_connections() -> None:
    held = threading.Event()

    async def waits(answering: Answering) -> None:
        while not held.is_set():
            await asyncio.sleep(0.01)
        await says(*SCORED)(answering)

    def ask_some(_: int) -> dict[int, str]:
        return texts(engine.stream(score(2), watched=False))

    with running(waits) as server, ThreadPoolExecutor(4) as pool:
        engine = connect(server)
        first = [pool.submit(ask_some, number) for number in range(4)]
        wait_until(lambda: server.open == 8)
        assert [thread.name for thread in threading.enumerate()].count("qinsight-endpoint") == 1
        more = pool.submit(ask_some, 4)  # begins when one of the others has finished
        held.set()
        assert [one.result() for one in (*first, more)] == [dict.fromkeys(range(2), "".join(SCORED))] * 5
    assert len(server.bodies) == 10
    assert server.connections <= 9  # one of them asked for the list of models


# --- fields a server does not take --------------------------------------------------------------------------------


def test_a_field_the_server_does_not_know_is_left_out_from_then_on() -> None:
    strange = {"repetition_penalty", "repeat_penalty", "repeat_last_n", "top_k"}

    def choose(body: dict[str, Any], _: int) -> Act:
        unknown = strange & set(body)
        return (
            refuses(422, {"detail": f"Unexpected fields in the request: {unknown}"})
            if unknown
            else says(*SCORED)
        )

    sampling = Sampling(temperature=1.0, repetition_penalty=1.05)
    with running(choose=choose) as server:
        engine = connect(server)
        for _ in range(2):
            assert texts(engine.stream(score(), sampling)) == {0: "".join(SCORED)}
    assert len(server.bodies) == 3
    assert engine.about.details["refused by the server"] == ", ".join(sorted(strange))


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("Requested sample logprobs of 20, which is greater than max allowed: 5 (value=20)", 5),
        ("top_logprobs must be between 0 and 8", 8),
        ("logprobs are not supported by this server", None),
        ("'logprobs' is not supported with stream", None),
    ],
)
def test_fewer_alternatives_or_none_are_asked_for_where_a_server_gives_no_more(
    words: str, left: int | None
) -> None:
    def choose(body: dict[str, Any], _: int) -> Act:
        too_many = body.get("top_logprobs", 0) > (left or 0)
        return refuses(400, {"error": {"message": words, "code": 400}}) if too_many else says(*SCORED)

    with running(choose=choose) as server:
        engine = connect(server)
        for _ in range(2):
            assert texts(engine.stream(score())) == {0: "".join(SCORED)}
    assert [body.get("top_logprobs") for body in server.bodies] == [20, left, left]
    assert [body.get("logprobs") for body in server.bodies[1:]] == [True if left else None] * 2


def test_a_refusal_told_inside_a_stream_is_a_refusal() -> None:
    """vLLM 0.32 says 200 first and looks at the logprobs then."""

    def choose(body: dict[str, Any], _: int) -> Act:
        words = "Requested sample logprobs of 20, which is greater than max allowed: 5"
        error = json.dumps({"error": {"message": words, "type": "BadRequestError", "code": 400}})
        return garbage(f"data: {error}\n\n".encode()) if body["top_logprobs"] > 5 else says(*SCORED)

    with running(choose=choose) as server:
        assert texts(connect(server).stream(score())) == {0: "".join(SCORED)}
    assert len(server.bodies) == 2


@pytest.mark.parametrize("error", [{"message": "the engine died", "code": 500}, "the engine died"])
def test_a_server_that_breaks_inside_a_stream_is_asked_again(error: Any) -> None:
    broken = garbage(f"data: {json.dumps({'error': error})}\n\n".encode())
    with running(broken, says(*SCORED)) as server:
        assert texts(connect(server).stream(score())) == {0: "".join(SCORED)}
    with running(broken) as server, pytest.raises(RequestsFailed, match=r"status 500\): the engine died"):
        texts(connect(server).stream(score()))


def test_a_value_the_server_does_not_like_is_for_the_person_to_hear() -> None:
    refusal = refuses(400, {"error": {"message": "repetition_penalty must be at most 2"}})
    with running(refusal) as server, pytest.raises(RequestsFailed, match="must be at most 2"):
        texts(connect(server).stream(score(), Sampling(repetition_penalty=9.0)))
    assert len(server.bodies) == 1


# --- a server in trouble ------------------------------------------------------------------------------------------


def test_a_busy_or_broken_server_is_asked_again_and_waited_for_as_it_says() -> None:
    async def leaves(answering: Answering) -> None:
        answering.writer.close()

    busy = refuses(429, "slow down", "Retry-After: 0.4\r\n")
    with running(busy, refuses(500, "oops"), leaves, says(*SCORED)) as server:
        started = time.monotonic()
        assert texts(connect(server).stream(score())) == {0: "".join(SCORED)}
    assert len(server.bodies) == 4
    assert time.monotonic() - started >= 0.4


def test_a_server_that_stays_broken_is_given_up_in_a_sentence() -> None:
    with (
        running(refuses(503, {"error": {"message": "loading the model"}})) as server,
        pytest.raises(RequestsFailed, match=r"busy or broken \(status 503\): loading the model"),
    ):
        texts(connect(server).stream(score()))
    assert len(server.bodies) == QUICK.tries


def test_a_reply_cut_in_the_middle_goes_on_without_a_word_twice() -> None:
    with running(cut_after(*SCORED[:5]), cut_after(*SCORED[:2]), says(*SCORED)) as server:
        deltas = list(connect(server).stream(score()))
    assert "".join(delta.text for delta in deltas) == "".join(SCORED)
    assert sum(delta.tokens for delta in deltas) == len(SCORED)
    assert deltas[-1].finish is Finish.STOP
    assert len(server.bodies) == 3


@pytest.mark.parametrize("second", [["<think>", "sharp", "</think>"], ["<think>", "so"]])
def test_a_second_try_that_says_something_else_is_not_glued_on(second: list[str]) -> None:
    given: dict[int, str] = {}
    with (
        running(cut_after(*SCORED[:3]), says(*second)) as server,
        pytest.raises(RequestsFailed, match="a different one; ask again"),
    ):
        texts(connect(server).stream(score()), given)
    assert given == {0: "".join(SCORED[:3])}


@pytest.mark.parametrize(
    "data",
    [
        b"data: {not json\n\n",
        b"data: [1, 2]\n\n",
        b'data: {"choices": 5}\n\n',
        b": nothing but a comment\n\n",
    ],
)
def test_garbage_is_asked_for_again_and_then_told_in_a_sentence(data: bytes) -> None:
    with running(garbage(data), says(*SCORED)) as server:
        assert texts(connect(server).stream(score())) == {0: "".join(SCORED)}
    with (
        running(garbage(data)) as server,
        pytest.raises(RequestsFailed, match=r"broke off in the middle of a reply \(") as failed,
    ):
        texts(connect(server).stream(score()))
    assert len(server.bodies) == QUICK.tries
    assert len(str(failed.value)) < 300


def test_an_event_that_never_ends_is_not_collected_forever() -> None:
    with (
        running(garbage(b"data: " + b"x" * 2**21)) as server,
        pytest.raises(RequestsFailed, match="an event without an end"),
    ):
        texts(connect(server).stream(score()))


def test_the_end_of_a_finished_reply_may_be_rough() -> None:
    async def act(answering: Answering) -> None:
        await answering.begin()
        await answering.word("<answer>4</answer>", finish="stop")
        await answering.word("more")
        await answering.raw(b"data: {broken\n\n")
        answering.writer.close()

    with running(act) as server:
        assert texts(connect(server).stream(score())) == {0: "<answer>4</answer>"}
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("words", "patience", "sentence"),
    [
        ((), Patience(first_token=0.2), "longer than 0.2 seconds to begin its reply"),
        (("<think>",), Patience(between_tokens=0.3), "longer than 0.3 seconds to go on with its reply"),
    ],
)
def test_a_server_that_hangs_is_left_after_its_time(
    words: Sequence[str], patience: Patience, sentence: str
) -> None:
    with running(hangs_after(*words)) as server, pytest.raises(RequestsFailed, match=sentence):
        texts(connect(server, patience=patience).stream(score()))
    assert len(server.bodies) == 1


def test_a_failed_request_costs_the_others_nothing() -> None:
    def choose(body: dict[str, Any], _: int) -> Act:
        return refuses(400, "this photo is cursed") if body["seed"] in (3, 5) else says(*SCORED)

    found: dict[int, str] = {}
    with (
        running(choose=choose) as server,
        pytest.raises(RequestsFailed, match=r"^2 of 8 replies failed: .*cursed") as failed,
    ):
        texts(connect(server, concurrency=2).stream(score(8), Sampling(temperature=1.0, seed=0)), found)
    assert found == dict.fromkeys({0, 1, 2, 4, 6, 7}, "".join(SCORED))
    assert sorted(failed.value.failures) == [3, 5]


def test_what_would_meet_every_request_ends_the_stream_at_once() -> None:
    with running(refuses(401, "no")) as server, pytest.raises(EngineError, match="wants another API key"):
        texts(connect(server, concurrency=2).stream(score(50)))
    assert len(server.bodies) <= 4
    engine = connect_and_lose()
    with pytest.raises(EngineError, match="Nobody answers at 127"):
        texts(engine.stream(score(50)))


def connect_and_lose() -> EndpointEngine:
    with running(says(*SCORED)) as server:
        return connect(server)


def test_a_photo_that_cannot_be_shown_is_refused_before_anything_is_sent() -> None:
    with running(says(*SCORED)) as server, pytest.raises(PhotoError, match="at most 200:1"):
        texts(connect(server, concurrency=1).stream([*score(), Request(Task.SCORE, (photo(6000, 20),))]))
    assert server.bodies == []


# --- stopping -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("words", "watched"), [((), True), (("<think>",), True), ((), False)])
def test_stop_frees_the_server_even_while_it_has_not_said_a_word(words: Sequence[str], watched: bool) -> None:
    stop = threading.Event()
    with running(hangs_after(*words)) as server:
        stopper = threading.Thread(target=lambda: (wait_until(lambda: len(server.bodies) == 10), stop.set()))
        stopper.start()
        with pytest.raises(Stopped):
            texts(connect(server).stream(score(10), stop=stop, watched=watched))
        stopped = time.monotonic()
        stopper.join()
        wait_until(lambda: len(server.hung_up) == 10)
    assert max(server.hung_up) - stopped < PROMPT


def test_stop_does_not_wait_for_the_next_try() -> None:
    stop = threading.Event()
    with running(refuses(429, "later", "Retry-After: 30\r\n")) as server:
        timer = threading.Timer(0.3, stop.set)
        timer.start()
        started = time.monotonic()
        with pytest.raises(Stopped):
            texts(connect(server).stream(score(), stop=stop))
        timer.join()
    assert time.monotonic() - started < 0.3 + PROMPT


def test_closing_the_stream_frees_the_server() -> None:
    with running(hangs_after("<think>")) as server:
        stream = connect(server).stream(score(10))
        assert next(stream).text == "<think>"
        wait_until(lambda: len(server.bodies) == 10)
        started = time.monotonic()
        stream.close()  # type: ignore[attr-defined]
        assert time.monotonic() - started < PROMPT
        wait_until(lambda: len(server.hung_up) == 10)


def test_closing_one_stream_frees_the_server_of_it_while_another_goes_on() -> None:
    go_on = threading.Event()

    async def act(answering: Answering) -> None:
        await answering.begin()
        await answering.word("<think>")
        for _ in range(500):
            await asyncio.sleep(0.01)
            if go_on.is_set():
                await answering.word("</think>", finish="stop")
                return await answering.end()
            if answering.reader.at_eof():
                raise ConnectionResetError

    with running(act) as server:
        engine = connect(server)
        one, other = engine.stream(score(3)), engine.stream(score(2))
        assert next(one).text == next(other).text == "<think>"
        wait_until(lambda: server.open == 5)
        one.close()  # type: ignore[attr-defined]
        wait_until(lambda: server.open == 2)
        go_on.set()
        assert sorted(texts(other).values()) == ["</think>", "<think></think>"]


# --- a real server ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(REAL is None, reason="QINSIGHT_TEST_ENDPOINT names no running server")
def test_greedy_replies_of_a_real_server_are_the_local_engines(
    picture: Callable[[str], Image.Image], expected: dict[str, Any]
) -> None:
    """For a vLLM in float32 on this machine; it says which folder it serves, and we open that here."""
    import httpx2

    from qinsight.engines.checkpoint import Device, Precision, locate
    from qinsight.engines.local import LocalEngine

    folder = httpx2.get(f"{REAL}/models").json()["data"][0]["root"]
    (checkpoint,) = locate(folder).parts.values()
    order = checkpoint.fetch().order
    local = LocalEngine.open(folder, Device.CPU, Precision.FP32)
    server = EndpointEngine.open(str(REAL), order=order)
    requests = [Request(Task.SCORE, (picture("score"),)), Request(Task.DEGRADATION, (picture("dist"),))]
    requests += [Request(Task.COMPARISON, (picture("a"), picture("b")))]
    sampling = Sampling(max_new_tokens=48 if folder.endswith("score_degradation") else 250)
    here, there = (last(ask(engine, requests, sampling)) for engine in (local, server))
    whole = last(ask(server, requests, sampling, watched=False))
    for one, other in [*zip(here, there, strict=True), *zip(here, whole, strict=True)]:
        print(f"{one.request.task}: {other.tokens} tokens, {other.finish}: {other.text!r}")  # noqa: T201
        assert (other.text, other.tokens, other.finish) == (one.text, one.tokens, one.finish)
        assert [(p.offset, p.length) for p in other.places] == [(p.offset, p.length) for p in one.places]
        for mine, theirs in zip(one.places, other.places, strict=True):
            assert [c for _, c in theirs.alternatives] == pytest.approx(
                [c for _, c in mine.alternatives], abs=1e-3
            )
    if folder.endswith("score_degradation"):
        assert [one.text for one in there[:2]] == [expected[name]["text"] for name in ("score", "dist")]
