//! Pure rules: no I/O, no async, no SQL, no HTTP, no clock. Instants and identifiers come in as values.

pub mod gates;
pub mod lifecycle;
pub mod policy;
pub mod release;
pub mod values;
pub mod workflow;
