"""Plots that any room may draw: one look, and the figures of one run."""
