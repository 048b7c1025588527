//! The first version: one file per resource, with request and response types, handlers and their document.

pub mod audit;
pub mod auth;
pub mod catalogue;
pub mod changes;
pub mod directory;
pub mod documents;
pub mod lifecycle;
pub mod releases;
pub mod tokens;
pub mod transitions;

use utoipa_actix_web::service_config::ServiceConfig;

/// Every operation, under [`super::BASE`].
pub fn configure(config: &mut ServiceConfig<'_>) {
    auth::configure(config);
    tokens::configure(config);
    directory::configure(config);
    catalogue::configure(config);
    lifecycle::configure(config);
    changes::configure(config);
    transitions::configure(config);
    releases::configure(config);
    documents::configure(config);
    audit::configure(config);
}
