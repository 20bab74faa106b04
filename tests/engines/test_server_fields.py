"""A server is told the sampling in its own dialect; it has as many questions as it has slots, each with its time."""

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qinsight.engines.server import EndpointEngine, Patience, RequestsFailed
from qinsight.requests import Sampling
from shared.chat_server import (
    SCORED,
    Act,
    Answering,
    Server,
    connect,
    cut_after,
    hangs_after,
    refuses,
    running,
    says,
    score,
    texts,
    wait_until,
)

pytestmark = pytest.mark.usefixtures("no_key_and_no_thread_is_left")

WORDS = "".join(SCORED)
SAMPLED = Sampling(temperature=1.0)
PENALTIES = {"repetition_penalty", "repeat_penalty", "repeat_last_n"}


def lists(**entry: Any) -> Act:
    return refuses(200, json.dumps({"data": [{"id": "q"} | entry]}))


def first_body(engine: EndpointEngine, server: Server, sampling: Sampling = Sampling()) -> dict[str, Any]:  # noqa: B008
    assert texts(engine.stream(score(), sampling)) == {0: WORDS}
    return server.bodies[-1]


# --- the penalty --------------------------------------------------------------------------------------------------


def test_of_an_unseen_checkpoint_only_the_window_of_its_penalty_is_widened() -> None:
    with running(says(*SCORED)) as server:
        body = first_body(connect(server), server)
    assert {name: body[name] for name in PENALTIES & set(body)} == {"repeat_last_n": 65_536}


@pytest.mark.parametrize("owner", ["vllm", "sglang"])
def test_a_server_that_applies_it_to_the_whole_text_is_told_no_window(owner: str) -> None:
    with running(says(*SCORED)) as server:
        server.models = lists(owned_by=owner, root="a/folder/over/there")
        assert not PENALTIES & set(first_body(connect(server), server))


def test_a_penalty_that_a_person_asks_for_is_sent_in_all_dialects_with_its_window() -> None:
    with running(says(*SCORED)) as server:
        for engine in (connect(server, repetition_penalty=1.2), connect(server)):
            body = first_body(engine, server, Sampling(repetition_penalty=1.2))
            assert [body[name] for name in ("repetition_penalty", "repeat_penalty", "repeat_last_n")] == [
                *(1.2, 1.2, 65_536)
            ]


@pytest.mark.parametrize(
    ("config", "penalty"),
    [({"repetition_penalty": 1.05}, 1.05), ({}, 1.0), ({"repetition_penalty": None}, 1.0)],
)
def test_of_a_folder_that_we_see_its_own_penalty_is_sent(
    tmp_path: Path, config: dict[str, Any], penalty: float
) -> None:
    (tmp_path / "generation_config.json").write_text(json.dumps(config))
    with running(says(*SCORED)) as server:
        body = first_body(connect(server, model=str(tmp_path)), server)
        assert body["repetition_penalty"] == body["repeat_penalty"] == penalty
        server.models = lists(
            owned_by="vllm", root=str(tmp_path)
        )  # on this machine, it means the same folder
        assert first_body(connect(server), server)["repetition_penalty"] == penalty
        body = first_body(connect(server), server, Sampling(repetition_penalty=1.3))
        assert body["repetition_penalty"] == 1.3


def test_a_folder_without_settings_is_no_reason_to_send_a_penalty(tmp_path: Path) -> None:
    with running(says(*SCORED)) as server:
        assert "repetition_penalty" not in first_body(connect(server, model=str(tmp_path)), server)


def test_sampling_inherits_nothing_that_a_server_would_set_by_itself() -> None:
    with running(says(*SCORED)) as server:
        body = first_body(connect(server), server, Sampling(temperature=0.7, seed=7))
        assert [body[name] for name in ("temperature", "top_p", "top_k", "min_p", "seed")] == [
            0.7,
            0.95,
            50,
            0,
            7,
        ]
        assert first_body(connect(server), server, Sampling(temperature=0.7, top_k=0))["top_k"] == -1
        assert not {"top_p", "top_k", "min_p", "seed"} & set(first_body(connect(server), server))


