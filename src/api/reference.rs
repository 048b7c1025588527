//! Reference data over HTTP: one representation and one set of handlers for every noun.

use serde::{Serialize, Serializer};
use serde_json::Value;
use utoipa::ToSchema;

use super::schema::Checked;
use super::{BASE, Call};
use crate::domain::values::{Draft, Fault};
use crate::repository::listing::SqlValue;
use crate::repository::nouns::{
    Calendar, Change, ChecklistTemplate, ConfigurationItem, Contract, Group, HardwareSpare, Justification, Keyed,
    Model, Noun, Portfolio, Record, SolutionCategory, Unit, User,
};
use crate::service::catalogue::Rules;
use crate::service::{self, Reply, WriteContext, keyed};

/// The name of a tool that owns records has at most so many characters.
const SOURCE_LENGTH_MAX: usize = 50;
/// The key of a record in its tool has at most so many characters.
const KEY_LENGTH_MAX: usize = 100;

impl Checked for Unit {}
impl Checked for User {}
impl Checked for Group {}
impl Checked for Contract {}
impl Checked for Calendar {}
impl Checked for Justification {}
impl Checked for SolutionCategory {}
impl Checked for Portfolio {}
impl Checked for Model {}
impl Checked for Change {}
impl Checked for ConfigurationItem {}
impl Checked for HardwareSpare {}
impl Checked for ChecklistTemplate {}

/// A record as it is shown: identifier, content, version and instants.
#[derive(Debug, Clone)]
pub struct Resource<N: Noun>(pub Record<N>);

impl<N: Noun> Serialize for Resource<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serde_json::Map::new();
        fields.insert("id".into(), Value::String(self.0.id.to_string()));
        if let Ok(Value::Object(content)) = serde_json::to_value(&self.0.content) {
            fields.extend(content);
        }
        fields.insert("row_version".into(), self.0.row_version.into());
        fields.insert("created_at".into(), self.0.created_at.to_string().into());
        fields.insert("updated_at".into(), self.0.updated_at.to_string().into());
        fields.serialize(serializer)
    }
}

/// The schema of a record as it is shown. The document puts the fields of the content and of every record in
/// place of this one when it is finished.
#[derive(Debug, ToSchema)]
pub struct ResourceOf<T> {
    /// The content.
    pub content: T,
}

/// The schema of a merge patch of a type, as a body: the document puts the fields of the type in place, optional
/// and nullable, when it is finished.
#[derive(Debug, ToSchema)]
pub struct PatchOf<T> {
    /// The content.
    pub content: T,
}

/// Where a record stands in its list.
pub fn position<N: Noun>(record: &Record<N>, sort: &str) -> (SqlValue, String) {
    let value = match sort {
        "created_at" => SqlValue::Instant(record.created_at),
        _ => SqlValue::Text(record.content.sort_text().to_owned()),
    };
    (value, record.id.to_string())
}

/// The answer that shows a record.
pub fn shown<N: Noun>(status: u16, record: Record<N>) -> service::Result<Reply> {
    let row_version = record.row_version;
    Ok(Reply::json(status, &Resource(record))?.version(row_version))
}

/// The answer to the upsert of a noun under the key that the path names; `content` is the record without its key.
pub fn upserted<N, C>(
    context: &mut WriteContext<'_>,
    call: &Call,
    collection: &str,
    content: Draft<C>,
) -> service::Result<Reply>
where
    N: Rules + Keyed + Checked,
    C: Serialize,
{
    let (source, external_id) = key_in_path(call).map_err(service::Error::Malformed)?;
    let draft: Draft<N> = content.and_then(|content| with_key(&content, &source, &external_id));
    let (record, new) = keyed::upsert(context, (&source, &external_id), draft)?;
    let location = format!("{BASE}{collection}/{}", record.id);
    let reply = shown(if new { 201 } else { 200 }, record)?;
    Ok(if new { reply.at(location) } else { reply })
}

