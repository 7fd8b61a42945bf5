//! `[keys]`: what this installation changes about the profile's rules for keys.

use std::time::Duration;

use super::{
    quantity::duration,
    raw::{Item, Section},
};
use crate::domain::profile::Profile;

/// Rules for keys, the profile's and the file's together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// How long a rotated key still passes.
    pub rotation_grace: Duration,
    /// log2 of the rounds of bcrypt for new keys.
    pub bcrypt_cost: u32,
    /// Whether imported keys of other shapes than the profile's are looked up.
    pub accept_foreign: bool,
}

impl Keys {
    /// What the file changes is changed in the profile too, so that whoever asks either gets one answer.
    pub(super) fn read(section: &mut Section<'_>, profile: Option<&mut Profile>) -> Self {
        let cost = section.read("bcrypt_cost", "10", |item| item.number(4..=14)).unwrap_or(BCRYPT_COST);
        if cost < BCRYPT_COST {
            let text = format!(
                "{cost} makes guessing from a stolen database cheap; {BCRYPT_COST} or more is advised"
            );
            section.warn("bcrypt_cost", text);
        }
        let given = section.read("rotation_grace", r#""48h""#, duration);
        let rotation_grace = profile.map_or_else(Duration::default, |profile| {
            profile.keys.rotation_grace = given.unwrap_or(profile.keys.rotation_grace);
            profile.keys.rotation_grace
        });
        Self {
            rotation_grace,
            bcrypt_cost: cost,
            accept_foreign: section.read("accept_foreign", "false", Item::boolean).unwrap_or(false),
        }
    }
}

const BCRYPT_COST: u32 = 10;
