//! What does not stand in the way of a release, and should be known: told beside it, never a blocker.

use serde::Serialize;
use utoipa::ToSchema;

use super::facts::{Facts, LinkedChange};
use super::gates::REFS_MAX;
use super::release::Release;
use super::values::ChangeId;

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
    [not_covered(facts), retired_media(facts), without_rollback_plan(facts)].into_iter().flatten().collect()
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

fn retired_media(facts: &Facts) -> Option<Warning> {
    let links = &facts.pending_items.retired_media;
    let detail = match links.len() {
        0 => return None,
        1 => "The definitive medium of 1 configuration item is retired: it is not to be installed.".to_owned(),
        count => {
            format!("The definitive media of {count} configuration items are retired: they are not to be installed.")
        }
    };
    let refs = links.iter().take(REFS_MAX).map(ToString::to_string).collect();
    Some(Warning { code: "MEDIUM_RETIRED", detail, pointer: "/configuration_items", refs })
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
