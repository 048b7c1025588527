//! One binary of tests that speak HTTP to the whole service, each on a database of its own.
//!
//! SQLite by default; PostgreSQL when `SLIPWAY_TEST_DATABASE_URL` names a server on which databases may be made.

mod support;

mod house;
mod journey;
mod lifecycle;
mod races;
mod transitions;
mod writer;
