//! "Did you mean ...?" for names that are nearly right.

/// The known name closest to `given`, when a slip of the finger could explain the difference.
pub(super) fn closest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = 1 + given.chars().count().min(MEASURED) / 4;
    known
        .into_iter()
        .map(|name| (distance(given, name), name))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// The same as the end of a sentence, or nothing.
pub(super) fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    closest(given, known).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

/// Insertions, deletions, substitutions and swaps of neighbours between two names, ignoring case.
fn distance(left: &str, right: &str) -> usize {
    let letters = |text: &str| text.chars().take(MEASURED).collect::<String>().to_lowercase();
    let (left, right) = (letters(left), letters(right));
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let width = right.len() + 1;
    let mut rows = vec![(0..width).collect::<Vec<_>>()];
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let mut cost = (rows[i][j + 1] + 1).min(row[j] + 1).min(rows[i][j] + usize::from(a != b));
            let swapped = i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b;
            if swapped {
                cost = cost.min(rows[i - 1][j - 1] + 1);
            }
            row.push(cost);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}

/// Longer names are compared by their beginning, so that hostile input costs nothing.
const MEASURED: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        let known = ["gateway", "admin", "ops"];
        assert_eq!(closest("gatway", known), Some("gateway"));
        assert_eq!(closest("gatewya", known), Some("gateway"));
        assert_eq!(closest("Admin", known), Some("admin"));
        assert_eq!(closest("telemetry", known), None);
        assert_eq!(closest(&"x".repeat(100_000), known), None);
    }
}
