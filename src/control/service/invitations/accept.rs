//! Accepting an invitation: whoever holds the link of the mail becomes a member.
//!
//! The link proves that somebody reads the mail at the invited address, and nothing else. A new account is made with
//! a password of its own; one that exists proves itself besides, so that a mail that went astray gives nobody
//! somebody's account.

use std::{fmt, net::IpAddr};

use serde_json::json;

use super::{deed, inviter};
use crate::{
    control::service::{
        Caller, Control, ServiceError,
        caller::{Person, Who},
        fields, members,
        rights::Rights,
        sessions::Proved,
        users::{self as people, UserView},
    },
    domain::{
        boundary::Boundary,
        email::Email,
        id::UserId,
        invitation::{InvitationToken, Status},
        profile::{Known, control},
        time::Timestamp,
    },
    store::{
        Conn,
        changes::Subject,
        invitations,
        invitations::Invitation,
        memberships,
        memberships::Membership,
        orgs, teams, users,
        users::{PasswordHash, User},
    },
};

/// What somebody sends to accept. Prints as nothing.
#[derive(Clone, Default)]
pub struct Acceptance {
    /// The token of the link.
    pub token: String,
    /// Their name, for a new account.
    pub name: Option<String>,
    /// A new account's password, or that of the account that exists.
    pub password: Option<String>,
    /// A code of that account's second factor, or a recovery code, where it has one.
    pub code: Option<String>,
    /// Who has signed in where they accept, if somebody has.
    pub signed_in: Option<UserId>,
    /// From where.
    pub ip: Option<IpAddr>,
}

impl fmt::Debug for Acceptance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acceptance(..)")
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Accepted {
    /// Who is a member now.
    pub user: UserView,
    /// Whether the account is new.
    pub created: bool,
}

/// An invitation as it is shown to whoever holds its link, before they accept.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct OpenInvitation {
    /// The invited address.
    pub email: String,
    /// The organization's name.
    pub org: String,
    /// The team's name; none: the organization itself.
    pub team: Option<String>,
    /// The role's name for people; none: what groups give.
    pub role: Option<String>,
    /// The address of who invited, or `operator`.
    pub invited_by: String,
    /// Whether the address has an account there, which then has to prove itself.
    pub account: bool,
    /// From then on it cannot be accepted.
    pub expires_at: Timestamp,
}

/// How whoever accepts is proved to be the one invited.
enum Proof {
    /// There is no account: one is made.
    New { name: String, password: PasswordHash },
    /// There is one, and it is theirs: they have signed in with it.
    SignedIn(UserId),
    /// There is one, and they know its password.
    Known(Box<Proved>),
}

const LONGEST_NAME: usize = 100;

impl Control {
    /// What a link leads to. Looking changes nothing, since programs that scan mails look too.
    pub async fn open_invitation(&self, token: &str) -> Result<OpenInvitation, ServiceError> {
        let mut conn = self.store().read().await?;
        let now = self.clock().now();
        let invitation = find_open(&mut conn, token, now).await?;
        self.judge(&mut conn, &invitation, now).await?;
        let account = self.account(&mut conn, &invitation).await?;
        let org = orgs::find(&mut conn, invitation.org_id).await?.ok_or(ServiceError::NotInvited)?;
        let team = match invitation.team_id {
            Some(id) => teams::find(&mut conn, id).await?.map(|team| team.name),
            None => None,
        };
        let rights = Rights::of_org(&mut conn, self.profile(), org.id).await?;
        let title = |name: &str| match rights.book(self.profile()).find(name) {
            Some(Known::Shipped(role)) => role.title.to_string(),
            _ => name.to_owned(),
        };
        Ok(OpenInvitation {
            role: invitation.role.as_deref().map(title),
            invited_by: inviter(&mut conn, invitation.invited_by).await?,
            email: invitation.email,
            org: org.name,
            team,
            account: account.is_some(),
            expires_at: invitation.life.expires_at,
        })
    }

