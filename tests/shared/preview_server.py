"""The real preview behind a chat server, which may do harm to what passes through it."""

import asyncio
import base64
import io
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image

from qinsight.photos.view import image_tokens
from qinsight.prompts import COMPARISON, DEGRADATION, Order, Task
from qinsight.requests import MAX_PIXELS, Delta, Engine, Finish, Request, Sampling
from shared.chat_server import Act, Answering, Server, running

Change = Callable[[Image.Image], Image.Image]


@contextmanager
def serving(engine: Engine, change: Change = lambda photo: photo, *, counts: bool = True) -> Iterator[Server]:
    """The server at its `url`; `change` is what it does to each picture. It may count the tokens of prompts."""
    busy = threading.Lock()

    order = engine.about.made_with["order"]

    def answer(body: dict[str, Any]) -> list[Delta]:
        with busy:
            return list(engine.stream([_request(body, change, order)], _sampling(body)))

    def choose(body: dict[str, Any], _: int) -> Act:
        async def act(answering: Answering) -> None:
            deltas = await asyncio.to_thread(answer, body)
            await _tell(answering, deltas, _tokens(body, change, order) if counts else 0)

        return act

    with running(choose=choose) as server:
        yield server


def _request(body: dict[str, Any], change: Change, order: str) -> Request:
    parts = body["messages"][-1]["content"]
    texts = [part["text"] for part in parts if part["type"] == "text"]
    photos = tuple(change(_picture(part)) for part in parts if part["type"] == "image_url")
    if len(photos) > 1:
        return Request(Task.COMPARISON, photos, reference=texts[0] != COMPARISON[0])
    asked = Order.QUESTION_FIRST if parts[0]["type"] == "text" else Order.PHOTO_FIRST
    task = Task.DEGRADATION if DEGRADATION in texts else Task.SCORE
    return Request(task, photos, other_order=asked != order)


def _picture(part: dict[str, Any]) -> Image.Image:
    content = part["image_url"]["url"].partition(",")[2]
    return Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB")


def _sampling(body: dict[str, Any]) -> Sampling:
    return Sampling(
        body["max_tokens"],
        body["temperature"],
        seed=body.get("seed", 0),
        repetition_penalty=body.get("repetition_penalty"),
    )


def _tokens(body: dict[str, Any], change: Change, order: str) -> int:
    """Of the prompt: fifty words, and each picture's patches."""
    request = _request(body, change, order)
    return 50 + sum(image_tokens(*photo.size, MAX_PIXELS) for photo in request.photos)


async def _tell(answering: Answering, deltas: list[Delta], tokens: int) -> None:
    choices = [
        {
            "delta": {"content": delta.text},
            "finish_reason": {Finish.STOP: "stop", Finish.LENGTH: "length"}.get(delta.finish),  # type: ignore[arg-type]
            "logprobs": {"content": [_entry(delta)]} if delta.alternatives else None,
        }
        for delta in deltas
    ]
    if answering.body["stream"]:
        await answering.begin()
        for choice in choices:
            await answering.event({"choices": [choice]})
        await answering.end()
        return
    entries = [entry for choice in choices if choice["logprobs"] for entry in choice["logprobs"]["content"]]
    message = {"content": "".join(delta.text for delta in deltas)}
    finish = choices[-1]["finish_reason"]
    choice = {"message": message, "finish_reason": finish, "logprobs": {"content": entries}}
    usage = {"usage": {"prompt_tokens": tokens}, "system_fingerprint": "preview-1"} if tokens else {}
    await answering.json({"choices": [choice], **usage})


def _entry(delta: Delta) -> dict[str, Any]:
    told = [{"token": word, "logprob": math.log(max(chance, 1e-30))} for word, chance in delta.alternatives]
    taken = next((one for one in told if one["token"] == delta.text), told[0])
    return {**taken, "top_logprobs": told}
