//! The data path, in flow order.

pub mod room;
pub mod settings;
