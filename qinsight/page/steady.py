"""Components that an update can leave as they are, cheaply.

For each `gr.skip()` Gradio builds the component and its JSON schema anew: a millisecond or two, for each component
of every update that a visitor who waits is sent.
"""

from typing import Any

import gradio as gr

AS_IT_IS: Any = object()  # the value that changes nothing


class Button(gr.Button):
    """A button that most updates leave alone."""

    is_template = True  # the stock front end

    def postprocess(self, value: Any) -> Any:
        return gr.skip() if value is AS_IT_IS else super().postprocess(value)
