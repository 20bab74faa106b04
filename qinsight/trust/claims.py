"""From a reasoning to the claims in it that can be measured, and whether the pixels bear them out.

What a sentence claims is read by words and patterns; what it does not claim clearly, or claims of a part of the photo
only, is left out. The model's words are never changed: this is the app's remark beside them.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from PIL import Image

from qinsight.sentence import Sentence
from qinsight.trust.pixels import Measured, measure


class About(StrEnum):
    """What a claim is about."""

    NOISE = "noise"
    COMPRESSION = "compression"
    BLUR = "blur"
    DARKNESS = "darkness"
    HIGHLIGHTS = "clipped highlights"
    SHADOWS = "closed shadows"
    CONTRAST = "contrast"
    DISTORTION = "any distortion"


class Found(StrEnum):
    """What the pixels say of a claim."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    NOT_CHECKABLE = "not checkable"


@dataclass(frozen=True)
class Claim:
    """That something is `there` or not, `slight`ly or `strong`ly; `start` and `end` are its sentence's place in the text."""

    about: About
    there: bool
    strength: str = ""
    start: int = 0
    end: int = 0


@dataclass(frozen=True)
class Checked:
    """A claim beside what was measured."""

    claim: Claim
    found: Found
    measured: Sentence

    def as_json(self, text: str) -> dict[str, Any]:
        """For the app's own field."""
        return {
            "sentence": text[self.claim.start : self.claim.end],
            "about": str(self.claim.about),
            "claims": "present" if self.claim.there else "absent",
            "strength": self.claim.strength or None,
            "found": str(self.found),
            "measured": self.measured,
        }


@dataclass(frozen=True)
class Reasons:
    """All claims of a reasoning, checked."""

    text: str
    checked: tuple[Checked, ...]

    @property
    def faithfulness(self) -> float | None:
        """The share that is supported of what could be checked; None where nothing could."""
        told = [one.found for one in self.checked if one.found is not Found.NOT_CHECKABLE]
        return told.count(Found.SUPPORTED) / len(told) if told else None

    def as_json(self) -> dict[str, Any]:
        """For the app's own field."""
        part = self.faithfulness
        return {
            "faithfulness": None if part is None else round(part, 4),
            "claims": [one.as_json(self.text) for one in self.checked],
        }

    @property
    def lines(self) -> list[Sentence]:
        """A line for each claim, and one for all."""
        told = [
            Sentence(
                "{found}: {claim} ({measured})",
                found=one.found,
                claim=self.text[one.claim.start : one.claim.end],
                measured=one.measured,
            )
            for one in self.checked
        ]
        return [*told, self.sentence]

    @property
    def sentence(self) -> Sentence:
        """The line beside an answer."""
        counts = {kind: sum(one.found is kind for one in self.checked) for kind in Found}
        return Sentence(
            "Of {count} claims that can be measured the pixels support {yes} and contradict {no}.",
            count=len(self.checked),
            yes=counts[Found.SUPPORTED],
            no=counts[Found.CONTRADICTED],
        )


def check_reasons(text: str, photo: Image.Image | Measured) -> Reasons:
    """Check what is claimed of a photo by the picture that the model was shown, or by what was measured of it."""
    seen = photo if isinstance(photo, Measured) else measure(photo)
    return Reasons(text, tuple(check(claim, seen) for claim in claims_of(text)))


# --- the pixels ----------------------------------------------------------------------------------------------


def check(claim: Claim, seen: Measured) -> Checked:
    """Whether what was measured bears a claim out."""
    there, much, measured = _STATES[claim.about](seen)
    if there is None and _has_no_room(claim, seen):
        there = False
    if there is None:
        return Checked(claim, Found.NOT_CHECKABLE, measured)
    agrees = there == claim.there and not (claim.there and claim.strength == "slight" and much)
    return Checked(claim, Found.SUPPORTED if agrees else Found.CONTRADICTED, measured)


LITTLE_NOISE = 0.012
# Noise that a camera has smoothed is not measured from pixel to pixel: where the stillest places vary, it may hide.
# Of 50 real shots with noise 3 are as still as the first, of the means of many such shots 44; 13 and 46 as the second.
STILL = 0.6 / 255  # to bear out that there is none
HARDLY = 0.8 / 255  # to contradict that there is some
UNRULY = 4 / 255  # to contradict that there is much


