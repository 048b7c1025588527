//! Reference data: one path for list, read, create, patch and delete of every noun.

use serde_json::Value;

use super::{Error, IfMatch, MergePatch, ReadContext, Recorded, Result, WriteContext, already_exists};
use crate::domain::policy::{Access, Permit};
use crate::domain::release::ChainHead;
use crate::domain::values::{Draft, Fault};
use crate::repository::audit::Stamp;
use crate::repository::listing::{ListQuery, Rows};
use crate::repository::nouns::{Noun, Record};
use crate::repository::plan_by_values;

/// What is particular to a noun: who may write it, and what must hold of its content.
pub trait Rules: Noun {
    /// Who may write it.
    const ACCESS: Access;

    /// What is done with one that is in use and not wanted any more; empty where there is nothing.
    const INSTEAD: &'static str = " Deactivate it instead.";

    /// What is wrong with the content, beyond its shape. `id` is that of the record that is changed.
    fn faults(&self, context: &mut WriteContext<'_>, id: Option<Self::Id>, before: Option<&Self>)
    -> Result<Vec<Fault>>;

    /// What else follows from storing the content.
    fn before_store(&self, _context: &mut WriteContext<'_>, _permit: Permit, _id: Self::Id) -> Result<()> {
        Ok(())
    }

    /// What is kept beside the content that was just stored. `before` is what it was; `None` where it is new.
    fn after_store(
        _context: &mut WriteContext<'_>,
        _record: &Record<Self>,
        _before: Option<&Self>,
        _stamp: &Stamp,
    ) -> Result<()> {
        Ok(())
    }

    /// What stands against deleting the record, besides its being in use; and what goes with it.
    fn deletable(&self, _context: &mut WriteContext<'_>, _id: Self::Id) -> Result<()> {
        Ok(())
    }
}

/// The content as JSON, as history compares it.
pub fn document(content: &impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(content).map_err(|error| Error::Internal(error.to_string()))
}

/// Answers a page.
pub fn list<N: Rules>(context: &mut ReadContext<'_>, query: &ListQuery) -> Result<Rows<Record<N>>> {
    context.authorise(Access::Read)?;
    Ok(N::page(context.connection, query, context.now)?)
}

/// Reads one record.
pub fn read<N: Rules>(context: &mut ReadContext<'_>, id: N::Id) -> Result<Record<N>> {
    context.authorise(Access::Read)?;
    N::find(context.connection, id)?.ok_or(Error::NotFound(N::RECORD))
}

/// Finds a record that a write is about; the write itself is authorised by its own rules.
pub fn find<N: Rules>(context: &mut ReadContext<'_>, id: N::Id) -> Result<Record<N>> {
    N::find(context.connection, id)?.ok_or(Error::NotFound(N::RECORD))
}

/// Creates a record.
pub fn create<N: Rules>(context: &mut WriteContext<'_>, draft: Draft<N>) -> Result<Record<N>> {
    let permit = context.authorise(N::ACCESS)?;
    let content = draft.map_err(Error::Invalid)?;
    Error::unless_none(content.faults(context, None, None)?)?;
    insert(context, permit, content, &[])
}

/// Stores a record that is known to be sound. `told` is what its history tells besides the content.
pub fn insert<N: Rules>(
    context: &mut WriteContext<'_>,
    permit: Permit,
    content: N,
    told: &[(&str, Value)],
) -> Result<Record<N>> {
    let now = context.now;
    let id = N::new_id(context.env.new_id(now));
    content.before_store(context, permit, id)?;
    let mut record =
        Record { id, row_version: 1, created_at: now, updated_at: now, chain: ChainHead::default(), content };
    let mut after = document(&record.content)?;
    for (name, value) in told {
        after[*name] = value.clone();
    }
    let stamp = context.record(
        permit,
        &record.chain,
        Recorded {
            record_type: N::RECORD,
            record_id: id.to_string(),
            subject: None,
            action: format!("{}.create", N::RECORD),
            before: None,
            after: Some(&after),
            published: true,
        },
    )?;
    N::insert(context.connection, &record, &stamp).map_err(|error| already_exists(error.into(), N::RECORD))?;
    record.chain = stamp.head().clone();
    N::after_store(context, &record, None, &stamp)?;
    Ok(record)
}

/// Patches a record. A patch that changes nothing stores nothing.
pub fn patch<N: Rules>(
    context: &mut WriteContext<'_>,
    id: N::Id,
    if_match: &IfMatch,
    patch: &MergePatch<N>,
) -> Result<Record<N>> {
    let record = N::lock(context.connection, id)?.ok_or(Error::NotFound(N::RECORD))?;
    let permit = context.authorise(N::ACCESS)?;
    if_match.demand(record.row_version)?;
    let content = patch.apply(document(&record.content)?).map_err(Error::Invalid)?;
    Error::unless_none(content.faults(context, Some(id), Some(&record.content))?)?;
    store(context, permit, record, content)
}

/// Stores the new content of a locked record, where it differs from the old.
pub fn store<N: Rules>(
    context: &mut WriteContext<'_>,
    permit: Permit,
    record: Record<N>,
    content: N,
) -> Result<Record<N>> {
    store_as(context, permit, record, content, "update")
}

/// The same, with the verb that history has for it.
pub fn store_as<N: Rules>(
    context: &mut WriteContext<'_>,
    permit: Permit,
    record: Record<N>,
    content: N,
    verb: &str,
) -> Result<Record<N>> {
    let (before, after) = (document(&record.content)?, document(&content)?);
    if before == after {
        return Ok(record);
    }
    content.before_store(context, permit, record.id)?;
    let stamp = context.record(
        permit,
        &record.chain,
        Recorded {
            record_type: N::RECORD,
            record_id: record.id.to_string(),
            subject: None,
            action: format!("{}.{verb}", N::RECORD),
            before: Some(&before),
            after: Some(&after),
            published: true,
        },
    )?;
    let stored = Record {
        row_version: record.row_version + 1,
        updated_at: context.now,
        chain: stamp.head().clone(),
        content,
        ..record
    };
    N::update(context.connection, &stored, &stamp).map_err(|error| already_exists(error.into(), N::RECORD))?;
    N::after_store(context, &stored, Some(&record.content), &stamp)?;
    Ok(stored)
}

/// Deletes a record that nothing uses.
pub fn delete<N: Rules>(context: &mut WriteContext<'_>, id: N::Id, if_match: &IfMatch) -> Result<()> {
    let record = N::lock(context.connection, id)?.ok_or(Error::NotFound(N::RECORD))?;
    let permit = context.authorise(N::ACCESS)?;
    if_match.demand(record.row_version)?;
    plan_by_values(context.connection)?;
    record.content.deletable(context, id)?;
    let uses = N::uses(context.connection, id)?;
    if !uses.is_empty() {
        let by: Vec<String> =
            uses.iter().map(|(by, count)| format!("{count} {by}{}", if *count == 1 { "" } else { "s" })).collect();
        return Err(Error::conflict("IN_USE", format!("It is in use by {}.{}", by.join(", "), N::INSTEAD)));
    }
    let before = document(&record.content)?;
    let stamp = context.record(
        permit,
        &record.chain,
        Recorded {
            record_type: N::RECORD,
            record_id: id.to_string(),
            subject: None,
            action: format!("{}.delete", N::RECORD),
            before: Some(&before),
            after: None,
            published: true,
        },
    )?;
    N::delete(context.connection, id, record.row_version, &stamp)?;
    Ok(())
}
