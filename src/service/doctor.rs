//! The doctor: proves that a database is whole.

use super::Result;
use crate::repository::{AnyConnection, audit, integrity, migrations, on_snapshot};

/// One thing that the doctor looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// What is wrong; `None` where nothing is.
    pub fault: Option<String>,
    /// What was seen, in words.
    pub seen: String,
}

/// Looks at migrations, integrity, foreign keys, and every audit chain.
pub fn examine(connection: &mut AnyConnection) -> Result<Vec<Finding>> {
    let steps = migrations::status(connection)?;
    let pending: Vec<_> = steps.iter().filter(|step| !step.applied).map(|step| step.name.clone()).collect();
    let mut findings = vec![Finding {
        check: "migrations",
        fault: (!pending.is_empty()).then(|| format!("pending: {}", pending.join(", "))),
        seen: format!("{} applied", steps.len() - pending.len()),
    }];
    if !pending.is_empty() {
        return Ok(findings);
    }
    on_snapshot(connection, |connection| examine_rows(connection, &mut findings))?;
    Ok(findings)
}

/// What must agree with each other while others write.
fn examine_rows(connection: &mut AnyConnection, findings: &mut Vec<Finding>) -> Result<()> {
    let faults = integrity::faults(connection)?;
    findings.push(Finding {
        check: "integrity",
        fault: (!faults.is_empty()).then(|| faults.join("; ")),
        seen: "tables, indexes and foreign keys".into(),
    });
    let proof = audit::verify_all(connection)?;
    findings.push(Finding {
        check: "audit chains",
        fault: proof
            .first_bad
            .as_ref()
            .map(|bad| format!("{} {} row {}: {}", bad.record_type, bad.record_id, bad.seq, bad.reason)),
        seen: format!("{} rows in {} chains", proof.rows, proof.chains),
    });
    let without = integrity::changes_without_event(connection)?;
    findings.push(Finding {
        check: "events",
        fault: (without > 0).then(|| format!("{without} audited changes of releases without their event")),
        seen: "one event for every audited change of a release".into(),
    });
    Ok(())
}
