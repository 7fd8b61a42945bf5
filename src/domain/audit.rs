//! The audit trail: who did what to what, in a chain that shows tampering.
//!
//! Each row holds the SHA-256 of its content and of the hash before it. Whoever alters, removes or inserts a row has
//! to recompute everything after it, and so changes the newest hash, which can be written down elsewhere.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::{
    id::{AuditId, OrgId, TeamId},
    time::Timestamp,
};

/// Who acted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ActorKind {
    /// A person, signed in.
    User,
    /// An API key.
    ApiKey,
    /// Whoever runs the gateway, on its command line.
    Operator,
    /// The gateway itself.
    System,
}

impl ActorKind {
    const ALL: [Self; 4] = [Self::User, Self::ApiKey, Self::Operator, Self::System];

    /// The name used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ApiKey => "api_key",
            Self::Operator => "operator",
            Self::System => "system",
        }
    }
}

impl fmt::Display for ActorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for ActorKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Text that names no kind of actor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a kind of actor: expected user, api_key, operator or system")]
pub struct NotAnActorKind;

impl std::str::FromStr for ActorKind {
    type Err = NotAnActorKind;

    fn from_str(text: &str) -> Result<Self, NotAnActorKind> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(NotAnActorKind)
    }
}

/// Who acted, by the name they go by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// What they are.
    pub kind: ActorKind,
    /// A person's e-mail address, a key's prefix, or the kind's own name.
    pub name: String,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// In which organization; none: outside all.
    pub org: Option<OrgId>,
    /// In which team.
    pub team: Option<TeamId>,
    /// The kind of thing, as the table that holds it: `api_keys`, `users` ...
    pub target_table: String,
    /// The thing: a key's prefix, else an id.
    pub target: String,
    /// A verb: `create`, `revoke` ...
    pub action: String,
    /// Noun and past participle: `api_key.created`.
    pub event: String,
    /// Who.
    pub actor: Actor,
    /// From where.
    pub ip: Option<String>,
    /// What else is worth knowing, as JSON text; never a secret.
    pub detail: String,
}

/// SHA-256 of an event and of the hash before it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ChainHash([u8; 32]);

impl ChainHash {
    /// What the first event follows.
    pub const START: Self = Self([0; 32]);

    /// The hash of the event at position `seq`, which follows the one with the hash `before`.
    ///
    /// Every field goes in with its length before it, so that no two contents have one encoding.
    pub fn of(seq: i64, event: &Event, before: Self) -> Self {
        let mut chain = Sha256::new();
        chain.update(b"latchgate audit 1\n");
        chain.update(before.0);
        let org = event.org.map(|id| id.to_string());
        let team = event.team.map(|id| id.to_string());
        let fields = [
            Some(seq.to_string()),
            Some(event.id.to_string()),
            Some(event.at.micros().to_string()),
            org,
            team,
            Some(event.target_table.clone()),
            Some(event.target.clone()),
            Some(event.action.clone()),
            Some(event.event.clone()),
            Some(event.actor.name.clone()),
            Some(event.actor.kind.as_str().to_owned()),
            event.ip.clone(),
            Some(event.detail.clone()),
        ];
        for field in &fields {
            // No length has all bits set: an absent field is not an empty one.
            let length = field.as_ref().map_or(u64::MAX, |text| text.len() as u64);
            chain.update(length.to_be_bytes());
            chain.update(field.as_deref().unwrap_or_default().as_bytes());
        }
        Self(chain.finalize().into())
    }
}

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for ChainHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Text that is no hash of the chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a hash: expected 64 lower-case hexadecimal digits")]
pub struct NotAHash;

impl std::str::FromStr for ChainHash {
    type Err = NotAHash;

    fn from_str(text: &str) -> Result<Self, NotAHash> {
        if text.len() != 64 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(NotAHash);
        }
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| NotAHash)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| NotAHash)?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        let at = Timestamp::from_micros(1_000_000);
        Event {
            id: AuditId::new(at),
            at,
            org: Some(OrgId::new(at)),
            team: None,
            target_table: "api_keys".into(),
            target: "a1b2c3d4".into(),
            action: "revoke".into(),
            event: "api_key.revoked".into(),
            actor: Actor { kind: ActorKind::Operator, name: "operator".into() },
            ip: None,
            detail: "{}".into(),
        }
    }

    #[test]
    fn every_field_counts() {
        let original = event();
        let hash = ChainHash::of(7, &original, ChainHash::START);
        let at = Timestamp::from_micros(2_000_000);
        let changes: [fn(&mut Event, Timestamp); 11] = [
            |e, at| e.id = AuditId::new(at),
            |e, at| e.at = at,
            |e, _| e.org = None,
            |e, at| e.team = Some(TeamId::new(at)),
            |e, _| e.target_table.push('x'),
            |e, _| e.target.push('x'),
            |e, _| e.action.push('x'),
            |e, _| e.event.push('x'),
            |e, _| e.actor.name.push('x'),
            |e, _| e.actor.kind = ActorKind::System,
            |e, _| e.detail.push(' '),
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut altered = original.clone();
            change(&mut altered, at);
            assert_ne!(ChainHash::of(7, &altered, ChainHash::START), hash, "change {number}");
        }
        assert_ne!(ChainHash::of(8, &original, ChainHash::START), hash);
        assert_ne!(ChainHash::of(7, &original, hash), hash);
    }

    /// Moving characters between fields, or an empty field for an absent one, is seen.
    #[test]
    fn fields_do_not_run_together() {
        let original = event();
        let mut moved = original.clone();
        moved.target_table = "api_keysa".into();
        moved.target = "1b2c3d4".into();
        let mut emptied = original.clone();
        emptied.ip = Some(String::new());
        let hash = ChainHash::of(1, &original, ChainHash::START);
        assert_ne!(ChainHash::of(1, &moved, ChainHash::START), hash);
        assert_ne!(ChainHash::of(1, &emptied, ChainHash::START), hash);
    }

    #[test]
    fn a_hash_survives_its_text() {
        let hash = ChainHash::of(1, &event(), ChainHash::START);
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert!("x".parse::<ChainHash>().is_err());
        assert!(hash.to_string().to_uppercase().parse::<ChainHash>().is_err());
    }
}
