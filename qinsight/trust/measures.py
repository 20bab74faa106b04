"""Plain measures of a picture beside which a model is audited; higher is better. They judge sharpness, or noise, and nothing else."""

from importlib.util import find_spec
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from qinsight.trust.audit import Judge


def measures() -> dict[str, Judge]:
    """By their names; scikit-image's where it is installed, with what it needs."""
    found: dict[str, Judge] = {"Laplacian variance": _laplacian}
    if find_spec("skimage"):
        found["blur_effect"] = _blur_effect
        if find_spec("pywt"):
            found["estimate_sigma"] = _estimate_sigma
    return found


def _luma(photo: Image.Image) -> Any:
    return np.asarray(photo.convert("L"), np.float32) / 255


def _laplacian(photo: Image.Image) -> float:
    return float(ndimage.laplace(_luma(photo)).var())


def _blur_effect(photo: Image.Image) -> float:
    from skimage.measure import blur_effect

    return -float(blur_effect(_luma(photo)))


def _estimate_sigma(photo: Image.Image) -> float:
    from skimage.restoration import estimate_sigma

    return -float(estimate_sigma(_luma(photo)))
