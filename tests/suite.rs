//! One binary of tests that speak HTTP to the whole service, each on a database of its own.
//!
//! SQLite by default; PostgreSQL when `SLIPWAY_TEST_DATABASE_URL` names a server on which databases may be made.

mod authorisation;
mod binary;
mod catalogue;
mod changes;
mod cli;
mod cluster;
mod contract;
mod directory;
mod doctor;
mod durability;
mod forged_tokens;
mod history;
mod house;
mod identity;
mod invalid_releases;
mod journey;
mod kill;
mod lifecycle;
mod load;
mod oddities;
mod published;
mod races;
mod refusals;
mod release_list;
mod releases;
mod seed;
mod support;
mod tour;
mod transitions;
mod withdrawals;
mod writer;
