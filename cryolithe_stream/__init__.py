"""Aligned tilt series in, denoised and missing-wedge-corrected OME-Zarr tomograms out."""
