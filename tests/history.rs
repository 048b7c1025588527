//! What callers were told, compared with what the database holds: all or nothing, once, and in an order.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::Value;
use slipway::repository::connection::{Purpose, open};
use slipway::repository::{AnyConnection, Limits, Target};

use crate::load::{Sent, World};
use crate::support::lines;

const LIMITS: Limits = Limits { statement_timeout_ms: 30_000, lock_timeout_ms: 20_000 };

/// A place in the chain of a release.
type Place = (String, i64);

/// An audit row of a release.
struct AuditLine {
    place: Place,
    action: String,
    subject: String,
    request_id: String,
    changes: Value,
}

/// A release as it is stored.
struct ReleaseLine {
    title: String,
    status: String,
    row_version: i64,
    principals: BTreeSet<(String, String)>,
}

/// A kept answer.
struct KeyLine {
    status: u16,
    body: String,
}

/// Everything that belongs to releases, as it is stored.
pub struct Stored {
    audit: Vec<AuditLine>,
    events: BTreeSet<(Place, String)>,
    transitions: BTreeMap<Place, (String, String, String)>,
    releases: BTreeMap<String, ReleaseLine>,
    visibility: BTreeMap<String, BTreeSet<(String, String)>>,
    links: BTreeMap<String, (String, i64)>,
    keys: HashMap<(String, String), KeyLine>,
}

/// What became of what was sent.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    pub acknowledged: usize,
    pub refused: usize,
    pub open_and_done: usize,
    pub open_and_not_done: usize,
}

