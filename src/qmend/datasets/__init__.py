"""Datasets: contract, generation, splits, encodings, tensors."""
