"""What makes the page feel like a program on the desk: a language to choose, settings remembered, shortcuts.

The browser's part is desk.js, which is handed our lists as GIVEN; nothing that is remembered ever reaches the server.
"""

import json
from typing import Any

import gradio as gr

from qinsight.page.assess_tab import NOT_SHOWN
from qinsight.page.lean import script
from qinsight.page.shoot import KINDS
from qinsight.page.words import NAMES, Language, label

SCRIPTS = ("folder.js", "table.js", "loupe.js", "result.js", "desk.js", "film.js", "cull.js", "shoot.js")
SCRIPT = "".join(map(script, SCRIPTS))
FILES = ",".join(["image/*", *sorted(NOT_SHOWN)])  # a browser knows no RAW for an image
GIVEN = json.dumps({"languages": [*Language], "kinds": KINDS, "files": FILES})
# Or the first cards move everything aside; here, as Gradio (6.31) puts the rules of its css= below its container.
STEADY = "<style>@media (min-width: 768px) { html { scrollbar-gutter: stable } }</style>"
HEAD = f"{STEADY}<script>const GIVEN = {GIVEN};\n{SCRIPT}</script>"
IN_THE_BROWSER: dict[str, Any] = {"fn": None, "queue": False, "api_visibility": "private"}


def language_choice() -> gr.Dropdown:
    """The languages, each by its own name."""
    return gr.Dropdown(
        NAMES,
        value=Language.ENGLISH,
        label=label("language"),
        elem_id="language",
        container=False,
        filterable=False,
        scale=0,
        min_width=150,
    )


def key_help() -> gr.Checkbox:
    """The shortcuts, folded away; returns the switch that turns them off."""
    with gr.Accordion(label("keys"), open=False, elem_id="keys"):
        gr.Markdown(label("keys_list"))
        return gr.Checkbox(True, label=label("keys_on"), elem_id="keys-on", container=False)


def remember(page: gr.Blocks, tabs: gr.Tabs, keys: gr.Checkbox) -> None:
    """Bring the last settings back when the page opens, and keep them when they change."""
    page.load(inputs=None, outputs=[keys, tabs], js="() => qi.remembered()", **IN_THE_BROWSER)
    keys.change(inputs=[keys], outputs=None, js="value => qi.keep({ keys: value })", **IN_THE_BROWSER)
    for tab in tabs.children:
        js = f"() => qi.keep({{ tab: '{tab.id}' }})"
        tab.select(inputs=None, outputs=None, js=js, **IN_THE_BROWSER)
