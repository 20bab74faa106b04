"""What the answers of a check say of the engine: one verdict a kind of harm, each by a name of its own.

The rule behind most of them: what an engine does to every picture it does to one to which it was done already, and
that changes nothing. So a picture and what the harm would make of it are both asked about; a faithful engine
answers differently, a harmful one the same.
"""

import statistics
from collections.abc import Callable, Iterator, Sequence

from qinsight.answers import Comparison, Score
from qinsight.assess import Asked
from qinsight.check import pictures, plan
from qinsight.check.evidence import (
    DRIFT,
    EXACT_DRIFT,
    MOST_BAD,
    NEARLY,
    SAME,
    Evidence,
    State,
    Verdict,
    area,
    distance,
    likeness,
    not_known,
    rating_of,
)
from qinsight.check.manners import MANNERS

MOST_OTHER_WORDS = 0.5  # of the replies to what was asked before
FALL = 0.3  # of a rating, that something plainly worse must be worth
RISE = 0.15  # of a rating, that may be added by harm
OTHER_SIDE = (
    0.75  # of a rating, by which clean and spoilt pictures may be told apart better with the question there
)


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
        return not_known("question")
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
        return not_known("seen")
    spread = max(ratings) - min(ratings)
    told = f"clean and spoilt pictures are rated from {min(ratings):.2f} to {max(ratings):.2f}"
    state = State.ALARM if spread < FALL else State.OK
    return Verdict("seen", state, told, {"spread": round(spread, 4)})


_RATED = {f"score {name}" for name in plan.BASE} | {
    f"score {kind} {rung}" for kind in plan.LADDER_PHOTOS for rung in plan.RUNGS
}


def _twice(evidence: Evidence) -> Verdict:
    return _drifted("twice", evidence.again, evidence, "asked for word by word and whole")


def _batch(evidence: Evidence) -> Verdict:
    if len(_displaced(evidence)) > 1:
        return Verdict("batch", State.UNKNOWN, "not known: answers change places, see pictures")
    return _drifted("batch", evidence.batched, evidence, f"asked alone and {len(evidence.batched)} at a time")


def _drifted(name: str, pairs: Sequence[tuple[Asked, Asked]], evidence: Evidence, how: str) -> Verdict:
    apart = [far for pair in pairs if (far := _change(*pair)) is not None]
    if not apart:
        return not_known(name)
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
    return any(
        (distance(one, two) or 0) > NEARLY.rating for one, two in pairs if isinstance(one.answer, Score)
    )


def _change(one: Asked, other: Asked) -> float | None:
    """The distance; an answer that can be read only once is a whole rating away."""
    return 1.0 if _once_readable(one, other) else distance(one, other)


def _once_readable(one: Asked, other: Asked) -> bool:
    return bool(one.answer) is not bool(other.answer)


def _displaced(evidence: Evidence) -> list[str]:
    """Answers of the batch that are those of another picture, asked alone."""
    found = []
    alone = [evidence.one(f"score {name}") for name in plan.BASE]
    for place, own in enumerate(alone):
        here = evidence.one("batch", place)
        others = [other for other in alone if other and other is not own]
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
        and near <= SAME.rating
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
        return not_known("pictures")
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
        return not_known("orders")
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
        return not_known("ladders")
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
        return not_known("orientation")
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
    if evidence.shrunk_here:
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
        words = f"pictures of 0.1 to 1 megapixel all have {told.all_alike} tokens: they are brought to one size on the way"
        return Verdict("size", State.ALARM, words, told.tokens)
    names = [f"large {name}" for name in plan.DETAILED]
    seen = all(evidence.nearly_same(name, f"{name}, checkered") is not None for name in names)
    if not seen or _is_blind(evidence) or evidence.shrunk_here:
        return not_known("size")
    if _shrunk(evidence):
        words = (
            "detail of single pixels makes no difference in a large picture: pictures are shrunk on the way"
        )
        return Verdict("size", State.ALARM, words, told.tokens)
    counted = ", and the server counts its tokens" if len(set(told.tokens.values())) > 1 else ""
    words = f"in a picture of 1 megapixel single pixels make a difference{counted}"
    return Verdict("size", State.OK, words, told.tokens)


def _lossless(evidence: Evidence) -> Verdict:
    lost = [words for name, words in _LOST.items() if evidence.same("card", f"card, {name}")]
    card = evidence.one("score card")
    if card is None or evidence.drift > SAME.rating or _is_blind(evidence) or evidence.shrunk_here:
        return not_known("lossless")
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
        return not_known("colours")
    if _colourless(evidence):
        words = "blotches of colour make no difference: pictures lose their colours on the way"
        return Verdict("colours", State.ALARM, words)
    return Verdict("colours", State.OK, "colours arrive")


def _shape(evidence: Evidence) -> Verdict:
    if evidence.one("score wide") is None or _is_blind(evidence):
        return not_known("shape")
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
    if evidence.is_unsteady or evidence.max_pixels < area(pictures.SQUARE):
        return True
    return any(judge(evidence).state is State.ALARM for judge in (_thinking, _seen, _twice))


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
    *MANNERS,
)
