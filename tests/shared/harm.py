"""Engines that do harm to what passes through them, around the real preview: pictures, questions, replies."""

import math
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from qinsight.check.pictures import jpeg
from qinsight.errors import RequestFailed, Stopped
from qinsight.photos.view import image_tokens
from qinsight.prompts import Task
from qinsight.requests import GREEDY, MAX_PIXELS, About, Delta, Engine, Finish, Request, Sampling

Key = tuple[object, ...]


class Remembered:
    """The replies of an engine, asked for once and given again: what harm leaves alone need not be asked anew."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.replies: dict[Key, list[Delta]] = {}

    @property
    def about(self) -> About:
        return self.engine.about

    def stream(
        self,
        requests: Sequence[Request],
        sampling: Sampling = GREEDY,
        *,
        max_pixels: int | None = None,
        stop: threading.Event | None = None,
        watched: bool = True,
    ) -> Iterator[Delta]:
        for number, request in enumerate(requests):
            for delta in self._reply(request, replace(sampling, seed=sampling.seed + number), max_pixels):
                if stop is not None and stop.is_set():
                    raise Stopped("Stopped.")
                yield replace(delta, request=number)

    def _reply(self, request: Request, sampling: Sampling, max_pixels: int | None) -> list[Delta]:
        if not sampling.temperature:
            sampling = replace(sampling, seed=0)
        photos = tuple((photo.size, photo.tobytes()) for photo in request.photos)
        key = (
            request.task,
            request.reference,
            request.odds,
            request.other_order,
            photos,
            sampling,
            max_pixels,
        )
        if key not in self.replies:
            self.replies[key] = list(self.engine.stream([request], sampling, max_pixels=max_pixels))
        return self.replies[key]


class Harmful:
    """An engine that hands everything on as it is; children do harm."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.asked = 0

    @property
    def about(self) -> About:
        return self.engine.about

    def stream(
        self,
        requests: Sequence[Request],
        sampling: Sampling = GREEDY,
        *,
        max_pixels: int | None = None,
        stop: threading.Event | None = None,
        watched: bool = True,
    ) -> Iterator[Delta]:
        self.asked += 1
        harmed = self.requests(requests)
        deltas = self.engine.stream(
            harmed, self.sampling(sampling), max_pixels=max_pixels, stop=self.stop(stop), watched=watched
        )
        return self.deltas(deltas, len(requests), sampling)

    def requests(self, requests: Sequence[Request]) -> list[Request]:
        return list(requests)

    def sampling(self, sampling: Sampling) -> Sampling:
        return sampling

    def stop(self, stop: threading.Event | None) -> threading.Event | None:
        return stop

    def deltas(self, deltas: Iterator[Delta], count: int, sampling: Sampling) -> Iterator[Delta]:
        return deltas


class Pictures(Harmful):
    """One change to every picture."""

    def __init__(self, engine: Engine, change: Callable[[Image.Image], Image.Image]) -> None:
        super().__init__(engine)
        self.change = change

    def requests(self, requests: Sequence[Request]) -> list[Request]:
        changed: dict[int, Image.Image] = {}
        for request in requests:
            for photo in request.photos:
                if id(photo) not in changed:
                    changed[id(photo)] = self.change(photo)
        return [
            replace(request, photos=tuple(changed[id(photo)] for photo in request.photos))
            for request in requests
        ]


class PicturesOfPairs(Pictures):
    """The same where two or more come in one question."""

    def requests(self, requests: Sequence[Request]) -> list[Request]:
        pair = all(len(request.photos) > 1 for request in requests)
        return super().requests(requests) if pair else list(requests)


def on_its_side(photo: Image.Image) -> Image.Image:
    """A tall photo as it lies in the file."""
    return photo.transpose(Image.Transpose.ROTATE_270) if photo.height > photo.width else photo


def to_at_most(
    side: int, how: Image.Resampling = Image.Resampling.BICUBIC
) -> Callable[[Image.Image], Image.Image]:
    def shrink(photo: Image.Image) -> Image.Image:
        scale = side / max(photo.size)
        if scale >= 1:
            return photo
        return photo.resize((round(photo.width * scale), round(photo.height * scale)), how)

    return shrink


