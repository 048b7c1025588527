//! The HTTP server: application state, what happens to every request, listeners, drain.

mod around;
pub mod connection;
mod cors;
pub mod drain;
pub mod health;
pub mod probe;
mod proxies;
mod rate_limit;
pub mod routes;
pub mod scrape;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_http::{HttpService, KeepAlive};
use actix_service::{IntoServiceFactory as _, ServiceFactoryExt as _, fn_service, map_config};
use actix_web::dev::{AppConfig, Server, ServerHandle};
use actix_web::http::header;
use actix_web::middleware::from_fn;
use actix_web::rt::net::TcpStream;
use actix_web::{App, HttpRequest, HttpResponse, guard, web};
use utoipa_swagger_ui::{Config as SwaggerConfig, SwaggerUi};

use self::around::{Rules, around};
use self::connection::{Connections, Deadlines, Guarded};
use self::health::Drain;
use crate::api::admission::{Admission, DOWNLOADS_MAX, UPLOADS_MAX};
use crate::api::contract::{self, DOCUMENT};
use crate::api::groups::Groups;
use crate::api::{BASE, v1};
use crate::config::Config;
use crate::error::Problem;
use crate::repository::Target;
use crate::service::Env;
use crate::service::readiness::Readiness;

/// A client that sends more than is read gets so long to read its answer before the connection is closed.
const DISCONNECT_SECONDS: u64 = 1;
/// Connections beyond those that are wanted which are still told so; more wait until one ends.
const SURPLUS_CONNECTIONS_MAX: usize = 1024;

/// How many files are open at the same time when every connection is: sockets, databases, and the rest.
pub fn open_files(config: &Config) -> u64 {
    const OTHERS: u64 = 128;
    let documents = (UPLOADS_MAX + DOWNLOADS_MAX) as u64;
    let sockets = (config.max_connections + SURPLUS_CONNECTIONS_MAX) as u64;
    sockets + documents + u64::from(config.pool_size) * 4 + OTHERS
}

/// Starts the server on a listener, to run until its handle stops it.
pub fn start(env: Arc<Env>, config: &Config, listener: TcpListener) -> std::io::Result<Server> {
    start_drainable(env, config, listener, Drain::default())
}

/// Serves on a listener until the process is told to end.
pub async fn serve(env: Arc<Env>, config: &Config, listener: TcpListener) -> std::io::Result<()> {
    let state = Drain::default();
    let server = start_drainable(env, config, listener, state.clone())?;
    let handle: ServerHandle = server.handle();
    drain::on_signals(handle, state, Duration::from_secs(config.drain_seconds))?;
    server.await
}

fn start_drainable(env: Arc<Env>, config: &Config, listener: TcpListener, drain: Drain) -> std::io::Result<Server> {
    let rules = web::Data::new(Rules::new(config));
    let readiness = web::Data::from(Readiness::new(env.database.clone()));
    let env = web::Data::from(env);
    let admission =
        web::Data::new(Admission::new(config.max_in_flight, config.body_timeout_ms, config.document_bytes_max));
    let drain = web::Data::new(drain);
    let pool_size = usize::try_from(config.pool_size).unwrap_or(4);
    let blocking_threads = match config.database_url {
        Target::Sqlite(_) => pool_size.div_ceil(config.workers).max(2),
        // Each worker can use every connection, and has threads left while some hang on a database that is away: how
        // many work at once is decided where the connections are kept.
        Target::Postgres(_) => pool_size * 2 + 2,
    };
    let application = move || {
        App::new()
            .app_data(env.clone())
            .app_data(rules.clone())
            .app_data(readiness.clone())
            .app_data(admission.clone())
            .app_data(drain.clone())
            .wrap(from_fn(around))
            .route("/livez", web::get().to(health::live))
            .route("/readyz", web::get().to(health::ready))
            .route("/metrics", web::get().to(scrape::metrics_text))
            // Before the scope, which would take everything below its path.
            .route(&format!("{BASE}/openapi.json"), web::get().to(openapi))
            .configure(keep_words_apart)
            .service(web::scope(BASE).configure(|config| {
                let mut groups = Groups::default();
                v1::configure(&mut groups);
                groups.configure(config);
            }))
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
                    connection::until_last(async move { ending.notified().await })
                })
                .on_connect_ext(|socket: &Guarded, extensions| {
                    let link = socket.link();
                    connection::begins(&link);
                    extensions.insert(link);
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

async fn openapi() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(DOCUMENT.as_str())
}

async fn docs() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "/docs/")).finish()
}

/// Where a word stands in the place of an identifier, such as `/configuration-items/import`, a method that the word
/// does not have is refused, and does not go to the resource of that identifier.
fn keep_words_apart(config: &mut web::ServiceConfig) {
    for &template in contract::shadowed() {
        let methods = routes::methods_of(template);
        let another =
            guard::fn_guard(move |context| !methods.iter().any(|method| context.head().method == method.as_str()));
        config.service(web::resource(template).guard(another).default_service(web::to(nothing_there)));
    }
}

/// A path that is none of ours, or a method that the path does not have.
async fn nothing_there(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let allow = routes::methods_of(request.path()).join(", ");
    if allow.is_empty() {
        let detail = match request.path() {
            "/" => "There is nothing at this address: the interface is at /api/v1, and told of at /docs.",
            _ => "There is nothing at this address.",
        };
        return Err(Problem::new("NOT_FOUND", detail));
    }
    let mut problem = Problem::new("METHOD_NOT_ALLOWED", format!("This address takes {allow}."));
    problem.allow = Some(allow);
    Err(problem)
}
