//! `/metrics`: on an address of its own, or on the main one where only this machine can reach it.

use std::net::TcpListener;
use std::sync::Arc;

use actix_web::dev::Server;
use actix_web::http::header;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};

use super::around::{Rules, around};
use super::proxies::was_sent_on;
use crate::error::Problem;
use crate::service::Env;
use crate::telemetry::metrics;

/// The text format of Prometheus.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves the metrics on an address of their own, apart from everything else; the future ends with the process.
pub fn start(env: Arc<Env>, listener: TcpListener) -> std::io::Result<Server> {
    let env = web::Data::from(env);
    let rules = web::Data::new(Rules { serves_metrics: true, ..Rules::default() });
    let server = HttpServer::new(move || {
        App::new()
            .app_data(env.clone())
            .app_data(rules.clone())
            .wrap(from_fn(around))
            .route("/metrics", web::get().to(metrics_text))
            .default_service(web::to(nothing_else))
    })
    .workers(1)
    .disable_signals()
    .listen(listener)?
    .run();
    Ok(server)
}

/// Everything that is measured, in the text format of Prometheus.
pub async fn metrics_text(
    request: HttpRequest,
    env: web::Data<Env>,
    rules: web::Data<Rules>,
) -> Result<HttpResponse, Problem> {
    let through_a_proxy = was_sent_on(request.headers());
    if !rules.serves_metrics || (rules.metrics_for_this_machine_alone && through_a_proxy) {
        return nothing_else().await;
    }
    let (in_use, idle) = env.database.pool_connections();
    let text = metrics().text(in_use, idle).map_err(|error| {
        log::error!("the metrics could not be written: {error}");
        Problem::new("INTERNAL", "Something went wrong here; the log knows more under the request id.")
    })?;
    Ok(HttpResponse::Ok().content_type(TEXT_FORMAT).insert_header((header::CACHE_CONTROL, "no-store")).body(text))
}

async fn nothing_else() -> Result<HttpResponse, Problem> {
    Err(Problem::new("NOT_FOUND", "There is nothing at this address."))
}
