//! A thread that does something again and again, as long as somebody wants it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// A process that ends waits at most so long for the transaction under way.
const STOP_WAIT_MS_MAX: u64 = 1000;

/// The thread goes on as long as this lives; when it goes, the transaction under way is the last.
pub struct Beat {
    stopping: Arc<AtomicBool>,
    stop: Option<mpsc::Sender<()>>,
    end: mpsc::Receiver<()>,
}

impl Beat {
    /// Does the work now, and again that long after it was done. The work looks at `stopping` where it takes long.
    pub fn start(
        name: &str,
        every_ms: u64,
        stopping: Arc<AtomicBool>,
        work: impl Fn() + Send + 'static,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let (ended, end) = mpsc::channel::<()>();
        std::thread::Builder::new().name(name.into()).spawn(move || {
            let _ended = ended;
            loop {
                work();
                // Nothing is ever sent: the channel is closed when the service ends.
                if stopped.recv_timeout(Duration::from_millis(every_ms)) != Err(mpsc::RecvTimeoutError::Timeout) {
                    return;
                }
            }
        })?;
        Ok(Self { stopping, stop: Some(stop), end })
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.stop = None;
        // A database that does not answer holds up no end: what is not committed is rolled back.
        let _ = self.end.recv_timeout(Duration::from_millis(STOP_WAIT_MS_MAX));
    }
}
