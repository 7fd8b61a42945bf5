//! Who may do what: principals, decisions, permits.

mod decide;
mod denied;
mod networks;
mod permit;
mod principal;
mod rate;

pub use decide::{Action, Target, decide};
pub use denied::Denied;
pub use networks::{BadNetwork, Networks};
pub use permit::Permit;
pub use principal::{CredentialId, Holder, Method, Principal, Rights};
pub use rate::{BadRate, RatePerMinute};
