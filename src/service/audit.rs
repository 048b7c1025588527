//! History: what a change says of itself, and reading and proving it afterwards.

use serde::Serialize;
use serde_json::{Map, Value};

use super::releases::visible;
use super::{Error, ReadContext, Result, checkpoints};
use crate::domain::policy::Access;
use crate::repository::audit::{self, AuditRow, Proof};
use crate::repository::listing::{Condition, ListQuery, Rows, SqlValue};
use crate::repository::on_snapshot;
use crate::repository::releases::{self, ReleaseRef};

/// What a change did to one field.
#[derive(Debug, Serialize)]
pub struct Difference<'s> {
    /// JSON pointer to the field.
    field: String,
    before: &'s Value,
    after: &'s Value,
}

/// The field-level differences of two states. Objects are compared field by field, lists as a whole.
pub fn differences<'s>(before: Option<&'s Value>, after: Option<&'s Value>) -> Vec<Difference<'s>> {
    let mut found = Vec::new();
    compare("", before.unwrap_or(&Value::Null), after.unwrap_or(&Value::Null), &mut found);
    found
}

fn compare<'s>(pointer: &str, before: &'s Value, after: &'s Value, found: &mut Vec<Difference<'s>>) {
    if !matches!((before, after), (Value::Object(_), Value::Object(_) | Value::Null) | (Value::Null, Value::Object(_)))
    {
        if before != after {
            found.push(Difference { field: pointer.to_owned(), before, after });
        }
        return;
    }
    let of = |state: &'s Value, name: &str| state.get(name).unwrap_or(&Value::Null);
    let names = |state: &'s Value| state.as_object().into_iter().flat_map(Map::keys);
    for name in names(before).chain(names(after).filter(|name| before.get(name).is_none())) {
        let (before, after) = (of(before, name), of(after, name));
        // Most fields stay as they were.
        if before != after {
            let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
            compare(&pointer, before, after, found);
        }
    }
}

/// A page of the history of a visible release, newest first.
pub fn history(context: &mut ReadContext<'_>, reference: ReleaseRef, mut query: ListQuery) -> Result<Rows<AuditRow>> {
    context.authorise(Access::Read)?;
    let release = visible(context, reference)?;
    query.conditions = vec![
        Condition { filter: 0, values: vec![SqlValue::Text("release".into())] },
        Condition { filter: 1, values: vec![SqlValue::Text(release.id.to_string())] },
    ];
    Ok(audit::page(context.connection, &audit::HISTORY, &query, context.now)?)
}

/// Walks the chain of a visible release.
pub fn verify_history(context: &mut ReadContext<'_>, reference: ReleaseRef) -> Result<Proof> {
    context.authorise(Access::Read)?;
    let visibility = context.actor.visibility();
    on_snapshot(context.connection, |connection| {
        let (release, _) = releases::find(connection, reference, &visibility)?.ok_or(Error::NotFound("release"))?;
        let mut proof = audit::verify_record(connection, "release", &release.id.to_string(), &release.chain)?;
        if proof.first_bad.is_none() {
            proof.first_bad = checkpoints::disagreement_on(connection, "release", &release.id.to_string())?;
        }
        Ok(proof)
    })
}

/// A page of the whole audit.
pub fn list(context: &mut ReadContext<'_>, query: &ListQuery) -> Result<Rows<AuditRow>> {
    context.authorise(Access::Audit)?;
    Ok(audit::page(context.connection, &audit::LIST, query, context.now)?)
}

/// Walks every chain and every checkpoint; answers the number of those too.
pub fn verify(context: &mut ReadContext<'_>) -> Result<(Proof, i64)> {
    context.authorise(Access::Audit)?;
    on_snapshot(context.connection, |connection| {
        let mut proof = audit::verify_all(connection)?;
        let stated = checkpoints::prove(connection)?;
        proof.first_bad = proof.first_bad.or(stated.first_bad);
        Ok((proof, stated.checkpoints))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_name_each_field_and_compare_lists_whole() {
        let before = json!({"a": 1, "b": {"c": "x", "d": null}, "l": [1]});
        let after = json!({"a": 1, "b": {"c": "y", "d": null}, "l": [1, 2], "n/1": true});
        assert_eq!(
            serde_json::to_value(differences(Some(&before), Some(&after))).unwrap(),
            json!([
                {"field": "/b/c", "before": "x", "after": "y"},
                {"field": "/l", "before": [1], "after": [1, 2]},
                {"field": "/n~11", "before": null, "after": true},
            ])
        );
        assert!(differences(Some(&before), Some(&before)).is_empty());
    }
}
