//! Request bodies: read within limits, checked against the operation's own published schema, then typed.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::time::Duration;

use actix_web::body::{BodyStream, MessageBody as _};
use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::admission::{BodyRoom, SMALL_BODY_BYTES_MAX};
use super::{json, schema};
use crate::domain::values::{Draft, Fault};
use crate::error::Problem;
use crate::service::MergePatch;

/// A JSON body has at most so many bytes.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// JSON is nested at most so deeply.
pub const DEPTH_MAX: usize = 64;
/// A body, read and checked; what is wrong with it waits until the caller is authenticated.
pub struct Body<T> {
    content: Result<T, Problem>,
    digest: [u8; 32],
}

impl<T> Body<T> {
    /// The content and the digest of its bytes, or what is wrong with it.
    pub fn into_parts(self) -> Result<(T, [u8; 32]), Problem> {
        Ok((self.content?, self.digest))
    }

    /// The content, where nothing is wrong with it.
    pub fn content(&self) -> Option<&T> {
        self.content.as_ref().ok()
    }

    /// A body that was read already.
    pub const fn given(content: T) -> Self {
        Self { content: Ok(content), digest: [0; 32] }
    }
}

/// How a type is read out of the JSON of a body.
pub trait FromBody: Sized {
    /// Media types of the body, besides `application/json`.
    const MORE_MEDIA_TYPES: &'static [&'static str] = &[];

    /// Reads the value; the error is for what is malformed. Invalid values are for the type itself to carry.
    fn from_body(value: Value) -> Result<Self, Vec<Fault>>;
}

impl<T: schema::Checked> FromBody for Draft<T> {
    fn from_body(value: Value) -> Result<Self, Vec<Fault>> {
        schema::check(value)
    }
}

impl<T: schema::Checked> FromBody for MergePatch<T> {
    const MORE_MEDIA_TYPES: &'static [&'static str] = &["application/merge-patch+json"];

    fn from_body(value: Value) -> Result<Self, Vec<Fault>> {
        schema::check_patch::<T>(&value)?;
        Ok(Self { document: value, parse: schema::check_whole::<T> })
    }
}

impl<T: FromBody> FromRequest for Body<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move {
            let mut digest = [0; 32];
            let content = match read(&request, payload, T::MORE_MEDIA_TYPES).await {
                Ok(bytes) => {
                    digest = Sha256::digest(&bytes).into();
                    parse(&bytes).and_then(T::from_body).map_err(|faults| Problem::malformed(&faults))
                }
                Err(problem) => Err(problem),
            };
            Ok(Self { content, digest })
        })
    }
}

async fn read(request: &HttpRequest, payload: Payload, more: &[&str]) -> Result<Vec<u8>, Problem> {
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.map(|value| value.split(';').next().unwrap_or("").trim().to_ascii_lowercase());
    let known =
        media_type.as_deref().is_some_and(|media_type| media_type == "application/json" || more.contains(&media_type));
    let bytes = bytes(request, payload).await?;
    let encoded = request.headers().get(header::CONTENT_ENCODING).is_some_and(|value| value != "identity");
    if encoded {
        return Err(Problem::new("UNSUPPORTED_MEDIA_TYPE", "Send the body without Content-Encoding."));
    }
    let nothing_sent = bytes.is_empty() && media_type.is_none();
    if !known && !nothing_sent {
        return Err(Problem::new("UNSUPPORTED_MEDIA_TYPE", "Send the body as `application/json`."));
    }
    if content_type.is_some_and(|value| !is_utf8(value)) {
        return Err(Problem::new("UNSUPPORTED_MEDIA_TYPE", "JSON is UTF-8: send no other charset."));
    }
    Ok(bytes)
}

/// True where a `Content-Type` names no charset but UTF-8.
pub(super) fn is_utf8(content_type: &str) -> bool {
    content_type.split(';').skip(1).all(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.trim();
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        !name.trim().eq_ignore_ascii_case("charset") || value.eq_ignore_ascii_case("utf-8")
    })
}

