"""Ways to run circuits."""
