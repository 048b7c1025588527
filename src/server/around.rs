//! What happens around every request: its name, its caller's address, its trace, the rate limit, headers, problem
//! documents, the log line, the counting.

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_http::ConnectionType;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpResponse, web};

use super::connection::Link;
use super::cors::Cors;
use super::health::Drain;
use super::proxies::TrustedProxies;
use super::rate_limit::{RateLimit, Taken};
use super::routes;
use crate::api::Arrival;
use crate::api::admission::{Admission, overloaded};
use crate::config::Config;
use crate::error::Problem;
use crate::service::identity::Credentials;
use crate::service::{Caller, Env};
use crate::telemetry::lines::{RequestLine, requests_are_logged};
use crate::telemetry::metrics;
use crate::telemetry::trace::Trace;

/// A request that is refused unread has its body read all the same, up to so many bytes, so that its connection
/// can be used again.
const SKIMMED_BYTES_MAX: usize = 64 * 1024;
/// ... and for so long.
const SKIMMED_MS_MAX: u64 = 250;
/// A name for a request that a caller brings along has at most so many characters.
const REQUEST_ID_LENGTH_MAX: usize = 128;

static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");
static RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
static RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// What holds for every request of a listener.
#[derive(Default)]
pub struct Rules {
    /// The rate limit, where there is one.
    pub rate_limit: Option<RateLimit>,
    /// Origins whose pages may use the interface.
    pub cors: Cors,
    /// Proxies that are believed.
    pub proxies: TrustedProxies,
    /// Whether `/metrics` is here.
    pub serves_metrics: bool,
    /// Whether `/metrics` is for callers on this machine, and so for none that a proxy sends on.
    pub metrics_for_this_machine_alone: bool,
}

impl Rules {
    /// The rules of the main listener.
    pub fn new(config: &Config) -> Self {
        Self {
            rate_limit: RateLimit::new(config.rate_limit),
            cors: Cors::new(&config.cors_origins),
            proxies: TrustedProxies::new(config.trusted_proxies.clone()),
            serves_metrics: config.metrics_listen.is_none() && config.listen.ip().is_loopback(),
            metrics_for_this_machine_alone: true,
        }
    }
}

/// A request under way. It is counted and logged even where its caller goes away before there is an answer.
struct Passage {
    started: Instant,
    id: String,
    method: Method,
    /// Empty where nothing is logged.
    path: String,
    address: IpAddr,
    trace: Option<Trace>,
    caller: Caller,
    ended: bool,
}

impl Passage {
    fn begin(request: &ServiceRequest, rules: &Rules) -> Self {
        metrics().in_flight.inc();
        let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip());
        Self {
            started: Instant::now(),
            id: request_id(request.headers()),
            method: request.method().clone(),
            path: if requests_are_logged() { request.path().to_owned() } else { String::new() },
            address: rules.proxies.caller(peer, request.headers()),
            trace: trace(request.headers()),
            caller: Caller::default(),
            ended: false,
        }
    }

    fn log(&self, route: &str, status: Option<u16>, code: Option<&'static str>, bytes: Option<u64>) {
        if !requests_are_logged() {
            return;
        }
        RequestLine {
            request_id: &self.id,
            method: self.method.as_str(),
            route,
            path: &self.path,
            status,
            code,
            duration_us: u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            bytes,
            actor: self.caller.get().copied(),
            peer: self.address,
            trace: self.trace,
        }
        .write();
    }

    fn end(mut self, response: &ServiceResponse<BoxBody>, code: Option<&'static str>) {
        self.ended = true;
        let route = routes::route_of(response.request());
        let status = response.status().as_u16();
        route.count(&self.method, status, self.started.elapsed());
        match code {
            Some("BUSY" | "OVERLOADED") => metrics().shed.inc(),
            Some("RATE_LIMITED") => metrics().rate_limited.inc(),
            Some("LOGIN_THROTTLED") => metrics().logins_throttled.inc(),
            _ => {}
        }
        let bytes = match response.response().body().size() {
            _ if self.method == Method::HEAD => Some(0),
            BodySize::None => Some(0),
            BodySize::Sized(bytes) => Some(bytes),
            BodySize::Stream => None,
        };
        self.log(&route.template, Some(status), code, bytes);
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        metrics().in_flight.dec();
        if !self.ended {
            metrics().abandoned.inc();
            self.log(routes::UNMATCHED, None, None, None);
        }
    }
}

