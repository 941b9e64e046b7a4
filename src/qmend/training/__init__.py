"""Training with Lightning: losses, fit, checkpoints."""
