//! The regression gate.

pub mod metrics;
pub mod noise;
pub mod paired;
pub mod simulated;
pub mod statistics;
pub mod validity;
pub mod verdict;
