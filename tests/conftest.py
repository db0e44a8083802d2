"""What holds for every test: none writes into the working directory, or says what is not published.

The latter is watched from here on, before any test imports what it uses.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.parley_v1_frames import watch

ROOT: Final = Path(__file__).parent.parent


def _listed() -> set[str]:
    """List what is in the checkout; tools keep their data in hidden files."""
    return {name for name in os.listdir(ROOT) if name[0] != "." and name != "__pycache__"}


_AT_FIRST: Final = _listed()

watch()


@pytest.fixture(autouse=True)
def _nothing_new_in_the_checkout() -> Iterator[None]:
    yield
    new = _listed() - _AT_FIRST
    assert not new, f"the test, or one that ran beside it, has left {sorted(new)} in {ROOT}"
