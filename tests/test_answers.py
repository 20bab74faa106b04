"""What models really write is read, what they did not say is never made up."""

import json
import random
import string
import time

import pytest

from qinsight.answers import (
    Answer,
    Clean,
    Comparison,
    Degradation,
    Distortion,
    Score,
    Severity,
    Winner,
    has_relaxed_format,
    has_strict_format,
    read_answer,
    read_comparison,
    read_degradation,
    read_reply,
    read_score,
)
from qinsight.errors import AnswerError
from qinsight.prompts import Task

STRICT = '<think>\nThe photo is sharp.\n</think>\n<answer>\n{"rating": 4.2}\n</answer>'
ONE_LINE = '<think> The photo is sharp. </think><answer> {"rating": 4.2} </answer>'


def framed(answer: str) -> str:
    return f"<think> Let me look. </think><answer> {answer} </answer>"


def answered(task: Task, text: str) -> Answer:
    return read_answer(task, read_reply(text))


# --- replies as they should be ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "text", "answer"),
    [
        (Task.SCORE, STRICT, Score(4.2)),
        (Task.SCORE, ONE_LINE, Score(4.2)),
        (Task.SCORE, framed('{"rating": 1}'), Score(1.0)),
        (Task.SCORE, framed('{"rating": 5.00}'), Score(5.0)),
        (Task.SCORE, framed('{\n  "rating": 3.27\n}'), Score(3.27)),
        (Task.SCORE, STRICT + "<|im_end|>", Score(4.2)),
        (Task.SCORE, STRICT + "\n", Score(4.2)),
        (
            Task.DEGRADATION,
            framed('{"distortion_class": "blur", "severity": "slight"}'),
            Degradation(Distortion.BLUR, Severity.SLIGHT),
        ),
        (
            Task.DEGRADATION,
            framed('{"severity": "catastrophic", "distortion_class": "darken"}'),
            Degradation(Distortion.DARKEN, Severity.CATASTROPHIC),
        ),
        (Task.DEGRADATION, framed('{"distortion_class": "null", "severity": "null"}'), Clean()),
        (Task.COMPARISON, framed("Image A"), Comparison(Winner.A)),
        (Task.COMPARISON, framed('"Image B"'), Comparison(Winner.B)),
        (Task.COMPARISON, framed("Similar"), Comparison(Winner.SIMILAR)),
    ],
)
def test_a_clean_reply_is_read_without_a_repair(task: Task, text: str, answer: Answer) -> None:
    assert answered(task, text) == answer
    assert read_reply(text).thinking


@pytest.mark.parametrize("distortion", Distortion)
@pytest.mark.parametrize("severity", Severity)
def test_every_distortion_and_severity_of_the_question_is_read(
    distortion: Distortion, severity: Severity
) -> None:
    text = framed(json.dumps({"distortion_class": distortion, "severity": severity}))
    assert answered(Task.DEGRADATION, text) == Degradation(distortion, severity)


# --- layouts that real fine-tunes produce --------------------------------------------------------------------

NO_THINK = "<think> tags missing or repeated"
BY_TEXT = "text around the JSON"
ONLY_NUMBER = "not JSON, the only number read"
LABELLED = "broken JSON, the number after 'rating' read"
QUOTED = "the rating quoted as text"

