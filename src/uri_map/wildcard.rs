//! `*` and `?` against bytes: a star is any run, a question mark is any one byte, and both also stand for `/`.
//!
//! Not here: which rules are tried (`index`). The surprising thing: only the last star seen is ever tried again. That is
//! enough, because whatever an earlier star could still take, the later one can take as well; so a hostile URI costs at
//! most its length times the length of the pattern, never a power of it (reference: apache-side.md section 3.4).

/// Whether `pattern` covers the whole of `text`.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut in_pattern, mut in_text) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(in_pattern), text.get(in_text)) {
            (Some(b'*'), _) => {
                in_pattern += 1;
                if in_pattern == pattern.len() {
                    return true;
                }
                last_star = Some((in_pattern, in_text));
            }
            (Some(wanted), Some(found)) if *wanted == b'?' || wanted == found => {
                in_pattern += 1;
                in_text += 1;
            }
            (None, None) => return true,
            // The rest of the pattern wants bytes, and giving the star more would leave even fewer.
            (Some(_), None) => return false,
            (_, Some(_)) => {
                let Some((after_star, taken_to)) = last_star else { return false };
                last_star = Some((after_star, taken_to + 1));
                (in_pattern, in_text) = (after_star, taken_to + 1);
            }
        }
    }
}

/// Whether `pattern` has a `*` or `?`.
pub(super) fn is_wildcard(pattern: &[u8]) -> bool {
    memchr::memchr2(b'*', b'?', pattern).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, written as a recursion; exponential, for short inputs only.
    fn defined(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), None) => defined(rest, text),
            (Some((b'*', rest)), Some((_, shorter))) => defined(rest, text) || defined(pattern, shorter),
            (Some((b'?', rest)), Some((_, shorter))) => defined(rest, shorter),
            (Some((wanted, rest)), Some((found, shorter))) => wanted == found && defined(rest, shorter),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn equals_the_recursive_definition(pattern in "[ab*?]{0,7}", text in "[ab*?]{0,8}") {
            prop_assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), defined(pattern.as_bytes(), text.as_bytes()));
        }
    }

    #[test]
    fn many_stars_against_a_long_text_end() {
        let pattern = b"/*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b";
        let text = [b"/".as_slice(), &[b'a'; 16 * 1024]].concat();
        assert!(!matches(pattern, &text));
        assert!(matches(pattern, &[text.as_slice(), b"b"].concat()));
    }
}
