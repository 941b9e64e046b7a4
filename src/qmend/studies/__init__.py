"""Studies: questions that several tracked runs answer together, one file each."""