FRAMES = [
    ('{"rating": 4.2}', "no <answer> tag, the closing JSON object read"),
    ('The photo is sharp. {"rating": 4.2}', "no <answer> tag, the closing JSON object read"),
    ('```json\n{"rating": 4.2}\n```', "no <answer> tag, the closing JSON object read"),
    ('<think> sharp {"rating": 4.2}', "no <answer> tag, the closing JSON object read"),
    ('<think> sharp </think>{"rating": 4.2}', "no <answer> tag, the text after </think> read"),
    ('<think> sharp </think>{"rating": 4.2}</answer>', "no <answer> tag, the text after </think> read"),
    ('sharp </think> {"rating": 4.2}', "no <answer> tag, the text after </think> read"),
    ("4.2", "no tags at all, the bare words read"),
    ("Rating: 4.2/5", "no tags at all, the bare words read"),
    ('<answer>{"rating": 4.2}</answer>', NO_THINK),
    ('sharp </think><answer>{"rating": 4.2}</answer>', NO_THINK),
    ('<think> sharp <answer>{"rating": 4.2}</answer>', NO_THINK),
    ('</think> sharp <think><answer>{"rating": 4.2}</answer>', NO_THINK),
    ('<think><think> sharp </think><answer>{"rating": 4.2}</answer>', NO_THINK),
    ('<answer>{"rating": 4.2}</answer><think> sharp </think>', "text after </answer>"),
    (ONE_LINE + " I hope this helps.", "text after </answer>"),
    ("Sure! " + ONE_LINE, "text outside the tags"),
    ('<think> sharp </think> So: <answer>{"rating": 4.2}</answer>', "text outside the tags"),
    ('<think> sharp </think><answer>{"rating": 4.2}', "no </answer>"),
    ('<think> sharp </think><answer>{"rating": 4.2}<answer>', "<answer> written for </answer>"),
    ('<THINK> sharp </THINK><ANSWER>{"rating": 4.2}</ANSWER>', "spelling of the tags"),
    ('< think > sharp </ think><answer >{"rating": 4.2}</answer>', "spelling of the tags"),
    (framed('{"rating": 2.0}') + framed('{"rating": 4.2}'), "several <answer> tags, the last one read"),
    (
        '<think> I put it in <answer> </answer> tags. </think><answer>{"rating": 4.2}</answer>',
        "several <answer> tags, the last one read",
    ),
]


@pytest.mark.parametrize(("text", "repair"), FRAMES)
def test_a_frame_out_of_place_is_read_and_named(text: str, repair: str) -> None:
    score = read_score(read_reply(text))
    assert score.rating == 4.2
    assert repair in score.repairs


SCORES = [
    ('```json\n{"rating": 4.2}\n```', "code fence"),
    ('```\n{"rating": 4.2}\n```', "code fence"),
    ('{"rating": "4.2"}', QUOTED),
    ('{"rating": "4,2"}', QUOTED),
    ('{"rating": "4.2/5"}', QUOTED),
    ('{"rating": "4.2 out of 5.0"}', QUOTED),
    ('{"rating": "4.2 stars"}', QUOTED),
    ('{"Rating": 4.2}', 'key "Rating" for "rating"'),
    ('{"score": 4.2}', 'key "score" for "rating"'),
    ('{"overall rating": 4.2}', 'key "overall rating" for "rating"'),
    ("{'rating': 4.2}", "JSON mended"),
    ('{"rating": 4.2,}', "JSON mended"),
    ("{“rating”: 4.2}", "JSON mended"),
    ('Here it is: {"rating": 4.2}', BY_TEXT),
    ('{"rating": 4.2} as I see it', BY_TEXT),
    ('{"rating": 4.2} {"rating": 4.20}', "the JSON repeated"),
    ('[{"rating": 4.2}]', BY_TEXT),
    ('{"rating": 4,2}', LABELLED),
    ("{rating: 4.2}", LABELLED),
    ('{"rating": 4.2', LABELLED),
    ('{"rating": 4.2/5}', LABELLED),
    ('{"rating": 4.2, "why": "the "best" of 3"}', LABELLED),
    ("Rating: 4.2. The sky has 2 stains.", LABELLED),
    ("**Rating:** 4.2/5\nReason: 2 stains", LABELLED),
    ("4.2", ONLY_NUMBER),
    ("4,2", ONLY_NUMBER),
    ("4.2/5", ONLY_NUMBER),
    ("4.2 / 5.0", ONLY_NUMBER),
    ("4.2 out of 5", ONLY_NUMBER),
    ("I would rate this photo 4.2.", ONLY_NUMBER),
    ("On a scale from 1 to 5, I give it 4.2", ONLY_NUMBER),
    ("(1-5): 4.2", ONLY_NUMBER),
    ("4.2: good, though it is not sharp", ONLY_NUMBER),
    ("4.2. I repeat: 4.20", ONLY_NUMBER),
    ("about 4.2", ONLY_NUMBER),
    ("４.２", ONLY_NUMBER),  # noqa: RUF001 (the full-width digits of a Chinese keyboard)
]


