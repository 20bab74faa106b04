"""The page: `python app.py` starts it, and opens it in the browser on a desktop."""

import argparse
import os
import sys
from collections.abc import Sequence

# Before Gradio is imported: it reads these while it is.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ["NO_PROXY"] = os.environ["no_proxy"] = ",".join(
    filter(None, [os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), "localhost", "127.0.0.1"])
)

from qinsight.checkpoint import Device, Precision, Progress
from qinsight.prompts import Order
from qinsight.requests import Engine, Sampling

ON_SPACES = "SPACE_ID" in os.environ


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags, start to load the model, serve the page until it is stopped."""
    options = _parser().parse_args(argv)
    from qinsight.page import build_page, launch
    from qinsight.page.host import Host

    def open_engine(progress: Progress) -> Engine:
        from qinsight.engine import LocalEngine  # torch takes seconds; the page is up before it

        return LocalEngine.open(options.model, options.device, options.precision, progress, options.order)

    host = Host(open_engine)
    only_here = options.host in (None, "127.0.0.1", "localhost") and not options.share and not ON_SPACES
    page = build_page(host, Sampling(options.max_new_tokens), options.max_pixels, local=only_here)
    host.start()
    try:
        launch(
            page,
            server_name=options.host,
            server_port=options.port,
            share=options.share,
            inbrowser=options.browser and _has_desktop(),
        )
    except OSError as error:
        print(f"The page cannot be served: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python app.py",
        description="Rate, diagnose and compare photos with Q-Insight.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--model", default="auto", metavar="DIR|HUB_ID|preview", help="default: the best that fits here")
    add("--device", choices=[*Device], type=Device, default=Device.AUTO, help="default: auto")
    add("--precision", choices=[*Precision], type=Precision, default=Precision.AUTO, help="default: auto")
    add(
        "--order",
        choices=[*Order],
        type=Order,
        help="question or photo first; default: as the model was trained",
    )
    add("--max-pixels", type=int, metavar="N", help="rate at most this many pixels; default: the model's own")
    add("--max-new-tokens", type=int, default=1024, metavar="N", help="default: 1024")
    add("--host", default=None, metavar="ADDRESS", help="default: 127.0.0.1; 0.0.0.0 serves the network")
    add("--port", type=int, default=None, metavar="N", help="default: the first free one from 7860")
    add("--share", action="store_true", help="a public link through Gradio's relay")
    add("--no-browser", dest="browser", action="store_false", help="do not open the browser")
    return parser


def _has_desktop() -> bool:
    """Whether there is a screen to open a browser on: not on Spaces, not in a bare SSH session."""
    if ON_SPACES:
        return False
    return sys.platform in ("win32", "darwin") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


if __name__ == "__main__":
    sys.exit(main())
