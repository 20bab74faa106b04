"""The warm-up learns what it says it learns, goes on after a kill, and ships a checkpoint that answers."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from qinsight.answers import Winner, read_answer, read_reply
from qinsight.engines.checkpoint import PREVIEW, Device
from qinsight.engines.local import LocalEngine
from qinsight.engines.weights import load_processor
from qinsight.photos.view import view_size
from qinsight.prompts import Order, Task, build_messages
from qinsight.requests import Request, Sampling
from shared.pictures import discs
from shared.places import OFFICIAL
from training.data.degrade import DISTORTIONS, SEVERITIES, degrade, leave_clean
from training.data.originals import list_photos
from training.preview import lessons, tiny
from training.preview.collect import HELD_OUT, SOURCES, credit
from training.preview.warmup import Recipe, Row, Warmup, expected, export, run

TEMPLATE = OFFICIAL / "score_degradation" / "chat_template.json"
SMALL = Recipe(
    steps=4, eyes_share=0.5, workers=1, eyes_tokens_per_step=60, words_tokens=(4, 40), first_views=12
)


@pytest.fixture(scope="session")
def photos() -> list[Image.Image]:
    """Six pictures of overlapping discs: edges, flat parts and texture, as in photos."""
    return [discs(seed) for seed in range(6)]


@pytest.fixture(scope="session")
def preview() -> LocalEngine:
    return LocalEngine.open("preview", Device.CPU)


def _weights(worker: Warmup) -> torch.Tensor:
    return torch.cat([weight.detach().ravel() for weight in worker.model.parameters()])


# --- the run ----------------------------------------------------------------------------------------------


def test_two_steps_of_warm_up_resume_where_they_stopped(photos: list[Image.Image], tmp_path: Path) -> None:
    straight = Warmup(photos, SMALL)
    for _ in range(4):
        straight.learn()
    stopped = Warmup(photos, SMALL)
    stopped.learn()
    stopped.learn()
    torch.save(stopped.state(), tmp_path / "state.pt")
    resumed = Warmup(photos, SMALL)
    resumed.resume(torch.load(tmp_path / "state.pt", weights_only=True))
    resumed.learn()
    resumed.learn()
    assert resumed.eyes_steps == straight.eyes_steps == 2
    assert torch.equal(_weights(resumed), _weights(straight))


def test_what_is_kept_is_the_mean_of_the_last_steps_weights_also_after_a_kill(
    photos: list[Image.Image], tmp_path: Path
) -> None:
    recipe = replace(SMALL, mean_from=0.3)
    worker, ends = Warmup(photos, recipe), []
    for _ in range(4):
        worker.learn()
        ends.append(_weights(worker))
        torch.save(worker.state(), tmp_path / "state.pt")
        worker.resume(torch.load(tmp_path / "state.pt", weights_only=True))
    kept = torch.cat([weight.detach().ravel() for weight in worker.learnt().parameters()])
    assert torch.allclose(kept, torch.stack(ends[1:]).mean(0), atol=1e-6)
    assert not torch.allclose(kept, ends[-1], atol=1e-6)


def test_the_loss_falls_when_one_step_is_taken_again_and_again(photos: list[Image.Image]) -> None:
    worker = Warmup(photos, replace(SMALL, steps=1000, warm_steps=1))
    losses = []
    for _ in range(8):
        losses.append(worker.learn()["loss"])
        worker.step = 0
    assert losses[-1] < losses[0]


def test_photos_too_large_to_teach_the_eyes_leave_the_eyes_alone(photos: list[Image.Image]) -> None:
    worker = Warmup(photos, replace(SMALL, steps=6, tower_learns_below=0))
    for _ in range(3):
        worker.learn()
    tower = torch.cat([weight.detach().ravel() for weight in worker.model.model.visual.parameters()])
    words = worker.model.lm_head.weight.detach().clone()
    for _ in range(2):
        worker.learn()
    after = torch.cat([weight.detach().ravel() for weight in worker.model.model.visual.parameters()])
    assert worker.eyes_steps == 3
    assert torch.equal(after, tower)
    assert not torch.equal(worker.model.lm_head.weight, words)


def test_what_is_trained_is_what_the_shipped_checkpoint_computes(
    photos: list[Image.Image], tmp_path: Path
) -> None:
    worker = Warmup(photos, SMALL)
    export(worker, tmp_path)
    processor = load_processor(tmp_path)
    views = lessons.draw_views(photos, 12, 3, np.random.default_rng(1))
    for row in (
        Row(Task.SCORE, (0,), lessons.score_reply(views[0], 3.25)),
        Row(Task.COMPARISON, (2, 1, 0), lessons.comparison_reply(views[1], views[0], reference=True)),
    ):
        loss, number = worker._hear([row], views, worker._see(views))
        messages = build_messages(row.task, reference=len(row.views) == 3, order=Order.PHOTO_FIRST)
        prompt = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        images = [views[place].degraded.image for place in row.views]
        batch = processor(text=[prompt + row.reply + "<|im_end|>"], images=images, return_tensors="pt")
        logits = worker.model(**batch).logits[0, -number - 1 : -1]
        theirs = torch.nn.functional.cross_entropy(logits, batch["input_ids"][0, -number:], reduction="sum")
        assert loss.item() == pytest.approx(theirs.item(), rel=1e-4)


def test_a_short_run_leaves_a_checkpoint_that_the_engine_opens(
    photos: list[Image.Image], tmp_path: Path
) -> None:
    listing = []
    for number, photo in enumerate(photos):
        photo.save(tmp_path / f"{number}.png")
        entry = {"name": str(number), "file": f"{number}.png", "held_out": number == 5}
        listing.append(entry | dict.fromkeys(("package", "original", "author", "licence"), "made here"))
    (tmp_path / "photos.json").write_text(json.dumps(listing))
    run(tmp_path, tmp_path / "run", SMALL)
    engine = LocalEngine.open(str(tmp_path / "run/checkpoint"), Device.CPU)
    assert engine.about.preview
    assert engine.about.max_pixels == 1_003_520
    assert "5 photographs" in credit(list_photos(tmp_path))


def test_the_photos_of_the_page_are_never_learnt_from() -> None:
    assert {"astronaut", "chelsea", "coffee", "rocket"} <= HELD_OUT
    names = [name.split(".")[0] for source in SOURCES for name in source.names.split()]
    assert len(names) == len(set(names))
    assert set(names) >= HELD_OUT
    assert len(HELD_OUT) >= 30


def test_a_missing_photo_set_is_refused_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"run: python -m training\.preview\.collect --out"):
        list_photos(tmp_path)


# --- the lessons ------------------------------------------------------------------------------------------


def test_views_have_the_shape_of_photos_and_about_the_tokens_asked_for(photos: list[Image.Image]) -> None:
    rng = np.random.default_rng(0)
    for tokens in (4, 30, 200, 1280):
        for view in lessons.draw_views(photos, tokens, 2, rng):
            width, height = view.degraded.image.size
            assert (width % 28, height % 28) == (0, 0)
            assert (
                0.45 * tokens <= view.tokens <= min(1280, max(9, 1.5 * tokens))
            )  # some travel at 0.8 of their size


@pytest.mark.parametrize("size", [(56, 56), (60, 31), (450, 300), (1277, 783), (4000, 3000), (500, 2000)])
def test_a_photo_is_fitted_as_the_image_processor_would(size: tuple[int, int]) -> None:
    width, height = size
    theirs = smart_resize(height, width, 28, 4 * 784, 1280 * 784)
    assert view_size(width, height, 1280 * 784) == theirs[::-1]


def test_patches_are_those_of_the_image_processor(photos: list[Image.Image]) -> None:
    photo = photos[0].crop((0, 0, 168, 112))
    theirs = tiny.image_processor()(images=[photo], return_tensors="pt")["pixel_values"]
    assert torch.allclose(tiny.to_patches(np.asarray(photo)), theirs, atol=1e-5)


def test_cues_measure_what_they_are_called(photos: list[Image.Image]) -> None:
    rng = np.random.default_rng(0)
    clean = lessons.measure(photos[0])
    noisy = lessons.measure(degrade(photos[0], "noise", 3, rng, kind="white_noise").image)
    blocky = lessons.measure(degrade(photos[0], "compression", 5, rng, kind="jpeg").image)
    soft = lessons.measure(degrade(photos[0], "blur", 3, rng).image)
    dark = lessons.measure(degrade(photos[0], "darken", 4, rng).image)
    assert noisy["noise"] > 2 * clean["noise"]
    assert blocky["blocking"] > 2 * clean["blocking"]
    assert soft["sharpness"] < 0.5 * clean["sharpness"]
    assert dark["brightness"] < 0.7 * clean["brightness"]


def test_every_taught_reply_is_one_the_app_reads_without_repair(photos: list[Image.Image]) -> None:
    rng = np.random.default_rng(0)
    views = [lessons.look_at(leave_clean(photos[0]))]
    for distortion in DISTORTIONS:
        views += [lessons.look_at(degrade(photos[1], distortion, level, rng)) for level in range(1, 6)]
    for view in views:
        answer = read_answer(Task.DEGRADATION, read_reply(lessons.degradation_reply(view)))
        assert not answer.repairs
        score = read_answer(Task.SCORE, read_reply(lessons.score_reply(view, view.degraded.mos)))
        assert score.rating == pytest.approx(view.degraded.mos, abs=0.006)
        assert not score.repairs
    best, worst = views[0], views[5]
    better = read_answer(Task.COMPARISON, read_reply(lessons.comparison_reply(worst, best)))
    assert better.winner is Winner.B
    equal = read_answer(Task.COMPARISON, read_reply(lessons.comparison_reply(best, best, reference=True)))
    assert equal.winner is Winner.SIMILAR


def test_three_in_four_ratings_are_what_the_eyes_expect_and_the_others_the_views_own_on_the_whole(
    photos: list[Image.Image],
) -> None:
    clean = [lessons.look_at(leave_clean(photos[0]))]
    asked = Row(Task.SCORE, (0,), lessons.score_reply(clean[0], 1.0))
    other = Row(Task.DEGRADATION, (0,), lessons.degradation_reply(clean[0]))
    rows = expected([asked] * 400 + [other], clean, [2.34], np.random.default_rng(1))
    ratings = [read_answer(Task.SCORE, read_reply(row.reply)).rating for row in rows[:-1]]
    own = [rating for rating in ratings if rating != 2.34]
    assert 80 < len(own) < 120
    assert len(set(own)) > 10  # of one opinion, which is no favourite any more
    assert np.mean(own) == pytest.approx(clean[0].degraded.mos, abs=0.05)
    assert rows[-1] is other


# --- the checkpoint in the repository ---------------------------------------------------------------------


def test_the_preview_checkpoint_is_under_ten_megabytes() -> None:
    assert sum(file.stat().st_size for file in PREVIEW.rglob("*") if file.is_file()) < 10_000_000


def test_the_preview_checkpoint_says_what_it_is() -> None:
    card = json.loads((PREVIEW / "qinsight.json").read_text())
    assert card["preview"] is True
    assert set(card["tasks"]) == set(Task)
    assert card["order"] == Order.PHOTO_FIRST
    config = json.loads((PREVIEW / "config.json").read_text())
    text = config["text_config"]
    assert text["hidden_size"] // text["num_attention_heads"] == 32  # what vLLM can serve
    words = (PREVIEW / "README.md").read_text()
    for honest in ("not the Q-Insight weights", "synthetic", "KADID-10k"):
        assert honest in words


def test_every_word_of_an_answer_is_one_token_and_a_prompt_is_short() -> None:
    tokenizer = load_processor(PREVIEW).tokenizer
    for word in (*DISTORTIONS, *SEVERITIES, "null", *"0123456789"):
        assert len(tokenizer.encode(word)) == 1, word
    for task in Task:
        prompt = tokenizer.apply_chat_template(
            build_messages(task, order=Order.PHOTO_FIRST), tokenize=False, add_generation_prompt=True
        )
        ids = tokenizer.encode(prompt)
        assert len(ids) < 40
        assert tokenizer.decode(ids) == prompt


@pytest.mark.parametrize("order", Order)
def test_the_chat_template_writes_what_the_published_one_writes(order: Order) -> None:
    tokenizer = load_processor(PREVIEW).tokenizer
    published = json.loads(TEMPLATE.read_text())["chat_template"]
    questions = [build_messages(task, order=order) for task in Task]
    questions.append(build_messages(Task.COMPARISON, reference=True))
    questions.append([{"role": "user", "content": "no system, plain words"}])
    for messages in questions:
        ours, theirs = (
            tokenizer.apply_chat_template(
                messages, chat_template=one, tokenize=False, add_generation_prompt=True
            )
            for one in (None, published)
        )
        assert ours == theirs


@pytest.mark.parametrize("size", [(56, 56), (300, 200), (160, 640), (1120, 840)])
def test_the_preview_checkpoint_answers_each_task_in_its_own_form(
    preview: LocalEngine, size: tuple[int, int]
) -> None:
    photo = discs(3, *size)
    noisy = degrade(photo, "noise", 4, np.random.default_rng(0)).image
    requests = [
        Request(Task.SCORE, (noisy,)),
        Request(Task.DEGRADATION, (noisy,)),
        Request(Task.COMPARISON, (photo, noisy)),
        Request(Task.COMPARISON, (noisy, photo, noisy), reference=True),
    ]
    words = [""] * len(requests)
    for delta in preview.stream(requests, Sampling(max_new_tokens=160)):
        words[delta.request] += delta.text
    for request, text in zip(requests, words, strict=True):
        answer = read_answer(request.task, read_reply(text))
        assert not answer.repairs, text
