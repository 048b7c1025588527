//! Who may do what: actor x action x resource -> decision (`domain.md` §3 and §8).
//!
//! The rights are data: [`RIGHTS`] beside the transition table says which right an action on a release
//! needs, [`Access`] says it for everything else. Nothing is allowed that is not written here.

use serde::Serialize;
use utoipa::ToSchema;

use super::values::{Action, GlobalRole, GroupId, NotAValue, Permission, SessionId, TokenId, TokenScope, UserId};
use crate::mutants::mutant;

/// A group that the actor belongs to, with what it permits.
#[derive(Debug, Clone)]
pub struct Membership {
    /// The group.
    pub group_id: GroupId,
    /// What the group permits its members.
    pub permissions: Vec<Permission>,
}

/// How the actor proved who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// By a session's access token.
    Session(SessionId),
    /// By a personal access token.
    Token(TokenId),
    /// On the machine itself: command line, first start.
    Console,
}

impl std::fmt::Display for Via {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Session(id) => write!(f, "session:{id}"),
            Self::Token(id) => write!(f, "token:{id}"),
            Self::Console => f.write_str("console"),
        }
    }
}

impl std::str::FromStr for Via {
    type Err = NotAValue;

    fn from_str(text: &str) -> Result<Self, NotAValue> {
        match text.split_once(':') {
            Some(("session", id)) => id.parse().map(Self::Session),
            Some(("token", id)) => id.parse().map(Self::Token),
            None if text == "console" => Ok(Self::Console),
            _ => Err(NotAValue::new("way to prove who somebody is", text)),
        }
    }
}

/// The authenticated caller, as loaded in the transaction of the request.
#[derive(Debug, Clone)]
pub struct Actor {
    /// The user.
    pub user_id: UserId,
    /// The user's login name, for history.
    pub username: String,
    /// Right over the whole installation.
    pub global_role: Option<GlobalRole>,
    /// Groups, with what they permit.
    pub memberships: Vec<Membership>,
    /// Scopes of the token; `None` where the credential is not limited.
    pub scopes: Option<Vec<TokenScope>>,
    /// How the actor proved who they are.
    pub via: Via,
}

impl Actor {
    /// True for those whose global role grants every right on every release.
    pub fn manages_releases(&self) -> bool {
        matches!(self.global_role, Some(GlobalRole::Admin | GlobalRole::ReleaseManager))
    }

    /// True for a member of the group.
    pub fn belongs_to(&self, group: GroupId) -> bool {
        self.memberships.iter().any(|membership| membership.group_id == group)
    }

    /// True where the actor holds the permission for releases of the group.
    pub fn may(&self, permission: Permission, group: GroupId) -> bool {
        self.manages_releases()
            || self.memberships.iter().any(|m| m.group_id == group && m.permissions.contains(&permission))
    }

    /// True where the actor holds the permission in at least one group.
    pub fn may_anywhere(&self, permission: Permission) -> bool {
        self.manages_releases() || self.memberships.iter().any(|m| m.permissions.contains(&permission))
    }

    /// True where the credential covers the scope.
    pub fn has_scope(&self, scope: TokenScope) -> bool {
        self.scopes.as_ref().is_none_or(|scopes| scopes.contains(&scope))
    }

    /// Whom the actor may vote for on approvals: themselves, and the groups in which they hold `approve` as a member.
    pub fn voices(&self) -> impl Iterator<Item = Principal> {
        let groups = self.memberships.iter().filter(|m| m.permissions.contains(&Permission::Approve));
        std::iter::once(Principal::User(self.user_id)).chain(groups.map(|m| Principal::Group(m.group_id)))
    }

    /// What the actor may see of releases.
    pub fn visibility(&self) -> Visibility {
        if self.global_role.is_some() {
            return Visibility::Everything;
        }
        let mut principals = vec![Principal::User(self.user_id)];
        principals.extend(self.memberships.iter().map(|m| Principal::Group(m.group_id)));
        Visibility::Of(principals)
    }
}

/// Somebody to whom a release can be visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Principal {
    /// One user.
    User(UserId),
    /// Every member of a group.
    Group(GroupId),
}

impl std::fmt::Display for Principal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(id) => write!(f, "u:{id}"),
            Self::Group(id) => write!(f, "g:{id}"),
        }
    }
}

/// The releases that a query may answer with. Part of every query on releases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visibility {
    /// Every release.
    Everything,
    /// Those visible to one of these.
    Of(Vec<Principal>),
}

/// What a request wants to do, outside the lifecycle of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read what every authenticated user may read.
    Read,
    /// Write releases; the right itself is judged per release.
    Releases,
    /// Write portfolios, models, justifications and the like.
    Catalogue,
    /// Write working copies of what other tools own.
    Integration,
    /// Write the definitive media library and the definitive hardware store.
    Library,
    /// Write users, groups, units and contracts.
    Directory,
    /// Read the audit.
    Audit,
    /// Manage the caller's own tokens, sessions and password.
    Own,
}

