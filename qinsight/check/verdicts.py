"""What the answers of a check say of the engine: one verdict a kind of harm, each by a name of its own.

The rule behind most of them: what an engine does to every picture it does to one to which it was done already, and
that changes nothing. So a picture and what the harm would make of it are both asked about; a faithful engine
answers differently, a harmful one the same.
"""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from enum import StrEnum
from functools import cached_property

from qinsight.answers import Clean, Comparison, Degradation, Score
from qinsight.assess import Asked
from qinsight.check import pictures, plan
from qinsight.check.asking import Answered, Answers
from qinsight.check.chances import taken
from qinsight.check.served import Told
from qinsight.requests import About, Finish, Sampling

MOST_BAD = 0.05  # of all replies may be unreadable, cut or without thinking
DRIFT = 0.1  # of a rating, on average, that the same picture may be rated differently
EXACT_DRIFT = 0.02  # the same for weights in fp32
MOST_OTHER_WORDS = 0.5  # of the replies to what was asked before
SAME = 0.01  # of a rating: pictures that are the same, pixel by pixel
NEARLY = 0.5  # of a rating, and ...
NEARLY_WORDS = 0.88  # ... of the words: pictures that differ by what shrinking leaves of single pixels
CLOSE = 0.05  # of a rating, and ...
CLOSE_WORDS = 0.96  # ... of the words: pictures that differ at an edge
UNSTEADY = CLOSE / 2  # of a rating, by which the same question may be answered differently
FALL = 0.3  # of a rating, that something plainly worse must be worth
RISE = 0.15  # of a rating, that may be added by harm
OTHER_SIDE = (
    0.75  # of a rating, by which clean and spoilt pictures may be told apart better with the question there
)
SURE = 0.9  # a chance above which sampling, too, takes the likeliest token
MOST_PASSED = 0.05  # of the other tokens may be passed over without a repetition penalty that explains it
UNLIKELY = 0.2  # of the likeliest token's chance
SLOW_STOP = 5.0  # seconds


