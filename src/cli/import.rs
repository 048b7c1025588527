//! `slipway import`.

use std::fs::File;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use slipway::api::v1::imports::FORMS;
use slipway::config::Config;
use slipway::domain::values::{ImportFormat, ImportState};
use slipway::repository::imports::ImportRow;
use slipway::repository::migrations;
use slipway::service::importing::Importing;
use slipway::service::{document_keeping, imports};

use crate::{Failure, installed, say};

/// So many of the rows that failed are told.
const FAILED_TOLD_MAX: i64 = 10;
/// It is asked so often how far the import is, whichever process applies it.
const ASKED_EVERY_MS: u64 = 200;
/// Places of a bar.
const BAR: usize = 30;

/// What is imported, and how.
#[derive(clap::Args)]
pub struct Arguments {
    /// The file: NDJSON, or CSV with a header
    file: PathBuf,
    /// Judge every row, and store none
    #[arg(long)]
    dry_run: bool,
    /// ndjson or csv; without it, by the ending of the file
    #[arg(long)]
    format: Option<ImportFormat>,
}

/// Takes the file in and applies it, as the service does with an upload.
pub fn run(config: &Config, arguments: &Arguments) -> Result<(), Failure> {
    let path = arguments.file.display();
    let mut file = File::open(&arguments.file).map_err(|error| Failure::Usage(format!("{path}: {error}")))?;
    let lock = migrations::lock_file(&config.database_url)?;
    let env = installed(config, lock.as_ref())?;
    document_keeping::claim(&env)?;
    let is_csv = arguments.file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
    let format = arguments.format.unwrap_or(if is_csv { ImportFormat::Csv } else { ImportFormat::Ndjson });
    let name = arguments.file.file_name().map(|name| name.to_string_lossy().chars().take(200).collect());
    let import = imports::take_file(&env, &mut file, (format, name, arguments.dry_run))?;
    let importing = Importing::new(Arc::clone(&env), FORMS);
    let mut told = Progress { on_terminal: std::io::stdout().is_terminal(), percent: 0 };
    let import = std::thread::scope(|scope| {
        let mut applying = scope.spawn(|| importing.run_due());
        loop {
            std::thread::sleep(Duration::from_millis(ASKED_EVERY_MS));
            let is_ended = applying.is_finished();
            let now = imports::progress_of(&env, import.id)?;
            told.tell(&now)?;
            // One that failed for a fault of the service is left to the service, which tries it again.
            if now.state.is_over() || now.failures > 0 {
                return Ok::<_, Failure>(now);
            }
            if is_ended {
                let ended = std::mem::replace(&mut applying, scope.spawn(|| importing.run_due())).join();
                ended.map_err(|_| Failure::Failed("applying the import panicked".into()))??;
            }
        }
    })?;
    for (line, key, errors) in imports::first_failed(&env, import.id, FAILED_TOLD_MAX)? {
        say(&format!("line {line}: {}{errors}\n", key.map_or_else(String::new, |key| format!("{key}: "))))?;
    }
    let ImportRow { created, updated, unchanged, failed, .. } = import;
    let stored = if import.dry_run { "Nothing was stored. " } else { "" };
    say(&format!("{stored}{created} created, {updated} updated, {unchanged} unchanged, {failed} failed.\n"))?;
    match import.state {
        ImportState::Completed if failed == 0 => Ok(()),
        ImportState::Completed => Err(Failure::Failed(format!("{failed} rows failed"))),
        state => Err(Failure::Failed(format!("the import is {state}: {}", import.detail.unwrap_or_default()))),
    }
}

/// How far it was when that was last told.
struct Progress {
    on_terminal: bool,
    percent: i64,
}

impl Progress {
    fn tell(&mut self, import: &ImportRow) -> Result<(), Failure> {
        let percent = import.bytes_done.saturating_mul(100) / import.size_bytes.max(1);
        let rows = import.rows_done;
        if self.on_terminal {
            let full = usize::try_from(percent).unwrap_or_default() * BAR / 100;
            let end = if import.state.is_over() { "\n" } else { "" };
            return say(&format!("\r[{:-<BAR$}] {percent:3} %, {rows} rows{end}", "#".repeat(full)));
        }
        if percent / 10 == self.percent / 10 {
            return Ok(());
        }
        self.percent = percent;
        say(&format!("{percent} %, {rows} rows\n"))
    }
}