/// The bytes of the body, within the limits of size and time.
async fn bytes(request: &HttpRequest, payload: Payload) -> Result<Vec<u8>, Problem> {
    let too_large = || Problem::new("PAYLOAD_TOO_LARGE", format!("A body has at most {BODY_BYTES_MAX} bytes."));
    let declared = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<u64>().ok());
    if declared.is_some_and(|length| length > BODY_BYTES_MAX as u64) {
        return Err(too_large());
    }
    let admission =
        super::admission_of(request).ok_or_else(|| Problem::new("INTERNAL", "The service is not set up."))?;
    let wait = Duration::from_millis(admission.body_timeout_ms);
    let collected = collect(payload, BodyRoom::new(&admission), declared.unwrap_or(0));
    match actix_web::rt::time::timeout(wait, collected).await {
        Err(_) => {
            let seconds = wait.as_secs_f32();
            Err(Problem::new("REQUEST_TIMEOUT", format!("A body arrives whole within {seconds} seconds.")))
        }
        Ok(Err(problem)) => Err(problem),
        Ok(Ok(None)) => Err(too_large()),
        Ok(Ok(Some(bytes))) => Ok(bytes),
    }
}

/// The whole body; `None` where it grows too large.
async fn collect(payload: Payload, mut room: BodyRoom<'_>, declared: u64) -> Result<Option<Vec<u8>>, Problem> {
    let mut stream = pin!(BodyStream::new(payload));
    // What is declared is believed only as far as a small body goes: room is taken as bytes arrive.
    let small = usize::try_from(declared).map_or(SMALL_BODY_BYTES_MAX, |bytes| bytes.min(SMALL_BODY_BYTES_MAX));
    let mut bytes = Vec::with_capacity(small);
    while let Some(chunk) = poll_fn(|context| stream.as_mut().poll_next(context)).await {
        let chunk = chunk.map_err(|_| Problem::malformed(&[Fault::at("", "INVALID_JSON", "The body broke off.")]))?;
        if bytes.len() + chunk.len() > BODY_BYTES_MAX {
            return Ok(None);
        }
        room.grow(bytes.len() + chunk.len())?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

/// Reads JSON that is not nested too deeply.
pub fn parse(bytes: &[u8]) -> Result<Value, Vec<Fault>> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(vec![Fault::at("", "EMPTY_BODY", "A JSON body is needed.")]);
    }
    if too_deep(bytes) {
        return Err(vec![Fault::at("", "TOO_DEEP", format!("JSON is nested at most {DEPTH_MAX} levels deep."))]);
    }
    json::parse(bytes)
}

/// True where brackets outside of strings are nested too deeply.
fn too_deep(bytes: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'{' | b'[') => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return true;
                }
            }
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// A request that takes no body: one that comes all the same is refused.
#[derive(Debug, Clone, Copy)]
pub struct Nothing;

/// The body of a request that takes none.
pub type NoBody = Body<Nothing>;

impl FromRequest for Body<Nothing> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move {
            let content = match bytes(&request, payload).await {
                Ok(bytes) if bytes.iter().all(u8::is_ascii_whitespace) => Ok(Nothing),
                Ok(_) => Err(Problem::malformed(&[Fault::at("", "UNEXPECTED_BODY", "No body is taken here.")])),
                Err(problem) => Err(problem),
            };
            Ok(Self { content, digest: [0; 32] })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_brackets_outside_of_strings() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(!too_deep(nested(DEPTH_MAX).as_bytes()));
        assert!(too_deep(nested(DEPTH_MAX + 1).as_bytes()));
        assert!(!too_deep(format!("\"{}\"", "[".repeat(1000)).as_bytes()));
        assert!(!too_deep(br#"{"a": "\"[[[", "b": []}"#));
    }
}
