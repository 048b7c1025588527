//! What a release gets from its model when it is registered, besides defaults: activities, checklists, an approval rule,
//! and what its custom fields must be (`domain.md` §4).
//!
//! What the caller sends along is added to the activities and checklists of the model; a rule that the caller sends is in
//! place of the model's. Where something of the model does not hold any more, the release is not made, and the fault
//! is that of the model: whoever keeps the catalogue mends it. Voters who cannot vote any more do not stand in the way of
//! registering; the gate names them.

use super::activity_input::{ChecklistItemFields, PlannedActivity};
use super::checklists::NewChecklist;
use super::release_input::NewRelease;
use super::{Result, WriteContext};
use crate::domain::activity_template::ActivityTemplate;
use crate::domain::custom_fields::{Fields, fields_faults};
use crate::domain::values::*;
use crate::domain::workflow::Workflow;
use crate::repository::activities::ACTIVITIES_MAX;
use crate::repository::checklists::CHECKLISTS_MAX;
use crate::repository::nouns::{Model, Record};

/// What of a model a release begins with.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// Its activities.
    pub activities: Vec<PlannedActivity>,
    /// Its checklists.
    pub checklists: Vec<NewChecklist>,
}

/// A fault of the model that a release is to be made from.
fn of_model(code: &'static str, detail: String) -> Fault {
    Fault::at("/model_id", code, detail)
}

/// Activities out of templates, their times counted from the start of the deployment window.
pub fn planned_of(templates: &[ActivityTemplate], window: Option<Window>) -> Vec<PlannedActivity> {
    let at = |time: &Option<crate::domain::relative::RelativeTime>| time.as_ref()?.counted_from(window?.start);
    templates
        .iter()
        .map(|template| PlannedActivity {
            phase: template.phase,
            reference: Some(template.key.clone()),
            depends_on: template.depends_on.clone(),
            title: template.title.clone(),
            description: template.description.clone(),
            kind: template.kind,
            assignee_id: None,
            group_id: template.group_id,
            technical_guidelines: template.technical_guidelines.clone(),
            scheduled_start: at(&template.scheduled_start),
            due_at: at(&template.due_at),
            estimated_minutes: template.estimated_minutes,
            checklist: template
                .checklist
                .iter()
                .map(|item| ChecklistItemFields { id: None, text: item.text.clone(), done: false })
                .collect(),
            tags: template.tags.clone(),
        })
        .collect()
}

/// What is wrong with custom fields, by the schema that the model has now. Where that is not taken any more, the fault is
/// that of the model, at `of_model`.
pub fn custom_fields_faults(
    context: &mut WriteContext<'_>,
    model: &Record<Model>,
    fields: &Fields,
    of_model: &str,
) -> Result<Vec<Fault>> {
    let schema = context.custom_fields_schema(model)?;
    Ok(match schema.as_deref() {
        None => fields_faults(fields, None),
        Some(Ok(schema)) => fields_faults(fields, Some(schema)),
        Some(Err(faults)) => {
            let why = faults.first().map_or("", |fault| fault.detail.as_str());
            let detail = format!("The model's schema for custom fields is not taken any more: {why}");
            vec![Fault::at(of_model, "INVALID_SCHEMA", detail)]
        }
    })
}

/// What the release begins with, and what stands against it. `groups` are those of the release.
pub fn parts(
    context: &mut WriteContext<'_>,
    model: &Record<Model>,
    new: &NewRelease,
    workflow: Option<&Workflow>,
    groups: Option<&[GroupId]>,
) -> Result<(Parts, Vec<Fault>)> {
    let content = &model.content;
    let mut faults = custom_fields_faults(context, model, &new.custom_fields, "/model_id")?;
    let templates = &content.activity_templates.0;
    let activities = planned_of(templates, new.deployment_window);
    for (template, planned) in templates.iter().zip(&activities) {
        let said = [(&template.scheduled_start, planned.scheduled_start), (&template.due_at, planned.due_at)];
        let lost = said.iter().any(|(time, instant)| time.is_some() && instant.is_none());
        if lost && new.deployment_window.is_some() {
            let detail = format!("The times of the model's activity `{}` lie outside of 1970 to 9999.", template.key);
            faults.push(Fault::at("/deployment_window/start", "SCHEDULE_OUT_OF_REACH", detail));
        }
        if let (Some(groups), Some(group)) = (groups, template.group_id)
            && !groups.contains(&group)
        {
            let detail = format!(
                "The model's activity `{}` goes to a group that neither executes the release nor is responsible for a \
                 stage of its workflow.",
                template.key
            );
            faults.push(of_model("NOT_A_GROUP_OF_THE_RELEASE", detail));
        }
    }
    let checklists: Vec<NewChecklist> =
        content.checklist_template_ids.0.iter().map(|id| NewChecklist::of(*id)).collect();
    faults.extend(limit_fault("/activities", "activities", ACTIVITIES_MAX, (activities.len(), new.activities.len())));
    faults.extend(limit_fault("/checklists", "checklists", CHECKLISTS_MAX, (checklists.len(), new.checklists.len())));
    if let Some(workflow) = workflow {
        let takes_rule = content.approval_rule.is_some() && new.approval_rule.is_none();
        if takes_rule && !workflow.ever_asks_approvals() {
            let detail = "The model has an approval rule, and no stage of its workflow asks for approvals.";
            faults.push(of_model("NOT_APPLICABLE", detail.into()));
        }
    }
    Ok((Parts { activities, checklists }, faults))
}

/// A fault where there would be too many with those of the model.
fn limit_fault(pointer: &str, what: &str, max: i64, (of_model, own): (usize, usize)) -> Option<Fault> {
    let too_many = own > 0 && i64::try_from(of_model + own).is_ok_and(|all| all > max);
    let detail = || format!("A release has at most {max} {what}; {of_model} come from the model.");
    too_many.then(|| Fault::at(pointer, "LIMIT_REACHED", detail()))
}

/// What was found wrong with a checklist of the model, as a fault of the model.
pub fn checklist_fault(fault: &Fault) -> Fault {
    of_model(fault.code, format!("A checklist template of the model: {}", fault.detail))
}
