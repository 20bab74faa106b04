"""What a server says beside its replies: how many tokens a prompt has, and which version it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from qinsight.check import pictures
from qinsight.engines.png import encode
from qinsight.errors import EngineError
from qinsight.photos.view import image_tokens
from qinsight.prompts import SCORE, SYSTEM, Order, Task, build_messages
from qinsight.requests import Engine

MOST_WORDS = len(SYSTEM + SCORE) // 2  # tokens of the question: it has more than two letters a token
SIZES = {"small": pictures.SMALL, "usual": pictures.SIZE, "large": pictures.LARGE}


@dataclass(frozen=True)
class Told:
    """Tokens of prompts that differ in their picture only, and those that each picture must have."""

    tokens: Mapping[str, int] = field(default_factory=dict)
    expected: Mapping[str, int] = field(default_factory=dict)
    version: str = ""

    @property
    def all_alike(self) -> int:
        """The tokens that pictures of every size have, where they are more than the words can have; else 0."""
        counts = set(self.tokens.values())
        is_one = len(counts) == 1 and len(set(self.expected.values())) > 1
        return max(counts) if is_one and max(counts) > MOST_WORDS else 0

    @property
    def wrong(self) -> str:
        """The picture whose tokens are not those of its size; empty where all are right, or not counted."""
        if len(set(self.tokens.values())) < 2:  # such a server counts words only, or see above
            return ""
        surplus = {name: count - self.expected[name] for name, count in self.tokens.items()}
        words = surplus["small"]  # tokens of the question, in every prompt the same
        return next((name for name, count in surplus.items() if count != words), "")


def told(engine: Engine, max_pixels: int | None) -> Told:
    """What the server tells; nothing where the engine is none, or its server keeps it to itself."""
    from qinsight.engines.server import EndpointEngine

    if not isinstance(engine, EndpointEngine):
        return Told()
    limit = max_pixels or engine.about.max_pixels
    tokens, version = {}, ""
    for name, size in SIZES.items():
        found = _asked(engine, pictures.photo("cat", size), limit)
        version = str(found.get("system_fingerprint") or "")
        count = found.get("usage", {}).get("prompt_tokens")
        if not isinstance(count, int):
            return Told(version=version)
        tokens[name] = count
    expected = {name: image_tokens(*size, limit) for name, size in SIZES.items()}
    return Told(tokens, expected, version)


def _asked(engine: Any, photo: Image.Image, limit: int) -> dict[str, Any]:
    """The server's whole answer to a score of one token; empty where there is none."""
    import httpx2

    from qinsight.engines.server import CHAT

    server = engine.server
    body = {
        "model": server.model,
        "messages": _messages(photo, limit, engine.order),
        "max_tokens": 1,
        "temperature": 0,
        "stream": False,
    }
    try:
        with httpx2.Client(**server.connection() | {"timeout": server.patience.whole_reply}) as client:
            found = client.post(server.url(CHAT), json=body).json()
    except (httpx2.RequestError, EngineError, ValueError):
        return {}
    usable = isinstance(found, dict) and isinstance(found.get("usage", {}), dict)
    return found if usable else {}


def _messages(photo: Image.Image, limit: int, order: Order) -> list[dict[str, Any]]:
    system, user = build_messages(Task.SCORE, order=order)
    url = f"data:image/png;base64,{encode(photo, limit).decode('ascii')}"
    picture = {"type": "image_url", "image_url": {"url": url}}
    parts = [picture if part["type"] == "image" else part for part in user["content"]]
    words = system["content"][0]["text"]
    return [{"role": "system", "content": words}, {"role": "user", "content": parts}]
