"""What the page draws itself: the gauge, the severity band, running text; templates that escape their words."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from qinsight.answers import Clean, Degradation, Distortion, Score, Severity
from qinsight.assess import Asked
from qinsight.page.table import FIRST
from qinsight.page.words import ENGLISH, Words, label
from qinsight.photos import Photo
from qinsight.photos.view import view_size

# gr.HTML fills Handlebars in first and then evaluates the result as a JavaScript template (Gradio 6.31): a reply
# with ${...} in a {{value}} would run. In ${...} of our own the words are data, which table.js escapes. A template
# that fails once is an error message for ever: what is drawn there holds for any value.


def _drawn(call: str) -> str:
    return f"${{qi.{call}}}"


def gauge() -> gr.HTML:
    """A dial from 1 to 5; what it shows is made by `gauge_value`."""
    return gr.HTML(
        FIRST.part(gauge_value(None)),
        html_template=_drawn("gauge('assess', 'gauge', label, value)"),
        label=label("quality_rating"),
        elem_id="gauge",
    )


def gauge_value(asked: Asked | None, words: Words = ENGLISH, running: bool = True) -> dict[str, Any]:
    """What the dial shows for a score's reply: nothing, the rating, or that there is none."""
    answer = asked.answer if asked else None
    if isinstance(answer, Score):
        rating = answer.rating
        return {
            "rating": rating,
            "words": f"{rating:.2f}",
            "percent": (rating - 1) * 25,
            "hue": round((rating - 1) * 30),
            "label": of_five(rating, words) + _repaired(answer.repairs, words),
        }
    said, under = _nothing_yet(asked, words, running)
    return {"rating": 1, "words": said, "percent": 0, "hue": 0, "label": under}


def of_five(rating: float, words: Words) -> str:
    """A rating in the word of ITU-T P.800's rating scale."""
    return words("of_five", word=words(f"rating_{min(5, max(1, round(rating)))}"))


def band() -> gr.HTML:
    """Five severities, each as strong as the model thinks it likely; what it shows is made by `band_value`."""
    return gr.HTML(
        FIRST.part(band_value(None)),
        html_template=_drawn("band('assess', 'band', label, value)"),
        label=label("severity_chances"),
        elem_id="band",
    )


def band_value(asked: Asked | None, words: Words = ENGLISH, running: bool = True) -> dict[str, Any]:
    """What the band shows for a diagnosis: the class in words and the chance of each severity."""
    answer = asked.answer if asked else None
    levels = [{"name": words(str(level)), "odds": 0, "percent": "", "chosen": False} for level in Severity]
    if isinstance(answer, Clean):
        kinds = words("comma").join(words(kind) for kind in Distortion)
        under = words("clean_of", kinds=kinds) + _repaired(answer.repairs, words)
        return {"words": words("clean"), "levels": levels, "label": under}
    if isinstance(answer, Degradation):
        odds = asked.severity_odds if asked else None
        for entry, level in zip(levels, Severity, strict=True):
            chance = odds[str(level)] if odds else float(level is answer.severity)
            entry["odds"] = round(chance, 3)
            entry["percent"] = f"{chance:.0%}" if odds else ""
            entry["chosen"] = level is answer.severity
        under = words("chances" if odds else "no_chances") + _repaired(answer.repairs, words)
        return {"words": diagnosis(answer, words), "levels": levels, "label": under}
    said, under = _nothing_yet(asked, words, running)
    return {"words": said, "levels": levels, "label": under}


def diagnosis(answer: Degradation | Clean, words: Words) -> str:
    """A diagnosis in words, such as "Obvious blur"."""
    if isinstance(answer, Clean):
        return words("clean")
    said = words("degraded", severity=words(f"{answer.severity}_"), distortion=words(str(answer.distortion)))
    return said.capitalize()


def running_text(tab: str, elem_id: str, name: str) -> gr.HTML:
    """Words that grow while they come; escaped, whatever is in them. `name` is the key of their label."""
    return gr.HTML(
        FIRST.part(""),
        html_template=_drawn(f"words('{tab}', '{elem_id}', label, value)"),
        label=label(name),
        elem_id=elem_id,
        max_height=360,
        autoscroll=True,
    )


def line(tab: str, elem_id: str, say: str = "calmly", style: str = "qi-line") -> gr.HTML:
    """One line of text. Screen readers are told: "calmly" when it rests, "now" at once, "never" not at all.

    The page's script speaks them, from one live region that stays: one of every template would be replaced with
    each update, and be silent in some readers and a flood in others.
    """
    return gr.HTML(
        FIRST.part(""),
        html_template=_drawn(f"line('{tab}', '{elem_id}', '{style}', '{say}', value)"),
        elem_id=elem_id,
    )


def headline() -> gr.HTML:
    """The line that tells how the model stands, whatever the tabs do."""
    return gr.HTML("", html_template=_drawn("headline(value)"), elem_id="headline")


def loupe(tab: str, elem_id: str) -> gr.HTML:
    """Which photos the tab's loupes show, for table.js, unseen; what they show is made by `loupe.look`."""
    return gr.HTML(
        FIRST.part(None), html_template=_drawn(f"loupe('{tab}', '{elem_id}', value)"), elem_id=elem_id
    )


