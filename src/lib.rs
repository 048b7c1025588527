#![forbid(unsafe_code)]
#![warn(missing_docs)]
//! Slipway, an ITIL release-management service. This page is the map of the house.
//!
//! # One request
//!
//! ```text
//! handler (api/v1)      reads path, query, headers and body; what is wrong waits until the caller is known
//!   → Env::write        one transaction: authenticate; a key that was answered is answered again
//!     → use case        (service) load, authorise, decide, record, store
//!         policy        (domain) who may do what
//!         lifecycle     (domain) the one transition table, the one decision
//!         record        audit row + event row into the journal; gives a stamp
//!         repository    stores nothing without a stamp
//!     → the answer into the journal, the journal into the database, commit
//!   → answer            status, ETag, Location …; or a problem document (error.rs)
//! ```
//!
//! An upload asks in a transaction of its own whether the caller may, before its body is read; the file goes to the
//! [`store`] as it comes, and only then does `Env::write` do all of the above ([`service::documents`]).
//!
//! # The map
//!
//! | Module | What it is |
//! |---|---|
//! | [`domain`] | pure rules: no I/O, no async, no SQL, no HTTP, no clock |
//! | [`service`] | use cases, one transaction each |
//! | [`repository`] | Diesel, and nothing but Diesel; the grouped writer of SQLite; the watch over PostgreSQL |
//! | [`store`] | where the content of documents and of definitive media lies; `object_store`, and nothing else |
//! | [`api`] | HTTP, and nothing but HTTP; the contract; how a path finds its operation ([`api::groups`]) |
//! | [`error`] | every error → status, code, problem document |
//! | [`config`] | defaults < file < environment |
//! | [`server`] | what happens around every request: its name, address, limit, headers, log line; probes; deadlines of connections; the end of a process |
//! | [`telemetry`] | log lines, metrics, traces |
//! | [`mutants`] | faults on purpose, to try the tests; in no build that is delivered |
//!
//! The same noun has the same file name in `api/v1`, `service`, `repository` and `tests`. Nouns that are plain
//! reference data share one path instead: [`repository::nouns`], [`service::catalogue`], [`service::rules`],
//! [`api::reference`].
//!
//! What a service does by itself - retention, checkpoints of the audit, the collection of what is left over of documents -
//! begins in [`service::keeping`], and the imports of the CMDB in [`service::importing`], each under a lease
//! ([`service::leases`]), so that one of several processes does it.
//!
//! # What holds by construction
//!
//! * A status changes only by a [`Transition`](domain::lifecycle::Transition), which only
//!   [`decide`](domain::lifecycle::decide) makes.
//! * A record is stored only with a [`Stamp`](repository::audit::Stamp), which only appending an audit row to the
//!   [`Journal`](repository::journal::Journal) gives; appending needs a [`Permit`](domain::policy::Permit), which only
//!   a policy gives. The journal is written at the end of every use case that succeeds.
//! * A use case runs only with an [`Actor`](domain::policy::Actor): loaded on the connection that it runs on, or
//!   remembered and proved there to be what loading would give ([`service::reference`]).
//! * Every query that answers with releases carries a [`Visibility`](domain::policy::Visibility).
//!
//! # What is absent on purpose
//!
//! No home-made replication, queue or consensus: the state is the database, nothing else. No ORM models outside
//! the repository. No global state but caches of what never changes or is asked after before it is used, the few
//! places for hashing passwords, and the metrics. No second way to change a status.

pub mod api;
pub mod config;
pub mod domain;
pub mod error;
pub mod mutants;
pub mod repository;
pub mod server;
pub mod service;
pub mod store;
pub mod telemetry;
