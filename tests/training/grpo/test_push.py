"""Whether a run may be pushed is asked of the hub before anything is trained: a hub of our own on this machine."""

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import huggingface_hub.constants
import pytest
from huggingface_hub import HfApi

from training.grpo import hub
from training.grpo import run as grpo
from training.grpo.recipe import RecipeError, parse


class Hub(http.server.BaseHTTPRequestHandler):
    """Knows one token, whose owner may write below their own name."""

    made: list[str]

    def do_GET(self) -> None:
        if self.path.startswith("/api/models"):
            return self._send({"error": "Repository not found"}, 404)
        if self.headers.get("Authorization") == "Bearer hf_good":
            return self._send({"name": "ann", "type": "user"}, 200)
        self._send({"error": "Invalid username or password."}, 401)

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        owner = asked.get("organization") or "ann"
        if owner != "ann":
            return self._send(
                {"error": "You don't have the rights to create a model under this namespace"}, 403
            )
        self.made.append(f"{owner}/{asked['name']}")
        self._send({"url": f"https://huggingface.co/{owner}/{asked['name']}"}, 200)

    def _send(self, told: dict[str, Any], code: int) -> None:
        body = json.dumps(told).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The repositories that the hub made."""
    found: list[str] = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Ours", (Hub,), {"made": found}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "HfApi", lambda token: HfApi(endpoint=address, token=token or False))
    yield found
    server.shutdown()
    server.server_close()


def settings(*words: str) -> Any:
    return parse(["--train", "x", "--output_dir", "runs/mine", "--push_to_hub", "true", *words])[1]


def test_a_token_that_may_write_makes_the_repository_before_the_run(made: list[str]) -> None:
    assert hub.check_access(settings("--hub_token", "hf_good")) == "ann/mine"
    assert hub.check_access(settings("--hub_token", "hf_good", "--hub_model_id", "ann/other")) == "ann/other"
    assert made == ["ann/mine", "ann/other"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "Expected a token of the hub for --push_to_hub (run `hf auth login`, or set HF_TOKEN)"),
        (("--hub_token", "hf_old"), "Expected a token of the hub for --push_to_hub"),
        (("--hub_token", "hf_good", "--hub_model_id", "bob/his"), "that ann may write to bob/his on the hub"),
        (("--hub_token", "hf_good", "--hub_model_id", "a b//c"), "that ann may write to a b//c on the hub"),
    ],
)
def test_what_may_not_be_pushed_is_refused_in_a_sentence(
    words: tuple[str, ...], sentence: str, made: list[str]
) -> None:
    with pytest.raises(RecipeError) as caught:
        hub.check_access(settings(*words))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert made == []


def test_without_a_network_nothing_is_trained_that_was_to_be_pushed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], official: Any, tmp_path: Any
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(grpo, "load_model", lambda *_: pytest.fail("the weights were read"))
    words = f"--model {official / 'score_degradation'} --train examples/labels.jsonl --output_dir {tmp_path / 'run'}"
    assert grpo.main([*words.split(), "--push_to_hub", "true", "--hub_token", "hf_x"]) == 2
    assert "HF_HUB_OFFLINE is set" in capsys.readouterr().err
