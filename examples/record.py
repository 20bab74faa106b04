"""Record what a model says about our photos, for pages that borrow their GPU: python examples/record.py [MODEL]"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from qinsight.assess import ask, assessment, comparison, last
from qinsight.engines.local import LocalEngine
from qinsight.page.assess_tab import EXAMPLES
from qinsight.page.compare_tab import PAIRS
from qinsight.page.recordings import Recordings
from qinsight.photos import load_photo
from qinsight.requests import Sampling

engine = LocalEngine.open(sys.argv[1] if len(sys.argv) > 1 else "preview")
heard, about = Recordings(), engine.about
for paths in [*((path,) for path in EXAMPLES), *PAIRS]:
    photos = [load_photo(path) for path in paths]
    requests = assessment(*photos) if len(photos) == 1 else comparison(*photos)
    asked = last(ask(engine, requests))
    heard.keep(about, Sampling(), [str(path) for path in paths], asked)
print(heard.write(about, Path(__file__).parent / "replies"))
