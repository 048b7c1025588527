//! One binary of tests that speak HTTP to the whole service, each on a database of its own.
//!
//! SQLite by default; PostgreSQL when `SLIPWAY_TEST_DATABASE_URL` names a server on which databases may be made.

mod authorisation;
mod bending;
mod binary;
mod catalogue;
mod changes;
mod cli;
mod contract;
mod database_away;
mod directory;
mod disk_full;
mod doctor;
mod draining;
mod forged_tokens;
mod house;
mod identity;
mod invalid_releases;
mod journey;
mod kill;
mod lifecycle;
mod oddities;
mod proxy;
mod published;
mod races;
mod raw;
mod refusals;
mod release_list;
mod releases;
mod seed;
mod support;
mod tour;
mod transitions;
mod two_processes;
mod writer;