@pytest.mark.parametrize(("answer", "repair"), SCORES)
def test_a_rating_in_another_layout_is_read_and_named(answer: str, repair: str) -> None:
    score = read_score(read_reply(framed(answer)))
    assert score.rating == 4.2
    assert repair in score.repairs


DEGRADATIONS = [
    ('{"distortion_class": "Blur", "severity": "slight"}', "spelling of the distortion class"),
    ('{"distortion_class": "blur.", "severity": " Slight "}', "spelling of the severity"),
    ('{"distortion_class": "blurry", "severity": "slight"}', '"blurry" for "blur"'),
    ('{"distortion": "blur", "level": "slight"}', 'key "level" for "severity"'),
    ('{"Distortion Class": "blur", "severity": "slight"}', 'key "Distortion Class" for "distortion_class"'),
    ("{'distortion_class': 'blur', 'severity': 'slight'}", "JSON mended"),
    ('{"distortion_class": "blur", "severity": "slight",}', "JSON mended"),
    ("distortion_class: blur, severity: slight", "broken JSON, the two fields read"),
    ("distortion_class: blur\nseverity: slight", "broken JSON, the two fields read"),
    ("{distortion_class: blur, severity: slight}", "broken JSON, the two fields read"),
    ('{"distortion_class": "blur", "severity": "slight"', "broken JSON, the two fields read"),
    ('```json\n{"distortion_class": "blur", "severity": "slight"}\n```', "code fence"),
    ('I see {"distortion_class": "blur", "severity": "slight"} here.', BY_TEXT),
]


@pytest.mark.parametrize(("answer", "repair"), DEGRADATIONS)
def test_a_degradation_in_another_layout_is_read_and_named(answer: str, repair: str) -> None:
    found = read_degradation(read_reply(framed(answer)))
    assert isinstance(found, Degradation)
    assert (found.distortion, found.severity) == (Distortion.BLUR, Severity.SLIGHT)
    assert repair in found.repairs


@pytest.mark.parametrize("word", ["JPEG", "jpeg compression", "compression artifacts", "Compression"])
def test_jpeg_is_read_as_compression_and_named(word: str) -> None:
    found = read_degradation(
        read_reply(framed(json.dumps({"distortion_class": word, "severity": "obvious"})))
    )
    assert isinstance(found, Degradation)
    assert found.distortion is Distortion.COMPRESSION
    assert found.repairs


NULLS = ['"null"', "null", "None", '"None"', '"none"', '"NULL"', '"n/a"', '"N/A"', '"nil"', '"null."', '""']


@pytest.mark.parametrize("severity", NULLS)
@pytest.mark.parametrize("kind", NULLS)
def test_null_in_every_spelling_is_a_finding_and_every_other_spelling_than_asked_is_named(
    kind: str, severity: str
) -> None:
    found = read_degradation(read_reply(framed(f'{{"distortion_class": {kind}, "severity": {severity}}}')))
    assert isinstance(found, Clean)
    assert bool(found.repairs) == ((kind, severity) != ('"null"', '"null"'))


@pytest.mark.parametrize(
    ("answer", "repair"),
    [
        ('{"distortion_class": "null"}', 'no key "severity"'),
        ("{'distortion_class': None, 'severity': None}", "JSON mended"),
        ("distortion_class: None, severity: None", "broken JSON, the two fields read"),
        ("distortion_class: n/a, severity: n/a.", "broken JSON, the two fields read"),
    ],
)
def test_a_clean_photo_in_another_layout_is_read_and_named(answer: str, repair: str) -> None:
    found = read_degradation(read_reply(framed(answer)))
    assert isinstance(found, Clean)
    assert repair in found.repairs