# --- what it refuses ----------------------------------------------------------------------------------------------


def refusing(
    field: str, said: Any, *, unless: Callable[[Any], bool] = lambda value: False, status: int = 400
) -> Any:
    """Refuses a body with this field, unless its value is liked."""

    def choose(body: dict[str, Any], _: int) -> Act:
        disliked = field in body and not unless(body[field])
        return refuses(status, said) if disliked else says(*SCORED)

    return choose


RANGES = [
    "repeat_last_n must be in the range [0, 4096]",
    "Value for repeat_last_n must be at most 4,096.",
    {"error": {"message": "expected a number <= 4096", "param": "repeat_last_n"}},
    {"detail": [{"loc": ["body", "repeat_last_n"], "msg": "Input should be less than or equal to 4096"}]},
]


@pytest.mark.parametrize("said", RANGES, ids=json.dumps)
@pytest.mark.parametrize("status", [400, 422, 500])
def test_a_range_that_a_server_tells_of_is_kept_to_from_then_on(said: Any, status: int) -> None:
    choose = refusing("repeat_last_n", said, unless=lambda value: value <= 4096, status=status)
    with running(choose=choose) as server:
        engine = connect(server)
        for _ in range(2):
            assert first_body(engine, server)["repeat_last_n"] == 4096
    assert len(server.bodies) == 3


@pytest.mark.parametrize(
    ("field", "most", "sampling"),
    [
        ("top_k", 40, SAMPLED),
        ("seed", 2**31 - 1, Sampling(temperature=1.0, seed=2**32 - 5)),
        ("top_logprobs", 5, Sampling()),
        ("max_tokens", 512, Sampling()),
    ],
)
def test_the_ranges_of_other_fields_are_learnt_too(field: str, most: int, sampling: Sampling) -> None:
    choose = refusing(field, f"{field} must be at most {most}", unless=lambda value: value <= most)
    with running(choose=choose) as server:
        body = first_body(connect(server), server, sampling)
        assert 0 < body[field] <= most
    assert len(server.bodies) == 2


UNKNOWN = [
    "Unknown field: FIELD",
    "Unrecognized request argument supplied: FIELD",
    "property 'FIELD' is unsupported",
    {
        "detail": [
            {"type": "extra_forbidden", "loc": ["body", "FIELD"], "msg": "Extra inputs are not permitted"}
        ]
    },
    {"error": {"message": "This parameter is not supported", "param": "FIELD"}},
    {"error": {"message": "Additional properties are not allowed ('FIELD' was unexpected)"}},
    "this server does not support FIELD",
    "FIELD isn't supported",
    "Extra inputs are not permitted",
    "unknown parameter in request",
]


@pytest.mark.parametrize("said", UNKNOWN, ids=json.dumps)
@pytest.mark.parametrize("field", ["repeat_last_n", "min_p", "top_k"])
@pytest.mark.parametrize("status", [400, 422, 501])
def test_a_field_that_a_server_does_not_take_is_left_out_from_then_on(
    said: Any, field: str, status: int
) -> None:
    named = json.loads(json.dumps(said).replace("FIELD", field))
    with running(choose=refusing(field, named, status=status)) as server:
        engine = connect(server)
        for _ in range(2):
            assert field not in first_body(engine, server, SAMPLED)
    assert len(server.bodies) == 3
    assert field in engine.about.details["refused by the server"]


@pytest.mark.parametrize("field", ["repeat_last_n", "min_p", "seed", "top_k"])
def test_a_value_of_ours_that_is_not_liked_is_left_out_where_no_range_is_told(field: str) -> None:
    with running(choose=refusing(field, f"invalid value for {field}")) as server:
        assert field not in first_body(connect(server), server, SAMPLED)
    assert len(server.bodies) == 2


