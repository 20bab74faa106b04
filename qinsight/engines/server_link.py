"""A chat server: where it is, what it says of itself, and the sentences for what goes wrong with it.

A key goes to the host that the person named, and to no other; neither it nor what stands behind the `?` of an
address is ever shown.
"""

import html
import ipaddress
import json
import logging
import os
import re
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import unquote_plus

import httpx2

from qinsight.engines.server_events import LONGEST_EVENT
from qinsight.errors import EngineError
from qinsight.hosts import loopback
from qinsight.sentence import Sentence

KEY_VARIABLES = ("QINSIGHT_API_KEY", "OPENAI_API_KEY")
BUSY = {408, 409, 425, 429, 500, 502, 503, 504, 529}  # worth another try
MOVED = {301, 302, 307, 308}
MOST_MOVES = 5
PROPS = 5.0  # seconds for what only llama.cpp has to say
WHOLE_TEXT = {"vllm", "sglang"}  # they apply a repetition penalty to everything

logging.getLogger("httpx2").setLevel(logging.WARNING)  # at INFO it tells every address, with its secrets


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server, in seconds, and how often to ask it.

    `pause` is the wait before the second try; it doubles with each, and a server's own Retry-After goes first.
    """

    connect: float = 10.0
    first_token: float = 300.0  # a busy server reads other people's photos first
    between_tokens: float = 60.0
    whole_reply: float = 900.0  # where it comes in one piece
    tries: int = 5
    pause: float = 0.5


class Hopeless(EngineError):
    """A failure that would meet every other request too."""


@dataclass(frozen=True)
class Served:
    """A model that a server tells of: its names, the first of them its own, and where its weights lie there."""

    names: tuple[str, ...]
    owner: str = ""
    root: str = ""


class Server:
    """One server, asked about itself with `served` and `slots`."""

    def __init__(self, url: str, api_key: str | None, patience: Patience) -> None:
        self.address = _address(url)
        self.patience = patience
        key = _key(api_key)
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.model = ""
        self.known: list[Served] = []
        self._moved: dict[str, httpx2.URL] = {}
        self._secrets = sorted(filter(None, {key, *_secrets(self.address)}), key=len, reverse=True)

    @property
    def host(self) -> str:
        return self.address.netloc.decode("ascii")  # without a name or password in the address

    @property
    def is_here(self) -> bool:
        return loopback(self.address.host)

    @property
    def is_near(self) -> bool:
        """This machine or its network, where megabytes cost less than the time to compress them."""
        try:
            return ipaddress.ip_address(self.address.host).is_private
        except ValueError:
            return "." not in self.address.host

    def url(self, path: str) -> httpx2.URL:
        """Where to ask for `path`: below the address, before its `?`, or where the server sent us last time."""
        return self._moved.get(path) or _below(self.address, path)

    def connection(self) -> dict[str, Any]:
        """What every HTTP client is made with. A proxy is not asked for this very machine."""
        return {
            "headers": self.headers,
            "verify": _certificates(),
            "timeout": httpx2.Timeout(None, connect=self.patience.connect),
            "trust_env": not self.is_here,
        }

    # --- what it says of itself

    def client(self) -> httpx2.Client:
        """A client for `served` and `slots`."""
        return httpx2.Client(**self.connection())

    def served(self, client: httpx2.Client, named: bool) -> list[Served]:
        """The models the server tells of. Where we have a name already, what it does not tell stops nothing:
        hosts that list none answer all the same, and the first question shows whether there is a server.
        """
        try:
            status, found = self._get(client, "/models", self.patience.between_tokens)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise self.nobody_there() from error
        except Hopeless:  # a log-in page elsewhere
            if named:
                return []
            raise
        except httpx2.RequestError as error:
            if named:
                return []
            raise EngineError(
                "The server at {host} did not say which models it has ({cause}).",
                host=self.host,
                cause=self.cause(error),
            ) from error
        models = _models(found) if status == 200 else None
        if models is None and named:
            return []
        if models is None and status in (200, 400, 404, 405, 501):
            raise Hopeless(
                "{said} If it only lists no models, name one with --model.", said=self.not_a_server()
            )
        if models is None:
            raise self.refusal(status, found)
        self.known = models
        return models

    def slots(self, client: httpx2.Client) -> int:
        """How many questions llama.cpp answers at a time, 0 where nobody says so."""
        try:
            status, found = self._get(client, "/props", PROPS, moves=0)
            slots = json.loads(found)["total_slots"] if status == 200 else 0
        except (httpx2.RequestError, EngineError, ValueError, KeyError, TypeError):
            return 0
        return slots if isinstance(slots, int) and slots > 0 else 0

    def _get(
        self, client: httpx2.Client, path: str, seconds: float, moves: int = MOST_MOVES
    ) -> tuple[int, bytes]:
        deadline = time.monotonic() + seconds
        timeout = httpx2.Timeout(seconds, connect=self.patience.connect)
        for move in range(moves + 1):
            with client.stream("GET", self.url(path), timeout=timeout) as answer:
                if not (moves and self.moved(path, answer, move)):
                    return answer.status_code, _read(answer, deadline)
        raise self.circle()

    # --- where it sends us

    def moved(self, path: str, answer: httpx2.Response, moves: int) -> bool:
        """Whether the same question, moved so often already, is to be asked elsewhere on this host.

        `EngineError` if on another host.
        """
        where = answer.headers.get("location", "")
        if answer.status_code in (404, 405, 410) and path in self._moved and not moves:
            del self._moved[path]  # it no longer is where we were sent
            return True
        if answer.status_code not in MOVED or not where:
            return False
        here = answer.request.url
        try:
            there = here.join(where)
        except httpx2.InvalidURL:
            return False
        if not _same_host(here, there):
            raise Hopeless(
                "The server at {host} sends us to another, {there}; if that is the right one, give its address to --endpoint.",
                host=self.host,
                there=_base(there),
            )
        query = there.query or here.query
        self._moved[path] = there.copy_with(
            raw_path=there.raw_path.partition(b"?")[0] + (b"?" + query if query else b""),
            userinfo=here.userinfo,
        )
        return True

    # --- sentences

    def nobody_there(self) -> EngineError:
        return Hopeless(
            "Nobody answers at {host}; is the server running, and is the address right?", host=self.host
        )

    def not_a_server(self, words: str = "") -> EngineError:
        said = Sentence(" (it says: {words})", words=words) if words else ""
        return Hopeless(
            "What answers at {address} is no OpenAI-compatible server{said}; expected an address like http://host:8000/v1.",
            address=_base(self.address),
            said=said,
        )

    def circle(self) -> EngineError:
        return Hopeless("The server at {host} sends us in a circle; is the address right?", host=self.host)

    def refusal(self, status: int, body: bytes) -> EngineError:
        """The sentence for a status that is no success."""
        words = self.words(body)
        said = f": {words}" if words else ""
        if status in (401, 403):
            return Hopeless(
                "The server at {host} wants another API key (status {status}{said}); set {variable} to one it knows.",
                host=self.host,
                status=status,
                said=said,
                variable=KEY_VARIABLES[0],
            )
        if status == 404 and words and self.model and self.model in words:
            has = Sentence(" (it has {models})", models=listed(self.known)) if self.known else ""
            return Hopeless(
                "The server at {host} has no model {model}{has}: {words}",
                host=self.host,
                model=self.model,
                has=has,
                words=words,
            )
        if status in (404, 405):
            return self.not_a_server(words)
        if status == 413:
            return EngineError(
                "The photo is too large for the server at {host}; try a smaller --max-pixels.", host=self.host
            )
        if status in BUSY:
            return EngineError(
                "The server at {host} is busy or broken (status {status}){said}",
                host=self.host,
                status=status,
                said=said or ".",
            )
        return EngineError(
            "The server at {host} refused the request (status {status}){said}",
            host=self.host,
            status=status,
            said=said or ".",
        )

    def cause(self, error: httpx2.RequestError) -> str:
        return self._without_secrets(str(error) or type(error).__name__)

    def words(self, body: bytes, longest: int = 300) -> str:
        """What a server says about a failure, in one line."""
        words = self._without_secrets(" ".join(said_in(body).split()))
        return words if len(words) <= longest else words[: longest - 1] + "…"

    def _without_secrets(self, words: str) -> str:
        for secret in self._secrets:
            words = words.replace(secret, "…")
        return words


def choose(models: list[Served], model: str | None, host: str) -> str:
    """The one model to ask, as the server spells it. A name that it does not tell of may be known to it."""
    if model is None and not models:
        raise EngineError(
            "The server at {host} lists no model; say which one to ask with --model.", host=host
        )
    if model is None and len(models) > 1:
        raise EngineError(
            "The server at {host} has several models, say which with --model: {models}.",
            host=host,
            models=listed(models),
        )
    if model is None:
        return models[0].names[0]
    if any(model in served.names for served in models):
        return model
    alike = [served.names[0] for served in models if any(_alike(model, name) for name in served.names)]
    return alike[0] if len(alike) == 1 else model


def listed(models: list[Served]) -> str:
    """The names of models, for a sentence."""
    names = [served.names[0] for served in models]
    if len(names) > 10:
        return Sentence("{names} and {count} more", names=", ".join(names[:10]), count=len(names) - 10)
    return ", ".join(names)


def said_in(body: bytes) -> str:
    """The words of a refusal: in the ways of OpenAI, FastAPI, Google and others, of plain text and of web pages."""
    text = body.decode("utf-8", "replace")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return (
            _text_of_page(text) if re.search(r"<(html|!doctype|body|head|title|h1)\b", text, re.I) else text
        )
    return "; ".join(dict.fromkeys(_sentences(found)))


def _sentences(found: Any) -> Iterator[str]:
    if isinstance(found, str):
        yield found
    elif isinstance(found, list):
        for one in found[:5]:
            yield from _sentences(one)
    elif isinstance(found, dict):
        names = ("error", "errors", "message", "msg", "detail", "details", "error_message", "reason", "title")
        told = next((found[name] for name in names if found.get(name)), None)
        where = found.get("loc") or found.get("param")  # the field that is not liked
        place = ".".join(map(str, where)) if isinstance(where, list) else where
        words = list(_sentences(told)) if isinstance(told, str | list | dict) else [json.dumps(found)]
        yield from (f"{place}: {one}" if place and str(place) not in one else one for one in words)


def _text_of_page(page: str) -> str:
    """The title of a web page, else its text."""
    title = re.search(r"<title[^>]*>(.*?)</title>", page, re.DOTALL | re.IGNORECASE)
    if title and title[1].strip():
        return html.unescape(title[1])
    page = re.sub(r"<(script|style)\b.*?</\1\s*>", " ", page, flags=re.DOTALL | re.IGNORECASE)
    return html.unescape(re.sub(r"<[^>]*>", " ", page))


def _read(answer: httpx2.Response, deadline: float) -> bytes:
    found = b""
    for piece in answer.iter_bytes():
        found += piece
        if len(found) > LONGEST_EVENT or time.monotonic() > deadline:
            break
    return found


def _models(body: bytes) -> list[Served] | None:
    """The models of a listing in any of the shapes seen; None for what is no listing."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if isinstance(found, dict):
        places = [name for name in ("data", "models", "result", "items") if name in found]
        if not places:
            return None
        found = next((found[name] for name in places if found[name]), [])
    if isinstance(found, dict):  # by their names
        found = list(found)
    if not isinstance(found, list):
        return None
    models = {served.names[0]: served for served in map(_model, found) if served}
    return list(models.values()) if models or not found else None


