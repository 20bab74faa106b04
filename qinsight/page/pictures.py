"""What the page draws itself: the gauge, the severity band, running text; templates that escape their words."""

from typing import Any

import gradio as gr

from qinsight.answers import Clean, Degradation, Score, Severity
from qinsight.assess import Asked

SCALE = ("bad", "poor", "fair", "good", "excellent")  # the five words of ITU-T P.800's rating scale

# gr.HTML fills Handlebars in first and then evaluates the result as a JavaScript template (Gradio 6.31): a reply
# with ${...} in a {{value}} would run. In ${...} of our own the words are data; this escapes them.
_SAFE = """(words => String(words ?? "").replace(/[&<>"'`$]/g, c => "&#" + c.charCodeAt(0) + ";"))"""

_GAUGE = f"""
<div class="qi-gauge" role="meter" aria-label="Quality rating" aria-valuemin="1" aria-valuemax="5"
     aria-valuenow="${{Number(value.rating)}}" aria-valuetext="${{{_SAFE}(value.words)}}">
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
  <ol aria-label="Chance of each severity">${{value.levels.map(level =>
    '<li data-chosen="' + (level.chosen ? "yes" : "no") + '" style="--odds: ' + Number(level.odds) + '"><i></i><span>'
    + {_SAFE}(level.name) + "</span><em>" + {_SAFE}(level.percent) + "</em></li>").join("")}}</ol>
  <span>${{{_SAFE}(value.label)}}</span>
</div>"""


def gauge() -> gr.HTML:
    """A dial from 1 to 5; its value is made by `gauge_value`."""
    return gr.HTML(gauge_value(None), html_template=_GAUGE, elem_id="gauge")


def gauge_value(asked: Asked | None) -> dict[str, Any]:
    """What the dial shows for a score's reply: nothing, the rating, or that there is none."""
    answer = asked.answer if asked else None
    if isinstance(answer, Score):
        rating = answer.rating
        return {
            "rating": rating,
            "words": f"{rating:.2f}",
            "percent": (rating - 1) * 25,
            "hue": round((rating - 1) * 30),
            "label": f"of 5: {SCALE[min(4, max(0, round(rating) - 1))]}" + _repaired(answer.repairs),
        }
    words, label = _nothing_yet(asked)
    return {"rating": 1, "words": words, "percent": 0, "hue": 0, "label": label}


def band() -> gr.HTML:
    """Five severities, each as strong as the model thinks it likely; its value is made by `band_value`."""
    return gr.HTML(band_value(None), html_template=_BAND, elem_id="band")


def band_value(asked: Asked | None) -> dict[str, Any]:
    """What the band shows for a diagnosis: the class in words and the chance of each severity."""
    answer = asked.answer if asked else None
    levels = [{"name": str(level), "odds": 0, "percent": "", "chosen": False} for level in Severity]
    if isinstance(answer, Clean):
        label = "none of noise, compression, blur, darkness" + _repaired(answer.repairs)
        return {"words": "No degradation", "levels": levels, "label": label}
    if isinstance(answer, Degradation):
        odds = asked.severity_odds if asked else None
        for entry, level in zip(levels, Severity, strict=True):
            chance = odds[str(level)] if odds else float(level is answer.severity)
            entry["odds"] = round(chance, 3)
            entry["percent"] = f"{chance:.0%}" if odds else ""
            entry["chosen"] = level is answer.severity
        words = f"{answer.severity} {answer.distortion}".capitalize()
        label = ("chance of each severity" if odds else "this model gives no chances") + _repaired(
            answer.repairs
        )
        return {"words": words, "levels": levels, "label": label}
    words, label = _nothing_yet(asked)
    return {"words": words, "levels": levels, "label": label}


def running_text(elem_id: str, label: str) -> gr.HTML:
    """Words that grow while they come; escaped, whatever is in them."""
    template = (
        f'<div class="qi-words" tabindex="0" role="region" aria-label="{label}">${{{_SAFE}(value)}}</div>'
    )
    return gr.HTML("", html_template=template, elem_id=elem_id, max_height=360, autoscroll=True)


def line(elem_id: str, role: str, style: str = "qi-line") -> gr.HTML:
    """One line of text, told to screen readers when it changes: role "status", or "alert" for problems."""
    return gr.HTML(
        "", html_template=f'<p class="{style}" role="{role}">${{{_SAFE}(value)}}</p>', elem_id=elem_id
    )


def sentence(error: Exception) -> str:
    """The words of an error as a sentence of its own; on the command line they follow a file name."""
    words = str(error)
    return words[:1].upper() + words[1:] + ("" if words.endswith((".", "!", "?")) else ".")


def words_of(asked: Asked) -> str:
    """The thinking so far; under it, once the reply is finished, what could not be read and why."""
    thinking = asked.reply.thinking
    return f"{thinking}\n\n{asked.error}\n\nThe reply was:\n{asked.text}" if asked.error else thinking


def _nothing_yet(asked: Asked | None) -> tuple[str, str]:
    if asked is None:
        return "–", ""
    if asked.error:
        return "No answer", "the reply could not be read; see the reasoning"
    return "…", "thinking"


def _repaired(repairs: tuple[str, ...]) -> str:
    return f" (the reply had flaws: {', '.join(repairs)})" if repairs else ""


CSS = """
.qi-line { margin: 0; color: var(--body-text-color); overflow-wrap: anywhere; }
#problem .qi-line:not(:empty), #compare-problem .qi-line:not(:empty) {
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
.qi-head h1 { font-size: 1.5em; margin: 0; }
.qi-verdict { font-size: 1.35em; font-weight: 600; text-align: center; margin: .3em 0; min-height: 1.5em; }
#examples .grid-container { grid-template-columns: repeat(auto-fill, minmax(105px, 1fr)); height: auto; }
#examples .grid-wrap { height: auto !important; min-height: 0; }
@media (prefers-reduced-motion: reduce) { .qi-gauge .level { transition: none; } }
"""
