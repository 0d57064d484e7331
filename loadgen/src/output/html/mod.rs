//! `loadgen report`: runs beside one another in one page that needs nothing else, no network and no other file.
//!
//! The data stands in the page as JSON; its scripts draw it. Text gets into the page only as text.

mod curves;
#[cfg(test)]
mod drawn;
mod page;

pub use page::report;
