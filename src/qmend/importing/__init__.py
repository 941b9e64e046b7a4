"""Other people's measurements into the data contract: ``qmend data import``."""
