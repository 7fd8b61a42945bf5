//! Inviting somebody.

use std::time::Duration;

use serde_json::json;

use super::{Into, InvitationView, close, deed, view};
use crate::{
    control::{
        mail::InvitationLetter,
        service::{
            Caller, Control, ServiceError, caller::Who, fields, members, orgs, rights::Rights, teams,
            work::Work,
        },
    },
    domain::{
        email::{Email, MailDomain},
        id::{InvitationId, OrgId, TeamId},
        invitation::{InvitationToken, Life},
        profile::{Known, control},
    },
    store::{Conn, invitations, invitations::Invitation, memberships, orgs::Org, users},
};

/// Whom to invite, where to, as what.
#[derive(Debug, Clone)]
pub struct NewInvitation {
    /// Where to.
    pub to: InviteTo,
    /// The address.
    pub email: String,
    /// The role; none where the profile lets groups give them all.
    pub role: Option<String>,
    /// A few words of the inviter's own.
    pub message: Option<String>,
}

/// Where somebody is invited to.
#[derive(Debug, Clone)]
pub enum InviteTo {
    /// This team, by id or slug.
    Team(String),
    /// The organization itself, by id or slug; none: the caller's, or the only one.
    Org(Option<String>),
}

/// R000_09 counts within this.
const HOUR: Duration = Duration::from_secs(3600);
const LONGEST_MESSAGE: usize = 1000;

impl Control {
    /// Invites somebody by mail (R000_05). One who was invited there before gets a new link, and the old one is dead.
    ///
    /// Whether the address has an account elsewhere is told to nobody but whoever reads its mail.
    pub async fn invite(&self, caller: &Caller, new: &NewInvitation) -> Result<InvitationView, ServiceError> {
        let email = fields::email(&new.email)?;
        // Line ends as browsers send them.
        let message = new.message.as_ref().map(|text| text.replace("\r\n", "\n"));
        let message = fields::note("message", message.as_deref(), LONGEST_MESSAGE)?;
        let mut work = self.begin(caller).await?;
        let (org, team) = self.place_invited(&mut work.tx, &work.who, new).await?;
        self.may_mail(&email)?;
        self.keep_pace(&mut work).await?;
        let account = users::find_by_email(&mut work.tx, email.as_str()).await?;
        if let Some(user) = account.filter(|user| user.org_id == org.id) {
            let held = memberships::of_user(&mut work.tx, user.id).await?;
            if held.iter().any(|membership| membership.team_id == team) {
                return Err(ServiceError::Conflict(format!("{} is a member already", user.email)));
            }
        }
        let wanted =
            Wanted { org: &org, team, email: &email, role: new.role.as_deref(), message: message.as_deref() };
        let view = self.write_invitation(&mut work, &wanted).await?;
        work.finish(&view).await?;
        Ok(view)
    }

    /// Where the new one's role is held, if the caller may invite to it.
    async fn place_invited(
        &self,
        conn: &mut Conn,
        who: &Who,
        new: &NewInvitation,
    ) -> Result<(Org, Option<TeamId>), ServiceError> {
        let (org, team) = match &new.to {
            InviteTo::Team(named) => {
                let team = teams::find(conn, who, None, named).await?;
                (orgs::find(conn, who, &team.org_id.to_string()).await?, Some(team.id))
            }
            InviteTo::Org(named) => (orgs::find_or_only(conn, who, "org", named.as_deref()).await?, None),
        };
        let place = members::boundary(org.id, team);
        // Whether they may invite there at all comes before what is wrong with the wish.
        who.require(self.profile(), control::MEMBER_INVITE, &place)?;
        let rights = Rights::of_org(conn, self.profile(), org.id).await?;
        let (book, role) = (rights.book(self.profile()), new.role.as_deref());
        if team.is_none() && role.and_then(|role| book.find(role)).is_some_and(|known| known.only_in_teams())
        {
            return Err(ServiceError::field("role", "is held in a team, not in the organization"));
        }
        let named = team.map(|team| team.to_string());
        if members::place(&book, conn, who, org.id, named.as_deref(), role).await? != team {
            return Err(ServiceError::field("role", "is held in the organization, not in a team"));
        }
        members::may_change(&book, who, &place, None, role)?;
        Ok((org, team))
    }

