"""What every test of the page needs."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_upload_folder(uploads: Path) -> None:
    """No test finds another's uploads."""
