"""Before a slow model's first word it is told how far the model is, and Stop is heard; the words are the same."""

import gc
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import torch

from qinsight.assess import ask, last, reading_of
from qinsight.engines import decoding, local, pieces
from qinsight.engines import gauge as gauge_module
from qinsight.engines.gauge import Gauge
from qinsight.engines.local import LocalEngine, prepare
from qinsight.errors import Stopped
from qinsight.requests import Delta, Request, Sampling, Stage

FEW = Sampling(max_new_tokens=8)


Layers = list[tuple[str, int]]


@pytest.fixture
def told() -> Layers:
    """Layers that were told; where a test fills it in, each layer waits for that."""
    return []


@pytest.fixture
def slow(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch, told: Layers) -> Iterator[Layers]:
    """The fixture model as a slow one, a moment in each layer; which layers began."""
    monkeypatch.setattr(local, "SLOW", 0)
    monkeypatch.setattr(local, "PACE", 0.005)
    begun: Layers = []
    inner = engine._weights("score_degradation").model.model

    def linger(name: str, number: int) -> Any:
        def wait(*_: Any) -> None:
            begun.append((name, number))
            for _ in range(500 if told else 1):
                if engine._gauge is not None and (name, number) not in told:  # not while words come
                    time.sleep(0.02)

        return wait

    handles = [
        layer.register_forward_pre_hook(linger(name, number))
        for name, layers in (("looking", inner.visual.blocks), ("reading", inner.language_model.layers))
        for number, layer in enumerate(layers, start=1)
    ]
    yield begun
    for handle in handles:
        handle.remove()


def words(deltas: list[Delta]) -> dict[int, str]:
    return {
        number: "".join(delta.text for delta in deltas if delta.request == number)
        for number in {delta.request for delta in deltas}
    }


@pytest.mark.usefixtures("slow")
def test_layers_are_told_in_order_and_the_share_never_shrinks(
    engine: LocalEngine, fixture_requests: dict[str, Request], told: Layers
) -> None:
    requests = [fixture_requests["score"], fixture_requests["dist"]]
    told.append(("before", 0))
    deltas: list[Delta] = []
    for delta in engine.stream(requests, FEW):
        deltas.append(delta)
        told.extend([(str(delta.reading.stage), delta.reading.layer)] if delta.reading else [])
    readings = [delta.reading for delta in deltas if delta.reading]
    every = [(Stage.LOOKING, number) for number in (1, 2, 3)] * 2
    every += [(Stage.READING, number) for number in (1, 2, 3)]
    assert list(dict.fromkeys(told))[1:] == list(dict.fromkeys(every))
    assert {reading.layers for reading in readings} == {3}
    shares = [reading.share for reading in readings]
    assert shares == sorted(shares)
    assert shares[0] < 0.1
    assert 0.7 < shares[-1] < 1
    first = next(number for number, delta in enumerate(deltas) if delta.text)
    assert not any(delta.reading for delta in deltas[first:])
    assert not any(delta.text or delta.tokens for delta in deltas[:first])


