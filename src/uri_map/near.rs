//! The name an admin probably meant, and how bytes of a configuration are shown in a message.
//!
//! Not here: any list of names. The surprising thing: names are bytes; workers may be called anything
//! (reference: lb-shm-status.md section 1.2).

/// Longest stretch of a configuration text that a message repeats.
const SHOWN_CHARACTERS: usize = 120;

/// The candidate that is one or two letters away from `word`, the nearest first; differences in case are free.
pub(super) fn near<'n>(word: &[u8], candidates: impl IntoIterator<Item = &'n [u8]>) -> Option<&'n [u8]> {
    let limit = if word.len() <= 3 { 1 } else { 2 };
    candidates
        .into_iter()
        .filter(|name| name.len().abs_diff(word.len()) <= limit)
        .map(|name| (distance(word, name), name))
        .filter(|(distance, _)| *distance <= limit && *distance < word.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Letters to insert, delete or replace to get from one to the other, without regard to case.
fn distance(from: &[u8], to: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (done, have) in (1..).zip(from) {
        let mut next = Vec::with_capacity(row.len());
        let mut left = done;
        next.push(left);
        for (want, pair) in to.iter().zip(row.windows(2)) {
            let &[diagonal, above] = pair else { continue };
            let replaced = diagonal + usize::from(!have.eq_ignore_ascii_case(want));
            left = replaced.min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// Bytes of a configuration in a form that cannot break a log line: clipped, control characters escaped.
pub(super) fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::new();
    let mut rest = text.chars();
    for c in rest.by_ref().take(SHOWN_CHARACTERS) {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    if rest.next().is_some() {
        out.push_str("...");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest(word: &str, names: &[&'static str]) -> Option<String> {
        near(word.as_bytes(), names.iter().map(|n| n.as_bytes())).map(shown)
    }

    #[test]
    fn finds_the_nearest_of_several() {
        assert_eq!(nearest("jkstaus", &["jkstats", "jkstatus", "lb"]).as_deref(), Some("jkstats"));
        assert_eq!(nearest("balancr", &["lb", "balancer"]).as_deref(), Some("balancer"));
        assert_eq!(nearest("LB1", &["lb2", "lb1"]).as_deref(), Some("lb1"));
    }

    #[test]
    fn finds_nothing_far_away() {
        assert_eq!(nearest("frontend", &["lb", "backend1"]), None);
        assert_eq!(nearest("x", &["y"]), None);
        assert_eq!(nearest("", &["a"]), None);
    }

    #[test]
    fn shows_control_characters_escaped_and_long_texts_clipped() {
        assert_eq!(shown(b"/a\nb\x1b"), "/a\\nb\\u{1b}");
        assert_eq!(shown(&[b'a'; 300]).len(), SHOWN_CHARACTERS + 3);
    }
}