@pytest.mark.parametrize(
    ("answer", "winner", "repair"),
    [
        ("image a", Winner.A, "spelling"),
        ("Image A.", Winner.A, "spelling"),
        ("**Image B**", Winner.B, "spelling"),
        ("'Image B'", Winner.B, "spelling"),
        ("similar", Winner.SIMILAR, "spelling"),
        ("A", Winner.A, "the letter alone"),
        ('"B"', Winner.B, "the letter alone"),
        ('{"answer": "Image A"}', Winner.A, "words around the verdict"),
        ('{"better_image": "B"}', Winner.B, "words around the verdict"),
        ("Answer: Image B", Winner.B, "words around the verdict"),
        ("Image A is better.", Winner.A, "words around the verdict"),
        ("**Image A** is clearly superior.", Winner.A, "words around the verdict"),
        ("The better image is Image B", Winner.B, "words around the verdict"),
        ("Image A is better because its colours are natural.", Winner.A, "words around the verdict"),
        ("Image B has better overall quality, with less noise.", Winner.B, "words around the verdict"),
        ("Both images are similar.", Winner.SIMILAR, "words around the verdict"),
        ("The images are comparable in quality", Winner.SIMILAR, "words around the verdict"),
    ],
)
def test_a_verdict_in_another_layout_is_read_and_named(answer: str, winner: Winner, repair: str) -> None:
    found = read_comparison(read_reply(framed(answer)))
    assert found.winner is winner
    assert found.repairs == (repair,)


# --- refusals ---------------------------------------------------------------------------------------------------

REFUSED_SCORES = [
    ('{"rating": 0.99}', "from 1 to 5; the model said '0.99'"),
    ('{"rating": 5.01}', "from 1 to 5; the model said '5.01'"),
    ('{"rating": 0}', "said '0'"),
    ('{"rating": -3}', "said '-3'"),
    ('{"rating": 75}', "said '75'"),
    ('{"rating": 4e1}', "said '40.0'"),
    ('{"rating": NaN}', "said 'NaN'"),
    ('{"rating": Infinity}', "said 'Infinity'"),
    ('{"rating": true}', "said 'true'"),
    ('{"rating": null}', "said 'null'"),
    ('{"rating": "good"}', "said 'good'"),
    ('{"rating": [4.2]}', "said 'a list'"),
    ('{"rating": {"value": 4.2}}', "said 'an object'"),
    ('{"rating": "3-4"}', "said '3-4'"),
    ('{"rating": 3-4}', "said '{\"rating\": 3-4}'"),
    ('{"rating": 4/10}', "4/10"),
    ('{"rating": 3 or 4}', "3 or 4"),
    ('{"rating": The score.}', "The score."),
    ('{"rating": 3.1, "rating": 4.2}', "Expected one \"rating\"; the model gave '3.1 and 4.2'"),
    ('{"rating": 3.1, "Rating": 4.2}', 'Expected one "rating"'),
    ('{"rating": 3.1} {"rating": 4.2}', "the model gave several"),
    ('[{"rating": 3.1}, {"rating": 4.2}]', "the model gave several"),
    ('{"quality_of_life": 4.2}', 'Expected the key "rating"'),
    ("{}", 'Expected the key "rating"'),
    ('{"rating": 1' + "0" * 400 + "}", "from 1 to 5"),
    ('{"rating": ' + "9" * 5000 + "}", "from 1 to 5"),
    ('{"rating": ' + "[" * 100_000, "Expected one rating"),
    ('{"a":' * 100_000, "Expected one rating"),
    ("3 or 4", "Expected one rating"),
    ("between 3 and 4", "Expected one rating"),
    ("3-4", "from 1 to 5"),
    ("3\N{EN DASH}4", "3\N{EN DASH}4"),
    ("3 to 4", "Expected one rating"),
    ("Rating: 3. Rating: 4", "Expected one rating"),
    ("4/10", "4/10"),
    ("8 / 4", "Expected one rating"),
    ("4/5.5", "4/5.5"),
    ("3.1 to 5", "Expected one rating"),
    ("-3", "'-3"),
    ("\N{MINUS SIGN}3", "from 1 to 5"),
    ("4%", "4%"),
    ("4e1", "4e1"),
    ("4.2.1", "4.2.1"),
    ("1,234", "1,234"),
    ("not above 3", "not above 3"),
    ("at least 3", "at least 3"),
    ("> 3", "> 3"),
    ("four", "'four'"),
    ("The rating is from 1 to 5", "Expected one rating"),
    ("I cannot rate this photo", "cannot rate"),
]


