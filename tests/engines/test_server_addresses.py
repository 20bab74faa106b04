"""A working server is asked wherever it is and whatever it calls its models; a key goes to no other host."""

import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest

from qinsight.engines.server import EndpointEngine, RequestsFailed
from qinsight.errors import EngineError
from shared.chat_server import (
    QUICK,
    SCORED,
    Act,
    Server,
    connect,
    hangs_after,
    refuses,
    running,
    says,
    score,
    texts,
)

pytestmark = pytest.mark.usefixtures("no_key_and_no_thread_is_left")

WORDS = {0: "".join(SCORED)}


def lists(found: Any) -> Act:
    return refuses(200, json.dumps(found), "Content-Type: application/json\r\n")


def asks(server: Server, **options: Any) -> EndpointEngine:
    engine = connect(server, **options)
    assert texts(engine.stream(score())) == WORDS
    assert texts(engine.stream(score(), watched=False)) == WORDS
    return engine


def sends_on(status: int, where: str) -> Act:
    return refuses(status, "", f"Location: {where}\r\n")


# --- the list of models -------------------------------------------------------------------------------------------

LISTINGS = [
    {"object": "list", "data": [{"id": "q"}]},
    {"data": [{"name": "q"}]},
    {"data": [{"model": "q"}]},
    {"data": [None, 3, {"id": "q"}, {"size": 7}, ""]},
    {"models": [{"name": "q", "size": 7}]},
    {"models": ["q"]},
    {"data": None, "models": [{"model": "q"}]},
    {"data": {"q": {"size": 7}}},
    [{"id": "q"}],
    [{"id": "q", "object": "model"}, {"id": "q"}],
    ["q"],
]
UNREADABLE = [None, {}, 7, "q", [7], {"data": [{"size": 7}]}, {"error": "no"}]


@pytest.mark.parametrize("found", LISTINGS, ids=json.dumps)
@pytest.mark.parametrize("model", [None, "q", "other"])
def test_a_list_of_models_is_read_in_any_shape(found: Any, model: str | None) -> None:
    with running(says(*SCORED)) as server:
        server.models = lists(found)
        assert asks(server, model=model).about.name == (model or "q")
    assert {body["model"] for body in server.bodies} == {model or "q"}


@pytest.mark.parametrize(
    "listing",
    [
        *(lists(found) for found in UNREADABLE),
        lists({"data": []}), lists({"data": None}), lists({"models": []}), lists([]),
        *(refuses(status, '{"detail": "Not Found"}') for status in (400, 401, 403, 404, 405, 429, 500, 501, 503)),
        refuses(200, "<html>hello</html>"), refuses(200, ""), refuses(404, "<html>no</html>"),
        sends_on(302, "/login"), refuses(204, ""),
    ],
)  # fmt: skip
def test_a_named_model_is_asked_whatever_the_list_says(listing: Act) -> None:
    with running(says(*SCORED)) as server:
        server.models = listing
        assert asks(server, model="q").about.name == "q"


@pytest.mark.parametrize("found", UNREADABLE, ids=json.dumps)
def test_without_a_name_a_list_that_cannot_be_read_is_told_and_what_to_do(found: Any) -> None:
    with running(says(*SCORED)) as server:
        server.models = lists(found)
        with pytest.raises(EngineError, match=r"no OpenAI-compatible server; .* name one with --model\."):
            connect(server)


@pytest.mark.parametrize("status", [400, 404, 405, 501])
def test_without_a_name_a_list_that_is_not_there_is_told_and_what_to_do(status: int) -> None:
    with running(says(*SCORED)) as server:
        server.models = refuses(status, '{"detail": "Not Found"}')
        with pytest.raises(EngineError, match=r"name one with --model\."):
            connect(server)


@pytest.mark.parametrize(
    ("named", "served", "asked"),
    [
        ("q-insight", ["q-insight:latest"], "q-insight:latest"),
        ("q-insight:latest", ["q-insight"], "q-insight"),
        ("Q-Insight", ["q-insight"], "q-insight"),
        ("ByteDance/Q-Insight", ["q-insight"], "q-insight"),
        ("q-insight", ["bytedance/q-insight", "other"], "bytedance/q-insight"),
        ("Q-Insight", ["hub/bytedance/q-insight:latest"], "hub/bytedance/q-insight:latest"),
        ("q-insight", ["a/q-insight", "b/q-insight"], "q-insight"),  # which of them, the server may know
        ("q-insight", ["a/q-insight", "q-insight"], "q-insight"),
        ("q-insight", ["q-insight:7b"], "q-insight"),
        ("lora", ["base"], "lora"),
    ],
)
def test_a_name_that_the_list_spells_otherwise_is_asked_as_it_spells_it(
    named: str, served: list[str], asked: str
) -> None:
    with running(says(*SCORED)) as server:
        server.models = lists({"data": [{"id": name} for name in served]})
        asks(server, model=named)
    assert {body["model"] for body in server.bodies} == {asked}