def _has_no_room(claim: Claim, seen: Measured) -> bool:
    """Whether the noise that is claimed could not hide in what varies here, smoothed or not."""
    if claim.about is not About.NOISE or not claim.there or seen.noise is None:
        return False
    most = UNRULY if claim.strength == "strong" else HARDLY
    return seen.noise < LITTLE_NOISE and seen.unrest <= most


State = tuple[bool | None, bool, Sentence]
"""Whether it is there (None: between, or not to be measured), whether there is much of it, and in words."""

# The bounds were set on half of the 209 photographs of CID22 and are shown on the other: tests/benchmarks/claims.py.


def _noise_state(seen: Measured) -> State:
    if seen.noise is None:
        words = Sentence("no flat place to measure noise in, {specks:.1%} specks", specks=seen.specks)
        return (True if seen.specks > 0.008 else None), seen.specks > 0.03, words
    words = Sentence(
        "noise {level:.1f} of 255 in flat places, {specks:.1%} specks; the stillest vary by {unrest:.1f} (over 0.6: smoothed noise may hide)",
        level=255 * seen.noise,
        specks=seen.specks,
        unrest=255 * seen.unrest,
    )
    there = _between(seen.noise, LITTLE_NOISE, 0.03)
    if seen.specks > 0.008:
        there = True
    elif there is False and seen.unrest > STILL:
        there = None
    return there, seen.noise > 0.1, words


def _compression_state(seen: Measured) -> State:
    words = Sentence("8 x 8 grid {level:.2f} (0.07 and more: blocks)", level=seen.blocking)
    wiped = seen.flatness > 0.5 and seen.noise is not None and seen.noise < 0.001
    there = _between(seen.blocking, 0.05, 0.07)
    if wiped and seen.blocking > 0.045:
        there = True
    elif wiped and seen.blocking > 0.016 and 0.2 < (seen.sharpness or 0) < 0.45:
        there = None  # as JPEG 2000 leaves a photo, or a slight blur
    return there, seen.blocking > 1.5, words


def _blur_state(seen: Measured) -> State:
    if seen.sharpness is None:
        return None, False, Sentence("no edge to measure sharpness at")
    words = Sentence(
        "the strongest edges rise {rise:.0%} of their height in a pixel (under 31%: soft)",
        rise=seen.sharpness,
    )
    there = _between(seen.sharpness, 0.31, 0.36)
    return (None if there is None else not there), seen.sharpness < 0.2, words


def _darkness_state(seen: Measured) -> State:
    words = Sentence(
        "mean luminance {mean:.0%}, bright parts {light:.0%}", mean=seen.brightness, light=seen.light
    )
    dark = seen.brightness < 0.35 or seen.light < 0.63 or seen.shadows > 0.22
    well = seen.brightness > 0.38 and seen.light > 0.68 and seen.shadows < 0.18
    return (True if dark else False if well else None), seen.brightness < 0.15, words


def _highlights_state(seen: Measured) -> State:
    words = Sentence("{share:.1%} of the pixels are clipped at white", share=seen.highlights)
    return _between(seen.highlights, 0.015, 0.04), seen.highlights > 0.25, words


def _shadows_state(seen: Measured) -> State:
    words = Sentence("{share:.1%} of the pixels are nearly black", share=seen.shadows)
    return _between(seen.shadows, 0.05, 0.12), seen.shadows > 0.4, words


def _contrast_state(seen: Measured) -> State:
    words = Sentence("from dark to bright {range:.0%} of the range", range=seen.contrast)
    return _between(seen.contrast, 0.35, 0.5), False, words


def _any_state(seen: Measured) -> State:
    states = [tell(seen) for tell in (_noise_state, _compression_state, _blur_state, _darkness_state)]
    worst = next((state for state in states if state[0]), None)
    if worst is not None:
        return worst
    unknown = any(there is None for there, _, _ in states)
    return (None if unknown else False), False, Sentence("neither noise, blocks, blur nor darkness measured")


def _between(value: float, low: float, high: float) -> bool | None:
    return True if value > high else False if value < low else None


_STATES = {
    About.NOISE: _noise_state,
    About.COMPRESSION: _compression_state,
    About.BLUR: _blur_state,
    About.DARKNESS: _darkness_state,
    About.HIGHLIGHTS: _highlights_state,
    About.SHADOWS: _shadows_state,
    About.CONTRAST: _contrast_state,
    About.DISTORTION: _any_state,
}


