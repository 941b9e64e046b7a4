"""Configs: where they lie, how they are composed and checked."""
