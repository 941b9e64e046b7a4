"""Speed measured as a ratio against the alternative, alternately, in one run, on one core."""
