"""What is said to a person: a template and the values in it, so that it can be said in another language too."""

import re
import string
from collections.abc import Mapping, Sequence
from typing import Any, Self


class Sentence(str):
    """A finished English sentence, or a part of one, that still knows its template and its values.

    It is written to JSON, CSV and a terminal as the English that it is. A value may be a sentence itself, or an
    error, which stands for what it says. Without values the words are taken as they are, braces too.
    """

    template: str
    values: Mapping[str, Any]

    def __new__(cls, template: str, /, **values: object) -> Self:
        told = {name: _told(value) for name, value in values.items()}
        made = super().__new__(cls, template.format(**told) if told else template)
        made.template, made.values = template, told
        return made

    @classmethod
    def joined(cls, parts: Sequence["Sentence"]) -> "Sentence | None":
        """Several as one, with "; " between them; None where there are none."""
        if len(parts) < 2:
            return parts[0] if parts else None
        return Sentence("{first}; {others}", first=parts[0], others=cls.joined(parts[1:]))

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, Any]]:
        return (self.template,), {**self.values}

    def as_json(self) -> list[Any]:
        """The template and the values, for JSON; `from_json` reads them again."""
        values = {
            name: {"said": value.as_json()} if isinstance(value, Sentence) else value
            for name, value in self.values.items()
        }
        return [self.template, values]

    @classmethod
    def from_json(cls, told: Any) -> Self:
        """The sentence again; `ValueError` or `TypeError` for anything else than `as_json` gives."""
        template, given = told
        for _, name, spec, _ in string.Formatter().parse(template):
            if name is not None and not (
                name.isidentifier() and name in given and _PLAIN.fullmatch(spec or "")
            ):
                raise ValueError(f"expected {name!r} among the values of {template!r}")
        values = {
            name: cls.from_json(value.get("said")) if isinstance(value, dict) else value
            for name, value in given.items()
        }
        return cls(template, **values)


_PLAIN = re.compile(r"(\.\d)?[a-z%]?")  # how numbers are written in sentences: it may come from a file


def told_bytes(size: float) -> str:
    """In GB, or where that would be none in MB."""
    return f"{size / 1e9:.1f} GB" if size >= 5e7 else f"{size / 1e6:.1f} MB"


def by_itself(said: str) -> str:
    """Words that stand behind a file's name elsewhere, as a sentence of its own."""
    return said[:1].upper() + said[1:] + ("" if said.endswith((".", "!", "?", "…", "。")) else ".")


def _told(value: object) -> Any:
    """A value that keeps nothing alive, in memory or in a pickle: a sentence, a number, or words."""
    said = getattr(value, "sentence", value)
    return said if isinstance(said, Sentence | int | float | None) else str(said)
