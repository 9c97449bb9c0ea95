//! The disk: write-ahead log, snapshots, metadata, recovery.
