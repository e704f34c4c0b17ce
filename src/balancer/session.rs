//! Session id and route from a cookie or a path parameter.
//!
//! Not here: which of these sources a request has (`apache`), and what a route leads to (`mod.rs`). The surprising thing: cookies are not
//! parsed but searched for the name, as C does; values keep their blanks, and one lone quote.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memchr3};

/// Where the session ids of a request are looked for (reference: lb-shm-status.md section 2.6). Only to be asked when `sticky_session` is on and not
/// ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lookup<'a> {
    /// Environment variable JK_ROUTE; empty = not set.
    pub forced_route: &'a [u8],
    /// Path of the request, percent-decoded, without query string.
    pub path: &'a [u8],
    /// Name of the path parameter with its `;`; empty = none.
    pub path_name: &'a [u8],
    /// Name of the cookie; empty = none.
    pub cookie_name: &'a [u8],
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionIds<'a> {
    /// Nothing.
    Absent,
    /// Nothing but emptiness: treated as absent, but worth a log line ("Detected empty session identifier.").
    Empty,
    /// One id, or several joined by `;`, none of them empty. Owned only when there were several or a forced route.
    Found(Cow<'a, [u8]>),
}

impl SessionIds<'_> {
    /// In the form that [`Selection`](super::Selection) takes.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Found(ids) => Some(ids),
            Self::Absent | Self::Empty => None,
        }
    }
}

/// The session ids of a request: JK_ROUTE, else the path parameter, else the cookies. `cookies` are the values of all Cookie headers.
///
/// An empty path parameter still keeps the cookies from being looked at, unless it is the very end of the path.
pub fn session_ids<'a>(lookup: &Lookup<'a>, cookies: impl IntoIterator<Item = &'a [u8]>) -> SessionIds<'a> {
    if !lookup.forced_route.is_empty() {
        return SessionIds::Found(Cow::Owned([b".", lookup.forced_route].concat()));
    }
    match path_parameter(lookup.path, lookup.path_name) {
        Some([]) => SessionIds::Empty,
        Some(id) => SessionIds::Found(Cow::Borrowed(id)),
        None => cookie_ids(lookup.cookie_name, cookies),
    }
}

/// Value of the `Set-Cookie` header by which a balancer with `set_session_cookie` names the member it chose. `path` empty = no PATH
/// (reference: lb-shm-status.md section 2.8).
#[must_use]
pub fn session_cookie_header(cookie: &str, route: &[u8], path: &str, secure: bool) -> Vec<u8> {
    let mut header = [cookie.as_bytes(), b"=.", route].concat();
    if !path.is_empty() {
        header.extend_from_slice(b";PATH=");
        header.extend_from_slice(path.as_bytes());
    }
    header.extend_from_slice(b";HttpOnly");
    if secure {
        header.extend_from_slice(b";Secure");
    }
    header
}

/// Whether it is plain that `path` has no path parameter of this name; false says nothing.
#[inline]
#[must_use]
pub fn has_no_parameter(path: &[u8], name: &[u8]) -> bool {
    name.first().is_none_or(|byte| path.len() <= SHORT && lacks(path, *byte))
}

/// Whether an environment variable such as JK_STICKY_IGNORE or JK_STATELESS that is set means "yes": it is empty or a number other than 0.
/// Text is the number 0 (reference: lb-shm-status.md section 2.5, section 2.6).
#[must_use]
pub fn is_switched_on(value: &[u8]) -> bool {
    let number = value.trim_ascii_start();
    let digits = number.strip_prefix(b"-").or_else(|| number.strip_prefix(b"+")).unwrap_or(number);
    value.is_empty() || digits.iter().take_while(|byte| byte.is_ascii_digit()).any(|digit| *digit != b'0')
}

/// The text after `name=`, up to the next `?`, `;` or `/`. At the end of the path, `name=` counts as not there.
fn path_parameter<'a>(path: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = path;
    loop {
        rest = after_name(rest, name)?;
        if let Some(value @ [_, ..]) = rest.strip_prefix(b"=") {
            return Some(until(value, memchr3(b'?', b';', b'/', value)));
        }
    }
}

