"""Scoring: per circuit, summarised with intervals, compared in pairs."""
