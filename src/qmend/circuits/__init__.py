"""Circuits: families, compilation to native gates, the instruction table."""