/// All ids in cookies of this name, in order, joined by `;`. Empty ones lead nowhere and are left out.
fn cookie_ids<'a>(name: &[u8], cookies: impl IntoIterator<Item = &'a [u8]>) -> SessionIds<'a> {
    let mut ids = SessionIds::Absent;
    for header in cookies {
        let mut from = 0;
        while let Some((id, end)) = next_cookie(header, from, name) {
            from = end;
            ids = match ids {
                SessionIds::Found(ids) if id.is_empty() => SessionIds::Found(ids),
                SessionIds::Found(ids) => {
                    let mut ids = ids.into_owned();
                    ids.push(b';');
                    ids.extend_from_slice(id);
                    SessionIds::Found(Cow::Owned(ids))
                }
                SessionIds::Absent | SessionIds::Empty if id.is_empty() => SessionIds::Empty,
                SessionIds::Absent | SessionIds::Empty => SessionIds::Found(Cow::Borrowed(id)),
            };
        }
    }
    ids
}

/// The next value of this name from the index `from` on, and the index of its end. Going on from there keeps the whole search linear, however
/// often a header repeats the name.
fn next_cookie<'a>(header: &'a [u8], mut from: usize, name: &[u8]) -> Option<(&'a [u8], usize)> {
    loop {
        let rest = after_name(header.get(from..)?, name)?;
        from = header.len() - rest.len();
        let preceding = header.get(..from - name.len()).and_then(|before| before.last());
        if preceding.is_some_and(|byte| !matches!(byte, b';' | b',') && !is_blank(*byte)) {
            continue;
        }
        let blanks = rest.iter().take_while(|byte| is_blank(**byte)).count();
        if let Some(value @ [_, ..]) = rest.get(blanks..).and_then(|text| text.strip_prefix(b"=")) {
            let value = until(value, memchr2(b';', b',', value));
            return Some((unquoted(value), from + blanks + 1 + value.len()));
        }
    }
}

/// What follows the first `name`. Names are short and begin with a byte that is rare where they are looked for, so a search for that byte
/// beats building a searcher.
fn after_name<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (first, mut rest) = (*name.first()?, text);
    loop {
        rest = rest.get(memchr(first, rest)?..)?;
        if let Some(after) = rest.strip_prefix(name) {
            return Some(after);
        }
        rest = rest.get(1..)?;
    }
}

/// Up to this length looking at the words of a text costs less than calling `memchr`.
const SHORT: usize = 64;

/// Whether `byte` is nowhere in `text`; by words of eight bytes.
#[inline]
fn lacks(text: &[u8], byte: u8) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let wanted = ONES * u64::from(byte);
    // A byte that is wanted becomes 0, and only from a 0 on does a subtraction of ones set high bits that were not there.
    let lacks = |word: &[u8; 8]| {
        let word = u64::from_ne_bytes(*word) ^ wanted;
        word.wrapping_sub(ONES) & !word & (ONES * 0x80) == 0
    };
    match text.last_chunk() {
        // The last word overlaps the one before it.
        Some(last) => lacks(last) && text.as_chunks().0.iter().all(lacks),
        None => !text.contains(&byte),
    }
}

fn until(text: &[u8], end: Option<usize>) -> &[u8] {
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

/// Without a pair of quotes; a single one belongs to the value.
fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    }
}

/// C's isspace: `u8::is_ascii_whitespace` and the vertical tab.
const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0B | 0x0C | b'\r')
}

#[cfg(test)]
mod tests {
    use memchr::memmem;

    use super::*;

    const LOOKUP: Lookup<'_> =
        Lookup { forced_route: b"", path: b"/app/x", path_name: b";jsessionid", cookie_name: b"JSESSIONID" };