    /// Refuses an address to which no invitation may go (R000_08), and any where no mail leaves at all.
    pub(in crate::control::service) fn may_mail(&self, email: &Email) -> Result<(), ServiceError> {
        let settings = self.settings();
        if settings.mail.is_none() {
            return Err(ServiceError::Conflict(
                "no mail can be sent, so nobody can be invited: set mail.url and mail.from in the configuration".into(),
            ));
        }
        if !settings.invitations.allow(email) {
            let allowed = &settings.invitations.allowed_domains;
            let allowed: Vec<_> = allowed.iter().map(MailDomain::as_str).collect();
            let message = format!("only addresses at {} may be invited", allowed.join(", "));
            return Err(ServiceError::field("email", message));
        }
        Ok(())
    }

    /// Refuses a person who has invited too many in the last hour (R000_09). Counted under the write lock, so that
    /// requests that come together are counted one after the other.
    pub(in crate::control::service) async fn keep_pace(
        &self,
        work: &mut Work<'_>,
    ) -> Result<(), ServiceError> {
        let Who::Person(person, _) = &work.who else { return Ok(()) };
        let most = self.settings().invitations.per_hour.get();
        match invitations::wait(&mut work.tx, person.user.id, most, HOUR, work.now).await? {
            None => Ok(()),
            Some(wait) => Err(ServiceError::RateLimited {
                text: format!("at most {most} invitations an hour; wait as long as Retry-After says"),
                wait,
            }),
        }
    }

    /// The rows of one that may be made: the invitation, its mail, its line in the trail.
    pub(in crate::control::service) async fn write_invitation(
        &self,
        work: &mut Work<'_>,
        wanted: &Wanted<'_>,
    ) -> Result<InvitationView, ServiceError> {
        let (org, team) = (wanted.org.id, wanted.team);
        let replaced = close(&mut work.tx, org, wanted.email.as_str(), Into::Place(team), work.now).await?;
        let token = InvitationToken::generate().map_err(|error| ServiceError::Secret(error.into()))?;
        let invitation = Invitation {
            id: InvitationId::new(work.now),
            org_id: org,
            team_id: team,
            email: wanted.email.to_string(),
            role: wanted.role.map(str::to_owned),
            invited_by: work.who.user(),
            created_at: work.now,
            life: Life::begin(work.now, self.settings().invitations.expires),
        };
        invitations::insert(&mut work.tx, &invitation, &token.digest()).await?;
        let (role, team) =
            (self.title(&mut work.tx, org, wanted.role).await?, self.team_name(work, team).await?);
        let inviter = match &work.who {
            Who::Person(person, _) => Some((person.user.name.clone(), person.user.email.clone())),
            Who::Operator | Who::Key(..) => None,
        };
        let letter = InvitationLetter {
            to: wanted.email.as_str(),
            inviter: inviter.as_ref().map(|(name, email)| (name.as_str(), email.as_str())),
            org: &wanted.org.name,
            team: team.as_deref(),
            role: role.as_deref(),
            message: wanted.message,
            token: &token,
            expires_at: invitation.life.expires_at,
            public_url: &self.settings().public_url,
        };
        let letter = letter.write().map_err(|error| ServiceError::Secret(error.into()))?;
        self.post(work, &letter, &invitation).await?;
        let replaced: Vec<_> = replaced.iter().map(|invitation| invitation.id).collect();
        let detail = json!({ "email": invitation.email, "role": invitation.role, "replaces": replaced });
        work.record(deed(&invitation, "invite", "invitation.created", detail)).await?;
        view(&mut work.tx, invitation, work.now).await
    }

    /// A role as people know it.
    async fn title(
        &self,
        conn: &mut Conn,
        org: OrgId,
        role: Option<&str>,
    ) -> Result<Option<String>, ServiceError> {
        let Some(name) = role else { return Ok(None) };
        let rights = Rights::of_org(conn, self.profile(), org).await?;
        Ok(Some(match rights.book(self.profile()).find(name) {
            Some(Known::Shipped(role)) => role.title.to_string(),
            _ => name.to_owned(),
        }))
    }

    async fn team_name(
        &self,
        work: &mut Work<'_>,
        team: Option<TeamId>,
    ) -> Result<Option<String>, ServiceError> {
        let Some(id) = team else { return Ok(None) };
        Ok(crate::store::teams::find(&mut work.tx, id).await?.map(|team| team.name))
    }
}

/// One that may be made.
#[derive(Debug)]
pub(in crate::control::service) struct Wanted<'a> {
    pub(in crate::control::service) org: &'a Org,
    pub(in crate::control::service) team: Option<TeamId>,
    pub(in crate::control::service) email: &'a Email,
    pub(in crate::control::service) role: Option<&'a str>,
    pub(in crate::control::service) message: Option<&'a str>,
}
