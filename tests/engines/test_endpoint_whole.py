"""Replies that nobody watches come in one piece, and say what a stream would have said."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from qinsight.assess import ask, comparison, last
from qinsight.engines import server as endpoint
from qinsight.engines.server import Patience, RequestsFailed
from qinsight.odds import Place
from qinsight.prompts import Task
from qinsight.requests import Finish, Request
from shared.chat_server import (
    SCORED,
    Act,
    Answering,
    connect,
    hangs_after,
    photo,
    refuses,
    running,
    says,
    score,
    texts,
)

pytestmark = pytest.mark.usefixtures("no_key_and_no_thread_is_left")


def vllms(found: Any) -> str:
    return json.dumps(found, separators=(",", ":"), ensure_ascii=False)


def turned(found: Any) -> str:
    """With the alternatives before the token they stand beside."""
    choice = found["choices"][0]
    entries = choice.get("logprobs", {}).get("content", [])
    first = [{"top_logprobs": entry["top_logprobs"]} | entry for entry in entries]
    return json.dumps(found | {"choices": [choice | {"logprobs": {"content": first}}]})


THOUGHT = [f" word{number}" for number in range(150)]
LONG = [*THOUGHT[:3], "<answer>", '{"rating": ', "3", ".", "5", "}", *[" " for _ in range(40)], "</answer>"]


@pytest.mark.parametrize("layout", [vllms, json.dumps, lambda found: json.dumps(found, indent=2), turned])
@pytest.mark.parametrize(
    "words",
    [
        SCORED,
        ["<think>", *THOUGHT, "</think>", *SCORED[3:]],
        ["<think>", '"top_logprobs":[{"token"', '{"token":"', *THOUGHT, "</think>", *SCORED[3:]],
        LONG,
        ["no", " answer", " at", " all"],
        [*THOUGHT, " and still no answer"],
    ],
)
def test_a_reply_that_nobody_watches_comes_in_one_piece_and_says_the_same(
    words: list[str], layout: Callable[[Any], str]
) -> None:
    async def act(answering: Answering) -> None:
        if answering.body["stream"]:
            await says(*words)(answering)
        else:
            await answering.json(answering.whole(*words), layout)

    taken = score()
    with running(act) as server:
        engine = connect(server)
        (watched,), (not_watched,) = (last(ask(engine, taken, watched=seen)) for seen in (True, False))
        deltas = list(engine.stream(taken, watched=False))
    assert [body["stream"] for body in server.bodies] == [True, False, False]
    assert (not_watched.text, not_watched.finish) == (watched.text, watched.finish)
    end = Place(len(watched.text), 0, not_watched.places[-1].alternatives) if watched.places else None
    assert not_watched.places == (*watched.places, *([end] if end else []))
    assert sum(delta.tokens for delta in deltas) == len(words) + 1
    assert len(deltas) < 10 or words is LONG


@pytest.mark.parametrize("place", [1, 2])
def test_a_token_that_is_half_a_character_costs_only_what_stands_before_it(place: int) -> None:
    half = "\N{REPLACEMENT CHARACTER}"
    tokens = ["<think>", *SCORED[3:]]
    tokens[place:place] = [half, half]

    async def act(answering: Answering) -> None:
        found = answering.whole(*tokens)
        found["choices"][0]["message"]["content"] = "".join(tokens).replace(half + half, "ñ")
        await answering.json(found)

    with running(act) as server:
        asked = last(ask(connect(server), score(), watched=False))[0]
    assert asked.text == "".join(tokens).replace(half + half, "ñ")
    assert [place.length for place in asked.places] == [*(len(word) for word in SCORED[4:]), 0]


def test_thinking_that_a_server_cut_out_of_a_whole_reply_is_put_back() -> None:
    async def act(answering: Answering) -> None:
        await answering.json(answering.whole(*SCORED[3:], reasoning_content="a bit soft"))

    with running(act) as server:
        asked = last(ask(connect(server), score(), watched=False))[0]
    assert asked.text == "<think>a bit soft</think>" + "".join(SCORED[3:])


def test_a_whole_reply_without_counts_or_chances_is_read_all_the_same() -> None:
    async def act(answering: Answering) -> None:
        message = {"role": "assistant", "content": "".join(SCORED)}
        await answering.json({"choices": [{"message": message, "finish_reason": "length"}]})

    with running(act) as server:
        (delta,) = connect(server).stream(score(), watched=False)
    assert (delta.text, delta.finish) == ("".join(SCORED), Finish.LENGTH)


def test_a_server_may_stream_what_was_asked_whole_and_the_other_way_round() -> None:
    async def streams(answering: Answering) -> None:
        answering.body["stream"] = True
        await says(*SCORED)(answering)

    async def is_whole(answering: Answering) -> None:
        answering.body["stream"] = False
        await says(*SCORED)(answering)

    with running(streams) as server:
        assert texts(connect(server).stream(score(), watched=False)) == {0: "".join(SCORED)}
    with running(is_whole) as server:
        assert texts(connect(server).stream(score())) == {0: "".join(SCORED)}


async def hangs_up(answering: Answering) -> None:
    answering.writer.close()


async def tells_of_an_error(answering: Answering) -> None:
    await answering.json({"error": {"message": "the engine died", "code": 500}})


@pytest.mark.parametrize(
    "trouble",
    [
        hangs_up,
        tells_of_an_error,
        refuses(504, "gateway timeout"),
        refuses(200, "{", "Content-Type: application/json\r\n"),
        refuses(200, "[]", "Content-Type: application/json\r\n"),
        refuses(200, '{"choices": []}', "Content-Type: application/json\r\n"),
        refuses(200, '{"choices": [{"message": {}}]}', "Content-Type: application/json\r\n"),
    ],
)
def test_a_whole_reply_that_does_not_come_is_asked_for_in_a_stream(trouble: Act) -> None:
    """A proxy that hangs up on a connection without a word is content with a word now and then."""
    with running(trouble, says(*SCORED)) as server:
        assert texts(connect(server).stream(score(), watched=False)) == {0: "".join(SCORED)}
    assert [body["stream"] for body in server.bodies] == [False, True]


def test_fewer_alternatives_are_asked_for_where_a_server_tells_of_its_limit_in_a_whole_reply() -> None:
    async def act(answering: Answering) -> None:
        if answering.body["top_logprobs"] > 5:
            words = "Requested sample logprobs of 20, which is greater than max allowed: 5"
            await answering.json({"error": {"message": words, "code": 400}})
        else:
            await says(*SCORED)(answering)

    with running(act) as server:
        assert texts(connect(server).stream(score(), watched=False)) == {0: "".join(SCORED)}
    assert [body["stream"] for body in server.bodies] == [False, False]


def test_a_whole_reply_has_its_time() -> None:
    patience = Patience(first_token=0.01, between_tokens=0.01, whole_reply=0.3)
    with (
        running(hangs_after()) as server,
        pytest.raises(RequestsFailed, match=r"longer than 0\.3 seconds to answer"),
    ):
        texts(connect(server, patience=patience).stream(score(), watched=False))


def test_a_reply_of_too_many_bytes_is_not_collected_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "LONGEST_REPLY", 1000)

    async def act(answering: Answering) -> None:
        await answering.json(answering.whole("x" * 500_000))

    with running(act) as server, pytest.raises(RequestsFailed, match="no JSON"):
        texts(connect(server).stream(score(), watched=False))


def test_chances_are_asked_for_only_where_they_are_wanted() -> None:
    one = photo()
    requests = [
        Request(Task.SCORE, (one,)),
        Request(Task.DEGRADATION, (one,), odds=False),
        *comparison(one, one),
    ]
    with running(says(*SCORED)) as server:
        list(connect(server, concurrency=1).stream(requests))
    assert [body.get("top_logprobs") for body in server.bodies] == [20, None, None, None]
    assert [body.get("logprobs") for body in server.bodies] == [True, None, None, None]
