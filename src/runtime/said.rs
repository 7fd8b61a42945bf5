//! What a message says under a name, in whichever way its fields are kept: as a map where a library has them, as a flat
//! list on the way through the gateway.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Fields that can be asked for.
pub trait Said {
    /// What stands under this name, in the order in which it came.
    fn all<'a>(&'a self, name: &HeaderName) -> impl DoubleEndedIterator<Item = &'a HeaderValue>;

    /// The first that stands under this name.
    fn first(&self, name: &HeaderName) -> Option<&HeaderValue>;

    /// Everything, each with its name.
    fn each(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)>;

    /// Whether anything stands under this name.
    fn says(&self, name: &HeaderName) -> bool {
        self.first(name).is_some()
    }

    /// What stands under this name, if it stands there once.
    fn single(&self, name: &HeaderName) -> Option<&HeaderValue> {
        let mut values = self.all(name);
        values.next().filter(|_| values.next().is_none())
    }
}

impl Said for HeaderMap {
    fn all<'a>(&'a self, name: &HeaderName) -> impl DoubleEndedIterator<Item = &'a HeaderValue> {
        self.get_all(name).into_iter()
    }

    fn first(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.get(name)
    }

    fn each(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.iter()
    }
}
