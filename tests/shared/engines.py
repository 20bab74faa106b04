"""Engines that say what they are told, and the words they are told to say."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from PIL import Image

from qinsight.errors import EngineError, RequestFailed, Stopped
from qinsight.prompts import Task
from qinsight.requests import About, Delta, Finish, Request, Sampling

SCORE = ["<think>Fine de", "tail and little gra", "in.</think><answer>", '{"rating": 4.25}', "</answer>"]
DIAGNOSIS = [
    "<think>The edges are soft.</think><answer>",
    '{"distortion_class": "blur", "severity": "obvious"}',
    "</answer>",
]
A_FIRST = ["<think>left</think><answer>Image A</answer>"]
B_FIRST = ["<think>right</think><answer>Image B</answer>"]
ENDLESS = ["<think>on ", *["and on "] * 1000]


class ScriptedEngine:
    """An `Engine` that gives each request its script, one piece at a time, all requests side by side.

    A script is a list of pieces: words, or whole `Delta`s. The last piece of words ends the reply with
    `finish`. `asked` and `closed` tell what was done with it.
    """

    def __init__(self, *scripts: Sequence[str | Delta], finish: Finish = Finish.STOP) -> None:
        self.scripts = scripts
        self.finish = finish
        self.asked: list[tuple[list[Request], Sampling, int | None]] = []
        self.closed = 0

    @property
    def about(self) -> About:
        return About("scripted", frozenset(Task), "fp32", "cpu")

    def stream(
        self,
        requests: Sequence[Request],
        sampling: Sampling = Sampling(),  # noqa: B008 (frozen)
        *,
        max_pixels: int | None = None,
        stop: threading.Event | None = None,
        watched: bool = True,
    ) -> Iterator[Delta]:
        self.asked.append((list(requests), sampling, max_pixels))
        longest = max(len(script) for script in self.scripts)
        try:
            for place in range(longest):
                for number in range(len(requests)):
                    script = self.scripts[number % len(self.scripts)]
                    if place < len(script):
                        yield self._delta(number, script, place)
        finally:
            self.closed += 1

    def _delta(self, number: int, script: Sequence[str | Delta], place: int) -> Delta:
        piece = script[place]
        if isinstance(piece, Delta):
            return piece
        return Delta(number, piece, finish=self.finish if place == len(script) - 1 else None)


class PatientEngine(ScriptedEngine):
    """Says its scripts slowly, the one after the other from question to question, and honours stop."""

    def __init__(self, *scripts: Sequence[str], pause: float = 0.1) -> None:
        super().__init__(*scripts)
        self.pause = pause
        self.stopped = threading.Event()
        self.begun = threading.Event()

    def stream(
        self,
        requests: Sequence[Request],
        sampling: Sampling = Sampling(),  # noqa: B008 (frozen)
        *,
        max_pixels: int | None = None,
        stop: threading.Event | None = None,
        watched: bool = True,
    ) -> Iterator[Delta]:
        script = self.scripts[min(len(self.asked), len(self.scripts) - 1)]
        self.asked.append((list(requests), sampling, max_pixels))
        self.begun.set()
        for place, words in enumerate(script):
            if stop is not None and stop.wait(self.pause):
                self.stopped.set()
                raise Stopped("Stopped.")
            finish = Finish.STOP if place == len(script) - 1 else None
            for number in range(len(requests)):
                yield Delta(number, words, finish=finish)


class PixelEngine(ScriptedEngine):
    """Rates a photo by its brightness, so that each answer belongs to its photo and to no other."""

    def __init__(self, *, refuse: str = "", mumble: int = -1, in_flight: int = 0) -> None:
        super().__init__([])
        self.refuse, self.mumble, self.in_flight = refuse, mumble, in_flight
        self.photos = 0
        self.watched: list[bool] = []

    @property
    def about(self) -> About:
        return replace(super().about, in_flight=self.in_flight)

    def stream(
        self,
        requests: Sequence[Request],
        sampling: Sampling = Sampling(),  # noqa: B008 (frozen)
        *,
        max_pixels: int | None = None,
        stop: threading.Event | None = None,
        watched: bool = True,
    ) -> Iterator[Delta]:
        self.asked.append((list(requests), sampling, max_pixels))
        self.watched.append(watched)
        if self.refuse == "always":
            raise EngineError("The model is gone.")
        if self.refuse == "batches" and len(requests) > 2:
            raise RequestFailed("The model ran out of memory.")
        if self.refuse == "dark photos" and requests[0].photos[0].getpixel((0, 0)) == (0, 0, 0):
            raise RequestFailed("The model ran out of memory.")
        for number, request in enumerate(requests):
            brightness = request.photos[0].resize((1, 1)).getpixel((0, 0))[0]
            self.photos += request.task is Task.SCORE
            if brightness == self.mumble:
                yield Delta(number, "<think>hm</think><answer>hm</answer>", finish=Finish.STOP)
            elif request.task is Task.SCORE:
                rating = f"{1 + 4 * brightness / 255:.2f}"
                yield Delta(number, '<think>bright</think><answer>{"rating": ')
                for place, digit in enumerate(rating):
                    yield Delta(number, digit, alternatives=((digit, 0.9), ("5" if place else "3", 0.1)))
                yield Delta(number, "}</answer>", finish=Finish.STOP)
            else:
                words = (
                    '<think>dark</think><answer>{"distortion_class": "darken", "severity": "slight"}</answer>'
                )
                yield Delta(number, words, finish=Finish.STOP)


class Judge(ScriptedEngine):
    """Rates by brightness, finds dark photos darkened, and prefers the brighter of a pair.

    `mumble` and `refuse` are brightnesses it cannot answer; `dies` after so many batches.
    """

    def __init__(self, **how: Any) -> None:
        super().__init__([])
        self.replies = 0
        self.mumble = how.get("mumble", -1)
        self.refuse = how.get("refuse", -1)
        self.dies: int | None = how.get("dies")
        self.first_place = how.get("first_place", False)
        self.tasks = how.get("tasks", frozenset(Task))
        self.weights: str = how.get("weights", "")
        self.failure: BaseException = how.get("failure", EngineError("The model is gone."))

    @property
    def about(self) -> About:
        return About("judge", self.tasks, "fp32", "cpu", weights=self.weights)

    def stream(
        self,
        requests: Sequence[Request],
        sampling: Sampling = Sampling(),  # noqa: B008 (frozen)
        *,
        max_pixels: int | None = None,
        stop: threading.Event | None = None,
        **_: Any,
    ) -> Iterator[Delta]:
        self.asked.append((list(requests), sampling, max_pixels))
        if self.dies is not None and len(self.asked) > self.dies:
            raise self.failure
        for number, request in enumerate(requests):
            if self.refuse in [bright(photo) for photo in request.photos]:
                raise RequestFailed("The model ran out of memory.")
            yield from self._answer(number, request)
            self.replies += 1

    def _answer(self, number: int, request: Request) -> Iterator[Delta]:
        light = [bright(photo) for photo in request.photos]
        if self.mumble in light:
            yield Delta(number, "<think>hm</think><answer>hm</answer>", finish=Finish.STOP)
        elif request.task is Task.SCORE:
            yield Delta(number, '<think>light</think><answer>{"rating": ')
            yield Delta(number, str(1 + light[0] // 64), alternatives=(("3", 0.9), ("4", 0.1)))
            yield Delta(number, f".{light[0] % 64:02}}}</answer>", finish=Finish.STOP)
        elif request.task is Task.DEGRADATION:
            kind, level = ("darken", "slight") if light[0] < 100 else ("null", "null")
            words = f'<answer>{{"distortion_class": "{kind}", "severity": "{level}"}}</answer>'
            yield Delta(number, f"<think>dark?</think>{words}", finish=Finish.STOP)
        else:
            a, b = light[-2:]
            winner = "Image A" if a > b or self.first_place else "Image B"
            yield Delta(number, f"<think>which</think><answer>{winner}</answer>", finish=Finish.STOP)


def bright(photo: Image.Image) -> int:
    return int(photo.resize((1, 1)).getpixel((0, 0))[0])