/// The key that the path names.
fn key_in_path(call: &Call) -> Result<(String, String), Vec<Fault>> {
    let (source, external_id) = (call.segment("source"), call.segment("external_id"));
    let mut faults = Vec::new();
    for (name, value, max) in [("source", &source, SOURCE_LENGTH_MAX), ("external_id", &external_id, KEY_LENGTH_MAX)] {
        // The router puts U+FFFD in place of what is no UTF-8.
        let odd = value.contains(['\0', char::REPLACEMENT_CHARACTER]);
        if value.trim().is_empty() || value.chars().count() > max || odd {
            let detail = format!("This has 1 to {max} characters of UTF-8, none of them NUL.");
            faults.push(Fault::parameter(name, "INVALID_PARAMETER", detail));
        }
    }
    if faults.is_empty() { Ok((source, external_id)) } else { Err(faults) }
}

/// The whole record: what holds of a created one holds of an upserted one too.
fn with_key<N: Checked>(content: &impl Serialize, source: &str, external_id: &str) -> Draft<N> {
    let mut whole = serde_json::to_value(content).unwrap_or_default();
    whole["source"] = source.into();
    whole["external_id"] = external_id.into();
    super::schema::check_whole(whole)
}

/// Writes the five handlers of a noun; `_` in place of a name for one that is written by hand.
macro_rules! reference_resource {
    (
        $noun:ty, $id:ty, $tag:literal, $collection:literal, $item:literal,
        $list:ident, $read:tt, $update:ident, $delete:ident $(, $create:ident)?
    ) => {
        #[utoipa::path(tag = $tag, responses((status = 200, body = Page<ResourceOf<$noun>>)))]
        #[get($collection)]
        pub(super) async fn $list(call: Call) -> Answer {
            let link = call.clone();
            call.list(<$noun as Noun>::LIST, &[], move |context, query| {
                let rows = catalogue::list::<$noun>(context, &query)?;
                paging::reply(&link, <$noun as Noun>::LIST, &query, rows, Resource, reference::position)
            })
            .await
        }

        $(
            #[utoipa::path(tag = $tag, request_body = $noun, responses((status = 201, body = ResourceOf<$noun>)))]
            #[post($collection)]
            pub(super) async fn $create(call: Call, body: Body<Draft<$noun>>) -> Answer {
                call.write(&["dry_run"], body, |context, draft| {
                    let record = catalogue::create::<$noun>(context, draft.clone())?;
                    let location = format!("{BASE}{}/{}", $collection, record.id);
                    Ok(reference::shown(201, record)?.at(location))
                })
                .await
            }
        )?

        reference_resource!(@read $noun, $id, $tag, $item, $read);

        #[utoipa::path(tag = $tag, params(("id" = $id, Path,)), request_body(content = PatchOf<$noun>, content_type = "application/merge-patch+json"), responses((status = 200, body = ResourceOf<$noun>)))]
        #[patch($item)]
        pub(super) async fn $update(call: Call, body: Body<MergePatch<$noun>>) -> Answer {
            let path = call.clone();
            call.write(&["dry_run"], body, move |context, patch| {
                let id = path.id("id", <$noun as Noun>::RECORD)?;
                let if_match = context.request.if_match.clone();
                reference::shown(200, catalogue::patch::<$noun>(context, id, &if_match, patch)?)
            })
            .await
        }

        #[utoipa::path(tag = $tag, params(("id" = $id, Path,)), responses((status = 204)))]
        #[delete($item)]
        pub(super) async fn $delete(call: Call, body: NoBody) -> Answer {
            let path = call.clone();
            call.write(&[], body, move |context, _| {
                let id = path.id("id", <$noun as Noun>::RECORD)?;
                let if_match = context.request.if_match.clone();
                catalogue::delete::<$noun>(context, id, &if_match)?;
                Ok(Reply::empty())
            })
            .await
        }
    };
    (@read $noun:ty, $id:ty, $tag:literal, $item:literal, _) => {};
    (@read $noun:ty, $id:ty, $tag:literal, $item:literal, $read:ident) => {
        #[utoipa::path(tag = $tag, params(("id" = $id, Path,)), responses((status = 200, body = ResourceOf<$noun>)))]
        #[get($item)]
        pub(super) async fn $read(call: Call) -> Answer {
            let id = call.clone();
            call.read(&[], move |context| {
                let id = id.id("id", <$noun as Noun>::RECORD);
                context.authorise(Access::Read)?;
                reference::shown(200, catalogue::read::<$noun>(context, id?)?)
            })
            .await
        }
    };
}

pub(crate) use reference_resource;
