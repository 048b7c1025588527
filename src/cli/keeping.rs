//! Backup, restore and the doctor.

use std::path::{Path, PathBuf};

use slipway::config::Config;
use slipway::service::Error as ServiceError;
use slipway::service::backup::{self, Failure as BackupFailure, KeyFile, Place};
use slipway::service::doctor::{self, Finding};
use slipway::service::document_keeping;

use crate::{Failure, database, say, store};

/// The file of a backup.
#[derive(clap::Args)]
pub struct Files {
    /// The backup
    file: PathBuf,
    /// Replace what is there
    #[arg(long)]
    force: bool,
}

fn place(config: &Config) -> Place {
    Place {
        target: config.database_url.clone(),
        limits: config.limits(),
        key_file: config.key_file.clone(),
        programs: config.postgres_programs.clone(),
    }
}

fn told(findings: &[Finding]) -> Result<(), Failure> {
    for finding in findings {
        match &finding.fault {
            None => say(&format!("ok     {}: {}\n", finding.check, finding.seen))?,
            Some(fault) => say(&format!("FAULT  {}: {fault}\n", finding.check))?,
        }
    }
    Ok(())
}

fn failed(failure: BackupFailure) -> Failure {
    match failure {
        BackupFailure::Refused(reason) => Failure::Failed(reason),
        BackupFailure::Unsound(findings) => told(&findings).err().unwrap_or(Failure::Unsound),
        BackupFailure::Service(error) => error.into(),
    }
}

/// `slipway backup FILE`.
pub fn backup(config: &Config, files: &Files) -> Result<(), Failure> {
    let made = backup::backup(&place(config), &files.file, files.force).map_err(failed)?;
    told(&made.findings)?;
    let (from, into) = (config.database_url.redacted(), files.file.display());
    say(&format!("Backed up {from} into {into}: {} bytes.\n", made.bytes))?;
    if !made.proved {
        say("The database has the schema of another version: its rows are copied, and not proved.\n")?;
    }
    say(&format!(
        "The content of documents is not in it: copy {} too, after the backup.\n\
         The key file {} is not in it: keep a copy of that too, elsewhere.\n",
        config.documents,
        config.key_file.display()
    ))
}

/// `slipway restore FILE`.
pub fn restore(config: &Config, files: &Files) -> Result<(), Failure> {
    let restored = backup::restore(&place(config), &files.file, files.force).map_err(failed)?;
    told(&restored.findings)?;
    for name in &restored.migrated {
        say(&format!("applied {name}\n"))?;
    }
    say(&format!("Restored {} from {}.\n", config.database_url.redacted(), files.file.display()))?;
    say(&format!(
        "The content of documents was not in it: `slipway doctor` tells whose is not in {}.\n",
        config.documents
    ))?;
    let key_file = config.key_file.display();
    match restored.key_file {
        KeyFile::Fits => say(&format!("The key file {key_file} fits.\n")),
        KeyFile::Missing => say(&format!(
            "There is no key file {key_file}: put the one of the backed-up installation there before `slipway serve`.\n"
        )),
        KeyFile::Other => say(&format!(
            "The key file {key_file} is another one: put the one of the backed-up installation there before `slipway serve`.\n"
        )),
        KeyFile::Unreadable(error) => say(&format!("The {error}\n")),
    }
}

/// `slipway doctor`.
pub fn examine(config: &Config, checkpoint_file: Option<&Path>) -> Result<(), Failure> {
    if let Some(file) = config.database_url.file()
        && !file.exists()
    {
        let text = format!("there is no database at {}", file.display());
        return Err(Failure::Database(text));
    }
    let no_checkpoints = |path: &Path, reason: String| Failure::Usage(format!("{}: {reason}", path.display()));
    if let Some(path) = checkpoint_file {
        let file = std::fs::metadata(path).map_err(|error| no_checkpoints(path, error.to_string()))?;
        if !file.is_file() {
            return Err(no_checkpoints(path, "this is no file".into()));
        }
    }
    let database = database(config)?;
    let mut connection = database.connect()?;
    let mut findings = doctor::examine_with(&mut connection, checkpoint_file).map_err(|error| match error {
        ServiceError::Unusable(reason) => Failure::Usage(reason),
        other => other.into(),
    })?;
    if doctor::Schema::of(&mut connection)?.is_ours() {
        findings.push(document_keeping::examine(&database, &store(config))?);
    }
    told(&findings)?;
    if findings.iter().all(|finding| finding.fault.is_none()) { Ok(()) } else { Err(Failure::Unsound) }
}
