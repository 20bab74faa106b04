"""The engine says what the published scripts say, together or alone, and can be stopped at any moment."""

import gc
import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from qinsight.engines import weights as weights_module
from qinsight.engines.checkpoint import Device, Precision
from qinsight.engines.conversation import Conversation, Prompt, alike, groups
from qinsight.engines.decoding import Growing, Replayed
from qinsight.engines.eyes import pixels
from qinsight.engines.local import LocalEngine, prepare
from qinsight.engines.weights import load
from qinsight.errors import EngineError, PhotoError, Stopped
from qinsight.photos.view import view
from qinsight.prompts import Order, Task
from qinsight.requests import Delta, Finish, Request, Sampling

SCRIPTS = ("score", "dist", "comparison")
WHOLE = 12_845_056  # the pixels the published scripts allow
FEW = Sampling(max_new_tokens=6)
PATIENCE = 60.0  # seconds after which a test that hangs fails


def texts(deltas: Iterator[Delta]) -> dict[int, str]:
    found: dict[int, str] = {}
    for delta in deltas:
        found[delta.request] = found.get(delta.request, "") + delta.text
    return found


def part_of(engine: LocalEngine, request: Request) -> Any:
    return engine._weights(engine._model.part_for(request))


def written(engine: LocalEngine, request: Request, sampling: Sampling) -> list[int]:
    """The token ids of a reply, end marker included."""
    weights = part_of(engine, request)
    conversation = Conversation(weights, prepare(weights, [request], WHOLE), [0], sampling)
    row = conversation.rows[0]
    while conversation.rows:
        conversation.step()
    return row.ids


@contextmanager
def hooked(module: torch.nn.Module, act: Callable[[], None]) -> Iterator[None]:
    """Run `act` each time the module has been run."""
    handle = module.register_forward_hook(lambda *_: act())
    try:
        yield
    finally:
        handle.remove()


# --- the same words as the published scripts -----------------------------------------------------------------------


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_model_reads_what_the_published_script_gives_it(
    engine: LocalEngine, fixture_requests: dict[str, Request], expected: dict[str, Any], script: str
) -> None:
    request, wanted = fixture_requests[script], expected[script]
    weights = part_of(engine, request)
    (prompt,) = prepare(weights, [request], WHOLE)
    assert weights.tokenizer.decode(prompt.ids) == wanted["prompt"]
    assert len(prompt.ids) == wanted["n_prompt"]
    assert hashlib.sha256(json.dumps(prompt.ids.tolist()).encode()).hexdigest() == wanted["input_ids_sha"]
    seen = [pixels(weights.image_processor, view) for view in prompt.views]
    assert [grid[0].tolist() for _, grid in seen] == wanted["grid"]
    values = torch.cat([value for value, _ in seen]).double()
    assert float(values.sum()) == pytest.approx(wanted["pixel_sum"], abs=1e-3)
    assert float(values.abs().sum()) == pytest.approx(wanted["pixel_abs"], abs=1e-3)


def test_the_vision_towers_first_layer_is_as_exact_as_the_stock_one(
    engine: LocalEngine, fixture_requests: dict[str, Request]
) -> None:
    weights = part_of(engine, fixture_requests["score"])
    ours = weights.model.model.visual.patch_embed
    values, _ = pixels(weights.image_processor, view(fixture_requests["score"].photos[0], WHOLE))
    exact = torch.nn.functional.linear(values.double(), ours.proj.weight.double().flatten(1))
    stock = ours.proj(values.view(-1, 3, 2, 14, 14)).flatten(1)
    off, stocks_off = (float((found - exact).abs().max()) for found in (ours(values), stock))
    assert off < 1e-4 * float(exact.abs().max())
    assert off <= 2 * stocks_off


@pytest.mark.parametrize("size", [(308, 308), (448, 224), (420, 364), (56, 56)])
def test_the_vision_tower_with_its_windows_side_by_side_sees_what_the_stock_one_sees(
    engine: LocalEngine, picture: Callable[[str], Image.Image], size: tuple[int, int]
) -> None:
    weights = engine._weights("score_degradation")
    stock = load(weights.checkpoint, Device.CPU, Precision.FP32).model.model.visual
    values, grid = pixels(weights.image_processor, picture("score").resize(size))
    with torch.inference_mode():
        ours = weights.model.model.visual(values, grid).pooler_output
        theirs = stock(values, grid).pooler_output
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


