"""Failures a person can act on, each a template with its values; anything else is a bug.

`str` of such an error is the finished English sentence, `sentence` still knows the template, by which the page finds it
in another language. What a `PhotoError` says stands behind the name of a file: it begins in lower case and ends
without a full stop. What any other error says stands by itself: it begins with a capital and ends with a full stop.
"""

import copyreg
from typing import Any

from qinsight.sentence import Sentence


class QInsightError(Exception):
    """Says in one sentence what was expected, what came, and what to do."""

    def __init__(self, template: str, /, **values: object) -> None:
        super().__init__(template if isinstance(template, Sentence) else Sentence(template, **values))

    @property
    def sentence(self) -> Sentence:
        """What it says, with its template."""
        said: Sentence = self.args[0]
        return said

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own would call __init__ again, which children have with arguments of theirs.
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class PhotoError(QInsightError):
    """The file is not a photo we can show the model."""


class AnswerError(QInsightError):
    """The model finished without an answer we can read."""


class EngineError(QInsightError):
    """The model cannot be found, loaded or run."""


class RequestFailed(EngineError):
    """The model could not answer this request, for want of memory or time; others may fare better."""


class NotLent(EngineError):
    """No GPU was lent for this question, nor would one be for the next: asking on is of no use now."""


class Stopped(QInsightError):
    """The person pressed Stop, or left."""
