"""llama.cpp's server in a process of its own: `python -m qinsight.engines.llama`, started by `llama_engine`.

It is told what to serve in a line of JSON on its standard input, and says in a line of JSON where it serves it, or why
it cannot. It lives as long as that input stays open and the process that started it is there, whatever ends that one.
"""

import json
import os
import signal
import sys
import threading
import time
from typing import Any, NoReturn

LINE = '{"qinsight": '  # how our own lines begin, among those of llama.cpp
LEAST, MOST = 4, 16_384  # tokens of a photo: no photo that we send is made larger or smaller
QUIET = 1  # of llama.cpp's levels: errors


def main() -> None:
    """Serve until nobody is there to be served."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    asked = json.loads(sys.stdin.readline())
    _end_with(asked["parent"])
    try:
        import xllamacpp
    except ImportError as error:
        _tell(error=str(error))
        return
    try:
        server = xllamacpp.Server(_settings(xllamacpp, asked))
    except (RuntimeError, ValueError, OSError) as error:
        _tell(error=str(error))
        return
    _tell(address=server.listening_address)
    sys.stdin.read()  # to its end, which is that of the other process
    _leave()


def _settings(xllamacpp: Any, asked: dict[str, Any]) -> Any:
    settings = xllamacpp.CommonParams()
    settings.model.path, settings.mmproj.path = asked["model"], asked["mmproj"]
    settings.model_alias = {asked["name"]}
    settings.api_keys = [asked["key"]]  # others at this computer could ask it too
    settings.hostnames, settings.port = ["127.0.0.1"], 0  # the first free one
    settings.n_ctx, settings.n_parallel = asked["context"], 1  # the same question alone and among others
    settings.image_min_tokens, settings.image_max_tokens = LEAST, MOST
    settings.cache_ram_mib = 0  # else up to 8 GB of earlier questions
    settings.ui = settings.endpoint_slots = False
    settings.verbosity = QUIET
    if asked["exact"]:
        settings.cache_type_k = settings.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        settings.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    if not asked["gpu"]:
        settings.n_gpu_layers, settings.mmproj_use_gpu = 0, False
    return settings


def _end_with(parent: int) -> None:
    """See to it that this process ends when that one does, even if others still hold the input open."""
    if sys.platform == "linux":
        import ctypes

        # PR_SET_PDEATHSIG, which is of the parent's thread: it acts while weights are read, too.
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        _leave()

    if sys.platform != "win32":  # where a process keeps the number of a parent that is gone
        threading.Thread(target=watch, daemon=True).start()


def _tell(**told: str) -> None:
    sys.stdout.write("\n" + json.dumps({"qinsight": told}) + "\n")
    sys.stdout.flush()


def _leave() -> NoReturn:
    os._exit(0)  # whatever llama.cpp is doing


if __name__ == "__main__":
    main()
