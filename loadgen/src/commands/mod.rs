//! The commands: each from its options to its exit code.

pub mod run;
