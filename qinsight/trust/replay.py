"""Whether an answer comes again: asked once more, with each part that made it compared.

python -m qinsight replay ANSWER.json PHOTO [PHOTO2]
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from PIL import Image

from qinsight.answers import Score
from qinsight.assess import Asked, ask, assessment, comparison, described, last
from qinsight.engines.checkpoint import PREVIEW_NAME, Precision
from qinsight.engines.made_by import MadeBy, as_shown, made_by_all, pixel_hash
from qinsight.errors import PhotoError, QInsightError
from qinsight.flags import add_model_flags, open_engine
from qinsight.json_lines import parsed
from qinsight.photos import load_photo
from qinsight.photos.view import view
from qinsight.prompts import Task
from qinsight.requests import Engine, Request, Sampling
from qinsight.sentence import Sentence
from qinsight.terminal import say, show_step

IDENTICAL, FAILED, MISUSED, UNREADABLE_PHOTO, DIFFERS = 0, 1, 2, 4, 5
PARTS = {
    "engine": "The engine differs",
    "device": "The device differs",
    "precision": "The precision differs",
    "threads": "The number of threads differs",
    "weights": "The weights differ",
    "settings": "The settings, template or vocabulary beside the weights differ",
    "prompt": "The prompt differs",
    "max_pixels": "The pixel budget differs",
    "sizes": "The size that the model sees differs",
    "pixels": "The pixels differ",
}
OF_A_SERVER = ("device", "precision", "threads", "weights", "settings")
OF_THE_QUESTION = ("batch", "sampling", "versions")  # what is asked again in the same way, and each version


@dataclass(frozen=True)
class Replayed:
    """What asking again came to: the `parts` that differ, and the reply if it does; what is `unknown` was not compared."""

    task: str
    parts: tuple[Sentence, ...]
    reply: Sentence | None
    unknown: tuple[str, ...] = ()

    @property
    def identical(self) -> bool:
        return not self.parts and self.reply is None

    @property
    def sentences(self) -> list[Sentence]:
        """What is said of it."""
        return [
            Sentence("{task}: {told}", task=self.task, told=said) for said in [*self._said, *self._unsaid]
        ]

    @property
    def _said(self) -> list[Sentence]:
        if self.identical:
            return [Sentence("identical")]
        told = self.reply or Sentence("The reply is the same nevertheless.")
        if self.reply and not self.parts:
            told = Sentence("{reply} Every part that the answer names is the same.", reply=self.reply)
        return [*self.parts, told]

    @property
    def _unsaid(self) -> list[Sentence]:
        names = ", ".join(self.unknown)
        words = Sentence("The server does not say its {names}: not compared.", names=names)
        return [words] if self.unknown else []


def read_answers(path: Path) -> list[dict[str, Any]]:
    """The answers in a file: one, a list as the page saves it, or a line each; `QInsightError` for anything else."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        try:
            found = parsed(text)
        except ValueError:
            found = [parsed(line) for line in text.splitlines() if line.strip()]
        answers = found if isinstance(found, list) else [found]
        if not answers or not all(isinstance(one, dict) for one in answers):
            raise ValueError("it holds no answer")
    except (OSError, ValueError) as error:
        raise QInsightError(
            "Expected an answer as --json prints it in {path}; it cannot be read ({cause}).",
            path=path,
            cause=getattr(error, "strerror", None) or error,
        ) from error
    return answers


def check_answer(answer: Mapping[str, Any]) -> MadeBy:
    """What made the answer; `QInsightError` where it does not say so, or not wholly."""
    made = answer.get("made_by")
    if not isinstance(made, dict):
        raise QInsightError(
            "Expected an answer that says what made it; this one is of an earlier version, or has none. "
            "Ask again with --json."
        )
    missing = [name for name in (*PARTS, *OF_THE_QUESTION) if name not in made]
    if missing:
        raise QInsightError(
            "Expected {missing} in made_by of the answer; it is missing. Ask again with --json.",
            missing=", ".join(missing),
        )
    if answer.get("task", Task.SCORE) not in [*Task]:
        raise QInsightError(
            "Expected an answer of score, diagnose, compare or rank, got one of {task}.", task=answer["task"]
        )
    _sampling(made)
    _questions(made)
    return made