class State(StrEnum):
    """What a verdict comes to."""

    OK = "ok"
    ALARM = "alarm"
    NOTE = "note"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Verdict:
    """One line of the passport."""

    name: str
    state: State
    words: str
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Evidence:
    """The answers of a check, and what several verdicts ask of them."""

    about: About
    answers: Answers
    sampling: Sampling  # that was asked for
    max_pixels: int  # that a picture may have before we shrink it ourselves
    told: Told = field(default_factory=Told)

    def one(self, name: str, place: int = 0) -> Asked | None:
        """A finished reply, by its step."""
        found = self.answers.get(name, Answered())
        return found.asked[place] if place < len(found.asked) else None

    def rating(self, name: str) -> float | None:
        """How good a picture was found."""
        return rating_of(self.one(f"score {name}"))

    @property
    def as_usual(self) -> bool:
        """Whether pictures and words were asked for as a record has them."""
        return self.max_pixels >= _area(pictures.LARGE) and self.sampling.repetition_penalty is None

    @cached_property
    def replies(self) -> list[tuple[str, Asked]]:
        """All that were to be whole, with the names of their steps."""
        return [
            (name, one)
            for name, answered in self.answers.items()
            if name not in ("limit", "stop") and not name.startswith(("seed", "penalty", "other order"))
            for one in answered.asked
        ]

    @cached_property
    def cut(self) -> list[str]:
        """Replies without their end although they had tokens left."""
        return [name for name, one in self.replies if self._is_cut(one)]

    @cached_property
    def unreadable(self) -> list[str]:
        """Whole replies without an answer."""
        return [name for name, one in self.replies if one.error and not self._is_cut(one)]

    def _is_cut(self, one: Asked) -> bool:
        if one.finish is Finish.LENGTH:
            return one.tokens < self.sampling.max_new_tokens
        return "<think>" in one.text and "</answer>" not in one.text

    @cached_property
    def again(self) -> list[tuple[Asked, Asked]]:
        """What was asked twice."""
        return self._beside("again {}".format)

    @cached_property
    def batched(self) -> list[tuple[Asked, Asked]]:
        """What was asked alone and in a batch."""
        names = plan.base_names()
        pairs = [(self.one(name), self.one("batch", place)) for place, name in enumerate(names)]
        return [(alone, other) for alone, other in pairs if alone and other]

    def _beside(self, named: Callable[[str], str]) -> list[tuple[Asked, Asked]]:
        pairs = [(self.one(name), self.one(named(name))) for name in plan.base_names()]
        return [(alone, other) for alone, other in pairs if alone and other]

    @cached_property
    def drift(self) -> float:
        """The most by which the same question was answered differently."""
        return max((apart for pair in self.again if (apart := distance(*pair)) is not None), default=0.0)

    @cached_property
    def steadiness(self) -> float:
        """How much of the words the same question keeps, at least, where both replies can be read."""
        kept = (likeness(*pair) for pair in self.again if not any(one.error for one in pair))
        return min(kept, default=1.0)

    @property
    def is_unsteady(self) -> bool:
        """Whether the same question is answered so differently that equal answers say nothing."""
        return self.drift > UNSTEADY

    def same(self, one: str, other: str) -> bool | None:
        """Whether two pictures were answered as if they were one, pixel by pixel."""
        return self._alike(one, other, SAME, min(0.999, self.steadiness))

    def nearly_same(self, one: str, other: str) -> bool | None:
        """Whether two pictures were answered as if they differed by what shrinking leaves of single pixels."""
        return self._alike(one, other, NEARLY, min(NEARLY_WORDS, self.steadiness))

    def close(self, one: str, other: str) -> bool | None:
        """Whether two pictures were answered as if they differed at an edge."""
        return self._alike(one, other, CLOSE, min(CLOSE_WORDS, self.steadiness))

    def _alike(self, one: str, other: str, most: float, words: float) -> bool | None:
        pair = self.one(f"score {one}"), self.one(f"score {other}")
        if pair[0] is None or pair[1] is None:
            return None
        apart = distance(pair[0], pair[1])
        if apart is None or self.drift > most:
            return None
        return apart <= most and likeness(pair[0], pair[1]) >= words


def rating_of(one: Asked | None) -> float | None:
    """The mean over the ratings that might have been written, else the one that was."""
    if one is None or not isinstance(one.answer, Score):
        return None
    return one.answer.rating if one.expected_rating is None else one.expected_rating


def distance(one: Asked, other: Asked) -> float | None:
    """How far two answers to one question are apart, in ratings; another diagnosis is a whole one."""
    if isinstance(one.answer, Degradation | Clean) and isinstance(other.answer, Degradation | Clean):
        return float(_named(one) != _named(other))
    ratings = rating_of(one), rating_of(other)
    return None if ratings[0] is None or ratings[1] is None else abs(ratings[0] - ratings[1])


def likeness(one: Asked, other: Asked) -> float:
    """The share of words two replies have in common, in order."""
    if one.text == other.text:
        return 1.0
    return SequenceMatcher(None, one.text, other.text, autojunk=False).ratio()


def _named(one: Asked) -> str:
    return str(one.answer.distortion) if isinstance(one.answer, Degradation) else "null"


# --- the verdicts -------------------------------------------------------------------------------------------------


def verdicts(evidence: Evidence) -> list[Verdict]:
    """All of them, in the order of the table."""
    return [judge(evidence) for judge in _JUDGES]


def _answered(evidence: Evidence) -> Verdict:
    failed = [one.failure for one in evidence.answers.values() if one.failure]
    if not failed:
        return Verdict("answered", State.OK, f"all {len(evidence.answers)} questions were answered")
    words = f"{len(failed)} of {len(evidence.answers)} questions were not answered: {failed[0]}"
    return Verdict("answered", State.ALARM, words, {"failed": len(failed)})


