"""Q-Insight: ask a vision model how good a photo is, and why. `qinsight.library` says how a program does it."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qinsight.library import Model, compare, diagnose, open, rank, score
    from qinsight.photos import load_photo

# Before torch is loaded: threads that spin while they wait are slow beside whatever else the computer does.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

__all__ = ["Model", "compare", "diagnose", "load_photo", "open", "rank", "score"]


def __getattr__(name: str) -> Any:
    """What the package offers, loaded when it is first used: `import qinsight` is nearly free."""
    if name not in __all__:
        raise AttributeError(f"module 'qinsight' has no attribute {name!r}")
    return getattr(import_module("qinsight.photos" if name == "load_photo" else "qinsight.library"), name)
