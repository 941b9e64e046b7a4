"""Devices: calibration snapshots, chains of physical qubits, the 101-value vector."""