# --- the words -----------------------------------------------------------------------------------------------


def claims_of(text: str) -> list[Claim]:
    """The measurable claims of a text, in its order."""
    found: list[Claim] = []
    for sentence in _SENTENCE.finditer(text):
        words = sentence[0].casefold()
        if _CUES.search(words):
            found += _of_digits(words, sentence.start())
        elif not _ASIDE.search(words):
            told = [claim for part in _BREAK.split(words) for claim in _of_part(part)]
            first = {
                claim.about: claim for claim in reversed(told)
            }  # a sentence that says more of it takes back
            start, end = _span(sentence)
            found += [replace(claim, start=start, end=end) for claim in told if first[claim.about] is claim]
    return found


def _span(sentence: re.Match[str]) -> tuple[int, int]:
    lead = len(sentence[0]) - len(sentence[0].lstrip())
    return sentence.start() + lead, sentence.start() + len(sentence[0].rstrip())


def _of_digits(words: str, start: int) -> Iterator[Claim]:
    """What the preview claims in its list of cues, from 0 to 9: the low and the high ones; those between say nothing."""
    for match in re.finditer(r"\b([a-z]+) (\d)\b", words):
        about, low, high, high_is_there = _DIGITS.get(match[1], (About.NOISE, -1, 10, True))
        if not low < int(match[2]) < high:
            there = high_is_there if int(match[2]) >= high else not high_is_there
            yield Claim(about, there, "", start + match.start(), start + match.end())


def _of_part(part: str) -> Iterator[Claim]:
    taken: list[tuple[int, int, Claim, bool]] = []
    for about, there, pattern in _TERMS:
        for match in pattern.finditer(part):
            if any(match.start() < end and start < match.end() for start, end, _, _ in taken):
                continue
            good = there == (about is About.CONTRAST)
            negated = _negated(part, match, good)
            claim = Claim(about, there != negated, _strength(part, match))
            if not _is_left_out(claim, part, match, negated, [one for _, _, one, _ in taken]):
                taken.append((match.start(), match.end(), claim, negated))
    yield from (claim for _, _, claim, _ in _inherited(sorted(taken, key=lambda one: one[0]), part))


def _inherited(
    taken: Sequence[tuple[int, int, Claim, bool]], part: str
) -> Iterator[tuple[int, int, Claim, bool]]:
    """Of "not sharp and clear" the second is denied with the first."""
    before: tuple[int, int, Claim, bool] | None = None
    for start, end, claim, negated in taken:
        linked = before is not None and re.fullmatch(r"\W*(?:and|or)\W*", part[before[1] : start])
        if linked and before and before[2].about is claim.about and before[3] and not negated:
            claim = Claim(claim.about, not claim.there, claim.strength)
        before = (start, end, claim, negated)
        yield before


def _is_left_out(
    claim: Claim, part: str, match: re.Match[str], negated: bool, others: Sequence[Claim]
) -> bool:
    """What is said of a part of the photo only, what the next words take back, and what another claim explains."""
    if claim.about in (About.BLUR, About.DARKNESS, About.HIGHLIGHTS) and _SOMEWHERE.search(part):
        return True
    if claim.about is About.DISTORTION:
        return not negated
    hidden = any(one.there and one.about not in (About.BLUR, About.CONTRAST) for one in others)
    return match[0].startswith("detail") and bool(hidden or _TONAL.search(part))


def _negated(part: str, match: re.Match[str], good: bool) -> bool:
    before, after = part[: match.start()], part[match.end() :]
    cuts = _GOOD_CUT if good else _BAD_CUT
    for cut in cuts:
        places = [found.end() for found in cut.finditer(before)]
        if places:
            before = before[places[-1] :]
    clean = _NOT_NEGATIVE.sub(" ", before)
    denied = bool(_NEGATIVE.search(clean) or (good and _WANTING.search(clean)))
    denied = denied or bool(_DENIED_WITHIN.search(match[0])) or after.startswith(("-free", " free"))
    return denied != bool(_DENIED_AFTER.match(after))


def _strength(part: str, match: re.Match[str]) -> str:
    near = part[max(0, match.start() - 28) : match.end() + 24]
    if _SLIGHT.search(near):
        return "slight"
    return "strong" if _STRONG.search(near) else ""


