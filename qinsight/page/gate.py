"""What stands before Gradio: only what the page and its API need comes through, well formed and in bounds.

An ASGI middleware. Gradio trusts what it is sent: private functions answer whoever knows their number, a path
without its type marker is opened wherever it lies, a URL is fetched, a Host header from anywhere is welcome.
"""

import asyncio
import contextlib
import inspect
import json
import math
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from functools import partial
from typing import Any

import gradio as gr
from starlette.requests import Request

from qinsight.errors import PhotoError
from qinsight.hosts import loopback
from qinsight.page.api import AGENTS, NAMES, BadCall, checked, names_of_parameters
from qinsight.page.form import Refused, UploadForm
from qinsight.page.host import Host
from qinsight.page.line import CLOSING, Job, LineFull
from qinsight.page.loupe import SIGN_OF_LIFE, Loupes
from qinsight.page.passwords import Tries
from qinsight.page.uploads import inside_uploads
from qinsight.page.visitors import ADDRESS, Visitors, host_name

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PREFIX = "/gradio_api"
LOUPE = PREFIX + "/loupe/"
LARGEST_LOGIN = 1 << 14
LARGEST_JSON = 2 << 20  # a folder of some thousand uploads, named one by one
LARGEST_CALL = 64 << 20  # photos as data URIs
LARGEST_UPLOAD = 4 << 30  # many files in one request; each has Gradio's own limit
UNFIT = "Expected values that this part of the page can hold."
DEEPEST = 64  # objects in lists in objects
SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}")

PAGE = re.compile(
    r"/(config/?|theme\.css|favicon\.ico|manifest\.json|robots\.txt|login_check/?|pwa_icon(/\d+)?"
    r"|(static|assets|svelte)/.*)?"
)
PICTURE = re.compile(PREFIX + r"/photo/(\d{6,60})/(small|large|file)")
READ = re.compile(
    r"(info/?|openapi\.json|startup-events|theme\.css|app_id/?|user/?|token/?|login_check/?|upload_progress"
    r"|heartbeat/[^/]+|queue/data|call/(v2/)?[^/]+/[^/]+|file=.*|mcp(/.*)?)"
)
WRITTEN = re.compile(r"(upload|queue/join|cancel|reset/?|run/predict/?|call/(v2/)?[^/]+/?|mcp(/.*)?)")
CALL = re.compile(r"call/(v2/)?([^/]+)/?")
ENDING = re.compile(r"cancel|reset/?")  # what a page that closes still does for its visitors
LOGIN = re.compile(r"/login/?")
LOGOUT = re.compile(r"/logout/?")
WATCHED = re.compile(r"call/(?:v2/)?[^/]+/([^/]+)")

HEADERS = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"same-origin")]
FILE_HEADERS = [
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"),
    (b"cache-control", b"private, no-store"),
]


