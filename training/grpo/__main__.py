"""The command `python -m training.grpo`; with `--preflight` it looks before it trains."""

from qinsight.stopping import stop_with_a_line, stop_with_an_exception

if __name__ == "__main__":
    stop_with_a_line()  # before what takes long is imported

import sys

import transformers

from training.grpo.run import main
from training.preflight.run import main as look

PREFLIGHT = "--preflight"


def command(arguments: list[str]) -> int:
    """The exit code of the run, or of the look before it where that found something."""
    rest = [one for one in arguments if one != PREFLIGHT]
    if rest != arguments and (code := look(rest)):
        return code
    return main(rest)


if __name__ == "__main__":
    stop_with_an_exception()
    transformers.logging.set_verbosity_error()
    sys.exit(command(sys.argv[1:]))