def test_keys_and_values_of_a_fixed_size_give_the_same_words_to_rows_that_leave_at_different_times(
    engine: LocalEngine,
    fixture_requests: dict[str, Request],
    picture: Callable[[str], Image.Image],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Replayed, "ROOM", 16)
    weights = engine._weights("score_degradation")
    small = picture("b").resize((56, 84))
    requests = [
        fixture_requests["score"],
        Request(Task.DEGRADATION, fixture_requests["score"].photos),
        Request(Task.SCORE, (small,)),
    ]
    conversation = Conversation(
        weights, prepare(weights, requests, WHOLE), range(3), Sampling(max_new_tokens=48)
    )
    wanted = {number: "" for number in range(3)}
    for delta in engine.stream(requests, Sampling(max_new_tokens=48), max_pixels=WHOLE):
        wanted[delta.request] += delta.text
    assert isinstance(conversation.decoder, Growing)
    with torch.inference_mode():
        conversation.decoder = Replayed(conversation.decoder)
    said = {number: "" for number in range(3)}
    at_the_end = {}
    while conversation.rows:
        for delta in conversation.step():
            said[delta.request] += delta.text
            if delta.finish:
                at_the_end[delta.request] = len(said[delta.request])
    assert said == wanted
    assert len(set(at_the_end.values())) > 1


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_engine_writes_token_for_token_what_the_published_script_writes(
    engine: LocalEngine, fixture_requests: dict[str, Request], expected: dict[str, Any], script: str
) -> None:
    request, wanted = fixture_requests[script], expected[script]
    weights = part_of(engine, request)
    sampling = Sampling(max_new_tokens=48)
    conversation = Conversation(weights, prepare(weights, [request], WHOLE), [0], sampling)
    assert conversation.penalty == wanted["repetition_penalty"]
    assert (conversation.logits[0] - torch.tensor(wanted["first_logits"])).abs().max() < 1e-3
    assert written(engine, request, sampling) == wanted["new_ids"]
    assert texts(engine.stream([request], sampling, max_pixels=WHOLE)) == {0: wanted["text"]}


def test_all_three_questions_at_once_get_the_same_words_as_alone(
    engine: LocalEngine, fixture_requests: dict[str, Request], expected: dict[str, Any]
) -> None:
    requests = [fixture_requests[script] for script in SCRIPTS]
    together = texts(engine.stream(requests, Sampling(max_new_tokens=48), max_pixels=WHOLE))
    assert together == {number: expected[script]["text"] for number, script in enumerate(SCRIPTS)}


@pytest.mark.parametrize("penalty", [None, 1.0, 1.3])
@pytest.mark.parametrize("script", ["score", "comparison"])
def test_the_loop_writes_what_transformers_generate_writes(
    engine: LocalEngine, fixture_requests: dict[str, Request], script: str, penalty: float | None
) -> None:
    request = fixture_requests[script]
    weights = part_of(engine, request)
    (prompt,) = prepare(weights, [request], WHOLE)
    seen = [pixels(weights.image_processor, view) for view in prompt.views]
    ids = prompt.ids[None]
    generated = weights.model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        mm_token_type_ids=(ids == weights.model.config.image_token_id).int(),
        pixel_values=torch.cat([value for value, _ in seen]),
        image_grid_thw=torch.cat([grid for _, grid in seen]),
        do_sample=False,
        max_new_tokens=24,
        **({} if penalty is None else {"repetition_penalty": penalty}),
    )
    ours = written(engine, request, Sampling(max_new_tokens=24, repetition_penalty=penalty))
    assert ours == generated[0, len(prompt.ids) :].tolist()


