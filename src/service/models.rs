//! Release models: what must hold of one, and copies (`domain.md` §8).
//!
//! What a model refers to may become stale: a template is deactivated, a workflow gets a version without a stage. It is
//! judged when it is said, when the workflow becomes another one, and when the model becomes active - so that a model can
//! be renamed or retired whatever has become of the rest - and once more when a release is made from it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use validator::Validate;

use super::activity_plan::{Named, planned_faults};
use super::approvals::rule_faults;
use super::catalogue::{self, Rules};
use super::instantiate::planned_of;
use super::rules::{hold_new, repeated, unknown, unknown_in_list};
use super::{Error, Result, WriteContext};
use crate::domain::activity_template::ActivityTemplate;
use crate::domain::checklist::unusable_template;
use crate::domain::custom_fields::FieldsSchema;
use crate::domain::policy::{Access, Permit};
use crate::domain::values::*;
use crate::domain::workflow::{Stage, Workflow};
use crate::repository::contents::not_blank;
use crate::repository::nouns::{
    self, Calendar, ChecklistTemplate, Contract, Group, Model, Noun, Portfolio, Record, User,
};
use crate::repository::workflows;

/// The activity templates of a model have at most so many bytes together, written as JSON without white space: a page
/// of models holds them all.
const TEMPLATES_BYTES_MAX: usize = 128 * 1024;

/// The copy of a model to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Quarterly release, shorter"}))]
pub struct ModelCopy {
    /// Name of the copy, unique in its portfolio.
    #[schema(min_length = 1, max_length = 200)]
    #[validate(custom(function = not_blank))]
    pub name: String,
    /// The portfolio of the copy; that of the model where none is given.
    #[serde(default)]
    pub portfolio_id: Option<PortfolioId>,
}

/// Copies a model with everything that it says. The copy is `new`, and never the default.
pub fn copy(context: &mut WriteContext<'_>, id: ModelId, draft: Draft<ModelCopy>) -> Result<Record<Model>> {
    let source = catalogue::find::<Model>(context, id)?.content;
    let permit = context.authorise(Model::ACCESS)?;
    let ModelCopy { name, portfolio_id } = draft.map_err(Error::Invalid)?;
    let source = Model { status: ModelStatus::New, is_default: false, ..source };
    let content = Model { name, portfolio_id: portfolio_id.unwrap_or(source.portfolio_id), ..source.clone() };
    // What the model says already is not judged again before the copy becomes active.
    Error::unless_none(content.faults(context, None, Some(&source))?)?;
    catalogue::insert(context, permit, content, &[("copied_from", json!(id))])
}

/// A fault where a model is given a calendar that is not there, or no longer to be chosen.
fn calendar_fault(
    context: &mut WriteContext<'_>,
    id: Option<CalendarId>,
    before: Option<CalendarId>,
) -> Result<Option<Fault>> {
    let Some(id) = id.filter(|id| before != Some(*id)) else { return Ok(None) };
    let pointer = "/calendar_id";
    Ok(match Calendar::find(context.connection, id)? {
        None => Some(Fault::unknown(pointer, Calendar::RECORD)),
        Some(calendar) if !calendar.content.active => {
            Some(Fault::at(pointer, "CALENDAR_NOT_ACTIVE", "The calendar is not active."))
        }
        Some(_) => None,
    })
}

impl Rules for Model {
    const ACCESS: Access = Access::Catalogue;
    const INSTEAD: &'static str = " Retire it instead.";

