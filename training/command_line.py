"""Mistyped flags and settings get a suggestion, and help is short enough to be read."""

import argparse
import dataclasses
import difflib
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

NEAR = 0.55  # from here a word may be another one, mistyped

# What other trainers call our settings.
ELSEWHERE = {
    **dict.fromkeys(("lr", "learn_rate"), "learning_rate"),
    **dict.fromkeys(("model_name_or_path", "model_name", "model_path", "base", "checkpoint"), "model"),
    **dict.fromkeys(("data", "dataset", "dataset_name", "data_path", "train_data", "train_file"), "train"),
    **dict.fromkeys(("eval_data", "test_file", "test_data", "valid", "validation"), "test"),
    **dict.fromkeys(("image_root", "image_folder", "images", "root"), "photos"),
    **dict.fromkeys(("out", "output", "save_dir"), "output_dir"),
    **dict.fromkeys(("epochs", "num_epochs"), "num_train_epochs"),
    **dict.fromkeys(("steps", "num_steps", "total_steps"), "max_steps"),
    **dict.fromkeys(("rollouts", "group_size", "num_gen", "n"), "num_generations"),
    **dict.fromkeys(
        ("batch_size", "batch", "train_batch_size", "micro_batch_size"), "per_device_train_batch_size"
    ),
    **dict.fromkeys(("kl", "kl_coef", "kl_weight", "kl_beta"), "beta"),
    **dict.fromkeys(("max_tokens", "max_new_tokens", "max_length"), "max_completion_length"),
    **dict.fromkeys(("use_peft", "peft", "use_lora", "lora", "freeze"), "adapt"),
    **dict.fromkeys(("freeze_vision", "freeze_vision_modules", "vision"), "train_vision"),
    **dict.fromkeys(("format", "format_reward"), "layout"),
    **dict.fromkeys(("reward", "reward_funcs", "score"), "score_reward"),
}


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?`, or nothing where no known word is near."""
    plain: dict[str, str] = {}
    for one in known:
        plain.setdefault(_plain(one), one)
    wanted = _plain(word)
    near = difflib.get_close_matches(wanted, plain, 1, NEAR)
    there = ELSEWHERE.get(wanted)
    name = there if there in plain else next(iter(near), None)
    name = name or next((one for one in plain if wanted and wanted in one), None)
    return f"; did you mean {plain[name]}?" if name else ""


def unknown_flags(arguments: Iterable[str], known: Iterable[str]) -> str:
    """A sentence on flags that nobody knows, each with the nearest known one."""
    known = list(known)
    flags = [one.split("=")[0] for one in arguments if one.startswith("-")]
    told = [f"got {flag}{_dashed(did_you_mean(flag, known))}" for flag in flags]
    return f"Expected flags that --help lists; {'; '.join(told) or 'got ' + ' '.join(arguments)}"


def unknown_among(arguments: Iterable[str], known: Iterable[str]) -> str:
    """The same of whatever begins with two dashes; nothing where all of it is known."""
    known = list(known)
    unknown = [one for one in arguments if one.startswith("--") and one.split("=")[0] not in known]
    return unknown_flags(unknown, known) if unknown else ""


class Parser(argparse.ArgumentParser):
    """argparse whose errors suggest the flag, the subcommand or the choice that was meant."""

    given: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self.given = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        told = explained(message, self)
        if "arguments are required" in message:
            unknown = unknown_among(self.given, flags_of(self))
            told += f". {unknown}" if unknown else ""
        super().error(told)


def explained(message: str, parser: argparse.ArgumentParser) -> str:
    """An error of argparse, with what was probably meant."""
    if found := re.match(r"unrecognized arguments: (.*)", message):
        return unknown_flags(found[1].split(), flags_of(parser))
    if found := re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message):
        return message + did_you_mean(found[1], re.findall(r"[\w-]+", found[2]))
    return message


def flags_of(parser: argparse.ArgumentParser) -> list[str]:
    """All long flags of a parser and of its subcommands."""
    found = [flag for flag in parser._option_string_actions if flag.startswith("--")]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found += [flag for one in action.choices.values() for flag in flags_of(one)]
    return list(dict.fromkeys(found))


def short_help(kinds: Iterable[Any], prog: str, about: str) -> str:
    """The settings that a dataclass declares itself, a line each; those it inherits are counted."""
    lines = [f"usage: {prog} [--config RECIPE.yaml] [--NAME VALUE ...]", "", about, ""]
    inherited = 0
    for kind in kinds:
        own = set(kind.__annotations__)
        for one in dataclasses.fields(kind):
            if one.name in own:
                lines.append(f"  --{one.name:<30} {one.metadata.get('help', '')}")
            inherited += one.name not in own
    return "\n".join([*lines, "", f"--help_all lists also the {inherited} settings of TRL's GRPOConfig."])


def _dashed(told: str) -> str:
    return re.sub(r"did you mean (?!--)", "did you mean --", told)


def _plain(word: str) -> str:
    return word.lstrip("-").replace("-", "_").lower()
