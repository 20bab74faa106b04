"""Say which of two photos is better, and why: python -m examples.compare A.jpg B.jpg"""

import sys

import qinsight

photos = sys.argv[1:] or ["examples/photos/cat.jpg", "examples/photos/cat_blurred.jpg"]
found = qinsight.compare(*photos, model="preview")
print(*found.thinking, found, sep="\n\n")