_SENTENCE = re.compile(r"[^.!?;\n]+(?:\.\d[^.!?;\n]*)*[.!?;]?")
_CUES = re.compile(r"\bcues: (?=[a-z]+ \d)")
_BREAK = re.compile(
    r"\b(?:but|however|although|though|while|whereas|yet|despite|except|even if|which|nevertheless)\b"
)
# What is only weighed, asked or told in general is no claim.
_ASIDE = re.compile(
    r"\b(?:if|whether|would (?!say|rate|describe|call)|determine|check(?:ing)? (?:for|if|the)|look(?:ing)? for"
    r"|(?:need|have|going|try|want|let'?s?|i will|i'll)(?: me| us)?(?: to)? (?:assess|analy[sz]e|evaluate|consider|examine|look|identify|classify)"
    r"|first, (?:assess|analy[sz]e|evaluate|consider|examine)|such as|any of|the following|options|usually|typically|in general|often"
    r"|question|might (?:indicate|suggest)|could (?:indicate|suggest|mean)|unlike|compared (?:to|with)|for example|common)\b"
)
_SOMEWHERE = re.compile(
    r"\b(?:background|backdrop|foreground|bokeh|depth of field|corners?|periphery|in (?:some|certain|few) (?:areas|parts|places|regions)"
    r"|some (?:areas|parts|regions)|in the distance|behind|surroundings|parts? of the (?:image|photo|picture|scene))\b"
)
_TONAL = re.compile(r"\b(?:shadows?|highlights?|dark|hides?|hidden|hiding)\b")
_NEGATIVE = re.compile(
    r"\b(?:no|not|without|free (?:of|from)|lack(?:s|ed|ing)?(?: of| in)?|absence of|absent|neither|nor|never|hardly|barely|scarcely"
    r"|devoid of|minimal|negligible|little|fails? to|cannot|rather than|instead of|avoids?|avoiding|none of)\b|n't\b|n\u2019t\b"
    r"|\b(?:low|reduced|limited|suppressed)(?: (?:levels?|amounts?) of)? $"
)
# What is wanted of something good is missing; of noise or blur these words say nothing.
_WANTING = re.compile(
    r"\b(?:low|loss of|loses?|lost|losing|insufficient|poor|reduced|limited|limits|missing|weak|bad)\b"
)
_DENIED_WITHIN = re.compile(r"\b(?:not|no|never|hardly|barely|neither|nor|without)\b|n't\b|n\u2019t\b")
_NOT_NEGATIVE = re.compile(r"\b(?:a little|not only|no doubt|not just|no wonder|not without)\b")
_VERBS = r"(?:is|are|was|has|have|shows?|appears?|looks?|exhibits?|contains?|seems?|remains?|suffers?|there)"
_OWN = r"(?:slight|some|an?\b|mild|moderate|severe|heavy|strong|minor|there|its\b|the (?:image|photo|picture)|it\b)"
_BAD_CUT = (
    re.compile(r"\bwith\b(?! (?:no|little|minimal|hardly|barely))"),
    re.compile(rf"(?:,|\band\b)(?=[^,]*\b{_VERBS}\b)"),
    re.compile(rf"(?:,| and)\s+(?:and\s+)?(?={_OWN})"),
)
_GOOD_CUT = (re.compile(r"\bwith\b(?! (?:no|little|minimal|hardly|barely))"), re.compile(r",|\band\b"))
_DENIED_AFTER = re.compile(
    r"(?:[\w-]*\s+){0,5}?(?:is|are|was|were|remains?|stays?|appears?|seems?|being|looks?)(?:\s+to be)?(?:\s+(?:also|quite|very|really|almost|"
    r"largely|virtually|practically|relatively|kept|rather|fairly))*\s+(?:not|n't|absent|minimal|negligible|well[- ]controlled|low|invisible"
    r"|imperceptible|barely|hardly|non-?existent|under control|unnoticeable|lost|missing|lacking|gone|poor|insufficient|limited|compromised|reduced)\b"
    r"|(?:[\w-]*\s+){0,2}?(?:isn't|aren't|isn\u2019t|aren\u2019t|cannot be seen|can't be seen|goes unnoticed)"
)
_SLIGHT = re.compile(
    r"\b(?:slight(?:ly)?|minor|mild(?:ly)?|a bit|a little|somewhat|faint(?:ly)?|subtle|subtly|a touch)\b"
)
_STRONG = re.compile(
    r"\b(?:severe(?:ly)?|heav(?:y|ily)|strong(?:ly)?|significant(?:ly)?|serious(?:ly)?|very|extreme(?:ly)?|catastrophic(?:ally)?|excessive(?:ly)?"
    r"|obvious(?:ly)?|pronounced|considerabl[ey]|a lot of|massive(?:ly)?|badly)\b"
)
_DIGITS = {
    "noise": (About.NOISE, 4, 7, True),
    "blocking": (About.COMPRESSION, 1, 4, True),
    "sharpness": (About.BLUR, 4, 6, False),
    "brightness": (About.DARKNESS, 1, 5, False),
}


