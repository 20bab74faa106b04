"""A reply that is complete is read, whatever stands beside it, streamed and whole; one that is cut never is."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from qinsight.answers import Score
from qinsight.assess import Asked, ask, last
from qinsight.engines.server import RequestsFailed
from qinsight.requests import Finish, Request, Sampling
from shared.chat_server import QUICK, Act, Answering, connect, photo, running, score, texts

pytestmark = pytest.mark.usefixtures("no_key_and_no_thread_is_left")

THINKING, ANSWER = "Crisp – ähnlich.", ["<answer>", '{"rating": ', "4", ".2", "}", "</answer>"]
TOKENS = ["<think>", THINKING, "</think>", *ANSWER]
TEXT = "".join(TOKENS)
CUT = "".join(TOKENS[:-2])  # "4.2" may have become 4.25


class Never:
    """Stands for a field that the server does not send."""

    def __repr__(self) -> str:
        return "never"


NEVER = Never()

Event = dict[str, Any]


def chunks(
    words: list[Any],
    reason: Any = "stop",
    *,
    every: Any = None,
    name: str = "delta",
    key: str = "finish_reason",
) -> list[Event]:
    """The events of a stream: a chunk for each piece of content, and one with the reason for the end."""
    found = [{"choices": [{"index": 0, name: {"content": piece}, key: every}]} for piece in words]
    return found if reason is NEVER else [*found, {"choices": [{"index": 0, name: {}, key: reason}]}]


def lines(events: list[Any], done: bool = True) -> bytes:
    found = b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events)
    return found + (b"data: [DONE]\n\n" if done else b"")


def sends(
    data: bytes, kind: str | None = "text/event-stream", piece: int = 2**20, pause: bool = False
) -> Act:
    """These bytes, in pieces of this size, and then the end of the connection."""

    async def act(answering: Answering) -> None:
        head = "HTTP/1.1 200 OK\r\nConnection: close\r\n" + (f"Content-Type: {kind}\r\n" if kind else "")
        answering.writer.write(head.encode() + b"\r\n")
        for start in range(0, len(data), piece):
            answering.writer.write(data[start : start + piece])
            await answering.writer.drain()
            if pause:
                await asyncio.sleep(0)
        answering.writer.close()

    return act


def whole(message: Any, reason: Any = "stop", **beside: Any) -> Event:
    choice = {"index": 0, "message": message, "finish_reason": reason} | beside
    return {"choices": [{name: value for name, value in choice.items() if value is not NEVER}]}


def answers(found: Any) -> Act:
    return sends(json.dumps(found).encode(), "application/json")


def asked_of(act: Act, *, watched: bool = True, **sampling: Any) -> Asked:
    with running(act) as server:
        (one,) = last(ask(connect(server), score(), Sampling(**sampling), watched=watched))
        assert len(server.bodies) == 1, "once was enough"
    return one


def is_read(one: Asked, thinking: str = THINKING) -> None:
    assert (one.answer, one.error, one.finish) == (Score(4.2), None, Finish.STOP)
    assert one.reply.thinking == thinking


def why(act: Act, *, watched: bool, tries: int) -> str:
    with running(act) as server:
        with pytest.raises(RequestsFailed) as failed:
            texts(connect(server).stream(score(), watched=watched))
        assert len(server.bodies) == tries
    assert "\n" not in str(failed.value)
    return str(failed.value)


# --- why it ended -------------------------------------------------------------------------------------------------

COMPLETE = [
    *(
        "stop",
        "STOP",
        "Stop",
        "eos",
        "eos_token",
        "EOS",
        "stop_sequence",
        "stop_token",
        "end_turn",
        "endTurn",
    ),
    *("FINISH_REASON_STOP", "FinishReason.STOP", "<eos>", "done", "completed", "finished", "end", "success"),
    *(["stop"], {"type": "stop"}, {"reason": "eos"}, True, 1, "tool_calls", "a word of its own"),
]
CUTS = [
    *(
        "length",
        "LENGTH",
        "max_tokens",
        "MAX_TOKENS",
        "maxTokens",
        "max-tokens",
        "max_length",
        "model_length",
    ),
    *("max_output_tokens", "max_new_tokens", "FINISH_REASON_MAX_TOKENS", "token_limit", "truncated"),
    *("model_context_window_exceeded", "incomplete", ["length"], {"type": "max_tokens"}),
]
FAILURES = [
    *(
        "abort",
        "aborted",
        "ABORT",
        "cancelled",
        "canceled",
        "error",
        "ERROR",
        "server_error",
        "content_filter",
    ),
    *("contentFilter", "SAFETY", "RECITATION", "refusal", "timeout", "insufficient_system_resource"),
    *("network_error", "FINISH_REASON_SAFETY", ["abort"], {"type": "error"}),
]
GOING_ON = [None, "", "null", "not_finished", False, 0, [], {}]


@pytest.mark.parametrize("reason", COMPLETE, ids=str)
def test_a_complete_reply_is_read_however_its_end_is_spelled(reason: Any) -> None:
    is_read(asked_of(sends(lines(chunks(TOKENS, reason)))))
    is_read(asked_of(answers(whole({"content": TEXT}, reason)), watched=False))


@pytest.mark.parametrize("reason", [*GOING_ON, NEVER], ids=str)
def test_without_a_reason_the_end_of_the_stream_or_of_the_object_ends_a_reply(reason: Any) -> None:
    is_read(asked_of(sends(lines(chunks(TOKENS, reason)))))
    is_read(asked_of(answers(whole({"content": TEXT}, reason)), watched=False))


@pytest.mark.parametrize("every", GOING_ON, ids=str)
def test_a_reason_that_says_not_yet_ends_nothing(every: Any) -> None:
    is_read(asked_of(sends(lines(chunks(TOKENS, "stop", every=every)))))


@pytest.mark.parametrize("reason", CUTS, ids=str)
def test_a_cut_reply_is_told_as_cut_however_that_is_spelled(reason: Any) -> None:
    for watched, act in (
        (True, sends(lines(chunks([CUT], reason)))),
        (False, answers(whole({"content": CUT}, reason))),
    ):
        one = asked_of(act, watched=watched)
        assert (one.answer, one.finish) == (None, Finish.LENGTH)
        assert str(one.error).startswith("The reply was cut after 1 tokens, before its answer.")


@pytest.mark.parametrize("reason", [*GOING_ON, NEVER, 2, "a word of its own"], ids=str)
def test_an_answer_that_was_begun_and_not_finished_is_no_answer_where_nobody_says_why(reason: Any) -> None:
    for watched, act in (
        (True, sends(lines(chunks([CUT], reason)))),
        (False, answers(whole({"content": CUT}, reason))),
    ):
        assert asked_of(act, watched=watched).answer is None


@pytest.mark.parametrize("watched", [True, False])
def test_a_reply_as_long_as_it_may_be_was_cut_where_nobody_says_why(watched: bool) -> None:
    words = ["4"] * 3  # a bare 4 would be read from a reply that is complete
    found = whole({"content": "4"}, NEVER) | {"usage": {"completion_tokens": 3}}
    act = sends(lines(chunks(words, NEVER))) if watched else answers(found)
    assert asked_of(act, watched=watched, max_new_tokens=3).finish is Finish.LENGTH


@pytest.mark.parametrize("reason", FAILURES, ids=str)
def test_a_failure_ends_in_a_sentence_at_once(reason: Any) -> None:
    assert "gave the reply up (" in why(sends(lines(chunks(TOKENS, reason))), watched=True, tries=1)
    assert "gave the reply up (" in why(answers(whole({"content": TEXT}, reason)), watched=False, tries=1)


@pytest.mark.parametrize("reason", [*GOING_ON, NEVER], ids=str)
def test_a_stream_that_breaks_off_is_refused_where_nothing_says_that_it_was_the_end(reason: Any) -> None:
    words = why(sends(lines(chunks(TOKENS, reason), done=False)), watched=True, tries=QUICK.tries)
    assert words.endswith("broke off in the middle of a reply (the reply has no end).")


@pytest.mark.parametrize(
    "end", [b"data:[DONE]", b"data: [done]\n", b'data: "[DONE]"\n\n', b"data:  [DONE] \r\n"]
)
def test_the_end_of_a_stream_may_stand_in_any_spelling_and_on_an_open_line(end: bytes) -> None:
    is_read(asked_of(sends(lines(chunks(TOKENS, NEVER), done=False) + end)))


def test_the_reason_may_stand_in_the_details_of_older_servers() -> None:
    details = chunks(TOKENS, {"type": "stop", "stop": "<|im_end|>"}, key="finish_details")
    is_read(asked_of(sends(lines(details))))
    one = asked_of(sends(lines(chunks([CUT], {"type": "max_tokens"}, key="finish_details"))))
    assert one.finish is Finish.LENGTH


# --- the words ----------------------------------------------------------------------------------------------------


def text(words: Any) -> Event:
    return {"type": "text", "text": words}


THOUGHTS: list[Any] = [
    {"type": "thinking", "thinking": [text("Crisp – "), text("ähnlich.")]},
    {"type": "thinking", "thinking": THINKING},
    {"type": "thinking", "thinking": THINKING, "signature": "x=="},
    {"type": "reasoning", "text": THINKING},
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": THINKING}]},
    {"type": "reasoning", "reasoning": THINKING},
    {"text": THINKING, "thought": True},
]
BESIDE = [
    {"type": "image_url", "image_url": {"url": "x"}},
    {"type": "redacted_thinking", "data": "x"},
    3,
    None,
]


@pytest.mark.parametrize("thought", THOUGHTS, ids=str)
@pytest.mark.parametrize(
    "say", [text, lambda words: {"type": "output_text", "text": words}, str, lambda words: {"text": words}]
)
def test_content_in_parts_is_joined_and_its_thinking_put_back(
    thought: Event, say: Callable[[str], Any]
) -> None:
    parts = [[thought], *([say(word)] for word in ANSWER)]
    is_read(asked_of(sends(lines(chunks(parts)))))
    together = [BESIDE[0], thought, *BESIDE, say("".join(ANSWER)), BESIDE[1]]
    is_read(asked_of(answers(whole({"content": together})), watched=False))
    is_read(asked_of(sends(lines(chunks([together])))))


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking", "reasoning_details"])
@pytest.mark.parametrize("wrap", [str, lambda words: [{"type": "reasoning.text", "text": words}]])
@pytest.mark.parametrize("nothing", [{"content": None}, {"content": ""}, {"content": []}, {}])
def test_thinking_beside_the_content_is_put_back(
    name: str, wrap: Callable[[str], Any], nothing: Event
) -> None:
    thought = {"choices": [{"delta": {name: wrap(THINKING)} | nothing}]}
    is_read(asked_of(sends(lines([thought, *chunks(ANSWER)]))))
    message = {"content": "".join(ANSWER), name: wrap(THINKING)}
    is_read(asked_of(answers(whole(message)), watched=False))


def test_thinking_that_is_told_under_two_names_is_put_back_once() -> None:
    message = {"content": "".join(ANSWER), "reasoning": THINKING, "reasoning_details": [text(THINKING)]}
    is_read(asked_of(answers(whole(message)), watched=False))


@pytest.mark.parametrize("watched", [True, False])
def test_a_refusal_of_the_model_is_shown_as_what_it_said(watched: bool) -> None:
    said = {"role": "assistant", "content": None, "refusal": "I cannot judge people."}
    act = sends(lines([{"choices": [{"delta": said, "finish_reason": "stop"}]}]))
    one = asked_of(act if watched else answers(whole(said)), watched=watched)
    assert one.text == "I cannot judge people."
    assert "I cannot judge people." in str(one.error)


@pytest.mark.parametrize(
    "events",
    [
        chunks(TOKENS, name="message"),
        [{"choices": [{"delta": None, "message": {"content": word}}]} for word in TOKENS] + chunks([]),
        [{"choices": [{"text": word}]} for word in TOKENS]
        + [{"choices": [{"text": "", "finish_reason": "stop"}]}],
        [*chunks(TOKENS, NEVER), whole({"role": "assistant", "content": TEXT})],
        [whole({"role": "assistant", "content": TEXT})],
    ],
    ids=["message", "delta null", "text", "all of it once more", "in one event"],
)
def test_words_are_found_where_a_server_puts_them(events: list[Event]) -> None:
    is_read(asked_of(sends(lines(events))))


def test_a_whole_reply_may_be_laid_out_as_an_older_one() -> None:
    found = {"choices": [{"text": TEXT, "finish_reason": "stop"}]}
    is_read(asked_of(answers(found), watched=False))
    is_read(
        asked_of(answers({"choices": [{"delta": {"content": TEXT}, "finish_reason": "stop"}]}), watched=False)
    )


# --- the stream ---------------------------------------------------------------------------------------------------

PLAIN = lines(chunks(TOKENS))
ASIDE: list[Any] = [
    {"usage": {"prompt_tokens": 12}},
    {"choices": [], "usage": {"prompt_tokens": 12}},
    {"choices": None},
    {"choices": [None]},
    {"choices": [{}]},
    {"choices": [{"delta": None}]},
    {"choices": [{"delta": {}, "logprobs": None}]},
    {"type": "ping"},
    {"status": "processing", "message": "3 before you"},
    {"error": None, "choices": []},
    {},
]


@pytest.mark.parametrize("event", ASIDE, ids=json.dumps)
def test_an_event_that_adds_nothing_costs_nothing(event: Event) -> None:
    one, *others = chunks(TOKENS)
    is_read(asked_of(sends(lines([event, one, event, *others, event]))))


@pytest.mark.parametrize(
    "line",
    [
        b"data:\n\n", b"data: \n\n", b"data\n\n", b": keep-alive\n\n", b":\n\n", b"\n\n\n", b"event: ping\ndata: {}\n\n",
        b'event: ping\ndata: {"type": "ping"}\n\n', b"data: ping\n\n", b"event: message\n", b"id: 7\n", b"retry: 500\n",
        b"data: null\n\n", b'data: ""\n\n', b"data: : OPENROUTER PROCESSING\n\n", b"data: keep-alive\n\n", b"nonsense\n",
    ],
)  # fmt: skip
def test_what_keeps_a_connection_alive_is_no_event(line: bytes) -> None:
    is_read(asked_of(sends(line + PLAIN.replace(b"\n\n", b"\n\n" + line))))


@pytest.mark.parametrize("piece", [1, 7, 2**20])
@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_lines_end_as_the_standard_has_it_wherever_a_packet_ends(end: bytes, piece: int) -> None:
    unescaped = b"".join(b"data: %s\n\n" % json.dumps(e, ensure_ascii=False).encode() for e in chunks(TOKENS))
    is_read(asked_of(sends(unescaped.replace(b"\n", end), piece=piece, pause=True)))


def test_ends_of_lines_may_differ_within_a_stream_and_blank_lines_be_left_out() -> None:
    ends = [b"\n\n", b"\r\n\r\n", b"\r\r", b"\n", b"\r", b"\r\n", b"\n\r\n"]
    events = [b"data: " + json.dumps(event).encode() for event in chunks(TOKENS)]
    data = b"".join(event + ends[number % len(ends)] for number, event in enumerate(events))
    is_read(asked_of(sends(data + b"data: [DONE]", piece=5, pause=True)))


@pytest.mark.parametrize("piece", [1, 2, 2**20])
def test_a_mark_of_byte_order_before_the_first_event_is_no_part_of_it(piece: int) -> None:
    is_read(asked_of(sends(b"\xef\xbb\xbf" + PLAIN, piece=piece, pause=True)))
    found = b"\xef\xbb\xbf" + json.dumps(whole({"content": TEXT})).encode()
    is_read(asked_of(sends(found, "application/json", piece, pause=True), watched=False))


@pytest.mark.parametrize("start", [b"data:", b"data: ", b"data:   "])
def test_an_event_may_stand_on_several_lines(start: bytes) -> None:
    data = b""
    for event in chunks(TOKENS):
        laid_out = json.dumps(event, indent=1).encode()
        data += start + laid_out.replace(b"\n", b"\n" + start) + b"\n\n"
    is_read(asked_of(sends(b"id: 1\nevent: message\n" + data + b"data: [DONE]\n\n")))


@pytest.mark.parametrize(
    "kind", ["application/json", "text/plain", "text/event-stream; charset=utf-8", "text/html", None]
)
def test_what_comes_is_told_by_its_bytes_and_not_by_what_it_is_called(kind: str | None) -> None:
    complete = json.dumps(whole({"content": TEXT}), indent=2).encode()
    for watched in (True, False):
        is_read(asked_of(sends(PLAIN, kind), watched=watched))
        is_read(asked_of(sends(complete, kind), watched=watched))
        is_read(asked_of(sends(b"\n \n" * 5000 + complete, kind, piece=999), watched=watched))  # kept alive


def test_half_a_character_in_a_stream_is_no_reason_to_lose_it() -> None:
    broken = PLAIN.replace(rb"\u00e4", b"\xc3")
    is_read(asked_of(sends(broken)), "Crisp – \N{REPLACEMENT CHARACTER}hnlich.")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"event: error\ndata: out of memory\n\n", "out of memory"),
        (b'event: error\ndata: {"message": "out of memory"}\n\n', "out of memory"),
        (b'data: {"error": "out of memory"}\n\n', "out of memory"),
        (b'data: {"object": "error", "message": "out of memory", "code": 500}\n\n', "out of memory"),
        (b'data: {"type": "error", "error": {"message": "out of memory"}}\n\n', "out of memory"),
        (b'data: {"choices": [{"delta": {}, "error": {"message": "out of memory"}}]}\n\n', "out of memory"),
        (b"data: out of memory\n\n", "out of memory"),
        (b'data: {"detail": "out of memory"}\n\n', "out of memory"),
    ],
)
def test_an_error_told_in_a_stream_is_told_to_the_person(data: bytes, sentence: str) -> None:
    begun = lines(chunks(TOKENS[:4], NEVER), done=False)
    assert sentence in why(sends(begun + data), watched=True, tries=QUICK.tries)


@pytest.mark.parametrize("code", ["invalid_request_error", "content_filter", "context_length_exceeded"])
@pytest.mark.parametrize("watched", [True, False])
def test_an_error_that_asking_again_would_meet_again_is_told_at_once(code: str, watched: bool) -> None:
    said = {"error": {"message": "too many pictures", "type": code, "code": code}}
    act = sends(lines([said])) if watched else answers(said)
    assert why(act, watched=watched, tries=1).endswith("refused the request (status 400): too many pictures")


@pytest.mark.parametrize(
    "act",
    [
        sends(lines(chunks(TOKENS[:5], NEVER), done=False)),
        sends(lines(chunks(TOKENS), done=False)[:-20]),
        sends(b"data: [DONE]\n\n"),
        sends(b""),
        sends(json.dumps(whole({"content": TEXT})).encode()[:-3], "application/json"),
        sends(b"data: {not json\n\ndata: [DONE]\n\n"),
    ],
)
def test_what_is_really_cut_stays_refused(act: Act) -> None:
    assert "broke off in the middle of a reply (" in why(act, watched=True, tries=QUICK.tries)


def test_a_web_page_is_no_reply() -> None:
    with running(sends(b"<!doctype html><p>Log in", "text/html")) as server:
        with pytest.raises(Exception, match="no OpenAI-compatible server"):
            texts(connect(server).stream(score()))
        assert len(server.bodies) == 1


# --- the chances --------------------------------------------------------------------------------------------------


def listed(token: str, others: dict[str, Any]) -> list[Event]:
    return [{"token": token, "logprob": -0.05}, *({"token": t, "logprob": v} for t, v in others.items())]


def with_chances(beside: Callable[[str], Any], watched: bool) -> Asked:
    """A reply with, beside each token, what `beside` makes of it."""
    if watched:
        events = [{"choices": [{"delta": {"content": word}, "logprobs": beside(word)}]} for word in TOKENS]
        return asked_of(sends(lines([*events, *chunks([])])))
    found = [beside(word) for word in TOKENS]
    if all(isinstance(one, dict) and isinstance(one.get("content"), list) for one in found):
        joined: Any = {"content": [entry for one in found for entry in one["content"]]}
    elif all(
        isinstance(one, dict) and one and all(isinstance(v, list) for v in one.values()) for one in found
    ):
        joined = {name: [value for one in found for value in one[name]] for name in found[0]}
    else:
        joined = found[0]
    return asked_of(answers(whole({"content": TEXT}, logprobs=joined)), watched=False)


def at_the_four(one: Asked) -> dict[str, float]:
    (found,) = [p.alternatives for p in one.places if one.text[p.offset : p.offset + p.length] == "4"]
    return dict(found)


ODD = [
    None,
    "-inf",
    "-Infinity",
    "NaN",
    "",
    {},
    {"value": -1},
    [],
    True,
    float("nan"),
    float("-inf"),
    7.5,
    NEVER,
]


@pytest.mark.parametrize("watched", [True, False])
@pytest.mark.parametrize("odd", ODD, ids=str)
def test_a_chance_that_is_no_number_is_left_out_and_the_others_kept(odd: Any, watched: bool) -> None:
    def beside(token: str) -> Any:
        top = listed(token, {"3": -3.2, "5": odd})
        top = [{name: value for name, value in one.items() if value is not NEVER} for one in top]
        return {"content": [{"token": token, "logprob": -0.05, "top_logprobs": top}]}

    one = with_chances(beside, watched)
    is_read(one)
    assert at_the_four(one) == {"4": pytest.approx(0.951, abs=1e-3), "3": pytest.approx(0.041, abs=1e-3)}
    assert one.expected_rating is not None


@pytest.mark.parametrize("watched", [True, False])
@pytest.mark.parametrize("odd", ODD, ids=str)
def test_without_a_chance_of_what_was_said_those_of_the_others_are_no_odds(odd: Any, watched: bool) -> None:
    def beside(token: str) -> Any:
        own = {} if odd is NEVER else {"logprob": odd}
        top = [{"token": token} | own, {"token": "1", "logprob": -0.01}]
        return {"content": [{"token": token, "top_logprobs": top} | own]}

    one = with_chances(beside, watched)
    is_read(one)
    assert one.expected_rating is None


SHAPES: list[Callable[[str], Any]] = [
    lambda token: {
        "content": [{"token": token, "logprob": -0.05, "top_logprobs": {token: -0.05, "3": -3.2}}]
    },
    lambda token: {
        "content": [{"token": token, "logprob": -0.05, "top_logprobs": [{token: -0.05}, {"3": -3.2}]}]
    },
    lambda token: {
        "content": [{"token": token, "logprob": -0.05, "top_logprobs": [[token, -0.05], ["3", -3.2]]}]
    },
    lambda token: {
        "content": [{"token": token, "logprob": -0.05, "top_logprobs": [{"token": "3", "logprob": -3.2}]}]
    },
    lambda token: {"tokens": [token], "token_logprobs": [-0.05], "top_logprobs": [{token: -0.05, "3": -3.2}]},
]


@pytest.mark.parametrize("watched", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_chances_in_other_shapes_are_read(shape: Callable[[str], Any], watched: bool) -> None:
    one = with_chances(shape, watched)
    is_read(one)
    assert at_the_four(one) == {"4": pytest.approx(0.951, abs=1e-3), "3": pytest.approx(0.041, abs=1e-3)}


NONE_AT_ALL: list[Any] = [
    *(None, [], {}, -0.05, "none", {"content": None}, {"content": []}, {"content": "x"}, {"content": [None]}),
    {"content": [{"token": "4"}]},
    {"content": [{"logprob": -0.1, "top_logprobs": None}]},
    {"content": [{"token": None, "logprob": None, "top_logprobs": [None, 3, "x", [1]]}]},
    {"tokens": ["4"], "token_logprobs": None},
    {"tokens": None, "top_logprobs": [None]},
]


@pytest.mark.parametrize("watched", [True, False])
@pytest.mark.parametrize("found", NONE_AT_ALL, ids=str)
def test_a_reply_without_usable_chances_is_read_without_them(found: Any, watched: bool) -> None:
    one = with_chances(lambda token: found, watched)
    is_read(one)
    assert one.expected_rating is None


def test_parts_and_chances_beside_them_are_not_mixed_up() -> None:
    entries = [
        {"token": word, "logprob": -0.05, "top_logprobs": listed(word, {"3": -3.2})}
        for word in ["x"] * 40 + ANSWER
    ]
    message = {"content": [THOUGHTS[0], text("".join(ANSWER))]}
    taken = Request(score()[0].task, (photo(),))
    with running(answers(whole(message, logprobs={"content": entries}))) as server:
        (one,) = last(ask(connect(server), [taken], watched=False))
    is_read(one)
    assert at_the_four(one) == {"4": pytest.approx(0.951, abs=1e-3), "3": pytest.approx(0.041, abs=1e-3)}


@pytest.mark.parametrize("usage", [None, [], "9", {"completion_tokens": None}, {"completion_tokens": "9"}])
def test_a_count_of_tokens_that_is_none_costs_nothing(usage: Any) -> None:
    is_read(asked_of(answers(whole({"content": TEXT}) | {"usage": usage}), watched=False))
    is_read(asked_of(sends(lines([*chunks(TOKENS), {"choices": [], "usage": usage}]))))