def test_a_repetition_penalty_of_ones_own_takes_the_place_of_the_checkpoints(
    engine: LocalEngine, fixture_requests: dict[str, Request]
) -> None:
    request = fixture_requests["score"]
    own, none, strong = (
        written(engine, request, Sampling(max_new_tokens=24, repetition_penalty=penalty))
        for penalty in (None, 1.0, 5.0)
    )
    assert own == written(engine, request, Sampling(max_new_tokens=24, repetition_penalty=1.05))
    assert len(set(strong)) > len(set(own))
    assert none != strong


# --- batches ---------------------------------------------------------------------------------------------------------


def test_photos_of_different_sizes_get_the_same_words_together_as_alone(
    engine: LocalEngine, picture: Callable[[str], Image.Image]
) -> None:
    photos = [
        picture(name).resize(size)
        for name, size in (("score", (224, 112)), ("dist", (57, 300)), ("ref", (56, 56)), ("a", (170, 170)))
    ]
    requests = [Request(task, (photo,)) for photo in photos for task in (Task.SCORE, Task.DEGRADATION)]
    requests.insert(3, Request(Task.COMPARISON, (photos[1], photos[0])))
    sampling = Sampling(max_new_tokens=12)
    alone = {number: texts(engine.stream([one], sampling))[0] for number, one in enumerate(requests)}
    assert texts(engine.stream(requests, sampling)) == alone
    assert len(set(alone.values())) > 1


@pytest.mark.parametrize("order", Order)
def test_score_and_degradation_of_one_photo_share_what_they_have_in_common(
    engine: LocalEngine, picture: Callable[[str], Image.Image], order: Order
) -> None:
    weights = engine._weights("score_degradation")
    photo = picture("score")
    requests = [Request(Task.SCORE, (photo,)), Request(Task.DEGRADATION, (photo,))]
    looks = 0

    def count() -> None:
        nonlocal looks
        looks += 1

    with hooked(weights.model.model.visual, count):
        prompts = prepare(weights, requests, WHOLE, order)
    assert looks == 1
    photo_end = int((prompts[0].ids == weights.model.config.image_token_id).nonzero().max())
    read_once = [group.shared > photo_end for group in groups(prompts) if len(group.rows) == 2]
    assert read_once == ([True] if order is Order.PHOTO_FIRST else [])
    alone = [written_prompts(weights, [prompt], Sampling(max_new_tokens=12))[0] for prompt in prompts]
    assert written_prompts(weights, prompts, Sampling(max_new_tokens=12)) == alone


def test_in_a_batch_of_photos_each_is_read_once_for_both_its_questions(
    engine: LocalEngine, picture: Callable[[str], Image.Image]
) -> None:
    weights = engine._weights("score_degradation")
    photos = [picture("score"), picture("dist"), picture("a")]
    requests = [Request(task, (photo,)) for photo in photos for task in (Task.SCORE, Task.DEGRADATION)]
    prompts = prepare(weights, [*requests, Request(Task.SCORE, (picture("b"),))], WHOLE, Order.PHOTO_FIRST)
    assert [group.rows for group in groups(prompts)] == [[0, 1], [2, 3], [4, 5], [6]]
    sampling = Sampling(max_new_tokens=12)
    alone = [written_prompts(weights, [prompt], sampling)[0] for prompt in prompts]
    assert written_prompts(weights, prompts, sampling) == alone


def test_pixels_are_the_image_processors_own_bit_for_bit(engine: LocalEngine) -> None:
    weights = engine._weights("score_degradation")
    generator = torch.Generator().manual_seed(1)
    for height, width in ((56, 56), (84, 140), (308, 224)):
        noise = torch.randint(256, (height, width, 3), generator=generator, dtype=torch.uint8)
        photo = Image.fromarray(noise.numpy())
        processed = weights.image_processor(images=[photo], do_resize=False, return_tensors="pt")
        values, grid = pixels(weights.image_processor, photo)
        assert torch.equal(values, processed["pixel_values"])
        assert torch.equal(grid, processed["image_grid_thw"])


def written_prompts(weights: Any, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[int]]:
    conversation = Conversation(weights, prompts, range(len(prompts)), sampling)
    rows = list(conversation.rows)
    while conversation.rows:
        conversation.step()
    return [row.ids for row in rows]


