//! Uploads: `multipart/form-data` that goes to the store as it comes (RFC 7578). At no time is more of a file in
//! memory than a part of the store's size.
//!
//! Who the caller is, whether what takes the file is there for them and whether they may write to it is found out before
//! the body is read. What is wrong with the parts is told all at once, when they have all come; a file of which something
//! else is wrong is read on, and kept nowhere.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_multipart::{Field, Multipart, MultipartError};
use actix_web::error::{ParseError, PayloadError};
use actix_web::http::header::{self, Charset};
use actix_web::mime::Mime;
use actix_web::{HttpRequest, web};
use futures_util::StreamExt as _;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::admission::{BodyRoom, Way};
use super::{Answer, Call, holding, not_acceptable, schema};
use crate::domain::documents::{MEDIA_TYPE_DEFAULT, media_type_fault, name_faults};
use crate::domain::values::{Draft, Fault, UserId};
use crate::error::Problem;
use crate::service::documents::{self, NewFile};
use crate::service::{self, Env, ReadContext, Reply, WriteContext};
use crate::store::Receiving;

/// What stands around a file - boundaries, headers, the other parts - has at most so many bytes.
pub const ENVELOPE_BYTES_MAX: u64 = 128 * 1024;
/// A part other than the file has at most so many bytes.
const TEXT_BYTES_MAX: usize = 16 * 1024;
/// An upload that goes on brings at least so much in each span of the time for a body: a line that stands still does
/// not keep its place.
pub const UPLOAD_BYTES_PER_SPAN_MIN: u64 = 64 * 1024;
/// An upload is waited for no longer than so many spans of the time for a body, however large the file.
pub const UPLOAD_SPANS_MAX: u32 = 60;
/// So many parts that should not be there are named.
const STRAY_PARTS_MAX: usize = 20;
/// A refused body is read all the same up to so many bytes, so that the refusal is read and the connection is used
/// again ...
const SKIMMED_BYTES_MAX: usize = 64 * 1024;
/// ... and for so long.
const SKIMMED_MS_MAX: u64 = 250;
/// The file among the parts.
const FILE: &str = "file";

/// What the parts of an upload say besides the file. Its schema is that of the whole form, the part `file` included.
pub trait Uploaded: schema::Checked {
    /// The parts besides the file.
    const TEXTS: &'static [&'static str];

    /// The SHA-256 that the caller states.
    fn sha256(&self) -> Option<&str>;

    /// What the same key must come with again, of what the parts say and of the file.
    fn said(&self, file: &NewFile) -> Value;
}

/// What came: what the parts say, and the file; or everything that is wrong with them.
pub type Sent<T> = Draft<(T, NewFile)>;

