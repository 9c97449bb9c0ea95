"""Real data, fed in while the leader dies or sleeps."""
