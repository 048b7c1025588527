//! The end of a process: it says that it goes, serves on for a while, takes nothing new, finishes, and is gone.

use std::time::Duration;

use super::health::Drain;
use actix_web::dev::ServerHandle;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that end the process.
struct Ends {
    terminate: Signal,
    interrupt: Signal,
}

impl Ends {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Ends the server when the process is told to: after the first signal it serves on for `drain`, then takes no new
/// connection and finishes what is in flight. A second signal ends it at once.
pub fn on_signals(server: ServerHandle, state: Drain, drain: Duration) -> std::io::Result<()> {
    let mut ends = Ends::new()?;
    actix_web::rt::spawn(async move {
        let name = ends.next().await;
        state.start_draining();
        log::info!("{name}: serving on for {} s, then ending", drain.as_secs_f32());
        let orderly = async {
            tokio::time::sleep(drain).await;
            log::info!("no new connections; finishing what is in flight");
            server.stop(true).await;
        };
        tokio::select! {
            () = orderly => {}
            name = ends.next() => {
                log::warn!("{name} again: ending at once");
                server.stop(false).await;
            }
        }
    });
    Ok(())
}