def _readable(evidence: Evidence) -> Verdict:
    bad, whole = evidence.unreadable, len(evidence.replies) - len(evidence.cut)
    told = f"{len(bad)} of {whole} whole replies cannot be read"
    if whole and len(bad) > MOST_BAD * whole:
        hint = "; is it the right model, and the right --order? (see question)"
        return Verdict("readable", State.ALARM, told + hint, {"unreadable": len(bad)})
    return _noted("readable", bad, told, "every whole reply has an answer")


def _whole(evidence: Evidence) -> Verdict:
    cut, count = evidence.cut, len(evidence.replies)
    told = f"{len(cut)} of {count} replies end before their answer does, with tokens left"
    if count and len(cut) > MOST_BAD * count:
        return Verdict("whole", State.ALARM, told, {"cut": len(cut)})
    return _noted("whole", cut, told, "no reply was cut")


def _thinking(evidence: Evidence) -> Verdict:
    silent = [name for name, one in evidence.replies if one.answer and not one.reply.thinking.strip()]
    told = f"{len(silent)} of {len(evidence.replies)} replies have an answer and no thinking"
    if len(silent) > MOST_BAD * max(1, len(evidence.replies)):
        return Verdict("thinking", State.ALARM, told + "; is the chat template the checkpoint's own?")
    return _noted("thinking", silent, told, "every answer was thought about")


def _noted(name: str, some: Sequence[object], told: str, fine: str) -> Verdict:
    return Verdict(name, State.NOTE, told) if some else Verdict(name, State.OK, fine)


def _question(evidence: Evidence) -> Verdict:
    """Whether clean pictures are told from spoilt ones about as well as with the question on the other side.

    The published weights learnt with the photo first and are asked, by their scripts, the question first: they may do a little
    worse so, which is no fault of whoever serves them.
    """
    here, there = (_told_apart(evidence, step) for step in ("score {}", "other order {}"))
    if here is None and there is None:
        return _not_known("question")
    both = {"apart": here, "other order": there}
    figures = {name: round(apart, 4) for name, apart in both.items() if apart is not None}
    if here is None or (there is not None and there > here + OTHER_SIDE):
        found = "cannot be read" if here is None else f"are rated {here:.2f} apart"
        words = f"clean and spoilt pictures {found}, and {there:.2f} with the question on the other side of the photo"
        return Verdict("question", State.ALARM, f"{words}; is --order right?", figures)
    return Verdict(
        "question", State.OK, "the question stands where clean and spoilt pictures are told apart", figures
    )


def _told_apart(evidence: Evidence, step: str) -> float | None:
    """By how much clean pictures are rated above spoilt ones, on average; None where most replies cannot be read."""
    clean, spoilt = (
        [rating for name in names if (rating := rating_of(evidence.one(step.format(name)))) is not None]
        for names in (pictures.CLEAN, plan.DIAGNOSED)
    )
    if min(len(clean), len(spoilt)) <= len(plan.DIAGNOSED) // 2:
        return None
    return statistics.fmean(clean) - statistics.fmean(spoilt)


def _seen(evidence: Evidence) -> Verdict:
    """Whether the answers depend on the pictures at all."""
    found = [one for name in _RATED if (one := evidence.one(name))]
    ratings = [rating for one in found if (rating := rating_of(one)) is not None]
    if len(found) > 1 and len({one.text for one in found}) == 1:
        return Verdict("seen", State.ALARM, "very different pictures get the very same reply: none is seen")
    if len(ratings) < 2:
        return _not_known("seen")
    spread = max(ratings) - min(ratings)
    told = f"clean and spoilt pictures are rated from {min(ratings):.2f} to {max(ratings):.2f}"
    state = State.ALARM if spread < FALL else State.OK
    return Verdict("seen", state, told, {"spread": round(spread, 4)})


_RATED = {f"score {name}" for name in plan.BASE} | {
    f"score {kind} {rung}" for kind in plan.LADDER_PHOTOS for rung in plan.RUNGS
}


def _twice(evidence: Evidence) -> Verdict:
    return _drifted("twice", evidence.again, evidence, "asked twice")


