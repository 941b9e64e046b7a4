"""Hyper-parameter searches: Ray Tune runs trials, Optuna proposes, ASHA prunes, a journal resumes."""
