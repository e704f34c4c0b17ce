//! "Did you mean": the known word nearest to a mistyped one.
//!
//! Not here: which words are known. The surprising thing: case does not count, so `Host` is at distance 0 from `host`.

/// Longer words are not compared: nobody mistypes a word of that length by two letters and needs help.
const MAX_WORD: usize = 64;

/// The candidate with the fewest letters to insert, remove, replace or swap; `None` when even that one is too far away to be meant.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.len() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= limit)
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edit distance with swaps of neighbours (optimal string alignment), over bytes, without regard to ASCII case.
fn distance(left: &str, right: &str) -> usize {
    if left.len() > MAX_WORD || right.len() > MAX_WORD {
        return usize::MAX;
    }
    let (left, right) = (left.to_ascii_lowercase(), right.to_ascii_lowercase());
    // Rows of the distance table: two rows up, one row up.
    let mut above: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    let mut before_l = None;
    for (i, l) in left.bytes().enumerate() {
        let mut next = vec![i + 1];
        let mut before_r = None;
        for (j, r) in right.bytes().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX - 1);
            let replace = at(&row, j) + usize::from(l != r);
            let swap = match j.checked_sub(1) {
                Some(column) if before_l == Some(r) && before_r == Some(l) => at(&above, column) + 1,
                _ => usize::MAX,
            };
            next.push(replace.min(at(&row, j + 1) + 1).min(at(&next, j) + 1).min(swap));
            before_r = Some(r);
        }
        above = std::mem::replace(&mut row, next);
        before_l = Some(l);
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_insertions_removals_replacements_and_swaps_as_one_each() {
        for (left, right, expected) in [
            ("", "", 0),
            ("a", "", 1),
            ("", "ab", 2),
            ("host", "hsot", 1),
            ("Host", "hOST", 0),
            ("mantain", "maintain", 1),
            ("retires", "retries", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(left, right), expected, "{left} {right}");
        }
    }

    #[test]
    fn suggests_the_near_name_and_nothing_when_all_are_far() {
        let names = ["host", "port", "retries", "socket_timeout", "redirect"];
        for (word, expected) in [
            ("Host", Some("host")),
            ("hots", Some("host")),
            ("retrys", Some("retries")),
            ("soket_timeot", Some("socket_timeout")),
            ("foo", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, names), expected, "{word}");
        }
    }
}
