//! Downloads: the content of a document, whole or a range of it, chunk by chunk from the store.
//!
//! The content of a document never changes, so its SHA-256 is its ETag and the upload its `Last-Modified`. Nothing is
//! shown by a browser: it is an attachment of bytes, whatever type was sent, and nobody guesses another. The type is
//! with the document, for whoever trusts it.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix_web::body::SizedStream;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HttpDate};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use futures_util::{StreamExt as _, stream};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::admission::Way;
use super::{Answer, Call, holding};
use crate::domain::values::Fault;
use crate::error::Problem;
use crate::service::documents::{self, StoredContent};
use crate::service::{self, ReadContext};

/// The headers that ask for a part, or whether there is news, have at most so many characters.
pub const HEADER_LENGTH_MAX: usize = 1000;
/// What is written as it is in an extended parameter (`attr-char` of RFC 8187).
const ATTRIBUTE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

impl Call {
    /// Sends content out of the store.
    pub async fn download<F>(mut self, http: HttpRequest, load: F) -> Answer
    where
        F: Fn(&mut ReadContext<'_>) -> service::Result<StoredContent> + Send + 'static,
    {
        if let Err(faults) = self.check(&[], overlong(&http)) {
            return Err(self.refuse(Problem::malformed(&faults)).await);
        }
        let work = holding(self.admission.enter()?, load);
        let stored = self.env.read(self.request.clone(), work).await?;
        self.note_use();
        let tag = format!("\"{}\"", stored.sha256);
        // A header has no finer time than seconds.
        let since = SystemTime::UNIX_EPOCH + Duration::from_secs(stored.stored_at.unix_millis() / 1000);
        let is_known = match &self.if_none_match {
            Some(condition) => condition.names(&tag),
            None => date(&http, header::IF_MODIFIED_SINCE).is_some_and(|known| known >= since),
        };
        if is_known {
            return Ok(head(StatusCode::NOT_MODIFIED, &tag, since).finish());
        }
        let size = u64::try_from(stored.size_bytes).unwrap_or_default();
        let wanted = if range_holds(&http, &tag, since) { range(&http, size) } else { Wanted::Whole };
        let (status, part) = match wanted {
            Wanted::Whole => (StatusCode::OK, 0..size),
            Wanted::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
            Wanted::Nothing => {
                let detail = format!("The content has {size} bytes.");
                let mut problem = Problem::new("RANGE_NOT_SATISFIABLE", detail);
                problem.content_bytes = Some(size);
                return Err(problem);
            }
        };
        let mut response = head(status, &tag, since);
        response
            .insert_header((header::CONTENT_TYPE, "application/octet-stream"))
            .insert_header((header::CONTENT_DISPOSITION, disposition(&stored.name)));
        if status == StatusCode::PARTIAL_CONTENT {
            let range = format!("bytes {}-{}/{size}", part.start, part.end - 1);
            response.insert_header((header::CONTENT_RANGE, range));
        }
        let length = part.end - part.start;
        let transfer = self.admission.carry(Way::Down)?;
        let env = Arc::clone(&self.env);
        let mut chunks = documents::content(&env, &stored, part).await?;
        // As long as nothing is sent, what is wrong can still be said.
        let first = chunks.next().await.transpose().map_err(service::Error::from).inspect_err(|error| {
            log::error!("the content of {}: {error}", stored.of);
        })?;
        let chunks = stream::iter(first.map(Ok)).chain(chunks).map(move |chunk| {
            // The place is kept as long as the document is on its way.
            let _held = &transfer;
            chunk.inspect_err(|error| log::error!("a download broke off: {error}"))
        });
        Ok(response.body(SizedStream::new(length, chunks)))
    }
}

fn head(status: StatusCode, tag: &str, stored: SystemTime) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response
        .insert_header((header::ETAG, tag))
        .insert_header((header::LAST_MODIFIED, HttpDate::from(stored).to_string()))
        .insert_header((header::ACCEPT_RANGES, "bytes"))
        .insert_header((header::CACHE_CONTROL, "private, no-cache"));
    response
}

