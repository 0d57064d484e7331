//! `loadgen report`: runs beside one another in one page that needs nothing else, no network and no other file.
pub use page::report;
mod curves;
mod page;
