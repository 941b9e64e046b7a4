"""The style of all plots, and the figures of one run."""
