from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs the evaluate extra")
from edge_cns.training.curves import draw_curves


def row(epoch: int, loss: float) -> dict[str, float]:
    return {"epoch": epoch, "loss": loss, "stop_loss": loss * 1.2, "stop_accuracy": 1 - loss / 2}


@pytest.mark.parametrize("losses", [[0.9], [0.9, 0.3, 0.4, 0.05], [1e-4] * 30])
def test_draws_a_picture(losses: list[float]) -> None:
    png = draw_curves([row(i + 1, loss) for i, loss in enumerate(losses)], phantom=False)
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[0] > 300
    assert picture.shape[1] > 800


def test_says_that_the_data_are_simulated() -> None:
    history = [row(1, 0.9), row(2, 0.3)]
    assert draw_curves(history, phantom=True) != draw_curves(history, phantom=False)