def _model(entry: Any) -> Served | None:
    if isinstance(entry, str):
        return Served((entry,)) if entry else None
    if not isinstance(entry, dict):
        return None
    names = [entry.get(name) for name in ("id", "name", "model", "model_name")]
    aliases = entry.get("aliases")
    names = names[: 1 if names[0] else None] + (aliases if isinstance(aliases, list) else [])
    texts = tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name))
    return Served(texts, str(entry.get("owned_by") or ""), str(entry.get("root") or "")) if texts else None


def _alike(one: str, other: str) -> bool:
    """`Q-Insight` and `bytedance/q-insight:latest`."""
    return _bare(one) == _bare(other)


def _bare(name: str) -> str:
    return re.split(r"[/\\]", name.rstrip("/\\").casefold().removesuffix(":latest"))[-1]


def _same_host(here: httpx2.URL, there: httpx2.URL) -> bool:
    """The very same, or the same through TLS. Another port may be another person's."""
    if there.host.lower() != here.host.lower():
        return False
    if (here.scheme, there.scheme) == ("http", "https"):
        return True
    return there.scheme == here.scheme and _port(there) == _port(here)


def _port(url: httpx2.URL) -> int:
    return url.port or {"http": 80, "https": 443}.get(url.scheme, 0)


def _below(address: httpx2.URL, path: str) -> httpx2.URL:
    """The path below an address whose query stays behind it. llama.cpp's own paths stand beside /v1."""
    base, mark, query = address.raw_path.partition(b"?")
    base = base.removesuffix(b"/v1") if path == "/props" else base
    return address.copy_with(raw_path=base + path.encode("ascii") + mark + query)