    fn found(text: &str) -> SessionIds<'_> {
        SessionIds::Found(Cow::Borrowed(text.as_bytes()))
    }

    fn from_cookies<'a>(headers: &[&'a str]) -> SessionIds<'a> {
        session_ids(&LOOKUP, headers.iter().map(|header| header.as_bytes()))
    }

    fn from_path<'a>(path: &'a str, cookie: &'a str) -> SessionIds<'a> {
        session_ids(&Lookup { path: path.as_bytes(), ..LOOKUP }, [cookie.as_bytes()])
    }

    #[test]
    fn cookie_is_found_in_every_form_c_finds_it_in() {
        for (header, id) in [
            ("JSESSIONID=abc.w2", "abc.w2"),
            ("JSESSIONID=\"abc.w2\"", "abc.w2"),
            ("JSESSIONID=\"abc.w2", "\"abc.w2"),
            ("JSESSIONID=abc.w2\"", "abc.w2\""),
            ("JSESSIONID=\"", "\""),
            ("JSESSIONID = abc.w2", " abc.w2"),
            ("JSESSIONID\t\x0B=abc.w2", "abc.w2"),
            ("a=b; JSESSIONID=abc.w2", "abc.w2"),
            ("a=b;JSESSIONID=abc.w2", "abc.w2"),
            ("a=b,JSESSIONID=abc.w2,c=d", "abc.w2"),
            ("a=b\x0BJSESSIONID=abc.w2", "abc.w2"),
            ("JSESSIONID=abc.w2 ;x=y", "abc.w2 "),
            ("JSESSIONID=a.b.w2", "a.b.w2"),
            ("JSESSIONID=abc.w2!x", "abc.w2!x"),
            ("JSESSIONID=abc.", "abc."),
            ("JSESSIONID=abc", "abc"),
            ("XJSESSIONID=no.w1; JSESSIONID=abc.w2", "abc.w2"),
            ("JSESSIONIDX=no.w1; JSESSIONID=abc.w2", "abc.w2"),
            ("JSESSIONID; JSESSIONID=abc.w2", "abc.w2"),
            ("JSESSIONID=x JSESSIONID=abc.w2", "x JSESSIONID=abc.w2"),
        ] {
            assert_eq!(from_cookies(&[header]), found(id), "{header}");
        }
    }

    #[test]
    fn other_names_are_not_found() {
        for header in [
            "jsessionid=abc.w2",
            "XJSESSIONID=abc.w2",
            "JSESSIONIDX=abc.w2",
            "a=JSESSIONID=abc.w2",
            "JSESSIONID",
            "JSESSIONID ",
            "JSESSIONID;x=y",
            "",
        ] {
            assert_eq!(from_cookies(&[header]), SessionIds::Absent, "{header}");
        }
        assert_eq!(from_cookies(&[]), SessionIds::Absent);
    }

    #[test]
    fn cookie_that_ends_the_header_without_a_value_is_not_there() {
        assert_eq!(from_cookies(&["JSESSIONID="]), SessionIds::Absent);
        assert_eq!(from_cookies(&["a=b; JSESSIONID ="]), SessionIds::Absent);
    }

    #[test]
    fn several_cookies_are_joined_in_order_over_all_headers() {
        for (headers, ids) in [
            (&["JSESSIONID=a.zz; JSESSIONID=b.w3"][..], "a.zz;b.w3"),
            (&["JSESSIONID=a.w2; JSESSIONID=b.w3"], "a.w2;b.w3"),
            (&["JSESSIONID=a; JSESSIONID=b.w3"], "a;b.w3"),
            (&["JSESSIONID=a.zz", "JSESSIONID=b.w3"], "a.zz;b.w3"),
            (&["JSESSIONID=a.zz, JSESSIONID=b.w3"], "a.zz;b.w3"),
            (&["x=y", "JSESSIONID=a.w1", "JSESSIONID=\"b.w2\"; JSESSIONID=c.w3"], "a.w1;b.w2;c.w3"),
        ] {
            assert_eq!(from_cookies(headers), found(ids), "{headers:?}");
        }
    }

    #[test]
    fn empty_cookies_do_not_hide_the_others() {
        for header in [
            "JSESSIONID=; JSESSIONID=b.w3",
            "JSESSIONID=\"\"; JSESSIONID=b.w3",
            "JSESSIONID=b.w3; JSESSIONID=\"\"",
            "JSESSIONID=; JSESSIONID=b.w3; JSESSIONID=;",
        ] {
            assert_eq!(from_cookies(&[header]), found("b.w3"), "{header}");
        }
    }

    #[test]
    fn nothing_but_empty_cookies_is_no_session() {
        for header in ["JSESSIONID=\"\"", "JSESSIONID=;", "JSESSIONID=; JSESSIONID=\"\""] {
            let ids = from_cookies(&[header]);
            assert_eq!((ids.bytes(), &ids), (None, &SessionIds::Empty), "{header}");
        }
    }

    #[test]
    fn single_id_is_not_copied() {
        let header = "a=b; JSESSIONID=abc.w2; JSESSIONID=\"\"";
        assert!(matches!(from_cookies(&[header]), SessionIds::Found(Cow::Borrowed(_))));
        assert!(matches!(from_path("/x;jsessionid=a.w1", ""), SessionIds::Found(Cow::Borrowed(_))));
    }

    #[test]
    fn path_parameter_is_found_in_any_segment_among_others() {
        for path in [
            "/app;jsessionid=a.w3",
            "/app;jsessionid=a.w3/x",
            "/app;a=b;jsessionid=a.w3;c=d",
            "/app;jsessionid=a.w3?x=y",
            "/app;jsessionid;jsessionid=a.w3",
            "/app;jsessionidx=no;jsessionid=a.w3",
        ] {
            assert_eq!(from_path(path, ""), found("a.w3"), "{path}");
            assert!(!has_no_parameter(path.as_bytes(), LOOKUP.path_name), "{path}");
        }
    }

    #[test]
    fn path_parameter_is_case_sensitive_and_needs_its_semicolon() {
        for path in ["/app;JSESSIONID=a.w3", "/app/jsessionid=a.w3", "/app;xjsessionid=a.w3", "/app;jsessionid"] {
            assert_eq!(from_path(path, ""), SessionIds::Absent, "{path}");
        }
    }

    #[test]
    fn path_parameter_wins_over_cookies_whatever_it_says() {
        assert_eq!(from_path("/app;jsessionid=abc.w3", "JSESSIONID=abc.w2"), found("abc.w3"));
        assert_eq!(from_path("/app;jsessionid=abc.zz", "JSESSIONID=abc.w2"), found("abc.zz"));
        assert_eq!(from_path("/app;jsessionid=abc", "JSESSIONID=abc.w2"), found("abc"));
    }

    #[test]
    fn empty_path_parameter_hides_the_cookies_except_at_the_very_end() {
        assert_eq!(from_path("/app;jsessionid=/y", "JSESSIONID=abc.w2"), SessionIds::Empty);
        assert_eq!(from_path("/app;jsessionid=;x=y", "JSESSIONID=abc.w2"), SessionIds::Empty);
        assert_eq!(from_path("/app;jsessionid=", "JSESSIONID=abc.w2"), found("abc.w2"));
    }

    #[test]
    fn forced_route_replaces_every_id() {
        let lookup = Lookup { forced_route: b"w3", path: b"/app;jsessionid=a.w1", ..LOOKUP };
        assert_eq!(session_ids(&lookup, [&b"JSESSIONID=abc.w2"[..]]), found(".w3"));
    }

    #[test]
    fn names_come_from_the_configuration_and_empty_ones_find_nothing() {
        let lookup = Lookup { path: b"/x;sid=a.w1", path_name: b";sid", cookie_name: b"OTHER", ..LOOKUP };
        assert_eq!(session_ids(&lookup, []), found("a.w1"));
        let lookup = Lookup { path: b"/x", ..lookup };
        assert_eq!(session_ids(&lookup, [&b"OTHER=a.w3; JSESSIONID=a.w2"[..]]), found("a.w3"));
        let lookup = Lookup { path: b"/x=y", path_name: b"", cookie_name: b"", ..LOOKUP };
        assert_eq!(session_ids(&lookup, [&b"=a.w3"[..]]), SessionIds::Absent);
    }

    #[test]
    fn set_cookie_names_the_member_and_marks_secure_connections() {
        for (cookie, path, secure, expected) in [
            ("JSESSIONID", "/", false, "JSESSIONID=.w2;PATH=/;HttpOnly"),
            ("LBCK", "/myapp", true, "LBCK=.w2;PATH=/myapp;HttpOnly;Secure"),
            ("JSESSIONID", "", true, "JSESSIONID=.w2;HttpOnly;Secure"),
        ] {
            assert_eq!(session_cookie_header(cookie, b"w2", path, secure), expected.as_bytes());
        }
    }

    #[test]
    fn switches_are_on_when_empty_or_a_number_other_than_zero() {
        for value in ["", "1", "-1", "+2", " 7", "10", "01", "1x"] {
            assert!(is_switched_on(value.as_bytes()), "{value:?}");
        }
        for value in ["0", "00", "-0", "true", "x1", " ", "-", "0.5"] {
            assert!(!is_switched_on(value.as_bytes()), "{value:?}");
        }
    }

    #[test]
    fn a_byte_is_seen_wherever_it_is_and_no_other_is_taken_for_it() {
        for length in 0..=SHORT {
            for other in [0, 1, b':', b'<', 0x7F, 0x80, 0xBB, 0xFF] {
                assert!(lacks(&vec![other; length], b';'), "{length} times {other:#x}");
                for at in 0..length {
                    let text: Vec<u8> = (0..length).map(|index| if index == at { b';' } else { other }).collect();
                    assert!(!lacks(&text, b';'), "at {at} of {length} among {other:#x}");
                }
            }
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(512))]

        #[test]
        fn any_header_gives_ids_that_are_parts_of_it(header in "([a =;,\"]|JSESSIONID){0,40}") {
            if let SessionIds::Found(ids) = from_cookies(&[header.as_str()]) {
                proptest::prop_assert!(ids.len() <= header.len());
                for id in ids.split(|byte| *byte == b';') {
                    proptest::prop_assert!(!id.is_empty() && memmem::find(header.as_bytes(), id).is_some());
                }
            }
        }
    }
}
