"""Simulated datasets: drawn, compiled, simulated, sampled, labels proven."""
