//! What some releases of a small installation have beside their histories: roles, records, shares, references,
//! comments and documents, all told at the present.

use std::sync::Arc;

use bytes::Bytes;

use super::cast::MANAGERS;
use super::furnish::Cast;
use super::words;
use crate::domain::documents::may_be_written;
use crate::domain::policy::Actor;
use crate::domain::release::Release;
use crate::domain::values::*;
use crate::repository::releases::ReleaseRef;
use crate::service::comments::NewReleaseComment;
use crate::service::documents::{NewDocument, NewFile};
use crate::service::records::NewRecord;
use crate::service::references::NewReference;
use crate::service::roles::RoleFields;
use crate::service::setup::console_request;
use crate::service::shares::NewShare;
use crate::service::{
    Env, Error, Result, WriteContext, comments, documents, records, references, releases, roles, shares,
};

/// One release in so many has all of it.
const EVERY: usize = 3;

/// Fills the folders of some of the releases.
pub fn fill(env: &Arc<Env>, cast: &Cast, present: Timestamp, releases: &[Option<ReleaseId>]) -> Result<()> {
    env.clock().set(present);
    for (index, release) in releases.iter().enumerate().step_by(EVERY) {
        let Some(reference) = release.map(ReleaseRef::Id) else { continue };
        let by = cast.actors[MANAGERS[index % MANAGERS.len()]].clone();
        let mut request = console_request(by.clone());
        request.id = format!("seed-folder-{index}");
        let groups = cast.stored.groups.clone();
        let told = env.write_blocking(request, move |context| {
            let release = releases::visible_locked(context, reference)?;
            if release.status.is_active() {
                roles(context, reference, index, release.acting_requester())?;
                reference_to(context, reference, index)?;
            }
            let group = groups.iter().find(|group| **group != release.executor_group_id);
            let share = NewShare { user_id: None, group_id: group.copied(), level: ShareLevel::Read };
            shares::add(context, reference, Ok(share))?;
            record(context, reference, index)?;
            discuss(context, reference)?;
            Ok(release)
        });
        let told = told.and_then(|release| file(env, &by, &release));
        told.map_err(|error| match error {
            Error::Repository(_) => error,
            other => Error::Internal(format!("seeding stopped at the folder of release {index}: {other:?}")),
        })?;
    }
    Ok(())
}

fn roles(context: &mut WriteContext<'_>, release: ReleaseRef, index: usize, requester: UserId) -> Result<()> {
    let (name, email) = words::OUTSIDERS[index % words::OUTSIDERS.len()];
    let role = RoleFields {
        role: Responsibility::Accountable,
        phase: None,
        user_id: Some(requester),
        name: None,
        email: None,
        text: None,
    };
    let consulted = RoleFields {
        role: Responsibility::Consulted,
        phase: Some(StageKind::Deployment),
        user_id: None,
        name: Some(name.into()),
        email: Some(email.into()),
        text: Some("Knows the other side of the interface.".into()),
    };
    for role in [role, consulted] {
        roles::add(context, release, Ok(role))?;
    }
    Ok(())
}

fn reference_to(context: &mut WriteContext<'_>, release: ReleaseRef, index: usize) -> Result<()> {
    let number = 4200 + index;
    let purchase = NewReference {
        kind: ReferenceKind::Purchase,
        source: "erp".into(),
        external_id: format!("PO-{number}"),
        title: "Licences for the new version".into(),
        url: Some(format!("https://erp.meridian.example/orders/PO-{number}")),
        status: Some("delivered".into()),
        finished: true,
    };
    let ticket = NewReference {
        kind: ReferenceKind::Ticket,
        source: "desk".into(),
        external_id: format!("INC-{number}"),
        title: "Slow at the end of the month".into(),
        url: None,
        status: Some("in work".into()),
        finished: false,
    };
    for reference in [purchase, ticket] {
        references::add(context, release, Ok(reference))?;
    }
    Ok(())
}

/// What the vendor said, put right by a second entry.
fn record(context: &mut WriteContext<'_>, release: ReleaseRef, index: usize) -> Result<()> {
    let (contact, _) = words::OUTSIDERS[index % words::OUTSIDERS.len()];
    let said = |body: &str, corrects_id| NewRecord {
        kind: RecordKind::Communication,
        category: Some("vendor".into()),
        origin: Origin::Phone,
        minutes_spent: Some(15),
        contact: Some(contact.into()),
        body: body.into(),
        corrects_id,
    };
    let (first, _) = records::add(context, release, Ok(said("They keep somebody on call until ten.", None)))?;
    records::add(context, release, Ok(said("They keep somebody on call until midnight.", Some(first.id))))?;
    Ok(())
}

/// What is in a folder: its class, name, media type and words.
type Paper = (DocumentClass, &'static str, &'static str, &'static str);

const PAPERS: &[Paper] = &[
    (
        DocumentClass::RollbackPlan,
        "way-back.txt",
        "text/plain",
        "1. Stop the intake.\n2. Install the version of before, from the shelf.\n3. Compare the totals of the day.\n\
         4. Open the intake.\n",
    ),
    (
        DocumentClass::Evidence,
        "tests.csv",
        "text/csv",
        "case,result,minutes\nlog in,passed,2\npay by card,passed,5\nrefund,passed,4\nend of day,passed,18\n",
    ),
];

/// Puts documents into the folder, as far as the release takes them: their content into the store, and then their rows.
fn file(env: &Arc<Env>, by: &Actor, release: &Release) -> Result<()> {
    let store = env.store()?;
    let fitting = PAPERS.iter().filter(|(class, ..)| may_be_written(*class, release.status));
    for (class, name, media_type, words) in fitting {
        let key = documents::new_key(env);
        let seal = store.put_blocking(&key, Bytes::from_static(words.as_bytes()))?;
        let new = NewDocument {
            class: *class,
            description: None,
            version: release.version.clone(),
            file: NewFile { name: (*name).into(), media_type: (*media_type).into(), seal },
        };
        let reference = ReleaseRef::Id(release.id);
        let mut request = console_request(by.clone());
        request.id = format!("seed-document-{}-{name}", release.number);
        env.write_blocking(request, move |context| documents::add(context, reference, &Ok(new.clone()), &key))?;
    }
    Ok(())
}

fn discuss(context: &mut WriteContext<'_>, release: ReleaseRef) -> Result<()> {
    let question = NewReleaseComment { body: "Who watches the queues that night?".into(), reply_to_id: None };
    let question = comments::add(context, release, Ok(question))?;
    let answer = NewReleaseComment { body: "The desk does, as last time.".into(), reply_to_id: Some(question.id) };
    comments::add(context, release, Ok(answer))?;
    Ok(())
}
