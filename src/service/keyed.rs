//! Nouns that another tool owns: their working copies are stored under the key that they have there (`api.md` §1).

use super::catalogue::{self, Rules};
use super::{Error, Result, WriteContext};
use crate::domain::values::{Draft, Fault};
use crate::repository::nouns::{Keyed, Record};

/// Stores a working copy under its own key. True where it was new. An older `source_revision` is refused; the same
/// content again changes nothing.
pub fn upsert<N: Rules + Keyed>(
    context: &mut WriteContext<'_>,
    (source, external_id): (&str, &str),
    draft: Draft<N>,
) -> Result<(Record<N>, bool)> {
    let permit = context.authorise(N::ACCESS)?;
    let stored = N::lock_by_key(context.connection, source, external_id)?;
    let content = draft.map_err(Error::Invalid)?;
    let Some(record) = stored else {
        Error::unless_none(content.faults(context, None, None)?)?;
        // Somebody else may store the same key at this moment: then this runs again, and finds it.
        return match catalogue::insert(context, permit, content, &[]) {
            Err(Error::Conflict { code: "ALREADY_EXISTS", .. }) => Err(crate::repository::Error::Stale.into()),
            result => Ok((result?, true)),
        };
    };
    let content = succeeding(&record.content, content).map_err(|fault| Error::conflict(fault.code, fault.detail))?;
    Error::unless_none(content.faults(context, Some(record.id), Some(&record.content))?)?;
    Ok((catalogue::store(context, permit, record, content)?, false))
}

/// The content that follows the stored one, or a fault where it is the older of both. Without a revision the last one
/// known stays the guard against older ones.
pub fn succeeding<N: Keyed>(stored: &N, given: N) -> std::result::Result<N, Fault> {
    match (stored.source_revision(), given.source_revision()) {
        (Some(kept), Some(revision)) if revision < kept => {
            let detail = format!("Revision {kept} is stored; {revision} is older.");
            Err(Fault::at("/source_revision", "OLDER_REVISION", detail))
        }
        (kept, revision) => Ok(given.at_revision(revision.or(kept))),
    }
}

/// The key of a record never changes.
pub fn demand_same_key<N: Keyed>(before: Option<&N>, after: &N) -> Result<()> {
    if before.is_some_and(|before| before.key() != after.key()) {
        let what = N::RECORD.replace('_', " ");
        return Err(Error::conflict("KEY_LOCKED", format!("The source and key of a {what} never change.")));
    }
    Ok(())
}