@pytest.mark.parametrize(("answer", "reason"), REFUSED_SCORES)
def test_what_is_no_rating_is_refused_with_the_reason(answer: str, reason: str) -> None:
    with pytest.raises(AnswerError) as refusal:
        read_score(read_reply(framed(answer)))
    assert reason in str(refusal.value)
    assert len(str(refusal.value)) < 250


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            '{"distortion_class": "blur", "severity": "null"}',
            "null for both; the model said 'blur' with severity 'null'",
        ),
        ('{"distortion_class": "null", "severity": "slight"}', "null for both"),
        ('{"distortion_class": "blur", "severity": null}', "null for both"),
        ('{"distortion_class": "blur"}', "null for both"),
        ('{"severity": "slight"}', 'Expected the key "distortion_class"'),
        ('{"distortion_class": "haze", "severity": "slight"}', "Expected a distortion class out of noise"),
        ('{"distortion_class": "blur", "severity": "severe"}', "Expected a severity out of slight"),
        ('{"distortion_class": "blur and noise", "severity": "slight"}', "blur and noise"),
        ('{"distortion_class": ["blur", "noise"], "severity": "slight"}', "said 'a list'"),
        ('{"distortion_class": false, "severity": "slight"}', "said 'false'"),
        ('{"distortion_class": "blur", "distortion_class": "noise", "severity": "slight"}', "Expected one"),
        (
            '{"distortion_class": "blur", "severity": "slight"} {"distortion_class": "noise", "severity": "slight"}',
            "several",
        ),
        ("distortion_class: blur, noise, severity: slight", "distortion_class"),
        ("distortion_class: blur or noise, severity: slight", "blur or noise"),
        ("distortion_class: not blur, severity: slight", "not blur"),
        ("distortion_class: blur, severity: slight, severity: serious", 'one "severity"'),
        ("The photo is blurry.", "The photo is blurry."),
        ('{"distortion_class": ' + "[" * 5000, "distortion_class"),
    ],
)
def test_what_is_no_degradation_is_refused_with_the_reason(answer: str, reason: str) -> None:
    with pytest.raises(AnswerError) as refusal:
        read_degradation(read_reply(framed(answer)))
    assert reason in str(refusal.value)


