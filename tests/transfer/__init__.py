"""`repligo export` and `repligo import`: between Redis, one node and three, through failovers, and with bad files."""
