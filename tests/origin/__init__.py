"""Mapped keys as clients and operators meet them: order over lanes, state of the origin, invalidation."""