@pytest.mark.parametrize(
    "answer",
    [
        "Image A or Image B",
        "Image A and B",
        "Image A/B",
        "Image A & B",
        "Images A or B?",
        "Image A or Similar",
        "Image A is better than Image B",
        "Image A is better than the other one",
        "Image A is not better than Image B",
        "Image A is not better.",
        "Image A isn't better.",
        "Image A isn\N{RIGHT SINGLE QUOTATION MARK}t better.",
        "Image A is better, but only slightly",
        "Image A is worse.",
        "Image A has lower quality",
        "Image A loses",
        "Image A has more noise",
        "Image A is higher in noise",
        "It is unclear whether image A is better",
        "Image A would be better if it were sharper",
        "Is image A better?",
        '{"worse": "Image A"}',
        '{"Image A": 3, "Image B": 4}',
        '{"winner": "Image A", "loser": "Image B"}',
        "Both are of similar quality, but A is better",
        "Image A is similar to Image B",
        "They are not similar",
        "dissimilar",
        "neither",
        "Image C",
        "The first one",
        "A good photo",
    ],
)
def test_what_is_no_verdict_is_refused_with_its_words(answer: str) -> None:
    with pytest.raises(AnswerError, match='Expected "Image A", "Image B" or "Similar"') as refusal:
        read_comparison(read_reply(framed(answer)))
    assert answer in str(refusal.value)


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "inside <answer> tags"),
        ("   \n", "inside <answer> tags"),
        ("<|im_end|>", "inside <answer> tags"),
        ("<think> The photo is sharp.", "the reply ends with '<think> The photo is sharp.'"),
        ("<think> The photo is sharp. </think>", "inside <answer> tags"),
        ("<think> a </think><answer></answer>", "they are empty"),
        ("<think> a </think><answer>  \n </answer>", "they are empty"),
        ("I am sorry, I cannot help with that.", "inside <answer> tags"),
        ("There are 2 dogs.", "inside <answer> tags"),
    ],
)
def test_a_reply_without_an_answer_is_refused(task: Task, text: str, reason: str) -> None:
    with pytest.raises(AnswerError) as refusal:
        answered(task, text)
    assert reason in str(refusal.value)


# --- replies that are still arriving --------------------------------------------------------------------------

LONG = (
    "<think>\nA < B, and 3 <5> 2; the <b>edge</b> is soft... </think >\n< answer>\n"
    '{"distortion_class": "blur", "severity": "slight"}\n</answer><|im_end|>'
)
REPLIES = [STRICT, ONE_LINE, LONG, framed("Image A"), *(text for text, _ in FRAMES)]
PIECES = {
    tag[:length]
    for tag in ("<think>", "</think>", "<answer>", "</answer>")
    for length in range(1, len(tag) + 1)
}


@pytest.mark.parametrize("text", REPLIES)
def test_a_reply_cut_anywhere_shows_no_piece_of_a_tag_and_no_answer_before_its_closing_tag(text: str) -> None:
    shown = ""
    for length in range(len(text) + 1):
        cut = text[:length]
        reply = read_reply(cut, finished=False)
        tail = reply.thinking.lower()
        assert not any(tail.endswith(piece) for piece in PIECES), cut
        assert "<|" not in reply.thinking
        assert reply.thinking.startswith(shown), "words that were shown are taken back"
        shown = reply.thinking
        if reply.answer is not None:
            assert "</answer" in cut.lower()
            assert "<" not in reply.answer
        assert reply.text == cut


@pytest.mark.parametrize("text", REPLIES)
def test_a_reply_still_arriving_ends_up_as_the_finished_one(text: str) -> None:
    growing, finished = read_reply(text, finished=False), read_reply(text)
    if growing.answer is not None:
        assert growing == finished


def test_a_rating_cut_in_the_middle_is_not_read() -> None:
    text = '<think> a </think><answer>{"rating": 3.95}</answer>'
    for length in range(len(text)):
        assert read_reply(text[:length], finished=False).answer is None


def test_a_second_answer_takes_the_place_of_the_first_once_it_is_closed() -> None:
    first = '<think> a </think><answer>{"rating": 2}</answer>'
    assert read_reply(first, finished=False).answer == '{"rating": 2}'
    assert read_reply(first + " No: <answer>", finished=False).answer is None
    again = read_reply(first + ' No: <answer>{"rating": 4}</answer>', finished=False)
    assert again.answer == '{"rating": 4}'
    assert "several <answer> tags, the last one read" in again.repairs


