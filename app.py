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

from qinsight.flags import add_model_flags, open_engine
from qinsight.requests import Sampling

ON_SPACES = "SPACE_ID" in os.environ


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags, start to load the model, serve the page until it is stopped."""
    options = _parser().parse_args(argv)
    from qinsight.page import build_page, launch
    from qinsight.page.host import Host

    host = Host(lambda progress: open_engine(options, progress))
    address = options.host or os.environ.get(
        "GRADIO_SERVER_NAME", "127.0.0.1"
    )  # as Gradio, and Spaces, have it
    only_here = address in ("127.0.0.1", "localhost") and not (options.share or ON_SPACES)
    page = build_page(host, Sampling(options.max_new_tokens), options.max_pixels, local=only_here)
    host.start()
    try:
        launch(
            page,
            server_name=address,
            server_port=options.port,
            share=options.share,
            inbrowser=options.browser and _has_desktop(),
        )
    except OSError as error:
        taken = options.port and "empty port" in str(error)
        words = f"port {options.port} is taken; choose another with --port." if taken else str(error)
        print(f"The page cannot be served: {words}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python app.py",
        description="Rate, diagnose and compare photos with Q-Insight.",
        allow_abbrev=False,
    )
    add_model_flags(parser)
    add = parser.add_argument
    add("--host", default=None, metavar="ADDRESS", help="default: 127.0.0.1; 0.0.0.0 serves the network")
    add("--port", type=_port, default=None, metavar="N", help="default: the first free one from 7860")
    add("--share", action="store_true", help="a public link through Gradio's relay")
    add("--no-browser", dest="browser", action="store_false", help="do not open the browser")
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"expected a port from 1 to 65535, got {text!r}")
    return int(text)


def _has_desktop() -> bool:
    """Whether there is a screen to open a browser on: not on Spaces, not in a bare SSH session."""
    if ON_SPACES:
        return False
    return sys.platform in ("win32", "darwin") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


if __name__ == "__main__":
    sys.exit(main())
