//! Where log events go: to standard error, for people or for machines.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::server::config::{LogFormat, LogSettings};

/// Installs the process's logger. Called once, before anything logs; if a logger is there already, it stays.
pub(crate) fn init(settings: &LogSettings) {
    let builder =
        tracing_subscriber::fmt().with_env_filter(EnvFilter::new(&settings.level)).with_writer(std::io::stderr);
    let installed = match settings.format {
        LogFormat::Human => builder.with_ansi(colours()).finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
    };
    if let Err(error) = installed {
        tracing::warn!(%error, "a logger was installed before, its settings hold");
    }
}

/// Whether escape sequences are welcome: on a terminal whose user has not set `NO_COLOR` (<https://no-color.org>).
fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
