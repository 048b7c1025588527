//! Imports taken in: a body of rows that goes to the store as it comes. At no time is more of it in memory than a part
//! of the store's size. Who the caller is, and whether they may, is found out before the body is read.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpRequest, web};
use futures_util::StreamExt as _;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::admission::{BodyRoom, Way};
use super::body::is_utf8;
use super::upload::{Pace, skim};
use super::{Answer, Call, holding, not_acceptable};
use crate::domain::values::{Fault, ImportFormat, UserId};
use crate::error::Problem;
use crate::repository::imports::ImportRow;
use crate::service::imports::{self, IMPORT_BYTES_MAX, NewImport};
use crate::service::{self, Reply, WriteContext, documents};
use crate::store::{Receiving, Seal};

/// The media types of rows.
pub const MEDIA_TYPES: [(&str, ImportFormat); 2] =
    [("application/x-ndjson", ImportFormat::Ndjson), ("text/csv", ImportFormat::Csv)];

impl Call {
    /// Takes an import in.
    pub async fn import(
        mut self,
        http: HttpRequest,
        payload: web::Payload,
        shown: fn(ImportRow) -> service::Result<Reply>,
    ) -> Answer {
        let checked = match self.check(&["dry_run"], Vec::new()) {
            Err(faults) => Err(Problem::malformed(&faults)),
            Ok(()) if !self.acceptable => Err(not_acceptable()),
            Ok(()) => format_of(&http),
        };
        // The import itself is stored; it is its rows that are not.
        let dry_run = std::mem::take(&mut self.request.dry_run);
        let format = match checked {
            Ok(format) => format,
            Err(problem) => {
                skim(payload).await;
                return Err(self.refuse(problem).await);
            }
        };
        let caller = match self.may_import().await {
            Ok(caller) => caller,
            Err(problem) => {
                skim(payload).await;
                return Err(problem);
            }
        };
        let admission = Arc::clone(&self.admission);
        let _transfer = admission.carry(Way::Up(caller))?;
        let mut room = BodyRoom::new(&admission);
        room.grow(2 * self.env.store()?.part_bytes())?;
        let key = imports::new_key(&self.env);
        let receiving = self.env.store()?.receive(&key).map_err(service::Error::from)?;
        let span = Duration::from_millis(admission.body_timeout_ms);
        let (receiving, seal) = receive(payload, receiving, span).await?;
        self.request.fingerprint = fingerprint(&self.prefix, format, dry_run, &seal);
        let new = NewImport { format, name: None, dry_run, key: key.clone(), seal };
        let (env, request, place) = (Arc::clone(&self.env), self.request.clone(), admission.enter()?);
        let store_row = move |context: &mut WriteContext<'_>, _: &str| {
            let _held = &place;
            shown(imports::add(context, &new)?)
        };
        // A task of its own: a caller who goes away now leaves no object without its row.
        let reply = actix_web::rt::spawn(documents::upload(env, request, (key, receiving), store_row))
            .await
            .map_err(|error| Problem::from(service::Error::Internal(error.to_string())))?
            .map_err(Problem::from)?;
        self.note_use();
        Ok(self.answer(reply))
    }

    async fn may_import(&self) -> Result<UserId, Problem> {
        let work = holding(self.admission.enter()?, imports::may_import);
        Ok(self.env.read(self.request.clone(), work).await?)
    }
}

fn too_large() -> Problem {
    Problem::new(
        "PAYLOAD_TOO_LARGE",
        format!(
            "An import over HTTP has at most {IMPORT_BYTES_MAX} bytes: split the rows over several uploads, items before \
             what is related to them, or have the file imported with `slipway import` where the service runs."
        ),
    )
}

/// What the head says of the body.
fn format_of(http: &HttpRequest) -> Result<ImportFormat, Problem> {
    let text = |name: header::HeaderName| http.headers().get(name).and_then(|value| value.to_str().ok());
    let declared = text(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if declared.is_some_and(|length| length > IMPORT_BYTES_MAX) {
        return Err(too_large());
    }
    if http.headers().get(header::CONTENT_ENCODING).is_some_and(|value| value != "identity") {
        return Err(Problem::new("UNSUPPORTED_MEDIA_TYPE", "Send the body without Content-Encoding."));
    }
    let given = text(header::CONTENT_TYPE).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match MEDIA_TYPES.iter().find(|(media_type, _)| *media_type == essence) {
        Some(_) if !is_utf8(given) => {
            Err(Problem::new("UNSUPPORTED_MEDIA_TYPE", "Rows are UTF-8: send no other charset."))
        }
        Some((_, format)) => Ok(*format),
        None => Err(Problem::new("UNSUPPORTED_MEDIA_TYPE", "Send rows as `application/x-ndjson` or `text/csv`.")),
    }
}

/// Hands the body to the store, chunk by chunk.
async fn receive(
    mut payload: web::Payload,
    mut receiving: Receiving,
    span: Duration,
) -> Result<(Receiving, Seal), Problem> {
    let bytes = Rc::new(Cell::new(0));
    let mut pace = Pace::new(span, Rc::clone(&bytes));
    while let Some(chunk) = pace.wait(payload.next()).await? {
        let broken = |_| Problem::malformed(&[Fault::at("", "EMPTY_BODY", "The body broke off.")]);
        let chunk = chunk.map_err(broken)?;
        bytes.set(bytes.get() + chunk.len() as u64);
        if bytes.get() > IMPORT_BYTES_MAX {
            return Err(too_large());
        }
        receiving.push(chunk).await.map_err(service::Error::from)?;
    }
    let seal = receiving.seal().await.map_err(service::Error::from)?;
    if seal.size_bytes == 0 {
        return Err(Problem::malformed(&[Fault::at("", "EMPTY_BODY", "A body with rows is needed.")]));
    }
    Ok((receiving, seal))
}

/// What the same key must come with again: the request line, and the rows with their SHA-256.
fn fingerprint(prefix: &[u8], format: ImportFormat, dry_run: bool, seal: &Seal) -> String {
    let mut digest = Sha256::new();
    digest.update(prefix);
    digest.update(json!([format, dry_run, seal.sha256]).to_string());
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