/// Proof that a policy allowed what is about to be done; only this module makes one.
#[derive(Debug, Clone, Copy)]
pub struct Permit(());

/// A refusal by policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// UPPER_SNAKE code.
    pub code: &'static str,
    /// What is missing, in words.
    pub detail: String,
}

impl Access {
    /// The scope that a personal access token needs for it.
    pub const fn scope(self) -> TokenScope {
        match self {
            Self::Read => TokenScope::Read,
            Self::Releases => TokenScope::ReleasesWrite,
            Self::Catalogue => TokenScope::CatalogueWrite,
            Self::Integration | Self::Library => TokenScope::IntegrationWrite,
            Self::Directory | Self::Audit | Self::Own => TokenScope::Admin,
        }
    }

    /// The global roles that have it; `None` where every user has it.
    pub const fn roles(self) -> Option<&'static [GlobalRole]> {
        match self {
            Self::Read | Self::Releases | Self::Own => None,
            Self::Catalogue => Some(&[GlobalRole::Admin, GlobalRole::ReleaseManager]),
            Self::Integration => Some(&[GlobalRole::Admin, GlobalRole::Integration]),
            Self::Library => Some(&[GlobalRole::Admin, GlobalRole::ReleaseManager, GlobalRole::Integration]),
            Self::Directory | Self::Audit => Some(&[GlobalRole::Admin]),
        }
    }
}

/// Judges an access by scope and global role.
pub fn authorise(actor: &Actor, access: Access) -> Result<Permit, Denial> {
    if !actor.has_scope(access.scope()) && !mutant("scope_unchecked") {
        return Err(Denial {
            code: "SCOPE_MISSING",
            detail: format!("The token does not carry the scope `{}`.", access.scope()),
        });
    }
    match access.roles() {
        Some(roles) if !actor.global_role.is_some_and(|role| roles.contains(&role)) => Err(Denial {
            code: "FORBIDDEN",
            detail: format!(
                "This needs one of the global roles {}.",
                roles.iter().map(|role| format!("`{role}`")).collect::<Vec<_>>().join(", ")
            ),
        }),
        _ => Ok(Permit(())),
    }
}

/// Judges who may say that a definitive medium is what it claims to be: whoever works on releases anywhere, or keeps
/// what other tools own.
pub fn may_verify_media(actor: &Actor) -> Result<Permit, Denial> {
    let permit = authorise(actor, Access::Releases)?;
    if actor.may_anywhere(Permission::Execute) || actor.global_role == Some(GlobalRole::Integration) {
        return Ok(permit);
    }
    let detail = "This needs `execute` in a group of yours, or the global role `integration`.".into();
    Err(Denial { code: "FORBIDDEN", detail })
}

/// Judges who may say that a definitive medium is to be installed.
pub fn may_authorise_media(actor: &Actor) -> Result<Permit, Denial> {
    let permit = authorise(actor, Access::Releases)?;
    if actor.may_anywhere(Permission::AuthoriseMedia) {
        return Ok(permit);
    }
    let detail = format!("This needs `{}` in a group of yours.", Permission::AuthoriseMedia);
    Err(Denial { code: "FORBIDDEN", detail })
}

/// Judges whether the actor passes what somebody else looked at before: four eyes.
pub fn four_eyes(actor: &Actor, first: Option<UserId>) -> Result<(), Denial> {
    if first != Some(actor.user_id) {
        return Ok(());
    }
    let detail = "You verified the medium: somebody else authorises it.".into();
    Err(Denial { code: "FOUR_EYES", detail })
}

/// The right that an action on a release needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// `create` in any group.
    CreateAnywhere,
    /// The responsible of the release's current stage.
    StageResponsible,
    /// `execute` in the executor group, or in a group that the current stage names.
    Execute,
    /// `delegate` in the executor group.
    Delegate,
    /// `suspend` in the executor group.
    Suspend,
    /// `reactivate` in the executor group.
    Reactivate,
    /// `cancel` in the executor group.
    Cancel,
    /// `reopen` in the executor group.
    Reopen,
    /// The acting requester: the requester's user, or the creator where the requester has no account.
    ActingRequester,
    /// A release manager.
    ReleaseManager,
}

/// The right of every action; `close` as unsolved is for a release manager alone.
pub const RIGHTS: &[(Action, Right)] = &[
    (Action::Create, Right::CreateAnywhere),
    (Action::Advance, Right::StageResponsible),
    (Action::SendBack, Right::StageResponsible),
    (Action::Capture, Right::Execute),
    (Action::Delegate, Right::Delegate),
    (Action::Suspend, Right::Suspend),
    (Action::Reactivate, Right::Reactivate),
    (Action::Cancel, Right::Cancel),
    (Action::Close, Right::ActingRequester),
    (Action::Reopen, Right::Reopen),
];

/// The right that the action needs.
pub fn right_of(action: Action) -> Right {
    RIGHTS.iter().find(|(a, _)| *a == action).map_or(Right::ReleaseManager, |(_, right)| *right)
}