class Gate:
    """Passes on to `app` what is allowed for the `page`; tells the `line` who left.

    `hosts` are the names under which the page may be asked for, None for any. What the loupes ask, it answers.
    """

    def __init__(
        self,
        app: App,
        page: gr.Blocks,
        host: Host,
        hosts: Iterable[str] | None,
        visitors: Visitors,
        loupes: Loupes,
    ) -> None:
        self.app, self.page, self.host, self.line, self.visitors = app, page, host, host.line, visitors
        self.loupes = loupes
        self.hosts = None if hosts is None else {name.lower() for name in hosts}
        self._tries = Tries()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # Gradio needs no websockets
            await send({"type": "websocket.close", "code": 1008})
            return
        self.visitors.stamp(scope)
        headers, path = dict(scope["headers"]), _path(scope)
        if path == "/healthz":
            await self._tell_health(send)
            return
        try:
            self._check_host(headers)
            if path.startswith(LOUPE) and scope["method"] == "GET":
                self._check_signed_in(scope)
                await self._tell_loupe(path.removeprefix(PREFIX + "/"), headers[ADDRESS], send)
                return
            if scope["method"] == "GET" and (asked := PICTURE.fullmatch(path)):
                await self._show(scope, asked[1], asked[2], send)
                return
            receive, form = await self._admitted(scope, headers, path, receive)
            await self._served(scope, path, receive, send, form)
        except Refused as refusal:
            await _answer(send, refusal.status, _told(refusal, path))

    # --- who and what may pass ---------------------------------------------------------------------------

    def _check_host(self, headers: dict[bytes, bytes]) -> None:
        """A page of this computer answers to this computer's names only, whatever a foreign site's DNS says."""
        if self.hosts is None:
            return
        host = host_name(headers.get(b"host", b"").decode("latin-1"))
        if host not in self.hosts and not loopback(host):
            raise Refused(
                403, "Expected a known host name. Start the page with --allow-host to add this one."
            )

    async def _admitted(
        self, scope: Scope, headers: dict[bytes, bytes], path: str, receive: Receive
    ) -> tuple[Receive, UploadForm | None]:
        """The rest of the request, to be read by Gradio, and the upload in it; `Refused` if it must not see it."""
        method, api = (
            scope["method"],
            path.removeprefix(PREFIX + "/") if path.startswith(PREFIX + "/") else None,
        )
        if method == "OPTIONS":
            return receive, None
        if method in ("GET", "HEAD"):
            leaves = self.page.auth is not None and LOGOUT.fullmatch(path)
            if not (leaves or (PAGE.fullmatch(path) if api is None else READ.fullmatch(api))):
                raise Refused(404, "There is nothing here.")
            self._check_reading(scope, api or "")
            return receive, None
        mcp = api is not None and api.startswith("mcp")
        if method != "POST" and not (mcp and method == "DELETE"):
            raise Refused(405, "Expected GET or POST.")
        if self.page.auth is not None and LOGIN.fullmatch(path):
            if wait := self._tries.again_in(headers[ADDRESS].decode()):
                raise Refused(429, f"Too many logins. Try again in {math.ceil(wait / 60)} minutes.")
            return _replayed(await _read(receive, LARGEST_LOGIN), receive), None
        if api is None or not WRITTEN.fullmatch(api):
            raise Refused(404, "There is nothing here.")
        if self.line.closed and not ENDING.fullmatch(api):
            raise Refused(503, CLOSING)
        if api == "upload":
            _check_length(headers, LARGEST_UPLOAD)
            watched = b"upload_id=" in scope["query_string"]
            form = UploadForm(headers.get(b"content-type", b""), watched=watched)
            return _read_along(form, receive), form
        most = LARGEST_CALL if mcp or CALL.fullmatch(api) or api == "queue/join" else LARGEST_JSON
        body = await _read(receive, most)
        if not mcp:
            body = json.dumps(self._checked(api, _object(body), headers, scope)).encode()
            scope["headers"] = _with_length(scope["headers"], len(body))
        return _replayed(body, receive), None

    def _check_reading(self, scope: Scope, api: str) -> None:
        if api.startswith("file="):
            if re.match(r"file=\s*[a-z][a-z0-9+.-]*:", api, re.IGNORECASE):
                raise Refused(403, "Files of this page only.")
            # Gradio echoes all headers of a range request in its answer.
            scope["headers"] = [one for one in scope["headers"] if one[0].lower() != b"range"]
        watched = self._watched(scope, api)
        if watched is not None and not self._known(watched):
            raise Refused(404, "There is no such question; it may be over.")

    def _watched(self, scope: Scope, api: str) -> str | None:
        """The session or event whose answers this request reads, None for any other request."""
        if api == "queue/data":
            found = re.search(r"(?:^|&)session_hash=([^&]*)", scope["query_string"].decode("latin-1"))
            return found[1] if found else ""
        event = WATCHED.fullmatch(api)
        return event[1] if event else None

    def _known(self, watched: str) -> bool:
        queue = self.page._queue  # Gradio would answer 200, and a traceback in its log
        return (
            watched in queue.pending_messages_per_session
            or watched in queue.event_ids_to_events
            or any(watched in events for events in queue.pending_event_ids_session.values())
        )

    # --- what is in a call -----------------------------------------------------------------------------------

    def _checked(
        self, api: str, body: dict[str, Any], headers: dict[bytes, bytes], scope: Scope
    ) -> dict[str, Any]:
        """The body as Gradio may see it."""
        if api == "cancel" or api.startswith("reset"):
            return self._checked_cancel(body)
        call = CALL.fullmatch(api)
        name = call[2] if call else self._public_name(body)
        if name is None:
            self._check_page_event(body, headers)
            return _without_links(body)
        if name not in NAMES:
            known = ", ".join(f"/{name}" for name in sorted(NAMES))
            raise Refused(404, f"Expected one of {known}; there is no such endpoint.")
        given = body if call and call[1] else body.get("data")
        if not isinstance(given, (list, dict)) or (isinstance(given, dict) and not (call and call[1])):
            raise Refused(422, "Expected a list of values as data.")
        try:
            values = checked(name, given)
        except BadCall as error:
            raise Refused(422, str(error)) from error
        self._check_line(body, scope)
        if call and call[1]:
            return dict(zip(names_of_parameters(name), values, strict=True))
        if call:
            return {"data": values}
        return {**_envelope(body), "data": values}

    def _checked_cancel(self, body: dict[str, Any]) -> dict[str, Any]:
        kinds = {"session_hash": str, "event_id": str, "fn_index": int}
        if any(not isinstance(body.get(name, kind()), kind) for name, kind in kinds.items()):
            raise Refused(422, "Expected session_hash, fn_index and event_id.")
        if event := body.get("event_id"):
            self.line.drop(event)  # a function in a thread would notice only at its next word
            known = self.page._queue.event_ids_to_events.get(event)
            if known is not None:
                # with another number Gradio ends the event but not its task, which then fails
                return {**body, "session_hash": known.session_hash, "fn_index": known.fn._id}
        return body

    def _public_name(self, body: dict[str, Any]) -> str | None:
        """The name of the endpoint that a queue message asks for, None for an event of the page itself."""
        number = body.get("fn_index")
        if number is None or isinstance(number, bool) or not isinstance(number, int):
            raise Refused(422, "Expected fn_index as a whole number.")
        function = self.page.fns.get(number)
        if function is None:
            raise Refused(404, "There is no such function.")
        return str(function.api_name) if function.api_visibility == "public" else None

    def _check_page_event(self, body: dict[str, Any], headers: dict[bytes, bytes]) -> None:
        """The page's own events come from its own script, in a browser."""
        if headers.get(b"x-gradio-user") != b"app" or b"origin" not in headers:
            known = ", ".join(f"/{name}" for name in sorted(NAMES))
            raise Refused(403, f"Expected one of {known}: the other functions are the page's own.")
        _envelope(body)
        function = self.page.fns[body["fn_index"]]
        data = body.get("data")
        if not isinstance(data, list) or len(data) != len(function.inputs):
            raise Refused(422, f"Expected {len(function.inputs)} values as data.")
        if function.fn is None:
            raise Refused(404, "There is no such function.")
        if not _selected(function.fn, body.get("event_data")):
            raise Refused(422, "Expected an object as event_data, with what was selected.")
        for component, value in zip(function.inputs, data, strict=True):
            if not component.stateful:  # what is kept here is not taken from a visitor
                _check_value(component, value)

    def _check_line(self, body: dict[str, Any], scope: Scope) -> None:
        """Room in line, before the call joins it; what a visitor may ask at a time counts by session."""
        session, address = body.get("session_hash"), dict(scope["headers"])[ADDRESS].decode()
        visitor = session if isinstance(session, str) else address
        if (b"x-gradio-user", b"mcp") in scope["headers"]:
            visitor, address = "", AGENTS
        if (refusal := self.line.refusal(Job(visitor, address))) is not None:
            raise Refused(503 if isinstance(refusal, LineFull) else 429, str(refusal))

    async def _tell_health(self, send: Send) -> None:
        """Whether a question would be answered, for whoever watches over this page; no word about it otherwise."""
        host = self.host
        standing = "closing" if self.line.closed else "loading" if host.loading else "failed"
        if host.about is not None and not self.line.closed:
            standing = "ready"
        await _answer(send, 200 if standing == "ready" else 503, standing, key="status")

    async def _tell_loupe(self, api: str, visitor: bytes, send: Send) -> None:
        """What a loupe asks: a photo's facts, a tile of it, or only that it is still looked at."""
        if alive := SIGN_OF_LIFE.fullmatch(api):
            self.loupes.sign_of_life(alive[1].split(","))
            await _send(send, 204, b"text/plain", b"")
            return
        asked = partial(self.loupes.answer, api, visitor.decode(), self.host.max_pixels)
        try:
            kind, body = await asyncio.get_running_loop().run_in_executor(self.loupes.workers, asked)
        except PhotoError as error:
            raise Refused(404, str(error)) from error
        await _send(send, 200, kind, body, FILE_HEADERS)

    async def _show(self, scope: Scope, number: str, kind: str, send: Send) -> None:
        """A picture of a shoot, or a file that was made of it, to whoever was told its number."""
        self._check_signed_in(scope)
        handed = await self.page.lightboxes.handed(number, kind)
        if handed is None:
            raise Refused(404, "There is no such picture; it may be over.")
        cached = [(b"cache-control", b"private, max-age=3600" if kind != "file" else b"private, no-store")]
        length = (b"content-length", str(len(handed.content)).encode())
        headers = [*handed.headers, length, *HEADERS, *FILE_HEADERS[:1], *cached]
        with contextlib.suppress(OSError):
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": handed.content})

    def _check_signed_in(self, scope: Scope) -> None:
        """Pictures of ours are asked for without Gradio, which would look at this."""
        if self.page.auth is None:
            return
        app = self.page.app
        names = (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}")
        if not any(Request(scope).cookies.get(name) in app.tokens for name in names):
            raise Refused(401, "Expected a visitor who has logged in.")

    # --- what comes back -------------------------------------------------------------------------------------

    async def _served(
        self, scope: Scope, path: str, receive: Receive, send: Send, form: UploadForm | None
    ) -> None:
        """Let Gradio answer; who hangs up before the answer is complete gives up his question."""
        api = path.removeprefix(PREFIX + "/")
        watched, complete = self._watched(scope, api), False
        extra = HEADERS + (FILE_HEADERS if api.startswith("file=") else [])
        if path == "/" and (cookie := self.visitors.cookie(scope)) is not None:
            extra = [*extra, (b"set-cookie", cookie)]

        broken = False

        async def sent(message: Message) -> None:
            nonlocal complete, broken
            if form is not None and form.refusal is not None:
                return
            if message["type"] == "http.response.start":
                if LOGIN.fullmatch(path) and message["status"] == 200:
                    self._tries.succeeded(dict(scope["headers"])[ADDRESS].decode())
                if api.startswith("run/predict") and message["status"] == 500:
                    # of values that were sent, not of this server; Gradio's body says nothing, or has a sentence
                    broken, message["status"] = True, 400
                    message["headers"] = [one for one in message["headers"] if one[0] != b"content-length"]
                message["headers"] = [*message.get("headers", []), *extra]
            elif not message.get("more_body"):
                complete = True
            if broken and message.get("body") == b'{"error":null}':
                message["body"] = json.dumps({"error": UNFIT}).encode()
            await send(message)

        try:
            await self.app(scope, receive, sent)
        finally:
            if watched and not complete:
                self.line.drop(watched)
        if form is not None and form.refusal is not None:
            raise form.refusal


