//! `/auth/*` and `/me`: logging in and out, and who I am.

use actix_web::{get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use super::Operations;
use crate::api::schema::Checked;
use crate::api::{Answer, Body, Call, NoBody};
use crate::domain::values::{Draft, GlobalRole, GroupId, Permission, TokenScope, UserId};
use crate::error::Problem;
use crate::service::identity::{self, Granted};
use crate::service::{self, Reply, users};

/// Registers the operations.
pub fn configure(config: &mut impl Operations) {
    config.service(create_session).service(refresh_session).service(end_session).service(read_me);
}

/// Name and password.
#[derive(Clone, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"username": "admin", "password": "the password that the first start printed"}))]
pub struct Login {
    /// Login name.
    #[schema(min_length = 1, max_length = 64)]
    pub username: String,
    /// Password.
    #[schema(min_length = 1, max_length = 256, format = Password)]
    pub password: String,
}

impl Checked for Login {}

/// A refresh token.
#[derive(Clone, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"refresh_token": "slr_…"}))]
pub struct Refresh {
    /// The refresh token of the last login or refresh; it works once.
    #[schema(min_length = 1, max_length = 200)]
    pub refresh_token: String,
}

impl Checked for Refresh {}

/// A pair of tokens.
#[derive(Serialize, ToSchema)]
pub struct TokenPair {
    /// Goes into `Authorization: Bearer`.
    pub access_token: String,
    /// Always `Bearer`.
    pub token_type: &'static str,
    /// Life of the access token in seconds.
    pub expires_in: i64,
    /// Gives the next pair, once.
    pub refresh_token: String,
}

fn granted(call: &Call, granted: Granted) -> Answer {
    let pair = TokenPair {
        access_token: granted.access_token,
        token_type: "Bearer",
        expires_in: granted.expires_in,
        refresh_token: granted.refresh_token,
    };
    let reply = Reply::json(200, &pair).map_err(Problem::from)?;
    Ok(call.plain(reply))
}

/// Log in
///
/// Exchanges name and password for an access token of ten minutes and a refresh token. Failures are counted per
/// account and address. A user has at most 100 sessions at a time: one more login ends the oldest.
#[utoipa::path(tag = "Identity", request_body = Login, responses((status = 200, body = TokenPair)))]
#[post("/auth/login")]
async fn create_session(call: Call, body: Body<Draft<Login>>) -> Answer {
    let (draft, _) = body.into_parts()?;
    let (env, request, _place) = call.clone().unbound().await?;
    let login = draft.map_err(|faults| Problem::from(service::Error::Invalid(faults)))?;
    granted(&call, identity::login(&env, request, login.username, login.password).await.map_err(Problem::from)?)
}

/// Refresh
///
/// Exchanges a refresh token for a new pair. A token that was used before ends the session: somebody else may have it.
#[utoipa::path(tag = "Identity", request_body = Refresh, responses((status = 200, body = TokenPair)))]
#[post("/auth/refresh")]
async fn refresh_session(call: Call, body: Body<Draft<Refresh>>) -> Answer {
    let (draft, _) = body.into_parts()?;
    let (env, request, _place) = call.clone().unbound().await?;
    let refresh = draft.map_err(|faults| Problem::from(service::Error::Invalid(faults)))?;
    granted(&call, identity::refresh(&env, request, refresh.refresh_token).await.map_err(Problem::from)?)
}

/// Log out
///
/// Ends the session of the access token; its tokens are refused from now on.
#[utoipa::path(tag = "Identity", responses((status = 204)))]
#[post("/auth/logout")]
async fn end_session(call: Call, body: NoBody) -> Answer {
    call.without_key()
        .write(&[], body, |context, _| {
            identity::logout(context)?;
            Ok(Reply::empty())
        })
        .await
}

/// A group of mine.
#[derive(Debug, Serialize, ToSchema)]
pub struct MyGroup {
    /// The group.
    pub id: GroupId,
    /// Its name.
    pub name: String,
    /// What I may do with its releases.
    pub permissions: Vec<Permission>,
}

/// The caller.
#[derive(Debug, Serialize, ToSchema)]
pub struct Me {
    /// Identifier.
    pub id: UserId,
    /// Login name.
    pub username: String,
    /// Name for people.
    pub name: String,
    /// E-mail address.
    pub email: String,
    /// Right over the whole installation.
    pub global_role: Option<GlobalRole>,
    /// Groups, with what they permit.
    pub groups: Vec<MyGroup>,
    /// Scopes of the token; null where the credential is not limited.
    pub scopes: Option<Vec<TokenScope>>,
}

/// Read the caller
///
/// The account behind the credential, its groups, and what they permit.
#[utoipa::path(tag = "Identity", responses((status = 200, body = Me)))]
#[get("/me")]
async fn read_me(call: Call) -> Answer {
    call.read(&[], |context| {
        let (user, groups) = users::me(context)?;
        let groups = groups
            .into_iter()
            .map(|(id, group)| MyGroup {
                id,
                name: group.name,
                permissions: if group.active { group.permissions.0.into_iter().collect() } else { Vec::new() },
            })
            .collect();
        Reply::json(
            200,
            &Me {
                id: user.id,
                username: user.content.username,
                name: user.content.name,
                email: user.content.email,
                global_role: user.content.global_role,
                groups,
                scopes: context.actor.scopes.clone(),
            },
        )
    })
    .await
}
