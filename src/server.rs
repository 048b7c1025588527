//! The HTTP server: application state, what happens to every request, listeners, drain.

pub mod connection;
pub mod drain;

use std::net::TcpListener;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_http::{ConnectionType, HttpService, KeepAlive};
use actix_service::{IntoServiceFactory as _, ServiceFactoryExt as _, fn_service, map_config};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{AppConfig, Server, ServerHandle, ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::middleware::{Next, from_fn};
use actix_web::rt::net::TcpStream;
use actix_web::{App, HttpMessage, HttpRequest, HttpResponse, web};
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use utoipa_actix_web::AppExt as _;
use utoipa_swagger_ui::{Config as SwaggerConfig, SwaggerUi};

use self::connection::{Connections, Deadlines, Guarded, Link};
use self::drain::Drain;
use crate::api::admission::{Admission, overloaded};
use crate::api::contract::{DOCUMENT, methods_of};
use crate::api::{BASE, RequestId, v1};
use crate::config::Config;
use crate::error::Problem;
use crate::service::Env;
use crate::service::identity::Credentials;
use crate::telemetry;

/// A name for a request that a caller brings along has at most so many characters.
const REQUEST_ID_LENGTH_MAX: usize = 128;
/// A client that sends more than is read gets so long to read its answer before the connection is closed.
const DISCONNECT_SECONDS: u64 = 1;
/// Connections beyond those that are wanted which are still told so; more wait until one ends.
const SURPLUS_CONNECTIONS_MAX: usize = 1024;
/// A request that is refused unread has its body read all the same, up to so many bytes, so that its connection
/// can be used again.
const SKIMMED_BYTES_MAX: usize = 64 * 1024;
/// ... and for so long.
const SKIMMED_MS_MAX: u64 = 250;
/// What watches the process is answered however much there is to do.
const ALWAYS_ANSWERED: [&str; 3] = ["/livez", "/readyz", "/metrics"];
/// The rate limiter forgets idle callers when it knows more than this.
const CALLERS_MAX: usize = 100_000;

type Limiter = RateLimiter<String, DashMapStateStore<String>, DefaultClock, StateInformationMiddleware>;

/// The rate limit of this process.
struct RateLimit {
    per_minute: u32,
    limiter: Limiter,
}

impl RateLimit {
    fn new(per_minute: u32) -> Option<Self> {
        let quota = Quota::per_minute(NonZeroU32::new(per_minute)?);
        let limiter = RateLimiter::keyed(quota).with_middleware::<StateInformationMiddleware>();
        Some(Self { per_minute, limiter })
    }

    /// What is left; or how many seconds to wait.
    fn take(&self, caller: &String) -> Result<u32, u64> {
        if self.limiter.len() > CALLERS_MAX {
            self.limiter.retain_recent();
        }
        match self.limiter.check_key(caller) {
            Ok(state) => Ok(state.remaining_burst_capacity()),
            Err(wait) => Err(wait.wait_time_from(DefaultClock::default().now()).as_secs() + 1),
        }
    }
}

/// How many files are open at the same time when every connection is: sockets, databases, and the rest.
pub fn open_files(config: &Config) -> u64 {
    const OTHERS: u64 = 128;
    let sockets = (config.max_connections + SURPLUS_CONNECTIONS_MAX) as u64;
    sockets + u64::from(config.pool_size) * 4 + OTHERS
}

/// Starts the server on a listener, to run until its handle stops it.
pub fn start(env: Arc<Env>, config: &Config, listener: TcpListener) -> std::io::Result<Server> {
    start_drainable(env, config, listener, Arc::default())
}

/// Serves on a listener until the process is told to end.
pub async fn serve(env: Arc<Env>, config: &Config, listener: TcpListener) -> std::io::Result<()> {
    let state = Arc::new(Drain::default());
    let server = start_drainable(env, config, listener, Arc::clone(&state))?;
    let handle: ServerHandle = server.handle();
    drain::on_signals(handle, state, Duration::from_secs(config.drain_seconds))?;
    server.await
}

fn start_drainable(
    env: Arc<Env>,
    config: &Config,
    listener: TcpListener,
    drain: Arc<Drain>,
) -> std::io::Result<Server> {
    let limit = Arc::new(RateLimit::new(config.rate_limit));
    let env = web::Data::from(env);
    let admission = web::Data::new(Admission::new(config.max_in_flight, config.body_timeout_ms));
    let drain = web::Data::from(drain);
    // Each worker can use every connection of the database: how many work at once is decided where they are kept.
    let blocking_threads = usize::try_from(config.pool_size).unwrap_or(4) * 2 + 2;
    let application = move || {
        let limit = Arc::clone(&limit);
        App::new()
            .app_data(env.clone())
            .app_data(web::Data::from(limit))
            .app_data(admission.clone())
            .app_data(drain.clone())
            .wrap(from_fn(around))
            .route("/livez", web::get().to(livez))
            .route("/readyz", web::get().to(readyz))
            // Before the scope, which would take everything below its path.
            .route(&format!("{BASE}/openapi.json"), web::get().to(openapi))
            .into_utoipa_app()
            .service(utoipa_actix_web::scope(BASE).configure(v1::configure))
            .into_app()
            .route("/docs", web::get().to(docs))
            .service(
                SwaggerUi::new("/docs/{_:.*}").config(
                    SwaggerConfig::new([format!("{BASE}/openapi.json")])
                        .try_it_out_enabled(true)
                        .persist_authorization(true),
                ),
            )
            .default_service(web::to(nothing_there))
    };
    let deadlines = Deadlines {
        head: Duration::from_millis(config.head_timeout_ms),
        keep_alive: Duration::from_millis(config.keep_alive_ms),
        write: Duration::from_millis(config.write_timeout_ms),
    };
    let connections = Arc::new(Connections::new(config.max_connections));
    let builder = Server::build();
    // What `HttpServer` does for itself: at the end, connections without a request are closed at once.
    let ending = builder.graceful_shutdown_signal();
    let server = builder
        .disable_signals()
        .workers(config.workers)
        .worker_max_blocking_threads(blocking_threads)
        .max_concurrent_connections((config.max_connections + SURPLUS_CONNECTIONS_MAX).div_ceil(config.workers))
        .shutdown_timeout(config.shutdown_grace_seconds)
        .listen("slipway", listener, move || {
            let (ending, connections) = (ending.clone(), Arc::clone(&connections));
            let application = application().into_factory().map_err(|error: actix_web::Error| error.error_response());
            let http = HttpService::build()
                // Heads and idle connections have their deadlines in `Guarded`.
                .keep_alive(KeepAlive::Os)
                .client_request_timeout(Duration::ZERO)
                .client_disconnect_timeout(Duration::from_secs(DISCONNECT_SECONDS))
                .graceful_shutdown_signal(move || {
                    let ending = ending.clone();
                    async move { ending.notified().await }
                })
                .on_connect_ext(|socket: &Guarded, extensions| {
                    extensions.insert(socket.link());
                })
                .h1(map_config(application, |_: ()| AppConfig::default()));
            fn_service(move |socket: TcpStream| {
                let guarded = Guarded::new(socket, deadlines, Arc::clone(&connections));
                let peer = guarded.peer();
                std::future::ready(Ok((guarded, peer)))
            })
            .and_then(http)
        })?
        .run();
    Ok(server)
}

/// Whether the process lives.
async fn livez() -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).finish()
}

