"""What axe finds wrong with a page, but for what is Gradio's."""

from pathlib import Path
from typing import Any

import pytest

# Gradio's own faults (6.31), which a user of it cannot mend: (rule, part of the element's HTML).
GRADIOS = [
    ("image-redundant-alt", "<img"),  # a gallery's caption repeats its alternative text
    ("nested-interactive", "icon-button"),  # the button that clears the files, named "common.upload"
    (
        "scrollable-region-focusable",
        "virtual-table-viewport",
    ),  # the grid around it takes the focus and the keys
]


# A colour half-way between two is no colour of the page: whatever moves and comes to an end has come to it.
STANDS_STILL = """() => !document.getAnimations().some((one) =>
    one.playState === 'running' && Number.isFinite(one.effect.getComputedTiming().endTime))"""


def violations(page: Any) -> list[str]:
    page.wait_for_function(STANDS_STILL)
    axe = pytest.importorskip("axe_playwright_python").__path__[0]
    page.evaluate((Path(axe) / "axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    return [
        f"{rule['id']}: {node['html'][:200]} {node['failureSummary'][:200]}"
        for rule in found
        for node in rule["nodes"]
        if not any(rule["id"] == known and part in node["html"] for known, part in GRADIOS)
    ]
