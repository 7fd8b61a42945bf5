//! The fields of a message, in the order in which they came.
//!
//! A message has a dozen of them, and is asked for each of some names once or twice. To compare a name with a dozen others
//! takes less than to find its place in a map, and to put one behind the others takes nothing at all; written out, they
//! stand in the order in which they came.
//!
//! Every question looks at all fields. That is bounded because fields are: `limits.header_count` (a thousand at the most,
//! a hundred usually) of a request, [`MOST_FIELDS`](super::wire::MOST_FIELDS) of an answer. Whoever has many names to ask
//! for, or to take out, goes over the fields once and asks about each ([`Fields::retain`]); a loop over names around
//! a question would give a client who says many of them the product of both.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::runtime::said::Said;

/// Fields, each with its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(HeaderName, HeaderValue)>);

impl Fields {
    /// None.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// None, with room for so many.
    pub fn with_capacity(fields: usize) -> Self {
        Self(Vec::with_capacity(fields))
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&HeaderName, &HeaderValue)> + ExactSizeIterator {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// The first value under this name.
    #[inline]
    pub fn get(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Every value under this name, in their order.
    #[inline]
    pub fn get_all<'a>(
        &'a self,
        name: &HeaderName,
    ) -> impl DoubleEndedIterator<Item = &'a HeaderValue> + Clone {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value)
    }

    /// Whether there is one of this name.
    #[inline]
    pub fn contains(&self, name: &HeaderName) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// Puts one behind all others.
    #[inline]
    pub fn append(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.push((name, value));
    }

    /// Puts one in the place of all that have its name.
    pub fn insert(&mut self, name: HeaderName, value: HeaderValue) {
        let Some(first) = self.0.iter().position(|(known, _)| *known == name) else {
            self.0.push((name, value));
            return;
        };
        let mut at = 0;
        self.0.retain(|(known, _)| {
            at += 1;
            at <= first + 1 || *known != name
        });
        self.0[first].1 = value;
    }

    /// Takes out all of this name.
    pub fn remove(&mut self, name: &HeaderName) {
        self.0.retain(|(known, _)| known != name);
    }

    /// Takes out whatever this says no to; the others keep their order.
    pub fn retain(&mut self, mut keeps: impl FnMut(&HeaderName, &mut HeaderValue) -> bool) {
        self.0.retain_mut(|(name, value)| keeps(name, value));
    }

    /// Takes out all of them, and keeps the room.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl Said for Fields {
    fn all<'a>(&'a self, name: &HeaderName) -> impl DoubleEndedIterator<Item = &'a HeaderValue> {
        self.get_all(name)
    }

    fn first(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.get(name)
    }

    fn each(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.iter()
    }
}

impl Extend<(HeaderName, HeaderValue)> for Fields {
    fn extend<T: IntoIterator<Item = (HeaderName, HeaderValue)>>(&mut self, fields: T) {
        self.0.extend(fields);
    }
}

impl FromIterator<(HeaderName, HeaderValue)> for Fields {
    fn from_iter<T: IntoIterator<Item = (HeaderName, HeaderValue)>>(fields: T) -> Self {
        Self(fields.into_iter().collect())
    }
}

impl IntoIterator for Fields {
    type Item = (HeaderName, HeaderValue);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Values of one name stand together afterwards, as they did in the map.
impl From<HeaderMap> for Fields {
    fn from(map: HeaderMap) -> Self {
        // One is added to those of nearly every request: whom it is for.
        let mut fields = Vec::with_capacity(map.len() + 1);
        for (name, value) in map {
            // A map names only the first of several.
            let name = name.or_else(|| fields.last().map(|(name, _): &(HeaderName, _)| name.clone()));
            fields.extend(name.map(|name| (name, value)));
        }
        Self(fields)
    }
}

impl From<Fields> for HeaderMap {
    fn from(fields: Fields) -> Self {
        // There may be more of one name than a map has places for names.
        let mut map = Self::try_with_capacity(fields.len()).unwrap_or_default();
        for (name, value) in fields {
            map.append(name, value);
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Names of the library's own and others, spelled alike and not.
    const NAMES: [&str; 6] = ["host", "x-a", "x-b", "cookie", "via", "x_a"];

    fn name(at: usize) -> HeaderName {
        HeaderName::from_static(NAMES[at % NAMES.len()])
    }

    /// What is said under each name, in its order.
    fn under(fields: &impl Said) -> Vec<Vec<HeaderValue>> {
        let said = |at| {
            let name = name(at);
            let all: Vec<_> = fields.all(&name).cloned().collect();
            let mut back: Vec<_> = fields.all(&name).rev().cloned().collect();
            back.reverse();
            assert_eq!(all, back);
            assert_eq!(fields.first(&name), all.first());
            assert_eq!(fields.single(&name).is_some(), all.len() == 1);
            assert_eq!(fields.says(&name), !all.is_empty());
            all
        };
        (0..NAMES.len()).map(said).collect()
    }

    proptest! {
        #[test]
        fn it_says_what_a_map_would(deeds in prop::collection::vec((0..8_u8, 0..6_usize, 0..4_usize), 0..40)) {
            let (mut fields, mut map) = (Fields::new(), HeaderMap::new());
            for (deed, at, value) in deeds {
                let value = HeaderValue::from(value);
                match deed {
                    0..4 => {
                        fields.append(name(at), value.clone());
                        map.append(name(at), value);
                    }
                    4 => {
                        fields.insert(name(at), value.clone());
                        map.insert(name(at), value);
                    }
                    5 => {
                        fields.remove(&name(at));
                        map.remove(name(at));
                    }
                    6 => {
                        fields = HeaderMap::from(fields).into();
                        map = Fields::from(map).into();
                    }
                    _ => {
                        fields.retain(|known, _| *known != name(at));
                        map.remove(name(at));
                    }
                }
                prop_assert_eq!(under(&fields), under(&map));
                prop_assert_eq!(fields.len(), map.len());
            }
            fields.clear();
            prop_assert!(fields.is_empty());
        }
    }

    #[test]
    fn a_map_takes_however_many_there_are_of_a_name() {
        let map: HeaderMap = (0..40_000).map(|at| (name(1), at.into())).collect::<Fields>().into();
        assert_eq!((map.keys_len(), map.len()), (1, 40_000));
        assert_eq!(Fields::from(map).len(), 40_000);
    }

    #[test]
    fn fields_stay_in_the_order_in_which_they_came() {
        let mut fields: Fields = [("x-a", 1), ("via", 2), ("x-a", 3), ("host", 4), ("x-a", 5)]
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from(value)))
            .into_iter()
            .collect();
        let text = |fields: &Fields| -> Vec<String> {
            fields.iter().map(|(name, value)| format!("{name} {}", value.to_str().unwrap())).collect()
        };
        fields.insert(HeaderName::from_static("x-a"), 6.into());
        assert_eq!(text(&fields), ["x-a 6", "via 2", "host 4"]);
        fields.extend([(HeaderName::from_static("via"), 7.into())]);
        fields.insert(HeaderName::from_static("x-b"), 8.into());
        assert_eq!(text(&fields), ["x-a 6", "via 2", "host 4", "via 7", "x-b 8"]);
        assert_eq!(text(&HeaderMap::from(fields).into()), ["x-a 6", "via 2", "via 7", "host 4", "x-b 8"]);
    }
}
