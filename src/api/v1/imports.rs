//! `/configuration-items/import` and `/imports`: many configuration items and relationships at once.

use std::sync::Arc;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, get, post, web};
use futures_util::stream;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Operations;
use crate::api::body::parse;
use crate::api::schema::{Checked, check_whole};
use crate::api::{Answer, BASE, Call, NoBody, paging, paging::Page};
use crate::domain::values::*;
use crate::error::{Problem, ProblemFault};
use crate::repository::imports::{ImportRow, LIST, RESULTS, ResultRow};
use crate::repository::listing::{ListQuery, SqlValue};
use crate::repository::nouns::ConfigurationItem;
use crate::service::import_rows::{Forms, ImportedRelationship};
use crate::service::{self, Reply, imports};

/// Rows are sent on in portions of this many.
const ROWS_PER_PORTION: i64 = 1000;
/// Media type of rows that are sent one on each line.
pub const NDJSON: &str = "application/x-ndjson";

/// Registers the operations.
pub fn configure(config: &mut impl Operations) {
    config
        .service(import_configuration_items)
        .service(list_imports)
        .service(read_import)
        .service(cancel_import)
        .service(list_import_results);
}

impl Checked for ImportedRelationship {
    const READ_ONLY: &'static [&'static str] = &[];
}

/// How the rows of imports are read and judged: as bodies are.
pub const FORMS: Forms =
    Forms { json: parse, item: check_whole::<ConfigurationItem>, relationship: check_whole::<ImportedRelationship> };

/// An import, and how far it is.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Import {
    /// Identifier.
    pub id: ImportId,
    /// Format of the upload.
    pub format: ImportFormat,
    /// Name of the file, where one is known.
    pub name: Option<String>,
    /// True where every row is judged and none is stored.
    pub dry_run: bool,
    /// Its state.
    pub state: ImportState,
    /// Why it cannot go on, or why it did not the last time, in words.
    pub detail: Option<String>,
    /// Size of the upload.
    pub size_bytes: i64,
    /// How many bytes of it were looked at.
    pub bytes_done: i64,
    /// How many rows were looked at.
    pub rows_done: i64,
    /// Rows that made a record.
    pub created: i64,
    /// Rows that changed one.
    pub updated: i64,
    /// Rows that said what was there already.
    pub unchanged: i64,
    /// Rows that were refused.
    pub failed: i64,
    /// SHA-256 of the upload, in hexadecimal.
    pub sha256: String,
    /// Who uploaded it; null for the machine itself.
    pub actor_id: Option<UserId>,
    /// Their login name.
    pub actor_name: String,
    /// Rises with every change: with every portion of rows.
    pub row_version: i64,
    /// When it was uploaded.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When its first row was looked at.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
    /// How often in a row it could not be gone on with for a fault of the service; after five it is over as `failed`.
    pub failures: i64,
    /// When it is tried again after that; others go first meanwhile.
    pub retry_at: Option<Timestamp>,
    /// Since when what became of its rows is not kept any more.
    pub results_expired_at: Option<Timestamp>,
}

impl From<ImportRow> for Import {
    fn from(row: ImportRow) -> Self {
        Self {
            id: row.id,
            format: row.format,
            name: row.name,
            dry_run: row.dry_run,
            state: row.state,
            detail: row.detail,
            size_bytes: row.size_bytes,
            bytes_done: row.bytes_done,
            rows_done: row.rows_done,
            created: row.created,
            updated: row.updated,
            unchanged: row.unchanged,
            failed: row.failed,
            sha256: row.sha256,
            actor_id: row.actor_id,
            actor_name: row.actor_name,
            row_version: row.row_version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            failures: row.failures,
            retry_at: row.retry_at,
            results_expired_at: row.results_expired_at,
        }
    }
}

