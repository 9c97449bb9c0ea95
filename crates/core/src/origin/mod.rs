//! The origin: the system of record behind a keyspace, and the lane protocol
//! (intent → flush → resolved) that keeps cache and database one.
//!
//! Pure: the driver (shell or simulator) executes [`OriginRequest`]s and answers with [`OriginEvent`]s.
//! Two halves: [`Lanes`] is replicated state, changed only by applying ops; [`Flusher`] is what a leader
//! knows of requests in flight, and dies with its leadership. [`plan`] is the algorithm by which a
//! driver turns one flush into transactions.

mod cache;
mod fingerprint;
mod flusher;
mod invalidated;
pub mod json;
mod lane;
mod lanes;
mod link;
mod loads;
mod map;
#[cfg(test)]
mod model;
mod op;
mod output;
pub mod pattern;
mod phase;
pub mod plan;
mod request;
mod route;
mod run;
#[cfg(test)]
mod testing;
mod wire;
pub mod words;

pub use cache::{Cache, Cached};
pub use flusher::Flusher;
pub use lane::{Lane, Pending, Requester};
pub use lanes::{Answer, Applied, Completion, LANE_PENDING_BYTES_MAX, LANE_PENDING_MAX, Lanes};
pub use map::{
    CACHE_LIFETIME_MS_MIN, KeyColumn, KeyspaceConfig, LANES, LANES_MAX, Mode, OriginMap, Place, Policy,
    ValueConfig, ValueMapping,
};
pub use op::{Fill, Health, Intent, IntentEffect, IntentKind, Invalidate, OriginOp, Raise, Resolved};
pub use output::{FailedLoad, FlusherOutput};
pub use request::{
    Effect, Fence, Flush, FlushIntent, Flushed, LaneId, Load, OriginError, OriginEvent, OriginRequest,
    TakenOver, Takeover,
};
pub use route::Route;