def test_two_plain_photos_of_turned_sizes_are_not_taken_for_one(engine: LocalEngine) -> None:
    weights = engine._weights("score_degradation")
    plain = [Image.new("RGB", size, "grey") for size in ((336, 168), (168, 336))]
    prompts = prepare(weights, [Request(Task.SCORE, (photo,)) for photo in plain], WHOLE, Order.PHOTO_FIRST)
    assert torch.equal(prompts[0].ids, prompts[1].ids)
    same_look = Prompt(prompts[1].ids, (), prompts[0].embeddings, prompts[1].positions)
    shared = alike(prompts[0], same_look)
    assert torch.equal(prompts[0].positions[:, :shared], same_look.positions[:, :shared])
    sampling = Sampling(max_new_tokens=8)
    alone = [written_prompts(weights, [prompt], sampling)[0] for prompt in (prompts[0], same_look)]
    assert written_prompts(weights, [prompts[0], same_look], sampling) == alone


def test_a_row_that_ends_leaves_and_the_others_go_on(
    engine: LocalEngine, fixture_requests: dict[str, Request], expected: dict[str, Any], monkeypatch: Any
) -> None:
    requests = [fixture_requests["score"], fixture_requests["dist"]]
    weights = engine._weights("score_degradation")
    end = expected["dist"]["new_ids"][4]
    monkeypatch.setattr(weights.model.generation_config, "eos_token_id", [end])
    assert end not in expected["score"]["new_ids"]
    deltas = list(engine.stream(requests, Sampling(max_new_tokens=48), max_pixels=WHOLE))
    finishes = [(delta.request, delta.finish) for delta in deltas if delta.finish]
    assert finishes == [(1, Finish.STOP), (0, Finish.LENGTH)]
    assert sum(delta.tokens for delta in deltas if delta.request == 1) == 5
    assert texts(iter(deltas))[0] == expected["score"]["text"]


def test_no_questions_get_no_words(engine: LocalEngine) -> None:
    assert list(engine.stream([])) == []


# --- streaming -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", SCRIPTS)
def test_pieces_join_to_the_reply_and_nothing_shown_is_taken_back(
    engine: LocalEngine, fixture_requests: dict[str, Request], expected: dict[str, Any], script: str
) -> None:
    """`dist` and `comparison` write bytes that are no characters: they are shown once it is certain."""
    shown = [""]
    finishes = []
    for delta in engine.stream([fixture_requests[script]], Sampling(max_new_tokens=48), max_pixels=WHOLE):
        shown.append(shown[-1] + delta.text)
        finishes.append(delta.finish)
    text = expected[script]["text"]
    assert shown[-1] == text
    assert all(after.startswith(before) and text.startswith(after) for before, after in pairwise(shown))
    assert not any(piece.endswith("\N{REPLACEMENT CHARACTER}") for piece in shown[:-1])
    assert finishes == [None] * 47 + [Finish.LENGTH]


def test_a_character_of_several_tokens_is_shown_when_it_is_whole(
    engine: LocalEngine, fixture_requests: dict[str, Request]
) -> None:
    weights = engine._weights("score_degradation")
    prompts = prepare(weights, [fixture_requests["score"]], WHOLE)
    conversation = Conversation(weights, prompts, [0], FEW)
    row = conversation.rows[0]
    ids = weights.tokenizer("aé€", add_special_tokens=False)["input_ids"]
    assert len(ids) == 6, "one token per byte, or this test shows nothing"
    pieces = []
    for token in ids:
        row.ids.append(token)
        pieces.append(conversation._new_words(row, None))
    assert pieces == ["a", "", "é", "", "", "€"]


