//! What gates and rights know of releases besides the releases themselves.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use super::approvals::{NAME, STANDING};
use super::connection::{AnyConnection, on_either};
use super::error::Error;
use super::listing::{Ids, Select, columns};
use super::releases::visible_among;
use super::shares::WITH_GROUPS;
use crate::domain::approval::{ApprovalFacts, VoterFact};
use crate::domain::facts::{Ask, Asks, LibraryGaps};
use crate::domain::lifecycle::{
    Dependency, Evidence, LinkedChange, OpenActivities, OpenChecklist, OpenPurchases, PendingItems,
};
use crate::domain::policy::{Actor, Visibility};
use crate::domain::values::*;

/// What gates and rights know of a release besides the release itself.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Its linked changes, oldest link first.
    pub changes: Vec<LinkedChange>,
    /// What it depends on, by number.
    pub dependencies: Vec<Dependency>,
    /// The votes, where approvals are asked for now.
    pub approvals: Option<ApprovalFacts>,
    /// The required checklists that are not confirmed, oldest first.
    pub checklists: Vec<OpenChecklist>,
    /// Its test evidence.
    pub evidence: Evidence,
    /// Its open activities.
    pub open_activities: OpenActivities,
    /// Its purchases that are not finished.
    pub open_purchases: OpenPurchases,
    /// The configuration items that closing it as solved would change.
    pub pending_items: PendingItems,
    /// Whether it links definitive media.
    pub uses_media: bool,
    /// Whether it is shared with the actor to work on it.
    pub shared_to_execute: bool,
}