def _base(url: httpx2.URL) -> str:
    """An address for people to read, and to give to --endpoint: no name, no password, no query."""
    path = _PATHS.sub("", url.raw_path.partition(b"?")[0].decode("ascii"))
    return f"{url.scheme}://{url.netloc.decode('ascii')}{path}"


_PATHS = re.compile(r"(/(chat/completions|completions|models))?/*$")


def _address(url: str) -> httpx2.URL:
    """The address as given, with /v1 where it ends at the host, and without the paths that we add."""
    try:
        address = httpx2.URL(url.strip())
    except httpx2.InvalidURL as error:
        raise EngineError(
            "Expected an address like http://host:8000/v1, got {given!r}.", given=_hidden(url)
        ) from error
    if address.scheme not in ("http", "https") or not address.host:
        raise EngineError("Expected an address like http://host:8000/v1, got {given!r}.", given=_hidden(url))
    path, mark, query = address.raw_path.partition(b"?")
    path = _PATHS.sub("", path.decode("ascii")).encode("ascii")
    return address.copy_with(raw_path=(path or b"/v1") + mark + query, fragment=None)


def _hidden(url: str) -> str:
    """Without what may be a secret in an address that is none."""
    return re.sub(r"//[^/@]*@", "//", url.partition("?")[0])


def _secrets(address: httpx2.URL) -> Iterator[str]:
    """What stands in an address and is not to be shown: the password, and the query but for versions."""
    yield address.password
    for pair in address.query.decode("ascii").split("&"):
        name, _, value = pair.partition("=")
        if len(value) > 3 and "version" not in name.lower():
            yield from (value, unquote_plus(value))


def _key(api_key: str | None) -> str | None:
    found = [key for key in (api_key, *map(os.environ.get, KEY_VARIABLES)) if key and key.strip()]
    if not found:
        return None
    key = found[0].strip()
    if not key.isascii() or not key.isprintable():
        raise EngineError("Expected an API key of plain letters, digits and signs; this one has others.")
    return key


@cache
def _certificates() -> ssl.SSLContext:
    return httpx2.create_ssl_context()  # 20 ms; once is enough