def test_random_noise_is_read_or_refused_and_never_crashes() -> None:
    dice = random.Random(20250322)
    bits = [
        *(
            "<think>",
            "</think>",
            "<answer>",
            "</answer>",
            "<answer",
            "</",
            "<|im_end|>",
            "<|",
            "```json",
            "```",
        ),
        *(
            '{"rating":',
            "{",
            "}",
            '"',
            "'",
            ":",
            ",",
            "[",
            "]",
            "null",
            "None",
            "true",
            "NaN",
            "1e999",
            "-",
            "/5",
        ),
        *(
            "4.2",
            "3",
            "blur",
            "slight",
            '"distortion_class":',
            '"severity":',
            "Image A",
            "Image B",
            "Similar",
        ),
        *(" ", "\n", "\N{REPLACEMENT CHARACTER}", "\x00", "\ud800", "not", "é", "٣"),
        *string.ascii_letters,
    ]
    read = 0
    for _ in range(3000):
        text = "".join(dice.choices(bits, k=dice.randrange(1, 25)))
        for task in Task:
            for finished in (True, False):
                try:
                    read_answer(task, read_reply(text, finished=finished))
                    read += 1
                except AnswerError as refusal:
                    assert str(refusal).startswith("Expected")  # noqa: PT017 (most noise is refused)
        has_strict_format(text)
        has_relaxed_format(text)
    assert read > 0


