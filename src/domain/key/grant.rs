//! What a key holds, and the rule that nobody gives more than they have (R001_02).

use crate::domain::{
    access::{Networks, RatePerMinute},
    boundary::Boundary,
    permission::PermissionSet,
    time::Timestamp,
};

/// Everything that can be given with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Where it may act.
    pub boundary: Boundary,
    /// What it may do there.
    pub permissions: PermissionSet,
    /// Until when; none: without end.
    pub expires_at: Option<Timestamp>,
    /// From where; none: from everywhere.
    pub networks: Networks,
    /// How often; none: without limit.
    pub rate: Option<RatePerMinute>,
}

/// In what a gift exceeds its giver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Excess {
    /// Acts where the giver may not.
    #[error("it would act outside the giver's own boundary")]
    Boundary,
    /// Does what the giver may not.
    #[error("it would hold permissions that the giver does not hold")]
    Permissions(PermissionSet),
    /// Lives longer.
    #[error("it would outlive the giver")]
    Expiry,
    /// Is used from where the giver may not be.
    #[error("it could be used from networks that the giver may not be used from")]
    Networks,
    /// Calls more often.
    #[error("its rate limit would exceed the giver's")]
    Rate,
}

impl Grant {
    /// Checks that `self` is at most what `giver` holds, in every respect.
    pub fn within(&self, giver: &Self) -> Result<(), Excess> {
        if !giver.boundary.covers(&self.boundary) {
            return Err(Excess::Boundary);
        }
        let beyond = self.permissions.difference(&giver.permissions);
        if !beyond.is_empty() {
            return Err(Excess::Permissions(beyond));
        }
        if !bounded(self.expires_at, giver.expires_at) {
            return Err(Excess::Expiry);
        }
        if !self.networks.within(&giver.networks) {
            return Err(Excess::Networks);
        }
        if !bounded(self.rate, giver.rate) {
            return Err(Excess::Rate);
        }
        Ok(())
    }
}

/// Whether `own` is at most `limit`; having none is unlimited.
fn bounded<T: PartialOrd>(own: Option<T>, limit: Option<T>) -> bool {
    match (own, limit) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(own), Some(limit)) => own <= limit,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{
        id::{OrgId, TeamId},
        permission::Permission,
    };

    const START: Timestamp = Timestamp::from_micros(0);

    fn grants() -> impl Strategy<Value = Grant> {
        let org = OrgId::new(START);
        let teams = [TeamId::new(START), TeamId::new(START)];
        let boundary = prop_oneof![
            Just(Boundary::Org(org)),
            Just(Boundary::Team(org, teams[0])),
            Just(Boundary::Team(org, teams[1]))
        ];
        let permissions = prop::collection::vec(0..5_u8, 0..4).prop_map(|list| {
            list.into_iter().fold(PermissionSet::EMPTY, |set, p| set.with(Permission::new(p)))
        });
        let networks = prop::sample::subsequence(vec!["10.0.0.0/8", "10.1.0.0/16", "192.0.2.1"], 0..=3)
            .prop_map(|list| Networks::parse(&list).unwrap());
        let rate = prop::option::of((1..4_u32).prop_map(|n| RatePerMinute::new(n).unwrap()));
        let expiry = prop::option::of((0..4_i64).prop_map(Timestamp::from_micros));
        (boundary, permissions, expiry, networks, rate).prop_map(
            |(boundary, permissions, expires_at, networks, rate)| Grant {
                boundary,
                permissions,
                expires_at,
                networks,
                rate,
            },
        )
    }

    proptest! {
        #[test]
        fn a_grant_is_within_itself(grant in grants()) {
            prop_assert_eq!(grant.within(&grant), Ok(()));
        }

        /// No chain of givers ends with more than its first one had.
        #[test]
        fn giving_on_never_gains(first in grants(), second in grants(), third in grants()) {
            if second.within(&first).is_ok() && third.within(&second).is_ok() {
                prop_assert_eq!(third.within(&first), Ok(()));
            }
        }
    }

    #[test]
    fn each_excess_is_named() {
        let org = OrgId::new(START);
        let one = |n| RatePerMinute::new(n).ok();
        let giver = Grant {
            boundary: Boundary::Team(org, TeamId::new(START)),
            permissions: PermissionSet::only(Permission::new(1)),
            expires_at: Some(START),
            networks: Networks::parse(&["10.0.0.0/8"]).unwrap(),
            rate: one(5),
        };
        let gift = |change: fn(&mut Grant)| {
            let mut gift = giver.clone();
            change(&mut gift);
            gift.within(&giver).unwrap_err()
        };
        assert_eq!(gift(|g| g.boundary = Boundary::Org(g.boundary.org())), Excess::Boundary);
        let two = PermissionSet::only(Permission::new(2));
        assert_eq!(
            gift(|g| {
                g.permissions.insert(Permission::new(2));
            }),
            Excess::Permissions(two)
        );
        assert_eq!(gift(|g| g.expires_at = None), Excess::Expiry);
        assert_eq!(gift(|g| g.networks = Networks::default()), Excess::Networks);
        assert_eq!(gift(|g| g.rate = None), Excess::Rate);
    }
}
