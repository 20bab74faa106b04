"""What the page draws itself: lines, running text, what lies on the table; templates that escape their words."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from qinsight.assess import Asked
from qinsight.page.lean import style
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


CSS = style("page.css")
