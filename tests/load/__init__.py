"""Nodes under load: what must hold when much happens at once."""