def _batch(evidence: Evidence) -> Verdict:
    if len(_displaced(evidence)) > 1:
        return Verdict("batch", State.UNKNOWN, "not known: answers change places, see pictures")
    return _drifted("batch", evidence.batched, evidence, "asked alone and in a batch")


def _drifted(name: str, pairs: Sequence[tuple[Asked, Asked]], evidence: Evidence, how: str) -> Verdict:
    apart = [far for pair in pairs if (far := _change(*pair)) is not None]
    if not apart:
        return _not_known(name)
    once = sum(_once_readable(*pair) for pair in pairs)
    mean, most = statistics.fmean(apart), max(apart)
    other = sum(one.text != two.text for one, two in pairs)
    tolerance = EXACT_DRIFT if evidence.about.precision == "fp32" else DRIFT
    figures = {"mean": round(mean, 4), "most": round(most, 4), "other words": other, "tolerance": tolerance}
    told = f"{how}, {len(pairs)} answers differ by {mean:.3f} on average (at most {most:.2f}), {other} in their words"
    told += f", {once} can be read only once" if once else ""
    told += "; what rests on equal answers is not known" if name == "twice" and evidence.is_unsteady else ""
    astray = name == "twice" and (other > MOST_OTHER_WORDS * len(pairs) or _jumps(pairs))
    if mean > tolerance or astray:
        return Verdict(name, State.ALARM, f"{told}; tolerated are {tolerance}", figures)
    return Verdict(name, State.NOTE if other else State.OK, told, figures)


def _jumps(pairs: Sequence[tuple[Asked, Asked]]) -> bool:
    """Whether a picture is rated so differently as no rounding explains."""
    return any((distance(one, two) or 0) > NEARLY for one, two in pairs if isinstance(one.answer, Score))


def _change(one: Asked, other: Asked) -> float | None:
    """The distance; an answer that can be read only once is a whole rating away."""
    return 1.0 if _once_readable(one, other) else distance(one, other)


def _once_readable(one: Asked, other: Asked) -> bool:
    return bool(one.answer) is not bool(other.answer)


def _displaced(evidence: Evidence) -> list[str]:
    """Answers of the batch that are those of another picture, asked alone."""
    found = []
    count = len(plan.BASE)
    alone = [evidence.one(f"score {name}") for name in plan.BASE]
    for place, own in enumerate(alone):
        here = evidence.one("batch", place)
        others = [other for other in alone[:count] if other and other is not own]
        if here and own and likeness(here, own) < 1 and _is_another(here, own, others):
            found.append(plan.BASE[place])
    return found


def _is_another(here: Asked, own: Asked, others: Sequence[Asked]) -> bool:
    away = distance(here, own)
    nearest = max(others, key=lambda other: likeness(here, other))
    near = distance(here, nearest)
    if here.text == nearest.text:
        return True
    return (
        near is not None
        and away is not None
        and near <= SAME
        and away > FALL
        and likeness(here, nearest) > 0.98
    )


def _pictures(evidence: Evidence) -> Verdict:
    """Whether each answer belongs to its picture, and each picture of a comparison to its letter."""
    displaced = _displaced(evidence)
    if len(displaced) > 1:
        words = f"in a batch, {len(displaced)} of {len(plan.BASE)} pictures get another picture's answer"
        return Verdict("pictures", State.ALARM, words)
    if unseen := _unseen(evidence):
        return Verdict("pictures", State.ALARM, f"{unseen} of a comparison makes no difference to the reply")
    right, wrong, asked = _preferred(evidence)
    figures = {"better preferred": right, "worse preferred": wrong, "plain pairs": asked}
    if wrong > right and wrong >= 4:
        words = (
            f"the plainly worse picture is preferred {wrong} times, the better {right}: they change places"
        )
        return Verdict("pictures", State.ALARM, words, figures)
    if not asked and len(evidence.batched) == 0:
        return _not_known("pictures")
    if right <= asked / 2 and asked and _orders(evidence).state is not State.ALARM:
        words = f"of plain pairs the better is preferred only {right} of {asked} times: not both pictures are seen for what they are"
        return Verdict("pictures", State.ALARM, words, figures)
    words = "every answer belongs to its picture"
    words += f"; of plain pairs the better is preferred {right} of {asked} times" if asked else ""
    return Verdict("pictures", State.OK, words, figures)


