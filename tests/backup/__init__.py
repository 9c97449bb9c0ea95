"""Backups of running clusters, and the new clusters that begin with them."""
