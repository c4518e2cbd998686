"""SerialEM metadata: real files, and dose before each view."""

from __future__ import annotations

import numpy as np
import pytest

from cryolithe_stream.errors import FormatError
from cryolithe_stream.read import read_mdoc


def section(z, tilt, dose, minute, prior=None):
    extra = "" if prior is None else f"PriorRecordDose = {prior}\n"
    time = f"08-Oct-21  07:{minute:02d}:08"
    return f"[ZValue = {z}]\nTiltAngle = {tilt}\nExposureDose = {dose}\nDateTime = {time}\n{extra}\n"


def test_a_real_tilt_series(data):
    mdoc = read_mdoc(data / "mdocfile-0.2.3" / "tilt_series.mdoc")
    assert (mdoc.n_views, mdoc.pixel_angstrom, mdoc.image_yx) == (41, 5.4, (958, 924))
    np.testing.assert_allclose(mdoc.tilts_deg[:3], [0.000999877, 3.00113, -2.99863])
    assert mdoc.dose_before_e_a2 is None  # ExposureDose is 0 throughout


def test_real_frame_sets_and_other_microscopes(data):
    frames = read_mdoc(data / "mdocfile-0.2.3" / "frame_set_single.mdoc")
    assert (frames.n_views, frames.pixel_angstrom) == (1, 1.2827)
    both = read_mdoc(data / "etspy-1.3.0" / "test_000.mdoc")
    assert (both.n_views, both.pixel_angstrom, both.image_yx) == (2, 7.88, (1024, 1024))


def test_dose_is_summed_in_the_order_of_exposure(write):
    text = "PixelSpacing = 2\n" + section(1, 0, 3.0, 10) + section(0, -3, 2.0, 12) + section(2, 3, 4.0, 11)
    mdoc = read_mdoc(write("a.mdoc", text))
    np.testing.assert_array_equal(mdoc.tilts_deg, [-3, 0, 3])
    np.testing.assert_array_equal(mdoc.dose_before_e_a2, [7.0, 0.0, 3.0])


def test_the_dose_that_serialem_summed_is_taken(write):
    mdoc = read_mdoc(write("a.mdoc", section(0, -3, 2.0, 12, 7.5) + section(1, 0, 2.0, 12, 0.0)))
    np.testing.assert_array_equal(mdoc.dose_before_e_a2, [7.5, 0.0])


def test_dose_is_unknown_when_times_are(write):
    assert read_mdoc(write("a.mdoc", section(0, 0, 2.0, 12) + section(1, 3, 2.0, 12))).dose_before_e_a2 is None


def test_other_text_is_refused(write):
    with pytest.raises(FormatError, match="ZValue"):
        read_mdoc(write("a.mdoc", "Voltage = 300\n"))