def _terms(*told: tuple[About, bool, str]) -> list[tuple[About, bool, re.Pattern[str]]]:
    return [(about, there, re.compile(rf"\b(?:{pattern})")) for about, there, pattern in told]


_PHOTO = r"(?:image|photo|photograph|picture|frame|shot|scene|exposure)"
_GOOD = r"(?:good|great|excellent|adequate|balanced|well[- ]balanced|proper|correct|even|natural|appropriate|sufficient|ample|decent|nice|suitable)"
_MORE = (
    r"(?:too|very|quite|rather|overly|slightly|somewhat|extremely|excessively|so|a bit|fairly|noticeably|generally|relatively|overall|appears?"
    r"|looks?|seems?|is|are|becomes?|severely|heavily|far|much|not|and|or|nor|little|either)"
)
_OF_A_THING = r"(?! (?:blue|green|red|brown|grey|gray|hair|fur|wood|skin|background|clouds?|sky|eyes|suit|jacket|colou?r|area|spot|object|line))"
# In the order in which they are looked for: what is found has its words for itself.
_TERMS = _terms(
    (About.SHADOWS, True, r"(?:shadows?|blacks)[\w\s]{0,12}? (?:crushed|clipped|closed up|blocked up|lost)\b"),
    (About.SHADOWS, True, r"(?:crushed|clipped|blocked[- ]up|closed) (?:shadows?|blacks)\b|lost in (?:the )?shadows?\b"),
    (About.HIGHLIGHTS, True, r"highlights?[\w\s]{0,14}? (?:clipped|blown(?:[- ]out)?|lost|saturated|burn(?:t|ed)(?: out)?)\b"),
    (About.HIGHLIGHTS, True, r"(?:clipped|blown(?:[- ]out)?|burn(?:t|ed)[- ]out|saturated|lost) (?:highlights?|whites|skies|sky)\b"),
    (About.HIGHLIGHTS, True, r"over-?expos\w*|blown[- ]out\b|too bright\b|(?:highlight )?clipping\b"),
    (About.CONTRAST, False, r"(?:low|poor|weak|flat|insufficient|reduced|little|limited|dull)(?:er)?[- ]contrast\b|lack(?:s|ing)?(?: of| in)? contrast\b"),
    (About.CONTRAST, False, r"contrast[\w\s]{0,50}? (?:low|weak|poor|flat|reduced|lacking|insufficient|limited)\b|washed[- ]out\b|faded\b"),
    (About.CONTRAST, True, rf"(?:{_GOOD}|high|strong|rich|vivid|clear) contrast\b|contrasty\b"),
    (About.CONTRAST, True, rf"contrast[\w\s]{{0,50}}? (?:{_GOOD}|high|strong|rich|vivid)\b"),
    (About.NOISE, True, r"nois(?:e|y|iness)\b|(?<!wood )(?:film )?grain(?:y|iness|s)?\b(?! of)|speckl\w+|salt[- ]and[- ]pepper\b"),
    (About.NOISE, False, rf"clean(?: and [a-z]+)? (?:{_PHOTO}|tones|rendering|look)\b|(?:{_PHOTO}|tones|(?:it|and)|rendering)(?: is| are| looks?| appears?| very)* clean\b|(?<=^ )clean\b"),
    (About.COMPRESSION, True, r"(?:jpe?g |digital |visible |noticeable |blocky )?(?:compress\w*|block(?:y|iness|ing|ed)?(?: edges| boundaries| structures?)?\b(?! the)|pixel+at\w+|macroblock\w*|mosquito)(?: artifacts?| artefacts?)?"),
    (About.COMPRESSION, True, r"block edges\b|art[ie]facts?\b|wiped flat\b|contours are ragged\b|ragged contours\b"),
    (About.DISTORTION, True, r"(?:(?:visible|noticeable|significant|obvious|apparent|major) )?(?:distortions?|degradations?|defects?|imperfections)\b"),
    (About.DARKNESS, True, r"(?:could|should|needs to) be (?:\w+ ){0,2}?(?:brighter|better lit|lighter)\b|benefit from (?:more|better|additional|brighter) (?:light\w*|exposure|illumination|brightness)\b"),
    (About.BLUR, True, r"(?:could|should|needs to) be (?:\w+ ){0,2}?(?:sharper|clearer|crisper|better focused|in better focus)\b|benefit from (?:more|better|greater|improved|additional) (?:sharpness|focus|clarity|detail)\b"),
    (About.DARKNESS, True, r"(?:brightness|exposure|lighting|illumination|light)(?: conditions?| levels?)?(?: of the \w+)?(?: is| are| appears?| seems?| looks?)(?: also| quite| very| rather| too| a bit| somewhat| fairly| relatively)* (?:low|poor|insufficient|inadequate|dim|weak|lacking|bad)\b"),
    (About.BLUR, True, r"focus(?: is| seems| appears| looks)(?: slightly| a bit| somewhat| clearly)? (?:off|soft|missed|poor|wrong)\b"),
    (About.DARKNESS, False, rf"well[- ](?:lit|exposed|illuminated)\b|brightly lit\b|{_GOOD}(?: (?:and [a-z]+|natural|overall))? (?:exposure|lighting|illumination|brightness|light)\b"),
    (About.DARKNESS, False, rf"(?:exposure|lighting|illumination|brightness)(?: of the {_PHOTO})?(?: levels?| conditions?)?(?: is| are| appears?| seems?| looks?)(?: also| quite| very| generally| fairly| well)* (?:{_GOOD}|fine|bright|clear)\b"),
    (About.DARKNESS, False, rf"(?:properly|correctly|evenly|adequately|nicely|sufficiently|naturally) (?:exposed|lit|illuminated)\b|bright (?:{_PHOTO}|and|enough|lighting)\b|(?:{_PHOTO}|it)(?: is| looks?| appears?| very| quite)+ bright\b"),
    (About.DARKNESS, True, r"under-?expos\w*|under[- ]?lit\b|low[- ]light\b|(?:dim|poor|badly|insufficient|bad)(?:ly)? (?:lit|light(?:ing)?|illuminat\w+|exposed|exposure)\b|dim(?:med|ness)?\b|murky\b|gloomy\b|darken\w*|darkness\b"),
    (About.DARKNESS, True, rf"(?<= ){_OF_A_THING}dark (?:{_PHOTO}|overall)\b|{_MORE} dark(?:er)?\b{_OF_A_THING}|dark (?:{_PHOTO})\b"),
    (About.BLUR, True, r"(?:motion |lens |gaussian )?blur\w*|out[- ]of[- ]focus\b|un-?focus\w*|de-?focus\w*|smear\w*|fuzz(?:y|iness)\b|unsharp\b"),
    (About.BLUR, True, rf"softness\b(?! of (?:the )?light)|soft (?:edges|focus|details?|{_PHOTO}|rendering|appearance|contours|outlines)\b"),
    (About.BLUR, True, rf"(?:{_MORE}|bit|little) soft(?:er)?\b(?! (?:light\w*|colou?rs?|tones?|hues?|shadows?|and warm|[a-z]+(?:en|ed) ))"),
    (About.BLUR, False, rf"sharp(?:er|ness|ly)?\b(?! (?:contrast|kni\w+|turns?|claws?|teeth|beak|peaks?|rocks?|horns?|spikes?|corners?|bends?|shadows?|light|blades?|thorns?|needles?|angles?))|crisp\w*|in(?: good| sharp| clear)? focus\b|well[- ]focused\b|(?:sharply|clearly) (?:focused|defined)\b|clarity\b|clear(?:er)? (?:and|{_PHOTO}|details?|edges)\b|(?:{_PHOTO}|details?|subject|edges|it|and)(?: is| are| appears?| looks?| very| quite| overall| fairly| not| generally)+ clear\b(?! (?:that|how|why|from|what))"),
    (About.BLUR, False, r"well[- ]defined\b|details?\b(?=[\w\s]* (?:visible|preserved|retained|left|well|clear|rendered|lost|missing|reduced|resolved|lacking))|(?<=fine )details?\b|(?<=of )details?\b|(?<=lacks )(?:fine )?details?\b"),
)  # fmt: skip
