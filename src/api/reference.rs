//! Reference data over HTTP: one representation and one set of handlers for every noun.

use serde::{Serialize, Serializer};
use serde_json::Value;
use utoipa::ToSchema;

use super::schema::Checked;
use crate::repository::listing::SqlValue;
use crate::repository::nouns::{
    Calendar, Change, ChecklistTemplate, Contract, Group, Justification, Model, Noun, Portfolio, Record,
    SolutionCategory, Unit, User,
};
use crate::service::{self, Reply};

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

/// Writes the five handlers of a noun.
macro_rules! reference_resource {
    (
        $noun:ty, $id:ty, $tag:literal, $collection:literal, $item:literal,
        $list:ident, $read:ident, $update:ident, $delete:ident $(, $create:ident)?
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
}

pub(crate) use reference_resource;
