"""Whose turn it is at a server, and how long it may leave a question unanswered.

A server with few slots answers one question after the other, and each may take minutes: as many are sent as it has
slots. Where it does not tell how many it has, a question waits behind ours that were sent before it or about when
it was, and its time begins anew whenever the server is heard on one of those. Of what was sent long after it, none
is to come first; a server that is not heard at all keeps nobody waiting.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from qinsight.sentence import Sentence

ABOUT = 0.25  # the share of its time within which questions are sent at about the same moment


class Turn:
    """One question on its way: what the server owes it, and since when."""

    def __init__(self, others: "list[Turn]") -> None:
        self.limit = asyncio.timeout(None)
        self.wait = 0.0
        self.what = Sentence("")
        self._others = others  # that the server may answer first
        self._loop = asyncio.get_running_loop()
        self.asked = self.last = self._loop.time()  # last: when the server was heard, or asked
        self.begun = False
        self._look: asyncio.TimerHandle | None = None

    def owes(self, wait: float, what: Sentence) -> None:
        """From now on the server may take `wait` seconds to do `what`."""
        if wait != self.wait:
            self.wait, self.what = wait, what
            self._look_at(self._loop.time() + wait)

    def heard(self) -> None:
        """The server said something, and to this question."""
        self.last = self._loop.time()
        self.begun = True

    def may_come_after(self, other: "Turn") -> None:
        """Packets pass one another: what is sent soon after this may be answered before it."""
        if not self.begun and (not self.wait or other.asked - self.asked <= self.wait * ABOUT):
            self._others.append(other)

    def end(self) -> None:
        self._others = []
        self._forget()

    def _forget(self) -> None:
        if self._look:
            self._look.cancel()

    def _look_at(self, when: float) -> None:
        self._forget()
        self._look = self._loop.call_at(when, self._is_late)

    def _is_late(self) -> None:
        last = self.last
        if not self.begun:
            last = max([last, *(turn.last for turn in self._others)])
        if last + self.wait > self._loop.time():
            self._look_at(last + self.wait)
        else:
            self.limit.reschedule(self._loop.time())


class Turns:
    """The questions on their way to one server, in the order in which they were sent."""

    def __init__(self, slots: int) -> None:
        self._slots: contextlib.AbstractAsyncContextManager[None] = (
            asyncio.Semaphore(slots) if slots else contextlib.nullcontext()
        )
        self._sent: list[Turn] = []

    @contextlib.asynccontextmanager
    async def take(self) -> AsyncIterator[Turn]:
        """A turn, as soon as there is a slot for it."""
        async with self._slots:
            turn = Turn(list(self._sent))
            for sent in self._sent:
                sent.may_come_after(turn)
            self._sent.append(turn)
            try:
                yield turn
            finally:
                turn.end()
                self._sent.remove(turn)