HOSTILE = 100_000
SNAKES = {
    "open angles": "<" * HOSTILE,
    "an angle and blanks": "<" + " " * HOSTILE,
    "angles and blanks": ("<" + " " * 50) * (HOSTILE // 51),
    "a tag and lines": "<think>" + "\n" * HOSTILE,
    "tags and lines": "<think>\n</think>\n<answer>\n" * (HOSTILE // 27),
    "a tag half open": "<answer" + " " * HOSTILE,
    "braces": "{" * HOSTILE,
    "pairs of braces": "{}" * (HOSTILE // 2),
    "broken objects": "{a}" * (HOSTILE // 3),
    "a brace and blanks": "{}" + " " * HOSTILE + "x",
    "digits": "1" * HOSTILE,
    "numbers": "1 " * (HOSTILE // 2),
    "a number and blanks": "4" + " " * HOSTILE + "x",
    "dots": "1." * (HOSTILE // 2),
    "blanks": " " * HOSTILE,
    "a fence and blanks": "```" + " " * HOSTILE + "x",
    "fences": "```" * (HOSTILE // 3),
    "commas": "{" + ", " * (HOSTILE // 2),
    "a rating and blanks": '{"rating"' + " " * HOSTILE + ":",
    "ratings": "rating: 1 " * (HOSTILE // 10),
    "a class and blanks": "distortion_class:" + " " * HOSTILE + "9",
    "a class and words": "distortion_class: " + "a " * (HOSTILE // 2) + "9",
    "specials": "<|a" * (HOSTILE // 3),
    "images": "image a " * (HOSTILE // 8),
    "stars": "image " + "*" * HOSTILE,
    "quotes": '"' * HOSTILE,
    "nested": "[" * HOSTILE,
    "words": "is " * (HOSTILE // 3),
}


@pytest.mark.parametrize("name", SNAKES)
def test_a_hundred_kilobytes_of_anything_are_read_in_linear_time(name: str) -> None:
    """A regular expression that backtracks would take minutes or years; this takes a tenth of a second."""
    text = SNAKES[name]
    started = time.process_time()
    for reply in (
        text,
        framed(text),
        framed(f'{{"rating": "{text}"}}'),
        f"<think>\n{text}\n</think>\n<answer>\n",
    ):
        for task in Task:
            try:
                answered(task, reply)
            except AnswerError as refusal:
                assert len(str(refusal)) < 400  # noqa: PT017
            has_strict_format(reply, task)
            has_relaxed_format(reply, task)
        read_reply(reply, finished=False)
    assert time.process_time() - started < 15


# --- the layouts that training rewards --------------------------------------------------------------------------

OBJECT = '{"rating": 4.2}'
DEGRADED = '{"distortion_class": "blur", "severity": "slight"}'


@pytest.mark.parametrize(
    ("text", "strict", "relaxed"),
    [
        (STRICT, True, True),
        (STRICT + "\n", True, True),
        (f"<think>\na\n</think>\n<answer>\n{DEGRADED}\n</answer>", True, True),
        (f"<think> \n\n a \n b \n\n</think> \n \n<answer>\n \n{OBJECT}\n\n</answer>", True, True),
        ('<think>\na\n</think>\n<answer>\n{\n"rating": 4.2\n}\n</answer>', True, True),
        (ONE_LINE, False, True),
        (f"<think>a</think><answer>{OBJECT}</answer>", False, True),
        (f"<think>\na\n</think><answer>\n{OBJECT}\n</answer>", False, True),
        (f"<think>\na\n</think>\n<answer>{OBJECT}</answer>", False, True),
        (f"<think>a\n</think>\n<answer>\n{OBJECT}\n</answer>", False, True),
        (f"<think>\na</think>\n<answer>\n{OBJECT}\n</answer>", False, True),
        (f"<think>\n</think>\n<answer>\n{OBJECT}\n</answer>", False, True),
        (f"<think>\na\n</think>\n<answer>\n  {OBJECT}\n</answer>", False, True),
        ('<think>\na\n</think>\n<answer>\n{"rating": {"of": 4}}\n</answer>', False, False),
        ("<think>\na\n</think>\n<answer>\n4.2\n</answer>", False, False),
        (f"<think>\na\n</think>\n<answer>\n{OBJECT} good\n</answer>", False, False),
        (f"<think>\na\n</think>\n<answer>\n{OBJECT}{OBJECT}\n</answer>", False, False),
        (f"<think>\na\n</think>\n<answer>\n```json\n{OBJECT}\n```\n</answer>", False, False),
        (f"{STRICT} bye", False, False),
        (f"Sure. {STRICT}", False, False),
        (f"<think>\na\n</think>\nso\n<answer>\n{OBJECT}\n</answer>", False, False),
        (f"<answer>\n{OBJECT}\n</answer>", False, False),
        (f"<think>\na\n<answer>\n{OBJECT}\n</answer>", False, False),
        (f"<think>\na\n</think>\n<answer>\n{OBJECT}\n", False, False),
        (f"<think>\n<think>\na\n</think>\n<answer>\n{OBJECT}\n</answer>", False, False),
        (f"<think>\nin <answer> tags\n</think>\n<answer>\n{OBJECT}\n</answer>", False, False),
        (STRICT.replace("think", "THINK"), False, False),
        (STRICT * 2, False, False),
        ("", False, False),
        ("<think> reasoning process here </think><answer> answer here </answer>", False, False),
    ],
)
def test_the_rewarded_layouts_are_told_apart(text: str, strict: bool, relaxed: bool) -> None:
    assert (has_strict_format(text), has_relaxed_format(text)) == (strict, relaxed)


def test_the_prompts_own_one_line_example_earns_the_relaxed_reward_and_not_the_strict_one() -> None:
    example = f"<think> reasoning process here </think><answer> {OBJECT} </answer>"
    assert has_relaxed_format(example)
    assert not has_strict_format(example)


@pytest.mark.parametrize(
    ("text", "strict", "relaxed"),
    [
        ("<think>\na\n</think>\n<answer>\nImage A\n</answer>", True, True),
        ("<think> a </think><answer> Image A </answer>", False, True),
        ("<think>\na\n</think>\n<answer>\n\n</answer>", False, False),
        ("<think> a </think><answer> </answer>", False, False),
        ("<think> a </think> Image A", False, False),
    ],
)
def test_the_answer_to_a_comparison_needs_no_braces(text: str, strict: bool, relaxed: bool) -> None:
    comparison = Task.COMPARISON
    assert (has_strict_format(text, comparison), has_relaxed_format(text, comparison)) == (strict, relaxed)
    assert not has_strict_format(text)
