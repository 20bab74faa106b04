"""What the page draws itself: lines, running text, what lies on the table; templates that escape their words."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from qinsight.assess import Asked
from qinsight.page.table import FIRST
from qinsight.page.words import ENGLISH, Words, label
from qinsight.photos import Photo
from qinsight.photos.view import view_size

# gr.HTML fills Handlebars in first and then evaluates the result as a JavaScript template (Gradio 6.31): a reply
# with ${...} in a {{value}} would run. In ${...} of our own the words are data, which table.js escapes. A template
# that fails once is an error message for ever: what is drawn there holds for any value.


def drawn(call: str) -> str:
    """The template of an element that table.js or result.js draws."""
    return f"${{qi.{call}}}"


def running_text(tab: str, elem_id: str, name: str) -> gr.HTML:
    """Words that grow while they come; escaped, whatever is in them. `name` is the key of their label."""
    return gr.HTML(
        FIRST.part(""),
        html_template=drawn(f"words('{tab}', '{elem_id}', label, value)"),
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
        html_template=drawn(f"line('{tab}', '{elem_id}', '{style}', '{say}', value)"),
        elem_id=elem_id,
    )


def headline() -> gr.HTML:
    """The chip that tells how the model stands, whatever the tabs do."""
    return gr.HTML({}, html_template=drawn("headline(value)"), elem_id="headline")


def loupe(tab: str, elem_id: str) -> gr.HTML:
    """Which photos the tab's loupes show, for table.js, unseen; what they show is made by `loupe.look`."""
    return gr.HTML(
        FIRST.part(None), html_template=drawn(f"loupe('{tab}', '{elem_id}', value)"), elem_id=elem_id
    )


def pair() -> gr.HTML:
    """Where table.js has two photos drawn in step; they are those of the tab's `loupe`."""
    return gr.HTML("", html_template='<div class="qi-pair"></div>', elem_id="slider")


def examples(shown: list[Any], elem_id: str, columns: int) -> gr.Gallery:
    """Our own photos to choose from, each with its whole name; invisible where there are none."""
    return gr.Gallery(
        shown,
        label=label("examples"),
        columns=columns,
        height="auto",
        allow_preview=False,
        object_fit="cover",
        buttons=[],
        format="png",
        interactive=False,
        elem_id=elem_id,
        elem_classes="qi-examples",
        visible=bool(shown),
    )


def laid(elem_id: str, tab: str) -> gr.HTML:
    """A tab's table for table.js, unseen; its one visible use is to be read out when an answer arrives."""
    return gr.HTML(None, html_template=drawn(f"take('{tab}', value)"), elem_id=elem_id)


def film(place: str) -> gr.HTML:
    """Where film.js shows what a person brought and what was answered of it, in this tab of the browser."""
    return gr.HTML(None, html_template=f'<section id="{place}" class="qi-film" hidden></section>')


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