@pytest.mark.parametrize(
    ("said", "sampling"),
    [
        ("repetition_penalty must be at most 2", Sampling(repetition_penalty=9.0)),
        ("temperature must be below 1", Sampling(temperature=2.0)),
        ("max_tokens is too large: 1024. This model's maximum context length is 900 tokens", Sampling()),
        ("image input is not supported - hint: you may need to provide the mmproj", Sampling()),
        ("this photo is cursed", Sampling()),
    ],
)
def test_what_a_person_chose_and_what_no_field_can_mend_is_for_the_person_to_hear(
    said: str, sampling: Sampling
) -> None:
    with running(refuses(400, said)) as server:
        with pytest.raises(RequestsFailed) as failed:
            texts(connect(server).stream(score(), sampling))
        assert len(server.bodies) == 1
    assert said.split(" - ")[0] in str(failed.value)


def test_a_server_that_refuses_one_field_after_the_other_is_asked_without_them_all() -> None:
    def choose(body: dict[str, Any], _: int) -> Act:
        for field in ("repeat_last_n", "min_p", "top_k", "top_logprobs", "seed"):
            if field in body:
                return refuses(400, f"unknown field {field}")
        return says(*SCORED)

    with running(choose=choose) as server:
        assert texts(connect(server).stream(score(6), SAMPLED)) == dict.fromkeys(range(6), WORDS)


def test_what_one_question_learnt_those_waiting_for_a_slot_know() -> None:
    choose = refusing("repeat_last_n", "unknown field repeat_last_n")
    with running(choose=choose) as server:
        server.props = props(1)
        texts(connect(server).stream(score(5)))
    assert len(server.bodies) == 6


def test_words_that_are_said_again_after_a_cut_are_a_sign_of_life() -> None:
    async def act(answering: Answering) -> None:
        await answering.begin()
        for word in SCORED:
            await asyncio.sleep(0.15)
            await answering.word(word, finish="stop" if word == SCORED[-1] else None)
        await answering.end()

    patience = Patience(first_token=5, between_tokens=0.6, tries=2, pause=0.01)
    with running(cut_after(*SCORED[:-1]), act) as server:
        assert texts(connect(server, patience=patience).stream(score())) == {0: WORDS}


# --- slots and time -----------------------------------------------------------------------------------------------


def props(slots: Any) -> Act:
    return refuses(200, json.dumps({"total_slots": slots, "model_path": "q.gguf"}))


async def slowly(answering: Answering) -> None:
    await asyncio.sleep(0.1)
    await says(*SCORED)(answering)


@pytest.mark.parametrize("watched", [True, False])
def test_a_server_has_no_more_questions_at_a_time_than_it_has_slots(watched: bool) -> None:
    with running(slowly) as server:
        server.props = props(2)
        engine = connect(server)
        assert engine.about.in_flight == 2
        other = threading.Thread(target=lambda: texts(engine.stream(score(3), watched=watched)))
        other.start()  # whoever asks, and in however many streams
        assert texts(engine.stream(score(5), watched=watched)) == dict.fromkeys(range(5), WORDS)
        other.join()
    assert server.most_open == 2
    assert len(server.bodies) == 8


@pytest.mark.parametrize("slots", [None, 0, -1, "4", [], 100])
def test_slots_that_are_none_or_many_bound_nothing(slots: Any) -> None:
    with running(says(*SCORED)) as server:
        server.props = props(slots)
        assert connect(server, concurrency=8).about.in_flight == 8


@pytest.mark.parametrize(
    "found", [refuses(200, "<html>"), refuses(200, "[]"), refuses(401, "no"), refuses(503, "")]
)
def test_a_server_without_slots_is_asked_as_before(found: Act) -> None:
    with running(says(*SCORED)) as server:
        server.props = found
        assert texts(connect(server).stream(score())) == {0: WORDS}


@pytest.mark.parametrize("watched", [True, False])
@pytest.mark.parametrize("tells", [True, False])
def test_the_time_of_a_question_begins_when_the_server_can_begin_with_it(watched: bool, tells: bool) -> None:
    """One after the other takes six times 0.5 seconds; each may take two."""
    busy = asyncio.Lock()

    async def act(answering: Answering) -> None:
        async with busy:
            await asyncio.sleep(0.5)
            await says(*SCORED)(answering)

    patience = Patience(first_token=2.0, whole_reply=2.0, tries=1)
    with running(act) as server:
        if tells:
            server.props = props(1)
        engine = connect(server, patience=patience)
        assert texts(engine.stream(score(6), watched=watched)) == dict.fromkeys(range(6), WORDS)
    assert server.most_open == (1 if tells else 6)


