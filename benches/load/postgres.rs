//! PostgreSQL, as far as the harness needs it: databases made and dropped, and what their backends cost.

use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{Integer, Text};

use crate::process::processor_time;

/// A server on which databases may be made.
pub struct Server {
    url: String,
    connection: PgConnection,
}

#[derive(QueryableByName)]
struct Backend {
    #[diesel(sql_type = Integer)]
    pid: i32,
}

#[derive(QueryableByName)]
struct Named {
    #[diesel(sql_type = Text)]
    name: String,
}

fn failed(error: diesel::result::Error) -> String {
    format!("PostgreSQL: {error}")
}

impl Server {
    pub fn connect(url: &str) -> Result<Self, String> {
        let connection = PgConnection::establish(url).map_err(|error| format!("PostgreSQL: {error}"))?;
        Ok(Self { url: url.to_owned(), connection })
    }

    /// The address of a database of this server.
    pub fn url_of(&self, database: &str) -> String {
        let (base, query) = match self.url.split_once('?') {
            Some((base, query)) => (base, format!("?{query}")),
            None => (self.url.as_str(), String::new()),
        };
        let (server, _) = base.rsplit_once('/').unwrap_or((base, ""));
        format!("{server}/{database}{query}")
    }

    pub fn exists(&mut self, database: &str) -> Result<bool, String> {
        let found: Vec<Named> = diesel::sql_query("SELECT datname::text AS name FROM pg_database WHERE datname = $1")
            .bind::<Text, _>(database)
            .load(&mut self.connection)
            .map_err(failed)?;
        Ok(found.iter().any(|row| row.name == database))
    }

    /// Makes a database anew, out of another one where that is named.
    pub fn create(&mut self, database: &str, template: Option<&str>) -> Result<(), String> {
        self.drop(database)?;
        let template = template.map(|name| format!(" TEMPLATE \"{name}\"")).unwrap_or_default();
        self.connection.batch_execute(&format!("CREATE DATABASE \"{database}\"{template}")).map_err(failed)
    }

    pub fn drop(&mut self, database: &str) -> Result<(), String> {
        let sql = format!("DROP DATABASE IF EXISTS \"{database}\" WITH (FORCE)");
        self.connection.batch_execute(&sql).map_err(failed)
    }

    /// Processor time of the backends that serve a database. They live on this machine, or the answer is zero.
    pub fn processor_time(&mut self, database: &str) -> Duration {
        let backends: Vec<Backend> = diesel::sql_query("SELECT pid FROM pg_stat_activity WHERE datname = $1")
            .bind::<Text, _>(database)
            .load(&mut self.connection)
            .unwrap_or_default();
        backends.iter().filter_map(|backend| u32::try_from(backend.pid).ok()).map(processor_time).sum()
    }
}

/// Does what autovacuum does by the time that a database is used: it leaves empty tables alone.
pub fn vacuum(url: &str) -> Result<(), String> {
    let mut connection = PgConnection::establish(url).map_err(|error| format!("PostgreSQL: {error}"))?;
    let filled: Vec<Named> = diesel::sql_query(
        "SELECT quote_ident(relname) AS name FROM pg_class WHERE relkind = 'r' \
         AND relnamespace = 'public'::regnamespace AND pg_relation_size(oid) > 0",
    )
    .load(&mut connection)
    .map_err(failed)?;
    for Named { name } in filled {
        connection.batch_execute(&format!("VACUUM ANALYZE {name}")).map_err(failed)?;
    }
    Ok(())
}
