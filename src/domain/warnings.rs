//! What does not stand in the way of a release, and should be known: told beside it, never a blocker.

use serde::Serialize;
use utoipa::ToSchema;

use super::facts::{DoubtfulMedium, Facts, LinkedChange, MediumUse};
use super::gates::REFS_MAX;
use super::release::Release;
use super::values::{AskedFor, ChangeId, MediumStatus};

/// Something that should be known of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({
    "code": "NO_ROLLBACK_PLAN", "detail": "1 linked change does not say how it is taken back: jira CHG-1042.",
    "pointer": "/changes", "refs": ["01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f"],
}))]
pub struct Warning {
    /// UPPER_SNAKE code.
    pub code: &'static str,
    /// What it is, in words for a person.
    pub detail: String,
    /// JSON pointer to the field of the release that it is about.
    pub pointer: &'static str,
    /// Identifiers of the records that it is about: the first of them.
    #[schema(max_items = 20)]
    pub refs: Vec<String>,
}

/// What should be known of a release under way.
pub fn warnings(release: &Release, facts: &Facts) -> Vec<Warning> {
    if !release.status.is_active() {
        return Vec::new();
    }
    [
        nothing_to_name(release),
        not_covered(facts),
        retired_media(facts, MediumUse::ConfigurationItem),
        retired_media(facts, MediumUse::DefinitiveMedium),
        expired_licences(release, facts),
        without_rollback_plan(facts),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The gate of test evidence asks for documents that name the version, which is locked when it comes to that.
fn nothing_to_name(release: &Release) -> Option<Warning> {
    let has_none = release.version.as_deref().is_none_or(|version| version.trim().is_empty());
    (has_none && release.asks_for.contains(&AskedFor::TestEvidence)).then(|| Warning {
        code: "VERSION_MISSING",
        detail: "Test evidence is going to be asked for that names the version, and the release has none. It is \
                 locked after authorization."
            .into(),
        pointer: "/version",
        refs: Vec::new(),
    })
}

fn not_covered(facts: &Facts) -> Option<Warning> {
    let open = &facts.pending_items.not_covered;
    let is_linked = |id: ChangeId| facts.changes.iter().any(|change| change.change_id == id);
    // What a change brought stays when it is unlinked.
    let left = open.iter().filter(|(_, change)| change.is_some_and(|id| !is_linked(id))).count();
    let mut detail = match open.len() {
        0 => return None,
        1 => "No linked change names 1 of the configuration items.".to_owned(),
        count => format!("No linked change names {count} of the configuration items."),
    };
    match left {
        0 => {}
        1 => detail.push_str(" 1 of them was brought by a change that is not linked any more."),
        count => detail.push_str(&format!(" {count} of them were brought by changes that are not linked any more.")),
    }
    let refs = open.iter().take(REFS_MAX).map(|(link, _)| link.to_string()).collect();
    Some(Warning { code: "CI_NOT_COVERED", detail, pointer: "/configuration_items", refs })
}

fn retired_media(facts: &Facts, by: MediumUse) -> Option<Warning> {
    let is_retired = |medium: &&DoubtfulMedium| medium.by == by && medium.status == MediumStatus::Retired;
    let links: Vec<&DoubtfulMedium> = facts.media.iter().filter(is_retired).collect();
    let detail = match (by, links.len()) {
        (_, 0) => return None,
        (MediumUse::ConfigurationItem, 1) => {
            "The definitive medium of 1 configuration item is retired: it is not to be installed.".to_owned()
        }
        (MediumUse::ConfigurationItem, count) => {
            format!("The definitive media of {count} configuration items are retired: they are not to be installed.")
        }
        (MediumUse::DefinitiveMedium, 1) => {
            "1 definitive medium of the release is retired: it is not to be installed.".to_owned()
        }
        (MediumUse::DefinitiveMedium, count) => {
            format!("{count} definitive media of the release are retired: they are not to be installed.")
        }
    };
    Some(Warning { code: "MEDIUM_RETIRED", detail, pointer: by.pointer(), refs: links_of(&links) })
}

/// The right to use a medium must last until the deployment is over.
fn expired_licences(release: &Release, facts: &Facts) -> Option<Warning> {
    let until = release.deployment_window.map_or(facts.now, |window| window.end.max(facts.now));
    let ends_before = |medium: &&DoubtfulMedium| medium.licence_expires_at.is_some_and(|at| at < until);
    let ended: Vec<&DoubtfulMedium> = facts.media.iter().filter(ends_before).collect();
    let mut labels: Vec<&str> = ended.iter().map(|medium| medium.label.as_str()).collect();
    labels.sort_unstable();
    labels.dedup();
    let more = if labels.len() > REFS_MAX { ", and more" } else { "" };
    let names = labels.iter().take(REFS_MAX).copied().collect::<Vec<_>>().join(", ");
    let is_over = |medium: &&DoubtfulMedium| medium.licence_expires_at.is_some_and(|at| at <= facts.now);
    let (ends, end) = match ended.iter().all(is_over) {
        true => ("has ended", "have ended"),
        false => ("ends before the deployment is over", "end before the deployment is over"),
    };
    let detail = match labels.len() {
        0 => return None,
        1 => format!("The licence of 1 definitive medium {ends}: {names}."),
        count => format!("The licences of {count} definitive media {end}: {names}{more}."),
    };
    let pointer = ended.first().map_or(MediumUse::DefinitiveMedium, |medium| medium.by).pointer();
    Some(Warning { code: "LICENCE_EXPIRED", detail, pointer, refs: links_of(&ended) })
}

fn links_of(media: &[&DoubtfulMedium]) -> Vec<String> {
    media.iter().take(REFS_MAX).map(|medium| medium.link.clone()).collect()
}

fn without_rollback_plan(facts: &Facts) -> Option<Warning> {
    let without: Vec<&LinkedChange> = facts.changes.iter().filter(|change| !change.has_rollback_plan).collect();
    let labels: Vec<&str> = without.iter().take(REFS_MAX).map(|change| change.label.as_str()).collect();
    let labels = labels.join(", ");
    let detail = match without.len() {
        0 => return None,
        1 => format!("1 linked change does not say how it is taken back: {labels}."),
        count if count > REFS_MAX => {
            format!("{count} linked changes do not say how they are taken back: {labels}, and more.")
        }
        count => format!("{count} linked changes do not say how they are taken back: {labels}."),
    };
    let refs = without.iter().take(REFS_MAX).map(|change| change.link_id.to_string()).collect();
    Some(Warning { code: "NO_ROLLBACK_PLAN", detail, pointer: "/changes", refs })
}
