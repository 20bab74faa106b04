"""The page's API: four questions by name, answered with the command line's JSON while the thinking grows."""

import base64
import binascii
import contextlib
import functools
import html
import inspect
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict
from urllib.parse import unquote_to_bytes

import gradio as gr
from gradio.context import LocalContext

from qinsight.assess import Asked, ask, assessment, comparison, reading_of
from qinsight.engines.made_by import MadeBy, made_by_all
from qinsight.errors import PhotoError, QInsightError
from qinsight.page.background import in_background
from qinsight.page.host import Host
from qinsight.page.line import Job
from qinsight.page.result import reasons_checked
from qinsight.page.uploads import Darkroom, gathered, inside_uploads, names_of, scratch_folder
from qinsight.page.visitors import address_of
from qinsight.photos import Photo
from qinsight.photos.listing import SUFFIXES, Found, look
from qinsight.prompts import Task
from qinsight.ranking.folder import rank_folder, ranking
from qinsight.ranking.rows import Row
from qinsight.report import report
from qinsight.requests import Request, Sampling
from qinsight.sentence import by_itself
from qinsight.trust.claims import Reasons
from qinsight.trust.confidence import FIELD, with_confidence
from qinsight.trust.order import in_both_orders
from qinsight.trust.triage import check_bound, triage

AGENTS = "agents"  # instead of a network address
MOST_SAMPLES = 8
MOST_RANKED = 20  # photos in one call; a folder is ranked on the page or the command line
MOST_TEMPERATURE = 2.0
LARGEST_DATA_URI = 24 << 20  # characters: a photo of 18 MB; larger ones are uploaded first

Status = Literal["waiting", "reading", "thinking", "done"]


class HowFar(TypedDict):
    """How far a slow model is before its first word: the `layer` at work of the `layers` of a `stage`, which is "looking"
    or "reading", the `share` that is done of all, and about how many seconds are left."""

    stage: str
    layer: int
    layers: int
    share: float
    seconds_left: float | None


class Upload(TypedDict):
    """A photo that `POST /gradio_api/upload` took: `path` is what it answered."""

    path: str
    meta: dict[str, str]


AnyPhoto = Upload | str  # the string: that path, or a `data:image/...;base64,` URI


class ScoreAnswer(TypedDict):
    """What `/score` answers. `rating` is from 1 (very poor) to 5 (excellent)."""

    photo: str
    task: str
    rating: float | None
    thinking: str | None
    reply: str | None
    tokens: int
    seconds: float
    model: str | None
    made_by: dict[str, Any] | None
    error: str | None
    reading: HowFar | None
    status: Status
    before: int
    app_confidence: NotRequired[dict[str, Any]]
    reasons: NotRequired[dict[str, Any]]


class DiagnosisAnswer(TypedDict):
    """What `/diagnose` answers. Without an `error`, a clean photo has null as `distortion_class` and `severity`."""

    photo: str
    task: str
    distortion_class: str | None
    severity: str | None
    thinking: str | None
    reply: str | None
    tokens: int
    seconds: float
    model: str | None
    made_by: dict[str, Any] | None
    error: str | None
    reading: HowFar | None
    status: Status
    before: int
    app_confidence: NotRequired[dict[str, Any]]
    reasons: NotRequired[dict[str, Any]]


class ComparisonAnswer(TypedDict):
    """What `/compare` answers. `winner` is "Image A", "Image B", "Similar" or "undecided"."""

    photo: str
    other: str
    task: str
    winner: str | None
    thinking: str | None
    reply: str | None
    tokens: int
    seconds: float
    model: str | None
    made_by: dict[str, Any] | None
    error: str | None
    reading: HowFar | None
    status: Status
    before: int


class RankedPhoto(TypedDict):
    """One photo in the answer of `/rank`; `also` is the RAW of the same shutter, where both were given."""

    photo: str
    also: str | None
    rating: float | None
    expected_rating: float | None
    distortion_class: str | None
    severity: str | None
    thinking: str | None
    diagnosis: str | None
    remarks: str | None
    error: str | None
    made_by: dict[str, Any] | None
    app_low: float | None
    app_high: float | None
    app_heap: str | None


