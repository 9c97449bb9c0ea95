"""Chaos on real processes: schedules by seed, judged by the simulator's checkers. See `docs/chaos.md`."""
