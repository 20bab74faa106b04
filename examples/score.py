"""Rate photos and name what is wrong with them: python examples/score.py photos/cat.jpg ..."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from qinsight.assess import ask, assessment, described, last
from qinsight.engines.local import LocalEngine
from qinsight.photos import load_photo

engine = LocalEngine.open("preview")  # or "auto", "ByteDance/Q-Insight", a folder
for path in sys.argv[1:] or [Path(__file__).parent / "photos" / "cat_blurred.jpg"]:
    score, diagnosis = last(ask(engine, assessment(load_photo(path))))
    print(path)
    print("  ", score.error or described(score.answer))
    print("  ", diagnosis.error or described(diagnosis.answer))
    print("  ", diagnosis.reply.thinking)
