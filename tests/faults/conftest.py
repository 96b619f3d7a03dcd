from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.world import World, running_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Servers of this test process that may be killed."""
    with running_world(Path(tmp_path_factory.mktemp("faults"))) as running:
        yield running