def _unseen(evidence: Evidence) -> str:
    """The picture of a comparison that may be any other."""
    for place, word in ((0, "the second picture"), (1, "the first picture")):
        one, other = evidence.one("pair blur", place), evidence.one("pair, another second", place)
        if one and other and one.reply.thinking and one.text == other.text:
            return word
    return ""


def _preferred(evidence: Evidence) -> tuple[int, int, int]:
    """How often the better of a plain pair was preferred, how often the worse, and how many answers there are."""
    right = wrong = asked = 0
    for name, places in _PAIRS.items():
        for place, better in places:
            one = evidence.one(name, place)
            if one and isinstance(one.answer, Comparison):
                asked += 1
                right += str(one.answer.winner) == better
                wrong += str(one.answer.winner) not in (better, "Similar")
    return right, wrong, asked


_PAIRS = {f"pair {kind}": ((0, "Image A"), (1, "Image B")) for kind in plan.LADDER_PHOTOS} | {
    f"reference {kind}{order}": ((0, letter),)
    for kind in ("blur", "noise")
    for order, letter in (("", "Image A"), (", swapped", "Image B"))
}


def _orders(evidence: Evidence) -> Verdict:
    """Whether a winner stays one when the pictures change places."""
    pairs = [(evidence.one(f"pair {kind}"), evidence.one(f"pair {kind}", 1)) for kind in plan.LADDER_PHOTOS]
    winners = [
        (one.answer.winner, other.answer.winner)
        for one, other in pairs
        if one and other and isinstance(one.answer, Comparison) and isinstance(other.answer, Comparison)
    ]
    if not winners:
        return _not_known("orders")
    agreed = sum(one is other.swapped for one, other in winners)
    letters = {winner for pair in winners for winner in pair}
    figures = {"agreed": agreed, "pairs": len(winners)}
    if len(letters) == 1 and len(winners) > 2 and "Similar" not in letters:
        words = f"the answer is always {letters.pop()}, whichever picture that is"
        return Verdict("orders", State.ALARM, words, figures)
    state = State.OK if agreed == len(winners) and letters != {"Similar"} else State.NOTE
    return Verdict(
        "orders", state, f"both orders name the same winner in {agreed} of {len(winners)} pairs", figures
    )


def _ladders(evidence: Evidence) -> Verdict:
    """Whether growing harm lowers the rating."""
    rises, flat, figures = [], [], {}
    for kind, name in plan.LADDER_PHOTOS.items():
        clean = evidence.rating(name)
        rungs = [rating for rung in plan.RUNGS if (rating := evidence.rating(f"{kind} {rung}")) is not None]
        if clean is None or len(rungs) < len(plan.RUNGS):
            continue
        figures[kind] = round(rungs[-1] - clean, 4)
        rises += [kind] if rungs[-1] > clean + RISE else []
        flat += [kind] if min(rungs) > clean - FALL else []
    told = ", ".join(f"{kind} {fall:+.2f}" for kind, fall in figures.items())
    if not figures:
        return _not_known("ladders")
    if rises or len(flat) == len(figures):
        return Verdict("ladders", State.ALARM, f"growing harm does not lower the rating: {told}", figures)
    return _noted(
        "ladders", flat, f"from clean to the worst: {told}", f"growing harm lowers the rating: {told}"
    )


# --- harm to pictures ---------------------------------------------------------------------------------------------