def _path(scope: Scope) -> str:
    """The path as the routes see it, without the prefix a proxy may have."""
    path, root = scope["path"], scope.get("root_path", "").rstrip("/")
    return path[len(root) :] if root and path.startswith(root + "/") else path


def _check_length(headers: dict[bytes, bytes], most: int) -> None:
    length = headers.get(b"content-length", b"")
    if not length.isdigit():
        raise Refused(411, "Expected a Content-Length.")
    if int(length) > most:
        raise Refused(413, f"Expected at most {most >> 20} MB.")


async def _read(receive: Receive, most: int) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "The request was cut short.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            raise Refused(413, f"Expected at most {most >> 20} MB of JSON; upload photos first.")
        if not message.get("more_body"):
            return b"".join(parts)


def _read_along(form: UploadForm, receive: Receive) -> Receive:
    async def read() -> Message:
        message = await receive()
        if message["type"] == "http.request":
            form.read(message.get("body", b""), bool(message.get("more_body")))
        return message

    return read


def _replayed(body: bytes, receive: Receive) -> Receive:
    told = False

    async def replay() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body, with finite numbers, not too deep."""
    try:
        found = json.loads(body, parse_constant=_not_a_number)
        json.dumps(found, ensure_ascii=False).encode()  # half a character passes the parser
    except (ValueError, RecursionError) as error:
        raise Refused(400, "Expected JSON.") from error
    if not isinstance(found, dict):
        raise Refused(422, "Expected a JSON object.")
    _check_depth(found)
    return found


def _not_a_number(word: str) -> Any:
    raise ValueError(word)


def _check_depth(value: Any) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise Refused(422, "Expected JSON of fewer levels.")
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one if isinstance(one, list) else ())
        ]


def _selected(fn: Callable[..., Any], event: Any) -> bool:
    """Whether the event's data are those that the function reads."""
    if gr.SelectData not in (one.annotation for one in inspect.signature(fn).parameters.values()):
        return event is None or isinstance(event, dict | list)  # of files that were chosen, a list
    index = event.get("index") if isinstance(event, dict) else None
    return isinstance(index, int) and not isinstance(index, bool) and "value" in event


