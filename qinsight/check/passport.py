"""The passport: which engine was checked, what came of it, as a table and as `passport.json`."""

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from qinsight.check.evidence import State, Verdict
from qinsight.requests import About
from qinsight.whole_files import whole_text

PASSPORT = "passport.json"
NOT_LOOKED_AT = (
    "Not looked at was what all pictures may undergo alike, such as another tone, sharpness or coarser colours: "
    "--against compares with replies that were recorded from an engine that is trusted."
)
PACKAGES = ("torch", "transformers", "pillow", "httpx2")


@dataclass(frozen=True)
class Passport:
    """What a check came to."""

    engine: dict[str, Any]
    versions: dict[str, str]
    date: str
    questions: int
    verdicts: tuple[Verdict, ...]

    @property
    def alarms(self) -> list[str]:
        """The names of what went wrong."""
        return [verdict.name for verdict in self.verdicts if verdict.state is State.ALARM]

    @property
    def summary(self) -> str:
        """The last line of the table."""
        if self.alarms:
            return f"Alarm: {', '.join(self.alarms)}."
        identity = next((verdict for verdict in self.verdicts if verdict.name == "identity"), None)
        if identity is None or identity.state is State.UNKNOWN:
            return f"Handled as it should be, as far as it can be seen. {NOT_LOOKED_AT}"
        return f"Handled as it should be; {identity.words}."

    def table(self) -> str:
        """A line a verdict."""
        wide = max(len(verdict.name) for verdict in self.verdicts)
        lines = [f"{_MARKS[v.state]}  {v.name:{wide}}  {v.words}" for v in self.verdicts]
        return "\n".join([*lines, self.summary])

    def write(self, folder: Path) -> Path:
        """`passport.json` in the folder, whole or not at all."""
        path = folder / PASSPORT
        with whole_text(path) as file:
            json.dump({**asdict(self), "alarms": self.alarms, "summary": self.summary}, file, indent=1)
            file.write("\n")
        return path


_MARKS = {State.OK: "ok   ", State.ALARM: "ALARM", State.NOTE: "note ", State.UNKNOWN: "?    "}


def engine_of(about: About, version: str = "", penalty: float | None = None) -> dict[str, Any]:
    """What is known of the engine, for the passport; `version` is what a server says of itself, `penalty` a person's own."""
    return {
        "name": about.name,
        "weights": about.weights,
        "precision": about.precision,
        "device": about.device,
        "max_pixels": about.max_pixels,
        **{name: about.made_with.get(name) for name in ("engine", "order", "settings")},
        "repetition_penalty": penalty,
        **({"version": version} if version else {}),
        **about.details,
    }


def versions(names: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Of Python and of what an answer depends on, as far as it is installed."""
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