/// Whether the process wants requests.
async fn readyz(drain: web::Data<Drain>) -> Result<HttpResponse, Problem> {
    if drain.draining() {
        let mut problem = Problem::new("UNAVAILABLE", "The process is about to end.");
        problem.retry_after_seconds = Some(1);
        return Err(problem);
    }
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).finish())
}

async fn openapi() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(DOCUMENT.as_str())
}

async fn docs() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "/docs/")).finish()
}

/// A path that is none of ours, or a method that the path does not have.
async fn nothing_there(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let mut methods = methods_of(request.path());
    if matches!(request.path(), "/api/v1/openapi.json" | "/docs") {
        methods.push("get");
    }
    if methods.is_empty() {
        return Err(Problem::new("NOT_FOUND", "There is nothing at this address."));
    }
    let allow: Vec<String> = methods.iter().map(|method| method.to_ascii_uppercase()).collect();
    let mut problem = Problem::new("METHOD_NOT_ALLOWED", format!("This address takes {}.", allow.join(", ")));
    problem.allow = Some(allow.join(", "));
    Err(problem)
}

fn request_id(request: &ServiceRequest) -> String {
    let given = request.headers().get("x-request-id").and_then(|value| value.to_str().ok());
    let safe = |id: &&str| {
        (1..=REQUEST_ID_LENGTH_MAX).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
    };
    given.filter(safe).map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned)
}

