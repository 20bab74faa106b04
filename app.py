"""The page: `python app.py` starts it, and opens it in the browser on a desktop."""

from qinsight.stopping import stop_with_a_line

if __name__ == "__main__":
    stop_with_a_line()  # before what takes long is imported

import argparse
import difflib
import importlib.util
import os
import secrets
import sys
import webbrowser
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

# Before Gradio is imported: it reads these while it is.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ["NO_PROXY"] = os.environ["no_proxy"] = ",".join(
    filter(None, [os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), "localhost", "127.0.0.1"])
)

from qinsight.check.named import add_passport_flag, chosen_passport
from qinsight.engines.checkpoint import Device, Progress
from qinsight.errors import QInsightError
from qinsight.flags import add_model_flags, open_engine
from qinsight.keeping import Keep
from qinsight.requests import About, Engine, Sampling
from qinsight.terminal import at_a_terminal
from qinsight.trust.commands import add_calibration_flag, chosen_calibration

if TYPE_CHECKING:
    from qinsight.engines.ability import Ability

ON_SPACES = "SPACE_ID" in os.environ


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags, start to load the model, serve the page until it is stopped."""
    options = _parser().parse_args(argv)
    if options.mcp and importlib.util.find_spec("mcp") is None:
        _say("Expected the package mcp for --mcp, which is not installed. Run: pip install 'gradio[mcp]'")
        return 1
    try:
        passwords = _passwords(options)
        keep = Keep()
    except QInsightError as error:
        _say(str(error))
        return 1
    try:
        return _serve(options, passwords)
    finally:
        keep.delete()


def _passwords(options: argparse.Namespace) -> list[tuple[str, str]] | None:
    """Who may open the page; None where everybody may."""
    if options.auth is None:
        return None
    from qinsight.page.passwords import read_passwords

    if options.mcp:
        raise QInsightError("Expected --auth without --mcp: agents cannot log in, and would not be asked to.")
    return read_passwords(options.auth)


def _serve(options: argparse.Namespace, passwords: list[tuple[str, str]] | None) -> int:
    from qinsight.page import build_page, launch
    from qinsight.page.host import Host
    from qinsight.page.leaving import Ending, leave
    from qinsight.page.passwords import is_open_to_others
    from qinsight.page.recordings import Recordings
    from qinsight.page.visitors import Visitors
    from qinsight.page.zerogpu import AT_ONCE, LentGpu, get_ready, lent

    borrowed = lent() and not options.endpoint
    if borrowed:
        get_ready()

    def open_here(progress: Progress) -> Engine:
        engine = open_engine(options, progress)
        return LentGpu(engine) if borrowed else engine

    at_once: dict[str, Any] = {"at_once": AT_ONCE} if borrowed else {}
    recordings = Recordings(listens=borrowed)  # a model of one's own is asked about what is not on record
    known = partial(chosen_calibration, options)
    host = Host(
        open_here,
        max_pixels=options.max_pixels,
        recordings=recordings,
        calibration=known,
        able=_able,
        passport=partial(chosen_passport, options),
        **at_once,
    )
    address = options.host or os.environ.get(
        "GRADIO_SERVER_NAME", "127.0.0.1"
    )  # as Gradio, and Spaces, have it
    alone = options.local_folders and not (options.share or options.root_path or ON_SPACES)
    token = secrets.token_urlsafe(24) if alone else None
    visitors = Visitors(tuple(options.trust_proxy), ON_SPACES, token, lent=borrowed)
    sampling = Sampling(options.max_new_tokens, repetition_penalty=options.repetition_penalty)
    page = build_page(host, sampling, local=alone)
    if borrowed:
        host.load()  # workers are forked with the weights in place
    else:
        host.start()
    if passwords is None and is_open_to_others(address, options.share) and not ON_SPACES:
        _say("Whoever can reach this page may use it; --auth FILE asks for a name and a password.")
    with Ending(host.line) as ending:
        try:
            _, url, _ = launch(
                page,
                host,
                options.allow_host,
                visitors,
                server_name=address,
                server_port=options.port,
                root_path=options.root_path,
                share=options.share,
                mcp_server=options.mcp,
                auth=passwords,
                prevent_thread_lock=True,
            )
        except BrokenPipeError:
            raise
        except OSError as error:
            taken = options.port and "empty port" in str(error)
            words = f"port {options.port} is taken; choose another with --port." if taken else str(error)
            _say(f"The page cannot be served: {words}")
            return 1
        _open(url, visitors.token, options.browser)
        ending.wait(page)
        leave(page, ending)
    return 0


def _able(about: About) -> "Ability | None":
    """What this computer can do with the published weights, where the preview answers on its processor."""
    if ON_SPACES or not about.preview or about.device == Device.CUDA:
        return None
    from qinsight.engines.ability import ability, this_computer

    return ability(this_computer())


def _open(url: str, token: str | None, browser: bool) -> None:
    """Tell the address that is this computer's own, and open it where there is somebody to look."""
    if token is not None:
        url = f"{url}?token={token}"
        _say(
            f"* At this computer, open:  {url}\n  With it the page may rank folders of this computer, in place."
        )
    if browser and _has_desktop():
        webbrowser.open(url)


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
    add_calibration_flag(parser)
    add_passport_flag(parser)
    add = parser.add_argument
    add("--host", default=None, metavar="ADDRESS", help="default: 127.0.0.1; 0.0.0.0 serves the network")
    add("--port", type=_port, default=None, metavar="N", help="default: the first free one from 7860")
    words = "a name to answer to beside this computer's own, as a proxy in front sends it; may be repeated"
    add("--allow-host", action="append", default=[], metavar="NAME", help=words)
    words = "where a proxy in front has the page, e.g. /q-insight or https://example.org/q-insight"
    add("--root-path", default=None, metavar="PATH", help=words)
    words = "a proxy in front, whose X-Forwarded-For tells visitors apart; an address or a network; may be repeated"
    add("--trust-proxy", action="append", type=_network, default=[], metavar="ADDRESS", help=words)
    words = "nobody may rank folders of this computer, not even the person at it"
    add("--no-local-folders", dest="local_folders", action="store_false", help=words)
    add("--share", action="store_true", help="a public link through Gradio's relay")
    add(
        "--mcp",
        action="store_true",
        help="the API also as tools for agents; needs `pip install 'gradio[mcp]'`",
    )
    words = (
        "a file with name:password on each line, or # and a comment; whoever opens the page is asked for them"
    )
    add("--auth", type=Path, metavar="FILE", help=words)
    add("--no-browser", dest="browser", action="store_false", help="do not open the browser")
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"expected a port from 1 to 65535, got {text!r}")
    return int(text)


def _network(text: str) -> Any:
    from qinsight.page.visitors import trusted

    try:
        return trusted([text])[0]
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


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
    code = at_a_terminal(main)
    os._exit(code)  # whatever threads are still at work
