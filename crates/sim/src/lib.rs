//! The simulator: one seed drives nodes, clients, faults and a fake origin around the core that ships.
//!
//! It sees the core only through the surface that the shell uses (`repligo_core::contract`), and
//! judges what clients saw with checkers that know nothing of the core.

#[cfg(feature = "bugs")]
pub mod bugs;
pub mod check;
pub mod history;
pub mod random;
pub mod recorded;
pub mod run;
pub mod world;
