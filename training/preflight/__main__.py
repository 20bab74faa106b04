"""The command `python -m training.preflight`."""

from qinsight.stopping import stop_with_a_line, stop_with_an_exception

if __name__ == "__main__":
    stop_with_a_line()  # before what takes long is imported

import sys

import transformers

from training.preflight.run import main

stop_with_an_exception()
transformers.logging.set_verbosity_error()
sys.exit(main())