/// What became of a row of an import.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ImportResult {
    /// The line of the upload on which the row begins, from 1.
    pub line: i64,
    /// What became of it.
    pub outcome: RowOutcome,
    /// What it is a row of, where it says so.
    pub kind: Option<ImportedKind>,
    /// The keys that it names, such as `cmdb/srv-1`, or `cmdb/app-1 runs_on cmdb/srv-1`.
    #[schema(max_length = 500)]
    pub record_key: Option<String>,
    /// The item or relationship that it made, changed or found.
    pub record_id: Option<String>,
    /// Everything that is wrong with it.
    #[schema(value_type = Vec<ProblemFault>)]
    pub errors: Value,
    /// Always 1: what became of a row never changes.
    pub row_version: i64,
}

impl From<ResultRow> for ImportResult {
    fn from(row: ResultRow) -> Self {
        let errors = row.errors.and_then(|text| serde_json::from_str(&text).ok());
        Self {
            line: row.line,
            outcome: row.outcome,
            kind: row.kind,
            record_key: row.record_key,
            record_id: row.record_id,
            errors: errors.unwrap_or_else(|| Value::Array(Vec::new())),
            row_version: 1,
        }
    }
}

fn shown(status: u16, row: ImportRow) -> service::Result<Reply> {
    let row_version = row.row_version;
    Ok(Reply::json(status, &Import::from(row))?.version(row_version))
}

fn accepted(row: ImportRow) -> service::Result<Reply> {
    let location = format!("{BASE}/imports/{}", row.id);
    Ok(shown(202, row)?.at(location))
}

/// Import configuration items and relationships
///
/// The upload, of at most 64 MiB and 2 000 000 rows, is stored and then applied in portions of at most 500 rows; the
/// answer tells where its progress is read. NDJSON: on each line an object with `type`: `configuration_item` with the
/// fields of an item, or `relationship` with `source`, `external_id`, `kind`, `target_source` and
/// `target_external_id`. CSV (RFC 4180): the header names the same fields, and `attributes.NAME` for attributes; an
/// empty cell is an absent value; without a `type` the rows are relationships where the header has
/// `target_external_id`, else items. An item is replaced whole, as by its key; a row that says what is there already
/// changes nothing, so that an upload may be repeated. A row that is refused fails alone. With `dry_run=true` every row
/// is judged and none is stored: the verdicts are those that the same upload would get without it on the CMDB as it is
/// meanwhile, and what would be made has no `record_id`. What others write before the real import, a dry run cannot
/// know. A larger file goes in with `slipway import` on the machine of the service.
#[utoipa::path(
    tag = "Configuration items",
    request_body(content = String, content_type = "text/csv"),
    responses((status = 202, body = Import))
)]
#[post("/configuration-items/import")]
async fn import_configuration_items(call: Call, http: HttpRequest, payload: web::Payload) -> Answer {
    call.import(http, payload, accepted).await
}

/// List imports
///
/// Newest first, each with how far it is.
#[utoipa::path(tag = "Configuration items", responses((status = 200, body = Page<Import>)))]
#[get("/imports")]
async fn list_imports(call: Call) -> Answer {
    let link = call.clone();
    call.list(&LIST, &[], move |context, query| {
        let rows = imports::list(context, &query)?;
        paging::reply(&link, &LIST, &query, rows, Import::from, |row, _| {
            (SqlValue::Instant(row.created_at), row.id.to_string())
        })
    })
    .await
}

/// Read an import
///
/// Its state, and how far it is: it may be read while it is applied.
#[utoipa::path(tag = "Configuration items", params(("id" = ImportId, Path,)), responses((status = 200, body = Import)))]
#[get("/imports/{id}")]
async fn read_import(call: Call) -> Answer {
    let path = call.clone();
    call.read(&[], move |context| shown(200, imports::read(context, path.id("id", "import")?)?)).await
}

