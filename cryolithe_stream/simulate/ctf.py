"""The contrast transfer of a microscope, for weak phase objects of dark density."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryolithe_stream.geometry import Floats


@dataclass(frozen=True, slots=True)
class Microscope:
    """Acceleration voltage in kV, spherical aberration in mm, and amplitude contrast (0 to 1)."""

    voltage_kv: float = 300.0
    cs_mm: float = 2.7
    amplitude_contrast: float = 0.07

    @property
    def wavelength_angstrom(self) -> float:
        """The relativistic wavelength of the electrons, 0.0197 Å at 300 kV."""
        volts = 1e3 * self.voltage_kv
        return float(12.2643 / np.sqrt(volts * (1 + 0.978466e-6 * volts)))

    @property
    def phase_per_volt_angstrom(self) -> float:
        """Phase shift in radians per volt of inner potential and Å of path, 6.5e-4 at 300 kV."""
        kv, rest = self.voltage_kv, 510.999
        return float(2 * np.pi / (self.wavelength_angstrom * 1e3 * kv) * (rest + kv) / (2 * rest + kv))

    def transfer(self, frequencies: Floats, defocus_um: float) -> Floats:
        """Contrast transfer at spatial frequencies (1/Å): sin(χ + asin w), χ = π·λ·k²·(Δf − λ²·k²·Cs/2).

        w is the amplitude contrast, Δf > 0 underfocus. It is w at k = 0 and grows from there, so that dark density
        stays dark. Source: Rohou & Grigorieff 2015, with the sign turned for dark density.
        """
        wavelength, square = self.wavelength_angstrom, frequencies**2
        chi = np.pi * wavelength * square * (1e4 * defocus_um - 0.5 * wavelength**2 * square * 1e7 * self.cs_mm)
        return np.asarray(np.sin(chi + np.arcsin(self.amplitude_contrast)))
