"""Searches for a config: Ray Tune runs trials, Optuna proposes, ASHA prunes, a journal resumes."""