/// What gates and rights know of some releases, in one statement; one more where the caller does not see every
/// release. Of what is not asked it says that there is nothing.
pub fn surroundings(
    connection: &mut AnyConnection,
    ids: &[ReleaseId],
    asks: Asks,
    visibility: &Visibility,
    actor: &Actor,
) -> Result<HashMap<ReleaseId, Surroundings>, Error> {
    type Columns = (Text, Text, Text, Nullable<Text>, Text, Text, Nullable<Text>, Nullable<Text>, BigInt);
    type Row = (String, ReleaseId, String, Option<ChangeId>, String, String, Option<Json<Window>>, Option<String>, i64);
    let asks = if ids.len() > 1 { in_few_ways(asks) } else { asks };
    let texts: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let (releases, select) = Ids::begin::<Columns>(connection, &texts);
    let of = |select, tables, column| releases.from(select, connection, tables, column);
    let select = select.sql(
        "'change', l.release_id, l.id, l.change_id, c.source || ' ' || c.external_id, c.status, c.change_window, \
         l.outcome, CASE WHEN c.rollback_plan IS NULL OR c.rollback_plan = '' THEN 0 ELSE 1 END",
    );
    let select = of(select, "release_changes l JOIN changes c ON c.id = l.change_id", "l.release_id")
        .sql(" UNION ALL SELECT 'dependency', d.release_id, r.id, NULL, '', r.status, NULL, r.resolution, r.number");
    let mut select = of(select, "release_dependencies d JOIN releases r ON r.id = d.depends_on_id", "d.release_id");
    if asks.has(Ask::Purchases) {
        select = select.sql(
            " UNION ALL SELECT 'purchase', p.release_id, p.id, NULL, '', '', NULL, NULL, p.total FROM \
             (SELECT f.release_id, f.id, COUNT(*) OVER (PARTITION BY f.release_id) AS total, \
             ROW_NUMBER() OVER (PARTITION BY f.release_id ORDER BY f.id) AS nth",
        );
        select = of(select, "release_references f", "f.release_id")
            .sql(format!(" AND f.kind = 'purchase' AND NOT f.finished) p WHERE p.nth <= {}", OpenPurchases::NAMED_MAX));
    }
    if asks.has(Ask::Approvals) {
        // A rule names at most 20 voters; only those are here whose release stands where approvals are asked for.
        select = select.sql(format!(
            " UNION ALL SELECT 'voter', v.release_id, v.principal, NULL, {NAME}, {STANDING}, NULL, \
             CAST(a.needed AS TEXT), v.position"
        ));
        let asked = "release_approvals a JOIN approval_voters v ON v.release_id = a.release_id \
                     JOIN releases r ON r.id = a.release_id";
        select = of(select, asked, "a.release_id").sql(" AND a.is_open");
    }
    if asks.has(Ask::Checklists) {
        // A release has at most 30 checklists.
        select = select.sql(" UNION ALL SELECT 'checklist', k.release_id, k.id, NULL, k.title, k.stage, NULL, NULL, 0");
        select = of(select, "release_checklists k", "k.release_id").sql(" AND k.required AND NOT k.confirmed");
    }
    if asks.has(Ask::Evidence) {
        select = select.sql(
            " UNION ALL SELECT 'evidence', e.release_id, '', NULL, '', CAST(COUNT(*) AS TEXT), NULL, NULL, \
             COUNT(CASE WHEN e.version = v.version THEN 1 END)",
        );
        select = of(select, "documents e JOIN releases v ON v.id = e.release_id", "e.release_id")
            .sql(" AND e.class = 'evidence' AND e.deleted_at IS NULL GROUP BY e.release_id");
    }
    if asks.has(Ask::Media) {
        select = select.sql(" UNION ALL SELECT 'media', u.release_id, '', NULL, '', '', NULL, NULL, COUNT(*)");
        select = of(select, "release_definitive_media u", "u.release_id").sql(" GROUP BY u.release_id");
    }
    if asks.has(Ask::Activities) {
        select = super::activities::open_ones(select, connection, &releases);
    }
    if asks.has(Ask::PendingItems) {
        select = super::item_links::pending_ones(select, connection, &releases);
    }
    // Whoever may work on every release needs no share.
    if !actor.manages_releases() {
        select = select.sql(" UNION ALL SELECT 'share', s.release_id, s.id, NULL, '', '', NULL, NULL, 0");
        select = super::shares::to_execute(of(select, WITH_GROUPS, "s.release_id"), connection, actor);
    }
    let select = releases.end(select);
    let rows: Vec<Row> = on_either!(connection, own => select.load(own))?;
    let mut found: HashMap<ReleaseId, Surroundings> = ids.iter().map(|id| (*id, Surroundings::default())).collect();
    let mut voters: HashMap<ReleaseId, (usize, Vec<(i64, VoterFact)>)> = HashMap::new();
    for (what, release, id, change, label, status, window, outcome, number) in rows {
        let Some(around) = found.get_mut(&release) else { continue };
        match (what.as_str(), change) {
            ("change", Some(change_id)) => around.changes.push(LinkedChange {
                link_id: value(&id)?,
                change_id,
                label,
                status: value(&status)?,
                window: window.map(|json| json.0),
                outcome: value(outcome.as_deref().unwrap_or_default())?,
                has_rollback_plan: number > 0,
            }),
            ("voter", _) => {
                let fact = VoterFact { principal: id, name: label, standing: value(&status)? };
                let needed = outcome.as_deref().and_then(|needed| needed.parse().ok()).unwrap_or(1);
                let (_, voters) = voters.entry(release).or_insert((needed, Vec::new()));
                voters.push((number, fact));
            }
            ("checklist", _) => {
                around.checklists.push(OpenChecklist { id: value(&id)?, stage: status, title: label });
            }
            ("dependency", _) => around.dependencies.push(Dependency {
                release_id: value(&id)?,
                number,
                status: value(&status)?,
                resolution: outcome.as_deref().map(value).transpose()?,
                visible: true,
            }),
            ("purchase", _) => {
                around.open_purchases.count = usize::try_from(number).unwrap_or_default();
                around.open_purchases.named.push(value(&id)?);
            }
            ("activity", _) => {
                let open = around.open_activities.of(value(&label)?);
                open.count = number;
                open.examples.push(value(&id)?);
            }
            ("evidence", _) => {
                let count = status.parse().map_err(|_| Error::Other(format!("`{status}` is no count")))?;
                around.evidence = Evidence { count, of_this_version: number };
            }
            ("items", _) => around.pending_items.count = usize::try_from(number).unwrap_or_default(),
            ("item", _) => {
                around.pending_items.changed = usize::try_from(number).unwrap_or_default();
                around.pending_items.named.push((value(&id)?, label));
            }
            ("media", _) => around.uses_media = number > 0,
            ("share", _) => around.shared_to_execute = true,
            _ => {}
        }
    }
    for (release, (needed, mut numbered)) in voters {
        numbered.sort_by_key(|(number, _)| *number);
        let voters = numbered.into_iter().map(|(_, voter)| voter).collect();
        if let Some(found) = found.get_mut(&release) {
            found.approvals = Some(ApprovalFacts { needed, voters });
        }
    }
    for around in found.values_mut() {
        around.changes.sort_by_key(|change| change.link_id);
        around.dependencies.sort_by_key(|dependency| dependency.number);
        around.open_purchases.named.sort_unstable();
        around.pending_items.named.sort_unstable();
        around.open_activities.planning.examples.sort_unstable();
        around.open_activities.deployment.examples.sort_unstable();
        around.checklists.sort_by_key(|checklist| checklist.id);
    }
    if let Visibility::Of(_) = visibility {
        let dependencies = || found.values().flat_map(|around| &around.dependencies);
        let targets: Vec<ReleaseId> = dependencies().map(|dependency| dependency.release_id).collect();
        let visible = visible_among(connection, &targets, visibility)?;
        for dependency in found.values_mut().flat_map(|around| &mut around.dependencies) {
            dependency.visible = visible.contains(&dependency.release_id);
        }
    }
    Ok(found)
}