/// Connects, once nothing is half way in any more.
pub fn connect(target: &Target) -> AnyConnection {
    let mut connection = open(target, LIMITS, Purpose::Read).unwrap();
    // A server of its own may still be at what a killed process had asked for.
    if let AnyConnection::Postgres(_) = connection {
        let started = std::time::Instant::now();
        let busy = "SELECT pid || '' AS line FROM pg_stat_activity WHERE datname = current_database() \
                    AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND state <> 'idle'";
        while !lines(&mut connection, busy).is_empty() {
            assert!(started.elapsed().as_secs() < 30, "a transaction of a killed process does not end");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
    connection
}

/// Rows of text, cut into so many columns; the last one may hold anything.
fn rows<const COLUMNS: usize>(connection: &mut AnyConnection, sql: &str) -> Vec<[String; COLUMNS]> {
    let cut = |line: String| -> [String; COLUMNS] {
        let parts: Vec<String> = line.splitn(COLUMNS, '|').map(str::to_owned).collect();
        parts.try_into().unwrap()
    };
    lines(connection, sql).into_iter().map(cut).collect()
}

fn number(text: &str) -> i64 {
    text.parse().unwrap()
}

impl Stored {
    /// Reads it all. Nobody may be writing.
    pub fn read(target: &Target) -> Self {
        let c = &mut connect(target);
        let audit = "SELECT record_id || '|' || seq || '|' || action || '|' || subject_id || '|' || request_id || '|' \
                     || changes AS line FROM audit WHERE record_type = 'release' ORDER BY record_id, seq";
        let audit = rows(c, audit).into_iter().map(|[record, seq, action, subject, request_id, changes]| AuditLine {
            place: (record, number(&seq)),
            action,
            subject,
            request_id,
            changes: serde_json::from_str(&changes).unwrap(),
        });
        let audit = audit.collect();
        let events =
            "SELECT record_id || '|' || seq || '|' || \"type\" AS line FROM events WHERE record_type = 'release'";
        let events = rows(c, events).into_iter().map(|[record, seq, kind]| ((record, number(&seq)), kind)).collect();
        let transitions = "SELECT release_id || '|' || seq || '|' || action || '|' || from_status || '|' || to_status \
                           AS line FROM transitions";
        let transitions = rows(c, transitions).into_iter();
        let transitions =
            transitions.map(|[release, seq, action, from, to]| ((release, number(&seq)), (action, from, to))).collect();
        let releases = "SELECT id || '|' || title || '|' || status || '|' || row_version || '|' || created_by || '|' || \
                        executor_group_id || '|' || COALESCE(assignee_id, '') AS line FROM releases";
        let releases = rows(c, releases).into_iter().map(|[id, title, status, version, creator, group, assignee]| {
            let mut principals = BTreeSet::from([
                (format!("u:{creator}"), "creator".to_owned()),
                (format!("g:{group}"), "executor_group".to_owned()),
            ]);
            if !assignee.is_empty() {
                principals.insert((format!("u:{assignee}"), "assignee".to_owned()));
            }
            (id, ReleaseLine { title, status, row_version: number(&version), principals })
        });
        let releases = releases.collect();
        let mut visibility: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
        let visible = "SELECT release_id || '|' || principal || '|' || reason AS line FROM release_visibility";
        for [release, principal, reason] in rows(c, visible) {
            visibility.entry(release).or_default().insert((principal, reason));
        }
        let links = "SELECT id || '|' || release_id || '|' || row_version AS line FROM release_changes";
        let links =
            rows(c, links).into_iter().map(|[id, release, version]| (id, (release, number(&version)))).collect();
        let keys = "SELECT caller || '|' || key || '|' || status || '|' || body AS line FROM idempotency_keys";
        let keys = rows(c, keys).into_iter();
        let keys =
            keys.map(|[caller, key, status, body]| ((caller, key), KeyLine { status: status.parse().unwrap(), body }));
        let keys = keys.collect();
        Self { audit, events, transitions, releases, visibility, links, keys }
    }

    /// How often each request had an effect.
    fn effects(&self) -> HashMap<&str, Vec<&AuditLine>> {
        let mut effects: HashMap<&str, Vec<&AuditLine>> = HashMap::new();
        for line in &self.audit {
            effects.entry(&line.request_id).or_default().push(line);
        }
        effects
    }

    /// True where what was sent had its effect.
    pub fn has_effect(&self, sent: &Sent) -> bool {
        self.audit.iter().any(|line| sent.request_ids.contains(&line.request_id))
    }

    /// Compares it with what the callers were told; everything that does not agree is added to the faults.
    pub fn compare(&self, world: &World, history: &[Sent], faults: &mut Vec<String>) -> Tally {
        let mut tally = Tally::default();
        let effects = self.effects();
        let mut known: HashSet<&str> = HashSet::new();
        let mut keys_with_effect = HashSet::new();
        for sent in history {
            known.extend(sent.request_ids.iter().map(String::as_str));
            let found: Vec<&AuditLine> =
                sent.request_ids.iter().filter_map(|id| effects.get(id.as_str())).flatten().copied().collect();
            match (&sent.told, found.len()) {
                (Some(told), 1) if told.is_success() => tally.acknowledged += 1,
                (Some(told), 0) if told.is_success() => faults.push(format!("LOST: {sent:?}")),
                (Some(told), 0) if !told.is_success() => tally.refused += 1,
                (None, 0) => tally.open_and_not_done += 1,
                (None, 1) => tally.open_and_done += 1,
                (_, times) => faults.push(format!("{times} TIMES: {sent:?}")),
            }
            for line in &found {
                let body = sent.told.as_ref().filter(|told| told.is_success()).map(|told| told.body());
                let made = body.as_ref().and_then(|body| body["id"].as_str()).filter(|_| sent.release.is_none());
                let release = sent.release.as_deref().or(made);
                if line.action != sent.action || release.is_some_and(|release| release != line.place.0) {
                    faults.push(format!("something else happened: {:?} {} for {sent:?}", line.place, line.action));
                }
            }
            if let Some(key) = &sent.key {
                let named = (world.users[sent.user].id.clone(), key.clone());
                match (self.keys.get(&named), found.is_empty()) {
                    (None, true) => {}
                    (None, false) => faults.push(format!("the key is not kept: {sent:?}")),
                    (Some(_), true) => faults.push(format!("a key without its effect: {sent:?}")),
                    (Some(kept), false) => {
                        let told = sent.told.as_ref().filter(|told| told.is_success());
                        if told.is_some_and(|told| (told.status, &told.text) != (kept.status, &kept.body)) {
                            faults.push(format!("another answer is kept: {sent:?}"));
                        }
                        if kept.status == 0 || kept.body.is_empty() {
                            faults.push(format!("a key without an answer: {sent:?}"));
                        }
                    }
                }
                keys_with_effect.insert(named);
            }
        }
        for key in self.keys.keys().filter(|key| !keys_with_effect.contains(*key)) {
            faults.push(format!("a key that nobody sent: {key:?}"));
        }
        for line in self.audit.iter().filter(|line| line.request_id.starts_with("load-")) {
            if !known.contains(line.request_id.as_str()) {
                faults.push(format!("an effect that nobody sent: {:?} {}", line.place, line.action));
            }
        }
        self.agree(faults);
        tally
    }

    /// What holds of the tables among each other.
    fn agree(&self, faults: &mut Vec<String>) {
        let audited: BTreeSet<(Place, String)> =
            self.audit.iter().map(|line| (line.place.clone(), line.action.clone())).collect();
        for (place, action) in audited.symmetric_difference(&self.events) {
            faults.push(format!("{place:?} {action}: audit and events do not agree"));
        }
        let is_transition =
            |action: &str| self.is_of_release(action) && !action.ends_with("e.create") && !action.ends_with("e.update");
        let moved: BTreeSet<(Place, String)> =
            audited.iter().filter(|(_, action)| is_transition(action)).cloned().collect();
        let transitions = self.transitions.iter();
        let applied = transitions.map(|(place, (action, ..))| (place.clone(), format!("release.{action}"))).collect();
        for (place, action) in moved.symmetric_difference(&applied) {
            faults.push(format!("{place:?} {action}: audit and transitions do not agree"));
        }
        let mut folded: BTreeMap<&str, Folded> = BTreeMap::new();
        for line in &self.audit {
            let release = folded.entry(&line.place.0).or_default();
            release.take(line, self.transitions.get(&line.place), self.is_of_release(&line.action), faults);
        }
        for (id, release) in &self.releases {
            let Some(history) = folded.remove(id.as_str()) else {
                faults.push(format!("{id}: a release without history"));
                continue;
            };
            let status = history.status.unwrap_or("open");
            if (history.title.as_deref(), history.versions, status)
                != (Some(release.title.as_str()), release.row_version, release.status.as_str())
            {
                faults.push(format!("{id}: history does not lead to the release as it is"));
            }
            let links: BTreeMap<&str, i64> = self
                .links
                .iter()
                .filter(|(_, (of, _))| of == id)
                .map(|(link, (_, version))| (link.as_str(), *version))
                .collect();
            if links != history.links {
                faults.push(format!("{id}: {links:?} are linked, history says {:?}", history.links));
            }
            if self.visibility.get(id) != Some(&release.principals) {
                faults.push(format!("{id}: visible to {:?}", self.visibility.get(id)));
            }
        }
        faults.extend(folded.keys().map(|id| format!("{id}: a history without its release")));
        let unknown = self.visibility.keys().filter(|id| !self.releases.contains_key(*id));
        faults.extend(unknown.map(|id| format!("{id}: visible, but not there")));
    }

    /// True for what changes the release itself, and not something that belongs to it.
    fn is_of_release(&self, action: &str) -> bool {
        !action.ends_with("_change") && !action.ends_with("_change_link")
    }
}

/// What the history of a release leads to.
#[derive(Default)]
struct Folded<'s> {
    length: i64,
    versions: i64,
    title: Option<String>,
    status: Option<&'s str>,
    links: BTreeMap<&'s str, i64>,
}

impl<'s> Folded<'s> {
    fn take(
        &mut self,
        line: &'s AuditLine,
        transition: Option<&'s (String, String, String)>,
        of_release: bool,
        faults: &mut Vec<String>,
    ) {
        let place = &line.place;
        self.length += 1;
        if place.1 != self.length {
            faults.push(format!("{place:?} comes after {} rows", self.length - 1));
        }
        self.versions += i64::from(of_release);
        let changes = line.changes.as_array().unwrap();
        if let Some(title) = changes.iter().find(|change| change["field"] == "/title") {
            // What each writer saw is what the one before left: no update is lost.
            if title["before"].as_str() != self.title.as_deref() {
                faults.push(format!("{place:?} changed the title {}, and it was {:?}", title["before"], self.title));
            }
            self.title = title["after"].as_str().map(str::to_owned);
        }
        if let Some((_, from, to)) = transition {
            if self.status.unwrap_or("open") != from {
                faults.push(format!("{place:?} started from {from}, and it was {:?}", self.status));
            }
            self.status = Some(to);
        }
        match line.action.as_str() {
            "release.link_change" => {
                self.links.insert(&line.subject, 1);
            }
            "release.update_change_link" => {
                self.links.entry(&line.subject).and_modify(|version| *version += 1);
            }
            "release.unlink_change" => {
                self.links.remove(line.subject.as_str());
            }
            _ => {}
        }
    }
}