def test_alternatives_are_given_inside_the_answer_only_and_are_the_models_own(
    engine: LocalEngine, fixture_requests: dict[str, Request]
) -> None:
    weights = engine._weights("score_degradation")
    prompts = prepare(weights, [fixture_requests["score"]], WHOLE)
    conversation = Conversation(weights, prompts, [0], Sampling(max_new_tokens=4, temperature=2.0))
    (before,) = conversation.step()
    assert before.alternatives == ()
    conversation.rows[0].shown = "<answer>"
    chances = conversation.logits[0].softmax(dim=-1)
    (inside,) = conversation.step()
    assert [chance for _, chance in inside.alternatives] == pytest.approx(chances.topk(20).values.tolist())
    assert inside.alternatives[0][0] == weights.tokenizer.decode([int(chances.argmax())])


# --- samples ---------------------------------------------------------------------------------------------------------

DICE = {"max_new_tokens": 16, "temperature": 1.0}


def test_the_same_seed_gives_the_same_words_and_another_seed_others(
    engine: LocalEngine, fixture_requests: dict[str, Request]
) -> None:
    request = fixture_requests["score"]
    first, again, other = (written(engine, request, Sampling(**DICE, seed=seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_samples_of_one_question_differ_and_come_back_the_same_the_next_time(
    engine: LocalEngine, fixture_requests: dict[str, Request]
) -> None:
    requests = [fixture_requests["score"]] * 4
    samples = texts(engine.stream(requests, Sampling(**DICE), max_pixels=WHOLE))
    assert len(set(samples.values())) == 4
    assert texts(engine.stream(requests, Sampling(**DICE), max_pixels=WHOLE)) == samples


def test_the_dice_fall_where_top_k_and_top_p_allow(
    engine: LocalEngine, fixture_requests: dict[str, Request]
) -> None:
    request = fixture_requests["score"]
    greedy = written(engine, request, Sampling(max_new_tokens=16))
    assert written(engine, request, Sampling(**DICE, top_k=1)) == greedy
    assert written(engine, request, Sampling(**DICE, top_p=1e-6)) == greedy
    assert written(engine, request, Sampling(max_new_tokens=16, temperature=1e-6)) == greedy
    assert written(engine, request, Sampling(**DICE, top_k=0, top_p=1.0)) != greedy


# --- stopping --------------------------------------------------------------------------------------------------------


def test_stop_is_heard_between_two_layers_while_the_photo_is_looked_at(
    engine: LocalEngine, fixture_requests: dict[str, Request], expected: dict[str, Any]
) -> None:
    request, stop = fixture_requests["score"], threading.Event()
    blocks = engine._weights("score_degradation").model.model.visual.blocks
    later = 0

    def count() -> None:
        nonlocal later
        later += 1

    with hooked(blocks[0], stop.set), hooked(blocks[1], count), pytest.raises(Stopped):
        list(engine.stream([request], FEW, stop=stop))
    assert later == 0
    assert expected["score"]["text"].startswith(texts(engine.stream([request], FEW, max_pixels=WHOLE))[0])


def test_stop_is_heard_while_the_prompt_is_read(
    engine: LocalEngine, fixture_requests: dict[str, Request]
) -> None:
    stop = threading.Event()
    layers = engine._weights("score_degradation").model.model.language_model.layers
    with hooked(layers[0], stop.set), pytest.raises(Stopped):
        list(engine.stream([fixture_requests["score"]], FEW, stop=stop))
    assert texts(engine.stream([fixture_requests["score"]], FEW))


def test_stop_is_heard_while_words_come(engine: LocalEngine, fixture_requests: dict[str, Request]) -> None:
    stop = threading.Event()
    stream = engine.stream([fixture_requests["score"]], FEW, stop=stop)
    assert next(stream).text
    stop.set()
    with pytest.raises(Stopped):
        next(stream)
    assert texts(engine.stream([fixture_requests["score"]], FEW))


def test_closing_the_stream_frees_the_model(
    engine: LocalEngine, fixture_requests: dict[str, Request]
) -> None:
    with closing(engine.stream([fixture_requests["score"]], FEW)) as stream:
        next(stream)
        assert engine._busy.locked()
    assert not engine._busy.locked()


def test_a_stream_that_is_forgotten_frees_the_model(
    engine: LocalEngine, fixture_requests: dict[str, Request]
) -> None:
    next(engine.stream([fixture_requests["score"]], FEW))
    gc.collect()
    assert not engine._busy.locked()


def test_a_second_question_waits_for_the_first_and_can_be_stopped_while_it_waits(
    engine: LocalEngine, fixture_requests: dict[str, Request]
) -> None:
    request, stop = fixture_requests["score"], threading.Event()
    begun, outcome = threading.Event(), []
    threads = threading.active_count()

    def wait_in_line() -> None:
        begun.set()
        try:
            outcome.append(next(engine.stream([request], FEW, stop=stop)))
        except Stopped as stopped:
            outcome.append(stopped)

    first = engine.stream([request], FEW)
    words = next(first).text
    waiting = threading.Thread(target=wait_in_line)
    waiting.start()
    assert begun.wait(PATIENCE)
    waiting.join(0.2)
    assert waiting.is_alive()
    assert outcome == []
    stop.set()
    waiting.join(PATIENCE)
    assert [type(found) for found in outcome] == [Stopped]
    words += "".join(delta.text for delta in first)
    assert words == texts(engine.stream([request], FEW))[0]
    assert threading.active_count() == threads


def test_a_second_question_is_answered_after_the_first(
    engine: LocalEngine, fixture_requests: dict[str, Request]
) -> None:
    request = fixture_requests["score"]
    alone = texts(engine.stream([request], FEW))
    first = engine.stream([request], FEW)
    next(first)
    found: list[dict[int, str]] = []
    second = threading.Thread(target=lambda: found.append(texts(engine.stream([request], FEW))))
    second.start()
    for _ in first:
        assert found == []
    second.join(PATIENCE)
    assert found == [alone]


# --- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["visual", "language"])
def test_a_failure_inside_a_layer_reaches_the_caller_and_the_next_question_is_answered(
    engine: LocalEngine, fixture_requests: dict[str, Request], where: str
) -> None:
    request = fixture_requests["score"]
    inner = engine._weights("score_degradation").model.model
    layer = inner.visual.blocks[1] if where == "visual" else inner.language_model.layers[1]

    def fail() -> None:
        raise RuntimeError("a cosmic ray")

    with hooked(layer, fail), pytest.raises(RuntimeError, match="a cosmic ray"):
        list(engine.stream([request], FEW))
    assert not engine._busy.locked()
    assert texts(engine.stream([request], FEW))


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_running_out_of_memory_is_a_sentence(
    engine: LocalEngine, fixture_requests: dict[str, Request], device: str
) -> None:
    def fail() -> None:
        if device == "cpu":
            torch.empty(2**60)  # torch's own refusal
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 5 GiB")

    block = engine._weights("score_degradation").model.model.visual.blocks[0]
    with hooked(block, fail), pytest.raises(EngineError, match="Try a smaller --max-pixels"):
        list(engine.stream([fixture_requests["score"]], FEW))
    assert not engine._busy.locked()


def test_a_photo_the_model_cannot_be_shown_is_refused_and_the_next_one_is_answered(
    engine: LocalEngine, fixture_requests: dict[str, Request]
) -> None:
    with pytest.raises(PhotoError, match="at most 200:1"):
        list(engine.stream([Request(Task.SCORE, (Image.new("RGB", (6000, 20)),))], FEW))
    assert texts(engine.stream([fixture_requests["score"]], FEW))


def test_a_task_the_checkpoint_was_not_trained_for_is_refused(
    part: Path, fixture_requests: dict[str, Request]
) -> None:
    (part / "qinsight.json").write_text('{"tasks": ["score"], "name": "Rater"}')
    rater = LocalEngine.open(str(part), Device.CPU, Precision.FP32)
    assert rater.about.tasks == {Task.SCORE}
    with pytest.raises(EngineError, match="Rater was not trained for degradation; it knows score"):
        list(rater.stream([fixture_requests["dist"]], FEW))
    assert texts(rater.stream([fixture_requests["score"]], FEW))


# --- what is shown and held -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_pixels", [3136, 20_000, 50_176])
def test_max_pixels_bounds_what_the_model_looks_at(
    engine: LocalEngine, picture: Callable[[str], Image.Image], max_pixels: int
) -> None:
    weights = engine._weights("score_degradation")
    (prompt,) = prepare(weights, [Request(Task.SCORE, (picture("score"),))], max_pixels)
    (view,) = prompt.views
    assert view.width * view.height <= max_pixels
    tokens = int((prompt.ids == weights.model.config.image_token_id).sum())
    assert tokens == view.width * view.height // 784


def test_the_checkpoints_own_budget_holds_unless_another_is_asked_for(
    part: Path, picture: Callable[[str], Image.Image]
) -> None:
    (part / "qinsight.json").write_text('{"max_pixels": 20000, "order": "photo_first"}')
    small = LocalEngine.open(str(part), Device.CPU, Precision.FP32)
    request = Request(Task.SCORE, (picture("score"),))
    assert small.about.max_pixels == 20_000

    def looks(**options: int) -> int:
        patches = []
        embed = small._weights("").model.model.visual.patch_embed
        handle = embed.register_forward_hook(lambda _, given, __: patches.append(len(given[0])))
        texts(small.stream([request], Sampling(max_new_tokens=1), **options))
        handle.remove()
        return 196 * sum(patches)

    assert looks() <= 20_000
    assert 20_000 < looks(max_pixels=50_176) <= 50_176


def test_an_order_of_ones_own_changes_the_question_and_the_answer(
    official: Path, engine: LocalEngine, fixture_requests: dict[str, Request]
) -> None:
    other = LocalEngine.open(str(official), Device.CPU, Precision.FP32, order=Order.PHOTO_FIRST)
    sampling = Sampling(max_new_tokens=16)
    request = fixture_requests["dist"]
    assert texts(other.stream([request], sampling)) != texts(engine.stream([request], sampling))


def test_what_is_loaded_is_told(engine: LocalEngine, fixture_requests: dict[str, Request]) -> None:
    texts(engine.stream([fixture_requests["comparison"]], FEW))
    about = engine.about
    assert (about.name, about.precision, about.device) == ("official_layout", "fp32", "cpu")
    assert about.tasks == frozenset(Task)
    assert set(about.details) == {"score_degradation", "comparison"}
    assert about.memory_bytes > 2_000_000
    assert not about.preview


def test_parts_that_do_not_fit_side_by_side_take_turns(
    official: Path, fixture_requests: dict[str, Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    alternating = LocalEngine.open(str(official), Device.CPU, Precision.FP32)
    monkeypatch.setattr(weights_module, "free_memory", lambda _: 0 if alternating._loaded else 10**12)
    assert set(alternating.about.details) == {"score_degradation"}
    assert texts(alternating.stream([fixture_requests["comparison"]], FEW))
    assert set(alternating.about.details) == {"comparison"}
    assert texts(alternating.stream([fixture_requests["score"]], FEW))
    assert set(alternating.about.details) == {"score_degradation"}


def test_a_part_that_fits_nowhere_is_a_sentence_and_the_engine_lives_on(
    official: Path, fixture_requests: dict[str, Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    survivor = LocalEngine.open(str(official), Device.CPU, Precision.FP32)
    with monkeypatch.context() as poor:
        poor.setattr(weights_module, "free_memory", lambda _: 0)
        with pytest.raises(EngineError, match="GB of free memory"):
            list(survivor.stream([fixture_requests["comparison"]], FEW))
    assert survivor.about.name == "official_layout"
    assert texts(survivor.stream([fixture_requests["score"]], FEW))


def test_a_broken_part_does_not_cost_the_other(
    official: Path, tmp_path: Path, fixture_requests: dict[str, Request]
) -> None:
    broken = shutil.copytree(official, tmp_path / "broken", ignore=shutil.ignore_patterns("images"))
    half = LocalEngine.open(str(broken), Device.CPU, Precision.FP32)
    (broken / "comparison" / "model-00003-of-00004.safetensors").write_bytes(b"")
    with pytest.raises(EngineError, match="damaged or incomplete"):
        list(half.stream([fixture_requests["comparison"]], FEW))
    assert set(half.about.details) == {"score_degradation"}
