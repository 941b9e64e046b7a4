"""Mitigators, learned or not, behind one interface: ``fit`` and ``mitigate``."""
