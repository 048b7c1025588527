//! The doctor: proves that a database is whole.
//!
//! It reads one snapshot while others write, portion by portion: memory grows with nothing but the dependencies
//! between releases, of which each costs some forty bytes.

use std::path::Path;

use super::{Result, checkpoint_file, checkpoints};
use crate::domain::cycle::first_cycle;
use crate::repository::integrity::{self, ROW_CHECKS, ROWS_NAMED_MAX};
use crate::repository::{AnyConnection, audit, checkpoints as stored, migrations, on_snapshot};

/// One thing that the doctor looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// What is wrong, with the rows that are; `None` where nothing is.
    pub fault: Option<String>,
    /// What was seen, in words.
    pub seen: String,
}

impl Finding {
    pub(super) fn of(check: &'static str, faults: &[String], seen: impl Into<String>) -> Self {
        let fault = (!faults.is_empty()).then(|| {
            let mut text = faults.iter().take(ROWS_NAMED_MAX).cloned().collect::<Vec<_>>().join("; ");
            if faults.len() >= ROWS_NAMED_MAX {
                text.push_str("; and perhaps more");
            }
            text
        });
        Self { check, fault, seen: seen.into() }
    }
}

/// Which migrations a database has, seen from this build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// Names of those that are not applied.
    pub pending: Vec<String>,
    /// Versions that were applied and that this build does not know.
    pub unknown: Vec<String>,
    applied: usize,
}

impl Schema {
    /// Looks at a database.
    pub fn of(connection: &mut AnyConnection) -> Result<Self> {
        let steps = migrations::status(connection)?;
        let pending: Vec<_> = steps.iter().filter(|step| !step.applied).map(|step| step.name.clone()).collect();
        let applied = steps.len() - pending.len();
        Ok(Self { pending, unknown: migrations::unknown_versions(connection)?, applied })
    }

    /// True where the schema is the one of this build.
    pub fn is_ours(&self) -> bool {
        self.pending.is_empty() && self.unknown.is_empty()
    }

    fn finding(&self) -> Finding {
        let told = |what: &str, names: &[String]| (!names.is_empty()).then(|| format!("{what}: {}", names.join(", ")));
        let faults = [told("pending", &self.pending), told("of a later version of slipway", &self.unknown)];
        let faults: Vec<String> = faults.into_iter().flatten().collect();
        Finding::of("migrations", &faults, format!("{} applied", self.applied))
    }
}

/// Looks at everything: migrations, integrity, foreign keys, every audit chain, checkpoints, and what rows say of
/// each other. Of a schema that is not ours only what the database itself can tell.
pub fn examine(connection: &mut AnyConnection) -> Result<Vec<Finding>> {
    examine_with(connection, None)
}

/// The same, with the checkpoints of the database compared with a checkpoint file.
pub fn examine_with(connection: &mut AnyConnection, checkpoint_file: Option<&Path>) -> Result<Vec<Finding>> {
    let schema = Schema::of(connection)?;
    on_snapshot(connection, |connection| {
        let mut findings = examine_snapshot(connection, &schema)?;
        if let Some(path) = checkpoint_file.filter(|_| schema.is_ours()) {
            let proof = checkpoint_file::compare(connection, path)?;
            let seen = format!("{} checkpoints of {} are in the database", proof.lines, path.display());
            findings.push(Finding { check: "checkpoint file", fault: proof.fault, seen });
        }
        Ok(findings)
    })
}

/// The same inside a snapshot that somebody else took.
pub fn examine_snapshot(connection: &mut AnyConnection, schema: &Schema) -> Result<Vec<Finding>> {
    integrity::take_time(connection)?;
    let faults = integrity::faults(connection)?;
    let (dangling, keys) = integrity::dangling(connection)?;
    let mut findings = vec![
        schema.finding(),
        Finding::of("integrity", &faults, "tables and indexes"),
        Finding::of("foreign keys", &dangling, format!("{keys} foreign keys")),
    ];
    if schema.is_ours() {
        examine_rows(connection, &mut findings)?;
    }
    Ok(findings)
}

fn bad_row(bad: &audit::BadRow) -> String {
    format!("{} {} row {}: {}", bad.record_type, bad.record_id, bad.seq, bad.reason)
}

fn examine_rows(connection: &mut AnyConnection, findings: &mut Vec<Finding>) -> Result<()> {
    let proof = audit::verify_all(connection)?;
    findings.push(Finding {
        check: "audit chains",
        fault: proof.first_bad.as_ref().map(bad_row),
        seen: format!("{} rows in {} chains", proof.rows, proof.chains),
    });
    let proof = checkpoints::prove(connection)?;
    let later = stored::rows_not_covered(connection)?;
    findings.push(Finding {
        check: "checkpoints",
        fault: proof.first_bad.as_ref().map(bad_row),
        seen: format!(
            "{} checkpoints of {} ends of chains; {later} rows of history are in none yet",
            proof.checkpoints, proof.heads
        ),
    });
    for check in ROW_CHECKS {
        let faults = integrity::failing(connection, check)?;
        findings.push(Finding::of(check.name, &faults, check.holds));
    }
    let edges = integrity::dependencies(connection)?;
    let circle = first_cycle(&edges).map(|circle| {
        let mut names: Vec<String> = circle.iter().map(ToString::to_string).collect();
        names.extend(names.first().cloned());
        vec![format!("release {}", names.join(" depends on "))]
    });
    let seen = format!("{} dependencies without a circle", edges.len());
    findings.push(Finding::of("dependencies", &circle.unwrap_or_default(), seen));
    Ok(())
}
