"""Real clients with their default handshakes, against a leader and through a follower."""
