//! loadgen against a server whose mistakes are known in number: the report has exactly these.
#![expect(clippy::unwrap_used, reason = "what goes wrong in a test is to end it; most of these are no test functions")]

mod audit_tests;
mod beside_tests;
mod connection_tests;
mod dialect;
mod end_tests;
mod latency_tests;
mod plan;
mod program;
mod rooms;
mod server;
mod server_tests;
mod wire;
