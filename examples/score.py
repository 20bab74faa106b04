"""Rate photos and name what is wrong with them: python -m examples.score photos/cat.jpg ..."""

import sys

import qinsight

with qinsight.open("preview") as model:  # or "auto", "ByteDance/Q-Insight", a folder
    for path in sys.argv[1:] or ["examples/photos/cat_blurred.jpg"]:
        print(path, *model.assess(path))
