from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def one_blas_thread() -> Iterator[None]:
    """Matrices are small here: threads would wait for each other longer than they work."""
    threadpoolctl = pytest.importorskip("threadpoolctl", reason="needs the evaluate extra")
    with threadpoolctl.threadpool_limits(1):
        yield
