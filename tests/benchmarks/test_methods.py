"""The baselines and the numbers are what they say."""

import numpy as np
import pytest
import scipy.fft

from benchmarks.comparison import Methods
from benchmarks.denoisers import BestGaussian, BestWiener, Topaz, signal_and_noise_power
from benchmarks.reconstructions import Reconstruction, strips_of
from benchmarks.scores import Score, wedge_band, wedge_point
from benchmarks.shapes import dropped_tilts, other_specimens, uneven_tilts
from benchmarks.specimen_sets import of_maps, procedural, procedural_faults, specimen_sets
from cryolithe_stream import reconstruct
from cryolithe_stream.evaluate import fourier_shell_correlation, open_volume, snr_db
from cryolithe_stream.geometry import StripLayout
from cryolithe_stream.store import MrcStack

SMALL = (32, 24, 48)
ALL = slice(None)


def noise(seed: int, shape=SMALL) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def coloured(seed: int, shape, width: float) -> np.ndarray:
    """Periodic noise of power exp(−(f/width)²), standard deviation 1."""
    axes = np.meshgrid(*(scipy.fft.fftfreq(n) for n in shape), indexing="ij")
    radius = np.sqrt(sum(a**2 for a in axes))
    field = np.real(scipy.fft.ifftn(scipy.fft.fftn(noise(seed, shape)) * np.exp(-0.5 * (radius / width) ** 2)))
    return (field / field.std()).astype(np.float32)


@pytest.fixture(scope="module")
def specimen():
    return procedural(SMALL, (7001,))[0]


@pytest.mark.parametrize("denoiser", [BestGaussian(), BestWiener()])
@pytest.mark.parametrize("level", [-10.0, 10.0])
def test_oracles_are_never_worse_than_what_they_start_from(denoiser, level, specimen):
    fbp = Reconstruction.of(None).volume(specimen.recorded(level), specimen.tilts_deg, specimen.shape_zyx)
    volume, setting = denoiser(fbp, specimen.truth, specimen.rows)
    plain = snr_db(fbp[:, specimen.rows], specimen.truth[:, specimen.rows])
    assert snr_db(volume[:, specimen.rows], specimen.truth[:, specimen.rows]) >= plain
    assert setting >= 0
    assert volume.shape == fbp.shape and volume.dtype == np.float32


@pytest.mark.parametrize("denoiser", [BestGaussian(), BestWiener()])
def test_oracles_leave_the_truth_alone(denoiser, specimen):
    volume, setting = denoiser(specimen.truth * 3 + 1, specimen.truth, ALL)
    assert setting == 0
    np.testing.assert_array_equal(volume, specimen.truth * 3 + 1)


def test_the_wiener_filter_of_known_spectra_is_the_best_one():
    shape, inner = (64, 64, 64), (slice(14, 50),) * 3  # the field is periodic, the filter mirrors
    truth, white = coloured(1, shape, 0.08), noise(2, shape)
    sum_of_both = 2.0 * (truth + white)
    signal, power = signal_and_noise_power(sum_of_both, truth)
    assert np.median(power[3:]) == pytest.approx(white.size, rel=0.05)  # white noise of deviation 1
    assert signal[2] > 20 * power[2] and signal[30] < 1e-3 * power[30]
    volume, weight = BestWiener()(sum_of_both, truth, ALL)
    assert 0.3 < weight < 3
    spectrum = scipy.fft.fftn(truth + white)
    own = np.abs(scipy.fft.fftn(truth)) ** 2
    axes = np.meshgrid(*(scipy.fft.fftfreq(n) for n in shape), indexing="ij")
    expected = np.exp(-(sum(a**2 for a in axes) / 0.08**2))
    gain = expected * own.sum() / expected.sum()
    ideal = np.real(scipy.fft.ifftn(spectrum * gain / (gain + white.size))).astype(np.float32)
    assert snr_db(volume[inner], truth[inner]) == pytest.approx(snr_db(ideal[inner], truth[inner]), abs=0.2)


def test_strips_are_windows_of_the_projections_and_zero_outside():
    projections = noise(3, (2, 5, 7))
    strips = strips_of(projections, StripLayout(-1, 7, np.array([-2, 4]), 6))
    assert strips.shape == (2, 7, 6)
    np.testing.assert_array_equal(strips[0, 1:6, 2:], projections[0, :, :4])
    np.testing.assert_array_equal(strips[1, 1:6, :3], projections[1, :, 4:])
    assert not strips[:, [0, 6]].any() and not strips[0, :, :2].any() and not strips[1, :, 3:].any()


def test_volumes_are_those_of_the_command(specimen, tmp_path):
    recorded = specimen.recorded(-5.0)
    stack = MrcStack.create(tmp_path / ".s.partial", shape_tyx=recorded.shape, pixel_angstrom=10.0, labels=[])
    for tilt, image in enumerate(recorded):
        stack.write_image(tilt, image)
    stack.finish(tmp_path / "s.mrc")
    (tmp_path / "s.tlt").write_text("".join(f"{tilt}\n" for tilt in specimen.tilts_deg))
    for spec, options in ((None, {"method": "fbp"}), ("default", {"model": "default"})):
        ours = Reconstruction.of(spec, precision="float32", device="cpu")
        volume = ours.volume(recorded, specimen.tilts_deg, specimen.shape_zyx)
        out = tmp_path / f"{ours.name}.mrc"
        reconstruct(
            tmp_path / "s.mrc",
            tmp_path / "s.tlt",
            out=out,
            thickness=specimen.shape_zyx[0],
            precision="float32",
            device="cpu",
            bin=1,
            **options,
        )
        assert snr_db(volume, open_volume(out)) > 50


