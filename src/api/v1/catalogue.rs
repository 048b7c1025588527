//! `/justifications`, `/solution-categories`, `/checklist-templates`, `/calendars`, `/portfolios`, `/models`: the catalogue.

use actix_web::{delete, get, patch, post};

use super::Operations;
use crate::api::reference::{self, PatchOf, Resource, ResourceOf, reference_resource};
use crate::api::schema::Checked;
use crate::api::{Answer, BASE, Body, Call, NoBody, paging, paging::Page};
use crate::domain::policy::Access;
use crate::domain::values::{
    CalendarId, ChecklistTemplateId, Draft, Fault, JustificationId, ModelId, PortfolioId, SolutionCategoryId,
};
use crate::repository::listing::{Condition, SqlValue};
use crate::repository::nouns::{Calendar, ChecklistTemplate, Justification, Model, Noun, Portfolio, SolutionCategory};
use crate::service::models::{self, ModelCopy};
use crate::service::{Error, MergePatch, Reply, catalogue};

reference_resource!(
    Justification,
    JustificationId,
    "Catalogue",
    "/justifications",
    "/justifications/{id}",
    list_justifications,
    read_justification,
    update_justification,
    delete_justification,
    create_justification
);
reference_resource!(
    SolutionCategory,
    SolutionCategoryId,
    "Catalogue",
    "/solution-categories",
    "/solution-categories/{id}",
    list_solution_categories,
    read_solution_category,
    update_solution_category,
    delete_solution_category,
    create_solution_category
);
reference_resource!(
    ChecklistTemplate,
    ChecklistTemplateId,
    "Catalogue",
    "/checklist-templates",
    "/checklist-templates/{id}",
    list_checklist_templates,
    read_checklist_template,
    update_checklist_template,
    delete_checklist_template,
    create_checklist_template
);
reference_resource!(
    Calendar,
    CalendarId,
    "Catalogue",
    "/calendars",
    "/calendars/{id}",
    list_calendars,
    read_calendar,
    update_calendar,
    delete_calendar,
    create_calendar
);
reference_resource!(
    Portfolio,
    PortfolioId,
    "Catalogue",
    "/portfolios",
    "/portfolios/{id}",
    list_portfolios,
    read_portfolio,
    update_portfolio,
    delete_portfolio,
    create_portfolio
);
reference_resource!(
    Model,
    ModelId,
    "Catalogue",
    "/models",
    "/models/{id}",
    list_models,
    read_model,
    update_model,
    delete_model
);

/// Registers the operations.
pub fn configure(config: &mut impl Operations) {
    config
        .service(list_justifications)
        .service(create_justification)
        .service(read_justification)
        .service(update_justification)
        .service(delete_justification)
        .service(list_solution_categories)
        .service(create_solution_category)
        .service(read_solution_category)
        .service(update_solution_category)
        .service(delete_solution_category)
        .service(list_checklist_templates)
        .service(create_checklist_template)
        .service(read_checklist_template)
        .service(update_checklist_template)
        .service(delete_checklist_template)
        .service(list_calendars)
        .service(create_calendar)
        .service(read_calendar)
        .service(update_calendar)
        .service(delete_calendar)
        .service(list_portfolios)
        .service(create_portfolio)
        .service(read_portfolio)
        .service(update_portfolio)
        .service(delete_portfolio)
        .service(list_portfolio_models)
        .service(create_model)
        .service(list_models)
        .service(read_model)
        .service(update_model)
        .service(delete_model)
        .service(copy_model);
}

/// List the models of a portfolio
///
/// Of this portfolio alone, not of those below it.
#[utoipa::path(tag = "Catalogue", params(("id" = PortfolioId, Path,)), responses((status = 200, body = Page<ResourceOf<Model>>)))]
#[get("/portfolios/{id}/models")]
async fn list_portfolio_models(call: Call) -> Answer {
    let path = call.clone();
    let portfolio_filter = Model::LIST.filters.iter().position(|filter| filter.name == "portfolio").unwrap_or(0);
    call.list(Model::LIST, &["portfolio"], move |context, mut query| {
        context.authorise(Access::Read)?;
        let portfolio = catalogue::read::<Portfolio>(context, path.id("id", "portfolio")?)?;
        // Cursors are bound to the list that the caller sees, whose path fixes the portfolio.
        query
            .conditions
            .push(Condition { filter: portfolio_filter, values: vec![SqlValue::Text(portfolio.id.to_string())] });
        let rows = catalogue::list::<Model>(context, &query)?;
        query.conditions.pop();
        paging::reply(&path, Model::LIST, &query, rows, Resource, reference::position)
    })
    .await
}

/// Create a model in a portfolio
///
/// A model starts as `new`, or as `active`; only an `active` one starts releases. From `new` it goes to `active` and then
/// to `retired`, and no other way.
///
/// Registering a release with the model makes its activities, checklists and approval rule in the same transaction,
/// besides whatever is sent along. The times of activity templates are counted from `T`, the start of the deployment
/// window that the release is registered with: `T`, or `T` with a sign and days, hours and minutes in this order
/// (`T-3d`, `T+90m`, `T-1d4h`), at most 366 days away. A day is 24 hours, in UTC. Without a deployment window they
/// stay null.
#[utoipa::path(tag = "Catalogue", params(("id" = PortfolioId, Path,)), request_body = Model, responses((status = 201, body = ResourceOf<Model>)))]
#[post("/portfolios/{id}/models")]
async fn create_model(call: Call, body: Body<Draft<Model>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, draft| {
        let portfolio = catalogue::find::<Portfolio>(context, path.id("id", "portfolio")?)?.id;
        context.authorise(Access::Catalogue)?;
        let mut model = draft.clone().map_err(Error::Invalid)?;
        let given = model.portfolio_id;
        if given != portfolio && given != PortfolioId::new(uuid::Uuid::nil()) {
            let detail = "The path names another portfolio.";
            return Err(Error::Invalid(vec![Fault::at("/portfolio_id", "NOT_APPLICABLE", detail)]));
        }
        model.portfolio_id = portfolio;
        let record = catalogue::create::<Model>(context, Ok(model))?;
        let location = format!("{BASE}/models/{}", record.id);
        Ok(reference::shown(201, record)?.at(location))
    })
    .await
}

impl Checked for ModelCopy {}

/// Copy a model
///
/// With everything that it says, into its own portfolio or another one. The copy is `new`, and never the default; what
/// it refers to is judged again when it becomes `active`.
#[utoipa::path(tag = "Catalogue", params(("id" = ModelId, Path,)), request_body = ModelCopy, responses((status = 201, body = ResourceOf<Model>)))]
#[post("/models/{id}/copy")]
async fn copy_model(call: Call, body: Body<Draft<ModelCopy>>) -> Answer {
    let path = call.clone();
    call.write(&["dry_run"], body, move |context, draft| {
        let record = models::copy(context, path.id("id", "model")?, draft.clone())?;
        let location = format!("{BASE}/models/{}", record.id);
        Ok(reference::shown(201, record)?.at(location))
    })
    .await
}
