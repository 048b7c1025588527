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
pub mod configuration_items;
pub mod definitive_media;
pub mod directory;
pub mod documents;
pub mod hardware_spares;
pub mod impact;
pub mod imports;
pub mod item_links;
pub mod lifecycle;
pub mod medium_links;
pub mod records;
pub mod references;
pub mod relationships;
pub mod release_view;
pub mod releases;
pub mod roles;
pub mod shares;
pub mod tokens;
pub mod transitions;
pub mod workflows;
pub mod write_backs;

use actix_web::dev::HttpServiceFactory;
use utoipa::Path;
use utoipa_actix_web::OpenApiFactory;
use utoipa_actix_web::service_config::ServiceConfig;

/// What operations are registered at: the groups of a worker, which serves them, or the document, which tells of them.
/// A worker has no use for the document, which takes longer to make than all else of its start.
pub trait Operations {
    /// Registers an operation.
    fn service<F: HttpServiceFactory + OpenApiFactory + Path + 'static>(&mut self, operation: F) -> &mut Self;
}

impl Operations for ServiceConfig<'_> {
    fn service<F: HttpServiceFactory + OpenApiFactory + Path + 'static>(&mut self, operation: F) -> &mut Self {
        Self::service(self, operation)
    }
}

/// Every operation, under [`super::BASE`].
pub fn configure(config: &mut impl Operations) {
    auth::configure(config);
    tokens::configure(config);
    directory::configure(config);
    catalogue::configure(config);
    lifecycle::configure(config);
    workflows::configure(config);
    changes::configure(config);
    configuration_items::configure(config);
    impact::configure(config);
    definitive_media::configure(config);
    hardware_spares::configure(config);
    medium_links::configure(config);
    item_links::configure(config);
    write_backs::configure(config);
    relationships::configure(config);
    imports::configure(config);
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
