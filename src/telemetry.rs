//! Log lines through env_logger: text on a terminal, JSON otherwise. One line per event, whatever the input.

use std::io::{IsTerminal, Write};

use serde_json::json;

/// Starts logging. `RUST_LOG` chooses what is logged; `info` without it.
pub fn start() {
    let mut builder = env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info"));
    if !std::io::stderr().is_terminal() {
        builder.format(|out, record| {
            let line = json!({
                "at": chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
                "level": record.level().as_str().to_ascii_lowercase(),
                "target": record.target(),
                "message": record.args().to_string(),
            });
            writeln!(out, "{line}")
        });
    } else {
        builder.format(|out, record| {
            let message = record.args().to_string().replace(['\n', '\r'], " ");
            writeln!(out, "{} {:5} {message}", chrono::Utc::now().format("%H:%M:%S%.3f"), record.level())
        });
    }
    // A second start, in tests, changes nothing.
    let _ = builder.try_init();
}

/// The line of a finished request.
pub fn request_line(id: &str, method: &str, path: &str, status: u16, caller: &str, micros: u128) {
    log::info!(
        target: "slipway::request",
        "id={id} method={method} path={path:?} status={status} caller={caller} micros={micros}"
    );
}
