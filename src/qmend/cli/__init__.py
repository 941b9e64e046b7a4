"""The qmend command."""
