//! HTTP, and nothing but HTTP: extractors, paging, answers, the contract.
//!
//! Every handler takes a [`Call`] first and a [`Body`] where there is one. Neither fails by itself: what is
//! wrong with a request is answered only after the caller is authenticated, so that 401 comes before 400.

pub mod admission;
pub mod body;
pub mod conditions;
pub mod contract;
pub mod download;
pub mod groups;
mod intake;
mod json;
pub mod paging;
pub mod reference;
pub mod schema;
pub mod upload;
pub mod v1;

use std::future::{Ready, ready};
use std::net::IpAddr;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::{StatusCode, header};
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse};
use sha2::{Digest, Sha256};

use self::admission::{Admission, Place, Transfer, Way};
pub use self::body::{Body, NoBody};
use self::conditions::Condition;
use crate::domain::values::Fault;
use crate::error::Problem;
use crate::repository::listing::{ListQuery, ListSpec};
use crate::service::identity::{Credentials, LAST_USED_EVERY_SECONDS};
use crate::service::{self, Caller, Env, ReadContext, Reply, Request, WriteContext};
use crate::telemetry::metrics::{Outcome, metrics};
use crate::telemetry::trace::Trace;

/// The base of every path of the first version.
pub const BASE: &str = "/api/v1";
/// An idempotency key has at most so many characters.
const IDEMPOTENCY_KEY_LENGTH_MAX: usize = 255;

/// What is known of a request before its handler runs, kept with it by the middleware.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Names the request.
    pub id: String,
    /// Where it came from, as far as proxies are trusted.
    pub address: IpAddr,
    /// The credential, read and verified.
    pub credentials: Credentials,
    /// The trace that the caller began.
    pub trace: Option<Trace>,
    /// Who the caller turns out to be.
    pub caller: Caller,
}

/// What a handler answers.
pub type Answer = Result<HttpResponse, Problem>;

/// How a call that creates or carries on a release ended, for the metrics.
pub fn outcome(answer: &Answer) -> Outcome {
    match answer {
        Ok(response) if response.headers().contains_key("dry-run") => Outcome::DryRun,
        Ok(response) if response.headers().contains_key("idempotent-replayed") => Outcome::Replayed,
        Ok(_) => Outcome::Applied,
        Err(problem) if problem.status >= 500 => Outcome::Failed,
        Err(_) => Outcome::Refused,
    }
}

impl actix_web::ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        self.response()
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, self.code)
    }
}

impl std::error::Error for Problem {}

/// A request, as far as it can be read without its body.
#[derive(Clone)]
pub struct Call {
    env: Arc<Env>,
    admission: Arc<Admission>,
    request: Request,
    query: Result<Vec<(String, String)>, Fault>,
    if_none_match: Option<Condition>,
    faults: Vec<Fault>,
    acceptable: bool,
    path: actix_web::dev::Path<actix_web::dev::Url>,
    instance: String,
    prefix: [u8; 32],
    creates: bool,
}

impl FromRequest for Call {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::new(request))
    }
}

fn header_text<'r>(request: &'r HttpRequest, name: &str, faults: &mut Vec<Fault>) -> Option<&'r str> {
    let mut values = request.headers().get_all(name);
    let first = values.next()?;
    if values.next().is_some() {
        faults.push(Fault::parameter(name, "INVALID_HEADER", "The header is there more than once."));
    }
    match first.to_str() {
        Ok(text) => Some(text),
        Err(_) => {
            faults.push(Fault::parameter(name, "INVALID_HEADER", "The header is not ASCII text."));
            None
        }
    }
}

impl Call {
    fn new(request: &HttpRequest) -> Result<Self, Problem> {
        let not_set_up = || Problem::new("INTERNAL", "The service is not set up.");
        let env =
            request.app_data::<actix_web::web::Data<Env>>().map(|data| Arc::clone(data)).ok_or_else(not_set_up)?;
        let admission = admission_of(request).ok_or_else(not_set_up)?;
        let mut faults = Vec::new();
        let arrival = request
            .extensions()
            .get::<Arrival>()
            .cloned()
            .ok_or_else(|| Problem::new("INTERNAL", "The service is not set up."))?;
        let idempotency_key = if request.method() == actix_web::http::Method::POST {
            header_text(request, "Idempotency-Key", &mut faults).and_then(|key| match idempotency_key(key) {
                Ok(key) => Some(key),
                Err(fault) => {
                    faults.push(fault);
                    None
                }
            })
        } else {
            None
        };
        let mut condition = |name: &str| {
            Condition::read(name, request.headers().get_all(name)).unwrap_or_else(|fault| {
                faults.push(fault);
                None
            })
        };
        let (if_match, if_none_match) = (condition("If-Match").into(), condition("If-None-Match"));
        let mut prefix = Sha256::new();
        for part in [request.method().as_str(), request.path(), request.query_string()] {
            prefix.update((part.len() as u64).to_be_bytes());
            prefix.update(part.as_bytes());
        }
        Ok(Self {
            env,
            admission,
            request: Request {
                id: arrival.id,
                credentials: arrival.credentials,
                address: arrival.address.to_string(),
                idempotency_key,
                fingerprint: String::new(),
                if_match,
                dry_run: false,
                trace: arrival.trace,
                caller: arrival.caller,
            },
            query: paging::parse_query(request.query_string()),
            if_none_match,
            faults,
            acceptable: accepts_json(request),
            path: request.match_info().clone(),
            instance: request.path().to_owned(),
            prefix: prefix.finalize().into(),
            creates: request.method() == actix_web::http::Method::POST,
        })
    }

