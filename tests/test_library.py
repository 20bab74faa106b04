"""What `import qinsight` gives a program: one line for each question, a model that is opened once."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import qinsight
from qinsight.answers import Degradation, Score
from qinsight.assess import ask, assessment, comparison, last, verdict
from qinsight.errors import AnswerError, EngineError, PhotoError, QInsightError
from qinsight.library import Model
from qinsight.requests import Sampling
from shared.engines import ScriptedEngine

EXAMPLES = Path(__file__).parents[1] / "examples"
CAT, BLURRED = (EXAMPLES / "photos" / name for name in ("cat.jpg", "cat_blurred.jpg"))


def test_importing_the_package_loads_neither_torch_nor_pillow() -> None:
    words = "import sys, qinsight; print([name for name in ('torch', 'PIL', 'transformers') if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_everything_it_offers_is_there_and_nothing_else_is_claimed() -> None:
    assert all(callable(getattr(qinsight, name)) for name in qinsight.__all__)
    with pytest.raises(AttributeError, match="scroe"):
        getattr(qinsight, "scroe")  # noqa: B009


def test_one_line_says_what_the_engine_says() -> None:
    with qinsight.open("preview") as model:
        rating, diagnosis = model.assess(BLURRED)
        score, degradation = last(ask(model.engine, assessment(qinsight.load_photo(BLURRED))))
        assert isinstance(score.answer, Score)
        assert isinstance(degradation.answer, Degradation)
        assert (rating.rating, rating.thinking) == (score.answer.rating, score.reply.thinking)
        assert rating.expected_rating == score.expected_rating
        assert str(diagnosis) == f"{degradation.answer.severity} {degradation.answer.distortion}"
        assert diagnosis.severity_odds == degradation.severity_odds
        said = verdict(last(ask(model.engine, comparison(*map(qinsight.load_photo, (CAT, BLURRED))))))
        assert said is not None
        assert str(model.compare(CAT, BLURRED)) == said.sentence


def test_a_photo_may_be_a_path_bytes_a_file_or_an_image() -> None:
    said = {
        qinsight.score(photo, "preview").rating
        for photo in (str(CAT), CAT, CAT.read_bytes(), io.BytesIO(CAT.read_bytes()), qinsight.load_photo(CAT))
    }
    assert len(said) == 1


def test_a_folder_is_ranked_best_first_and_its_memory_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for photo in (CAT, BLURRED):
        (folder / photo.name).write_bytes(photo.read_bytes())
    rows = qinsight.rank(folder, tmp_path / "out", model="preview")
    assert sorted(row.photo for row in rows) == ["cat.jpg", "cat_blurred.jpg"]
    ratings = [row.expected_rating or 0 for row in rows]
    assert ratings == sorted(ratings, reverse=True)
    assert (tmp_path / "out" / "results.jsonl").exists()


def test_what_is_no_photo_no_model_or_no_answer_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("no photo")
    with pytest.raises(PhotoError):
        qinsight.score(tmp_path / "notes.jpg", "preview")
    with pytest.raises(ValueError, match="mode L"):
        qinsight.score(Image.new("L", (60, 60)), "preview")
    with pytest.raises(EngineError):
        qinsight.open("no-such-model")
    rubbish = Model(ScriptedEngine(["<answer>rubbish</answer>"]), Sampling(), None)
    for question in (rubbish.score, rubbish.diagnose, lambda photo: rubbish.compare(photo, photo)):
        with pytest.raises(AnswerError):
            question(CAT)


def test_a_closed_model_says_so() -> None:
    with qinsight.open("preview") as model:
        pass
    with pytest.raises(EngineError, match="closed"):
        model.score(CAT)


@pytest.mark.parametrize("script", ["score", "compare"])
def test_the_example_scripts_run_from_the_repository(script: str) -> None:
    told = subprocess.run(
        [sys.executable, "-m", f"examples.{script}"], cwd=EXAMPLES.parent, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr
    assert "cat_blurred" in told.stdout or "Photo A is better" in told.stdout


def test_samples_come_to_a_mean_a_histogram_and_each_reasoning() -> None:
    said = [
        ["<think>a</think>", f'<answer>{{"rating": {rating}}}</answer>'] for rating in ("3", "4", "3", "four")
    ]
    found = Model(ScriptedEngine(*said), Sampling(), None).samples(CAT, number=4)
    assert (found.rating, found.counts, found.unreadable) == (pytest.approx(10 / 3), (("3", 2), ("4", 1)), 1)
    assert found.agreement == pytest.approx(2 / 3)
    assert found.thinking == ("a",) * 4
    assert str(found) == "3.33 (spread 0.47)"


@pytest.mark.parametrize("number", [0, 65])
def test_more_samples_than_the_limit_are_refused_in_a_sentence(number: int) -> None:
    with pytest.raises(QInsightError, match=f"Expected a number of samples from 1 to 64, got {number}"):
        Model(ScriptedEngine([]), Sampling(), None).samples(CAT, number=number)


@pytest.mark.parametrize("chosen", ["", "active"])
def test_threads_wait_without_spinning_unless_somebody_chose_otherwise(chosen: str) -> None:
    """Spinning, an answer of 0.15 s took 0.45 beside one busy loop on two cores."""
    asked = "import qinsight, os; print(os.environ['OMP_WAIT_POLICY'])"
    around = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment = around | ({"OMP_WAIT_POLICY": chosen} if chosen else {})
    told = subprocess.run(
        [sys.executable, "-c", asked], env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == (chosen or "passive")
