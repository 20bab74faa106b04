"""The command `python -m training.data`."""

import sys

from qinsight.terminal import at_a_terminal
from training.data.convert import main

sys.exit(at_a_terminal(main))