    fn faults(&self, context: &mut WriteContext<'_>, _: Option<ModelId>, before: Option<&Self>) -> Result<Vec<Fault>> {
        // Held: it is not retired while the model begins to name it.
        let series = workflows::hold_series(context.connection, &self.workflow)?;
        self.hold_named(context, before)?;
        let mut faults = Vec::new();
        faults.extend(unknown::<Portfolio>(context, Some(self.portfolio_id), "/portfolio_id")?);
        faults.extend(unknown::<Group>(context, self.executor_group_id, "/executor_group_id")?);
        faults.extend(unknown_in_list::<Group>(context, &self.executor_group_ids.0, "/executor_group_ids")?);
        faults.extend(unknown_in_list::<Contract>(context, &self.contract_ids.0, "/contract_ids")?);
        faults.extend(calendar_fault(context, self.calendar_id, before.and_then(|model| model.calendar_id))?);
        match series {
            None => faults.push(Fault::unknown("/workflow", "workflow")),
            Some(series) if series.retired_at.is_some() => {
                let kept = before.is_some_and(|model| model.workflow == self.workflow);
                if !kept || self.status == ModelStatus::Active {
                    faults.push(Fault::at("/workflow", "WORKFLOW_RETIRED", "The workflow is retired."));
                }
            }
            Some(_) => {}
        }
        if self.is_default && self.status != ModelStatus::Active {
            faults.push(Fault::at("/status", "DEFAULT_MODEL_INACTIVE", "The default model must be active."));
        }
        if before.is_some_and(|model| model.is_default) && !self.is_default {
            faults.push(Fault::at(
                "/is_default",
                "DEFAULT_MODEL_REQUIRED",
                "There must be a default model: make another one the default instead.",
            ));
        }
        faults.extend(status_fault(before.map(|model| model.status), self.status));
        if let Some(workflow) = workflows::newest(context.connection, &self.workflow)? {
            faults.extend(self.part_faults(context, &workflow, before)?);
        }
        if before.is_none_or(|model| model.custom_fields_schema != self.custom_fields_schema)
            && let Some(schema) = &self.custom_fields_schema
        {
            faults.extend(FieldsSchema::new(&schema.0).err().unwrap_or_default());
        }
        Ok(faults)
    }

    fn before_store(&self, context: &mut WriteContext<'_>, permit: Permit, id: ModelId) -> Result<()> {
        if !self.is_default {
            return Ok(());
        }
        // The default moves: the model that has it gives it up first, in the same transaction.
        let Some(other) = nouns::default_model(context.connection)?.filter(|other| other.id != id) else {
            return Ok(());
        };
        let Some(other) = Self::lock(context.connection, other.id)? else {
            return Ok(());
        };
        let content = Self { is_default: false, ..other.content.clone() };
        catalogue::store(context, permit, other, content)?;
        Ok(())
    }

    fn deletable(&self, _: &mut WriteContext<'_>, _: ModelId) -> Result<()> {
        if self.is_default {
            return Err(Error::conflict("IN_USE", "It is the default model. Make another one the default first."));
        }
        Ok(())
    }
}

/// A fault where the status is none that a model begins with, or goes on to.
fn status_fault(before: Option<ModelStatus>, after: ModelStatus) -> Option<Fault> {
    use ModelStatus::{Active, New, Retired};
    let (code, detail) = match (before, after) {
        (None, Retired) => ("NOT_THE_NEXT_STATUS", "A model begins as `new` or `active`."),
        (Some(Active | Retired), New) => ("NOT_NEW_AGAIN", "A model that was in use does not become new again."),
        (Some(New), Retired) => (
            "NOT_THE_NEXT_STATUS",
            "A model that was never `active` is not retired. Delete it, where it is not wanted.",
        ),
        (Some(Retired), Active) => {
            ("NOT_THE_NEXT_STATUS", "A retired model does not come back. Copy it: the copy begins as `new`.")
        }
        _ => return None,
    };
    Some(Fault::at("/status", code, detail))
}

impl Model {
    /// Locks what the model begins to name in its lists and its parts.
    fn hold_named(&self, context: &mut WriteContext<'_>, before: Option<&Self>) -> Result<()> {
        let contracts = |model: &Self| model.contract_ids.0.iter().copied().collect();
        let lists = |model: &Self| model.checklist_template_ids.0.iter().copied().collect();
        hold_new::<Contract>(context, &contracts(self), &before.map(contracts).unwrap_or_default())?;
        hold_new::<Group>(context, &self.named_groups(), &before.map(Self::named_groups).unwrap_or_default())?;
        hold_new::<User>(context, &self.named_users(), &before.map(Self::named_users).unwrap_or_default())?;
        hold_new::<ChecklistTemplate>(context, &lists(self), &before.map(lists).unwrap_or_default())
    }

    fn named_groups(&self) -> BTreeSet<GroupId> {
        let voters = self.approval_rule.iter().flat_map(|rule| &rule.0.voters);
        let templates = self.activity_templates.0.iter().filter_map(|template| template.group_id);
        let executors = self.executor_group_ids.0.iter().copied();
        executors.chain(templates).chain(voters.filter_map(|voter| voter.group_id)).collect()
    }

