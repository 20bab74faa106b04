"""The command `python -m training.evaluate`."""

from qinsight.stopping import stop_with_a_line

if __name__ == "__main__":
    stop_with_a_line()  # before what takes long is imported

import sys

from qinsight.terminal import at_a_terminal
from training.evaluate.run import main

sys.exit(at_a_terminal(main))
