//! The first version: one file per resource, with request and response types, handlers and their document.

pub mod activities;
pub mod activity_notes;
pub mod approvals;
pub mod audit;
pub mod auth;
pub mod catalogue;
pub mod changes;
pub mod checklists;
pub mod comments;
pub mod directory;
pub mod documents;
pub mod lifecycle;
pub mod records;
pub mod references;
pub mod release_view;
pub mod releases;
pub mod roles;
pub mod shares;
pub mod tokens;
pub mod transitions;
pub mod workflows;

use utoipa_actix_web::service_config::ServiceConfig;

/// Every operation, under [`super::BASE`].
pub fn configure(config: &mut ServiceConfig<'_>) {
    auth::configure(config);
    tokens::configure(config);
    directory::configure(config);
    catalogue::configure(config);
    lifecycle::configure(config);
    workflows::configure(config);
    changes::configure(config);
    activities::configure(config);
    activity_notes::configure(config);
    transitions::configure(config);
    approvals::configure(config);
    checklists::configure(config);
    releases::configure(config);
    roles::configure(config);
    records::configure(config);
    shares::configure(config);
    references::configure(config);
    comments::configure(config);
    documents::configure(config);
    audit::configure(config);
}
