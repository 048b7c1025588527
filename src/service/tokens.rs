//! Personal access tokens: made, shown once, listed, revoked.

use serde_json::json;

use super::{Error, ReadContext, Recorded, Result, WriteContext};
use crate::domain::policy::Access;
use crate::domain::release::ChainHead;
use crate::domain::values::{Fault, Json, Timestamp, TokenId, TokenScope, UserId};
use crate::repository::audit::digest;
use crate::repository::identity::{self, TOKENS_PER_USER_MAX, TokenRow};

/// Every personal access token starts like this, so that scanners find a leaked one.
pub const PREFIX: &str = "slp_";
const SECRET_CHARACTERS: usize = 43;
const CHECK_CHARACTERS: usize = 6;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

fn check(secret: &str) -> String {
    digest(&["slipway personal access token", secret])[..CHECK_CHARACTERS].to_owned()
}

fn new_secret() -> String {
    let secret: String =
        (0..SECRET_CHARACTERS).map(|_| char::from(ALPHABET[rand::random_range(0..ALPHABET.len())])).collect();
    let check = check(&secret);
    format!("{PREFIX}{secret}{check}")
}

/// True where the prefix, the length and the checksum are right: no need to ask the database about others.
pub fn is_well_formed(token: &str) -> bool {
    token.strip_prefix(PREFIX).is_some_and(|rest| {
        rest.len() == SECRET_CHARACTERS + CHECK_CHARACTERS
            && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && check(&rest[..SECRET_CHARACTERS]) == rest[SECRET_CHARACTERS..]
    })
}

/// A token to be made.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Name for people.
    pub name: String,
    /// What it may be used for.
    pub scopes: Vec<TokenScope>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

/// Makes a token for the user; the secret is in the answer and nowhere else.
pub fn create(context: &mut WriteContext<'_>, user: UserId, new: &NewToken) -> Result<(TokenRow, String)> {
    let permit = context.authorise(Access::Own)?;
    if new.expires_at.is_some_and(|end| end <= context.now) {
        return Err(Error::Invalid(vec![Fault::at("/expires_at", "IN_THE_PAST", "The end lies in the past.")]));
    }
    let held = identity::tokens_of(context.connection, user)?.len();
    if i64::try_from(held).is_ok_and(|held| held >= TOKENS_PER_USER_MAX) {
        return Err(Error::conflict("LIMIT_REACHED", format!("A user has at most {TOKENS_PER_USER_MAX} tokens.")));
    }
    let secret = new_secret();
    let mut scopes = new.scopes.clone();
    scopes.sort_unstable();
    scopes.dedup();
    let row = TokenRow {
        id: TokenId::new(context.env.new_id(context.now)),
        user_id: user,
        name: new.name.clone(),
        hash: digest(&[&secret]),
        hint: secret[secret.len() - 4..].to_owned(),
        scopes: Json(scopes),
        expires_at: new.expires_at,
        last_used_at: None,
        revoked_at: None,
        row_version: 1,
        created_at: context.now,
        audit_seq: 0,
        audit_head: String::new(),
    };
    let after = json!({
        "user_id": user, "name": row.name, "scopes": row.scopes.0, "expires_at": row.expires_at, "hint": row.hint,
    });
    let stamp = context.record(
        permit,
        &ChainHead::default(),
        Recorded {
            record_type: "personal_token",
            record_id: row.id.to_string(),
            subject: None,
            action: "personal_token.create".into(),
            before: None,
            after: Some(&after),
            published: false,
        },
    )?;
    identity::insert_token(context.connection, &row, &stamp)?;
    Ok((row, secret))
}

/// The caller's tokens that are not revoked.
pub fn list(context: &mut ReadContext<'_>) -> Result<Vec<TokenRow>> {
    context.authorise(Access::Read)?;
    let user = context.actor.user_id;
    Ok(identity::tokens_of(context.connection, user)?)
}

/// Revokes a token: the caller's own, or anybody's for an administrator.
pub fn revoke(context: &mut WriteContext<'_>, id: TokenId) -> Result<()> {
    let token = identity::find_token(context.connection, id)?.filter(|token| token.revoked_at.is_none());
    let own =
        token.filter(|token| token.user_id == context.actor.user_id || context.authorise(Access::Directory).is_ok());
    let token = own.ok_or(Error::NotFound("token"))?;
    let permit = context.authorise(Access::Own)?;
    context.request.if_match.demand(token.row_version)?;
    let before = json!({"revoked": false});
    let after = json!({"revoked": true});
    let stamp = context.record(
        permit,
        &ChainHead { length: token.audit_seq, hash: token.audit_head.clone() },
        Recorded {
            record_type: "personal_token",
            record_id: id.to_string(),
            subject: None,
            action: "personal_token.revoke".into(),
            before: Some(&before),
            after: Some(&after),
            published: false,
        },
    )?;
    let now = context.now;
    Ok(identity::revoke_token(context.connection, id, now, &stamp)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_recognised_by_prefix_length_and_checksum() {
        let token = new_secret();
        assert!(is_well_formed(&token));
        assert!(!is_well_formed(&token[..token.len() - 1]));
        assert!(!is_well_formed(&token.replace(PREFIX, "ghp_")));
        let (head, last) = token.split_at(token.len() - 1);
        let other = if last == "0" { "1" } else { "0" };
        assert!(!is_well_formed(&format!("{head}{other}")));
    }
}