def pair() -> gr.HTML:
    """Where table.js has two photos drawn in step; they are those of the tab's `loupe`."""
    return gr.HTML("", html_template='<div class="qi-pair"></div>', elem_id="slider")


def laid(elem_id: str, tab: str) -> gr.HTML:
    """A tab's table for table.js, unseen; its one visible use is to be read out when an answer arrives."""
    return gr.HTML(None, html_template=_drawn(f"take('{tab}', value)"), elem_id=elem_id)


def words_of(asked: Asked | None, words: Words = ENGLISH, running: bool = True) -> str:
    """The thinking so far; under it that it is unfinished, or, once it is finished, what could not be read and why."""
    if asked is None:
        return ""
    thinking = asked.reply.thinking
    if asked.finish is None and not running:
        return f"{thinking}\n\n{words('unfinished_words')}"
    if not asked.error:
        return thinking
    return f"{thinking}\n\n{words.sentence(asked.error)}\n\n{words('the_reply_was')}\n{asked.text}"


def facts(photo: Photo, max_pixels: int) -> Callable[[Words], str]:
    """What was uploaded and at which size it is rated, in one line of any language."""
    width, height = view_size(*photo.image.size, max_pixels)
    return lambda words: words(
        "rated_at",
        format=photo.format,
        width=photo.size[0],
        height=photo.size[1],
        notes="".join(words("note", note=words.remark(note)) for note in photo.notes),
        seen_width=width,
        seen_height=height,
    )


def _nothing_yet(asked: Asked | None, words: Words, running: bool) -> tuple[str, str]:
    if not running and (asked is None or asked.finish is None):
        return "–", words("unfinished")
    if asked is None:
        return "–", ""
    if asked.error:
        return words("no_answer"), words("unreadable_reply")
    return "…", words("thinking")


def _repaired(repairs: tuple[str, ...], words: Words) -> str:
    return words("repaired", repairs=", ".join(repairs)) if repairs else ""


CSS = """
.qi-line { margin: 0; color: var(--body-text-color); overflow-wrap: anywhere; }
#problem .qi-line:not(:empty), #compare-problem .qi-line:not(:empty), #rank-problem .qi-line:not(:empty) {
  padding: .5em .8em; border-left: 4px solid #c2410c; background: var(--background-fill-secondary); }
.qi-words { white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.5;
  color: var(--body-text-color); }
.qi-gauge, .qi-band { text-align: center; color: var(--body-text-color); min-height: 8.5em;
  display: flex; flex-direction: column; justify-content: flex-end; }
.qi-gauge svg { width: min(100%, 15em); display: block; margin: 0 auto -2.6em; overflow: visible; }
.qi-gauge path { fill: none; stroke-width: 15; stroke-linecap: butt; }
.qi-gauge .track { stroke: var(--border-color-primary); }
.qi-gauge .level { transition: stroke-dasharray .3s; }
.qi-gauge text { font-size: 11px; fill: currentColor; text-anchor: middle; }
.qi-gauge b, .qi-band b { display: block; font-size: 1.7em; line-height: 1.3; }
.qi-gauge span, .qi-band > span { display: block; font-size: .9em; min-height: 1.4em; }
.qi-band ol { display: grid; grid-template-columns: repeat(5, 1fr); gap: 2px; list-style: none;
  padding: 0; margin: 1em 0 .3em; }
.qi-band li { margin: 0; font-size: .68em; line-height: 1.3; }
.qi-band i { display: block; height: 1.3em; border: 1px solid var(--border-color-primary);
  background: color-mix(in srgb, var(--primary-600) calc(var(--odds) * 100%), transparent); }
.qi-band li[data-chosen=yes] { font-weight: 700; }
.qi-band li[data-chosen=yes] i { outline: 2px solid currentColor; }
.qi-band em { display: block; font-style: normal; min-height: 1.3em; }
:is(#problem, #compare-problem, #rank-problem, #rank-left-out):has(.qi-line:empty) { display: none; }
.qi-unseen { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; }
#assess-record, #compare-record, #rank-record, #photo-loupe, #pair { position: absolute; }
[data-old] > * { visibility: hidden; }
[data-old] * { transition: none !important; }
.qi-note { position: fixed; bottom: 1em; left: 50%; transform: translateX(-50%); z-index: 100; padding: .5em 1em;
  background: var(--neutral-800); color: white; border-radius: 6px; }
.qi-top { align-items: center; flex-wrap: nowrap; }
#keys { font-size: .9em; border: 0; }
@media (hover: none) and (pointer: coarse) { #keys { display: none; } }
.qi-head h1 { font-size: 1.5em; margin: 0; }
.qi-verdict { font-size: 1.35em; font-weight: 600; text-align: center; margin: .3em 0; min-height: 1.5em; }
#examples .grid-container { grid-template-columns: repeat(auto-fill, minmax(105px, 1fr)); height: auto; }
#examples .grid-wrap { height: auto !important; max-height: none; min-height: 0; }
#tabs button[aria-selected=true] { color: var(--primary-700); }
.dark #tabs button[aria-selected=true] { color: var(--primary-400); }
footer, footer button, footer a { color: var(--body-text-color) !important; }
@media (prefers-reduced-motion: reduce) { .qi-gauge .level { transition: none; } }
"""
