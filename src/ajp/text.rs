//! What may be in a header's name and in its value. Surprising: the ordinary text is told by whole words, and only one with
//! something unusual in it is looked at byte by byte.

/// RFC 9110 section 5.6.2.
#[inline(always)]
pub(super) fn is_token(name: &[u8]) -> bool {
    is_plain_name(name) || is_any_token(name)
}

pub(super) fn is_any_token(name: &[u8]) -> bool {
    // No early exit: nearly all names are good, and a loop without exit is faster.
    !name.is_empty() && name.iter().fold(true, |good, byte| good & TOKEN.get(usize::from(*byte)).is_some_and(|t| *t))
}

/// RFC 9110 section 5.5 without its obsolete line folding: no control character but HTAB; in particular no CR, LF or
/// NUL.
#[inline(never)]
pub(super) fn is_field_text(text: &[u8]) -> bool {
    is_plain(text) || has_no_control(text)
}

#[inline(never)]
pub(super) fn has_no_control(text: &[u8]) -> bool {
    !text.iter().any(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7F)
}

/// A byte in every place of a word.
const ONES: u64 = 0x0101_0101_0101_0101;
/// The high bit of every byte of a word.
const HIGH: u64 = ONES * 0x80;

/// Whether all bytes are printable ASCII, which nearly all texts are. Whole words tell it without a look at each byte.
#[inline(always)]
fn is_plain(text: &[u8]) -> bool {
    // Adding 1 sets the high bit of what is above 0x7E, taking 0x20 away sets that of what is below 0x20. A carry into the
    // next byte begins at a byte that is not printable, so it does not matter.
    let is_plain = |word: u64| (word.wrapping_add(ONES) | word.wrapping_sub(ONES * 0x20)) & HIGH == 0;
    match words(text) {
        Some((start, end, between)) => {
            is_plain(start) && is_plain(end) && between.iter().all(|word| is_plain(u64::from_le_bytes(*word)))
        }
        // Tomcat's reason phrase is the three digits of the status.
        None => match (text.first_chunk::<2>(), text.last_chunk::<2>(), text) {
            (Some([a, b]), Some([c, d]), _) => is_plain(u64::from_le_bytes([*a, *b, *c, *d, *a, *b, *c, *d])),
            (_, _, [a]) => is_plain(u64::from(*a) * ONES),
            _ => true,
        },
    }
}

/// Whether there are only letters and hyphens, as in nearly all names.
#[inline(always)]
fn is_plain_name(name: &[u8]) -> bool {
    // The high bit of each byte that is a letter or a hyphen, if no byte is beyond ASCII, where no sum has a carry.
    let good = |word: u64| {
        let (lower, hyphen) = (word | (ONES * 0x20), word ^ (ONES * 0x2D));
        let not_below_a = lower.wrapping_add(ONES * (0x80 - 0x61));
        let above_z = lower.wrapping_add(ONES * (0x80 - 0x7B));
        ((not_below_a & !above_z) | !hyphen.wrapping_add(ONES * 0x7F)) & !word
    };
    let Some((start, end, between)) = words(name) else { return false };
    let good = |word: u64| good(word) & HIGH == HIGH;
    good(start) && good(end) && between.iter().all(|word| good(u64::from_le_bytes(*word)))
}

/// The first and the last bytes of a text as words, and the words between them; they may overlap. `None` for very short texts.
#[inline(always)]
fn words(text: &[u8]) -> Option<(u64, u64, &[[u8; 8]])> {
    if let (Some((start, rest)), Some(end)) = (text.split_first_chunk::<8>(), text.last_chunk::<8>()) {
        return Some((u64::from_le_bytes(*start), u64::from_le_bytes(*end), rest.as_chunks().0));
    }
    let (start, end) = (text.first_chunk::<4>()?, text.last_chunk::<4>()?);
    let word = u64::from(u32::from_le_bytes(*start)) | u64::from(u32::from_le_bytes(*end)) << 32;
    Some((word, word, &[]))
}

/// Whether a byte may be in a token.
const TOKEN: [bool; 256] = token_table();

#[allow(clippy::indexing_slicing, reason = "runs at build time only, where an index out of bounds is a build error")]
const fn token_table() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte: u8 = 0;
    while byte < 0x7F {
        table[byte as usize] = matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
            || byte.is_ascii_alphanumeric();
        byte += 1;
    }
    table
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn accepts_every_token_character_and_no_other() {
        let allowed = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        for byte in 0..=0xFF {
            assert_eq!(is_token(&[b'X', byte]), allowed.contains(&byte), "{byte:02X}");
        }
    }

    #[test]
    fn finds_a_control_character_at_every_place_of_texts_of_every_length() {
        for length in 0..40 {
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    let mut text = vec![b'v'; length];
                    text[at] = byte;
                    assert_eq!(is_field_text(&text), byte == b'\t' || (byte >= 0x20 && byte != 0x7F), "{at} {byte}");
                }
            }
            assert!(is_field_text(&vec![b'v'; length]) && is_plain(&vec![b'v'; length]));
        }
    }

    #[test]
    fn finds_what_is_no_token_at_every_place_of_names_of_every_length() {
        for length in 0..40 {
            assert_eq!(is_token(&vec![b'X'; length]), length > 0);
            assert!(length < 4 || is_plain_name(&vec![b'-'; length]));
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    // In the neighbourhood of bytes from which a sum might carry over.
                    for around in [b'v', b'-', b'A', b'z'] {
                        let mut name = vec![around; length];
                        name[at] = byte;
                        assert_eq!(is_token(&name), is_any_token(&name), "{at} {byte} {around}");
                        assert!(!is_plain_name(&name) || byte == b'-' || byte.is_ascii_alphabetic(), "{at} {byte}");
                        assert_eq!(is_field_text(&name), has_no_control(&name), "{at} {byte}");
                    }
                }
            }
        }
        for word in [*b"\xFFaaaaaaa", *b"a\xFF\xFFaaaaa", *b"\x00\x00aaaaaa", *b"a\x00\x7Faaaaa", *b"\xFF\x1Faaaaaa"] {
            assert!(!is_plain(&word) && !is_plain_name(&word), "{}", word.escape_ascii());
        }
    }
}
