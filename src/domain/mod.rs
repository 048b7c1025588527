//! Pure rules: no I/O, no async, no SQL, no HTTP, no clock. Instants and identifiers come in as values.

pub mod activity;
pub mod activity_template;
pub mod approval;
pub mod checklist;
pub mod custom_fields;
pub mod cycle;
pub mod documents;
pub mod facts;
pub mod fault;
pub mod gates;
pub mod ids;
pub mod input;
pub mod instant;
pub mod lifecycle;
pub mod policy;
pub mod rank;
pub mod relative;
pub mod release;
pub mod standing;
pub mod transition;
pub mod values;
pub mod workflow;
pub mod workflow_draft;
pub mod worktime;
pub mod zone;
