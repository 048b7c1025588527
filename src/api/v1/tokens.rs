//! `/tokens`: the caller's personal access tokens.

use actix_web::{delete, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use super::Operations;
use crate::api::schema::Checked;
use crate::api::{Answer, BASE, Body, Call, NoBody, paging, paging::Page};
use crate::domain::values::{Draft, Timestamp, TokenId, TokenScope};
use crate::repository::contents::not_blank;
use crate::repository::identity::{TOKENS_PER_USER_MAX, TokenRow};
use crate::service::tokens::NewToken;
use crate::service::{Error, Reply, tokens};

/// Registers the operations.
pub fn configure(config: &mut impl Operations) {
    config.service(list_tokens).service(create_token).service(revoke_token);
}

/// A token to be made.
#[derive(Debug, Clone, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "nightly export", "scopes": ["read"]}))]
pub struct TokenToCreate {
    /// Name for people.
    #[schema(min_length = 1, max_length = 100)]
    #[validate(custom(function = not_blank))]
    pub name: String,
    /// What it may be used for, within the owner's own rights.
    #[schema(min_items = 1, max_items = 5)]
    pub scopes: Vec<TokenScope>,
    /// When it ends; null for never.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
}

impl Checked for TokenToCreate {}

/// A personal access token, without its secret.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PersonalToken {
    /// Identifier.
    pub id: TokenId,
    /// Name for people.
    pub name: String,
    /// The last four characters of the secret.
    pub hint: String,
    /// What it may be used for.
    pub scopes: Vec<TokenScope>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Version, for `If-Match`.
    pub row_version: i64,
}

impl From<TokenRow> for PersonalToken {
    fn from(row: TokenRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            hint: row.hint,
            scopes: row.scopes.0,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            created_at: row.created_at,
            row_version: row.row_version,
        }
    }
}

/// A new personal access token, with its secret.
#[derive(Serialize, ToSchema)]
pub struct CreatedToken {
    /// The secret, shown here and never again.
    pub token: String,
    /// Identifier.
    pub id: TokenId,
    /// Name for people.
    pub name: String,
    /// The last four characters of the secret.
    pub hint: String,
    /// What it may be used for.
    pub scopes: Vec<TokenScope>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Version, for `If-Match`.
    pub row_version: i64,
}

/// List my tokens
///
/// Those that are not revoked, newest first; a user has at most 100.
#[utoipa::path(tag = "Identity", responses((status = 200, body = Page<PersonalToken>)))]
#[get("/tokens")]
async fn list_tokens(call: Call) -> Answer {
    let place = |token: &PersonalToken| token.id.to_string();
    call.whole(place, true, |context| Ok(paging::whole(tokens::list(context)?, TOKENS_PER_USER_MAX))).await
}

/// Create a token
///
/// The secret is in this answer and nowhere else: the service keeps its SHA-256 alone.
#[utoipa::path(tag = "Identity", request_body = TokenToCreate, responses((status = 201, body = CreatedToken)))]
#[post("/tokens")]
async fn create_token(call: Call, body: Body<Draft<TokenToCreate>>) -> Answer {
    // Nothing is kept under an idempotency key here: the answer holds a secret.
    call.without_key()
        .write(&[], body, |context, draft| {
            context.authorise(crate::domain::policy::Access::Own)?;
            let new = draft.clone().map_err(Error::Invalid)?;
            let user = context.actor.user_id;
            let new = NewToken { name: new.name, scopes: new.scopes, expires_at: new.expires_at };
            let (row, token) = tokens::create(context, user, &new)?;
            let location = format!("{BASE}/tokens/{}", row.id);
            let row_version = row.row_version;
            let created = CreatedToken {
                token,
                id: row.id,
                name: row.name,
                hint: row.hint,
                scopes: row.scopes.0,
                expires_at: row.expires_at,
                created_at: row.created_at,
                row_version,
            };
            Ok(Reply::json(201, &created)?.version(row_version).at(location))
        })
        .await
}

/// Revoke a token
///
/// It is refused from now on. An administrator revokes anybody's.
#[utoipa::path(tag = "Identity", params(("id" = TokenId, Path,)), responses((status = 204)))]
#[delete("/tokens/{id}")]
async fn revoke_token(call: Call, body: NoBody) -> Answer {
    let path = call.clone();
    call.write(&[], body, move |context, _| {
        tokens::revoke(context, path.id("id", "token")?)?;
        Ok(Reply::empty())
    })
    .await
}