    /// The process's environment.
    pub const fn env(&self) -> &Arc<Env> {
        &self.env
    }

    /// A segment of the path, decoded: the router leaves `%25`, `%2B` and `%2F` as they came.
    pub fn segment(&self, name: &str) -> String {
        let text = self.path.query(name);
        paging::percent_decode(text).unwrap_or_else(|| text.to_owned())
    }

    /// A segment of the path as an identifier: what is none names nothing.
    pub fn id<T: std::str::FromStr>(&self, name: &str, what: &'static str) -> service::Result<T> {
        self.path.query(name).parse().map_err(|_| service::Error::NotFound(what))
    }

    /// The page of a list that the query asks for.
    pub fn list_query(&self, spec: &'static ListSpec, fixed: &[&str]) -> Result<ListQuery, Vec<Fault>> {
        match &self.query {
            Ok(pairs) => paging::list_query(spec, &self.instance, pairs, fixed),
            Err(fault) => Err(vec![fault.clone()]),
        }
    }

    /// The first page, as long as pages are, of a list that belongs to what this call reads.
    pub fn first_page(&self, spec: &'static ListSpec, list: &str, fixed: &[&str]) -> service::Result<ListQuery> {
        let longest = [("limit".to_owned(), paging::LIMIT_MAX.to_string())];
        let path = format!("{}/{list}", self.instance);
        paging::list_query(spec, &path, &longest, fixed).map_err(service::Error::Malformed)
    }

    /// The address of the page behind this one.
    pub fn next_link(&self, cursor: &str) -> String {
        let pairs = self.query.as_ref().map(Vec::as_slice).unwrap_or_default();
        let kept: Vec<(&str, &str)> =
            pairs.iter().filter(|(name, _)| name != "cursor").map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let query = paging::encode_query(kept.into_iter().chain([("cursor", cursor)]));
        format!("<{}?{query}>; rel=\"next\"", self.instance)
    }

