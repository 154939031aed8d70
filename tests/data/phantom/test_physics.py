from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_cns.data.phantom.physics import (
    Echo,
    Probe,
    beam_points,
    envelope,
    lateral_fwhm_mm,
    log_compress,
    scan_convert,
)

PROBE = Probe(60.0, 66.0, 120.0, 4.0, 65.0, 22.0)
QUIET = Echo(noise_db=-200.0, haze_db=-200.0, near_db=-200.0)


def _tissue(echo_db: float = 0.0, attenuation: float = 0.3) -> NDArray[np.float32]:
    maps = np.zeros((PROBE.rows, PROBE.beams, 3), np.float32)
    maps[..., 0], maps[..., 1] = echo_db, attenuation
    return maps


def _insonate(maps: NDArray[np.float32], *, looks: int = 1, echo: Echo = QUIET) -> NDArray[np.float32]:
    rng = np.random.default_rng(3)
    shape = (PROBE.rows, PROBE.beams)
    scatter = rng.standard_normal((*shape, 2 * looks), dtype=np.float32)
    clutter = rng.standard_normal((*shape, 2), dtype=np.float32)
    return np.asarray(envelope(PROBE, maps, scatter, clutter, echo))


def _db(values: NDArray[np.float32]) -> float:
    return float(10 * np.log10(np.mean(values**2)))


def test_homogeneous_tissue_is_rayleigh() -> None:
    signal = _insonate(_tissue())[40:-40, 10:-10]
    assert signal.mean() / signal.std() == pytest.approx(1.91, abs=0.06)  # sqrt(pi / (4 - pi))
    # Share of samples below half of the rms: 1 - exp(-1/4).
    rms = np.sqrt((signal**2).mean())
    assert np.mean(signal < 0.5 * rms) == pytest.approx(1 - np.exp(-0.25), abs=0.02)


def test_compounding_two_looks_lifts_the_signal_to_noise_ratio_by_root_two() -> None:
    signal = _insonate(_tissue(), looks=2)[40:-40, 10:-10]
    assert signal.mean() / signal.std() == pytest.approx(1.91 * np.sqrt(2), abs=0.12)


def test_compensated_soft_tissue_is_level_with_depth_and_unit_on_average() -> None:
    signal = _insonate(_tissue())
    assert _db(signal[60:140]) == pytest.approx(0.0, abs=0.7)
    assert _db(signal[-120:-40]) == pytest.approx(_db(signal[60:140]), abs=0.7)


def test_echo_level_follows_the_tissue() -> None:
    assert _db(_insonate(_tissue(-12.0))) - _db(_insonate(_tissue())) == pytest.approx(-12.0, abs=0.3)


def test_bone_shadows_and_fluid_enhances_what_lies_behind() -> None:
    maps = _tissue()
    maps[100:120, 40:80, 1] = 6.0
    maps[100:200, 110:150, 1] = 0.02
    signal = _insonate(maps)
    beside = _db(signal[220:300, 10:30])
    # 20 rows of bone: 0.536 cm x 2 x 4 MHz x 5.7 dB / cm / MHz.
    assert _db(signal[220:300, 50:70]) - beside == pytest.approx(-24.4, abs=1.5)
    assert _db(signal[220:300, 120:140]) - beside == pytest.approx(6.0, abs=1.0)


def test_an_interface_is_bright_where_it_faces_the_beam_and_drops_out_where_it_does_not() -> None:
    x, y = beam_points(PROBE)
    radius = np.hypot(x, y - 60.0)
    maps = _tissue(-40.0, 0.05)
    maps[(radius > 28) & (radius < 30)] = (10.0, 0.5, 1.0)
    signal = _insonate(maps)
    ring = (radius > 27) & (radius < 31)
    top, side = signal[ring & (np.abs(x) < 4) & (y < 60)], signal[ring & (np.abs(y - 60) < 4)]
    assert _db(top) - _db(side) > 15.0


def test_the_beam_is_narrowest_at_the_focus_and_speckle_widens_off_it() -> None:
    widths = lateral_fwhm_mm(PROBE)
    depths = PROBE.depths_mm()
    assert depths[widths.argmin()] == pytest.approx(65.0, abs=0.5)
    assert widths.min() == pytest.approx(1.54 / 4.0 * 65.0 / 22.0, rel=0.01)

    def correlation(rows: slice) -> float:
        part = _insonate(_tissue())[rows] ** 2
        part = part - part.mean()
        return float((part[:, 3:] * part[:, :-3]).mean() / (part**2).mean())

    assert correlation(slice(0, 60)) > correlation(slice(220, 270)) + 0.05


def test_log_compression_maps_the_dynamic_range_to_all_grey_levels() -> None:
    signal = np.array([[1.0, 0.1, 1e-3, 1e-9]], np.float32)
    assert log_compress(signal, 0.0, 60.0) == pytest.approx(np.array([[255.0, 170.0, 0.0, 0.0]]), abs=0.01)
    assert log_compress(signal, -20.0, 60.0)[0, 0] == pytest.approx(170.0, abs=0.01)


def test_scan_conversion_puts_depths_where_they_belong() -> None:
    polar = np.zeros((PROBE.rows, PROBE.beams), np.float32)
    polar[200:204] = 255.0
    picture = scan_convert(PROBE, polar, 256, 0.5, 10)
    row = int(picture[:, 128].argmax())
    assert (row + 0.5 - 10) * 0.5 == pytest.approx(PROBE.depths_mm()[200:204].mean(), abs=0.6)
    assert picture[0].max() == 0.0