class RankAnswer(TypedDict):
    """What `/rank` answers: the best photo first, once `status` is "done"."""

    photos: list[RankedPhoto]
    total: int
    status: Status
    before: int


class BadCall(QInsightError):
    """A call of the API with something else than it expects."""


# --- what may be asked -------------------------------------------------------------------------------------


class Api:
    """The four endpoints around one model."""

    def __init__(self, host: Host, darkroom: Darkroom, sampling: Sampling) -> None:
        self.host, self.darkroom, self.sampling = host, darkroom, sampling

    def publish(self) -> None:
        """Add the endpoints to the page that is being built."""
        for name in NAMES:
            gr.api(
                _typed(getattr(self, name), ANSWERS[name]),
                api_name=name,
                concurrency_limit=None,
                concurrency_id="api",
            )

    def score(
        self,
        photo: AnyPhoto,
        request: gr.Request,
        samples: int = 1,
        temperature: float | None = None,
        seed: int = 42,
        max_new_tokens: int | None = None,
        check_reasons: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """Rate the technical quality of one photo from 1 (very poor) to 5 (excellent), with the reasoning behind it.

        Use it to judge sharpness, noise, exposure and compression of a single photo, or to decide which photos
        are good enough. The rating is a model's opinion; the same photo always gets the same one.

        Args:
            photo: The photo: a data URI (data:image/jpeg;base64,...) or the path that POST /gradio_api/upload returned. Links are not fetched.
            samples: How many times to ask, 1 to 8. With more than 1, the mean rating and its spread are given.
            temperature: 0 for the most likely words (the default), up to 2; 1 where there are several samples.
            seed: Of the samples, a whole number from 0 to 4294967295.
            max_new_tokens: The length of a reply at most; the server's own limit is the default.
            check_reasons: Also say of each claim in the reasoning whether the pixels support it, in `reasons`.
        """
        yield from self._each_photo(
            Task.SCORE, photo, request, samples, temperature, seed, max_new_tokens, check_reasons
        )

    def diagnose(
        self,
        photo: AnyPhoto,
        request: gr.Request,
        samples: int = 1,
        temperature: float | None = None,
        seed: int = 42,
        max_new_tokens: int | None = None,
        check_reasons: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """Name what is technically wrong with one photo: noise, compression, blur or darken, and how severe it is.

        Severity is slight, moderate, obvious, serious or catastrophic; both are null for a clean photo. Use it to
        find out why a photo looks bad or what to repair.

        Args:
            photo: The photo: a data URI (data:image/jpeg;base64,...) or the path that POST /gradio_api/upload returned. Links are not fetched.
            samples: How many times to ask, 1 to 8. With more than 1, the most frequent diagnosis is given.
            temperature: 0 for the most likely words (the default), up to 2; 1 where there are several samples.
            seed: Of the samples, a whole number from 0 to 4294967295.
            max_new_tokens: The length of a reply at most; the server's own limit is the default.
            check_reasons: Also say of each claim in the reasoning whether the pixels support it, in `reasons`.
        """
        yield from self._each_photo(
            Task.DEGRADATION, photo, request, samples, temperature, seed, max_new_tokens, check_reasons
        )

    def compare(
        self,
        photo: AnyPhoto,
        other: AnyPhoto,
        request: gr.Request,
        reference: AnyPhoto | None = None,
        samples: int = 1,
        temperature: float | None = None,
        seed: int = 42,
        max_new_tokens: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Say which of two photos has the better technical quality, "Image A" (photo) or "Image B" (other).

        Without a reference the question is asked in both orders, and the winner is "undecided" where the orders
        disagree. Use it to pick the better of two versions, such as two restorations of one photo.

        Args:
            photo: Image A: a data URI (data:image/jpeg;base64,...) or the path that POST /gradio_api/upload returned. Links are not fetched.
            other: Image B, given in the same way.
            reference: The low-quality photo that A and B both improve on, if there is one, given in the same way.
            samples: How many times to ask, 1 to 8.
            temperature: 0 for the most likely words (the default), up to 2; 1 where there are several samples.
            seed: Of the samples, a whole number from 0 to 4294967295.
            max_new_tokens: The length of a reply at most; the server's own limit is the default.
        """
        roles = {"photo": photo, "other": other} | ({"reference": reference} if reference else {})
        with self._called(request, roles) as (job, paths):
            sampling = self._sampling(samples, temperature, seed, max_new_tokens)
            given = [(_name(photo), _path(photo)) for photo in roles.values()]
            names = dict(zip(roles, names_of(given), strict=True))

            def requests(photos: list[Photo]) -> list[Request]:
                return comparison(*(photo.image for photo in photos)) * samples

            yield from self._follow(job, Task.COMPARISON, names, paths, requests, sampling)

    def rank(
        self,
        photos: list[AnyPhoto],
        request: gr.Request,
        max_new_tokens: int | None = None,
        at_most_wrong: float | None = None,
        good_from: float | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Rate and diagnose several photos and sort them, the best first.

        Sorted by the expected rating, the mean over the ratings the model might have written, which tells apart
        photos that were given the same one. Near-identical frames share a group. Use it to choose from a few photos.

        Args:
            photos: 1 to 20 photos, each a data URI (data:image/jpeg;base64,...) or the path that POST /gradio_api/upload returned.
            max_new_tokens: The length of a reply at most; the server's own limit is the default.
            at_most_wrong: With good_from, also sort into heaps (app_heap: accept, reject or look), of which accept and reject are each wrong at most this share of the time, such as 0.05. Needs a calibrated model.
            good_from: The rating from which a photo is to be accepted, above 1 and up to 5.
        """
        numbered = {str(number): photo for number, photo in enumerate(photos)}
        with self._called(request, numbered) as (job, paths), contextlib.ExitStack() as last:
            sampling = self._sampling(1, None, 42, max_new_tokens)
            bound = None if at_most_wrong is None or good_from is None else (at_most_wrong, good_from)
            root = scratch_folder()
            last.callback(shutil.rmtree, root, ignore_errors=True)
            folder = _gathered(root, {role: (_name(numbered[role]), path) for role, path in paths.items()})
            found = look(folder)
            for state in _watched(lambda job: self._ranked(folder, found, root / "out", sampling, job), job):
                yield {
                    "photos": [row.as_json() for row in self._known(state, bound)],
                    "total": len(found.frames),
                    **_standing(state, job),
                }

    def _known(self, state: "_State", bound: tuple[float, float] | None) -> list[Row]:
        """The rows with the app's interval, and once all are there with its heap."""
        known = self.host.calibration
        if bound and known is None and not self.host.loading:
            raise QInsightError("Expected no at_most_wrong: this model has no calibration.")
        heaps = triage(known, *bound) if bound and known and state.done else None
        return [with_confidence(row, known, heaps) for row in state.rows]

    # --- how it is answered ------------------------------------------------------------------------------

    def _each_photo(
        self,
        task: Task,
        photo: AnyPhoto,
        request: gr.Request,
        samples: int,
        temperature: float | None,
        seed: int,
        max_new_tokens: int | None,
        check_reasons: bool,
    ) -> Iterator[dict[str, Any]]:
        with self._called(request, {"photo": photo}) as (job, paths):
            sampling = self._sampling(samples, temperature, seed, max_new_tokens)

            def requests(photos: list[Photo]) -> list[Request]:
                return assessment(photos[0].image, [task]) * samples

            name = {"photo": _name(photo)}
            yield from self._follow(job, task, name, paths, requests, sampling, check_reasons)

    @contextlib.contextmanager
    def _called(
        self, request: gr.Request, photos: Mapping[str, AnyPhoto]
    ) -> Iterator[tuple[Job, dict[str, str]]]:
        """The caller's job and the files of the photos; errors become the sentences that callers read."""
        event, session = LocalContext.event_id.get(None), request.session_hash or ""
        address = address_of(request)
        if request.headers.get("x-gradio-user") == "mcp":  # all agents share Gradio's one session
            visitor, address = event or session, AGENTS
        elif session == event:  # a plain HTTP call: the address is all there is
            visitor = address or session
        else:
            visitor = session
        job = Job(visitor, address, {session, event or session} - ({session} if address == AGENTS else set()))
        root = scratch_folder()
        try:
            yield job, {role: _file_of(photo, root / role) for role, photo in photos.items()}
        except QInsightError as error:
            raise gr.Error(by_itself(str(error)), print_exception=False) from error
        finally:
            job.stop()
            shutil.rmtree(root, ignore_errors=True)

    def _sampling(
        self, samples: int, temperature: float | None, seed: int, max_new_tokens: int | None
    ) -> Sampling:
        if temperature is None:
            temperature = 1.0 if samples > 1 else 0.0
        most = self.sampling.max_new_tokens
        return replace(
            self.sampling,
            temperature=temperature,
            seed=seed,
            max_new_tokens=min(max_new_tokens or most, most),
        )

    def _follow(
        self,
        job: Job,
        task: Task,
        names: Mapping[str, str],
        paths: Mapping[str, str],
        requests: Callable[[list[Photo]], list[Request]],
        sampling: Sampling,
        check_reasons: bool = False,
    ) -> Iterator[dict[str, Any]]:
        for state in _watched(lambda job: self._asked(paths, requests, sampling, job, check_reasons), job):
            line = report(task, names, state.asked, state.model, made=state.made)
            if len(state.asked) == 1 and (sure := self.host.sure(state.asked[0], sampling)):
                line[FIELD] = sure
            if state.reasons is not None:
                line["reasons"] = state.reasons.as_json()
            far = reading_of(state.asked)
            line["reading"] = None if far is None else asdict(far)
            yield line | in_both_orders(task, names, state.asked) | _standing(state, job)

    def _asked(
        self,
        paths: Mapping[str, str],
        requests: Callable[[list[Photo]], list[Request]],
        sampling: Sampling,
        job: Job,
        check: bool,
    ) -> Iterator["_State"]:
        engine = yield from self.host.wait(job, lambda status: _State())
        about = engine.about
        photos = [self._decoded(role, path, about.max_pixels, job) for role, path in paths.items()]
        yield _State(model=about.name)
        asked: tuple[Asked, ...] = ()
        questions = requests(photos)
        for asked in ask(engine, questions, sampling):
            yield _State(model=about.name, asked=asked)
        made = made_by_all(about, questions, sampling)
        reasons = reasons_checked(asked[:1], photos[0].image, about.max_pixels)[0] if check else None
        yield _State(model=about.name, asked=asked, made=made, reasons=reasons, done=True)

    def _decoded(self, role: str, path: str, limit: int, job: Job) -> Photo:
        try:
            return self.darkroom.decode(path, limit, job.stopped)
        except PhotoError as error:
            raise PhotoError("{role}: {error}", role=role, error=error) from error

    def _ranked(
        self, folder: Path, found: Found, out: Path, sampling: Sampling, job: Job
    ) -> Iterator["_State"]:
        engine = yield from self.host.wait(job, lambda status: _State())
        rows: list[Row] = []

        def decode(path: Path, content: bytes) -> Photo:
            return self.darkroom.decode(str(path), engine.about.max_pixels, job.stopped)

        yield _State()
        for progress in rank_folder(
            engine,
            folder,
            out,
            sampling=sampling,
            decode=decode,
            stop=job.stopped,
            found=found,
        ):
            if progress.row is not None:
                rows.append(progress.row)
            yield _State(rows=tuple(rows))
        yield _State(rows=tuple(ranking(out, found.frames)), done=True)


@dataclass(frozen=True)
class _State:
    """What is known so far."""

    model: str | None = None
    asked: tuple[Asked, ...] = ()
    rows: tuple[Row, ...] = ()
    made: MadeBy | None = None
    reasons: Reasons | None = None
    done: bool = False


def _watched(work: Callable[[Job], Iterator[_State]], job: Job) -> Iterator[_State]:
    """Every state, and the last one again where nothing is new: it costs a few bytes."""
    state = _State()
    for news in in_background(work, job):
        state = news or state
        yield state


def _standing(state: _State, job: Job) -> dict[str, Any]:
    begun = state.asked or state.rows
    so_far = "reading" if reading_of(state.asked) else "thinking" if begun else "waiting"
    status = "done" if state.done else so_far
    return {"status": status, "before": 0 if state.done else job.before or 0}


ANSWERS: dict[str, Any] = {
    "score": ScoreAnswer,
    "diagnose": DiagnosisAnswer,
    "compare": ComparisonAnswer,
    "rank": RankAnswer,
}
NAMES = tuple(ANSWERS)


def _typed(method: Callable[..., Any], answer: Any) -> Callable[..., Any]:
    """The method as a function whose signature tells Gradio the type of its answers, not that it yields them."""

    @functools.wraps(method)
    def endpoint(*args: Any, **given: Any) -> Iterator[Any]:
        yield from method(*args, **given)

    endpoint.__signature__ = inspect.signature(method).replace(return_annotation=answer)  # type: ignore[attr-defined]
    return endpoint


# --- what is given ------------------------------------------------------------------------------------------


def checked(name: str, given: Sequence[Any] | Mapping[str, Any]) -> list[Any]:
    """The arguments of a call in order, with defaults; `BadCall` says in a sentence what is wrong with them.

    Asked before a call joins the line: nobody waits to be told of a typing error.
    """
    parameters = {one.name: one for one in _parameters(name)}
    if not isinstance(given, Mapping):
        if len(given) > len(parameters):
            raise BadCall(f"Expected at most {len(parameters)} values for /{name}, got {len(given)}.")
        given = dict(zip(parameters, given, strict=False))
    if unknown := sorted(set(given) - set(parameters)):
        raise BadCall(f"Expected {', '.join(parameters)} for /{name}, got {_shown(unknown[0])}.")
    values = []
    for parameter in parameters.values():
        if parameter.name not in given and parameter.default is inspect.Parameter.empty:
            raise BadCall(f"Expected a value for {parameter.name} of /{name}, got none.")
        value = given.get(parameter.name, parameter.default)
        if value is not parameter.default:
            CHECKS[parameter.name](parameter.name, value)
        values.append(value)
    told = dict(zip(parameters, values, strict=True))
    _check_samples(told)
    _check_bound(told)
    return values


def _parameters(name: str) -> list[inspect.Parameter]:
    found = inspect.signature(getattr(Api, name)).parameters.values()
    return [one for one in found if one.name not in ("self", "request")]


def names_of_parameters(name: str) -> list[str]:
    """What an endpoint is to be given, in order."""
    return [one.name for one in _parameters(name)]


def _check_photo(name: str, value: Any) -> None:
    if isinstance(value, dict):
        if value.get("is_stream"):
            raise BadCall(f"Expected an uploaded photo as {name}, got a stream.")
        value = value.get("path")
    if not isinstance(value, str) or not value:
        raise BadCall(f"Expected a photo as {name}: what /gradio_api/upload returned, or a data URI.")
    if _is_data_uri(value):
        if len(value) > LARGEST_DATA_URI:
            raise BadCall(
                f"Expected a data URI of at most {LARGEST_DATA_URI >> 20} MB as {name}; upload the photo first."
            )
        _check_data_uri(name, value)
    elif not inside_uploads(value):
        raise BadCall(
            f"Expected a photo as {name}: what /gradio_api/upload returned, or a data URI. Links and other "
            "files are not read."
        )


def _is_data_uri(value: str) -> bool:
    return value[:100].lstrip()[:5].lower() == "data:"


def _check_data_uri(name: str, value: str) -> None:
    """A photo's kind is told from its bytes: browsers say application/octet-stream of a RAW, or nothing."""
    head, comma, _ = value[:1000].partition(",")
    kind = head.partition(":")[2].partition(";")[0].strip().lower()
    if not comma or not re.fullmatch(r"(image/.*|application/octet-stream|)", kind):
        raise BadCall(f"Expected a data URI that begins with data:image/...;base64, as {name}.")


def _content_of(uri: str) -> bytes:
    """The bytes in a data URI, as browsers read them (WHATWG Fetch, "data: URL processor")."""
    head, _, told = uri.partition(",")
    content = unquote_to_bytes(told)
    if head.rpartition(";")[2].strip().lower() != "base64":
        return content
    content = b"".join(content.split())  # lines of 76 characters, as base64(1) writes them
    return base64.b64decode(content.rstrip(b"=") + b"=" * (-len(content.rstrip(b"=")) % 4), validate=True)


def _check_photos(name: str, value: Any) -> None:
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_RANKED:
        got = f"{len(value)}" if isinstance(value, list) else _shown(value)
        raise BadCall(f"Expected 1 to {MOST_RANKED} {name} in a list, got {got}.")
    for number, photo in enumerate(value):
        _check_photo(f"photo {number + 1}", photo)


def _whole(least: int, most: int) -> Callable[[str, Any], None]:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise BadCall(f"Expected {name} as a whole number from {least} to {most}, got {_shown(value)}.")

    return check


def _check_temperature(name: str, value: Any) -> None:
    right = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not right or not (value == 0 or 1e-3 <= value <= MOST_TEMPERATURE):
        raise BadCall(
            f"Expected {name} as 0, or a number from 0.001 to {MOST_TEMPERATURE:g}, got {_shown(value)}."
        )


def _check_samples(values: Mapping[str, Any]) -> None:
    if values.get("samples", 1) > 1 and values.get("temperature") == 0:
        raise BadCall("Expected a temperature above 0 with several samples; greedy samples are all the same.")


def _yes_or_no(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise BadCall(f"Expected {name} as true or false, got {_shown(value)}.")


def _number(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadCall(f"Expected {name} as a number, got {_shown(value)}.")


def _check_bound(values: Mapping[str, Any]) -> None:
    share, rating = values.get("at_most_wrong"), values.get("good_from")
    if (share is None) != (rating is None):
        raise BadCall("Expected at_most_wrong and good_from together, got one of them.")
    if share is not None and rating is not None:
        try:
            check_bound(share, rating)
        except QInsightError as error:
            raise BadCall(str(error)) from error


CHECKS: dict[str, Callable[[str, Any], None]] = {
    "photo": _check_photo,
    "other": _check_photo,
    "reference": _check_photo,
    "photos": _check_photos,
    "samples": _whole(1, MOST_SAMPLES),
    "temperature": _check_temperature,
    "seed": _whole(0, 2**32 - 1),
    "max_new_tokens": _whole(1, 1 << 20),
    "check_reasons": _yes_or_no,
    "at_most_wrong": _number,
    "good_from": _number,
}


def _shown(value: Any) -> str:
    """A stranger's value in a message: short, and of no use as markup."""
    words = repr(value)
    return html.escape(words[:40] + " …" if len(words) > 40 else words, quote=False)


def _path(photo: AnyPhoto) -> str:
    return photo if isinstance(photo, str) else photo["path"]


def _name(photo: AnyPhoto) -> str:
    """What the caller calls the photo: the name of the upload."""
    path = _path(photo)
    return "photo" if _is_data_uri(path) else Path(path).name


def _file_of(photo: AnyPhoto, place: Path) -> str:
    """The file of a photo; one that came as a data URI is written to `place`."""
    path = _path(photo)
    if not _is_data_uri(path):
        if not inside_uploads(path) or not os.path.isfile(path):
            raise BadCall("This upload has expired. Please upload the photo again.")
        return path
    try:
        place.write_bytes(_content_of(path))
    except (binascii.Error, ValueError) as error:
        raise BadCall("Expected a photo in base64, got a data URI that is damaged or cut short.") from error
    return str(place)


def _gathered(root: Path, photos: Mapping[str, tuple[str, str]]) -> Path:
    """A folder with the photos, under names that are all different."""
    folder = root / "photos"
    folder.mkdir()
    gathered(folder, ((_photo_name(name), path) for name, path in photos.values()))
    return folder


def _photo_name(name: str) -> str:
    """A name by which `rank_folder` takes a file for a photo; what is in it is told from its bytes."""
    name = name.strip(".") or "photo"
    return name if Path(name).suffix.lower() in SUFFIXES else f"{name}.jpg"
