"""Watch the model compare two photos in both orders: python examples/compare.py A.jpg B.jpg"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from qinsight.assess import ask, comparison, verdict
from qinsight.engines.local import LocalEngine
from qinsight.photos import load_photo

photos = Path(__file__).parent / "photos"
a, b = sys.argv[1:] or (photos / "cat.jpg", photos / "cat_blurred.jpg")
engine = LocalEngine.open("preview")
shown = 0
for state in ask(engine, comparison(load_photo(a), load_photo(b))):
    thinking = state[0].reply.thinking
    print(thinking[shown:], end="", flush=True)
    shown = len(thinking)
found = verdict(state)
print("\n" + (found.sentence if found else "A reply could not be read."))
