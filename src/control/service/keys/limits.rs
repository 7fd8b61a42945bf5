//! The limits of a key that are numbers and lists: from where, how often, how long.

use super::NewKey;
use crate::{
    control::service::ServiceError,
    domain::{
        access::{Networks, RatePerMinute},
        profile::{Days, Profile, WantedExpiry},
        time::Timestamp,
    },
};

pub(super) fn networks(profile: &Profile, list: &[String]) -> Result<Networks, ServiceError> {
    if list.len() > profile.keys.max_networks {
        let most = profile.keys.max_networks;
        return Err(ServiceError::field("allowed_ips", format!("at most {most} addresses and networks")));
    }
    Networks::parse(list).map_err(|error| ServiceError::field("allowed_ips", error.to_string()))
}

pub(super) fn rate(per_minute: Option<i64>) -> Result<Option<RatePerMinute>, ServiceError> {
    let Some(number) = per_minute else { return Ok(None) };
    let rate = u32::try_from(number).ok().and_then(|number| RatePerMinute::new(number).ok());
    rate.map(Some).ok_or_else(|| {
        let most = RatePerMinute::MAX;
        ServiceError::field("rate_limit_per_minute", format!("expected 1 to {most}"))
    })
}

pub(super) fn expiry(
    profile: &Profile,
    new: &NewKey,
    now: Timestamp,
) -> Result<Option<Timestamp>, ServiceError> {
    let (field, wanted) = match (new.expires_in_days, new.expires_at) {
        (Some(_), Some(_)) => {
            return Err(ServiceError::field("expires_at", "give expires_in_days or expires_at, not both"));
        }
        // What does not fit is outside the limits, whatever they are.
        (Some(days), None) => ("expires_in_days", WantedExpiry::In(Days(u32::try_from(days).unwrap_or(0)))),
        (None, Some(end)) => ("expires_at", WantedExpiry::At(end)),
        (None, None) => ("expires_at", WantedExpiry::Default),
    };
    profile.keys.expiry(now, wanted).map_err(|error| ServiceError::field(field, error.to_string()))
}
