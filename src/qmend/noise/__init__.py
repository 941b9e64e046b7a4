"""Noise models of devices, their fit to measurements, readout error, sampled Pauli paths."""