def replay(engine: Engine, answer: Mapping[str, Any], photos: Sequence[Image.Image]) -> Replayed:
    """Ask again what the answer was asked, about these photos, and compare."""
    made = check_answer(answer)
    sampling, limit = _sampling(made), _max_pixels(made)
    requests = as_shown(_requests(made, photos), limit)
    asked = last(ask(engine, requests, sampling, max_pixels=limit, watched=False))
    now = made_by_all(engine.about, requests, sampling, limit)
    reply = _reply_differs(answer, asked)
    parts = [*_differing(made, now), *_other_model(answer, made, now, engine.about.name)]
    among = made["batch"].get("photos", 1)
    if reply is not None and among > 1:
        parts.append(
            Sentence("It was asked among {among} photos at once, now it was asked alone.", among=among)
        )
    task = str(answer.get("task", "rank"))
    return Replayed(task, tuple(parts), reply, _unknown(made, now))


def _unknown(then: MadeBy, now: MadeBy) -> tuple[str, ...]:
    """What a server says of itself neither then nor now."""
    if "server" not in (then["engine"], now["engine"]):
        return ()
    named = (name for name in OF_A_SERVER if then[name] == now[name] and then[name] in (None, "server"))
    return tuple(named)


def _other_model(answer: Mapping[str, Any], then: MadeBy, now: MadeBy, name: str) -> Iterator[Sentence]:
    """Where the weights are not known the model's name is what there is to compare."""
    before = str(answer.get("model") or name)
    if "task" not in answer:  # a row's model is followed by how it was asked
        before = before.rpartition(" (")[0] or before
    if then["weights"] is None and now["weights"] is None and before != name:
        yield Sentence("The model differs: {then} then, {now} now.", then=before, now=name)


def _differing(then: MadeBy, now: MadeBy) -> Iterator[Sentence]:
    for name, words in PARTS.items():
        if then[name] != now[name]:
            yield Sentence(
                "{what}: {then} then, {now} now.", what=words, then=_told(then[name]), now=_told(now[name])
            )
    before = then["versions"] if isinstance(then["versions"], dict) else {}
    for name in dict.fromkeys([*before, *now["versions"]]):
        if before.get(name) != now["versions"].get(name):
            yield Sentence(
                "The version of {name} differs: {then} then, {now} now.",
                name=name,
                then=_told(before.get(name)),
                now=_told(now["versions"].get(name)),
            )


def _told(value: Any) -> str:
    """A part in few characters."""
    if value is None:
        return "not known"
    if isinstance(value, list):
        return ", ".join(" x ".join(map(str, one)) if isinstance(one, list) else _told(one) for one in value)
    return str(value)[:48]


def _reply_differs(answer: Mapping[str, Any], asked: Sequence[Asked]) -> Sentence | None:
    for then, now in zip(_said_then(answer), _said_now(answer, asked), strict=False):
        if then != now:
            return Sentence(
                "The reply differs: {then!r} then, {now!r} now.",
                then=_around(then, now),
                now=_around(now, then),
            )
    return None


def _said_then(answer: Mapping[str, Any]) -> list[str]:
    if "task" not in answer:
        return [json.dumps(answer.get(name)) for name in _OF_A_ROW]
    if isinstance(samples := answer.get("samples"), list):
        return [str(one.get("reply")) for one in samples]
    return [str(one) for one in answer.get("replies") or [answer.get("reply")]]


def _said_now(answer: Mapping[str, Any], asked: Sequence[Asked]) -> list[str]:
    if "task" in answer:
        mine = [one for one in asked if str(one.request.task) == answer["task"]]
        return [one.text for one in mine]
    score, diagnosis = asked
    told = {
        "rating": score.answer.rating if isinstance(score.answer, Score) else None,
        **{name: None if text == "null" else text for name, text in described(diagnosis.answer).items()},
        "thinking": score.reply.thinking,
        "diagnosis": diagnosis.reply.thinking,
    }
    return [json.dumps(told.get(name)) for name in _OF_A_ROW]


_OF_A_ROW = ("rating", "distortion_class", "severity", "thinking", "diagnosis")


def _around(said: str, other: str) -> str:
    """The words where two replies part, and a few before."""
    apart = next(
        (place for place, pair in enumerate(zip(said, other, strict=False)) if len(set(pair)) > 1), None
    )
    start = max(0, (min(len(said), len(other)) if apart is None else apart) - 20)
    return said[start : start + 40]


