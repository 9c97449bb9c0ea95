"""Faults of real processes under clients that record what they were told."""
