//! The control path: everything that the binary adds to the engine.

pub(crate) mod cli;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "serve, which reads every setting, is not built yet")
)]
pub(crate) mod config;
mod logging;
mod serve;
