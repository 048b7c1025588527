//! The kinds of work that are measured, and how each answer is checked.

use std::cell::RefCell;

use crate::client::{Answer, Connection, Request};
use crate::cmdb::{IMPACTS, ITEMS_EACH};
use crate::installation::{Editable, Fixture, Known, Role};

/// A list: 50 rows by a filter or a sort.
#[derive(Debug)]
pub struct List {
    pub name: &'static str,
    /// The query; what stands in braces is filled in from the installation.
    pub query: &'static str,
    pub role: Role,
}

const fn list(name: &'static str, query: &'static str) -> List {
    List { name, query, role: Role::Member }
}

/// Lists of 50. A member of a group sees the releases of the group and their own; a manager sees all.
pub const LISTS: &[List] = &[
    list("newest", ""),
    list("open", "status=open"),
    list("closed-last", "status=closed&sort=-closed_at"),
    list("group", "group={group}&status=open,reopened,suspended"),
    list("assignee", "assignee={user}&sort=-updated_at"),
    list("overdue", "overdue=true&sort=deadline"),
    list("priority", "priority=1,2&status=open&sort=priority"),
    list("stage", "stage=planning,authorization&status=open,reopened"),
    list("tag", "tag={tag}"),
    list("title-prefix", "q={prefix}"),
    list("next-deployments", "deployment_start_from={now}&sort=deployment_start"),
    List { name: "all-by-title", query: "sort=title", role: Role::Manager },
    List { name: "waiting-for-my-approval", query: "waiting_for_my_approval=true", role: Role::Manager },
];

/// Rows of every measured list.
pub const LIST_ROWS: usize = 50;
/// Cards of the measured board: as many as a release may have.
pub const BOARD_CARDS: usize = 1_000;
/// Everything that belongs to a release, as the release view is asked for it.
pub const INCLUDE: &str =
    "include=activities,changes,roles,checklists,approvals,records,documents,references,shares,comments";
/// How many relationships far impact is looked for.
const IMPACT_DEPTH: u32 = 3;
/// Activities that are created with a release.
const CREATED_ACTIVITIES: usize = 20;
/// An answer may differ by so many bytes from the one that was read before: minutes pass.
const LENGTH_TOLERANCE_BYTES: usize = 64;
/// A new release is never shorter than this.
const RELEASE_BYTES_MIN: usize = 1_000;

/// A kind of work.
#[derive(Debug, Clone, Copy)]
pub enum Work {
    BareRead,
    BareList,
    BareWrite,
    Read,
    NotModified,
    Board,
    View,
    Approvals,
    List(&'static List),
    Create,
    CreateWithoutKey,
    CreatePlanned,
    Update,
    SuspendAndReactivate,
    Impact,
    Close,
}

impl Work {
    /// What needs a CMDB.
    pub const WITH_CMDB: [Self; 2] = [Self::Impact, Self::Close];
    /// Everything but the lists.
    pub const SINGLE: [Self; 13] = [
        Self::BareRead,
        Self::BareList,
        Self::BareWrite,
        Self::Read,
        Self::NotModified,
        Self::Board,
        Self::View,
        Self::Approvals,
        Self::Create,
        Self::CreateWithoutKey,
        Self::CreatePlanned,
        Self::Update,
        Self::SuspendAndReactivate,
    ];

    /// By which it is chosen on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BareRead | Self::BareList | Self::BareWrite => "bare",
            Self::Read => "read",
            Self::NotModified => "not-modified",
            Self::Board => "board",
            Self::View => "view",
            Self::Approvals => "approvals",
            Self::List(list) => list.name,
            Self::Create | Self::CreateWithoutKey => "create",
            Self::CreatePlanned => "create-planned",
            Self::Update => "update",
            Self::SuspendAndReactivate => "suspend",
            Self::Impact => "impact",
            Self::Close => "close",
        }
    }

    /// As it is printed.
    pub fn label(self) -> String {
        match self {
            Self::BareRead => "bare handler: read".into(),
            Self::BareList => "bare handler: list".into(),
            Self::BareWrite => "bare handler: write".into(),
            Self::NotModified => "read, If-None-Match".into(),
            Self::Board => format!("board of {BOARD_CARDS} activities"),
            Self::View => "release view, everything included".into(),
            Self::List(list) => format!("list: {}", list.name),
            Self::CreateWithoutKey => "create without key".into(),
            Self::CreatePlanned => format!("create with {CREATED_ACTIVITIES} activities"),
            Self::SuspendAndReactivate => "suspend + reactivate".into(),
            Self::Impact => format!("impact of {ITEMS_EACH} items, depth {IMPACT_DEPTH}"),
            Self::Close => format!("close over {ITEMS_EACH} items"),
            other => other.name().into(),
        }
    }

    /// The work of the bare handler that answers the same bytes.
    pub const fn bare(self) -> Option<Self> {
        match self {
            Self::BareRead | Self::BareList | Self::BareWrite => None,
            Self::Read | Self::NotModified | Self::Approvals => Some(Self::BareRead),
            Self::List(_) | Self::Board | Self::View | Self::Impact => Some(Self::BareList),
            Self::Create
            | Self::CreateWithoutKey
            | Self::CreatePlanned
            | Self::Update
            | Self::SuspendAndReactivate
            | Self::Close => Some(Self::BareWrite),
        }
    }

    pub const fn writes(self) -> bool {
        matches!(self.bare(), Some(Self::BareWrite))
    }

    pub const fn is_bare(self) -> bool {
        self.bare().is_none()
    }
}

