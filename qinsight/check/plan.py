"""What a check asks: every question by a name, in the order in which it is asked."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from PIL import Image

from qinsight.assess import comparison
from qinsight.check import pictures
from qinsight.photos import load_photo
from qinsight.prompts import Task
from qinsight.requests import GREEDY, Request, Sampling

VERSION = 4  # of the plan: answers of another one are not gone on with

LADDER_PHOTOS = {"blur": "cat", "noise": "coffee", "compression": "rocket", "darkness": "astronaut"}
RUNGS = (1, 2, 3)
BASE = (*pictures.CLEAN, *(f"{kind} 2" for kind in LADDER_PHOTOS))  # asked alone, again, and in a batch
DIAGNOSED = BASE[len(pictures.CLEAN) :]
KEPT = ("left", "middle", "right")
SQUEEZED = ("rocket", "astronaut")
TALL = ("coffee", "cat")
DETAILED = ("cat", "coffee")
BLOTCHES = {"cat": 8, "coffee": 16}  # in a row
TURNED = ("lying on its left", "lying on its right", "upside down")
SEEDS = {"first": 1, "again": 1, "other": 2}
SAMPLED = ("cat", "noise 2", "darkness 2")
PENALTIES = {"none": 1.0, "strong": 1.5}
LIMIT = 8  # tokens of a reply that is to be cut


@dataclass(frozen=True)
class Step:
    """Questions asked together."""

    name: str
    requests: tuple[Request, ...]
    sampling: Sampling = GREEDY
    watched: bool = True  # asked for word by word, as the page does; else whole, as a ranking does


def steps(tasks: frozenset[Task], sampling: Sampling = GREEDY, together: int = 1) -> list[Step]:
    """Everything that is asked of a model that knows these tasks; `sampling` is greedy.

    The batch has at least as many questions as the engine is asked `together`.
    """
    every = [replace(step, sampling=_under(sampling, step.sampling)) for step in _steps(together)]
    return [step for step in every if all(request.task in tasks for request in step.requests)]


def _under(sampling: Sampling, own: Sampling) -> Sampling:
    """A step's own choices, and the person's where it has none."""
    if own == GREEDY:
        return sampling
    most = min(own.max_new_tokens, sampling.max_new_tokens)
    penalty = own.repetition_penalty or sampling.repetition_penalty
    return replace(own, max_new_tokens=most, repetition_penalty=penalty)


def _steps(together: int) -> Iterator[Step]:
    base = _base()
    yield from (_score(name, picture) for name, picture in _ladder_pictures(base).items())
    yield from (_diagnosis(name, base[name]) for name in DIAGNOSED)
    yield from _patterns()
    yield from _shapes()
    yield from (_aside(name, picture) for name, picture in base.items())
    yield from _comparisons(base)
    yield from _manners(base)
    yield from (replace(step, name=f"again {step.name}", watched=False) for step in _base_steps(base))
    once = [request for step in _base_steps(base) for request in step.requests]
    yield Step("batch", tuple(once[place % len(once)] for place in range(max(together, len(once)))))


def _base() -> dict[str, Image.Image]:
    clean = {name: pictures.photo(name) for name in pictures.CLEAN}
    return clean | {f"{kind} 2": _rung(kind, 2) for kind in LADDER_PHOTOS}


def _rung(kind: str, strength: int) -> Image.Image:
    return pictures.LADDERS[kind](pictures.photo(LADDER_PHOTOS[kind]), strength)


def _ladder_pictures(base: Mapping[str, Image.Image]) -> dict[str, Image.Image]:
    outer = {f"{kind} {rung}": _rung(kind, rung) for kind in LADDER_PHOTOS for rung in (1, 3)}
    return {**base, **outer}


def base_names() -> list[str]:
    """The steps that are asked alone, again and in the batch, in the order of the batch."""
    return [f"score {name}" for name in BASE] + [f"diagnosis {name}" for name in DIAGNOSED]


def _base_steps(base: Mapping[str, Image.Image]) -> list[Step]:
    return [_score(name, base[name]) for name in BASE] + [_diagnosis(name, base[name]) for name in DIAGNOSED]


def _patterns() -> Iterator[Step]:
    """What JPEG, shrinking and a loss of colour leave nothing of, each beside what they would make of it."""
    card = pictures.card(pictures.LARGE)
    small = pictures.photo("cat", pictures.SMALL)
    yield _score("card", card)
    yield _score("card, fine detail", pictures.fine(card, 95))
    yield _score("card, more fine detail", pictures.fine(card, 75))
    yield _score("card, checkered in colour", pictures.colour_checkered(card))
    for name in DETAILED:
        large = pictures.photo(name, pictures.LARGE)
        yield _score(f"large {name}", large)
        yield _score(f"large {name}, checkered", pictures.checkered(large))
    yield _score("small", small)
    yield _score("small, enlarged", small.resize(pictures.LARGE, Image.Resampling.NEAREST))
    for name, across in BLOTCHES.items():
        coloured = pictures.blotched(pictures.photo(name, pictures.LARGE), across)
        yield _score(f"coloured {name}", coloured)
        yield _score(f"coloured {name}, in grey", pictures.grey(coloured))


def _shapes() -> Iterator[Step]:
    """What cropping, padding and stretching to a square make of a picture, and how it lies."""
    wider = pictures.photo("rocket", pictures.WIDER)
    yield _score("three squares", wider)
    yield from (_score(f"three squares, clean at the {part}", pictures.kept(wider, part)) for part in KEPT)
    padded = pictures.compressed(pictures.photo("astronaut", pictures.WIDE), 1)
    yield _score("wide", padded)
    yield from (
        _score(f"wide, padded {name}", pictures.letterboxed(padded, colour))
        for name, colour in pictures.PADDING.items()
    )
    for name in SQUEEZED:
        wide = pictures.blurred(pictures.photo(name, pictures.WIDE), 2)
        yield _score(f"blurred {name}", wide)
        yield _score(f"blurred {name}, squeezed", wide.resize(pictures.WIDE[::-1], Image.Resampling.BICUBIC))
    for name in TALL:
        lying = pictures.compressed(pictures.photo(name, pictures.WIDE), 1)
        tall = lying.transpose(Image.Transpose.ROTATE_90)
        sides = (
            lying.transpose(Image.Transpose.ROTATE_180),
            lying,
            tall.transpose(Image.Transpose.ROTATE_180),
        )
        yield _score(f"tall {name}", tall)
        yield from (_score(f"tall {name}, {side}", one) for side, one in zip(TURNED, sides, strict=True))
    yield _score(f"tall {TALL[-1]}, told by EXIF", load_photo(pictures.turned_file(tall)))


def _comparisons(base: Mapping[str, Image.Image]) -> Iterator[Step]:
    """Pairs in which one is plainly worse, in both orders, and whether every picture counts."""
    for kind, name in LADDER_PHOTOS.items():
        yield Step(f"pair {kind}", tuple(comparison(base[name], _rung(kind, 3))))
    cat = base["cat"]
    large = [pictures.photo(name, pictures.LARGE) for name in DETAILED]
    yield Step("pair, large", (comparison(*large)[0],))
    yield Step("pair, another second", tuple(comparison(cat, _rung("noise", 3))))
    for worst in ("blur", "noise"):
        better, worse = base[LADDER_PHOTOS[worst]], _rung(worst, 3)
        low = _rung(worst, 2)
        for order, pair in (("", (better, worse)), (", swapped", (worse, better))):
            yield Step(f"reference {worst}{order}", tuple(comparison(*pair, reference=low)))


def _manners(base: Mapping[str, Image.Image]) -> Iterator[Step]:
    """Penalty, seeds, the end of a reply."""
    for name, penalty in PENALTIES.items():
        one = _score("noise 2", base["noise 2"])
        yield replace(one, name=f"penalty {name}", sampling=Sampling(repetition_penalty=penalty))
    for picture in SAMPLED:
        for name, seed in SEEDS.items():
            one = _score(picture, base[picture])
            sampling = Sampling(256, temperature=1.5, seed=seed)
            yield replace(one, name=f"seed {picture}, {name}", sampling=sampling)
    yield replace(_score("cat", base["cat"]), name="limit", sampling=Sampling(LIMIT))
    yield replace(_score("cat", base["cat"]), name="stop")


def _score(name: str, picture: Image.Image) -> Step:
    return Step(f"score {name}", (Request(Task.SCORE, (picture,)),))


def _aside(name: str, picture: Image.Image) -> Step:
    """The question on the other side of the photo."""
    return Step(f"other order {name}", (Request(Task.SCORE, (picture,), other_order=True),))


def _diagnosis(name: str, picture: Image.Image) -> Step:
    return Step(f"diagnosis {name}", (Request(Task.DEGRADATION, (picture,)),))
