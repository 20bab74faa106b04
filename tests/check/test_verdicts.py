"""Every kind of harm is named by a verdict of its own, and an engine that does none raises no alarm."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from qinsight.assess import Asked
from qinsight.check import check, pictures, plan, plan_for
from qinsight.check.asking import Answered
from qinsight.check.evidence import Evidence, State
from qinsight.check.passport import Passport
from qinsight.check.pictures import grey
from qinsight.engines.checkpoint import Device, Precision
from qinsight.engines.local import LocalEngine
from qinsight.errors import EngineError
from qinsight.photos import decode
from qinsight.prompts import Order, Task
from qinsight.requests import Delta, Engine, Finish, Request, Sampling
from shared import harm
from shared.harm import Harmful, Pictures, Remembered, Sampled, Words

NEAREST, BOX, LANCZOS = Image.Resampling.NEAREST, Image.Resampling.BOX, Image.Resampling.LANCZOS
Harm = Callable[[Engine], Engine]


@pytest.fixture(scope="module")
def preview() -> Remembered:
    """The real preview, which is asked the same only once."""
    torch.set_num_threads(1)
    return Remembered(LocalEngine.open("preview", Device.CPU, Precision.FP32))


@pytest.fixture
def checked(preview: Remembered, tmp_path: Path) -> Callable[[Harm], Passport]:
    return lambda harmed: check(harmed(preview), tmp_path)


THE_EIGHT: dict[str, tuple[Harm, str]] = {
    "no EXIF turn": (lambda engine: Pictures(engine, harm.on_its_side), "orientation"),
    "JPEG re-encoding": (lambda engine: Pictures(engine, harm.reencoded(75)), "lossless"),
    "shrunk to 336 px": (lambda engine: Pictures(engine, harm.to_at_most(336)), "size"),
    "noise by batch": (harm.NoiseInBatches, "batch"),
    "swapped pictures": (harm.Swapped, "pictures"),
    "garbage": (lambda engine: Words(engine, harm.rubbish), "readable"),
    "truncation": (lambda engine: harm.CutShort(engine, 30, Finish.LENGTH), "whole"),
    "always the first": (lambda engine: Words(engine, harm.always_a), "orders"),
}

TO_PICTURES: dict[str, tuple[Harm, str]] = {
    "JPEG at quality 95": (lambda engine: Pictures(engine, harm.reencoded(95)), "lossless"),
    "JPEG that keeps all chroma": (lambda engine: Pictures(engine, harm.reencoded(90, 0)), "lossless"),
    "JPEG that only halves chroma": (lambda engine: Pictures(engine, harm.reencoded(100)), "lossless"),
    "shrunk without smoothing": (lambda engine: Pictures(engine, harm.to_at_most(336, NEAREST)), "size"),
    "shrunk by means": (lambda engine: Pictures(engine, harm.to_at_most(336, BOX)), "size"),
    "shrunk to three quarters": (lambda engine: Pictures(engine, harm.within(760_000)), "size"),
    "shrunk by a thirtieth": (lambda engine: Pictures(engine, harm.within(960_000)), "identity"),
    "shrunk a little": (lambda engine: Pictures(engine, harm.to_at_most(640, LANCZOS)), "size"),
    "grey by luma": (lambda engine: Pictures(engine, lambda p: p.convert("L").convert("RGB")), "colours"),
    "grey by mean": (lambda engine: Pictures(engine, harm.mixed_to_grey), "colours"),
    "cropped to a square": (lambda engine: Pictures(engine, harm.cropped), "shape"),
    "padded in black": (lambda engine: Pictures(engine, harm.padded((0, 0, 0))), "shape"),
    "padded in grey": (lambda engine: Pictures(engine, harm.padded((114, 114, 114))), "shape"),
    "forced into a square": (lambda engine: Pictures(engine, harm.squeezed(224)), "shape"),
    "forced into a large square": (lambda engine: Pictures(engine, harm.squeezed(448)), "shape"),
    "channels swapped": (lambda engine: Pictures(engine, harm.channels_swapped), "identity"),
    "all mirrored": (
        lambda engine: Pictures(engine, lambda p: p.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
        "identity",
    ),
    "all turned": (
        lambda engine: Pictures(engine, lambda p: p.transpose(Image.Transpose.ROTATE_90)),
        "identity",
    ),
}

TO_LARGE_PICTURES: dict[str, tuple[Harm, str]] = {
    "JPEG of large ones": (
        lambda engine: Pictures(engine, harm.only_large(harm.reencoded(75))),
        "lossless",
    ),
    "JPEG at quality 40 of large ones": (
        lambda engine: Pictures(engine, harm.only_large(harm.reencoded(40))),
        "lossless",
    ),
    "grey of large ones": (lambda engine: Pictures(engine, harm.only_large(grey)), "colours"),
}

AS_DEPLOYED: dict[str, tuple[Harm, str]] = {
    "whole replies are rubbish": (
        lambda engine: harm.OnlyWhole(engine, Words(engine, harm.rubbish)),
        "twice",
    ),
    "another one's picture when busy": (harm.MixedWhenBusy, "pictures"),
    "a context too short for two pictures": (harm.ShortOfContext, "answered"),
    "chances after sampling": (harm.Certain, "probabilities"),
    "pieces of a stream are lost": (lambda engine: harm.OnlyWhole(harm.Leaking(engine), engine), "twice"),
}

TO_QUESTIONS: dict[str, tuple[Harm, str]] = {
    "pictures of a batch swapped": (harm.SwappedInBatches, "pictures"),
    "the first picture of a batch for all": (harm.FirstInBatches, "pictures"),
    "the first picture of all for all": (harm.FirstOfAll, "seen"),
    "the last picture dropped": (harm.LastDropped, "pictures"),
    "faint noise by batch": (lambda engine: harm.NoiseInBatches(engine, 4), "batch"),
    "another temperature": (lambda engine: Sampled(engine, temperature=0.5), "probabilities"),
    "another temperature, the same seed": (
        lambda engine: Sampled(engine, steady=True, temperature=1.0),
        "probabilities",
    ),
    "no penalty": (lambda engine: Sampled(engine, steady=True, repetition_penalty=1.0), "penalty"),
    "no seed": (Sampled, "seeds"),
    "one seed": (lambda engine: Sampled(engine, steady=True, seed=3), "seeds"),
    "never sampled": (lambda engine: Sampled(engine, steady=True, temperature=0.0), "seeds"),
    "no limit": (harm.Boundless, "limit"),
    "no stop": (harm.Deaf, "stop"),
}

TO_REPLIES: dict[str, tuple[Harm, str]] = {
    "cut without a word": (lambda engine: harm.CutShort(engine, 30, Finish.STOP), "whole"),
    "cut at the very end": (lambda engine: Words(engine, lambda text: text[:-6]), "whole"),
    "no thinking": (lambda engine: Words(engine, harm.without_thinking), "thinking"),
    "always the second": (
        lambda engine: Words(engine, lambda text: text.replace("<answer>Image A", "<answer>Image B")),
        "orders",
    ),
    "chances doubled": (lambda engine: harm.Chances(engine, lambda chance: 2 * chance), "probabilities"),
    "streams that fall silent": (harm.Silent, "answered"),
    "large pictures refused": (harm.Refusing, "answered"),
}


def some(kinds: Iterable[str], each: int = 8) -> list[str]:
    """Every so many, since each is a whole check of several seconds; all of them with QINSIGHT_TEST_EVERY_HARM=1."""
    return [*kinds][:: 1 if os.environ.get("QINSIGHT_TEST_EVERY_HARM") else each]


@pytest.mark.parametrize("kind", THE_EIGHT)
def test_the_eight_are_named_each_by_its_own_verdict(kind: str, checked: Callable[[Harm], Passport]) -> None:
    harmed, name = THE_EIGHT[kind]
    alarms = checked(harmed).alarms
    assert name in alarms
    others = {own for _, own in THE_EIGHT.values()} - {name}
    assert not others & set(alarms), alarms


@pytest.mark.parametrize("kind", some({**TO_LARGE_PICTURES, **TO_PICTURES}))
def test_other_harm_to_pictures_is_named(kind: str, preview: Remembered, tmp_path: Path) -> None:
    harmed, name = (TO_LARGE_PICTURES | TO_PICTURES)[kind]
    about_one = [step for step in plan_for(preview) if step.name.startswith("score")]
    assert name in check(harmed(preview), tmp_path, plan=about_one).alarms


@pytest.mark.parametrize("kind", some(AS_DEPLOYED, 2))
def test_harm_as_servers_do_it_is_named_also_where_the_weights_are_unknown(
    kind: str, checked: Callable[[Harm], Passport]
) -> None:
    harmed, name = AS_DEPLOYED[kind]
    assert name in checked(lambda engine: harm.behind_a_server(harmed(engine))).alarms


def test_whole_replies_without_chances_are_noted(checked: Callable[[Harm], Passport]) -> None:
    passport = checked(lambda engine: harm.behind_a_server(harm.OnlyWhole(engine, Words(engine, str))))
    (told,) = [verdict for verdict in passport.verdicts if verdict.name == "probabilities"]
    assert (told.state, "word by word only" in told.words) == (State.NOTE, True)


def test_what_a_lack_of_thinking_hides_is_not_known(checked: Callable[[Harm], Passport]) -> None:
    passport = checked(lambda engine: Words(engine, harm.without_thinking))
    assert "shape" not in passport.alarms
    assert {v.state for v in passport.verdicts if v.name in ("shape", "lossless")} == {State.UNKNOWN}


@pytest.mark.parametrize("kind", some({**TO_QUESTIONS, **TO_REPLIES}))
def test_other_harm_to_questions_and_replies_is_named(kind: str, checked: Callable[[Harm], Passport]) -> None:
    harmed, name = (TO_QUESTIONS | TO_REPLIES)[kind]
    assert name in checked(harmed).alarms


def test_what_does_no_harm_raises_no_alarm_and_is_known(checked: Callable[[Harm], Passport]) -> None:
    passport = checked(Harmful)
    assert passport.alarms == []
    assert {verdict.state for verdict in passport.verdicts} == {State.OK}
    assert passport.summary.startswith("Handled as it should be; 72 of 72 replies are word for word those of")


def test_the_preview_itself_in_real_batches_raises_no_alarm(preview: Remembered, tmp_path: Path) -> None:
    assert check(preview.engine, tmp_path).alarms == []


def test_the_question_in_the_wrong_place_is_told(tmp_path: Path) -> None:
    engine = LocalEngine.open("preview", Device.CPU, Precision.FP32, order=Order.QUESTION_FIRST)
    passport = check(engine, tmp_path)
    (question,) = [verdict for verdict in passport.verdicts if verdict.name == "question"]
    assert question.state is State.ALARM
    assert "--order" in question.words


def test_a_reader_that_does_not_turn_is_told(
    checked: Callable[[Harm], Passport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "TURNS", {})
    assert "orientation" in checked(Harmful).alarms


def test_a_server_without_probabilities_is_no_alarm(checked: Callable[[Harm], Passport]) -> None:
    passport = checked(lambda engine: Words(engine, str))
    assert passport.alarms == []
    (told,) = [verdict for verdict in passport.verdicts if verdict.name == "probabilities"]
    assert told.state is State.NOTE


def test_a_model_that_knows_one_task_is_asked_that_only(checked: Callable[[Harm], Passport]) -> None:
    passport = checked(harm.OnlySome)
    assert passport.alarms == []
    states = {verdict.name: verdict.state for verdict in passport.verdicts}
    assert states["orders"] is states["pictures"] is State.UNKNOWN


def test_pictures_that_we_were_told_to_shrink_are_no_alarm(preview: Remembered, tmp_path: Path) -> None:
    about_one = [step for step in plan_for(preview) if step.name.startswith("score")]
    for most in (500_000, 100_000):
        passport = check(preview, tmp_path, plan=about_one, max_pixels=most)
        states = {verdict.name: verdict.state for verdict in passport.verdicts}
        assert passport.alarms == []
        assert states["size"] is states["identity"] is State.UNKNOWN


def test_an_engine_that_answers_nothing_is_not_asked_everything(
    checked: Callable[[Harm], Passport],
) -> None:
    class Gone(Harmful):
        def requests(self, requests: object) -> list:  # type: ignore[override, type-arg]
            raise EngineError("The model is gone.")

    passport = checked(Gone)
    assert passport.alarms == ["answered"]
    assert "The model is gone." in passport.table()


@pytest.mark.parametrize("penalty", [1.02, 1.2])
def test_a_repetition_penalty_is_not_taken_for_sampling(
    penalty: float, preview: Remembered, tmp_path: Path
) -> None:
    sampling = Sampling(repetition_penalty=penalty)
    passport = check(preview, tmp_path, plan=plan_for(preview, sampling), sampling=sampling)
    assert passport.alarms == []
    unknown = [verdict.name for verdict in passport.verdicts if verdict.state is State.UNKNOWN]
    assert unknown == ["identity"]


COMPARED: dict[str, Harm] = {
    "all called similar": lambda engine: Words(engine, harm.always_similar),
    "laid side by side": harm.Collage,
}


@pytest.mark.parametrize("kind", COMPARED)
def test_pairs_that_are_not_told_apart_are_named(kind: str, checked: Callable[[Harm], Passport]) -> None:
    assert checked(COMPARED[kind]).alarms == ["pictures", "identity"]


def test_pairs_alone_that_are_shrunk_and_still_told_apart_are_named(
    preview: Remembered, tmp_path: Path
) -> None:
    halved = harm.PicturesOfPairs(preview, harm.to_at_most(pictures.SIZE[0] // 2))
    recorded = ("score", "diagnosis", "pair", "reference")
    some_of_them = [step for step in plan_for(preview) if step.name.startswith(recorded)]
    assert check(halved, tmp_path, plan=some_of_them).alarms == ["identity"]


@pytest.mark.parametrize("harmed", [harm.RubbishInBatches, harm.ScoresInBatches])
def test_what_only_a_batch_makes_unreadable_is_named(
    harmed: Harm, checked: Callable[[Harm], Passport]
) -> None:
    passport = checked(harmed)
    assert passport.alarms == ["batch"]
    assert "4 can be read only once" in passport.table()


def test_noise_that_is_another_each_time_is_named_and_nothing_that_rests_on_equal_answers(
    preview: Remembered, tmp_path: Path
) -> None:
    kinds = ("again", *(f"score {name}" for name in (*plan.BASE, "tall", "wide", "coloured", "large")))
    some_of_them = [step for step in plan_for(preview) if step.name.startswith(kinds)]
    passport = check(harm.behind_a_server(harm.NoiseEachTime(preview)), tmp_path, plan=some_of_them)
    states = {verdict.name: verdict.state for verdict in passport.verdicts}
    assert states["twice"] is not State.OK
    assert "what rests on equal answers is not known" in passport.table()
    assert {states[name] for name in ("orientation", "size", "colours", "shape")} == {State.UNKNOWN}


def test_two_replies_that_cannot_be_read_are_not_taken_for_equal(preview: Remembered) -> None:
    request = Request(Task.SCORE, (Image.new("RGB", (64, 64)),))
    rubbish = Answered((Asked(request, "Sorry.", 2, finish=Finish.STOP),))
    answers = {f"score {name}": rubbish for name in ("wide", "wide, padded black")}
    evidence = Evidence(preview.about, answers, Sampling(), preview.about.max_pixels)
    assert evidence.same("wide", "wide, padded black") is None


def test_an_end_marker_that_has_no_text_is_no_token_that_was_passed_over(
    checked: Callable[[Harm], Passport],
) -> None:
    """llama.cpp tells it with whole replies, among other markers that have none either."""

    class Ending(Harmful):
        def deltas(self, deltas: Iterator[Delta], count: int, sampling: Sampling) -> Iterator[Delta]:
            for delta in deltas:
                if delta.finish is Finish.STOP and not delta.text:
                    delta = replace(delta, alternatives=(("", 0.999), (" left", 2e-7), ("", 9e-8)))
                yield delta

    assert checked(Ending).alarms == []


def test_chances_that_make_no_expected_rating_are_noted(checked: Callable[[Harm], Passport]) -> None:
    class Even(Harmful):
        def deltas(self, deltas: Iterator[Delta], count: int, sampling: Sampling) -> Iterator[Delta]:
            for delta in deltas:
                words = [word for word, _ in delta.alternatives]
                yield replace(delta, alternatives=tuple((word, 0.5 / len(words)) for word in words))

    passport = checked(Even)
    (told,) = [verdict for verdict in passport.verdicts if verdict.name == "probabilities"]
    assert told.state is State.NOTE
    assert told.words.endswith("0 of 69 scores get an expected rating")
