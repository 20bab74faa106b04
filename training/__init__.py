"""How the models are made: data, rewards, GRPO, evaluation, and the preview checkpoint from nothing."""

import logging

# On every import it names an optional faster kernel for CPUs; there is nothing a person has to do.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
