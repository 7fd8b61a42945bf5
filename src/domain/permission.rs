//! A right, and a set of rights.
//!
//! A permission is a position in the profile's vocabulary, at most 256 of them, so a set is four
//! words and the question "may they?" is one bit test on the request path. Only the profile
//! knows the names (`profile::Permissions`); a set says nothing without the profile it came from,
//! which is why it is stored by names and never by its bits.

use std::fmt;

/// One right: its position in the profile's vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Permission(u8);

impl Permission {
    /// The permission at this position of the vocabulary.
    pub const fn new(index: u8) -> Self {
        Self(index)
    }

    /// Its position in the vocabulary.
    pub const fn index(self) -> u8 {
        self.0
    }

    const fn word(self) -> usize {
        (self.0 >> 6) as usize
    }

    const fn bit(self) -> u64 {
        1 << (self.0 & 63)
    }
}

/// A set of rights: one bit for each permission of the vocabulary.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PermissionSet([u64; 4]);

impl PermissionSet {
    /// No right at all.
    pub const EMPTY: Self = Self([0; 4]);

    /// The set of exactly this one.
    pub const fn only(permission: Permission) -> Self {
        Self::EMPTY.with(permission)
    }

    /// Whether it holds this one.
    pub const fn contains(&self, permission: Permission) -> bool {
        self.0[permission.word()] & permission.bit() != 0
    }

    /// This set and one more.
    #[must_use]
    pub const fn with(mut self, permission: Permission) -> Self {
        self.insert(permission);
        self
    }

    /// This set without that one.
    #[must_use]
    pub const fn without(mut self, permission: Permission) -> Self {
        self.remove(permission);
        self
    }

    /// Adds one; says whether it was new.
    pub const fn insert(&mut self, permission: Permission) -> bool {
        let new = !self.contains(permission);
        self.0[permission.word()] |= permission.bit();
        new
    }

    /// Takes one away; says whether it was there.
    pub const fn remove(&mut self, permission: Permission) -> bool {
        let held = self.contains(permission);
        self.0[permission.word()] &= !permission.bit();
        held
    }

    /// What either holds.
    #[must_use]
    pub const fn union(&self, other: &Self) -> Self {
        let (a, b) = (self.0, other.0);
        Self([a[0] | b[0], a[1] | b[1], a[2] | b[2], a[3] | b[3]])
    }

    /// What both hold.
    #[must_use]
    pub const fn intersection(&self, other: &Self) -> Self {
        let (a, b) = (self.0, other.0);
        Self([a[0] & b[0], a[1] & b[1], a[2] & b[2], a[3] & b[3]])
    }

    /// What this one holds and the other does not.
    #[must_use]
    pub const fn difference(&self, other: &Self) -> Self {
        let (a, b) = (self.0, other.0);
        Self([a[0] & !b[0], a[1] & !b[1], a[2] & !b[2], a[3] & !b[3]])
    }

    /// Whether the other holds everything that this one does.
    pub const fn is_subset_of(&self, other: &Self) -> bool {
        self.difference(other).is_empty()
    }

    /// Whether they have one in common.
    pub const fn intersects(&self, other: &Self) -> bool {
        !self.intersection(other).is_empty()
    }

    /// Whether it holds none.
    pub const fn is_empty(&self) -> bool {
        let [a, b, c, d] = self.0;
        a | b | c | d == 0
    }

    /// How many it holds.
    pub const fn len(&self) -> u32 {
        let [a, b, c, d] = self.0;
        a.count_ones() + b.count_ones() + c.count_ones() + d.count_ones()
    }

    /// Its members, in the order of the vocabulary.
    pub const fn iter(&self) -> Iter {
        Iter(*self)
    }

    /// The first in the order of the vocabulary.
    const fn first(&self) -> Option<Permission> {
        let mut word = 0;
        while word < 4 {
            if self.0[word] != 0 {
                #[expect(clippy::cast_possible_truncation, reason = "a position is below 4 * 64")]
                return Some(Permission((word as u32 * 64 + self.0[word].trailing_zeros()) as u8));
            }
            word += 1;
        }
        None
    }
}

impl fmt::Debug for PermissionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Permission::index)).finish()
    }
}

impl FromIterator<Permission> for PermissionSet {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        permissions.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl Extend<Permission> for PermissionSet {
    fn extend<I: IntoIterator<Item = Permission>>(&mut self, permissions: I) {
        for permission in permissions {
            self.insert(permission);
        }
    }
}

impl IntoIterator for PermissionSet {
    type Item = Permission;
    type IntoIter = Iter;

    fn into_iter(self) -> Iter {
        self.iter()
    }
}

impl IntoIterator for &PermissionSet {
    type Item = Permission;
    type IntoIter = Iter;

    fn into_iter(self) -> Iter {
        self.iter()
    }
}

/// The members of a set, in the order of the vocabulary.
#[derive(Debug, Clone)]
pub struct Iter(PermissionSet);

impl Iterator for Iter {
    type Item = Permission;

    fn next(&mut self) -> Option<Permission> {
        let first = self.0.first()?;
        self.0.remove(first);
        Some(first)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.0.len() as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Iter {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn set(indices: &BTreeSet<u8>) -> PermissionSet {
        indices.iter().copied().map(Permission::new).collect()
    }

    proptest! {
        #[test]
        fn it_is_a_set(a: BTreeSet<u8>, b: BTreeSet<u8>, one: u8) {
            let (left, right, single) = (set(&a), set(&b), Permission::new(one));
            prop_assert_eq!(left.union(&right), set(&(&a | &b)));
            prop_assert_eq!(left.intersection(&right), set(&(&a & &b)));
            prop_assert_eq!(left.difference(&right), set(&(&a - &b)));
            prop_assert_eq!(left.is_subset_of(&right), a.is_subset(&b));
            prop_assert_eq!(left.intersects(&right), !a.is_disjoint(&b));
            prop_assert_eq!(left.contains(single), a.contains(&one));
            prop_assert_eq!(left.len() as usize, a.len());
            prop_assert_eq!(left.is_empty(), a.is_empty());
            prop_assert_eq!(left.iter().map(Permission::index).collect::<Vec<_>>(), a.iter().copied().collect::<Vec<_>>());
            prop_assert!(left.with(single).contains(single));
            prop_assert!(!left.without(single).contains(single));
        }
    }

    #[test]
    fn the_outermost_positions_do_not_touch_each_other() {
        let edges = [0, 63, 64, 127, 128, 191, 192, 255];
        for edge in edges {
            let only = PermissionSet::only(Permission::new(edge));
            assert_eq!(only.iter().map(Permission::index).collect::<Vec<_>>(), [edge]);
        }
    }

    #[test]
    fn inserting_and_removing_say_whether_something_changed() {
        let mut set = PermissionSet::EMPTY;
        let one = Permission::new(200);
        assert!(set.insert(one));
        assert!(!set.insert(one));
        assert!(set.remove(one));
        assert!(!set.remove(one));
        assert_eq!(set, PermissionSet::EMPTY);
    }
}