def test_a_slow_model_says_the_same_words(
    engine: LocalEngine, fixture_requests: dict[str, Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = list(fixture_requests.values())
    at_once = words(list(engine.stream(requests, FEW)))
    monkeypatch.setattr(local, "SLOW", 0)
    assert words(list(engine.stream(requests, FEW))) == at_once


def test_a_fast_model_tells_nothing_and_reads_where_it_is_asked(
    engine: LocalEngine, fixture_requests: dict[str, Request]
) -> None:
    threads = set()
    layer = engine._weights("score_degradation").model.model.language_model.layers[0]
    handle = layer.register_forward_pre_hook(lambda *_: threads.add(threading.current_thread()))
    deltas = list(engine.stream([fixture_requests["score"]], FEW))
    handle.remove()
    assert threads == {threading.current_thread()}
    assert not any(delta.reading for delta in deltas)


def test_stop_is_heard_in_the_next_layer(
    engine: LocalEngine, fixture_requests: dict[str, Request], slow: Layers
) -> None:
    def begun_after_stop(stage: Stage) -> int:
        """Ask, stop in that stage, and count the layers that begin afterwards."""
        stop, before = threading.Event(), 0
        slow.clear()
        try:
            for delta in engine.stream([fixture_requests["score"]], FEW, stop=stop):
                if delta.reading and delta.reading.stage is stage and not stop.is_set():
                    stop.set()
                    before = len(slow)
        except Stopped:
            assert stop.is_set()
            return len(slow) - before
        raise AssertionError("it went on")

    for stage in Stage:
        assert begun_after_stop(stage) <= 1, "one that had looked at Stop just before"
    assert words(list(engine.stream([fixture_requests["score"]], FEW)))[0]


def test_closing_the_stream_ends_the_reading(
    engine: LocalEngine, fixture_requests: dict[str, Request], slow: Layers
) -> None:
    threads = threading.active_count()
    with closing(engine.stream([fixture_requests["score"]], FEW)) as stream:
        assert next(stream).reading
        before = len(slow)
    assert len(slow) - before <= 1
    assert threading.active_count() == threads
    next(engine.stream([fixture_requests["score"]], FEW))  # forgotten
    gc.collect()
    assert threading.active_count() == threads
    assert words(list(engine.stream([fixture_requests["score"]], FEW)))[0]


@pytest.mark.usefixtures("slow")
def test_what_goes_wrong_while_it_reads_is_raised_and_the_next_question_is_answered(
    engine: LocalEngine, fixture_requests: dict[str, Request]
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("can't allocate memory")

    layer = engine._weights("score_degradation").model.model.language_model.layers[1]
    handle = layer.register_forward_pre_hook(fail)
    with pytest.raises(Exception, match="ran out of memory on this photo"):
        list(engine.stream([fixture_requests["score"]], FEW))
    handle.remove()
    assert words(list(engine.stream([fixture_requests["score"]], FEW)))[0]


@pytest.mark.usefixtures("slow")
def test_asked_carries_the_reading_until_the_first_word(
    engine: LocalEngine, fixture_requests: dict[str, Request]
) -> None:
    states = list(ask(engine, [fixture_requests["score"]], FEW))
    assert reading_of(states[0])
    assert not states[0][0].text
    assert reading_of(states[-1]) is None
    assert states[-1][0].tokens == last(iter(states))[0].tokens > 0


def test_the_time_left_is_what_the_share_says(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(gauge_module.time, "monotonic", lambda: now)
    gauge = Gauge(1000.0)
    assert gauge.now() is None
    for number in (1, 2, 3):
        gauge.begins(Stage.READING, number, 4, 250.0)
    now += 0.5
    first = gauge.now()
    assert first is not None
    assert (first.layer, first.layers, first.share, first.seconds_left) == (3, 4, 0.5, None), "too early"
    now += 9.5
    later = gauge.now()
    assert later is not None
    assert later.seconds_left == 10.0
    gauge.begins(Stage.READING, 4, 4, 250.0)
    gauge.begins(Stage.READING, 1, 4, 9000.0)
    gauge.begins(Stage.READING, 2, 4, 1.0)
    more = gauge.now()
    assert more is not None
    assert more.share == 0.99, "more than was expected"


# --- long attention ---------------------------------------------------------------------------------------------------


def test_a_prompt_that_is_read_in_parts_gives_the_same_words(
    engine: LocalEngine, fixture_requests: dict[str, Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys of 16,000 tokens against as many queries take a 7B model seconds in each layer: Stop waited for them."""
    requests = [fixture_requests["score"], fixture_requests["dist"]]
    whole = words(list(engine.stream(requests, FEW)))
    monkeypatch.setattr(decoding, "LONG", 1)
    passes = 0

    def count(*_: Any) -> None:
        nonlocal passes
        passes += 1

    monkeypatch.setattr(decoding, "SHORT", 40)
    handle = engine._weights("score_degradation").model.lm_head.register_forward_pre_hook(count)
    assert words(list(engine.stream(requests, FEW))) == whole
    handle.remove()
    assert passes > 12


def test_stop_is_heard_inside_the_attention_of_a_large_photo(
    engine: LocalEngine, fixture_requests: dict[str, Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = engine._weights("score_degradation")
    request = fixture_requests["score"]
    wanted = prepare(weights, [request], 12_845_056)[0].embeddings
    monkeypatch.setattr(pieces, "PIECE", 1e6)
    assert torch.allclose(prepare(weights, [request], 12_845_056)[0].embeddings, wanted, atol=1e-5)
    looked = 0

    def looks() -> None:
        nonlocal looked
        looked += 1
        if looked == 3:
            raise Stopped("Stopped.")

    for block in weights.model.model.visual.blocks:
        monkeypatch.setattr(block.attn, "_check", looks)
    with pytest.raises(Stopped):
        prepare(weights, [request], 12_845_056)
    assert looked == 3
