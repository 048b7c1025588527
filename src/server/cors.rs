//! Pages of other origins in a browser (CORS): configured origins may use the interface, nobody else.
//!
//! Written here and not taken from a middleware: a refusal of the rate limit needs these headers too, and what is
//! refused is a problem document. No credentials of the browser's own are allowed; callers send their token.

use actix_web::HttpResponse;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderValue};

/// A browser may remember the answer to a preflight so long.
const PREFLIGHT_SECONDS: &str = "600";
/// What a page may do.
const METHODS: &str = "GET, POST, PUT, PATCH, DELETE";
/// What a page may send.
const REQUEST_HEADERS: &str = "Authorization, Content-Type, If-Match, If-None-Match, Idempotency-Key, X-Request-Id, \
                               traceparent, tracestate, Last-Event-ID";
/// What a page may read, besides what every page may.
const EXPOSED: &str = "ETag, Location, Link, X-Request-Id, RateLimit, RateLimit-Policy, Retry-After, \
                       Idempotent-Replayed, Dry-Run, traceresponse, Accept-Ranges, Content-Disposition, Content-Range";

/// The origins that may use the interface.
#[derive(Debug, Clone, Default)]
pub struct Cors(Vec<HeaderValue>);

impl Cors {
    /// Allows these origins, written as browsers write them.
    pub fn new(origins: &[String]) -> Self {
        Self(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect())
    }

    /// The origin of a request, where it is one that is allowed.
    pub fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        if self.0.is_empty() {
            return None;
        }
        let mut given = headers.get_all(header::ORIGIN);
        let origin = given.next()?;
        let known = self.0.iter().find(|known| *known == origin)?;
        if given.next().is_none() { Some(known.clone()) } else { None }
    }

    /// True for the question of a browser whether it may send a request.
    pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
        *method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// The answer to a preflight of an allowed origin.
    pub fn preflight() -> HttpResponse {
        HttpResponse::NoContent()
            .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, METHODS))
            .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS))
            .insert_header((header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS))
            .insert_header((header::VARY, "Access-Control-Request-Method, Access-Control-Request-Headers"))
            .finish()
    }

    /// Marks an answer: it depends on the origin, and an allowed one may read it.
    pub fn mark(&self, headers: &mut HeaderMap, origin: Option<HeaderValue>) {
        if self.0.is_empty() {
            return;
        }
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        }
    }
}
