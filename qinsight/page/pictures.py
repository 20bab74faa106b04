"""What the page draws itself: the gauge, the severity band, running text; templates that escape their words."""

from typing import Any

import gradio as gr

from qinsight.answers import Clean, Degradation, Score, Severity
from qinsight.assess import Asked
from qinsight.page.words import ENGLISH, Words, label
from qinsight.photos import Photo
from qinsight.views import view_size

# gr.HTML fills Handlebars in first and then evaluates the result as a JavaScript template (Gradio 6.31): a reply
# with ${...} in a {{value}} would run. In ${...} of our own the words are data; this escapes them.
_SAFE = """(words => String(words ?? "").replace(/[&<>"'`$]/g, c => "&#" + c.charCodeAt(0) + ";"))"""

_GAUGE = f"""
<div class="qi-gauge" role="meter" aria-label="${{{_SAFE}(label)}}" aria-valuemin="1" aria-valuemax="5"
     aria-valuenow="${{Number(value.rating)}}" aria-valuetext="${{{_SAFE}(value.words)}} ${{{_SAFE}(value.label)}}">
  <svg viewBox="0 0 200 112" aria-hidden="true">
    <path class="track" d="M 18 102 A 82 82 0 0 1 182 102"/>
    <path class="level" d="M 18 102 A 82 82 0 0 1 182 102" pathLength="100"
          style="stroke-dasharray: ${{Number(value.percent)}} 100; stroke: hsl(${{Number(value.hue)}} 70% 45%)"/>
    <text x="18" y="111">1</text><text x="182" y="111">5</text>
  </svg>
  <b>${{{_SAFE}(value.words)}}</b><span>${{{_SAFE}(value.label)}}</span>
</div>"""

_BAND = f"""
<div class="qi-band">
  <b>${{{_SAFE}(value.words)}}</b>
  <ol aria-label="${{{_SAFE}(label)}}">${{value.levels.map(level =>
    '<li data-chosen="' + (level.chosen ? "yes" : "no") + '" style="--odds: ' + Number(level.odds) + '"><i></i><span>'
    + {_SAFE}(level.name) + "</span><em>" + {_SAFE}(level.percent) + "</em></li>").join("")}}</ol>
  <span>${{{_SAFE}(value.label)}}</span>
</div>"""


def gauge() -> gr.HTML:
    """A dial from 1 to 5; its value is made by `gauge_value`."""
    return gr.HTML(gauge_value(None), html_template=_GAUGE, label=label("quality_rating"), elem_id="gauge")


def gauge_value(asked: Asked | None, words: Words = ENGLISH) -> dict[str, Any]:
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
    said, under = _nothing_yet(asked, words)
    return {"rating": 1, "words": said, "percent": 0, "hue": 0, "label": under}


def of_five(rating: float, words: Words) -> str:
    """A rating in the word of ITU-T P.800's rating scale."""
    return words("of_five", word=words(f"rating_{min(5, max(1, round(rating)))}"))


def band() -> gr.HTML:
    """Five severities, each as strong as the model thinks it likely; its value is made by `band_value`."""
    return gr.HTML(band_value(None), html_template=_BAND, label=label("severity_chances"), elem_id="band")


def band_value(asked: Asked | None, words: Words = ENGLISH) -> dict[str, Any]:
    """What the band shows for a diagnosis: the class in words and the chance of each severity."""
    answer = asked.answer if asked else None
    levels = [{"name": words(str(level)), "odds": 0, "percent": "", "chosen": False} for level in Severity]
    if isinstance(answer, Clean):
        under = words("clean_of") + _repaired(answer.repairs, words)
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
    said, under = _nothing_yet(asked, words)
    return {"words": said, "levels": levels, "label": under}


def diagnosis(answer: Degradation | Clean, words: Words) -> str:
    """A diagnosis in words, such as "Obvious blur"."""
    if isinstance(answer, Clean):
        return words("clean")
    said = words("degraded", severity=words(f"{answer.severity}_"), distortion=words(str(answer.distortion)))
    return said.capitalize()


def running_text(elem_id: str, name: str) -> gr.HTML:
    """Words that grow while they come; escaped, whatever is in them. `name` is the key of their label."""
    template = (
        f'<div class="qi-words" tabindex="0" role="region" aria-label="${{{_SAFE}(label)}}">'
        f"${{{_SAFE}(value)}}</div>"
    )
    return gr.HTML(
        "", html_template=template, label=label(name), elem_id=elem_id, max_height=360, autoscroll=True
    )


def line(elem_id: str, say: str = "calmly", style: str = "qi-line") -> gr.HTML:
    """One line of text. Screen readers are told: "calmly" when it rests, "now" at once, "never" not at all.

    The page's script speaks them, from one live region that stays: one of every template would be replaced with
    each update, and be silent in some readers and a flood in others.
    """
    return gr.HTML(
        "",
        html_template=f'<p class="{style}" data-say="{say}">${{{_SAFE}(value)}}</p>',
        elem_id=elem_id,
    )


def take_home(elem_id: str) -> gr.HTML:
    """What may be copied and saved of an answer, unseen; its one visible use is to be read out when it arrives."""
    template = f'<p class="qi-unseen" data-say="now">${{{_SAFE}(value ? value.said : "")}}</p>'
    return gr.HTML(None, html_template=template, elem_id=elem_id)


def words_of(asked: Asked, words: Words = ENGLISH) -> str:
    """The thinking so far; under it, once the reply is finished, what could not be read and why."""
    thinking = asked.reply.thinking
    if not asked.error:
        return thinking
    return f"{thinking}\n\n{words.sentence(asked.error)}\n\n{words('the_reply_was')}\n{asked.text}"


def facts(photo: Photo, max_pixels: int, words: Words) -> str:
    """What was uploaded and at which size it is rated, in one line."""
    width, height = view_size(*photo.image.size, max_pixels)
    return words(
        "rated_at",
        format=photo.format,
        width=photo.size[0],
        height=photo.size[1],
        notes="".join(words("note", note=words.remark(note)) for note in photo.notes),
        seen_width=width,
        seen_height=height,
    )


def _nothing_yet(asked: Asked | None, words: Words) -> tuple[str, str]:
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
:is(#problem, #compare-problem, #rank-problem):has(.qi-line:empty) { display: none; }
.qi-unseen { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; }
#assess-record, #compare-record { position: absolute; }
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
