//! One binary of tests that speak HTTP to the whole service, each on a database of its own.
//!
//! SQLite by default; PostgreSQL when `SLIPWAY_TEST_DATABASE_URL` names a server on which databases may be made.

mod authorisation;
mod backup;
mod binary;
mod catalogue;
mod changes;
mod checkpoints;
mod cli;
mod contract;
mod directory;
mod doctor;
mod forged_tokens;
mod house;
mod identity;
mod invalid_releases;
mod journey;
mod keeping;
mod kill;
mod lifecycle;
mod oddities;
mod published;
mod races;
mod reference;
mod refusals;
mod release_list;
mod releases;
mod safe_heads;
mod seed;
mod support;
mod tour;
mod transitions;
mod watching;
mod writer;
