//! Whether the process is there, and whether it is ready for requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use serde_json::json;

use crate::domain::values::Fault;
use crate::error::Problem;
use crate::service::readiness::{Readiness, Standing};

/// A balancer may ask again after so long.
const RETRY_AFTER_SECONDS: u64 = 1;

/// Whether the process is on its way out. Clones are one and the same.
#[derive(Debug, Clone, Default)]
pub struct Drain(Arc<AtomicBool>);

impl Drain {
    /// From now on `/readyz` is red, so that balancers send nothing new; what comes is still served.
    pub fn start_draining(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// True once draining has started.
    pub fn draining(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The process runs, whatever else does not: nothing is asked, nobody is kept out.
pub async fn live() -> HttpResponse {
    answer(json!({"status": "alive"}))
}

/// Whether requests should be sent here: the database answers, its migrations are applied, the process is not on
/// its way out. A refusal names every check that failed.
pub async fn ready(drain: web::Data<Drain>, readiness: web::Data<Readiness>) -> Result<HttpResponse, Problem> {
    let failed = failed_checks(readiness.standing().await, drain.draining());
    if failed.is_empty() {
        return Ok(answer(json!({"status": "ready", "checks": {"database": "ok", "migrations": "ok", "drain": "ok"}})));
    }
    let mut problem = Problem::new("NOT_READY", "Send requests elsewhere for now.").with(&failed);
    problem.retry_after_seconds = Some(RETRY_AFTER_SECONDS);
    Err(problem)
}

fn failed_checks(standing: Standing, draining: bool) -> Vec<Fault> {
    let failed = |check: &str, code, detail: &str| Fault::at(format!("/checks/{check}"), code, detail);
    let mut all = match standing {
        Standing::Ready => Vec::new(),
        Standing::Pending => vec![failed("migrations", "MIGRATIONS_PENDING", "Migrations are pending.")],
        Standing::Away => vec![failed("database", "DATABASE_AWAY", "The database does not answer.")],
    };
    if draining {
        all.push(failed("drain", "DRAINING", "The process is on its way out."));
    }
    all
}

fn answer(body: serde_json::Value) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(body.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_that_failed_is_named() {
        let drain = Drain::default();
        let codes = |standing| -> Vec<&str> {
            failed_checks(standing, drain.draining()).iter().map(|fault| fault.code).collect()
        };
        assert_eq!(codes(Standing::Ready), [""; 0]);
        assert_eq!(codes(Standing::Pending), ["MIGRATIONS_PENDING"]);
        drain.clone().start_draining();
        assert_eq!(codes(Standing::Ready), ["DRAINING"]);
        assert_eq!(codes(Standing::Away), ["DATABASE_AWAY", "DRAINING"]);
    }
}