def test_the_aliases_of_a_model_are_names_of_it() -> None:
    with running(says(*SCORED)) as server:
        server.models = lists({"data": [{"id": "/models/q.gguf", "aliases": ["q", "r"]}, {"id": "other"}]})
        assert asks(server, model="r").about.name == "r"


@pytest.mark.parametrize(
    "said",
    [
        {"error": {"message": "model 'b' not found, try pulling it first", "code": 404}},
        {"error": "model 'b' not found, try pulling it first"},
        {"detail": "model 'b' not found, try pulling it first"},
        {"message": "model 'b' not found, try pulling it first"},
        [{"error": {"message": "model 'b' not found, try pulling it first"}}],
        "model 'b' not found, try pulling it first",
    ],
    ids=json.dumps,
)
def test_a_model_that_the_server_does_not_know_is_refused_in_its_own_words(said: Any) -> None:
    with running(refuses(404, said)) as server:
        engine = connect(server, model="b")
        words = r"has no model b \(it has qinsight\): model 'b' not found, try pulling it first$"
        with pytest.raises(EngineError, match=words):
            texts(engine.stream(score()))
    assert len(server.bodies) == 1


REFUSALS: list[tuple[Any, str]] = [
    ({"error": {"message": "no pictures here", "type": "x", "code": None}}, "no pictures here"),
    ({"error": "no pictures here"}, "no pictures here"),
    ({"detail": "no pictures here"}, "no pictures here"),
    ({"message": "no pictures here"}, "no pictures here"),
    ({"object": "error", "message": "no pictures here", "code": 40001}, "no pictures here"),
    ({"error": {"errors": [{"msg": "no pictures here"}]}}, "no pictures here"),
    ({"errors": ["no pictures here", "none"]}, "no pictures here; none"),
    ({"detail": [{"loc": ["body", "messages", 1], "msg": "no pictures here"}]}, "body.messages.1: no pictures here"),
    ({"error": {"message": "no pictures here", "param": "messages"}}, "messages: no pictures here"),
    ([{"error": {"code": 400, "message": "no pictures here"}}], "no pictures here"),
    ("no\npictures   here", "no pictures here"),
    ("<html><head><title>no pictures &amp; here</title></head><body><h1>x</h1></body></html>", "no pictures & here"),
    ("<!DOCTYPE html><style>p {}</style><body><p>no <b>pictures</b> here</p>", "no pictures here"),
    ({"reason": {"why": "no pictures"}}, '{"why": "no pictures"}'),
]  # fmt: skip


@pytest.mark.parametrize(("said", "told"), REFUSALS, ids=lambda value: json.dumps(value)[:60])
@pytest.mark.parametrize("status", [400, 418, 422])
def test_the_servers_own_refusal_is_told_in_every_shape(said: Any, told: str, status: int) -> None:
    with running(refuses(status, said)) as server, pytest.raises(RequestsFailed) as failed:
        texts(connect(server).stream(score()))
    assert str(failed.value).endswith(f"refused the request (status {status}): {told}")
    assert len(server.bodies) == 1


def test_the_servers_words_about_a_key_are_told() -> None:
    words = r"\(status 403: no access from your country\); set QINSIGHT_API_KEY"
    refusal = refuses(403, {"error": {"message": "no access from your country"}})
    with running(refusal) as server, pytest.raises(EngineError, match=words):
        texts(connect(server).stream(score()))