def within(
    pixels: int, how: Image.Resampling = Image.Resampling.BICUBIC
) -> Callable[[Image.Image], Image.Image]:
    """Shrunk to an area, as servers limit it, to whole patches."""

    def shrink(photo: Image.Image) -> Image.Image:
        scale = math.sqrt(pixels / (photo.width * photo.height))
        if scale >= 1:
            return photo
        width, height = (int(side * scale / 28) * 28 for side in photo.size)
        return photo.resize((width, height), how)

    return shrink


def reencoded(quality: int, subsampling: int = -1) -> Callable[[Image.Image], Image.Image]:
    return lambda photo: jpeg(photo, quality, subsampling)


def cropped(photo: Image.Image) -> Image.Image:
    side = min(photo.size)
    return ImageOps.fit(photo, (side, side))


def padded(colour: tuple[int, int, int]) -> Callable[[Image.Image], Image.Image]:
    return lambda photo: ImageOps.pad(photo, (max(photo.size),) * 2, color=colour)


def squeezed(side: int) -> Callable[[Image.Image], Image.Image]:
    return lambda photo: photo.resize((side, side), Image.Resampling.BICUBIC)


def mixed_to_grey(photo: Image.Image) -> Image.Image:
    """Grey as the plain mean of the three, not as luma."""
    mean = np.asarray(photo, np.float32).mean(axis=2)
    return Image.fromarray(mean.round().astype(np.uint8)).convert("RGB")


def channels_swapped(photo: Image.Image) -> Image.Image:
    return Image.merge("RGB", photo.split()[::-1])


class NoiseInBatches(Harmful):
    """A batch sees its pictures through noise."""

    def __init__(self, engine: Engine, sigma: float = 12) -> None:
        super().__init__(engine)
        self.sigma = sigma

    def requests(self, requests: Sequence[Request]) -> list[Request]:
        if len({id(photo) for request in requests for photo in request.photos}) < 4:
            return list(requests)
        dice = np.random.default_rng(1)
        found = []
        for request in requests:
            (photo,) = request.photos
            values = np.asarray(photo, np.float32) + dice.normal(0, self.sigma, (*photo.size[::-1], 3))
            found.append(replace(request, photos=(Image.fromarray(values.clip(0, 255).astype(np.uint8)),)))
        return found


class Swapped(Harmful):
    """The two pictures of a comparison change places; a reference stays where it is."""

    def requests(self, requests: Sequence[Request]) -> list[Request]:
        return [replace(one, photos=(*one.photos[:-2], *one.photos[:-3:-1])) for one in requests]


class SwappedInBatches(Harmful):
    """Every request of a batch gets the pictures of the next one of its kind."""

    def requests(self, requests: Sequence[Request]) -> list[Request]:
        found = []
        for number, request in enumerate(requests):
            alike = [one for one in (*requests[number + 1 :], *requests) if one.task is request.task]
            found.append(replace(request, photos=alike[0].photos) if len(request.photos) == 1 else request)
        return found


class FirstInBatches(Harmful):
    """Every request of a batch gets the pictures of the first."""

    def requests(self, requests: Sequence[Request]) -> list[Request]:
        return [replace(one, photos=requests[0].photos) if len(one.photos) == 1 else one for one in requests]


class FirstOfAll(Harmful):
    """Every question is answered about the first picture that ever came."""

    first: Image.Image | None = None

    def requests(self, requests: Sequence[Request]) -> list[Request]:
        self.first = self.first or requests[0].photos[0]
        return [replace(one, photos=(self.first,) * len(one.photos)) for one in requests]


class LastDropped(Harmful):
    """The last picture of a comparison is the one before it."""

    def requests(self, requests: Sequence[Request]) -> list[Request]:
        return [
            replace(one, photos=(*one.photos[:-1], one.photos[-2])) if len(one.photos) > 1 else one
            for one in requests
        ]


