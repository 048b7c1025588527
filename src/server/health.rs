//! Whether the process is there, and whether it is ready for requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the process is on its way out. Clones are one and the same.
#[derive(Debug, Clone, Default)]
pub struct Drain(Arc<AtomicBool>);

impl Drain {
    /// From now on `/readyz` is red, so that balancers send nothing new; what comes is still served.
    pub fn start_draining(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// True once draining has started.
    pub fn draining(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
