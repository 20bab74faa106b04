"""The page: `python app.py` starts it, and opens it in the browser on a desktop."""

import argparse
import atexit
import difflib
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from typing import NoReturn

# Before Gradio is imported: it reads these while it is.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ["NO_PROXY"] = os.environ["no_proxy"] = ",".join(
    filter(None, [os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), "localhost", "127.0.0.1"])
)

from qinsight.checkpoint import Progress
from qinsight.flags import add_model_flags, open_engine
from qinsight.requests import Engine, Sampling

ON_SPACES = "SPACE_ID" in os.environ


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags, start to load the model, serve the page until it is stopped."""
    options = _parser().parse_args(argv)
    if options.mcp and importlib.util.find_spec("mcp") is None:
        _say("Expected the package mcp for --mcp, which is not installed. Run: pip install 'gradio[mcp]'")
        return 1
    _own_upload_folder()
    from qinsight.page import build_page, launch
    from qinsight.page.background import loopback
    from qinsight.page.host import Host
    from qinsight.page.recordings import Recordings
    from qinsight.page.zerogpu import AT_ONCE, LentGpu, get_ready, lent

    borrowed = lent() and not options.endpoint
    if borrowed:
        get_ready()

    def open_here(progress: Progress) -> Engine:
        engine = open_engine(options, progress)
        return LentGpu(engine) if borrowed else engine

    host = Host(open_here, recordings=Recordings(), at_once=AT_ONCE) if borrowed else Host(open_here)
    address = options.host or os.environ.get(
        "GRADIO_SERVER_NAME", "127.0.0.1"
    )  # as Gradio, and Spaces, have it
    alone = not (options.share or options.root_path or options.allow_host or ON_SPACES)
    page = build_page(
        host, Sampling(options.max_new_tokens), options.max_pixels, local=alone and loopback(address)
    )
    if borrowed:
        host.load()  # workers are forked with the weights in place
    else:
        host.start()
    try:
        launch(
            page,
            options.allow_host,
            server_name=address,
            server_port=options.port,
            root_path=options.root_path,
            share=options.share,
            mcp_server=options.mcp,
            inbrowser=options.browser and _has_desktop(),
        )
    except OSError as error:
        taken = options.port and "empty port" in str(error)
        words = f"port {options.port} is taken; choose another with --port." if taken else str(error)
        _say(f"The page cannot be served: {words}")
        return 1
    return 0


class _Parser(argparse.ArgumentParser):
    """Says which flags there are when one is unknown."""

    def error(self, message: str) -> NoReturn:
        flags = sorted(flag for action in self._actions for flag in action.option_strings if flag[1] == "-")
        unknown = message.removeprefix("unrecognized arguments: ")
        if unknown != message:
            first = unknown.split()[0].partition("=")[0]
            near = difflib.get_close_matches(first, flags, 1)
            guess = f" Did you mean {near[0]}?" if near else ""
            message = f"expected one of {', '.join(flags)}; got {first}.{guess}"
        super().error(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python app.py",
        description="Rate, diagnose and compare photos with Q-Insight.",
        allow_abbrev=False,
    )
    add_model_flags(parser)
    add = parser.add_argument
    add("--host", default=None, metavar="ADDRESS", help="default: 127.0.0.1; 0.0.0.0 serves the network")
    add("--port", type=_port, default=None, metavar="N", help="default: the first free one from 7860")
    words = "a name to answer to beside this computer's own, as a proxy in front sends it; may be repeated"
    add("--allow-host", action="append", default=[], metavar="NAME", help=words)
    words = "where a proxy in front has the page, e.g. /q-insight or https://example.org/q-insight"
    add("--root-path", default=None, metavar="PATH", help=words)
    add("--share", action="store_true", help="a public link through Gradio's relay")
    add(
        "--mcp",
        action="store_true",
        help="the API also as tools for agents; needs `pip install 'gradio[mcp]'`",
    )
    add("--no-browser", dest="browser", action="store_false", help="do not open the browser")
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"expected a port from 1 to 65535, got {text!r}")
    return int(text)


def _own_upload_folder() -> None:
    """Uploads in a folder of this page, which is cleaned every minute and gone when it ends."""
    if "GRADIO_TEMP_DIR" not in os.environ:
        folder = os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix="qinsight-uploads-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)


def _has_desktop() -> bool:
    """Whether there is a screen to open a browser on: not on Spaces, not in a bare SSH session."""
    if ON_SPACES:
        return False
    return sys.platform in ("win32", "darwin") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