class Words(Harmful):
    """One change to every whole reply, which then comes in one piece."""

    def __init__(self, engine: Engine, change: Callable[[str], str], finish: Finish | None = None) -> None:
        super().__init__(engine)
        self.change, self.finish = change, finish

    def deltas(self, deltas: Iterator[Delta], count: int, sampling: Sampling) -> Iterator[Delta]:
        texts, tokens, ends = [""] * count, [0] * count, [Finish.STOP] * count
        for delta in deltas:
            texts[delta.request] += delta.text
            tokens[delta.request] += delta.tokens
            ends[delta.request] = delta.finish or ends[delta.request]
        for number, text in enumerate(texts):
            yield Delta(number, self.change(text), tokens[number], finish=self.finish or ends[number])


def rubbish(text: str) -> str:
    dice = random.Random(text)
    return "".join(dice.choices("abcdefghij <>{}:", k=80))


def always_a(text: str) -> str:
    return text.replace("<answer>Image B", "<answer>Image A")


def without_thinking(text: str) -> str:
    return text.partition("</think>")[2]


class CutShort(Harmful):
    """Replies end after so many tokens, and say so or not."""

    def __init__(self, engine: Engine, most: int, finish: Finish) -> None:
        super().__init__(engine)
        self.most, self.finish = most, finish

    def deltas(self, deltas: Iterator[Delta], count: int, sampling: Sampling) -> Iterator[Delta]:
        heard = [0] * count
        for delta in deltas:
            heard[delta.request] += 1
            if heard[delta.request] < self.most:
                yield delta
            elif heard[delta.request] == self.most:
                yield replace(delta, finish=self.finish)


class Silent(Harmful):
    """Every third stream ends in the middle of its reply."""

    def deltas(self, deltas: Iterator[Delta], count: int, sampling: Sampling) -> Iterator[Delta]:
        for place, delta in enumerate(deltas):
            if self.asked % 3 == 0 and place == 5:
                return
            yield delta


class Refusing(Harmful):
    """Large pictures are refused."""

    def requests(self, requests: Sequence[Request]) -> list[Request]:
        if any(photo.width > 600 for request in requests for photo in request.photos):
            raise RequestFailed("The model ran out of memory.")
        return list(requests)


class Sampled(Harmful):
    """Whatever is asked for, this is how tokens are chosen. `steady` is the seed; without it every time another."""

    def __init__(self, engine: Engine, steady: bool = False, **choices: float) -> None:
        super().__init__(engine)
        self.steady, self.choices = steady, choices

    def sampling(self, sampling: Sampling) -> Sampling:
        changed = replace(sampling, **self.choices)  # type: ignore[arg-type]
        return changed if self.steady else replace(changed, seed=self.asked * 1000)


class Deaf(Harmful):
    """Stop is not heard."""

    def stop(self, stop: threading.Event | None) -> threading.Event | None:
        return None


class Boundless(Harmful):
    """No limit of tokens is kept."""

    def sampling(self, sampling: Sampling) -> Sampling:
        return replace(sampling, max_new_tokens=1024)


class Chances(Harmful):
    """The chances beside tokens are changed."""

    def __init__(self, engine: Engine, change: Callable[[float], float]) -> None:
        super().__init__(engine)
        self.change = change

    def deltas(self, deltas: Iterator[Delta], count: int, sampling: Sampling) -> Iterator[Delta]:
        for delta in deltas:
            changed = tuple((word, self.change(chance)) for word, chance in delta.alternatives)
            yield replace(delta, alternatives=changed)


class OnlySome(Harmful):
    """A model that was taught these tasks only."""

    @property
    def about(self) -> About:
        return replace(self.engine.about, tasks=frozenset({Task.SCORE}))


class Known(Harmful):
    """An engine of which other things are known: `facts` by the names of `About`."""

    def __init__(self, engine: Engine, **facts: str) -> None:
        super().__init__(engine)
        self.facts = facts

    @property
    def about(self) -> About:
        return replace(self.engine.about, **self.facts)  # type: ignore[arg-type]


def behind_a_server(engine: Engine) -> Engine:
    """As a server is known: not by its weights."""
    return Known(engine, weights="", precision="server", device="server")


class Collage(Harmful):
    """The pictures of a comparison lie side by side in one picture."""

    def requests(self, requests: Sequence[Request]) -> list[Request]:
        return [replace(one, photos=(_beside(one.photos),) * len(one.photos)) for one in requests]