    /// A query parameter of a request that takes few.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let pairs = self.query.as_ref().ok()?;
        pairs.iter().find(|(given, _)| given == name).map(|(_, value)| value.clone())
    }

    /// Takes a query parameter out; the rest is asked for without it.
    pub fn take_parameter(&mut self, name: &str) -> Option<String> {
        let pairs = self.query.as_mut().ok()?;
        let at = pairs.iter().position(|(given, _)| given == name)?;
        Some(pairs.remove(at).1)
    }

    /// Loads something in a use case that reads, for an answer that is put together elsewhere.
    pub async fn loaded<T, F>(self, work: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: Fn(&mut ReadContext<'_>) -> service::Result<T> + Send + 'static,
    {
        let work = holding(self.admission.enter()?, work);
        let loaded = self.env.read(self.request.clone(), work).await?;
        self.note_use();
        Ok(loaded)
    }

    /// A place for a download.
    pub fn carry_down(&self) -> Result<Transfer, Problem> {
        self.admission.carry(Way::Down)
    }

    fn check(&mut self, allowed: &[&str], more: Vec<Fault>) -> Result<(), Vec<Fault>> {
        let mut faults = self.faults.clone();
        match &self.query {
            Err(fault) => faults.push(fault.clone()),
            Ok(pairs) => faults.extend(paging::unknown_parameters(pairs, allowed)),
        }
        if allowed.contains(&"dry_run") {
            match self.parameter("dry_run").as_deref() {
                None | Some("false") => {}
                Some("true") => self.request.dry_run = true,
                Some(_) => faults.push(Fault::parameter("dry_run", "INVALID_PARAMETER", "This is `true` or `false`.")),
            }
        }
        faults.extend(more);
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// Answers what is wrong with the request, once the caller is authenticated.
    pub async fn refuse(self, problem: Problem) -> Problem {
        let place = match self.admission.enter() {
            Ok(place) => place,
            Err(overloaded) => return overloaded,
        };
        match self.env.read(self.request.clone(), holding(place, |_| Ok(()))).await {
            Ok(()) => problem,
            Err(error) => error.into(),
        }
    }

    fn note_use(&self) {
        if let Credentials::Personal { hash } = &self.request.credentials {
            if !self.env.remember_token(hash, self.env.now(), LAST_USED_EVERY_SECONDS) {
                return;
            }
            let (env, hash) = (Arc::clone(&self.env), hash.clone());
            actix_web::rt::spawn(async move { env.note_token_use(hash).await });
        }
    }

    /// Runs a use case that reads. `allowed` names the query parameters besides those of a list.
    pub async fn read<F>(self, allowed: &[&str], work: F) -> Answer
    where
        F: Fn(&mut ReadContext<'_>) -> service::Result<Reply> + Send + 'static,
    {
        self.read_unless(Vec::new(), allowed, work).await
    }

    /// The same, where nothing was found wrong with the parameters before.
    pub async fn read_unless<F>(mut self, faults: Vec<Fault>, allowed: &[&str], work: F) -> Answer
    where
        F: Fn(&mut ReadContext<'_>) -> service::Result<Reply> + Send + 'static,
    {
        if let Err(faults) = self.check(allowed, faults) {
            return Err(self.refuse(Problem::malformed(&faults)).await);
        }
        if !self.acceptable {
            return Err(self.refuse(not_acceptable()).await);
        }
        let work = holding(self.admission.enter()?, work);
        let reply = self.env.read(self.request.clone(), work).await.map_err(Problem::from)?;
        self.note_use();
        Ok(self.answer(reply))
    }

    /// Runs a use case that answers a page of a list.
    pub async fn list<F>(self, spec: &'static ListSpec, fixed: &'static [&'static str], work: F) -> Answer
    where
        F: Fn(&mut ReadContext<'_>, ListQuery) -> service::Result<Reply> + Send + 'static,
    {
        let query = match self.list_query(spec, fixed) {
            Ok(query) => query,
            Err(faults) => return Err(self.refuse(Problem::malformed(&faults)).await),
        };
        let names = paging::parameter_names(spec, fixed);
        self.read(&names, move |context| work(context, query.clone())).await
    }

    /// Runs a use case that reads a list whole, and answers the part of it that is asked for: all of it, where no limit
    /// is given. `place` is what the items are in order by: rising, or falling.
    pub async fn whole<T, F>(self, place: fn(&T) -> String, falling: bool, work: F) -> Answer
    where
        T: serde::Serialize + 'static,
        F: Fn(&mut ReadContext<'_>) -> service::Result<paging::Page<T>> + Send + 'static,
    {
        let part = match &self.query {
            Ok(pairs) => paging::Part::of(&self.instance, pairs),
            Err(fault) => Err(vec![fault.clone()]),
        };
        let part = match part {
            Ok(part) => part,
            Err(faults) => return Err(self.refuse(Problem::malformed(&faults)).await),
        };
        let link = self.clone();
        self.read(paging::PART, move |context| paging::shown(&link, &part.cut(work(context)?, place, falling))).await
    }

    /// Looks up what a use case needs to know before its transaction begins; nothing where the caller may not know it:
    /// then the use case says so.
    pub async fn look_up<T, F>(&self, work: F) -> Result<Option<T>, Problem>
    where
        T: Send + 'static,
        F: Fn(&mut ReadContext<'_>) -> service::Result<Option<T>> + Send + 'static,
    {
        let work = holding(self.admission.enter()?, work);
        match self.env.read(self.request.clone(), work).await {
            Err(error) if service::repository_error(&error).is_some() => Err(error.into()),
            result => Ok(result.ok().flatten()),
        }
    }

    /// Runs a use case that writes, with its body. `allowed` names the query parameters.
    pub async fn write<B, F>(mut self, allowed: &[&str], body: Body<B>, work: F) -> Answer
    where
        B: Clone + Send + 'static,
        F: Fn(&mut WriteContext<'_>, &B) -> service::Result<Reply> + Send + 'static,
    {
        let (content, digest) = match body.into_parts() {
            Ok(parts) => parts,
            Err(problem) => return Err(self.refuse(problem).await),
        };
        if let Err(faults) = self.check(allowed, Vec::new()) {
            return Err(self.refuse(Problem::malformed(&faults)).await);
        }
        if !self.acceptable {
            return Err(self.refuse(not_acceptable()).await);
        }
        let mut fingerprint = Sha256::new();
        fingerprint.update(self.prefix);
        fingerprint.update(digest);
        self.request.fingerprint = fingerprint.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let place = self.admission.enter()?;
        let work = move |context: &mut WriteContext<'_>| {
            let _held = &place;
            work(context, &content)
        };
        let reply = self.env.write(self.request.clone(), work).await.map_err(Problem::from)?;
        self.note_use();
        Ok(self.answer(reply))
    }

    /// The request and environment of a use case that runs its own transactions, once parameters are checked, and
    /// its place among those in work.
    pub async fn unbound(mut self) -> Result<(Arc<Env>, Request, Place), Problem> {
        match self.check(&[], Vec::new()) {
            Ok(()) if self.acceptable => {
                self.request.idempotency_key = None;
                let place = self.admission.enter()?;
                Ok((self.env, self.request, place))
            }
            Ok(()) => Err(not_acceptable()),
            Err(faults) => Err(Problem::malformed(&faults)),
        }
    }

    /// The same call without an idempotency key, where nothing may be kept under one.
    #[must_use]
    pub fn without_key(mut self) -> Self {
        self.request.idempotency_key = None;
        self
    }

    /// The answer of a use case that ran its own transactions.
    pub fn plain(&self, reply: Reply) -> HttpResponse {
        self.answer(reply)
    }

    fn answer(&self, reply: Reply) -> HttpResponse {
        let dry_run = reply.dry_run;
        let status = if dry_run { 200 } else { reply.status };
        let mut response = HttpResponse::build(StatusCode::from_u16(status).unwrap_or(StatusCode::OK));
        // What is there already keeps its identifier.
        let body = if dry_run && self.creates && reply.status == 201 {
            contract::without_made_ids(&reply.body)
        } else {
            reply.body
        };
        let mut cache = "no-store";
        if let Some(row_version) = reply.row_version.filter(|_| !dry_run) {
            let tag = format!("\"{row_version}.{}\"", &crate::repository::audit::digest(&[&body])[..16]);
            cache = "private, no-cache";
            let known = self.if_none_match.as_ref().is_some_and(|condition| condition.names(&tag));
            if status == 200 && known && reply.location.is_none() {
                return HttpResponse::NotModified()
                    .insert_header((header::ETAG, tag))
                    .insert_header((header::CACHE_CONTROL, cache))
                    .finish();
            }
            response.insert_header((header::ETAG, tag));
        }
        response.insert_header((header::CACHE_CONTROL, cache));
        if let Some(location) = reply.location.filter(|_| !dry_run) {
            response.insert_header((header::LOCATION, location));
        }
        if let Some(next) = reply.next {
            response.insert_header((header::LINK, next));
        }
        if reply.replayed {
            metrics().idempotent_replays.inc();
            response.insert_header(("Idempotent-Replayed", "true"));
        }
        if dry_run {
            response.insert_header(("Dry-Run", "true"));
        }
        if body.is_empty() {
            return response.finish();
        }
        response.content_type("application/json").body(body)
    }
}

/// The places of the process that serves a request.
fn admission_of(request: &HttpRequest) -> Option<Arc<Admission>> {
    request.app_data::<actix_web::web::Data<Admission>>().map(|data| Arc::clone(data))
}

/// Work that reads, and keeps its place until it is over: its caller may have gone away by then.
fn holding<T>(
    place: Place,
    work: impl Fn(&mut ReadContext<'_>) -> service::Result<T>,
) -> impl Fn(&mut ReadContext<'_>) -> service::Result<T> {
    move |context| {
        let _held = &place;
        work(context)
    }
}

fn idempotency_key(key: &str) -> Result<String, Fault> {
    let fits = (1..=IDEMPOTENCY_KEY_LENGTH_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    if fits {
        return Ok(key.to_owned());
    }
    Err(Fault::parameter(
        "Idempotency-Key",
        "INVALID_HEADER",
        format!("A key has 1 to {IDEMPOTENCY_KEY_LENGTH_MAX} visible ASCII characters."),
    ))
}

fn accepts_json(request: &HttpRequest) -> bool {
    let mut given = request.headers().get_all(header::ACCEPT).filter_map(|value| value.to_str().ok()).peekable();
    given.peek().is_none()
        || given.flat_map(|value| value.split(',')).any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or("").to_ascii_lowercase();
            let refused = parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
            !refused
                && matches!(
                    kind.as_str(),
                    "" | "*/*" | "application/*" | "application/json" | "application/problem+json"
                )
        })
}

fn not_acceptable() -> Problem {
    Problem::new("NOT_ACCEPTABLE", "Answers are `application/json`.")
}