    /// Accepts an invitation (R000_07). Of two who do so at once, one does.
    pub async fn accept_invitation(&self, acceptance: &Acceptance) -> Result<Accepted, ServiceError> {
        let now = self.clock().now();
        let mut conn = self.store().read().await?;
        let invitation = find_open(&mut conn, &acceptance.token, now).await?;
        self.judge(&mut conn, &invitation, now).await?;
        let account = self.account(&mut conn, &invitation).await?;
        drop(conn);
        // The costly part comes before the write lock, and only for who holds the link.
        let proof = self.prove_invited(account, &invitation.email, acceptance).await?;

        let mut tx = self.store().write().await?;
        let now = self.clock().now();
        let invitation = find_open(&mut tx, &acceptance.token, now).await?;
        self.judge(&mut tx, &invitation, now).await?;
        let account = self.account(&mut tx, &invitation).await?;
        let mut besides = None;
        let (user, created) = match (proof, account) {
            (Proof::New { name, password }, None) => {
                let user = User {
                    id: UserId::new(now),
                    org_id: invitation.org_id,
                    email: invitation.email.clone(),
                    name,
                    created_at: now,
                    deactivated_at: None,
                    removed_at: None,
                };
                users::insert(&mut tx, &user, Some(&password)).await?;
                (user, true)
            }
            (Proof::SignedIn(id), Some(user)) if user.id == id => (user, false),
            (Proof::Known(proved), Some(user)) if user.id == proved.user.id => {
                besides = Some(self.complete(&mut tx, now, *proved, acceptance.code.as_deref()).await?);
                (user, false)
            }
            // The account came or went in between.
            _ => return Err(ServiceError::Conflict("something has changed meanwhile: try again".into())),
        };
        let held = memberships::of_user(&mut tx, user.id).await?;
        if held.iter().any(|membership| membership.team_id == invitation.team_id) {
            return Err(ServiceError::Conflict("you are a member already".into()));
        }
        let membership = Membership {
            user_id: user.id,
            org_id: invitation.org_id,
            team_id: invitation.team_id,
            role: invitation.role.clone(),
            created_at: now,
        };
        memberships::put(&mut tx, &membership).await?;
        let life = invitation.life.accept(now).map_err(|_| ServiceError::NotInvited)?;
        if !invitations::end(&mut tx, invitation.id, &life).await? {
            return Err(ServiceError::NotInvited);
        }
        // From here on it is they who act, as in everything they do later.
        let person = Person::read(&mut tx, self.profile(), user.clone()).await?;
        let mut work = self.begun(tx, now, Who::Person(Box::new(person), acceptance.ip));
        if let Some(besides) = besides {
            besides.record(&mut work, &user).await?;
        }
        if created {
            let detail = json!({ "email": user.email, "role": invitation.role, "password": true });
            work.record(people::deed(&user, invitation.team_id, "create", "user.created", detail)).await?;
        }
        let detail = json!({ "email": user.email, "role": invitation.role, "user": user.id });
        work.record(deed(&invitation, "accept", "invitation.accepted", detail)).await?;
        work.changed(&Subject::Org(invitation.org_id)).await?;
        let accepted = Accepted { user: people::view(&mut work.tx, user).await?, created };
        work.finish(&accepted).await?;
        Ok(accepted)
    }

    /// The account of the invited address, if it has one where it is invited to. One elsewhere is in the way, which only
    /// who reads its mail is told.
    async fn account(&self, conn: &mut Conn, invitation: &Invitation) -> Result<Option<User>, ServiceError> {
        let Some(user) = users::find_by_email(conn, &invitation.email).await? else { return Ok(None) };
        if user.org_id != invitation.org_id {
            return Err(ServiceError::Conflict(
                "this address has an account in another organization, and an account belongs to one: ask to be \
                 invited by another address, or to have that account removed"
                    .into(),
            ));
        }
        if !user.active() {
            return Err(ServiceError::Forbidden("this account may not act".into()));
        }
        Ok(Some(user))
    }

