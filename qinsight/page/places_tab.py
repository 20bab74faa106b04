"""Where in the photo: tiles at 100 % asked one after the other, drawn over the photo in Assess's loupe as they come."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from qinsight.page.host import Host
from qinsight.page.line import Job
from qinsight.page.loupe import Loupes
from qinsight.page.pictures import laid, line
from qinsight.page.record import on_the_table
from qinsight.page.result import answer_part
from qinsight.page.tab import AT_ONCE, DRAWN, Said, Tab, phrase, remark, turn_of
from qinsight.page.table import Question, Seen
from qinsight.page.words import Spoken, Words, label
from qinsight.requests import Sampling
from qinsight.trust.places import Places, Tile, map_places


@dataclass(frozen=True)
class _State:
    """What is known so far of the photo that has this number in the loupe."""

    status: Said
    photo: str = ""
    found: Places | None = None


class PlacesTab(Tab):
    """The button below Assess's loupe, and what it finds. Its question is one of its own: Assess's answer stays."""

    name = "places"

    def __init__(self, host: Host, sampling: Sampling, spoken: Spoken, loupes: Loupes) -> None:
        self.loupes = loupes
        super().__init__(host, sampling, spoken)

    def _lay_out(self) -> None:
        with gr.Row():
            self.button = gr.Button(label("closer"), size="sm", elem_id="closer", min_width=100)
            self.stop = gr.Button(label("stop"), size="sm", elem_id="closer-stop", min_width=100)
        self.laid = laid("places-record", "places")
        self.status = line("places", "places-status")
        self.problem = line("places", "places-problem", "now")
        self.map = answer_part("places", "closer", "places")
        self.outputs = [self.laid, self.status, self.problem, self.map]

    def _wire(self) -> None:
        asks = "() => [{ ...qi.turn('places', true), photo: qi.looked() }]"
        turn = self.button.click(self.turn_to, [self.laid], self.outputs, js=asks, **DRAWN)
        self.then_ask([turn], self.run, concurrency_id="model", concurrency_limit=None)
        self.stop.click(self.stop_it, [self.laid], None, js="() => [qi.stop('places')]", **AT_ONCE)

    def turn_to(self, told: Any, request: gr.Request) -> list[Any]:
        """The photo in the loupe is to be looked at more closely."""
        turn, given = turn_of(told), told if isinstance(told, dict) else {}
        photo = given.get("photo")
        known = isinstance(photo, str) and self.loupes.path(photo) is not None
        if not self.tables.turn_to(request.session_hash, turn.number, photo if known else None):
            return [gr.skip()] * len(self.outputs)
        words = self.spoken.words(request)
        problem = "" if known else words("photo_first")
        return self._values(
            _State(phrase("waiting")), Seen(turn.number, words, running=known, problem=problem)
        )

    def run(self, request: gr.Request) -> Iterator[Any]:
        """Ask about the tiles; yields the values of `outputs`."""
        yield from self.follow(request, _State(phrase("reading")), self._work, self._show)

    def _work(self, photo: str, job: Job) -> Iterator[_State]:
        engine = yield from self.host.wait(job, lambda status: _State(remark(status)))
        image = self.loupes.image(photo)
        for found in map_places(engine, image, self.sampling, stop=job.stopped):
            pace = phrase("places_pace", done=found.done, total=len(found.tiles), seconds=found.seconds)
            yield _State(pace, photo, found)

    def _show(self, question: Question, state: _State, seen: Seen) -> list[Any]:
        return self._values(state, seen)

    def stopped_at(self, state: _State) -> Said:
        return state.status if state.found else phrase("stopped")

    def _values(self, state: _State, seen: Seen) -> list[Any]:
        shown = places_value(state.photo, state.found, seen.words) if state.found else None
        told = "" if seen.problem else state.status(seen.words)
        return [on_the_table(seen), seen.part(told), seen.part(seen.problem), seen.part(shown)]


def places_value(photo: str, found: Places, words: Words) -> dict[str, Any]:
    """What is drawn over the photo and listed beside it: the tiles asked so far, what the app names in lines of its own."""
    lines = [words("covered", part=found.covered), *(words.remark(line) for line in found.lines)]
    tiles = [tile for tile in found.tiles if tile.asked]
    return {
        "photo": photo,
        "tiles": [_tile(tile, found, words) for tile in tiles],
        "lines": [words("named", name=words("app_says"), problem=line) for line in lines] if tiles else [],
    }


def _tile(tile: Tile, found: Places, words: Words) -> list[Any]:
    """Its box, the model's rating, what the app names it, and in which ninth of the photo it lies."""
    names = {"sharpest": found.sharpest, "noisiest": found.noisiest, "lowest": found.lowest}
    called = words("comma").join(words(name) for name, one in names.items() if one == tile)
    rating = "–" if tile.worth is None else f"{tile.worth:.1f}"
    return [tile.left, tile.top, tile.width, tile.height, rating, called, words.remark(found.where(tile))]