/// What happens around every request.
pub async fn around(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let (Some(rules), Some(env)) =
        (request.app_data::<web::Data<Rules>>().cloned(), request.app_data::<web::Data<Env>>().cloned())
    else {
        return Err(Problem::new("INTERNAL", "The service is not set up.").into());
    };
    let _serving = request.conn_data::<Rc<Link>>().map(Link::serving);
    let passage = Passage::begin(&request, &rules);
    let link = request.conn_data::<Rc<Link>>().cloned();
    let closing = is_draining(&request) || is_surplus(&request);
    if let Some(link) = &link
        && (closing || request.head().connection_type() == ConnectionType::Close)
    {
        link.last_request().await;
    }
    // Whoever wants the head alone is answered like one who wants all; the body does not leave.
    if *request.method() == Method::HEAD {
        let head = request.head_mut();
        head.method = Method::GET;
        // A range is of what is sent (RFC 9110 §14.2).
        head.headers_mut().remove(header::RANGE);
    }
    let refusal = refused_at_the_door(&mut request, closing).await;
    let origin = rules.cors.allowed(request.headers()).filter(|_| routes::is_api(request.path()));
    let mut taken = None;
    let (mut response, code) = if origin.is_some() && Cors::is_preflight(request.method(), request.headers()) {
        (request.into_response(Cors::preflight()), None)
    } else if let Some(problem) = refusal {
        let code = problem.code;
        let refusal = named(problem, &passage.id, request.path());
        (request.into_response(refusal), Some(code))
    } else {
        let credentials = credentials_of(request.headers(), &env);
        taken = rules
            .rate_limit
            .as_ref()
            .filter(|_| !routes::is_watching(request.path()))
            .map(|limit| (limit.per_minute, limit.take(&credentials, passage.address, request.path(), &env)));
        if let Some((_, Err(seconds))) = taken {
            let mut problem = Problem::new("RATE_LIMITED", "Too many requests; slow down.");
            problem.retry_after_seconds = Some(seconds);
            let code = problem.code;
            let refusal = named(problem, &passage.id, request.path());
            (request.into_response(refusal), Some(code))
        } else {
            request.extensions_mut().insert(Arrival {
                id: passage.id.clone(),
                address: passage.address,
                credentials,
                trace: passage.trace,
                caller: Arc::clone(&passage.caller),
            });
            match next.call(request).await {
                Ok(response) => with_problem(response, &passage.id),
                Err(error) => return Err(unanswered(&error, passage, &rules)),
            }
        }
    };
    let path = Path::of(response.request().path());
    let headers = response.headers_mut();
    set_headers(headers, path, &passage);
    set_rate_limit(headers, taken);
    rules.cors.mark(headers, origin);
    // A slow body is not waited for; and who comes back to a process that ends finds nobody.
    let too_slow = response.status() == StatusCode::REQUEST_TIMEOUT;
    if too_slow && let Some(link) = &link {
        link.last_request().await;
    }
    if closing || too_slow {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    passage.end(&response, code);
    Ok(response)
}

fn is_draining(request: &ServiceRequest) -> bool {
    request.app_data::<web::Data<Drain>>().is_some_and(|drain| drain.draining())
}

fn is_surplus(request: &ServiceRequest) -> bool {
    request.conn_data::<Rc<Link>>().is_some_and(|link| link.is_surplus())
}

/// The refusal of a request for which there is no room, before anything is done for it.
async fn refused_at_the_door(request: &mut ServiceRequest, closing: bool) -> Option<Problem> {
    if routes::is_watching(request.path()) {
        return None;
    }
    let full = request.app_data::<web::Data<Admission>>().is_some_and(|admission| admission.is_full());
    if !full && !is_surplus(request) {
        return None;
    }
    if !closing {
        skim(request).await;
    }
    Some(overloaded())
}

/// Reads a small body and throws it away, so that the next request on the connection can follow.
async fn skim(request: &mut ServiceRequest) {
    let body = actix_web::body::BodyStream::new(request.take_payload());
    let read = actix_web::body::to_bytes_limited(body, SKIMMED_BYTES_MAX);
    let _ = actix_web::rt::time::timeout(Duration::from_millis(SKIMMED_MS_MAX), read).await;
}

/// Whose headers an answer gets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Path {
    Docs,
    Other,
}

