"""How many answers come again: `python tests/benchmarks/replayed.py PHOTOS [COUNT]`, and what saying so costs."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from qinsight.assess import ask, assessment, last
from qinsight.engines.local import LocalEngine
from qinsight.engines.made_by import as_shown, made_by_all
from qinsight.photos import load_photo
from qinsight.prompts import Task
from qinsight.report import report
from qinsight.requests import GREEDY, MAX_PIXELS
from qinsight.trust.replay import replay


def main(folder: Path, count: int) -> None:
    engine = LocalEngine.open("preview")
    identical, asking, saying = 0, 0.0, 0.0
    paths = sorted(path for path in folder.iterdir() if path.suffix in (".jpg", ".png"))[:count]
    for path in paths:
        photo = load_photo(path)
        requests = as_shown(assessment(photo, [Task.SCORE]), MAX_PIXELS)
        began = time.process_time()
        asked = last(ask(engine, requests))
        between = time.process_time()
        made = made_by_all(engine.about, requests, GREEDY)
        asking, saying = asking + between - began, saying + time.process_time() - between
        answer = report(Task.SCORE, {"photo": path.name}, asked, engine.about.name, made=made)
        found = replay(engine, answer, [photo])
        identical += found.identical
        if not found.identical:
            print(path.name, *found.sentences, sep="\n  ")
    print(f"{identical} of {len(paths)} identical; what made it costs {saying / asking:.2%} of asking")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 100)