def _beside(photos: Sequence[Image.Image]) -> Image.Image:
    if len(photos) == 1:
        return photos[0]
    whole = Image.new("RGB", (sum(photo.width for photo in photos), max(photo.height for photo in photos)))
    for number, photo in enumerate(photos):
        whole.paste(photo, (sum(one.width for one in photos[:number]), 0))
    return whole


def always_similar(text: str) -> str:
    return text.replace("<answer>Image A", "<answer>Similar").replace("<answer>Image B", "<answer>Similar")


class RubbishInBatches(Harmful):
    """What comes after the eighth of a batch cannot be read."""

    def deltas(self, deltas: Iterator[Delta], count: int, sampling: Sampling) -> Iterator[Delta]:
        for delta in deltas:
            late = count > 3 and delta.request >= 8
            yield (
                replace(delta, text="" if delta.finish is None else "Sorry.", alternatives=())
                if late
                else delta
            )


class ScoresInBatches(Harmful):
    """Every question of a batch is answered as if it were for a score."""

    def requests(self, requests: Sequence[Request]) -> list[Request]:
        return [replace(one, task=Task.SCORE) if len(requests) > 3 else one for one in requests]


class NoiseEachTime(Pictures):
    """Every picture is seen through noise, which is another one each time."""

    def __init__(self, engine: Engine, sigma: float = 4) -> None:
        dice = np.random.default_rng(1)

        def change(photo: Image.Image) -> Image.Image:
            values = np.asarray(photo, np.float32) + dice.normal(0, sigma, (*photo.size[::-1], 3))
            return Image.fromarray(values.clip(0, 255).astype(np.uint8))

        super().__init__(engine, change)


def only_large(change: Callable[[Image.Image], Image.Image]) -> Callable[[Image.Image], Image.Image]:
    """As gateways do with what is too large for them."""
    return lambda photo: change(photo) if photo.width * photo.height > 400_000 else photo


class OnlyWhole(Harmful):
    """Another engine answers where nobody watches the words arrive."""

    def __init__(self, engine: Engine, harmed: Engine) -> None:
        super().__init__(engine)
        self.harmed = harmed

    def stream(self, *given: Any, watched: bool = True, **others: Any) -> Iterator[Delta]:
        return (self.engine if watched else self.harmed).stream(*given, watched=watched, **others)


class MixedWhenBusy(Harmful):
    """A server that hands over the picture before, where more than sixteen questions are open; it takes 64."""

    @property
    def about(self) -> About:
        return replace(self.engine.about, in_flight=64)

    def requests(self, requests: Sequence[Request]) -> list[Request]:
        photos = [request.photos for request in requests]
        before = [photos[0], *photos] if len(requests) > 16 else photos
        return [replace(request, photos=own) for request, own in zip(requests, before, strict=False)]


class ShortOfContext(Harmful):
    """Prompts of over 2,048 tokens are refused."""

    def requests(self, requests: Sequence[Request]) -> list[Request]:
        for request in requests:
            if sum(image_tokens(*photo.size, MAX_PIXELS) for photo in request.photos) > 2048:
                raise RequestFailed("This model's maximum context length is 2048 tokens.")
        return list(requests)


class Certain(Harmful):
    """The chances that are left once a token was taken."""

    def deltas(self, deltas: Iterator[Delta], count: int, sampling: Sampling) -> Iterator[Delta]:
        for delta in deltas:
            taken = tuple((word, float(word == delta.text)) for word, _ in delta.alternatives)
            yield replace(delta, alternatives=taken)


class Leaking(Harmful):
    """Every fortieth piece of a stream is lost."""

    def deltas(self, deltas: Iterator[Delta], count: int, sampling: Sampling) -> Iterator[Delta]:
        for place, delta in enumerate(deltas, 1):
            yield replace(delta, text="") if place % 40 == 0 else delta


def darker(photo: Image.Image) -> Image.Image:
    """As where linear light is shown as if it were not."""
    return photo.point([round(255 * (value / 255) ** 2.2) for value in range(256)] * 3)