def _orientation(evidence: Evidence) -> Verdict:
    tall = f"tall {plan.TALL[-1]}"
    told = evidence.same(tall, f"{tall}, told by EXIF")
    if told is None or _is_blind(evidence):
        return _not_known("orientation")
    if not told:
        words = "a file that says by EXIF how it lies is answered differently from the upright picture"
        return Verdict("orientation", State.ALARM, words)
    if side := next((side for side in plan.TURNED if _is_turned(evidence, side)), ""):
        words = f"upright pictures are answered as if they were {side}: pictures are turned on the way"
        return Verdict("orientation", State.ALARM, words)
    return Verdict("orientation", State.OK, "EXIF is respected, and upright pictures stay upright")


def _is_turned(evidence: Evidence, side: str) -> bool:
    """Whether every tall picture has the answer of its turned one, and the two that are left have one answer, too.

    How a picture lies makes little difference to its quality, so that one such pair may be alike by chance.
    """
    others = [other for other in plan.TURNED if other != side]
    pairs = [
        pair
        for name in plan.TALL
        for pair in (
            (f"tall {name}", f"tall {name}, {side}"),
            tuple(f"tall {name}, {other}" for other in others),
        )
    ]
    return all(evidence.same(*pair) for pair in pairs)


def _shrunk(evidence: Evidence) -> bool:
    """Whether pictures are known to be: with smoothing, which leaves little of single pixels; or without, as one was enlarged."""
    if evidence.max_pixels < _area(pictures.LARGE):
        return False
    smoothed = all(
        evidence.nearly_same(f"large {name}", f"large {name}, checkered") for name in plan.DETAILED
    )
    return smoothed or bool(evidence.close("small", "small, enlarged"))


def _size(evidence: Evidence) -> Verdict:
    told = evidence.told
    if wrong := told.wrong:
        more = told.tokens[wrong] - told.tokens["small"]
        due = told.expected[wrong] - told.expected["small"]
        words = f"a {wrong} picture has {more} tokens more than a small one; by its size it has {due}"
        return Verdict("size", State.ALARM, words, told.tokens)
    if told.all_alike:
        words = f"pictures of 0.08 to 0.8 megapixels all have {told.all_alike} tokens: they are brought to one size on the way"
        return Verdict("size", State.ALARM, words, told.tokens)
    names = [f"large {name}" for name in plan.DETAILED]
    seen = all(evidence.nearly_same(name, f"{name}, checkered") is not None for name in names)
    if not seen or _is_blind(evidence) or evidence.max_pixels < _area(pictures.LARGE):
        return _not_known("size")
    if _shrunk(evidence):
        words = (
            "detail of single pixels makes no difference in a large picture: pictures are shrunk on the way"
        )
        return Verdict("size", State.ALARM, words, told.tokens)
    counted = ", and the server counts its tokens" if len(set(told.tokens.values())) > 1 else ""
    words = f"a picture of 0.8 megapixels arrives with its single pixels{counted}"
    return Verdict("size", State.OK, words, told.tokens)


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _lossless(evidence: Evidence) -> Verdict:
    lost = [words for name, words in _LOST.items() if evidence.same("card", f"card, {name}")]
    card = evidence.one("score card")
    if card is None or evidence.drift > SAME or _is_blind(evidence):
        return _not_known("lossless")
    # Words alone may be the same beside the finest colour, which no odds betray.
    if not lost or (card.expected_rating is None and lost == [_LOST["checkered in colour"]]):
        return Verdict("lossless", State.OK, "detail that no JPEG keeps arrives")
    if _shrunk(evidence) or _colourless(evidence):
        return Verdict("lossless", State.UNKNOWN, "not known: pictures lose more than a JPEG loses")
    words = f"{' and '.join(lost)} makes no difference: pictures are re-encoded on the way, as a JPEG is"
    return Verdict("lossless", State.ALARM, words)


_LOST = {
    "fine detail": "detail below a JPEG's steps at quality 95",
    "more fine detail": "detail below its steps at quality 75",
    "checkered in colour": "colour of single pixels",
}


def _colourless(evidence: Evidence) -> bool:
    return all(evidence.close(f"coloured {name}", f"coloured {name}, in grey") for name in plan.BLOTCHES)