def _requests(made: MadeBy, photos: Sequence[Image.Image]) -> list[Request]:
    questions = _questions(made)
    if questions[0] is not Task.COMPARISON:
        if len(photos) != 1:
            raise QInsightError("Expected the 1 photo of the answer, got {got}.", got=len(photos))
        return assessment(photos[0], questions)
    expected = len(made["pixels"])
    if len(photos) != expected:
        raise QInsightError(
            "Expected the {count} photos of the answer in its order, got {got}.",
            count=expected,
            got=len(photos),
        )
    reference, (a, b) = (photos[0], photos[1:]) if expected == 3 else (None, photos)
    pairs = comparison(a, b, reference)
    return pairs * (len(questions) // len(pairs) or 1)


def _questions(made: MadeBy) -> list[Task]:
    try:
        questions = [Task(name) for name in made["batch"]["questions"]]
        if not questions:
            raise ValueError
    except (TypeError, KeyError, ValueError) as error:
        raise _unreadable("batch", made) from error
    return questions


def _sampling(made: MadeBy) -> Sampling:
    try:
        return Sampling(**made["sampling"])
    except (TypeError, ValueError) as error:
        raise _unreadable("sampling", made) from error


def _max_pixels(made: MadeBy) -> int:
    if type(made["max_pixels"]) is not int:
        raise _unreadable("max_pixels", made)
    return int(made["max_pixels"])


def _unreadable(name: str, made: MadeBy) -> QInsightError:
    return QInsightError(
        "Expected {name} in made_by as this version writes it, got {got}. Ask again with --json.",
        name=name,
        got=str(made.get(name))[:60],
    )


# --- the command line ----------------------------------------------------------------------------------------


def add_command(commands: Any) -> None:
    """Its flags, for the parser of all commands."""
    command = commands.add_parser(
        "replay",
        help="ask again what an answer was asked, and say whether it is identical or what differs",
        epilog="Exit codes: 0 identical, 1 it could not be asked again, 2 bad usage, 4 a photo could not be read, "
        "5 something differs.",
        allow_abbrev=False,
    )
    command.add_argument("answer", type=Path, metavar="ANSWER", help="what --json printed, or the page saved")
    words = "its photo; of a comparison both, in their order, the reference last"
    command.add_argument("photos", nargs="*", metavar="PHOTO", help=words)
    add_model_flags(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Replay every answer of the file that is about the photo; the exit code is that of the epilog above."""
    answers = read_answers(options.answer)
    if not options.photos:
        say(f"qinsight: Expected the photo of {options.answer} as well, got none.")
        return MISUSED
    try:
        photos = [load_photo(path) for path in options.photos]
    except PhotoError as error:
        say(f"qinsight: {error}")
        return UNREADABLE_PHOTO
    chosen = _about(answers, photos, options.photos)
    engine = open_engine(_as_then(options, chosen[0]), show_step)
    ordered = [*photos[2:], *photos[:2]]  # the reference comes first in a question
    code = IDENTICAL
    for answer in chosen:
        found = replay(engine, answer, ordered)
        for sentence in found.sentences:
            say(sentence, result=True)
        code = code if found.identical else DIFFERS
    return code


def _about(
    answers: Sequence[dict[str, Any]], photos: Sequence[Image.Image], paths: Sequence[str]
) -> list[dict[str, Any]]:
    """Those of several answers that are about the photo, by its pixels, else by its name."""
    known = [answer for answer in answers if isinstance(answer.get("made_by"), dict)]
    if len(answers) == 1 or not known:
        check_answer(answers[0])
    for answer in known:
        check_answer(answer)
    if len(known) == len(answers) and len({json.dumps(one["made_by"]["pixels"]) for one in known}) == 1:
        return [*answers]
    shown = partial(_shown_hash, photos[0])
    same = [one for one in known if shown(_max_pixels(one["made_by"])) in one["made_by"]["pixels"]]
    name = PurePath(paths[0]).name
    found = same or [one for one in answers if PurePath(str(one.get("photo"))).name == name]
    if not found:
        raise QInsightError(
            "Expected one of {count} answers about {photo}, found none.", count=len(answers), photo=paths[0]
        )
    for answer in found:
        check_answer(answer)
    return found


def _shown_hash(photo: Image.Image, max_pixels: int) -> str:
    return pixel_hash(view(photo, max_pixels))


def _as_then(options: argparse.Namespace, answer: Mapping[str, Any]) -> argparse.Namespace:
    """The flags, where they leave it open with the model and the precision that the answer names."""
    chosen = argparse.Namespace(**vars(options))
    if chosen.model == "auto" and not chosen.endpoint and str(answer.get("model")).startswith(PREVIEW_NAME):
        chosen.model = "preview"
    precision = answer["made_by"]["precision"]
    if chosen.precision is Precision.AUTO and answer["made_by"]["engine"] == "transformers":
        chosen.precision = Precision(precision) if precision in [*Precision] else Precision.AUTO
    return chosen