/// One of several callers.
pub struct Caller<'f> {
    pub fixture: &'f Fixture,
    pub index: usize,
    pub callers: usize,
    random: u64,
    turn: usize,
}

impl<'f> Caller<'f> {
    pub const fn new(fixture: &'f Fixture, index: usize, callers: usize) -> Self {
        Self { fixture, index, callers, random: 0x9E37_79B9_7F4A_7C15 ^ (index as u64 + 1), turn: 0 }
    }

    fn random(&mut self, below: usize) -> usize {
        // xorshift: good enough to pick a row, and nothing beside a request.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random % below.max(1) as u64).unwrap_or(0)
    }

    /// A release that no other caller touches; every so many turns another one.
    fn editable(&self, turns: usize) -> Result<&'f RefCell<Editable>, String> {
        let mine = self.fixture.editables.len() / self.callers;
        if mine == 0 {
            return Err(format!("{} releases to change are too few", self.fixture.editables.len()));
        }
        Ok(&self.fixture.editables[self.index + self.callers * ((self.turn - 1) / turns % mine)])
    }

    /// Sends one request and checks its answer.
    pub async fn act(&mut self, work: Work, connection: &mut Connection) -> Result<(), String> {
        self.turn += 1;
        match work {
            Work::BareRead | Work::BareList | Work::BareWrite => self.bare(work, connection).await,
            Work::Read => self.read(connection, false).await,
            Work::NotModified => self.read(connection, true).await,
            Work::Board => self.board(connection).await,
            Work::View => self.known(&self.fixture.view, &format!("?{INCLUDE}"), connection).await,
            Work::Approvals => self.known(&self.fixture.approvals, "/approvals", connection).await,
            Work::List(list) => self.list(list, connection).await,
            Work::Create => self.create(connection, true, 0).await,
            Work::CreateWithoutKey => self.create(connection, false, 0).await,
            Work::CreatePlanned => self.create(connection, true, CREATED_ACTIVITIES).await,
            Work::Update => self.update(connection).await,
            Work::SuspendAndReactivate => self.suspend_or_reactivate(connection).await,
            Work::Impact => self.impact(connection).await,
            Work::Close => self.close(connection).await,
        }
    }

    /// Leaves nothing behind that the next kind of work would stumble over.
    pub async fn finish(&mut self, work: Work, connection: &mut Connection) -> Result<(), String> {
        if matches!(work, Work::SuspendAndReactivate) && self.editable(2)?.borrow().suspended {
            return self.suspend_or_reactivate(connection).await;
        }
        Ok(())
    }

    async fn bare(&self, work: Work, connection: &mut Connection) -> Result<(), String> {
        let fixture = self.fixture;
        let (method, path, status, length) = match work {
            Work::BareList => ("GET", "/list", 200, fixture.list_bytes.len()),
            Work::BareWrite => ("POST", "/write", 201, fixture.read_bytes.len()),
            _ => ("GET", "/read", 200, fixture.read_bytes.len()),
        };
        let body = if method == "POST" { fixture.new_release(self.index, self.turn) } else { String::new() };
        let token = fixture.token(Role::Member);
        let request = Request { method, path, token: &token, headers: "", body: &body }.bytes();
        let answer = connection.send(&request).await?;
        expect(&answer, status, answer.body.len() == length)
    }

    async fn read(&mut self, connection: &mut Connection, not_modified: bool) -> Result<(), String> {
        let known = &self.fixture.known[self.random(self.fixture.known.len())];
        let path = format!("/api/v1/releases/{}", known.id);
        let headers = if not_modified { format!("if-none-match: {}\r\n", known.tag) } else { String::new() };
        let token = self.fixture.token(Role::Member);
        let request = Request { method: "GET", path: &path, token: &token, headers: &headers, body: "" }.bytes();
        let answer = connection.send(&request).await?;
        if not_modified {
            return expect(&answer, 304, answer.body.is_empty());
        }
        let is_it = starts_with_id(answer.body, &known.id);
        expect(&answer, 200, is_it && answer.body.len().abs_diff(known.length) <= LENGTH_TOLERANCE_BYTES)
    }

    async fn list(&self, list: &List, connection: &mut Connection) -> Result<(), String> {
        let path = self.fixture.list_path(list);
        let token = self.fixture.token(list.role);
        let request = Request { method: "GET", path: &path, token: &token, headers: "", body: "" }.bytes();
        let answer = connection.send(&request).await?;
        let rows = memchr::memmem::find_iter(answer.body, b"\"row_version\":").count();
        if rows != LIST_ROWS {
            return Err(format!("{rows} rows instead of {LIST_ROWS}; {}", answer.told()));
        }
        expect(&answer, 200, answer.body.len() >= LIST_ROWS * RELEASE_BYTES_MIN)
    }

    async fn board(&self, connection: &mut Connection) -> Result<(), String> {
        let path = format!("/api/v1/releases/{}/boards/planning", self.fixture.board);
        let token = self.fixture.token(Role::Member);
        let request = Request { method: "GET", path: &path, token: &token, headers: "", body: "" }.bytes();
        let answer = connection.send(&request).await?;
        let cards = memchr::memmem::find_iter(answer.body, b"\"waiting_for\":").count();
        expect(&answer, 200, cards == BOARD_CARDS)
    }

    /// What belongs to a release, the answer being known.
    async fn known(&self, known: &Known, rest: &str, connection: &mut Connection) -> Result<(), String> {
        let path = format!("/api/v1/releases/{}{rest}", known.id);
        let token = self.fixture.token(Role::Member);
        let request = Request { method: "GET", path: &path, token: &token, headers: "", body: "" }.bytes();
        let answer = connection.send(&request).await?;
        let is_it = memchr::memmem::find(answer.body, known.id.as_bytes()).is_some();
        expect(&answer, 200, is_it && answer.body.len().abs_diff(known.length) <= LENGTH_TOLERANCE_BYTES)
    }

    async fn impact(&mut self, connection: &mut Connection) -> Result<(), String> {
        let release = &self.fixture.over_items.borrow()[self.random(IMPACTS)].clone();
        let path = format!("/api/v1/releases/{release}/impact?depth={IMPACT_DEPTH}");
        let token = self.fixture.token(Role::Manager);
        let request = Request { method: "GET", path: &path, token: &token, headers: "", body: "" }.bytes();
        let answer = connection.send(&request).await?;
        let paths = memchr::memmem::find_iter(answer.body, b"\"path\":").count();
        expect(&answer, 200, paths >= ITEMS_EACH)
    }

    fn next_to_close(&self) -> Option<String> {
        let mut releases = self.fixture.over_items.borrow_mut();
        if releases.len() > IMPACTS { releases.pop() } else { None }
    }

    async fn close(&self, connection: &mut Connection) -> Result<(), String> {
        let release =
            self.next_to_close().ok_or("no release is left to close: fewer rounds or callers, or shorter ones")?;
        let path = format!("/api/v1/releases/{release}/transitions");
        let (token, body) = (self.fixture.token(Role::Manager), &self.fixture.closing);
        let request = Request { method: "POST", path: &path, token: &token, headers: &self.key("x"), body }.bytes();
        let answer = connection.send(&request).await?;
        let applied = format!("\"write_back\":{{\"applied\":{{\"count\":{ITEMS_EACH},");
        expect(&answer, 201, memchr::memmem::find(answer.body, applied.as_bytes()).is_some())
    }

    fn key(&self, what: &str) -> String {
        format!("idempotency-key: {}-{what}-{}-{}\r\n", self.fixture.run.get(), self.index, self.turn)
    }

    async fn create(&self, connection: &mut Connection, with_key: bool, activities: usize) -> Result<(), String> {
        let body = match (self.fixture.new_release(self.index, self.turn), activities) {
            (body, 0) => body,
            (body, count) => planned(&body, count),
        };
        let headers = if with_key { self.key("c") } else { String::new() };
        let token = self.fixture.token(Role::Member);
        let request =
            Request { method: "POST", path: "/api/v1/releases", token: &token, headers: &headers, body: &body }.bytes();
        let answer = connection.send(&request).await?;
        let title = self.fixture.title(self.index, self.turn);
        let is_it = memchr::memmem::find(answer.body, title.as_bytes()).is_some();
        let fresh = answer.header("idempotent-replayed").is_none();
        expect(&answer, 201, is_it && fresh && answer.body.len() >= RELEASE_BYTES_MIN)
    }

    async fn update(&self, connection: &mut Connection) -> Result<(), String> {
        let cell = self.editable(1)?;
        let editable = cell.borrow().clone();
        let text = format!("Measured, {}-{}-{}.", self.fixture.run.get(), self.index, self.turn);
        let body = format!("{{\"description\":\"{text}\"}}");
        let path = format!("/api/v1/releases/{}", editable.id);
        let headers = format!("if-match: {}\r\n", editable.tag);
        let token = self.fixture.token(Role::Member);
        let request = Request { method: "PATCH", path: &path, token: &token, headers: &headers, body: &body }.bytes();
        let answer = connection.send(&request).await?;
        expect(&answer, 200, memchr::memmem::find(answer.body, text.as_bytes()).is_some())?;
        cell.borrow_mut().tag = answer.header("etag").unwrap_or_default().to_owned();
        Ok(())
    }

    async fn suspend_or_reactivate(&self, connection: &mut Connection) -> Result<(), String> {
        let cell = self.editable(2)?;
        let editable = cell.borrow().clone();
        let path = format!("/api/v1/releases/{}/transitions", editable.id);
        let (body, to) = if editable.suspended {
            ("{\"action\":\"reactivate\"}".to_owned(), "open")
        } else {
            let reason = &self.fixture.justification;
            let body = format!(
                "{{\"action\":\"suspend\",\"justification_id\":\"{reason}\",\"note\":\"Waiting for the vendor.\"}}"
            );
            (body, "suspended")
        };
        let headers = self.key(if editable.suspended { "r" } else { "s" });
        let token = self.fixture.token(Role::Member);
        let request = Request { method: "POST", path: &path, token: &token, headers: &headers, body: &body }.bytes();
        let answer = connection.send(&request).await?;
        let moved = format!("\"to_status\":\"{to}\"");
        expect(&answer, 201, memchr::memmem::find(answer.body, moved.as_bytes()).is_some())?;
        // The release after the transition stands behind it, with the version that the next update names.
        let release = memchr::memmem::find(answer.body, b"\"release\":{").map(|at| &answer.body[at..]);
        let version = release.and_then(|release| number_behind(release, b"\"row_version\":"));
        let mut stored = cell.borrow_mut();
        stored.suspended = !editable.suspended;
        stored.tag = version.map(|version| format!("\"{version}\"")).ok_or("a transition without its release")?;
        Ok(())
    }
}