def _colours(evidence: Evidence) -> Verdict:
    if any(evidence.one(f"score coloured {name}") is None for name in plan.BLOTCHES) or _is_blind(evidence):
        return _not_known("colours")
    if _colourless(evidence):
        words = "blotches of colour make no difference: pictures lose their colours on the way"
        return Verdict("colours", State.ALARM, words)
    return Verdict("colours", State.OK, "colours arrive")


def _shape(evidence: Evidence) -> Verdict:
    if evidence.one("score wide") is None or _is_blind(evidence):
        return _not_known("shape")
    if harm := next(_misshapen(evidence), ""):
        return Verdict("shape", State.ALARM, harm)
    return Verdict("shape", State.OK, "pictures arrive whole, neither padded nor squeezed")


def _misshapen(evidence: Evidence) -> Iterator[str]:
    for part in plan.KEPT:
        if evidence.close("three squares", f"three squares, clean at the {part}"):
            yield f"noise outside the {part} third makes no difference: pictures are cropped on the way"
    for colour in pictures.PADDING:
        if evidence.same("wide", f"wide, padded {colour}"):
            yield "padding makes no difference: pictures are padded to a square on the way"
    if all(evidence.close(f"blurred {name}", f"blurred {name}, squeezed") for name in plan.SQUEEZED):
        yield "squeezing makes no difference: pictures are forced into one shape on the way"


def _is_blind(evidence: Evidence) -> bool:
    """Whether pictures cannot be told apart by their answers: shrunk by ourselves, all alike, or never twice the same."""
    if evidence.is_unsteady or evidence.max_pixels < _area(pictures.SQUARE):
        return True
    return any(judge(evidence).state is State.ALARM for judge in (_seen, _twice))


# --- manners of the engine ----------------------------------------------------------------------------------------


def _probabilities(evidence: Evidence) -> Verdict:
    """Whether the chances beside an answer are chances, and the likeliest token was taken."""
    found = [one for _, reply in evidence.replies for one in taken(reply)]
    if not found:
        return Verdict("probabilities", State.NOTE, "none come with the answers: no expected rating, no odds")
    wrong = [whole for one in found if not 0 <= (whole := sum(one.chances.values())) < 1.02]
    if wrong:
        return Verdict("probabilities", State.ALARM, f"the chances of one token add up to {wrong[0]:.2f}")
    unsure = [one for one in found if max(one.chances.values()) < SURE]
    passed = sum(one.is_odd for one in unsure)
    absurd = sum(one.is_odd and one.share < UNLIKELY for one in found)
    figures = {"tokens": len(found), "unsure": len(unsure), "passed over": passed, "unlikely": absurd}
    if passed > max(2, MOST_PASSED * len(unsure)) or absurd > max(2, MOST_BAD * len(found)):
        words = (
            f"the likeliest token was not taken in {passed} of {len(unsure)} places that were open, "
            "which no repetition penalty explains: answers are sampled"
        )
        return Verdict("probabilities", State.ALARM, words, figures)
    scores = [one for _, one in evidence.replies if isinstance(one.answer, Score)]
    expected = sum(one.expected_rating is not None for one in scores)
    words = f"they come with the answers, and the likeliest token is taken; {expected} of {len(scores)} scores get an expected rating"
    state = State.OK if 2 * expected >= len(scores) else State.NOTE
    return Verdict("probabilities", state, words, figures)


def _penalty(evidence: Evidence) -> Verdict:
    none, strong = evidence.one("penalty none"), evidence.one("penalty strong")
    if none is None or strong is None:
        return _not_known("penalty")
    refused = evidence.about.details.get("refused by the server", "")
    if none.text != strong.text:
        return Verdict("penalty", State.OK, "a repetition penalty changes the reply")
    if "repetition_penalty" in refused:
        return Verdict(
            "penalty", State.NOTE, "the server takes no repetition penalty: it applies its own, or none"
        )
    return Verdict("penalty", State.ALARM, "a strong repetition penalty changes nothing: it is not applied")


