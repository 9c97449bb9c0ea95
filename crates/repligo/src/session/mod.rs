//! Client sessions: connection and server commands, MULTI, WATCH.
