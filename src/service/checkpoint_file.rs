//! The checkpoint file: every signed checkpoint in a line of its own, to be held where the database is not.
//!
//! Whoever can write to the database and has the key file can make other checkpoints. They cannot make those
//! that somebody else has kept.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use super::checkpoints::{Statement, digest_of};
use super::keys::verified_checkpoint;
use super::{Env, Error, Result};
use crate::repository::AnyConnection;
use crate::repository::checkpoints::{self, CheckpointRow};
use crate::repository::identity;

/// A signed checkpoint is shorter than this.
const LINE_BYTES_MAX: u64 = 4096;
/// Checkpoints are appended in portions of this many.
const APPEND_ROWS: i64 = 200;

fn failure(path: &Path, reason: impl std::fmt::Display) -> Error {
    Error::Unusable(format!("checkpoint file {}: {reason}", path.display()))
}

/// Where a file ends.
enum End {
    /// Nothing is in it.
    Empty,
    /// With this line.
    Line(String),
    /// After this line, or at the beginning, with the beginning of another: the process died while it wrote.
    Torn(Option<String>, String),
}

fn end_of(file: &mut File) -> std::io::Result<End> {
    let length = file.seek(SeekFrom::End(0))?;
    // Two lines fit in here, whatever they hold.
    file.seek(SeekFrom::Start(length.saturating_sub(2 * LINE_BYTES_MAX)))?;
    let mut tail = String::new();
    file.read_to_string(&mut tail)?;
    let (whole, torn) = tail.rsplit_once('\n').map_or((None, tail.as_str()), |(whole, torn)| (Some(whole), torn));
    let last = whole.map(|whole| whole.rsplit('\n').next().unwrap_or(whole).to_owned());
    Ok(match (last, torn) {
        (None, "") => End::Empty,
        (Some(last), "") => End::Line(last),
        (last, torn) => End::Torn(last, torn.to_owned()),
    })
}

/// Brings the file up to the database; answers how many checkpoints were appended. A file that another process
/// writes to is left to it. A file that the database does not agree with is left as it is.
pub fn append(env: &Env, path: &Path) -> Result<usize> {
    let mut options = OpenOptions::new();
    options.create(true).read(true).append(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let io = |error: std::io::Error| failure(path, error);
    let mut file = options.open(path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(0),
        Err(TryLockError::Error(error)) => return Err(io(error)),
    }
    let (last, torn) = match end_of(&mut file).map_err(io)? {
        End::Empty => (None, String::new()),
        End::Line(last) => (Some(last), String::new()),
        End::Torn(last, torn) => (last, torn),
    };
    let mut torn = torn;
    let mut seq = match last {
        None => 0,
        Some(line) => last_known(env, path, &line)?,
    };
    let mut appended = 0;
    loop {
        let rows = env
            .database
            .read_blocking::<_, Error>(move |connection| Ok(checkpoints::after(connection, seq, APPEND_ROWS)?))?;
        let Some(last) = rows.last() else { break };
        seq = last.seq;
        let mut text = String::new();
        for row in &rows {
            // A line that was begun is finished where it is the line that belongs there.
            let rest = row.statement.strip_prefix(torn.as_str());
            let rest = rest.ok_or_else(|| failure(path, "its last line is none of this database's checkpoints"))?;
            text.push_str(rest);
            text.push('\n');
            torn.clear();
        }
        file.write_all(text.as_bytes()).map_err(io)?;
        appended += rows.len();
    }
    if appended > 0 {
        file.sync_all().map_err(io)?;
    }
    Ok(appended)
}

/// The position of the file's last checkpoint, where the database has the same.
fn last_known(env: &Env, path: &Path, line: &str) -> Result<i64> {
    let line = line.to_owned();
    let seq = env.database.read_blocking::<_, Error>(move |connection| {
        let keys = identity::signing_keys(connection)?;
        let Some(says) = verified_checkpoint::<Statement>(&keys, &line) else {
            return Ok(None);
        };
        let row = checkpoints::find(connection, says.seq)?;
        Ok(row.filter(|row| row.statement == line).map(|row| row.seq))
    })?;
    seq.ok_or_else(|| {
        failure(path, "its last checkpoint is not in the database; was the database replaced? nothing is appended")
    })
}

/// What was found when a file was compared with the database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileProof {
    /// Lines walked.
    pub lines: u64,
    /// The first fault, in words.
    pub fault: Option<String>,
}

/// Compares a checkpoint file with the checkpoints of the database, line by line. The file is what is believed.
pub fn compare(connection: &mut AnyConnection, path: &Path) -> Result<FileProof> {
    let keys = identity::signing_keys(connection)?;
    let io = |error: std::io::Error| failure(path, error);
    let mut lines = BufReader::new(File::open(path).map_err(io)?);
    let mut proof = FileProof::default();
    let mut previous: Option<(i64, String)> = None;
    let mut portion: std::collections::VecDeque<CheckpointRow> = Default::default();
    loop {
        let mut line = String::new();
        lines.by_ref().take(LINE_BYTES_MAX).read_line(&mut line).map_err(io)?;
        if line.is_empty() {
            return Ok(proof);
        }
        proof.lines += 1;
        let line = line.trim_end_matches('\n');
        let fault = (|| {
            let Some(says) = verified_checkpoint::<Statement>(&keys, line) else {
                return Ok(Some("is not a checkpoint that a key of this database signed".into()));
            };
            let follows = previous.as_ref().is_none_or(|(seq, digest)| says.seq == seq + 1 && says.previous == *digest);
            previous = Some((says.seq, digest_of(line)));
            if !follows {
                return Ok(Some(format!("is checkpoint {}, which does not follow the line before", says.seq)));
            }
            if portion.front().is_none_or(|row| row.seq != says.seq) {
                portion = checkpoints::after(connection, says.seq - 1, APPEND_ROWS)?.into();
            }
            let stored = portion.pop_front().filter(|row| row.seq == says.seq);
            Ok::<_, Error>(match stored {
                None => Some(format!("is checkpoint {}, which the database does not have", says.seq)),
                Some(row) if row.statement != line => {
                    Some(format!("is checkpoint {}, for which the database has another", says.seq))
                }
                Some(_) => None,
            })
        })()?;
        if let Some(fault) = fault {
            proof.fault = Some(format!("line {} of {} {fault}", proof.lines, path.display()));
            return Ok(proof);
        }
    }
}
