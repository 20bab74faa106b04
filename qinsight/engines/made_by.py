"""What made an answer: all that its words depend on, in few enough bytes to stand beside each of them."""

import hashlib
import json
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from PIL import Image

from qinsight.engines.checkpoint import WEIGHTS
from qinsight.photos.view import view
from qinsight.prompts import Order, Task, build_messages
from qinsight.requests import About, Request, Sampling

WHOLE = 2**30  # bytes of weights that are hashed whole, in under a second; of larger ones pieces are
PIECES, PIECE = 64, 1 << 16  # of each file
SETTINGS = (".json", ".jinja", ".txt", ".model")
ASIDE = (
    "calibration.json",
    "passport.json",
)  # what was learnt of a model stands beside it, and makes no answer
PACKAGES = ("torch", "transformers", "pillow")
ANSWERING = ("answers.py", "assess.py", "odds.py", "prompts.py", "requests.py", "engines", "photos")

MadeBy = dict[str, Any]


def made_by(
    about: About,
    request: Request,
    sampling: Sampling,
    max_pixels: int | None = None,
    *,
    together: Sequence[Task] = (),
    photos: int = 1,
) -> MadeBy:
    """What the reply to a request depends on. `together`: the questions that were asked at once about the same
    photos, this one among them; `photos`: about how many photos, or pairs, such questions were asked at once.

    What is not known, such as the weights behind a server, is None.
    """
    limit = about.at(max_pixels).max_pixels
    seen = [view(photo, limit) for photo in request.photos]
    known = about.made_with
    questions = together or [request.task]
    order = Order(known.get("order", Order.QUESTION_FIRST))
    return {
        "engine": known.get("engine"),
        "device": about.device if about.precision != "server" else None,
        "precision": about.precision,
        "threads": known.get("threads"),
        "versions": versions(),
        "weights": known.get("weights") or about.weights or None,
        "settings": known.get("settings"),
        "prompt": prompt_hash(questions, request.reference, order),
        "pixels": [pixel_hash(picture) for picture in seen],
        "sizes": [list(picture.size) for picture in seen],
        "max_pixels": limit,
        "batch": {"questions": [str(task) for task in questions], "photos": photos},
        "sampling": asdict(sampling),
    }


def made_by_all(
    about: About, requests: Sequence[Request], sampling: Sampling, max_pixels: int | None = None
) -> MadeBy:
    """What the replies depend on to questions about the same photos, which were asked together."""
    together = [request.task for request in requests]
    return made_by(about, requests[0], sampling, max_pixels, together=together)


def as_shown(requests: Sequence[Request], max_pixels: int) -> list[Request]:
    """The same questions about the pictures that a model is shown, each of which is made once."""
    seen = {id(photo): photo for request in requests for photo in request.photos}
    shown = {number: view(photo, max_pixels) for number, photo in seen.items()}
    return [replace(one, photos=tuple(shown[id(photo)] for photo in one.photos)) for one in requests]


def prompt_hash(tasks: Iterable[Task], reference: bool, order: Order) -> str:
    """Of the words of questions, in their order, with the places of their photos."""
    words = [build_messages(task, reference=reference, order=order) for task in dict.fromkeys(tasks)]
    return _short(hashlib.sha256(json.dumps(words).encode()))


def pixel_hash(picture: Image.Image) -> str:
    """Of a picture's size and of every pixel of it."""
    seen = hashlib.sha256(f"{picture.mode} {picture.width}x{picture.height} ".encode())
    seen.update(picture.tobytes())
    return _short(seen)


@cache
def versions() -> dict[str, str]:
    """Of Python and the packages that an answer depends on; our own by the code that answers, which has no number."""
    found = {"qinsight": _code(), "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def contents(folders: Iterable[Path]) -> dict[str, str]:
    """Hashes of the weights that lie in folders, and of the settings, words and template beside them.

    Weights of more than `WHOLE` bytes are hashed in pieces, and their hash says so.
    """
    files = sorted({file for folder in folders for file in folder.iterdir() if file.is_file()})
    weights = [file for file in files if file.suffix in WEIGHTS]
    whole = sum(file.stat().st_size for file in weights) <= WHOLE
    told = _hashed(weights, PIECES if not whole else 0)
    settings = [file for file in files if file.suffix in SETTINGS and file.name not in ASIDE]
    return {"weights": told if whole else f"pieces {told}", "settings": _hashed(settings)}


def _hashed(files: Iterable[Path], pieces: int = 0) -> str:
    seen = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        seen.update(f"{file.name} {size} ".encode())
        with file.open("rb") as content:
            if not pieces:
                seen.update(hashlib.file_digest(content, "sha256").digest())
            for piece in range(pieces):
                content.seek(size * piece // pieces)
                seen.update(content.read(PIECE))
    return _short(seen)


def _code() -> str:
    here = Path(__file__).parents[1]
    places = [here / name for name in ANSWERING]
    return f"code {_hashed(file for place in places for file in _modules(place))}"


def _modules(place: Path) -> list[Path]:
    return sorted(place.rglob("*.py")) if place.is_dir() else [place]


def _short(seen: Any) -> str:
    return str(seen.hexdigest()[:32])