    fn named_users(&self) -> BTreeSet<UserId> {
        self.approval_rule.iter().flat_map(|rule| &rule.0.voters).filter_map(|voter| voter.user_id).collect()
    }

    /// What is wrong with what releases of the model begin with, as far as it is said now, or of consequence now.
    fn part_faults(
        &self,
        context: &mut WriteContext<'_>,
        workflow: &Workflow,
        before: Option<&Self>,
    ) -> Result<Vec<Fault>> {
        let known = before.filter(|model| {
            let begins = model.status != ModelStatus::Active && self.status == ModelStatus::Active;
            model.workflow == self.workflow && !begins
        });
        let mut faults = Vec::new();
        if let Some(rule) = &self.approval_rule
            && known.is_none_or(|model| model.approval_rule != self.approval_rule)
        {
            faults.extend(rule_faults(context, &rule.0, workflow, "/approval_rule")?);
        }
        let groups = |model: &Self| (model.executor_group_id, model.executor_group_ids.clone());
        if known
            .is_none_or(|model| model.activity_templates != self.activity_templates || groups(model) != groups(self))
        {
            faults.extend(template_faults(context, &self.activity_templates.0)?);
            faults.extend(self.group_faults(context, workflow)?);
        }
        if known.is_none_or(|model| model.checklist_template_ids != self.checklist_template_ids) {
            faults.extend(self.checklist_faults(context, workflow)?);
        }
        Ok(faults)
    }

    /// A template goes to a group that the releases of the model can have.
    fn group_faults(&self, context: &mut WriteContext<'_>, workflow: &Workflow) -> Result<Vec<Fault>> {
        let allowed = self.allowed_groups();
        let mut faults = Vec::new();
        for (index, template) in self.activity_templates.0.iter().enumerate() {
            let Some(id) = template.group_id else { continue };
            let pointer = format!("/activity_templates/{index}/group_id");
            match context.reference::<Group>(id)? {
                None => faults.push(Fault::unknown(pointer, Group::RECORD)),
                Some(group) if !group.content.active => {
                    faults.push(Fault::at(pointer, "GROUP_NOT_ACTIVE", "The group is not active."));
                }
                Some(_) => {
                    let executes = allowed.as_ref().is_none_or(|allowed| allowed.contains(&id));
                    let mut responsible = workflow.stages.iter().flat_map(Stage::named_groups);
                    if !executes && !responsible.any(|group| group == id) {
                        let detail = "The model does not allow the group, and it is responsible for no stage.";
                        faults.push(Fault::at(pointer, "NOT_A_GROUP_OF_THE_RELEASE", detail));
                    }
                }
            }
        }
        Ok(faults)
    }

    fn checklist_faults(&self, context: &mut WriteContext<'_>, workflow: &Workflow) -> Result<Vec<Fault>> {
        let ids = &self.checklist_template_ids.0;
        let mut faults = repeated(ids, "/checklist_template_ids");
        for (index, id) in ids.iter().enumerate() {
            let pointer = format!("/checklist_template_ids/{index}");
            let Some(template) = context.reference::<ChecklistTemplate>(*id)? else {
                faults.push(Fault::unknown(pointer, "checklist template"));
                continue;
            };
            faults.extend(unusable_template(template.content.active, &template.content.stage, workflow, &pointer));
        }
        Ok(faults)
    }
}

/// What is wrong with the templates by themselves: with each, and with what they are to each other.
fn template_faults(context: &mut WriteContext<'_>, templates: &[ActivityTemplate]) -> Result<Vec<Fault>> {
    const LIST: &str = "/activity_templates";
    let mut faults: Vec<Fault> = templates
        .iter()
        .enumerate()
        .flat_map(|(index, template)| template.faults(&format!("{LIST}/{index}")))
        .collect();
    let bytes = serde_json::to_string(templates).map_or(0, |text| text.len());
    if bytes > TEMPLATES_BYTES_MAX {
        let detail =
            format!("The templates have {bytes} bytes together, written as JSON; at most {TEMPLATES_BYTES_MAX}.");
        faults.push(Fault::at(LIST, "TEMPLATES_TOO_LARGE", detail));
    }
    let planned = planned_of(templates, None);
    faults.extend(planned_faults(context, &planned, &[], None, Named { list: LIST, by: "key" })?);
    Ok(faults)
}