def test_scores_of_the_truth_and_of_noise(specimen):
    perfect = Score.of(specimen.truth + 0, specimen)
    assert perfect.snr_db > 100 and perfect.correlation == pytest.approx(1)
    assert perfect.wedge_fsc_band == pytest.approx(1) and perfect.wedge_fsc_point == pytest.approx(1)
    useless = Score.of(noise(4), specimen)
    assert useless.snr_db < 0.1 and abs(useless.wedge_fsc_band) < 0.3


def test_the_band_and_the_point_of_an_fsc():
    a, b = noise(5, (48, 48, 48)), noise(6, (48, 48, 48))
    fsc = fourier_shell_correlation(a, a + b, tilt_range_deg=(-60, 60))
    curve = fsc.curve("wedge")
    inside = (fsc.frequency >= 0.1) & (fsc.frequency <= 0.15)
    assert inside.sum() == 3  # shells 5, 6 and 7 of 48
    assert curve[inside].min() <= wedge_band(fsc) <= curve[inside].max()
    assert min(curve[3:5]) <= wedge_point(fsc) <= max(curve[3:5])
    thin = fourier_shell_correlation(a[:12, :12, :12], b[:12, :12, :12], tilt_range_deg=(-60, 60))
    assert np.isfinite(wedge_band(thin))


def test_other_specimens_are_seeded_dark_and_of_other_schemes():
    first, again = other_specimens(SMALL), other_specimens(SMALL)
    assert [s.name for s in first] == ["ellipsoids", "vesicles", "lattice", "gold"]
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.truth, b.truth)
        np.testing.assert_array_equal(a.recorded(-5.0), b.recorded(-5.0))
        assert a.shape_zyx == SMALL
        assert a.truth.max() <= 1e-3 and a.truth.min() < -0.3
        assert a.signal.shape == (len(a.tilts_deg), *SMALL[1:])
        assert np.abs(a.truth[:2]).max() < np.abs(a.truth[10:20]).max()  # a slab
    assert first[3].support is not None and first[3].support.min() < -8
    assert uneven_tilts()[0] == -40 and uneven_tilts()[-1] == 60 and len(uneven_tilts()) == 51
    assert len(dropped_tilts(1)) == 29 and (np.diff(dropped_tilts(1)) > 0).all()


def test_clean_projections_of_other_specimens_fit_their_truth():
    for specimen in other_specimens(SMALL)[:3]:
        untilted = int(np.abs(specimen.tilts_deg).argmin())
        if specimen.tilts_deg[untilted] == 0:
            np.testing.assert_allclose(specimen.signal[untilted], specimen.truth.sum(axis=0), atol=1e-3)


def test_sets_are_seeded_and_differ(specimen):
    same, faults = procedural(SMALL, (7001,))[0], procedural_faults(SMALL, (7001,))[0]
    np.testing.assert_array_equal(same.recorded(0.0), specimen.recorded(0.0))
    np.testing.assert_array_equal(faults.truth, specimen.truth)
    assert not np.array_equal(faults.recorded(0.0), specimen.recorded(0.0))
    assert list(specimen_sets(["dense", "other"], None)) == ["dense", "other"]


def test_a_noise_level_is_what_it_says(specimen):
    white = specimen.recorded(-5.0) - specimen.signal - (0 if specimen.support is None else specimen.support)
    ratio = 10 * np.log10(specimen.signal.var() / white.var())
    assert ratio == pytest.approx(-5.0, abs=0.2)


def test_maps_are_crowds_of_the_folders_maps(tmp_path):
    pytest.importorskip("gemmi")
    mrcfile = pytest.importorskip("mrcfile")
    z, y, x = np.meshgrid(*(np.arange(16) - 7.5,) * 3, indexing="ij")
    ball = np.exp(-(z**2 + y**2 + x**2) / 12).astype(np.float32)
    with mrcfile.new(tmp_path / "ball.mrc", data=ball) as file:
        file.voxel_size = 10.0
    (made,) = of_maps(tmp_path, SMALL, (7101,))
    assert made.truth.min() < -0.5 and made.voxel_angstrom == pytest.approx(10.0)


def test_topaz_is_left_out_where_it_is_not_installed(monkeypatch):
    monkeypatch.setattr("benchmarks.denoisers.find_spec", lambda _: None)
    assert Topaz.installed() is None


def test_topaz_runs_at_the_levels_asked_for(monkeypatch):
    topaz = Topaz(None)
    monkeypatch.setattr(Topaz, "installed", classmethod(lambda cls: topaz))
    some, everywhere, never = (Methods.of([], topaz=levels, device="cpu") for levels in ([-5.0], [], None))
    assert topaz in some.denoisers_at(-5.0) and topaz not in some.denoisers_at(0.0)
    assert topaz in everywhere.denoisers_at(0.0)
    assert topaz not in never.denoisers_at(-5.0)


def test_topaz_keeps_shape_where_it_is_installed():
    topaz = Topaz.installed()
    if topaz is None:
        pytest.skip("topaz-em is not installed")
    volume, setting = topaz(noise(7, (33, 32, 40)), noise(8, (33, 32, 40)), ALL)
    assert volume.shape == (33, 32, 40) and setting is None and 0 < volume.std() < 0.5
