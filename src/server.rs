//! The HTTP server: application state, what happens to every request, listeners, drain.

mod around;
mod cors;
pub mod health;
mod proxies;
mod rate_limit;
pub mod routes;
pub mod scrape;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::header;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, Route, guard, web};
use utoipa_actix_web::AppExt as _;
use utoipa_swagger_ui::{Config as SwaggerConfig, SwaggerUi};

use self::around::{Rules, around};
use self::health::Drain;
use crate::api::contract::DOCUMENT;
use crate::api::{BASE, v1};
use crate::config::Config;
use crate::error::Problem;
use crate::service::Env;
use crate::service::readiness::Readiness;

/// A request line and its headers arrive within this time.
const HEAD_SECONDS_MAX: u64 = 10;
/// An idle connection is kept so long.
const KEEP_ALIVE_SECONDS: u64 = 75;

/// Starts the server on a listener; the future ends when the server has.
pub fn start(env: Arc<Env>, config: &Config, listener: TcpListener) -> std::io::Result<Server> {
    let rules = web::Data::new(Rules::new(config));
    let readiness = web::Data::from(Readiness::new(env.database.clone()));
    let drain = Drain::default();
    let env = web::Data::from(env);
    let blocking_threads = (usize::try_from(config.pool_size).unwrap_or(4) / config.workers).max(2);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(env.clone())
            .app_data(rules.clone())
            .app_data(readiness.clone())
            .app_data(web::Data::new(drain.clone()))
            .wrap(from_fn(around))
            .route("/livez", get_or_head().to(health::live))
            .route("/readyz", get_or_head().to(health::ready))
            .route("/metrics", web::get().to(scrape::metrics_text))
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
    })
    .workers(config.workers)
    .worker_max_blocking_threads(blocking_threads)
    .client_request_timeout(Duration::from_secs(HEAD_SECONDS_MAX))
    .keep_alive(Duration::from_secs(KEEP_ALIVE_SECONDS))
    .shutdown_timeout(config.shutdown_grace_seconds)
    .listen(listener)?
    .run();
    Ok(server)
}

/// Some balancers ask with HEAD.
fn get_or_head() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
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
    let allow = routes::methods_of(request.path()).join(", ");
    if allow.is_empty() {
        return Err(Problem::new("NOT_FOUND", "There is nothing at this address."));
    }
    let mut problem = Problem::new("METHOD_NOT_ALLOWED", format!("This address takes {allow}."));
    problem.allow = Some(allow);
    Err(problem)
}