CSS = """
.qi-line, .qi-any p { margin: 0 !important; }
.qi-line, .qi-words, .qi-any, .qi-rated, .qi-film, .qi-chip, .qi-shoot { color: var(--body-text-color); }
.qi-line { overflow-wrap: anywhere; }
#problem .qi-line:not(:empty), #compare-problem .qi-line:not(:empty), #rank-problem .qi-line:not(:empty) {
  padding: .5em .8em; border-left: 4px solid #c2410c; background: var(--background-fill-secondary); }
.qi-words { white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.5; }
.qi-sentence { font-size: 1.65em; font-weight: 600; line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
.qi-wait { display: grid; grid-template-columns: 1fr auto; gap: .3em 1em; align-items: center; }
.qi-wait .qi-sentence { grid-column: 1 / -1; color: var(--body-text-color-subdued); font-weight: 400; }
.qi-wait progress { width: 100%; height: .5em; accent-color: var(--primary-600); }
.qi-clock { font-variant-numeric: tabular-nums; }
.qi-app { margin-top: .6em; padding: .5em .8em; border-left: 4px solid #b7791f; background: var(--background-fill-secondary); }
.qi-app ul { margin: 0; padding-left: 1.1em; }
.qi-rated, .qi-band, .qi-cues { position: relative; }
.qi-gauge { display: grid; grid-template-columns: auto 1fr; gap: 0 1.2em; align-items: center; padding-right: 2em; }
.qi-gauge b { font-size: 2.6em; line-height: 1.1; font-variant-numeric: tabular-nums; min-width: 2.1em; }
.qi-gauge > span { grid-column: 1 / -1; order: 3; font-size: .9em; min-height: 1.4em; }
.qi-scale { position: relative; padding-top: 1.1em; }
.qi-scale i { position: absolute; top: .35em; height: .5em; border-radius: 1em; }
.qi-track { left: 0; right: 0; opacity: .4;
  background: linear-gradient(90deg, hsl(0 70% 45%), hsl(60 70% 45%) 50%, hsl(120 70% 40%)); }
.qi-between { background: hsl(var(--hue) 70% 45%); }
.qi-scale .qi-dot { top: 0; width: 1.2em; height: 1.2em; margin-left: -.6em; border-radius: 50%;
  background: hsl(var(--hue) 70% 40%); border: 3px solid var(--body-background-fill); box-shadow: 0 0 0 1px currentColor; }
.qi-scale ol { display: flex; justify-content: space-between; list-style: none; padding: 0; margin: .2em 0 0; font-size: .8em;
  line-height: 1.3; min-height: 2.6em; }
.qi-scale li { width: 0; margin: 0; white-space: nowrap; display: flex; flex-direction: column; align-items: center; }
.qi-scale li:first-child { align-items: start; }
.qi-scale li:last-child { align-items: end; }
.qi-sure { margin: .3em 0 0; padding-left: .8em; border-left: 4px solid #b7791f; font-size: .9em; line-height: 1.4; }
.qi-claim { text-decoration: underline dotted; text-underline-offset: .25em; }
.qi-claim + .qi-why:not([open]) { display: inline-block; }
.qi-sure span + span { color: var(--body-text-color-subdued); }
.qi-band b, .qi-cues b { font-size: 1.05em; }
.qi-band > span { display: block; font-size: .85em; }
.qi-band ol { display: grid; grid-template-columns: repeat(4, 1fr) auto; gap: 4px; list-style: none;
  padding: 0; margin: .4em 0 .2em; text-align: center; }
.qi-band li { margin: 0; font-size: .72em; line-height: 1.3; overflow-wrap: anywhere; }
.qi-band li i { display: block; margin-bottom: 3px; height: 1.6em; border: 1px solid var(--border-color-primary); border-radius: 4px;
  background: linear-gradient(0deg, var(--qi-bar) calc(var(--odds) * 100%), transparent 0); }
.qi-band li[data-chosen=yes] { font-weight: 700; }
.qi-band li[data-chosen=yes] i { outline: 2px solid currentColor; }
.qi-band em, .qi-cues em { font-style: normal; font-variant-numeric: tabular-nums; }
.qi-band em { display: block; min-height: 1.3em; }
.qi-band, .qi-cues { --qi-bar: color-mix(in srgb, currentColor 60%, transparent); }
.qi-cues ul { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.5em, 1fr)); gap: .4em 1em; list-style: none;
  padding: 0; margin: .4em 0 0; }
.qi-cues li { margin: 0; font-size: .85em; }
.qi-cues li i { display: block; height: 5px; border-radius: 3px;
  background: linear-gradient(90deg, var(--qi-bar) calc(var(--odds) * 100%), var(--border-color-primary) 0); }
.qi-cues summary, .qi-why summary, .qi-chip summary { cursor: pointer; list-style: none; }
.qi-cues li > p, .qi-cues li summary { display: flex; justify-content: space-between; align-items: center; gap: .5em; }
.qi-cues li summary span { text-decoration: underline dotted; text-underline-offset: .2em; }
.qi-why { display: inline; }
.qi-why summary { display: inline-grid; place-items: center; width: 1.5em; height: 1.5em; margin-left: .4em; border-radius: 50%;
  border: 1px solid var(--body-text-color-subdued); font-size: .8em; }
.qi-rated > .qi-why > summary { position: absolute; right: 0; top: .8em; }
.qi-why p { margin: .3em 0; font-size: .9em; line-height: 1.4; }
.qi-advice { display: grid; grid-template-columns: auto 1fr; gap: .3em 1em; margin: 0; }
.qi-advice dt { font-weight: 600; }
.qi-advice dd { margin: 0; }
.qi-film { display: flex; align-items: center; gap: 8px; overflow-x: auto; padding: 4px; }
.qi-film[hidden] { display: none; }
.qi-film > * { flex: none; }
.qi-film button:not(.qi-kept) { border: 1px solid var(--border-color-primary); border-radius: 6px; padding: .4em .8em; }
.qi-kept { position: relative; padding: 0; width: 96px; height: 64px; border-radius: 6px; overflow: hidden; font-size: .75em;
  overflow-wrap: anywhere; background: var(--background-fill-secondary); }
.qi-places { display: flex; flex-wrap: wrap; gap: 4px; }
.qi-places p { flex-basis: 100%; }
:is(.qi-places, .qi-contest) button { padding: .2em .6em; border: 1px solid var(--border-color-primary); border-radius: 6px; font-size: .85em; color: var(--body-text-color); }
[data-gone], :is(#closer-stop, #contest-stop):disabled { display: none !important; }
.qi-contest { padding-left: .8em; border-left: 4px solid #b7791f; }
.qi-kept img { display: block; width: 100%; height: 100%; object-fit: cover; margin: 0; }
.qi-kept b { position: absolute; right: 4px; bottom: 4px; padding: 0 5px; border-radius: 4px; background: #121315dd; color: white; }
.qi-kept[aria-current] { outline: 2px solid var(--primary-600); outline-offset: 1px; }
.qi-chip { display: flex; flex-wrap: wrap; gap: .1em .6em; align-items: baseline; font-size: .9em; }
.qi-chip p { margin: 0; }
.qi-chip > p { border: 1px solid var(--border-color-primary); border-radius: 1em; padding: .15em .8em; }
.qi-chip summary { text-decoration: underline; }
.qi-chip details p { position: absolute; right: 1em; z-index: 20; width: min(28em, calc(100vw - 2em)); padding: .8em 1em;
  border: 1px solid var(--border-color-primary); border-radius: 8px; background: var(--background-fill-primary);
  box-shadow: 0 4px 16px #0004; }
:is(#say, #band, #cues, #advice):not(:has(.qi-any)), :is(#score-why, #diagnosis-why, #first-why, #second-why):has(.qi-words:empty),
#answer:not(:has(#band .qi-any)) #raw-why { display: none; }
#say:has(.qi-wait) ~ #status { position: absolute; clip-path: inset(50%); height: 1px; overflow: hidden; }
:is(#problem, #compare-problem, #rank-problem, #rank-left-out, #places-status, #places-problem, #contest-status, #contest-problem):has(.qi-line:empty) { display: none; }
.qi-unseen { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; }
#assess-record, #places-record, #contest-record, #compare-record, #rank-record, #photo-loupe, #pair { position: absolute; }
[data-old] > * { visibility: hidden; }
[data-old] * { transition: none !important; }
.qi-note { position: fixed; bottom: 1em; left: 50%; transform: translateX(-50%); z-index: 100; padding: .5em 1em;
  background: var(--neutral-800); color: white; border-radius: 6px; }
.qi-top { align-items: center; flex-wrap: nowrap; }
#keys { font-size: .9em; border: 0; }
@media (hover: none) and (pointer: coarse) { #keys { display: none; } }
.qi-top > .qi-head { flex: 1 1 0 !important; min-width: max-content !important; }
.qi-head h1 { font-size: 1.5em; margin: 0; white-space: nowrap; }
#headline { flex: 0 0 auto !important; width: auto !important; max-width: 60%; }
.qi-verdict { font-size: 1.35em; font-weight: 600; text-align: center; margin: .3em 0; min-height: 1.5em; }
.qi-examples .grid-container { grid-template-columns: repeat(8, minmax(0, 1fr)); gap: .8em .4em; height: auto; padding-top: 1.8em; }
#pairs .grid-container { grid-template-columns: repeat(3, minmax(0, 260px)); }
#pairs .thumbnail-lg img { aspect-ratio: 3; }
.qi-examples .grid-wrap { height: auto !important; max-height: none; min-height: 0; }
.qi-examples .thumbnail-lg { aspect-ratio: auto; height: auto; display: flex; flex-direction: column; background: none; }
.qi-examples .thumbnail-lg img { aspect-ratio: 3 / 2; height: auto; }
#examples .gallery-item:nth-child(even) { margin-right: .8em; }
.qi-examples .caption-label { position: static; opacity: 1 !important; max-width: none; overflow: visible; white-space: normal; background: none; border: 0;
  text-align: center; }
#answer { gap: .7em; }
#answer .html-container { padding-top: 0; padding-bottom: 0; }
:is(#say, #answer #status, #gauge, #band, #advice, #cues) { padding-top: 0 !important; padding-bottom: 0 !important; }
#purpose { margin: -.8em 0 -.4em; }
@media (max-width: 767px) {
  .qi-top { flex-wrap: wrap; gap: 0 .6em; }
  #headline { order: 3; flex-basis: 100% !important; max-width: none; }
  .qi-band li { font-size: .64em; }
  #examples .grid-container { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .qi-examples .gallery-item:nth-child(even) { margin-right: 0; }
  #pairs .grid-container { grid-template-columns: minmax(0, 260px); }
}
@media (pointer: coarse) {
  :is(.qi-why, .qi-cues, .qi-chip) summary { min-width: 44px; min-height: 44px; align-items: center; }
  .qi-chip summary { display: inline-flex; }
  #language input { min-height: 22px; }
  #about summary { min-height: 44px; }
  .qi-rated > .qi-why > summary { right: -1em; top: 0; }
  .qi-why summary { border: 0; text-decoration: underline; font-size: 1em; }
  :is(#tabs, .qi-film) button:is([data-photo-at], [data-frame], .lg, .sm, .label-wrap, [role=tab], .qi-film *) { min-height: 44px; }
}
#tabs button[aria-selected=true] { color: var(--primary-700); }
.dark #tabs button[aria-selected=true] { color: var(--primary-400); }
footer, footer button, footer a { align-items: center; color: var(--body-text-color) !important; }
footer button { min-height: 44px; }
"""
