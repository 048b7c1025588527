//! What the process tells of itself: log lines, metrics, the trace that a request belongs to.

pub mod lines;
pub mod metrics;
pub mod trace;

pub use self::lines::start;
pub use self::metrics::metrics;
