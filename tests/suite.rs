//! One binary of tests that speak HTTP to the whole service, each on a database of its own.
//!
//! SQLite by default; PostgreSQL when `SLIPWAY_TEST_DATABASE_URL` names a server on which databases may be made.

mod authorisation;
mod binary;
mod cli;
mod contract;
mod doctor;
mod identity;
mod journey;
mod kill;
mod oddities;
mod refusals;
mod releases;
mod seed;
mod support;
mod tour;
