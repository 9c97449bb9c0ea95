"""`repligo bench` as scripts and people use it, against real servers; no time is asserted, only what must hold."""
