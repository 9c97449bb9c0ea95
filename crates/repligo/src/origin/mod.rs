//! Origin drivers.
