"""Nobody reaches the server's folders and nobody is taken for another, whatever stands in front of the page."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from qinsight.page.line import Line
from qinsight.page.visitors import ADDRESS, LOCAL, Visitors, trusted
from shared.engines import DIAGNOSIS, SCORE, PatientEngine, PixelEngine, ScriptedEngine
from shared.pages import TOKEN, eventually, served_at_a_port, shows, use
from shared.pictures import photo_file
from shared.proxies import free_port, proxied


def asked(peer: str = "127.0.0.1", query: str = "", **headers: str) -> dict[str, Any]:
    named = {"host": "127.0.0.1:7860"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return {
        "client": (peer, 50_000),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in named.items()],
    }


# --- whose request it is ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "said", "address"),
    [
        ("10.0.0.5", "203.0.113.7", "203.0.113.7"),
        ("10.0.0.5", "6.6.6.6, 203.0.113.7", "203.0.113.7"),  # what stands on the left may be anybody's
        ("10.0.0.5", "203.0.113.7, 10.0.0.9", "203.0.113.7"),  # a second proxy of ours
        ("10.0.0.5", "203.0.113.7:4711", "203.0.113.7"),
        ("10.0.0.5", '"[2001:db8:1:2::7]:80"', "2001:db8:1:2::/64"),
        ("10.0.0.5", "::ffff:203.0.113.7", "203.0.113.7"),
        ("::ffff:10.0.0.5", "203.0.113.7", "203.0.113.7"),
        ("10.0.0.5", "", "10.0.0.5"),
        ("10.0.0.5", "203.0.113.7, unknown", "10.0.0.5"),
        ("10.0.0.5", ", ,", "10.0.0.5"),
        ("10.0.0.5", "10.0.0.8", "10.0.0.5"),
        ("198.51.100.4", "203.0.113.7", "198.51.100.4"),  # forged, from elsewhere
        ("127.0.0.1", "203.0.113.7", ""),
        ("2001:db8:1:2::99", "203.0.113.7", "2001:db8:1:2::/64"),
        ("", "203.0.113.7", ""),
    ],
)
def test_a_visitor_is_the_rightmost_address_that_is_not_a_trusted_proxys(
    peer: str, said: str, address: str
) -> None:
    visitors = Visitors(trusted(["10.0.0.0/8"]))
    assert visitors.address(asked(peer, x_forwarded_for=said)) == address


def test_several_forwarding_headers_are_read_as_one_list() -> None:
    scope = asked("10.0.0.5")
    scope["headers"] += [(b"X-Forwarded-For", b"203.0.113.7"), (b"x-forwarded-for", b"10.0.0.8")]
    assert Visitors(trusted(["10.0.0.0/8"])).address(scope) == "203.0.113.7"


def test_on_spaces_the_network_inside_is_the_proxy_and_a_token_names_its_bearer() -> None:
    def token(**claims: Any) -> str:
        payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        return f"head.{payload}.signature"

    visitors = Visitors(on_spaces=True, token=TOKEN, lent=True)
    assert visitors.address(asked("10.16.3.2", x_forwarded_for="203.0.113.7, 10.16.9.9")) == "203.0.113.7"
    first, later, other = (
        visitors.address(asked("10.16.3.2", x_ip_token=token(user=user, exp=exp)))
        for user, exp in (("one", 1), ("one", 170), ("two", 1))
    )
    assert first == later != other
    assert visitors.address(asked("10.16.3.2", x_ip_token="rubbish")).startswith("token:")
    plain = Visitors(on_spaces=True)  # nobody there takes a forged one away
    forged = asked("10.16.3.2", x_ip_token=token(user="one"), x_forwarded_for="203.0.113.7")
    assert plain.address(forged) == "203.0.113.7"
    assert not visitors.is_local(asked("127.0.0.1", query=f"token={TOKEN}"))


@pytest.mark.parametrize("rubbish", ["proxy", "10.0.0.0/99", "", "1.2.3"])
def test_a_proxy_that_is_no_address_is_refused_in_a_sentence(
    rubbish: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import app

    with pytest.raises(SystemExit) as ended:
        app.main(["--trust-proxy", rubbish])
    assert ended.value.code == 2
    assert "expected an address or a network such as 10.0.0.0/8" in capsys.readouterr().err


# --- who is at this computer -----------------------------------------------------------------------------


def test_with_the_token_from_this_computer_a_request_is_local() -> None:
    visitors = Visitors(token=TOKEN)
    assert visitors.is_local(asked(query=f"token={TOKEN}"))
    assert visitors.is_local(asked("::1", query=f"a=b&token={TOKEN}", host="[::1]:7860"))
    cookie = visitors.cookie(asked(query=f"token={TOKEN}"))
    assert cookie is not None
    assert b"HttpOnly" in cookie
    kept = cookie.split(b";")[0].decode()
    assert visitors.is_local(asked(cookie=f"other=1; {kept}"))
    assert not visitors.is_local(asked(host="127.0.0.1:7861", cookie=kept))  # another page's


FORWARDING = (
    *("x_forwarded_for", "x_forwarded_host", "x_forwarded_proto", "x_forwarded_port", "x_forwarded_prefix"),
    *(
        "x_forwarded_server",
        "forwarded",
        "via",
        "x_real_ip",
        "x_client_ip",
        "x_cluster_client_ip",
        "client_ip",
    ),
    *("true_client_ip", "cf_connecting_ip", "cf_ray", "fastly_client_ip", "x_original_forwarded_for"),
    *("x_envoy_external_address", "x_amzn_trace_id", "x_scheme", "X_FORWARDED_FOR", "Via"),
)


@pytest.mark.parametrize("header", FORWARDING)
@pytest.mark.parametrize("value", ["127.0.0.1", "", "::1"])
def test_what_came_through_a_proxy_is_never_local(header: str, value: str) -> None:
    scope = asked(query=f"token={TOKEN}", **{header: value})
    assert not Visitors(token=TOKEN).is_local(scope)


@pytest.mark.parametrize(
    "scope",
    [
        asked(),
        asked(query="token="),
        asked(query="token=only-at-hom"),
        asked(query="token=%FF%00"),
        asked(query="token=ü"),
        asked(cookie="qinsight-local-7860=wrong"),
        asked(cookie="\x00;;=;" * 50),
        asked("203.0.113.7", query=f"token={TOKEN}"),
        asked("10.0.0.5", query=f"token={TOKEN}"),
        asked(query=f"token={TOKEN}", host="example.org"),
        asked(query=f"token={TOKEN}", host=""),
        {**asked(query=f"token={TOKEN}"), "client": None},
    ],
)
def test_without_the_token_or_from_elsewhere_a_request_is_not_local(scope: dict[str, Any]) -> None:
    visitors = Visitors(token=TOKEN)
    assert not visitors.is_local(scope)
    assert visitors.cookie(scope) is None
    assert not Visitors().is_local({**scope, "query_string": b"token="})


def test_nobody_can_write_what_the_gate_tells() -> None:
    scope = asked("203.0.113.7", x_qinsight_local="yes", X_Qinsight_Address="1.2.3.4")
    Visitors(token=TOKEN).stamp(scope)
    told = [(name, value) for name, value in scope["headers"] if name.lower().startswith(b"x-qinsight")]
    assert told == [(ADDRESS, b"203.0.113.7")]
    scope = asked(query=f"token={TOKEN}")
    Visitors(token=TOKEN).stamp(scope)
    assert (LOCAL, b"yes") in scope["headers"]


# --- behind a real proxy ---------------------------------------------------------------------------------


@pytest.mark.browser
def test_below_a_path_of_stock_nginx_photos_are_uploaded_streamed_and_stopped(
    visit: Callable[..., Any],
    photo: Path,
    tmp_path: Path,
) -> None:
    engine = PatientEngine(SCORE, ["<think>on ", *["and on "] * 1000])
    front = free_port()
    root = f"http://127.0.0.1:{front}/q-insight"
    with (
        served_at_a_port(engine, root_path=root) as (port, *_),
        proxied(port, tmp_path, front, "/q-insight") as url,
    ):
        missing: list[str] = []
        page = visit(url + "/")
        page.on("response", lambda got: missing.append(got.url) if got.status >= 400 else None)
        page.reload()
        page.wait_for_selector("#headline p:has-text('scripted')")
        use(page, photo, engine)
        assert missing == []
        assert not page.evaluate("Boolean(document.querySelector('link[rel=manifest]'))")


def test_a_stranger_behind_stock_nginx_ranks_no_folder_of_the_server(tmp_path: Path) -> None:
    photo_file(tmp_path, "private.png", Image.new("RGB", (64, 56), (90, 90, 90)))
    engine, front = PixelEngine(), free_port()
    options: dict[str, Any] = {"local": True, "visitors": Visitors(token=TOKEN)}
    (tmp_path / "proxy").mkdir()
    with (
        served_at_a_port(engine, **options) as (port, page, _),
        proxied(port, tmp_path / "proxy", front) as url,
    ):
        turn = next(
            f for f in page.fns.values() if f.name == "turn_to" and f.inputs[0].elem_id == "rank-record"
        )

        def try_to_rank(address: str, **more: Any) -> str:
            data = [{"number": len(tried) + 1}, None, str(tmp_path)]
            tried.append(address)
            body = {"data": data, "fn_index": turn._id, "session_hash": "stranger"}
            headers = {"x-gradio-user": "app", "origin": address} | more.pop("headers", {})
            answer = httpx.post(f"{address}/gradio_api/run/predict", json=body, headers=headers, **more)
            return json.dumps(answer.json())

        tried: list[str] = []
        home = f"http://127.0.0.1:{port}"
        refusals = [
            try_to_rank(url),
            try_to_rank(url, headers={"x-qinsight-local": "yes"}),
            try_to_rank(url, headers={"host": "127.0.0.1"}),
            try_to_rank(home),
            try_to_rank(home, params={"token": "guessed"}),
            try_to_rank(home, params={"token": TOKEN}, headers={"x-forwarded-for": "127.0.0.1"}),
        ]
        assert all("does not know you" in refusal for refusal in refusals), refusals
        assert "Looking through the photos" in try_to_rank(home, params={"token": TOKEN})
    assert engine.photos == 0
    assert not (tmp_path / "q-insight").exists()


@pytest.mark.browser
def test_the_field_for_a_folder_is_there_for_who_opened_the_printed_address_and_stays_after_a_reload(
    visit: Callable[..., Any],
    tmp_path: Path,
) -> None:
    shoot = tmp_path / "shoot"
    shoot.mkdir()
    photo_file(shoot, "mine.png", Image.new("RGB", (64, 56), (90, 90, 90)))
    with served_at_a_port(PixelEngine(), local=True, visitors=Visitors(token=TOKEN)) as (port, *_):
        home = f"http://127.0.0.1:{port}/"
        stranger = visit(home)
        stranger.get_by_role("tab", name="Shoot").click()
        shows(stranger, "rank-elsewhere", "open the address with a token")
        assert not stranger.locator("#rank-path").is_visible()
        page = visit(f"{home}?token={TOKEN}")
        eventually(lambda: "token" not in page.evaluate("location.href"))  # it is not shown to who looks on
        page.reload()
        page.get_by_role("tab", name="Shoot").click()
        page.locator("#rank-path textarea, #rank-path input").first.fill(str(shoot))
        page.locator("#rank").click()
        shows(page, "rank-status", "1 photos rated.")
    assert (shoot / "q-insight" / "results.jsonl").exists()


def test_a_proxy_that_holds_answers_back_gives_them_whole(tmp_path: Path, photo: Path) -> None:
    front = free_port()
    with (
        served_at_a_port(ScriptedEngine(SCORE)) as (port, *_),
        proxied(port, tmp_path, front, "/below", buffered=True) as url,
    ):
        uri = "data:image/png;base64," + base64.b64encode(photo.read_bytes()).decode()
        event = httpx.post(f"{url}/gradio_api/call/score", json={"data": [uri]}).json()["event_id"]
        answer = httpx.get(f"{url}/gradio_api/call/score/{event}", timeout=30).text
        assert '"rating": 4.25' in answer
        for _ in range(3):  # a probe
            assert httpx.get(f"{url}/healthz").status_code == 200


def test_visitors_behind_a_trusted_proxy_have_a_share_of_the_line_each(tmp_path: Path, photo: Path) -> None:
    engine, front = PatientEngine(["<think>on ", *["and on "] * 10_000]), free_port()
    visitors = Visitors(trusted(["127.0.0.0/8"]))
    with (
        served_at_a_port(engine, Line(each=1), visitors=visitors) as (port, _, host),
        proxied(port, tmp_path, front, forwarded=True) as url,
    ):

        def ask(address: str, to: str = url) -> int:
            uri = "data:image/png;base64," + base64.b64encode(photo.read_bytes()).decode()
            headers = {"x-forwarded-for": address}
            answer = httpx.post(f"{to}/gradio_api/call/score", json={"data": [uri]}, headers=headers)
            return answer.status_code

        line = host.line
        # nginx adds 127.0.0.1, which is the proxy's own
        for count, address in enumerate(("203.0.113.7", "203.0.113.8", "2001:db8::1"), start=1):
            assert ask(address) == 200
            eventually(lambda count=count: len(line) == count)  # type: ignore[misc]
        assert ask("203.0.113.7") == 429
        assert ask("6.6.6.6, 203.0.113.8") == 429  # forged on the left
        assert ask("2001:db8::2") == 429  # of the same household
        line.stop_all()


def test_without_trust_a_forged_header_makes_nobody_somebody_else(photo: Path) -> None:
    engine = PatientEngine(["<think>on ", *["and on "] * 10_000])
    with served_at_a_port(engine, visitors=Visitors()) as (port, _, host):
        seen = set()
        for address in ("203.0.113.7", "203.0.113.8", "", "rubbish", "::1"):
            headers = {"x-forwarded-for": address, "x-real-ip": address, "forwarded": f"for={address}"}
            uri = "data:image/png;base64," + base64.b64encode(photo.read_bytes()).decode()
            url = f"http://127.0.0.1:{port}/gradio_api/call/score"
            assert httpx.post(url, json={"data": [uri]}, headers=headers).status_code == 200
        eventually(lambda: len(host.line) == 5)
        seen = {job.address for job in host.line._jobs}
        assert seen == {""}
        host.line.stop_all()


# --- ready and alive -------------------------------------------------------------------------------------


def test_a_probe_learns_whether_questions_are_answered_and_nothing_else(capfd: Any) -> None:
    with served_at_a_port(ScriptedEngine(SCORE, DIAGNOSIS)) as (port, _, host):
        url = f"http://127.0.0.1:{port}/healthz"
        for headers in ({}, {"host": "pod-7.internal"}):
            answer = httpx.get(url, headers=headers)
            assert (answer.status_code, answer.json()) == (200, {"status": "ready"})
        host.line.close()
        assert httpx.get(url).status_code == 503
        answer = httpx.post(f"http://127.0.0.1:{port}/gradio_api/call/score", json={"data": ["x"]})
        assert answer.status_code == 503
        assert answer.json() == {"detail": "The page is closing. Please ask again when it is back."}
        host.line.closed = False
        host._engine, host._error = None, "secret path"
        answer = httpx.get(url)
        assert (answer.status_code, answer.json()) == (503, {"status": "failed"})
        host._ready.clear()
        assert httpx.get(url).json() == {"status": "loading"}