# --- the address --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "models"),
    [
        ("/v1?api-version=2024-06-01", "/v1/models?api-version=2024-06-01"),
        ("/v1/?api-version=2024-06-01&key=a%2Bb", "/v1/models?api-version=2024-06-01&key=a%2Bb"),
        ("?key=abcd", "/v1/models?key=abcd"),
        ("/?key=abcd", "/v1/models?key=abcd"),
        ("/openai/deployments/q%20i?key=abcd", "/openai/deployments/q%20i/models?key=abcd"),
        ("/v1/chat/completions?key=abcd", "/v1/models?key=abcd"),
        ("/v1/chat/completions", "/v1/models"),
        ("/v1/models/", "/v1/models"),
        ("/v1#part", "/v1/models"),
    ],
)
def test_the_query_of_an_address_stays_behind_the_path_of_every_request(written: str, models: str) -> None:
    with running(says(*SCORED)) as server:
        base = models.partition("/models")[0]
        server.route = lambda method, target: lists({"data": [{"id": "q"}]}) if target == models else None
        engine = EndpointEngine.open(server.url.removesuffix("/v1") + written, patience=QUICK)
        texts(engine.stream(score()))
    query = models.partition("/models")[2]
    assert ("GET", base.removesuffix("/v1") + "/props" + query) in server.targets
    assert server.targets[-1] == ("POST", f"{base}/chat/completions{query}")


SECRET = "s3cr3t+key/42"


def every_sentence(url: str, say: str, log: list[str]) -> Iterator[str]:
    """What a person may hear of a server that repeats whatever it was sent."""
    with running(refuses(418, say), refuses(500, say), refuses(404, say), refuses(401, say)) as server:
        engine = EndpointEngine.open(url.replace("PLACE", server.url.split("/")[2]), patience=QUICK)
        for _ in range(6):
            with pytest.raises(EngineError) as failed:
                texts(engine.stream(score()))
            yield str(failed.value)
        server.models = refuses(404, say)
        with pytest.raises(EngineError) as failed:
            EndpointEngine.open(url.replace("PLACE", server.url.split("/")[2]), patience=QUICK)
        yield str(failed.value)
    with pytest.raises(EngineError) as failed:
        texts(engine.stream(score()))
    yield str(failed.value)
    yield f"{engine.about}"
    yield from log


def test_a_secret_in_the_address_is_sent_and_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    quoted = SECRET.replace("+", "%2B").replace("/", "%2F")
    url = f"http://me:pass-w0rd@PLACE/v1?api-version=2024-06-01&key={quoted}"
    say = json.dumps({"error": f"/v1?key={quoted} and {SECRET} and pass-w0rd of 2024-06-01 are unknown"})
    found = list(every_sentence(url, say, []))
    found += [record.getMessage() for record in caplog.records]
    assert any("2024-06-01 are unknown" in words for words in found)
    for words in found:
        assert not any(secret in words for secret in (SECRET, quoted, "pass-w0rd", "s3cr3t")), words


def test_a_key_that_a_server_repeats_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QINSIGHT_API_KEY", SECRET)
    with running(refuses(400, f"Incorrect key: {SECRET}")) as server, pytest.raises(EngineError) as failed:
        texts(connect(server).stream(score()))
    assert str(failed.value).endswith("Incorrect key: …")


@pytest.mark.parametrize(
    "url", ["ftp://me:secret@host/v1?key=secret", "host/v1?key=secret", "http://?key=secret"]
)
def test_an_address_that_is_none_is_shown_without_its_secrets(url: str) -> None:
    with pytest.raises(EngineError, match="Expected an address like") as failed:
        EndpointEngine.open(url)
    assert "secret" not in str(failed.value)