/// As much or a little more, in one of three ways: every connection keeps the statement for each, and pages differ in what
/// their releases ask.
fn in_few_ways(asks: Asks) -> Asks {
    const OFTEN: [Ask; 4] = [Ask::Activities, Ask::Approvals, Ask::Checklists, Ask::PendingItems];
    const SELDOM: [Ask; 2] = [Ask::Evidence, Ask::Purchases];
    let any_of = |some: &[Ask]| some.iter().any(|ask| asks.has(*ask));
    let (often, seldom) = (any_of(&OFTEN), any_of(&SELDOM));
    OFTEN.into_iter().filter(|_| often || seldom).chain(SELDOM.into_iter().filter(|_| seldom)).collect()
}

/// What some releases lack of the definitive media library and the definitive hardware store, of each kind the first few
/// and how many there are in all; in one statement.
pub fn library_gaps(
    connection: &mut AnyConnection,
    ids: &[ReleaseId],
) -> Result<HashMap<ReleaseId, LibraryGaps>, Error> {
    const ITEMS: &str = "FROM release_configuration_items l";
    const ITS_MEDIUM: &str = "JOIN definitive_media m ON m.id = l.medium_id";
    const VERSIONED: &str = "WHERE l.outcome = 'pending' AND l.intended_version IS NOT NULL AND";
    let kinds = [
        (Gap::MediumMissing, "l", format!("{ITEMS} {VERSIONED} l.medium_id IS NULL AND")),
        (
            Gap::MediumNotAuthorised,
            "l",
            format!("{ITEMS} {ITS_MEDIUM} WHERE l.outcome = 'pending' AND m.status <> 'authorised' AND"),
        ),
        (
            Gap::MediumVersionDiffers,
            "l",
            format!("{ITEMS} {ITS_MEDIUM} {VERSIONED} m.version <> l.intended_version AND"),
        ),
        (
            Gap::MediumNotAuthorised,
            "k",
            "FROM release_definitive_media k JOIN definitive_media m ON m.id = k.medium_id \
             WHERE m.status <> 'authorised' AND"
                .into(),
        ),
        (
            Gap::PackageNotInLibrary,
            "d",
            "FROM documents d WHERE d.class = 'package' AND d.deleted_at IS NULL AND NOT EXISTS \
             (SELECT 1 FROM release_definitive_media k JOIN definitive_media m ON m.id = k.medium_id \
             WHERE k.release_id = d.release_id AND m.sha256 = d.sha256) AND NOT EXISTS \
             (SELECT 1 FROM release_configuration_items l JOIN definitive_media m ON m.id = l.medium_id \
             WHERE l.release_id = d.release_id AND l.outcome IN ('pending', 'applied') AND m.sha256 = d.sha256) AND"
                .into(),
        ),
        (
            Gap::SpareNotReserved,
            "l",
            format!(
                "{ITEMS} WHERE l.outcome = 'pending' AND l.spare_model IS NOT NULL AND NOT EXISTS \
                 (SELECT 1 FROM release_hardware_spares s JOIN hardware_spares h ON h.id = s.spare_id \
                 WHERE s.release_id = l.release_id AND s.state = 'reserved' \
                 AND s.configuration_item_id = l.configuration_item_id AND h.model = l.spare_model) AND"
            ),
        ),
    ];
    let texts: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let selection = columns::<(Text, Text, Text, BigInt)>(
        "n.release_id, n.kind, n.about, n.total FROM (SELECT g.release_id, g.kind, g.about, \
         COUNT(*) OVER (PARTITION BY g.release_id, g.kind) AS total, \
         ROW_NUMBER() OVER (PARTITION BY g.release_id, g.kind ORDER BY g.about) AS nth FROM (",
    );
    let mut select = Select::new(selection);
    for (index, (kind, table, rest)) in kinds.iter().enumerate() {
        let union = if index > 0 { " UNION ALL " } else { "" };
        select = select
            .sql(format!("{union}SELECT {table}.release_id, '{kind}' AS kind, {table}.id AS about {rest}"))
            .is_among(connection, &format!("{table}.release_id"), &texts);
    }
    let select = select.sql(format!(") g) n WHERE n.nth <= {} ORDER BY n.nth", LibraryGaps::NAMED_MAX));
    let rows: Vec<(ReleaseId, String, String, i64)> = on_either!(connection, own => select.load(own))?;
    let mut found: HashMap<ReleaseId, LibraryGaps> = HashMap::new();
    for (release, kind, about, total) in rows {
        found.entry(release).or_default().note(value(&kind)?, total, about);
    }
    Ok(found)
}

/// A stored word as a value.
fn value<T: std::str::FromStr<Err = NotAValue>>(text: &str) -> Result<T, Error> {
    text.parse().map_err(|error: NotAValue| Error::Other(error.to_string()))
}
