//! The line layer that workers files and mount files share: comments, trimming, the first `=`. Bytes in, bytes out.
//!
//! Not here: variables and repeated keys (`properties`). The surprising thing: `#` starts a comment anywhere in a line, also
//! inside a value, and nothing escapes it (reference: lb-shm-status.md section 1.1).

/// Longest line, in bytes without its comment. C mod_jk cuts lines into pieces of 8191 bytes and reads the tail as another line;
/// here a line is taken whole or refused.
pub const MAX_LINE: usize = 65_536;

/// One line that is neither blank nor only a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// 1-based.
    pub number: u32,
    /// What it says.
    pub content: Content<'a>,
}

/// What a line says, trimmed and without its comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// `key = value`, neither of them empty.
    Pair {
        /// Left of the first `=`.
        key: &'a [u8],
        /// Right of it.
        value: &'a [u8],
    },
    /// Anything else: no `=`, or nothing on one side of it. C mod_jk ignores such lines without a word.
    Other(&'a [u8]),
    /// More than [`MAX_LINE`] bytes: how many.
    TooLong(usize),
}

/// The lines of a file that say something. A byte order mark must be gone already ([`without_bom`]).
pub fn lines(text: &[u8]) -> impl Iterator<Item = Line<'_>> {
    text.split(|byte| *byte == b'\n').zip(1_u32..).filter_map(|(line, number)| {
        let line = trim(match memchr::memchr(b'#', line) {
            Some(hash) => line.get(..hash).unwrap_or_default(),
            None => line,
        });
        let content = match line.len() {
            0 => return None,
            length if length > MAX_LINE => Content::TooLong(length),
            _ => split(line).map_or(Content::Other(line), |(key, value)| Content::Pair { key, value }),
        };
        Some(Line { number, content })
    })
}

/// Splits at the first `=` and trims both sides; `None` when there is no `=` or one side is empty.
#[must_use]
pub fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = memchr::memchr(b'=', line)?;
    let (key, value) = line.split_at_checked(equals)?;
    let (key, value) = (trim(key), trim(value.get(1..)?));
    (!key.is_empty() && !value.is_empty()).then_some((key, value))
}

/// The text without a UTF-8 byte order mark, and whether there was one. C mod_jk makes the mark part of the first name.
#[must_use]
pub fn without_bom(text: &[u8]) -> (&[u8], bool) {
    text.strip_prefix(b"\xEF\xBB\xBF").map_or((text, false), |rest| (rest, true))
}

/// Removes what C's `isspace` calls white space, vertical tab included, from both ends.
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    let space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    while let [first, rest @ ..] = bytes
        && space(first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && space(last)
    {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;

    fn pair(line: &str) -> Option<(&str, &str)> {
        let (key, value) = split(line.as_bytes())?;
        Some((std::str::from_utf8(key).unwrap(), std::str::from_utf8(value).unwrap()))
    }

    #[test]
    fn splits_at_the_first_equals_sign_only() {
        for (line, expected) in [
            ("a=b", Some(("a", "b"))),
            (" a b\t=  c d \x0b\r", Some(("a b", "c d"))),
            ("a=b=c", Some(("a", "b=c"))),
            ("worker.u.host:x", None),
            ("a b", None),
            ("=b", None),
            ("a=", None),
            ("a= \t", None),
            ("a=\"b\"", Some(("a", "\"b\""))),
            ("a=b\\", Some(("a", "b\\"))),
            ("", None),
        ] {
            assert_eq!(pair(line), expected, "{line:?}");
        }
    }

    #[test]
    fn numbers_lines_as_an_editor_does_and_drops_comments() {
        let text = b"# head\r\n\n a=1 # one\r\nb\n!c=2\nd=3#\n#e=4\nf=#5";
        let found: Vec<Line<'_>> = lines(text).collect();
        let pair = |number, key, value| Line { number, content: Content::Pair { key, value } };
        assert_eq!(
            found,
            [
                pair(3, &b"a"[..], &b"1"[..]),
                Line { number: 4, content: Content::Other(b"b") },
                pair(5, b"!c", b"2"),
                pair(6, b"d", b"3"),
                Line { number: 8, content: Content::Other(b"f=") },
            ]
        );
    }

    #[test]
    fn takes_a_line_of_the_limit_whole_and_refuses_a_longer_one() {
        let line = |length: usize| format!("a={}", "x".repeat(length - 2));
        for length in [8_191, 8_192, 9_000, MAX_LINE] {
            let text = line(length);
            let Some(Line { content: Content::Pair { value, .. }, .. }) = lines(text.as_bytes()).next() else {
                panic!("{length}")
            };
            assert_eq!(value.len(), length - 2);
        }
        let text = line(MAX_LINE + 1);
        assert_eq!(lines(text.as_bytes()).next().unwrap().content, Content::TooLong(MAX_LINE + 1));
    }
}