def _check_value(component: Any, value: Any) -> None:
    """Whether the component can hold the value: Gradio would fail, and write the value to its log."""
    try:
        if component.data_model is not None and value is not None:
            value = component.data_model.model_validate(value, context={"validate_meta": True})
        if component.preprocess(value) is None and isinstance(component, gr.Dataset):
            raise Refused(422, UNFIT)
    except Refused:
        raise
    except Exception as error:  # each component fails in its own way over a forged value
        raise Refused(422, UNFIT) from error


def _envelope(body: dict[str, Any]) -> dict[str, Any]:
    """A queue message's own fields, all of their kinds; the rest is dropped."""
    session = body.get("session_hash")
    if not isinstance(session, str) or not SESSION.fullmatch(session):
        raise Refused(422, "Expected a session_hash of letters and digits.")
    trigger = body.get("trigger_id")
    if trigger is not None and not isinstance(trigger, int):
        raise Refused(422, "Expected trigger_id as a whole number.")
    kept = ("session_hash", "fn_index", "trigger_id", "event_data", "data")
    return {name: body[name] for name in kept if name in body}


def _without_links(body: dict[str, Any]) -> dict[str, Any]:
    """The message with files of the upload folder only, by their path: no URL is ever fetched."""
    body = _envelope(body)
    for file in _files(body):
        path = file.get("path")
        if path is not None and not (isinstance(path, str) and inside_uploads(path)):
            raise Refused(422, "Expected an uploaded file. Please upload the file again.")
        file.pop("url", None)
        file["is_stream"] = False
    return body


def _files(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "path" in value or "url" in value:
            yield value
        for inner in value.values():
            yield from _files(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _files(inner)


def _with_length(headers: list[tuple[bytes, bytes]], length: int) -> list[tuple[bytes, bytes]]:
    kept = [one for one in headers if one[0].lower() not in (b"content-length", b"transfer-encoding")]
    return [*kept, (b"content-length", str(length).encode())]


def _told(refusal: Refused, path: str) -> Any:
    """The sentence; where Gradio's clients expect its validators' form, in that."""
    words = str(refusal)
    if refusal.status != 422 or path != PREFIX + "/queue/join":
        return words
    return [{"__type__": "validate", "is_valid": False, "message": words, "parameter_name": "call"}]


async def _answer(send: Send, status: int, detail: Any, key: str = "detail") -> None:
    await _send(send, status, b"application/json", json.dumps({key: detail}).encode())


async def _send(
    send: Send, status: int, kind: bytes, body: bytes, extra: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    length = [(b"content-length", str(len(body)).encode())] if status != 204 else []
    headers = [(b"content-type", kind), *length, *HEADERS, *extra]
    with contextlib.suppress(OSError):
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
