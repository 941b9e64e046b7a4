"""Tracked runs: score a mitigator, train, evaluate, promote, prune, read back."""
