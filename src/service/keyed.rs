//! Nouns that another tool owns: their working copies are stored under the key that they have there (`api.md` §1).

use super::catalogue::{self, Rules};
use super::{Error, Result, WriteContext};
use crate::domain::values::{Draft, Fault};
use crate::repository::nouns::{Keyed, Record};

/// Stores a working copy under its own key, where `If-Match` allows it; what is not there yet is at version 0. True where
/// it was new. An older `source_revision` is refused, and the stored one with other content; the same content again
/// changes nothing.
pub fn upsert<N: Rules + Keyed>(
    context: &mut WriteContext<'_>,
    (source, external_id): (&str, &str),
    draft: Draft<N>,
) -> Result<(Record<N>, bool)> {
    let permit = context.authorise(N::ACCESS)?;
    let stored = N::lock_by_key(context.connection, source, external_id)?;
    context.request.if_match.honour(stored.as_ref().map_or(0, |record| record.row_version))?;
    let content = draft.map_err(Error::Invalid)?;
    let Some(record) = stored else {
        Error::unless_none(content.faults(context, None, None)?)?;
        // Somebody else may store the same key at this moment: then this runs again, and finds it.
        return match catalogue::insert(context, permit, content, &[]) {
            Err(Error::Conflict { code: "ALREADY_EXISTS", .. }) => Err(crate::repository::Error::Stale.into()),
            result => Ok((result?, true)),
        };
    };
    let revisions = (record.content.source_revision(), content.source_revision());
    let same = is_same(&record.content, &content);
    let revision = succeeding(revisions, same).map_err(|fault| Error::conflict(fault.code, fault.detail))?;
    let content = content.at_revision(revision);
    Error::unless_none(content.faults(context, Some(record.id), Some(&record.content))?)?;
    Ok((catalogue::store(context, permit, record, content)?, false))
}

/// True where a record is given as it is stored, its revision aside.
pub fn is_same<N: Keyed>(stored: &N, given: &N) -> bool {
    given.clone().at_revision(stored.source_revision()) == *stored
}

/// The revision that content is stored at over the one that is `kept`: a fault where it is older, or where it is that
/// very one and the content is not the same, for a tool that changes a record gives it a new revision. So what was only
/// changed here, as a release does that is closed, is not undone by what its tool knew before. Without a revision the
/// last one known stays the guard against older ones.
pub fn succeeding((kept, given): (Option<i64>, Option<i64>), is_same: bool) -> std::result::Result<Option<i64>, Fault> {
    let refused = |code, detail: String| Err(Fault::at("/source_revision", code, detail));
    match (kept, given) {
        (Some(kept), Some(given)) if given < kept => {
            refused("OLDER_REVISION", format!("Revision {kept} is stored; {given} is older."))
        }
        (Some(kept), Some(given)) if given == kept && !is_same => {
            refused("SAME_REVISION", format!("Revision {kept} is stored with other content; send a newer one."))
        }
        (kept, given) => Ok(given.or(kept)),
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
