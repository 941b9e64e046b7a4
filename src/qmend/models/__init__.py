"""Networks, one file an architecture; equations and shapes in each."""