impl Path {
    fn of(path: &str) -> Self {
        if path.starts_with("/docs") { Self::Docs } else { Self::Other }
    }
}

fn set_headers(headers: &mut HeaderMap, path: Path, passage: &Passage) {
    if let Ok(id) = HeaderValue::from_str(&passage.id) {
        headers.insert(X_REQUEST_ID.clone(), id);
    }
    if let Some(value) = passage.trace.and_then(|trace| HeaderValue::try_from(trace.to_string()).ok()) {
        headers.insert(TRACERESPONSE.clone(), value);
    }
    let (policy, cache) = match path {
        Path::Docs => ("frame-ancestors 'none'", "no-cache"),
        Path::Other => ("default-src 'none'; frame-ancestors 'none'", "no-store"),
    };
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    }
}

fn set_rate_limit(headers: &mut HeaderMap, taken: Option<(u32, Taken)>) {
    let Some((per_minute, taken)) = taken else {
        return;
    };
    let state = match taken {
        Ok(left) => format!("\"default\";r={left}"),
        Err(seconds) => format!("\"default\";r=0;t={seconds}"),
    };
    for (name, value) in [(&RATELIMIT_POLICY, format!("\"default\";q={per_minute};w=60")), (&RATELIMIT, state)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name.clone(), value);
        }
    }
}

fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(&X_REQUEST_ID).and_then(|value| value.to_str().ok());
    let safe = |id: &&str| {
        (1..=REQUEST_ID_LENGTH_MAX).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
    };
    given.filter(safe).map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned)
}

fn trace(headers: &HeaderMap) -> Option<Trace> {
    let mut given = headers.get_all(&TRACEPARENT);
    let first = given.next()?;
    // Two parents are none.
    if given.next().is_some() {
        return None;
    }
    Trace::continued(first.to_str().ok()?)
}

fn credentials_of(headers: &HeaderMap, env: &Env) -> Credentials {
    let mut given = headers.get_all(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or(""));
    let first = given.next();
    // Two credentials prove nothing: who would be meant?
    if given.next().is_some() { Credentials::Invalid } else { Credentials::parse(first, env) }
}

fn named(mut problem: Problem, id: &str, path: &str) -> HttpResponse {
    problem.request_id = id.to_owned();
    problem.instance = path.to_owned();
    problem.response()
}

/// Names the request in a problem, and makes one of an error that the framework answered by itself.
fn with_problem(
    response: ServiceResponse<impl MessageBody + 'static>,
    id: &str,
) -> (ServiceResponse<BoxBody>, Option<&'static str>) {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return (response.map_into_boxed_body(), None);
    }
    let problem = response.response().error().and_then(|error| error.as_error::<Problem>()).cloned();
    let problem = problem.unwrap_or_else(|| Problem::of_status(status.as_u16()));
    let code = problem.code;
    let (request, _) = response.into_parts();
    let answer = named(problem, id, request.path());
    (ServiceResponse::new(request, answer), Some(code))
}

/// The problem of an error that no service made an answer of. The request is gone by then.
fn unanswered(error: &actix_web::Error, mut passage: Passage, rules: &Rules) -> actix_web::Error {
    let status = error.as_response_error().status_code().as_u16();
    let problem = error.as_error::<Problem>().cloned().unwrap_or_else(|| Problem::of_status(status));
    let (status, code) = (problem.status, problem.code);
    let mut answer = named(problem, &passage.id, &passage.path);
    set_headers(answer.headers_mut(), Path::of(&passage.path), &passage);
    rules.cors.mark(answer.headers_mut(), None);
    passage.ended = true;
    passage.log(routes::UNMATCHED, Some(status), Some(code), None);
    InternalError::from_response("unanswered", answer).into()
}
