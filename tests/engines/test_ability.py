"""What a computer is said to be able to do follows from what it has, and nothing is claimed that was not measured."""

import shlex
from dataclasses import replace

import pytest

import app
from qinsight.engines.ability import CONVERTED, Computer, Lack, ability, this_computer
from qinsight.engines.convert import converted_size
from qinsight.engines.convert_settings import Config
from qinsight.engines.gguf_header import Type
from qinsight.page.about_tab import about_text, headline
from qinsight.page.host import Host
from qinsight.page.words import ENGLISH, Language, Words
from qinsight.requests import About
from shared.engines import ScriptedEngine

LAPTOP = Computer(16 * 2**30, 8e9, 100e9, 8, "x86_64", False, 50e9)
LARGE = replace(LAPTOP, free=20e9)


def test_the_best_type_that_fits_the_memory_is_offered() -> None:
    assert ability(LAPTOP).how == "q4_0"
    assert ability(LARGE).how == "q8_0"
    assert ability(replace(LARGE, bf16=True)).how == "nf4"
    assert "16 GB, 8 cores" in ability(LAPTOP).sentence
    assert "4 bits (q4_0): about 2 minutes a photo" in ability(LAPTOP).sentence


@pytest.mark.parametrize(
    ("computer", "lack", "words"),
    [
        (replace(LAPTOP, free=3e9), Lack.MEMORY, "7.4 GB of free memory, and 3.0 GB are free"),
        (replace(LAPTOP, disk=20e9), Lack.DISK, "22.8 GB of free disk; 20.0 GB are free"),
    ],
)
def test_what_is_lacking_is_said_with_both_numbers_and_no_command_is_given(
    computer: Computer, lack: Lack, words: str
) -> None:
    found = ability(computer)
    assert found.lacks is lack
    assert words in found.sentence
    assert "python app.py" not in found.sentence


def test_no_time_is_claimed_for_processors_on_which_none_was_measured() -> None:
    found = ability(replace(LAPTOP, machine="arm64", speed=None))
    assert found.seconds is None
    assert "how long a photo takes is not known" in found.sentence
    assert "minute" not in found.sentence


def test_more_cores_and_faster_memory_take_less_time_and_smaller_weights_too() -> None:
    def seconds(computer: Computer) -> float:
        return ability(computer).seconds or 0.0

    assert seconds(replace(LAPTOP, cores=16)) < seconds(LAPTOP) < seconds(replace(LAPTOP, speed=25e9))
    assert seconds(LAPTOP) < seconds(LARGE)  # which has room for 8 bits


def test_the_sizes_are_those_of_the_published_shapes() -> None:
    words = {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "vocab_size": 152064}
    words |= {"num_attention_heads": 28, "num_key_value_heads": 4}
    eyes = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "patch_size": 14}
    config = Config("published", {**words, "vision_config": eyes})
    for kind, size in CONVERTED.items():
        assert converted_size(config, kind) == pytest.approx(size, rel=0.006)


@pytest.mark.parametrize("computer", [LAPTOP, replace(LAPTOP, free=30e9, bf16=True)])
def test_the_command_that_is_given_is_one_that_the_page_takes(computer: Computer) -> None:
    name, script, *flags = shlex.split(ability(computer).command)
    assert (name, script) == ("python", "app.py")
    options = app._parser().parse_args(flags)
    assert options.convert == Type.Q4_0 or options.model == "ByteDance/Q-Insight"


def test_the_command_installs_what_is_missing_and_calls_the_python_that_has_the_rest() -> None:
    found = ability(replace(LAPTOP, python=".venv/bin/python", missing=("gguf", "xllamacpp")))
    install = ".venv/bin/python -m pip install gguf xllamacpp"
    assert found.command == f"{install} && .venv/bin/python app.py --convert q4_0"


class Preview(ScriptedEngine):
    @property
    def about(self) -> About:
        return replace(super().about, preview=True)


def test_the_page_says_it_beside_the_preview_in_every_language_and_beside_nothing_else() -> None:
    host = Host(lambda progress: Preview(), able=lambda about: ability(LAPTOP) if about.preview else None)
    host.load()
    for language in Language:
        words = Words(language)
        for told in (headline(host, words), about_text(host, words)):
            assert "`python app.py --convert q4_0`" in told
            assert ("about 2 minutes" in told) is (words == ENGLISH)
    other = Host(lambda progress: ScriptedEngine(), able=app._able)
    other.load()
    assert other.ability is None


def test_this_computer_is_looked_at_and_its_memory_is_measured() -> None:
    found = this_computer()
    assert found.memory > found.free > 0
    assert found.cores >= 1
    assert found.speed is None or found.speed > 1e8
    assert ability(found).sentence.startswith(f"This computer ({round(found.memory / 2**30)} GB")