/// A new release with so many activities, each of which depends on the one before it.
fn planned(body: &str, count: usize) -> String {
    let activity = |nth: usize| {
        let before = nth.checked_sub(1).map_or(String::new(), |before| format!("\"{before}\""));
        format!(
            "{{\"ref\":\"{nth}\",\"phase\":\"deployment\",\"title\":\"Step {nth} of the runbook\",\"estimated_minutes\":30,\
             \"checklist\":[{{\"text\":\"Done as described\"}}],\"depends_on\":[{before}]}}"
        )
    };
    let activities: Vec<String> = (0..count).map(activity).collect();
    // Before the brace that ends the body.
    format!("{},\"activities\":[{}]}}", &body[..body.len() - 1], activities.join(","))
}

/// The digits behind a text.
fn number_behind<'b>(body: &'b [u8], text: &[u8]) -> Option<&'b str> {
    let rest = &body[memchr::memmem::find(body, text)? + text.len()..];
    let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&rest[..end]).ok().filter(|digits| !digits.is_empty())
}

fn starts_with_id(body: &[u8], id: &str) -> bool {
    body.strip_prefix(b"{\"id\":\"").is_some_and(|rest| rest.starts_with(id.as_bytes()))
}

fn expect(answer: &Answer<'_>, status: u16, right: bool) -> Result<(), String> {
    if answer.status == status && right {
        return Ok(());
    }
    Err(format!("expected {status} with its whole content; {}", answer.told()))
}
