"""Failures a person can act on. Their words are shown as they are; anything else is a bug."""


class QInsightError(Exception):
    """Says in one sentence what was expected, what came, and what to do."""


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