impl Call {
    /// Takes a file in: `may` says, before a byte of it is read, whether the caller may at all; `store` stores what has
    /// the content, once that is in the store under a key.
    pub async fn upload<T: Uploaded>(
        mut self,
        http: HttpRequest,
        payload: web::Payload,
        may: fn(&mut ReadContext<'_>, &Self) -> service::Result<UserId>,
        store: fn(&mut WriteContext<'_>, &Self, &Sent<T>, &str) -> service::Result<Reply>,
    ) -> Answer {
        let admission = Arc::clone(&self.admission);
        let checked = match self.check(&[], Vec::new()) {
            Err(faults) => Err(Problem::malformed(&faults)),
            Ok(()) if !self.acceptable => Err(not_acceptable()),
            Ok(()) => envelope(&http, admission.document_bytes_max),
        };
        if let Err(problem) = checked {
            skim(payload).await;
            return Err(self.refuse(problem).await);
        }
        let caller = match self.may_upload(may).await {
            Ok(caller) => caller,
            Err(error) => {
                skim(payload).await;
                return Err(error);
            }
        };
        let _transfer = admission.carry(Way::Up(caller))?;
        let mut room = BodyRoom::new(&admission);
        room.grow(2 * self.env.store()?.part_bytes())?;
        let span = Duration::from_millis(admission.body_timeout_ms);
        let form = Form::read(&self.env, &http, payload, (T::TEXTS, admission.document_bytes_max), span).await?;
        let (draft, receiving) = form.into_draft::<T>().await?;
        self.request.fingerprint = fingerprint(&self.prefix, &draft);
        let (env, request, path, place) =
            (Arc::clone(&self.env), self.request.clone(), self.clone(), admission.enter()?);
        let store_row = move |context: &mut WriteContext<'_>, key: &str| {
            let _held = &place;
            store(context, &path, &draft, key)
        };
        let reply = match receiving {
            // A task of its own: a caller who goes away now leaves no object without its row.
            Some(receiving) => actix_web::rt::spawn(documents::upload(env, request, receiving, store_row))
                .await
                .map_err(|error| Problem::from(service::Error::Internal(error.to_string())))?,
            None => env.write(request, move |context| store_row(context, "")).await,
        };
        let reply = reply.map_err(Problem::from)?;
        self.note_use();
        Ok(self.answer(reply))
    }

    async fn may_upload(
        &self,
        may: fn(&mut ReadContext<'_>, &Self) -> service::Result<UserId>,
    ) -> Result<UserId, Problem> {
        let (path, place) = (self.clone(), self.admission.enter()?);
        let work = holding(place, move |context| may(context, &path));
        Ok(self.env.read(self.request.clone(), work).await?)
    }
}

fn too_large(document_bytes_max: u64) -> Problem {
    Problem::new("PAYLOAD_TOO_LARGE", format!("A document has at most {document_bytes_max} bytes."))
}

/// What the head says of the body.
fn envelope(http: &HttpRequest, document_bytes_max: u64) -> Result<(), Problem> {
    let text = |name: header::HeaderName| http.headers().get(name).and_then(|value| value.to_str().ok());
    let declared = text(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if declared.is_some_and(|length| length > document_bytes_max + ENVELOPE_BYTES_MAX) {
        return Err(too_large(document_bytes_max));
    }
    if http.headers().get(header::CONTENT_ENCODING).is_some_and(|value| value != "identity") {
        return Err(Problem::new("UNSUPPORTED_MEDIA_TYPE", "Send the body without Content-Encoding."));
    }
    let media_type = text(header::CONTENT_TYPE).and_then(|value| value.parse::<Mime>().ok());
    match media_type {
        Some(given) if given.essence_str() == "multipart/form-data" => match given.get_param("boundary") {
            Some(boundary) if !boundary.as_str().is_empty() => Ok(()),
            _ => Err(bad_multipart("The boundary is missing in `Content-Type`.")),
        },
        _ => Err(Problem::new("UNSUPPORTED_MEDIA_TYPE", "Send the document as `multipart/form-data`.")),
    }
}

fn bad_multipart(detail: &str) -> Problem {
    Problem::malformed(&[Fault::at("", "INVALID_MULTIPART", detail)])
}

/// Reads a small body that was refused, and throws it away.
pub(super) async fn skim(payload: web::Payload) {
    let read = payload.to_bytes_limited(SKIMMED_BYTES_MAX);
    let _ = actix_web::rt::time::timeout(Duration::from_millis(SKIMMED_MS_MAX), read).await;
}

/// True where a quoted text holds a backslash before anything but a quote or another one: reading it by the letter of
/// the law would drop it without a word, and make another name of a path.
fn drops_a_backslash(header: &[u8]) -> bool {
    let mut rest = header;
    while let [first, tail @ ..] = rest {
        match (first, tail) {
            (b'\\', [b'"' | b'\\', after @ ..]) => rest = after,
            (b'\\', _) => return true,
            _ => rest = tail,
        }
    }
    false
}

/// What the same key must come with again: the request line, and what the parts say. The file is in it with its
/// SHA-256; the boundary, which is another one each time, is not.
fn fingerprint<T: Uploaded>(prefix: &[u8], draft: &Sent<T>) -> String {
    let said = match draft {
        Ok((said, file)) => said.said(file),
        // What is refused is not kept under any key.
        Err(_) => Value::Null,
    };
    let mut digest = Sha256::new();
    digest.update(prefix);
    digest.update(said.to_string());
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How long a client may take: a span of time for so many bytes, again and again. The time that the store takes does
/// not count.
pub(super) struct Pace {
    span: Duration,
    left: Duration,
    whole_left: Duration,
    bytes: Rc<Cell<u64>>,
    marked: u64,
}

impl Pace {
    /// From now on; `bytes` tells how many have come.
    pub(super) const fn new(span: Duration, bytes: Rc<Cell<u64>>) -> Self {
        let whole_left = span.saturating_mul(UPLOAD_SPANS_MAX);
        Self { span, left: span, whole_left, bytes, marked: 0 }
    }

    /// Waits for what comes next.
    pub(super) async fn wait<T>(&mut self, next: impl Future<Output = T>) -> Result<T, Problem> {
        let since = Instant::now();
        let came = actix_web::rt::time::timeout(self.left.min(self.whole_left), next).await;
        self.whole_left = self.whole_left.saturating_sub(since.elapsed());
        if self.bytes.get() - self.marked >= UPLOAD_BYTES_PER_SPAN_MIN {
            (self.marked, self.left) = (self.bytes.get(), self.span);
        } else {
            self.left = self.left.saturating_sub(since.elapsed());
        }
        came.map_err(|_| {
            let seconds = self.span.as_secs_f32();
            let detail = format!(
                "An upload brings at least {UPLOAD_BYTES_PER_SPAN_MIN} bytes in {seconds} seconds, or its end, and is \
                 waited for no longer than {UPLOAD_SPANS_MAX} times that."
            );
            Problem::new("REQUEST_TIMEOUT", detail)
        })
    }
}

/// The file among the parts.
struct Upload {
    name: String,
    media_type: String,
    /// Under its key in the store; none where something is wrong with it already.
    receiving: Option<(String, Receiving)>,
}

/// The parts of an upload.
struct Form {
    known: &'static [&'static str],
    texts: Map<String, Value>,
    file: Option<Upload>,
    malformed: Vec<Fault>,
    invalid: Vec<Fault>,
    bytes_max: u64,
}

impl Form {
    async fn read(
        env: &Arc<Env>,
        http: &HttpRequest,
        payload: web::Payload,
        (known, bytes_max): (&'static [&'static str], u64),
        span: Duration,
    ) -> Result<Self, Problem> {
        let bytes = Rc::new(Cell::new(0));
        let counted = Rc::clone(&bytes);
        let body = payload.map(move |chunk| {
            let chunk = chunk?;
            counted.set(counted.get() + chunk.len() as u64);
            if counted.get() > bytes_max + ENVELOPE_BYTES_MAX { Err(PayloadError::Overflow) } else { Ok(chunk) }
        });
        let mut parts = Multipart::new(http.headers(), body);
        let mut pace = Pace::new(span, bytes);
        let (malformed, invalid) = (Vec::new(), Vec::new());
        let mut form = Self { known, texts: Map::new(), file: None, malformed, invalid, bytes_max };
        while let Some(part) = pace.wait(parts.next()).await? {
            let mut part = part.map_err(|error| form.problem(&error))?;
            form.take(env, &mut part, &mut pace).await?;
        }
        if !form.malformed.is_empty() {
            return Err(Problem::malformed(&form.malformed));
        }
        Ok(form)
    }

    fn problem(&self, error: &MultipartError) -> Problem {
        match error {
            MultipartError::Payload(PayloadError::Overflow) => too_large(self.bytes_max),
            MultipartError::Payload(_) | MultipartError::Incomplete => {
                bad_multipart("The body broke off, or does not end with its boundary.")
            }
            // A header that could not be read: it holds what no file name may hold either.
            MultipartError::Parse(ParseError::Header) => service::Error::Invalid(vec![Fault::at(
                "/file",
                "INVALID_CHARACTER",
                "The headers of a part, the file name among them, hold no control characters.",
            )])
            .into(),
            MultipartError::ContentDispositionMissing | MultipartError::ContentDispositionNameMissing => {
                bad_multipart("Every part has a `Content-Disposition: form-data` with a `name`.")
            }
            MultipartError::Nested => bad_multipart("A part is no `multipart` in turn."),
            _ => bad_multipart("The boundary or the headers of a part are not as RFC 7578 says."),
        }
    }

    async fn take(&mut self, env: &Arc<Env>, part: &mut Field, pace: &mut Pace) -> Result<(), Problem> {
        let name = part.name().unwrap_or_default().to_owned();
        let repeated = self.texts.contains_key(&name) || (name == FILE && self.file.is_some());
        if repeated || (name != FILE && !self.known.contains(&name.as_str())) {
            let short: String = name.chars().take(100).collect();
            let pointer = format!("/{}", short.replace('~', "~0").replace('/', "~1"));
            self.malformed.push(match repeated {
                true => Fault::at(pointer, "REPEATED", "The part is there more than once."),
                false => Fault::at(pointer, "UNKNOWN_FIELD", "There is no such part."),
            });
            if self.malformed.len() >= STRAY_PARTS_MAX {
                return Err(Problem::malformed(&self.malformed));
            }
            // Nothing of this is kept: what comes of a file so far neither.
            if let Some(file) = &mut self.file {
                file.receiving = None;
            }
            while let Some(chunk) = pace.wait(part.next()).await? {
                chunk.map_err(|error| self.problem(&error))?;
            }
            return Ok(());
        }
        if name == FILE {
            return self.take_file(env, part, pace).await;
        }
        let mut text = Vec::new();
        let mut too_long = false;
        while let Some(chunk) = pace.wait(part.next()).await? {
            let chunk = chunk.map_err(|error| self.problem(&error))?;
            too_long |= text.len() + chunk.len() > TEXT_BYTES_MAX;
            if !too_long {
                text.extend_from_slice(&chunk);
            }
        }
        let pointer = format!("/{name}");
        let text = match String::from_utf8(text) {
            Ok(_) if too_long => {
                let detail = format!("A part other than the file has at most {TEXT_BYTES_MAX} bytes.");
                self.invalid.push(Fault::at(pointer, "TOO_LONG", detail));
                Value::Null
            }
            Ok(text) => Value::String(text),
            Err(_) => {
                self.invalid.push(Fault::at(pointer, "INVALID_CHARACTER", "The part is not UTF-8."));
                Value::Null
            }
        };
        self.texts.insert(name, text);
        Ok(())
    }

    async fn take_file(&mut self, env: &Arc<Env>, part: &mut Field, pace: &mut Pace) -> Result<(), Problem> {
        let before = self.invalid.len();
        let name = self.file_name(part);
        let media_type = self.media_type(part);
        let mut receiving = None;
        if self.invalid.len() == before && self.malformed.is_empty() {
            let key = documents::new_key(env);
            let begun = env.store()?.receive(&key).map_err(service::Error::from)?;
            receiving = Some((key, begun));
        }
        let mut size = 0_u64;
        while let Some(chunk) = pace.wait(part.next()).await? {
            let chunk = chunk.map_err(|error| self.problem(&error))?;
            size += chunk.len() as u64;
            if size > self.bytes_max {
                return Err(too_large(self.bytes_max));
            }
            if let Some((_, receiving)) = &mut receiving {
                receiving.push(chunk).await.map_err(service::Error::from)?;
            }
        }
        self.file = Some(Upload { name, media_type, receiving });
        Ok(())
    }

    fn file_name(&mut self, part: &Field) -> String {
        let raw = part.headers().get(header::CONTENT_DISPOSITION).map_or(&[][..], |value| value.as_bytes());
        if drops_a_backslash(raw) {
            let detail = "A file name is a name and no path: without `\\`, which browsers send as it is.";
            self.invalid.push(Fault::at("/file", "INVALID_VALUE", detail));
            return String::new();
        }
        let disposition = part.content_disposition();
        // Some clients write names beyond ASCII as RFC 8187 says.
        let extended = disposition.and_then(|disposition| disposition.get_filename_ext());
        let name = match extended {
            Some(extended) if matches!(&extended.charset, Charset::Ext(name) if name.eq_ignore_ascii_case("utf-8")) => {
                String::from_utf8(extended.value.clone()).ok()
            }
            Some(_) => None,
            None => match disposition.and_then(|disposition| disposition.get_filename()) {
                Some(name) => Some(name.to_owned()),
                None => {
                    self.invalid.push(Fault::at("/file", "REQUIRED", "The part `file` has a file name."));
                    return String::new();
                }
            },
        };
        match name {
            Some(name) => {
                self.invalid.extend(name_faults(&name, "/file"));
                name
            }
            None => {
                self.invalid.push(Fault::at("/file", "INVALID_CHARACTER", "The file name is not UTF-8."));
                String::new()
            }
        }
    }

    fn media_type(&mut self, part: &Field) -> String {
        let Some(given) = part.headers().get(header::CONTENT_TYPE) else {
            return MEDIA_TYPE_DEFAULT.to_owned();
        };
        let parsed = given.to_str().ok().and_then(|text| text.parse::<Mime>().ok());
        let Some(media_type) = parsed else {
            self.invalid.push(Fault::at("/file", "INVALID_FORMAT", "The `Content-Type` of the file is no media type."));
            return String::new();
        };
        let essence = media_type.essence_str().to_ascii_lowercase();
        let kind = essence.split('/').next().unwrap_or_default();
        self.invalid.extend(media_type_fault(kind, &essence, media_type.as_ref(), "/file"));
        media_type.to_string()
    }

    /// What the parts say, the content sealed and not yet completed; or everything that is wrong.
    async fn into_draft<T: Uploaded>(self) -> Result<(Sent<T>, Option<(String, Receiving)>), Problem> {
        let Self { mut texts, file, invalid: mut faults, .. } = self;
        let unread: Vec<Fault> = texts
            .iter()
            .filter(|(_, text)| text.is_null())
            .map(|(name, _)| Fault::at(format!("/{name}"), "", ""))
            .collect();
        // A form in a browser sends what was left open as an empty part.
        texts.retain(|_, text| !text.is_null() && text != "");
        if file.is_some() {
            // The schema is that of the whole body; of the file it asks only that it is there.
            texts.insert(FILE.into(), json!(""));
        }
        let said = match schema::check_whole::<T>(Value::Object(texts)) {
            Ok(said) => Some(said),
            Err(more) => {
                // What could not be read has been named.
                faults.extend(more.into_iter().filter(|fault| !unread.iter().any(|other| other.place == fault.place)));
                None
            }
        };
        let (Some(said), Some(Upload { name, media_type, receiving: Some((key, mut receiving)) })) = (said, file)
        else {
            return Ok((Err(faults), None));
        };
        let seal = receiving.seal().await.map_err(service::Error::from)?;
        if said.sha256().is_some_and(|wanted| !wanted.eq_ignore_ascii_case(&seal.sha256)) {
            let detail = format!("The content that came has the SHA-256 {}.", seal.sha256);
            faults.push(Fault::at("/sha256", "DIGEST_MISMATCH", detail));
        }
        if !faults.is_empty() {
            return Ok((Err(faults), None));
        }
        Ok((Ok((said, NewFile { name, media_type, seal })), Some((key, receiving))))
    }
}