def _seeds(evidence: Evidence) -> Verdict:
    """Whether a seed repeats a sample, and another gives another."""
    samples = [[evidence.one(f"seed {name}, {seed}") for seed in plan.SEEDS] for name in plan.SAMPLED]
    found = [(first, again, other) for first, again, other in samples if first and again and other]
    if not found:
        return _not_known("seeds")
    repeated = sum(_common(first, again) for first, again, _ in found)
    others = sum(_common(first, other) for first, _, other in found)
    kept = sum(first.text == again.text for first, again, _ in found)
    if all(first.text == other.text for first, _, other in found):
        return Verdict(
            "seeds", State.ALARM, "every seed gives the same reply: temperature or seed is ignored"
        )
    if not kept and repeated < 2 * others:
        return Verdict("seeds", State.ALARM, "the same seed gives another reply: seeds are ignored")
    state = State.OK if kept == len(found) else State.NOTE
    return Verdict("seeds", state, f"the same seed gives the same reply {kept} of {len(found)} times")


def _common(one: Asked, other: Asked) -> int:
    """How many characters two replies begin with alike."""
    pairs = enumerate(zip(one.text, other.text, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one.text), len(other.text)))


def _limit(evidence: Evidence) -> Verdict:
    cut, whole = evidence.one("limit"), evidence.one("score cat")
    if cut is None or whole is None:
        return _not_known("limit")
    if cut.finish is not Finish.LENGTH or cut.tokens > plan.LIMIT + 1:
        words = f"a reply of at most {plan.LIMIT} tokens was asked for; {cut.tokens} came ({cut.finish})"
        return Verdict("limit", State.ALARM, words)
    if _common(cut, whole) < len(cut.text):
        return Verdict("limit", State.NOTE, "a reply that is cut begins otherwise than the whole one")
    return Verdict("limit", State.OK, "a reply is cut where it is to be, and says so")


def _stop(evidence: Evidence) -> Verdict:
    found = evidence.answers.get("stop")
    if found is None or not found.asked:
        return _not_known("stop")
    one = found.asked[0]
    figures = {"seconds": round(found.ended, 3), "tokens": found.overrun}
    whole = evidence.one("score cat")
    came = whole is not None and one.finish is not None and found.overrun > whole.tokens // 2
    if found.ended > SLOW_STOP or came:
        words = f"after Stop {found.overrun} tokens still came, in {found.ended:.1f} seconds"
        return Verdict("stop", State.ALARM, words, figures)
    return Verdict("stop", State.OK, f"a reply ends {found.ended:.2f} seconds after Stop", figures)


def _speed(evidence: Evidence) -> Verdict:
    alone = [evidence.answers[f"score {name}"] for name in plan.BASE if f"score {name}" in evidence.answers]
    told = [(one.first, one.asked[0]) for one in alone if one.asked]
    if not told:
        return _not_known("speed")
    first = statistics.median(first for first, _ in told)
    rate = statistics.median((one.tokens - 1) / max(1e-6, one.seconds - first) for first, one in told)
    words = f"first word after {first:.2f} seconds, then {rate:.1f} tokens a second, at 0.15 megapixels"
    return Verdict(
        "speed", State.OK, words, {"first word": round(first, 3), "tokens a second": round(rate, 2)}
    )


def _not_known(name: str) -> Verdict:
    return Verdict(
        name, State.UNKNOWN, "not known: the replies that would show it are missing or cannot be told apart"
    )


_JUDGES: tuple[Callable[[Evidence], Verdict], ...] = (
    *(
        _answered,
        _readable,
        _whole,
        _thinking,
        _question,
        _seen,
        _twice,
        _batch,
        _pictures,
        _orders,
        _ladders,
    ),
    *(_orientation, _size, _lossless, _colours, _shape),
    *(_probabilities, _penalty, _seeds, _limit, _stop, _speed),
)