/// Cancel an import
///
/// No further row is applied; what was applied before stays.
#[utoipa::path(tag = "Configuration items", params(("id" = ImportId, Path,)), responses((status = 200, body = Import)))]
#[post("/imports/{id}/cancel")]
async fn cancel_import(call: Call, body: NoBody) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, _| shown(200, imports::cancel(context, path.id("id", "import")?)?))
        .await
}

/// Read what became of the rows of an import
///
/// In the order of the upload. With `format=ndjson`, or where `Accept` names `application/x-ndjson`, all that the
/// filters leave are sent, one on each line. They are kept for some days after the import was over, 30 unless the
/// service is set up otherwise: then the answer is 404 with `RESULTS_EXPIRED`, and the import itself still tells how
/// many there were.
#[utoipa::path(tag = "Configuration items", params(("id" = ImportId, Path,)), responses((status = 200, body = Page<ImportResult>)))]
#[get("/imports/{id}/results")]
async fn list_import_results(mut call: Call, http: HttpRequest) -> Answer {
    let format = call.take_parameter("format");
    let lines = match format.as_deref() {
        None => names_ndjson(&http),
        Some("ndjson") => true,
        Some("json") => false,
        Some(_) => {
            let fault = Fault::parameter("format", "INVALID_PARAMETER", "This is `json` or `ndjson`.");
            return Err(call.refuse(Problem::malformed(&[fault])).await);
        }
    };
    let path = call.clone();
    if lines {
        return send_lines(call).await;
    }
    call.list(&RESULTS, &["import_id"], move |context, query| {
        let rows = imports::results(context, path.id("id", "import")?, query.clone())?;
        paging::reply(&path, &RESULTS, &query, rows, ImportResult::from, position)
    })
    .await
}

fn position(row: &ResultRow, _: &str) -> (SqlValue, String) {
    (SqlValue::Integer(row.line), row.import_id.to_string())
}

fn names_ndjson(http: &HttpRequest) -> bool {
    let given = http.headers().get_all(header::ACCEPT).filter_map(|value| value.to_str().ok());
    given.flat_map(|value| value.split(',')).any(|range| {
        let kind = range.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case(NDJSON)
    })
}

/// Sends all rows, portion by portion.
async fn send_lines(call: Call) -> Answer {
    let mut query = match call.list_query(&RESULTS, &["import_id"]) {
        Ok(query) => query,
        Err(faults) => return Err(call.refuse(Problem::malformed(&faults)).await),
    };
    (query.limit, query.count) = (ROWS_PER_PORTION, false);
    let transfer = call.carry_down()?;
    // As long as nothing is sent, what is wrong can still be said.
    let (first, next) = portion(&call, query).await?;
    let state = (Arc::new(call), Some(first), next, transfer);
    let portions = stream::unfold(state, |(call, ready, next, transfer)| async move {
        if let Some(ready) = ready {
            return Some((Ok(ready), (call, None, next, transfer)));
        }
        match portion(&call, next?).await {
            Ok((lines, next)) => Some((Ok(lines), (call, None, next, transfer))),
            Err(problem) => {
                log::error!("the results of an import broke off: {problem}");
                Some((Err(problem), (call, None, None, transfer)))
            }
        }
    });
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .content_type(NDJSON)
        .streaming(Box::pin(portions)))
}

/// The next rows as lines, and how to ask for those behind them.
async fn portion(call: &Call, query: ListQuery) -> Result<(web::Bytes, Option<ListQuery>), Problem> {
    let (path, asked) = (call.clone(), query.clone());
    let rows =
        call.clone().loaded(move |context| imports::results(context, path.id("id", "import")?, asked.clone())).await?;
    let next = rows.rows.last().filter(|_| rows.more).map(|last| {
        let after = Some(position(last, "line"));
        ListQuery { after, ..query }
    });
    let mut lines = Vec::new();
    for row in rows.rows {
        let line = serde_json::to_vec(&ImportResult::from(row)).unwrap_or_default();
        lines.extend(line);
        lines.push(b'\n');
    }
    Ok((lines.into(), next))
}