    async fn prove_invited(
        &self,
        account: Option<User>,
        email: &str,
        sent: &Acceptance,
    ) -> Result<Proof, ServiceError> {
        let other =
            || ServiceError::Forbidden("the invitation is for another account than the one signed in".into());
        match (account, sent.signed_in) {
            (Some(user), Some(id)) if user.id == id => Ok(Proof::SignedIn(id)),
            (_, Some(_)) => Err(other()),
            (None, None) => {
                let name = sent.name.as_deref().unwrap_or_default();
                let name = fields::name("name", name, LONGEST_NAME)?;
                let password = sent.password.as_deref().unwrap_or_default();
                fields::password(password, email)?;
                let password = self.0.hashing.password(password).await?;
                Ok(Proof::New { name, password })
            }
            (Some(user), None) => {
                let Some(password) = &sent.password else {
                    return Err(ServiceError::field(
                        "password",
                        "this address has an account: send its password, or sign in first",
                    ));
                };
                let proved = self.prove_password(&user.email, password, sent.ip).await?;
                Ok(Proof::Known(Box::new(proved)))
            }
        }
    }

    /// Whether what was true when somebody was invited still is: whoever invited may still give this role there, and
    /// there is still such a role.
    async fn judge(
        &self,
        conn: &mut Conn,
        invitation: &Invitation,
        now: Timestamp,
    ) -> Result<(), ServiceError> {
        let stale = || {
            ServiceError::Forbidden(
                "whoever invited you may not give you this role any more: ask for a new invitation".into(),
            )
        };
        let profile = self.profile();
        let place = members::boundary(invitation.org_id, invitation.team_id);
        let rights = Rights::of_org(conn, profile, invitation.org_id).await?;
        let (book, role) = (rights.book(profile), invitation.role.as_deref());
        let fits = match role.map(|role| book.find(role)) {
            None => profile.members.role_optional,
            Some(None) => false,
            Some(Some(Known::Shipped(role))) => {
                (role.level == crate::domain::role::Level::Team) == invitation.team_id.is_some()
            }
            Some(Some(Known::Custom(_))) => true,
        };
        let email: Result<Email, _> = invitation.email.parse();
        if !fits || !email.is_ok_and(|email| self.settings().invitations.allow(&email)) {
            return Err(stale());
        }
        let caller = match invitation.invited_by {
            None => Caller::Operator,
            Some(id) => Caller::User { id, ip: None, team: None },
        };
        let who = Who::read(conn, profile, &caller, now).await;
        let who =
            who.map_err(|error| if matches!(error, ServiceError::Store(_)) { error } else { stale() })?;
        let allowed = match who.org() {
            // The first administrator of an organization that somebody of another one has made.
            Some(own) if own != invitation.org_id => {
                who.may(control::ORG_CREATE, &Boundary::Org(own))
                    && role == Some(&*profile.roles.highest().name)
            }
            _ => {
                who.may(control::MEMBER_INVITE, &place)
                    && members::may_change(&book, &who, &place, None, role).is_ok()
            }
        };
        if allowed { Ok(()) } else { Err(stale()) }
    }
}

/// The invitation of this token, if it can still be accepted. Unknown, used and taken back are told apart by nothing.
async fn find_open(conn: &mut Conn, token: &str, now: Timestamp) -> Result<Invitation, ServiceError> {
    let token: InvitationToken = token.trim().parse().map_err(|_| ServiceError::NotInvited)?;
    let found = invitations::find_by_token(conn, &token.digest()).await?;
    let invitation = found.ok_or(ServiceError::NotInvited)?;
    match invitation.life.status(now) {
        Status::Pending => Ok(invitation),
        Status::Expired => Err(ServiceError::InvitationExpired),
        Status::Accepted | Status::Revoked => Err(ServiceError::NotInvited),
    }
}