/// What happens around every request: its name, the rate limit, headers, problem documents, the log line.
async fn around(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let started = Instant::now();
    let _serving = request.conn_data::<Rc<Link>>().map(Link::serving);
    let id = request_id(&request);
    if let Some(response) = refused_at_the_door(&mut request, &id).await {
        return Ok(request.into_response(response));
    }
    let watching = ALWAYS_ANSWERED.contains(&request.path());
    let closing = is_draining(&request);
    request.extensions_mut().insert(RequestId(id.clone()));
    let credentials = credentials_of(&request);
    let caller = credentials.as_ref().and_then(Credentials::caller);
    let address = request.peer_addr().map(|address| address.ip().to_string()).unwrap_or_default();
    let limited = request.app_data::<web::Data<Option<RateLimit>>>().and_then(|limit| {
        // A personal token counts for itself only once it was found good: made-up ones share their address's bucket.
        let good = |caller: &&String| !request.path().starts_with("/api/v1/auth/") && is_known(&request, caller);
        let bucket = caller.as_ref().filter(good).unwrap_or(&address);
        limit.as_ref().as_ref().filter(|_| !watching).map(|limit| (limit.per_minute, limit.take(bucket)))
    });
    if let Some(credentials) = credentials {
        request.extensions_mut().insert(credentials);
    }
    let (method, path) = (request.method().to_string(), request.path().to_owned());
    let mut response = match limited {
        Some((_, Err(seconds))) => {
            let mut problem = Problem::new("RATE_LIMITED", "Too many requests; slow down.");
            problem.retry_after_seconds = Some(seconds);
            request.into_response(named(problem, &id, &path))
        }
        _ => {
            let response = match next.call(request).await {
                Ok(response) => response,
                Err(error) => return Err(error),
            };
            with_problem(response, &id, &path)
        }
    };
    let headers = response.headers_mut();
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    set("x-request-id", &id);
    set("x-content-type-options", "nosniff");
    set(
        "content-security-policy",
        if path.starts_with("/docs") { "frame-ancestors 'none'" } else { "default-src 'none'; frame-ancestors 'none'" },
    );
    set("referrer-policy", "no-referrer");
    if let Some((per_minute, state)) = limited {
        set("ratelimit-policy", &format!("\"default\";q={per_minute};w=60"));
        match state {
            Ok(left) => set("ratelimit", &format!("\"default\";r={left}")),
            Err(seconds) => set("ratelimit", &format!("\"default\";r=0;t={seconds}")),
        }
    }
    // A slow body is not waited for; and who comes back to a process that ends finds nobody.
    if closing || response.status() == actix_web::http::StatusCode::REQUEST_TIMEOUT {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    let status = response.status().as_u16();
    telemetry::request_line(
        &id,
        &method,
        &path,
        status,
        caller.as_deref().map_or("-", short),
        started.elapsed().as_micros(),
    );
    Ok(response)
}

fn is_draining(request: &ServiceRequest) -> bool {
    request.app_data::<web::Data<Drain>>().is_some_and(|drain| drain.draining())
}

/// The answer to a request for which there is no room, before anything is done for it.
async fn refused_at_the_door(request: &mut ServiceRequest, id: &str) -> Option<HttpResponse> {
    if ALWAYS_ANSWERED.contains(&request.path()) {
        return None;
    }
    let surplus = request.conn_data::<Rc<Link>>().is_some_and(|link| link.is_surplus());
    let full = request.app_data::<web::Data<Admission>>().is_some_and(|admission| admission.is_full());
    if !surplus && !full {
        return None;
    }
    let closing = surplus || is_draining(request);
    if !closing {
        skim(request).await;
    }
    let mut response = named(overloaded(), id, request.path());
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if closing {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    Some(response)
}

/// Reads a small body and throws it away, so that the next request on the connection can follow.
async fn skim(request: &mut ServiceRequest) {
    let body = actix_web::body::BodyStream::new(request.take_payload());
    let read = actix_web::body::to_bytes_limited(body, SKIMMED_BYTES_MAX);
    let _ = actix_web::rt::time::timeout(Duration::from_millis(SKIMMED_MS_MAX), read).await;
}

/// Enough of a caller's identifier to find it again.
fn short(caller: &str) -> &str {
    caller.get(..36).unwrap_or(caller)
}

/// True where the credential is known to be good: a verified session, or a personal token used before.
fn is_known(request: &ServiceRequest, caller: &str) -> bool {
    request.app_data::<web::Data<Env>>().is_some_and(|env| caller.len() == 36 || env.knows_token(caller))
}

fn credentials_of(request: &ServiceRequest) -> Option<Credentials> {
    let env = request.app_data::<web::Data<Env>>()?;
    let mut headers = request.headers().get_all(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or(""));
    let header = headers.next();
    // Two credentials prove nothing: who would be meant?
    Some(if headers.next().is_some() { Credentials::Invalid } else { Credentials::parse(header, env) })
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
    path: &str,
) -> ServiceResponse<BoxBody> {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response.map_into_boxed_body();
    }
    let problem = response.response().error().and_then(|error| error.as_error::<Problem>()).cloned();
    let problem = problem.unwrap_or_else(|| Problem::of_status(status.as_u16()));
    let (request, _) = response.into_parts();
    ServiceResponse::new(request, named(problem, id, path))
}
