"""Photos of one set side by side, so that the ranking reward finds each of them a partner.

The reward compares the photos that one process has in one batch. In a joint run of two prompts a process, drawn
as they come, every other score question stands beside a question of another kind and earns its layout only.
"""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import Sampler

from qinsight.prompts import Task
from training.grpo.trainer import QInsightTrainer


class RankingTrainer(QInsightTrainer):
    """The trainer whose batches hold at least two photos of a set, where they hold one."""

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        inner = super()._get_train_sampler(dataset)
        local = self.args.per_device_train_batch_size * self.args.steps_per_generation
        rows = dataset if dataset is not None else self.train_dataset
        return Partnered(inner, kinds_of(rows), max(1, local // self.num_generations))


class Partnered(Sampler[int]):
    """TRL's sampler with the prompts of each epoch moved together, block by block of those a process gets."""

    def __init__(self, inner: Any, kinds: Sequence[str | None], block: int) -> None:
        self.inner, self.kinds, self.block = inner, kinds, block

    def __iter__(self) -> Iterator[int]:
        prompts, rollouts, turns = (
            self.inner.batch_size,
            self.inner.mini_repeat_count,
            self.inner.repeat_count,
        )
        order: list[int] = []
        once = prompts * rollouts
        for place, index in enumerate(self.inner):
            if place % (once * turns) < once and place % rollouts == 0:
                order.append(index)
        order = together(order, self.kinds, self.block)
        for start in range(0, len(order), prompts):
            for _ in range(turns):
                for index in order[start : start + prompts]:
                    yield from [index] * rollouts

    def __len__(self) -> int:
        return len(self.inner)


def kinds_of(rows: Any) -> list[str | None]:
    """The set of each score question; None for a question that is not ranked."""
    table = rows.with_format(None) if hasattr(rows, "with_format") else rows
    pairs = zip(table["task"], table["set"], strict=True)
    return [name if task == Task.SCORE else None for task, name in pairs]


def together(order: Sequence[int], kinds: Sequence[str | None], block: int) -> list[int]:
    """The same questions, in an order whose blocks hold two or more of a set, or none of it.

    Pairs of one set are made in the order given, so that a shuffled order stays as good as shuffled. A block's last
    place goes to a question that needs no partner, or to a set that has one there already.
    """
    if block < 2:
        return list(order)
    waiting = _Waiting(order, kinds)
    found: list[int] = []
    while len(found) < len(order):
        here: list[int] = []
        while len(here) < block and len(found) + len(here) < len(order):
            here += waiting.next(block - len(here), {kinds[index] for index in here})
        found += here
    return found


class _Waiting:
    """Questions that have no place yet: pairs of one set, questions without a set, and halves of pairs."""

    def __init__(self, order: Sequence[int], kinds: Sequence[str | None]) -> None:
        self.kinds = kinds
        self.halves: dict[str | None, int] = {}
        self.pairs: deque[tuple[int, int]] = deque()
        self.singles: deque[int] = deque()
        self.place = {index: place for place, index in enumerate(order)}
        for index in order:
            if kinds[index] is None:
                self.singles.append(index)
            else:
                self._wait(index)
        self.pairs = deque(sorted(self.pairs, key=lambda pair: self.place[pair[0]]))

    def next(self, room: int, here: set[str | None]) -> Sequence[int]:
        """The next one or two questions for a block that has `room` and holds the sets `here`."""
        if room > 1 and self.pairs and not (self.singles and self._before()):
            return self.pairs.popleft()
        if self.singles:
            return [self.singles.popleft()]
        kind = next((kind for kind in self.halves if kind in here or not self.pairs), None)
        if kind is not None:
            return [self.halves.pop(kind)]
        return [self._half_of_a_pair(here)]

    def _before(self) -> bool:
        return self.place[self.singles[0]] < self.place[self.pairs[0][0]]

    def _half_of_a_pair(self, here: set[str | None]) -> int:
        chosen = next((pair for pair in self.pairs if self.kinds[pair[0]] in here), self.pairs[0])
        self.pairs.remove(chosen)
        self._wait(chosen[1])
        return chosen[0]

    def _wait(self, index: int) -> None:
        """Until another of its set comes, with which it is a pair."""
        partner = self.halves.pop(self.kinds[index], None)
        if partner is None:
            self.halves[self.kinds[index]] = index
        else:
            self.pairs.append((partner, index))


def lonely(order: Sequence[int], kinds: Sequence[str | None], block: int) -> float:
    """The share of score questions that no other of their set stands beside."""
    alone = scored = 0
    for start in range(0, len(order), block):
        sets = Counter(kinds[index] for index in order[start : start + block])
        sets.pop(None, None)
        alone += sum(count == 1 for count in sets.values())
        scored += sets.total()
    return alone / scored if scored else 0.0
