"""The command `python -m training.evaluate`."""

import sys

from qinsight.terminal import at_a_terminal
from training.evaluate.run import main

sys.exit(at_a_terminal(main))
