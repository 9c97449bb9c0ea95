//! One node: the worker that owns the replica, and the threads around it.
