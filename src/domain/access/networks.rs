//! From where a credential may be used (R000_22).

use std::{fmt, net::IpAddr};

use ipnet::{IpNet, Ipv4Net};

/// A list of networks; an empty one admits everybody.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Networks(Box<[IpNet]>);

/// Text that is neither an address nor a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadNetwork {
    /// Not an address and not a network.
    #[error("`{0}` is not an address or network: expected 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32")]
    Form(String),
    /// An address inside a network where the network was meant, or a typo: too dangerous to guess.
    #[error("`{0}` has bits set behind its prefix: did you mean {1}?")]
    HostBits(String, IpNet),
}

impl Networks {
    /// Reads a list of addresses and networks, drops duplicates, and keeps IPv4 as IPv4 however it was written.
    pub fn parse<T: AsRef<str>>(list: &[T]) -> Result<Self, BadNetwork> {
        let mut networks = Vec::with_capacity(list.len());
        for text in list {
            let network = parse_one(text.as_ref())?;
            if !networks.contains(&network) {
                networks.push(network);
            }
        }
        Ok(Self(networks.into()))
    }

    /// Whether a client at this address may pass. A client whose address could not be told passes only where
    /// no network is demanded.
    #[inline]
    pub fn admit(&self, client: Option<IpAddr>) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let Some(client) = client else { return false };
        let client = client.to_canonical();
        self.0.iter().any(|network| network.contains(&client))
    }

    /// Whether everybody whom this admits is admitted by `other` too.
    pub fn within(&self, other: &Self) -> bool {
        other.0.is_empty()
            || self.is_nobody()
            || (!self.0.is_empty()
                && self.0.iter().all(|inner| other.0.iter().any(|outer| outer.contains(inner))))
    }

    /// Admits whom both admit; where that is nobody, the unspecified address alone, which no client has
    /// (RFC 4291 section 2.5.2): an empty list would admit everybody.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        if self.within(other) {
            return self.clone();
        }
        if other.within(self) {
            return other.clone();
        }
        let mut both: Vec<IpNet> = Vec::new();
        for (one, another) in self.0.iter().flat_map(|one| other.0.iter().map(move |another| (one, another)))
        {
            // Two networks either lie one inside the other or have nothing in common.
            let narrower =
                if another.contains(one) { Some(one) } else { one.contains(another).then_some(another) };
            if let Some(network) = narrower.filter(|network| !both.contains(network)) {
                both.push(*network);
            }
        }
        if both.is_empty() {
            both.push(IpNet::from(IpAddr::from(std::net::Ipv6Addr::UNSPECIFIED)));
        }
        Self(both.into())
    }

    /// Whether it admits the unspecified address alone, which is nobody's.
    fn is_nobody(&self) -> bool {
        matches!(&*self.0, [only] if only.addr().is_unspecified() && only.prefix_len() == only.max_prefix_len())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether everybody is admitted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The networks, in the order given; a single address without its prefix length.
    pub fn to_strings(&self) -> Vec<String> {
        self.0.iter().map(|network| Shown(network).to_string()).collect()
    }
}

struct Shown<'a>(&'a IpNet);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() { self.0.addr().fmt(f) } else { self.0.fmt(f) }
    }
}

fn parse_one(text: &str) -> Result<IpNet, BadNetwork> {
    let form = || BadNetwork::Form(text.chars().take(64).collect());
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse::<IpNet>().map_err(|_| form())?,
    };
    if network != network.trunc() {
        return Err(BadNetwork::HostBits(form().shown(), network.trunc()));
    }
    unmap(network).ok_or_else(form)
}

impl BadNetwork {
    fn shown(self) -> String {
        match self {
            Self::Form(text) | Self::HostBits(text, _) => text,
        }
    }
}

