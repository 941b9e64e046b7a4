"""The MLflow store: opened and migrated once, every run ended with its true status."""