# --- redirects ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("whole_address", [True, False])
def test_a_redirect_on_the_same_host_is_followed_with_method_body_and_key(
    status: int, whole_address: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QINSIGHT_API_KEY", "mine")
    with running(says(*SCORED)) as server:
        root = server.url.removesuffix("/v1") if whole_address else ""

        def route(method: str, target: str) -> Act | None:
            if target.startswith("/v1/"):
                return sends_on(status, f"{root}/moved{target}")
            return lists({"data": [{"id": "q"}]}) if target == "/moved/v1/models" else None

        server.route = route
        engine = asks(server)
    assert [target for method, target in server.targets if method == "POST"] == [
        "/v1/chat/completions",
        *["/moved/v1/chat/completions"] * 2,  # from then on it is asked there
    ]
    assert [body["model"] for body in server.bodies] == ["q", "q"]
    assert set(server.keys) == {"bearer mine"}
    assert engine.about.name == "q"


def test_a_redirect_keeps_the_query_and_may_bring_its_own() -> None:
    with running(says(*SCORED)) as server:
        wanted = {"/v1/models?key=abcd": "/a/models", "/v1/chat/completions?key=abcd": "/a/chat?key=efgh"}

        def route(method: str, target: str) -> Act | None:
            if target in wanted:
                return sends_on(307, wanted[target])
            return lists({"data": [{"id": "q"}]}) if target == "/a/models?key=abcd" else None

        server.route = route
        assert texts(EndpointEngine.open(f"{server.url}?key=abcd", patience=QUICK).stream(score())) == WORDS
    assert server.targets[-1] == ("POST", "/a/chat?key=efgh")


def test_where_a_server_no_longer_is_it_is_asked_at_its_own_address_again() -> None:
    moved = True
    with running(says(*SCORED)) as server:

        def route(method: str, target: str) -> Act | None:
            if moved and target == "/v1/chat/completions":
                return sends_on(307, "/elsewhere")
            return refuses(404, "gone") if not moved and target == "/elsewhere" else None

        server.route = route
        engine = connect(server)
        assert texts(engine.stream(score())) == WORDS
        moved = False
        assert texts(engine.stream(score())) == WORDS


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_question_and_no_key_goes_to_another_host(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QINSIGHT_API_KEY", "mine")
    with ExitStack() as both:
        ours, theirs = (both.enter_context(running(says(*SCORED))) for _ in range(2))
        port = theirs.url.split(":")[2].removesuffix("/v1")
        for there in (theirs.url, f"http://localhost:{port}/v1", f"//127.0.0.1:{port}/v1"):
            ours.models = sends_on(status, f"{there}/models?x=1")
            words = r"sends us to another, http://[\w.]+:\d+/v1; if that is the right one, give its address"
            with pytest.raises(EngineError, match=words):
                connect(ours)
            ours.models = lists({"data": [{"id": "q"}]})
            ours.route = lambda method, target, there=there: (  # type: ignore[misc]
                sends_on(status, f"{there}/chat/completions") if method == "POST" else None
            )
            with pytest.raises(EngineError, match=words):
                texts(connect(ours).stream(score(20)))
            ours.route = lambda method, target: None
        assert theirs.targets == []
        assert theirs.connections == 0


def test_a_redirect_to_nothing_is_refused_in_the_words_of_what_is_there() -> None:
    with running(says(*SCORED)) as server:
        server.route = lambda method, target: (
            (sends_on(307, "/b") if method == "POST" and target != "/b" else None)
            or (refuses(404, "nothing here") if target == "/b" else None)
        )
        with pytest.raises(EngineError, match=r"no OpenAI-compatible server \(it says: nothing here\)"):
            texts(connect(server).stream(score()))


@pytest.mark.parametrize("named", ["q", None])
def test_a_circle_of_redirects_ends_in_a_sentence(named: str | None) -> None:
    with running(says(*SCORED)) as server:
        server.route = lambda method, target: (
            sends_on(307, "/b" if target != "/b" else "/a") if method == "POST" or not named else None
        )
        with pytest.raises(EngineError, match="sends us in a circle"):
            texts(connect(server, model=named).stream(score()))
    assert len(server.targets) < 12


@pytest.mark.parametrize("headers", ["", "Location: \r\n"])
def test_a_redirect_to_nowhere_is_refused_in_a_sentence(headers: str) -> None:
    words = r"refused the request \(status 307\)"
    with running(refuses(307, "", headers)) as server, pytest.raises(EngineError, match=words):
        texts(connect(server).stream(score()))


@pytest.mark.parametrize(
    ("here", "there", "same"),
    [
        ("http://host/v1/models", "https://host/v1/models", True),
        ("http://host:8000/v1/models", "https://HOST:8443/v1/models", True),
        ("http://host/v1/models", "http://host:80/x", True),
        ("https://host:443/v1/models", "https://host/x", True),
        ("https://host/v1/models", "http://host/v1/models", False),
        ("http://host:8000/v1/models", "http://host:8001/v1/models", False),
        ("http://host/v1/models", "https://host.example/v1/models", False),
        ("http://host/v1/models", "https://host@other/v1/models", False),
        ("http://host/v1/models", "ftp://host/v1/models", False),
    ],
)
def test_the_same_host_through_tls_is_the_same_and_back_to_plain_is_not(
    here: str, there: str, same: bool
) -> None:
    from qinsight.engines.server_link import Server as Known

    server = Known(here, None, QUICK)
    answer = httpx2.Response(308, headers={"Location": there}, request=httpx2.Request("GET", here))
    if same:
        assert server.moved("/models", answer, 0)
        assert str(server.url("/models")).lower() == there.replace(":80/", "/").lower()
    else:
        with pytest.raises(EngineError, match="sends us to another"):
            server.moved("/models", answer, 0)


def test_a_server_that_hangs_over_its_props_is_asked_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qinsight.engines.server_link.PROPS", 0.2)
    with running(says(*SCORED)) as server:
        server.props = hangs_after()
        assert connect(server).about.in_flight == 64