/// Headers that are longer than any that means something.
fn overlong(http: &HttpRequest) -> Vec<Fault> {
    [("Range", header::RANGE), ("If-Range", header::IF_RANGE), ("If-Modified-Since", header::IF_MODIFIED_SINCE)]
        .into_iter()
        .filter(|(_, header)| http.headers().get_all(header).any(|value| value.len() > HEADER_LENGTH_MAX))
        .map(|(name, _)| {
            let detail = format!("The header has at most {HEADER_LENGTH_MAX} characters.");
            Fault::parameter(name, "INVALID_HEADER", detail)
        })
        .collect()
}

/// A date in a header; what is none counts for nothing (RFC 9110 §13.1.3).
fn date(http: &HttpRequest, name: header::HeaderName) -> Option<SystemTime> {
    let text = http.headers().get(name)?.to_str().ok()?;
    text.parse::<HttpDate>().ok().map(SystemTime::from)
}

/// Whether `If-Range`, where it is there, lets a range be answered: it names the very content (RFC 9110 §13.1.5).
fn range_holds(http: &HttpRequest, tag: &str, stored: SystemTime) -> bool {
    match http.headers().get(header::IF_RANGE) {
        None => true,
        Some(given) if given.as_bytes() == tag.as_bytes() => true,
        Some(_) => date(http, header::IF_RANGE) == Some(stored),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Whole,
    Part(Range<u64>),
    Nothing,
}

/// What of the content is wanted. Several ranges, another unit and what is no range at all count for nothing; nor is
/// there any part of what is empty.
fn range(http: &HttpRequest, size: u64) -> Wanted {
    let mut given = http.headers().get_all(header::RANGE);
    let parsed = match (given.next(), given.next()) {
        (Some(only), None) => only.to_str().ok().and_then(|text| text.parse::<header::Range>().ok()),
        _ => None,
    };
    match parsed {
        Some(header::Range::Bytes(ranges)) if ranges.len() == 1 && size > 0 => {
            match ranges[0].to_satisfiable_range(size) {
                Some((first, last)) => Wanted::Part(first..last + 1),
                None => Wanted::Nothing,
            }
        }
        _ => Wanted::Whole,
    }
}

/// An attachment with its name (RFC 6266): for every client in ASCII, and beside it as it is (RFC 8187).
fn disposition(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| if c == ' ' || (c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%')) { c } else { '_' })
        .collect();
    if plain == name {
        return format!("attachment; filename=\"{name}\"");
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{}", utf8_percent_encode(name, ATTRIBUTE))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_name_is_an_attachment_for_old_clients_and_new_ones() {
        assert_eq!(disposition("plan (2).pdf"), "attachment; filename=\"plan (2).pdf\"");
        assert_eq!(
            disposition("Übergabe \"a\".txt"),
            "attachment; filename=\"_bergabe _a_.txt\"; filename*=UTF-8''%C3%9Cbergabe%20%22a%22.txt"
        );
        assert_eq!(disposition("50%.txt"), "attachment; filename=\"50_.txt\"; filename*=UTF-8''50%25.txt");
    }

    #[test]
    fn one_range_is_answered_and_everything_else_is_the_whole() {
        let of = |text: &str, size: u64| {
            range(&TestRequest::default().insert_header((header::RANGE, text)).to_http_request(), size)
        };
        assert_eq!(of("bytes=0-3", 10), Wanted::Part(0..4));
        assert_eq!(of("bytes=4-", 10), Wanted::Part(4..10));
        assert_eq!(of("bytes=-4", 10), Wanted::Part(6..10));
        assert_eq!(of("bytes=8-99", 10), Wanted::Part(8..10));
        for nothing in ["bytes=10-", "bytes=10-20", "bytes=-0"] {
            assert_eq!(of(nothing, 10), Wanted::Nothing, "{nothing}");
        }
        assert_eq!(of("bytes=0-", 0), Wanted::Whole);
        for whole in ["bytes=0-1,4-5", "lines=0-3", "bytes", "bytes=a-b", ""] {
            assert_eq!(of(whole, 10), Wanted::Whole, "{whole}");
        }
    }
}
