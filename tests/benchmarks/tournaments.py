"""How often a tournament is right: `python tests/benchmarks/tournaments.py [COUNT] [JUDGE]`, of eight frames, with scripted judges.

A judge is one of those below by the beginning of its name; without one it is all of them.
"""

import sys
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

from qinsight.trust.tournament import tournament
from shared.engines import bright
from shared.judges import PairJudge, frames

FRAMES = 8
JUDGES: dict[str, Callable[[int], PairJudge]] = {
    "each reply right 8 times in 10": lambda seed: PairJudge(seed, right=0.8),
    "copies: each reply a coin": lambda seed: PairJudge(seed, right=0.5),
    "always right": lambda seed: PairJudge(seed),
    "always the first": lambda seed: PairJudge(seed, always="Image A"),
    "each pair right 8 times in 10, both orders alike": lambda seed: PairJudge(seed, of_pairs=0.8),
    "copies: each pair a coin, both orders alike": lambda seed: PairJudge(seed, of_pairs=0.5),
}


def show(name: str, judge_of: Callable[[int], PairJudge], count: int) -> None:
    """A line: how often a winner was named and was the best, and the best was in the undecided group."""
    named = right = held = questions = 0
    for seed in range(1000, 1000 + count):
        judge, photos = judge_of(seed), frames(FRAMES, seed)
        *_, standing = tournament(judge, photos)
        best = max(range(FRAMES), key=lambda place: bright(photos[place]))
        named += standing.winner is not None
        right += standing.winner == best
        held += standing.winner is None and best in standing.top
        questions += judge.questions
    print(
        f"{name}: of {count} a winner named {named}, it is the best {right}; "
        f"undecided {count - named}, the best among them {held}; {questions / count:.0f} questions",
        flush=True,
    )


if __name__ == "__main__":
    asked = dict(enumerate(sys.argv))
    for title, judge in JUDGES.items():
        if title.startswith(asked.get(2, "")):
            show(title, judge, int(asked.get(1, 100)))