/// `::ffff:203.0.113.0/120` is `203.0.113.0/24` (RFC 4291 section 2.5.5.2). A mapped network wider than all of
/// IPv4 would silently never match, so it is refused.
fn unmap(network: IpNet) -> Option<IpNet> {
    let IpNet::V6(v6) = network else { return Some(network) };
    let Some(v4) = v6.addr().to_ipv4_mapped() else { return Some(network) };
    let prefix = v6.prefix_len().checked_sub(96)?;
    Ipv4Net::new(v4, prefix).ok().map(IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(list: &[&str], client: &str) -> bool {
        Networks::parse(list).unwrap().admit(Some(client.parse().unwrap()))
    }

    #[test]
    fn edges_are_exact() {
        for (network, inside, outside) in [
            ("203.0.113.0/24", "203.0.113.255", "203.0.114.0"),
            ("203.0.113.6/31", "203.0.113.7", "203.0.113.8"),
            ("203.0.113.7", "203.0.113.7", "203.0.113.6"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("2001:db8::4/127", "2001:db8::5", "2001:db8::6"),
            ("2001:db8::4", "2001:db8::4", "2001:db8::5"),
            ("0.0.0.0/0", "8.8.8.8", "::1"),
        ] {
            assert!(admits(&[network], inside), "{network} {inside}");
            assert!(!admits(&[network], outside), "{network} {outside}");
        }
    }

    #[test]
    fn only_the_mapped_form_is_ipv4() {
        assert!(admits(&["203.0.113.0/24"], "::ffff:203.0.113.5"));
        assert!(admits(&["::ffff:203.0.113.0/120"], "203.0.113.5"));
        assert!(!admits(&["203.0.113.0/24"], "::203.0.113.5"));
        assert!(!admits(&["203.0.113.0/24"], "64:ff9b::203.0.113.5"));
        assert!(Networks::parse(&["::ffff:0.0.0.0/90"]).is_err());
    }

    #[test]
    fn nothing_is_guessed() {
        for wrong in [
            "",
            " ",
            "10.0.0.0/33",
            "1.2.3.4/24",
            "010.0.0.1",
            "0xcb.0.113.5",
            "3405803781",
            "203.0.113",
            "host",
            "fe80::1%eth0",
            "1.2.3.4 ",
            "1.2.3.4/",
            "1.2.3.4/-1",
        ] {
            assert!(Networks::parse(&[wrong]).is_err(), "{wrong}");
        }
        let hint = Networks::parse(&["1.2.3.4/24"]).unwrap_err().to_string();
        assert!(hint.contains("1.2.3.0/24"), "{hint}");
    }

    #[test]
    fn an_unknown_client_passes_only_where_nothing_is_demanded() {
        assert!(Networks::default().admit(None));
        assert!(!Networks::parse(&["0.0.0.0/0", "::/0"]).unwrap().admit(None));
    }

    #[test]
    fn an_intersection_admits_whom_both_admit_and_never_everybody() {
        let list = |text: &[&str]| Networks::parse(text).unwrap();
        let both = list(&["10.0.0.0/8", "192.0.2.1"]).intersection(&list(&[
            "10.1.0.0/16",
            "192.0.2.0/24",
            "2001:db8::/32",
        ]));
        assert_eq!(both.to_strings(), ["10.1.0.0/16", "192.0.2.1"]);
        assert_eq!(list(&["10.0.0.1"]).intersection(&Networks::default()), list(&["10.0.0.1"]));
        assert_eq!(Networks::default().intersection(&list(&["10.0.0.1"])), list(&["10.0.0.1"]));
        let nobody = list(&["10.0.0.1"]).intersection(&list(&["10.0.0.2"]));
        for client in ["10.0.0.1", "10.0.0.2", "192.0.2.1", "::1"] {
            assert!(!nobody.admit(client.parse().ok()), "{client}");
        }
        assert!(!nobody.admit(None) && !nobody.is_empty());
        assert!(nobody.within(&list(&["10.0.0.1"])) && !list(&["10.0.0.1"]).within(&nobody));
        assert!(!list(&["0.0.0.0/0"]).within(&nobody) && !Networks::default().within(&nobody));
    }

    #[test]
    fn within_compares_who_is_admitted() {
        let list = |text: &[&str]| Networks::parse(text).unwrap();
        let everybody = Networks::default();
        assert!(list(&["10.1.0.0/16"]).within(&list(&["10.0.0.0/8", "192.0.2.1"])));
        assert!(!list(&["10.1.0.0/16", "192.0.2.2"]).within(&list(&["10.0.0.0/8", "192.0.2.1"])));
        assert!(!everybody.within(&list(&["0.0.0.0/0"])));
        assert!(list(&["10.0.0.1"]).within(&everybody) && everybody.within(&everybody));
    }
}
