"""The flags that name a model, the same for the page and the command line, and the engine they name."""

import argparse

from qinsight.engines.checkpoint import Device, Precision, Progress, holds_gguf
from qinsight.engines.gguf_header import Type
from qinsight.errors import EngineError
from qinsight.photos.view import MIN_PIXELS
from qinsight.prompts import Order
from qinsight.requests import Engine


def add_model_flags(parser: argparse.ArgumentParser) -> None:
    """Which model answers, where, in what precision, and how much it is shown and may say."""
    add = parser.add_argument
    add("--model", default="auto", metavar="DIR|HUB_ID|preview", help="default: the best that fits here")
    words = "convert the weights for llama.cpp first, once (default of --model then: the published ones), and keep them"
    add("--convert", choices=[*Type], type=Type, metavar="TYPE", help=f"{words}; one of {', '.join(Type)}")
    add("--endpoint", metavar="URL", help="ask an OpenAI-compatible server instead, e.g. http://host:8000/v1")
    add("--device", choices=[*Device], type=Device, default=Device.AUTO, help="default: auto")
    add("--precision", choices=[*Precision], type=Precision, default=Precision.AUTO, help="default: auto")
    words = "question or photo first; default: as the model was trained, for an endpoint question first"
    add("--order", choices=[*Order], type=Order, help=words)
    words = "rate at most this many pixels; default: the model's own, about 1 megapixel"
    add("--max-pixels", type=pixel_count, metavar="N", help=words)
    add("--max-new-tokens", type=positive, default=1024, metavar="N", help="default: 1024")
    words = "over the whole text; default: the checkpoint's own, of an endpoint what it takes by itself"
    add("--repetition-penalty", type=_penalty, metavar="P", help=words)


def open_engine(options: argparse.Namespace, progress: Progress) -> Engine:
    """The engine that the flags name; `EngineError` if it cannot be had."""
    if options.endpoint:
        if options.convert:
            raise EngineError("Expected --convert without --endpoint: a server has its own weights.")
        from qinsight.engines.server import EndpointEngine

        model = None if options.model == "auto" else options.model
        return EndpointEngine.open(options.endpoint, model, order=options.order or Order.QUESTION_FIRST)
    model = options.model
    if options.convert:
        from qinsight.engines.ready import ready

        model = str(ready(model, options.convert, progress))
    return open_here(model, options.device, options.precision, progress, options.order)


def open_here(
    model: str, device: Device, precision: Precision, progress: Progress, order: Order | None
) -> Engine:
    """The engine for weights on this computer: converted ones, or others; `EngineError` if it cannot be had."""
    if holds_gguf(model):
        from qinsight.engines.llama_engine import LlamaEngine

        return LlamaEngine.open(model, device, precision, progress, order)
    from qinsight.engines.local import LocalEngine  # torch takes seconds, and a server is asked without it

    return LocalEngine.open(model, device, precision, progress, order)


def positive(text: str) -> int:
    """A whole number of 1 or more, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of 1 or more, got {text!r}")
    return int(text)


def _penalty(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 10:
        raise argparse.ArgumentTypeError(f"expected a number above 0, at most 10, got {text!r}")
    return value


def pixel_count(text: str) -> int:
    """A number of pixels that the model can be shown, for argparse."""
    if not text.isdecimal() or int(text) < MIN_PIXELS:
        raise argparse.ArgumentTypeError(f"expected a number of pixels, {MIN_PIXELS} or more, got {text!r}")
    return int(text)
