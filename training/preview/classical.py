"""What 30 plain statistics and boosted trees make of the same views: the honest ceiling beside the preview.

They learn from views of the training photos, drawn like the lessons', and are asked about the views that the preview is
asked about. scikit-learn is wanted for this only; without it the column stays empty.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from itertools import pairwise

import numpy as np
from PIL import Image
from scipy import ndimage

from training.data import crops
from training.data.degrade import Degraded
from training.preview import lessons

VIEWS_PER_PHOTO = 24
TOKENS = (16, 300)
SMOOTHING = (1.0, 2.5, 5.0)  # pixels
BLOCK = 8


class Classical:
    """Class, severity and opinion of a photo, from statistics that nobody learnt."""

    def __init__(self, photos: Sequence[Image.Image], seed: int) -> None:
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        rng = np.random.default_rng((seed, 30))
        views = [
            view.degraded
            for photo in photos
            for _ in range(VIEWS_PER_PHOTO // 3)
            for view in lessons.draw_views([photo], _tokens(rng), 3, rng)
        ]
        known = features(views)
        told = np.array([view.diagnosed for view in views])
        shape = {"max_iter": 200, "learning_rate": 0.06, "random_state": seed}
        labels = [f"{view.distortion_class} {view.severity}" for view in views if view.diagnosed]
        self._classes = HistGradientBoostingClassifier(**shape).fit(
            known[told], [label.split()[0] for label in labels]
        )
        self._labels = HistGradientBoostingClassifier(**shape).fit(known[told], labels)
        self._opinions = HistGradientBoostingRegressor(**shape).fit(known, [view.mos for view in views])

    def look(self, views: Sequence[Degraded]) -> tuple[list[tuple[str, str]], np.ndarray]:
        """For each view its class and severity, the likeliest severity of the likeliest class, and its opinion, 1 to 5."""
        shown = features(views)
        chances = self._labels.predict_proba(shown)
        severities = np.array([label.split() for label in self._labels.classes_])
        named = []
        for name, row in zip(self._classes.predict(shown), chances, strict=True):
            own = np.where(severities[:, 0] == name, row, -1.0)
            named.append((str(name), str(severities[int(own.argmax()), 1])))
        return named, self._opinions.predict(shown)


def available() -> bool:
    """Whether scikit-learn is installed."""
    return find_spec("sklearn") is not None


def features(views: Sequence[Degraded]) -> np.ndarray:
    """One row of 30 statistics for each view: (views, 30)."""
    return np.array([_statistics(crops.fit(view).image) for view in views])


def _statistics(photo: Image.Image) -> list[float]:
    pixels = np.asarray(photo, np.float32) / 255
    luma = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    blue = pixels @ np.array([-0.169, -0.331, 0.5], np.float32)
    fine, colour = crops.roughness(luma), crops.roughness(blue)
    blurred = [ndimage.gaussian_filter(luma, sigma)[1:-1, 1:-1] for sigma in SMOOTHING]
    middle, coarse = (np.abs(a - b) for a, b in pairwise(blurred))
    in_blocks, textured = _in_blocks(fine), _in_blocks(middle)
    busy = textured > np.median(textured)
    if not busy.any():
        busy[:] = True
    crisp = np.log((in_blocks[busy] + 1e-3) / (textured[busy] + 1e-3))
    levels = np.quantile(np.log(in_blocks + 1e-3), (0.1, 0.25, 0.9))
    low, half, high = np.quantile(crisp, (0.1, 0.5, 0.9))
    across = np.abs(np.diff(blue, axis=1))
    return [
        *lessons.measure(photo).values(),
        *(high - low, half, low, high, float((crisp < -1).mean())),
        *(levels[2] - levels[0], *levels),
        float((np.abs(np.diff(luma, axis=1)) < 0.5 / 255).mean()),  # exactly flat
        *((_period(luma, step) + _period(luma.T, step)) / 2 for step in (4, 8, 16)),
        float(np.median(colour) / (np.median(fine) + 1e-4)),
        float(colour.mean() / (fine.mean() + 1e-4)),
        abs(float(np.log((across[:, ::2].mean() + 1e-5) / (across[:, 1::2].mean() + 1e-5)))),  # halved chroma
        float(np.log((middle.mean() + 1e-6) / (coarse.mean() + 1e-4))),
        float(np.log(((fine**2).mean() + 1e-9) / (fine.mean() ** 2 + 1e-8))),
    ]


def _in_blocks(plane: np.ndarray) -> np.ndarray:
    down, across = plane.shape[0] // BLOCK, plane.shape[1] // BLOCK
    whole = plane[: down * BLOCK, : across * BLOCK]
    return whole.reshape(down, BLOCK, across, BLOCK).mean((1, 3)).ravel()


def _period(luma: np.ndarray, step: int) -> float:
    """How far the strongest of `step` column phases stands out: what codecs of such blocks leave."""
    steps = np.abs(np.diff(luma, axis=1)).mean(0)
    phases = np.sort(steps[: len(steps) // step * step].reshape(-1, step).mean(0))
    return float((phases[-1] - np.median(phases)) / (phases.mean() + 1e-4))


def _tokens(rng: np.random.Generator) -> int:
    low, high = TOKENS
    return round(float(np.exp(rng.uniform(np.log(low), np.log(high)))))
