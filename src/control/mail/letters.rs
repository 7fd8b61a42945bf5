//! What the mails say. Text for everybody, and the same as HTML; no pictures, no tracking, nothing from elsewhere.

use askama::Template;

use super::Letter;
use crate::domain::{invitation::InvitationToken, time::Timestamp};

/// A letter whose template failed.
#[derive(Debug, thiserror::Error)]
#[error("the mail could not be written: {0}")]
pub(in crate::control) struct Unwritten(#[from] askama::Error);

/// Invites somebody.
#[derive(Debug)]
pub(in crate::control) struct InvitationLetter<'a> {
    pub(in crate::control) to: &'a str,
    /// Who invites; none: whoever runs the gateway.
    pub(in crate::control) inviter: Option<(&'a str, &'a str)>,
    pub(in crate::control) org: &'a str,
    pub(in crate::control) team: Option<&'a str>,
    /// The role for people; none: it is left to groups.
    pub(in crate::control) role: Option<&'a str>,
    pub(in crate::control) message: Option<&'a str>,
    pub(in crate::control) token: &'a InvitationToken,
    pub(in crate::control) expires_at: Timestamp,
    /// How people reach the gateway: a scheme and an authority.
    pub(in crate::control) public_url: &'a str,
}

impl InvitationLetter<'_> {
    pub(in crate::control) fn write(&self) -> Result<Letter, Unwritten> {
        let place = match self.team {
            Some(team) => format!("{team} ({})", self.org),
            None => self.org.to_owned(),
        };
        let who = self.inviter.map_or_else(
            || "You are invited".to_owned(),
            |(name, email)| format!("{name} ({email}) invites you"),
        );
        let link = format!("{}/.latchgate/invitations/accept?token={}", self.public_url, self.token.reveal());
        let words = Invitation {
            who: &who,
            org: self.org,
            team: self.team,
            role: self.role,
            message: self.message.map(str::lines).map(Iterator::collect).unwrap_or_default(),
            link: &link,
            until: &self.expires_at.for_people(),
            public_url: self.public_url,
        };
        let subject = match self.inviter {
            Some((name, _)) => format!("{name} invites you to {place}"),
            None => format!("You are invited to {place}"),
        };
        Ok(Letter {
            to: self.to.to_owned(),
            subject,
            text: InvitationText(&words).render()?,
            html: InvitationHtml(&words).render()?,
        })
    }
}

struct Invitation<'a> {
    who: &'a str,
    org: &'a str,
    team: Option<&'a str>,
    role: Option<&'a str>,
    message: Vec<&'a str>,
    link: &'a str,
    until: &'a str,
    public_url: &'a str,
}

#[derive(Template)]
#[template(
    ext = "txt",
    source = "Hello,

{{ self.0.who }} to join {% if let Some(team) = self.0.team %}the team {{ team }} of {% endif %}{{ self.0.org }}\
{% if let Some(role) = self.0.role %} as {{ role }}{% endif %}.
{% if !self.0.message.is_empty() %}
{% for line in self.0.message %}> {{ line }}
{% endfor %}{% endif %}
To accept, open this link before {{ self.0.until }}:

{{ self.0.link }}

It works once, and for you alone. If you did not expect this, you need not do anything.

--\x20
{{ self.0.public_url }}
"
)]
struct InvitationText<'a>(&'a Invitation<'a>);

#[derive(Template)]
#[template(
    ext = "html",
    source = "<!doctype html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Invitation</title></head>
<body style=\"font:16px/1.5 sans-serif;color:#1a1a1a;max-width:36em;margin:2em auto;padding:0 1em\">
<p>Hello,</p>
<p>{{ self.0.who }} to join {% if let Some(team) = self.0.team %}the team <b>{{ team }}</b> of {% endif %}\
<b>{{ self.0.org }}</b>{% if let Some(role) = self.0.role %} as {{ role }}{% endif %}.</p>
{% if !self.0.message.is_empty() %}<blockquote style=\"border-left:3px solid #ccc;margin:1em 0;padding-left:1em\">\
{% for line in self.0.message %}{{ line }}<br>{% endfor %}</blockquote>
{% endif %}<p><a href=\"{{ self.0.link }}\" style=\"background:#1a4d8f;color:#fff;padding:.6em 1.2em;\
border-radius:4px;text-decoration:none\">Accept the invitation</a></p>
<p>The link works once, and for you alone, before {{ self.0.until }}. If you did not expect this, you need not do \
anything.</p>
<p style=\"color:#555\">{{ self.0.public_url }}</p>
</body></html>
"
)]
struct InvitationHtml<'a>(&'a Invitation<'a>);

/// A key that ends soon, as it is named to people: never more of it than its public characters.
#[derive(Debug, Clone)]
pub(in crate::control) struct EndingKey {
    pub(in crate::control) name: String,
    pub(in crate::control) prefix: String,
    pub(in crate::control) until: String,
}

/// Tells of keys that end soon.
#[derive(Debug)]
pub(in crate::control) struct NoticeLetter<'a> {
    pub(in crate::control) to: &'a str,
    pub(in crate::control) org: &'a str,
    /// `one week`, `one day`.
    pub(in crate::control) within: &'a str,
    pub(in crate::control) keys: &'a [EndingKey],
    pub(in crate::control) public_url: &'a str,
}

impl NoticeLetter<'_> {
    pub(in crate::control) fn write(&self) -> Result<Letter, Unwritten> {
        let (count, within) = (self.keys.len(), self.within);
        let subject = match self.keys {
            [key] => format!("API key {} ({}) ends within {within}", key.name, key.prefix),
            _ => format!("{count} API keys end within {within}"),
        };
        Ok(Letter {
            to: self.to.to_owned(),
            subject,
            text: NoticeText(self).render()?,
            html: NoticeHtml(self).render()?,
        })
    }
}

#[derive(Template)]
#[template(
    ext = "txt",
    source = "Hello,

{% if self.0.keys.len() == 1 %}an API key{% else %}API keys{% endif %} of {{ self.0.org }} will stop working within \
{{ self.0.within }}:
{% for key in self.0.keys %}
* {{ key.name }} ({{ key.prefix }}), on {{ key.until }}{% endfor %}

Rotate what is still needed: its successor works at once, and the old key goes on for a while beside it. What is not
needed any more ends by itself.

--\x20
{{ self.0.public_url }}
"
)]
struct NoticeText<'a>(&'a NoticeLetter<'a>);

#[derive(Template)]
#[template(
    ext = "html",
    source = "<!doctype html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><title>API keys that end soon</title></head>
<body style=\"font:16px/1.5 sans-serif;color:#1a1a1a;max-width:36em;margin:2em auto;padding:0 1em\">
<p>Hello,</p>
<p>{% if self.0.keys.len() == 1 %}an API key{% else %}API keys{% endif %} of <b>{{ self.0.org }}</b> will stop \
working within {{ self.0.within }}:</p>
<ul>{% for key in self.0.keys %}<li><b>{{ key.name }}</b> ({{ key.prefix }}), on {{ key.until }}</li>{% endfor %}</ul>
<p>Rotate what is still needed: its successor works at once, and the old key goes on for a while beside it. What is \
not needed any more ends by itself.</p>
<p style=\"color:#555\">{{ self.0.public_url }}</p>
</body></html>
"
)]
struct NoticeHtml<'a>(&'a NoticeLetter<'a>);
