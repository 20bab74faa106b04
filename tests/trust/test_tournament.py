"""A tournament names the best where it is clear, and else says among which it is; in few questions."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qinsight.__main__ import main
from qinsight.errors import AnswerError, QInsightError
from qinsight.library import Model
from qinsight.requests import Sampling
from qinsight.trust import tournament_command
from qinsight.trust.tournament import Standing, most_pairs, tournament
from shared.engines import bright
from shared.judges import PairJudge, frames

EXAMPLES = Path(__file__).parents[2] / "examples" / "photos"


def run(judge: PairJudge, photos: list[Image.Image]) -> Standing:
    *_, standing = tournament(judge, photos)
    return standing


def best(photos: list[Image.Image]) -> int:
    return max(range(len(photos)), key=lambda place: bright(photos[place]))


def test_a_judge_that_is_always_right_has_its_best_named_in_half_of_the_questions() -> None:
    for seed in range(3):
        judge, photos = PairJudge(), frames(8, seed)
        standing = run(judge, photos)
        assert standing.winner == best(photos)
        assert judge.questions == 2 * len(standing.pairs) <= 28
        assert standing.orders.agree == len(standing.pairs)
        assert standing.intransitive == []


@pytest.mark.parametrize("always", ["Image A", "Image B"])
@pytest.mark.parametrize("count", [2, 5, 8])
def test_who_prefers_a_place_gets_no_verdict(always: str, count: int) -> None:
    judge, photos = PairJudge(always=always), frames(count)
    standing = run(judge, photos)
    assert standing.winner is None
    assert sorted(standing.top) == list(range(count))
    if count == 8:
        assert standing.orders.preference == ("first" if always == "Image A" else "second")
        assert judge.questions == 16  # more would not tell more


@pytest.mark.parametrize("how", [{"right": 0.8}, {"of_pairs": 0.8}])
def test_with_a_noisy_judge_the_best_is_in_the_undecided_group(how: dict[str, float]) -> None:
    for seed in range(8):
        photos = frames(8, seed)
        standing = run(PairJudge(seed, **how), photos)
        assert len(standing.pairs) <= 14
        assert standing.winner is not None or best(photos) in standing.top


def test_whom_a_judge_with_noisy_replies_names_is_the_best() -> None:
    for seed in range(8):
        photos = frames(8, seed)
        assert run(PairJudge(seed, right=0.8), photos).winner in (None, best(photos))


def test_copies_cannot_be_told_apart() -> None:
    undecided = [run(PairJudge(seed, right=0.5), frames(8, seed)).winner is None for seed in range(8)]
    assert sum(undecided) >= 7


def test_a_leader_is_named_only_if_the_model_says_so_again_when_it_is_sampled() -> None:
    judge, photos = PairJudge(), frames(8)
    standing = run(judge, photos)
    *greedy, last = judge.asked
    assert {sampling.temperature for _, sampling, _ in greedy} == {0}
    assert (last[1].temperature, len(last[0])) == (1.0, 2)
    assert [pair.again for pair in standing.pairs] == [False] * (len(standing.pairs) - 1) + [True]

    class Wavering(PairJudge):
        def _first_is_better(self, one: int, other: int) -> bool:
            return super()._first_is_better(one, other) or self.asked[-1][1].temperature > 0

    wavering = run(Wavering(), photos)
    assert wavering.winner is None
    assert best(photos) in wavering.top


def test_what_goes_in_a_circle_is_named() -> None:
    class Circle(PairJudge):
        def _first_is_better(self, one: int, other: int) -> bool:
            return (one // 20 - other // 20) % 3 == 1

    photos = [Image.new("RGB", (28, 28), (20 * place,) * 3) for place in range(3)]
    standing = run(Circle(), photos)
    assert standing.intransitive == [(0, 2, 1)]
    assert standing.winner is None


def test_a_reply_that_cannot_be_read_is_no_answer_and_it_is_said() -> None:
    photos = frames(4)
    mumbled = bright(photos[0])
    standing = run(PairJudge(mumbles=mumbled), photos)
    unread = [pair for pair in standing.pairs if 0 in (pair.one, pair.other)]
    assert len(unread) == standing.orders.unread > 0
    assert all(pair.outcome is None and pair.error for pair in unread)
    nothing = run(PairJudge(always="hm"), photos)
    assert nothing.winner is None
    assert nothing.orders.read == 0


@pytest.mark.parametrize(("frames", "most"), [(2, 2), (3, 4), (4, 6), (8, 14), (12, 33)])
def test_at_most_half_of_the_ordered_pairs_are_asked_of_eight_or_more(frames: int, most: int) -> None:
    assert most_pairs(frames) == most


# --- the library ------------------------------------------------------------------------------------------------------


def test_a_program_gets_the_standing_and_the_meter_of_its_model() -> None:
    model, photos = Model(PairJudge(), Sampling(), None), frames(8)
    found = model.tournament(photos)
    assert found.winner == best(photos)
    assert str(found) == f"photo {found.winner} is the best."
    assert model.order == found.order
    model.compare(photos[0], photos[1])
    assert model.order.read == found.order.read + 1
    for few in (photos[:1], frames(12) + frames(1)):
        with pytest.raises(QInsightError, match="2 to 12 frames"):
            model.tournament(few)
    with pytest.raises(AnswerError):
        Model(PairJudge(always="hm"), Sampling(), None).compare(photos[0], photos[1])


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Eight frames in files, before a judge that is always right."""
    monkeypatch.setattr(tournament_command, "open_engine", lambda options, progress: PairJudge())
    paths = [tmp_path / f"{place}.png" for place in range(8)]
    for path, photo in zip(paths, frames(8), strict=True):
        photo.save(path)
    return [str(path) for path in paths]


def test_the_command_says_who_is_best_and_json_holds_every_pair(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    winner = files[best(frames(8))]
    assert main(["tournament", *files]) == 0
    assert f"{winner} is the best." in capsys.readouterr().out
    assert main(["tournament", "--json", *files]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (told["winner"], told["top"], told["ordered_pairs"]) == (winner, [winner], 56)
    assert told["questions"] == 2 * len(told["pairs"]) <= 28
    assert all(len(pair["answers"]) == 2 and pair["better"] in files for pair in told["pairs"])
    assert {frame["photo"] for frame in told["frames"]} == set(files)
    assert all(
        frame["interval_95"][0] <= frame["strength"] <= frame["interval_95"][1] for frame in told["frames"]
    )
    assert told["order"]["agree"] == len(told["pairs"])


def test_too_few_too_many_and_the_same_file_twice_are_a_sentence_each(
    files: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "link.png").symlink_to(files[0])
    for photos, words in (
        (files[:1], "2 to 12 frames for a tournament, got 1"),
        (files + files[:5], "2 to 12 frames for a tournament, got 13"),
        ([files[0], files[1], files[0]], "every frame once"),
        ([files[0], str(tmp_path / "link.png")], "every frame once"),
        ([files[0], str(Path(files[0]).parent / "." / "0.png")], "every frame once"),
    ):
        assert main(["tournament", *photos]) == 2
        told = capsys.readouterr()
        assert words in told.err
        assert told.err.count("\n") == 1


def test_a_photo_that_cannot_be_read_does_not_lose_the_others(
    files: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    broken = str(tmp_path / "broken.jpg")
    assert main(["tournament", "--json", *files, broken]) == 4
    told = json.loads(capsys.readouterr().out)
    assert told["winner"]
    assert [one["photo"] for one in told["unreadable"]] == [broken]
    assert main(["tournament", files[0], broken]) == 4
    assert "at least 2 photos that can be read, got 1" in capsys.readouterr().err
