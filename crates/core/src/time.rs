//! Time as the core sees it: always an argument, never read here.

/// One reading of the shell's clocks, taken AFTER the bytes that it judges were read
/// (`architecture.md`, the core contract, point 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Now {
    /// Microseconds on a clock that never goes back and goes on during suspension
    /// (`CLOCK_BOOTTIME`). Leases, elections and timeouts are judged by it, by this node alone.
    pub mono_us: u64,
    /// Milliseconds since the Unix epoch by this node's wall clock. It only proposes shard time;
    /// it never judges an expiry by itself.
    pub wall_ms: u64,
}