def test_it_is_of_no_account_which_of_several_a_server_takes_first() -> None:
    """The one that was sent first is answered last."""
    waiting: list[asyncio.Event] = []

    async def act(answering: Answering) -> None:
        mine = asyncio.Event()
        waiting.append(mine)
        if len(waiting) == 5:
            waiting[-1].set()
        await mine.wait()
        await asyncio.sleep(0.5)
        await says(*SCORED)(answering)
        waiting.remove(mine)
        if waiting:
            waiting[-1].set()

    with running(act) as server:
        engine = connect(server, patience=Patience(first_token=2.0, tries=1))
        assert texts(engine.stream(score(5))) == dict.fromkeys(range(5), WORDS)


def test_words_for_an_earlier_question_are_a_sign_of_life_for_those_behind_it() -> None:
    busy = asyncio.Lock()

    async def act(answering: Answering) -> None:
        async with busy:
            answering.body["stream"] = True
            await answering.begin()
            for word in SCORED:
                await asyncio.sleep(0.15)
                await answering.word(word, finish="stop" if word == SCORED[-1] else None)
            await answering.end()

    patience = Patience(first_token=0.7, whole_reply=0.7, between_tokens=0.7, tries=1)
    with running(act) as server:
        engine = connect(server, patience=patience)
        assert texts(engine.stream(score(2), watched=True)) == dict.fromkeys(range(2), WORDS)
    assert len(server.bodies) == 2


@pytest.mark.parametrize("watched", [True, False])
def test_a_server_that_says_nothing_to_anybody_is_left_after_its_time_by_all(watched: bool) -> None:
    patience = Patience(first_token=0.4, whole_reply=0.4)
    with running(hangs_after()) as server:
        with pytest.raises(RequestsFailed, match=r"^5 of 5 replies failed: .* longer than 0\.4 seconds to"):
            texts(connect(server, patience=patience).stream(score(5), watched=watched))
        wait_until(lambda: len(server.hung_up) == 5)
    assert max(server.hung_up) - min(server.hung_up) < 0.4, "none waited for another"


def test_a_question_that_is_left_alone_does_not_live_on_those_sent_after_it() -> None:
    def choose(body: dict[str, Any], times: int) -> Act:
        return hangs_after() if times == 0 else slowly

    patience = Patience(first_token=0.5, tries=1)
    with (
        running(choose=choose) as server,
        pytest.raises(RequestsFailed, match=r"1 of 30 replies failed") as failed,
    ):
        texts(connect(server, patience=patience, concurrency=2).stream(score(30)))
    assert len(failed.value.failures) == 1
    assert len(server.bodies) == 30
    assert server.hung_up


def test_pings_alone_keep_nobody_waiting() -> None:
    async def act(answering: Answering) -> None:
        await answering.begin()
        for _ in range(1000):
            await answering.raw(b': ping\n\ndata: {"type": "ping"}\n\n')
            await asyncio.sleep(0.02)

    patience = Patience(first_token=0.5, tries=1)
    with running(act) as server, pytest.raises(RequestsFailed, match=r"0\.5 seconds to begin its reply"):
        texts(connect(server, patience=patience).stream(score()))


def test_stop_is_heard_in_the_line_for_a_slot() -> None:
    from qinsight.errors import Stopped

    stop = threading.Event()
    with running(hangs_after("<think>")) as server:
        server.props = props(1)
        stream = connect(server).stream(score(5), stop=stop)
        assert next(stream).text == "<think>"
        stop.set()
        with pytest.raises(Stopped):
            list(stream)
        wait_until(lambda: len(server.hung_up) == 1)
    assert len(server.bodies) == 1
