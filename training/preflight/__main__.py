"""The command `python -m training.preflight`."""

import sys

import transformers

from training.preflight.run import main

transformers.logging.set_verbosity_error()
sys.exit(main())
