//! Tables: every row is tried, and every wrong one named, before the test fails.

/// The rows that went wrong.
#[derive(Debug, Default)]
pub struct Wrong(Vec<String>);

impl Wrong {
    pub fn unless(&mut self, fine: bool, row: impl FnOnce() -> String) {
        if !fine {
            self.0.push(row());
        }
    }

    /// Fails the test when there are any.
    pub fn none(self, what: &str) {
        assert!(self.0.is_empty(), "{what} went wrong in {} cases:\n  {}", self.0.len(), self.0.join("\n  "));
    }
}
