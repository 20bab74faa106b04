"""What the answers of a check say of how the engine samples, ends and hurries: a verdict each."""

import statistics
from collections.abc import Callable

from qinsight.answers import Score
from qinsight.assess import Asked
from qinsight.check import plan
from qinsight.check.chances import taken
from qinsight.check.evidence import MOST_BAD, Evidence, State, Verdict, not_known
from qinsight.requests import Finish

SURE = 0.9  # a chance above which sampling, too, takes the likeliest token
MOST_PASSED = 0.05  # of the other tokens may be passed over without a repetition penalty that explains it
CERTAIN = 100  # tokens of which one at least was not, in any model
UNLIKELY = 0.2  # of the likeliest token's chance
SLOW_STOP = 5.0  # seconds


def _probabilities(evidence: Evidence) -> Verdict:
    """Whether the chances beside an answer are chances, and the likeliest token was taken."""
    found = [one for _, reply in evidence.replies for one in taken(reply)]
    if not found:
        return Verdict("probabilities", State.NOTE, "none come with the answers: no expected rating, no odds")
    wrong = [whole for one in found if not 0 <= (whole := sum(one.chances.values())) < 1.02]
    if wrong:
        return Verdict("probabilities", State.ALARM, f"the chances of one token add up to {wrong[0]:.2f}")
    if len(found) > CERTAIN and all(max(one.chances.values()) > 0.999 for one in found):
        words = f"each of {len(found)} tokens is certain: the chances are those that were left after sampling, and no odds"
        return Verdict("probabilities", State.ALARM, words)
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
    if _lost_in_whole_replies(evidence):
        words = "they come word by word only: whole replies, as a ranking asks for, get no expected rating"
        return Verdict("probabilities", State.NOTE, words, figures)
    scores = [one for _, one in evidence.replies if isinstance(one.answer, Score)]
    expected = sum(one.expected_rating is not None for one in scores)
    words = f"they come with the answers, and the likeliest token is taken; {expected} of {len(scores)} scores get an expected rating"
    state = State.OK if 2 * expected >= len(scores) else State.NOTE
    return Verdict("probabilities", state, words, figures)


def _lost_in_whole_replies(evidence: Evidence) -> bool:
    scores = [pair for pair in evidence.again if isinstance(pair[0].answer, Score)]
    rated = [[one.expected_rating is not None for one in replies] for replies in zip(*scores, strict=True)]
    return bool(rated) and any(rated[0]) and not any(rated[1])


def _penalty(evidence: Evidence) -> Verdict:
    none, strong = evidence.one("penalty none"), evidence.one("penalty strong")
    if none is None or strong is None:
        return not_known("penalty")
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
        return not_known("seeds")
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
        return not_known("limit")
    if cut.finish is not Finish.LENGTH or cut.tokens > plan.LIMIT + 1:
        words = f"a reply of at most {plan.LIMIT} tokens was asked for; {cut.tokens} came ({cut.finish})"
        return Verdict("limit", State.ALARM, words)
    if _common(cut, whole) < len(cut.text):
        return Verdict("limit", State.NOTE, "a reply that is cut begins otherwise than the whole one")
    return Verdict("limit", State.OK, "a reply is cut where it is to be, and says so")


def _stop(evidence: Evidence) -> Verdict:
    found = evidence.answers.get("stop")
    if found is None or not found.asked:
        return not_known("stop")
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
        return not_known("speed")
    first = statistics.median(first for first, _ in told)
    rate = statistics.median((one.tokens - 1) / max(1e-6, one.seconds - first) for first, one in told)
    words = f"first word after {first:.2f} seconds, then {rate:.1f} tokens a second, at 0.15 megapixels"
    return Verdict(
        "speed", State.OK, words, {"first word": round(first, 3), "tokens a second": round(rate, 2)}
    )


MANNERS: tuple[Callable[[Evidence], Verdict], ...] = (_probabilities, _penalty, _seeds, _limit, _stop, _speed)
