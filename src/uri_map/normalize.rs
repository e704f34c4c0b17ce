//! Servlet normalisation of a decoded URI path, and the two other path questions of the Apache side: JkStripSession and
//! JkAutoAlias. Security-relevant: mounts, exclusions and `<Location>` sections all see what comes out of here.
//!
//! Not here: percent decoding (httpd has done it, once) and matching (`UriMap`). The surprising thing: path parameters go
//! first, so `/a/..;x/b` means `/b` (reference: apache-side.md section 3.2).

use std::borrow::Cow;

/// Why a URI is answered with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormalizeError {
    /// It neither begins with `/` nor is `*`. C mod_jk logs this as a warning.
    BadPath,
    /// A `..` segment would climb above the root. Any client can send that, so it is worth an info line only
    /// (DEVIATIONS section 5; C mod_jk: emerg).
    Traversal,
}

impl std::fmt::Display for NormalizeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::BadPath => "the URI does not begin with '/'",
            Self::Traversal => "the URI climbs above the root with '..'",
        })
    }
}

impl std::error::Error for NormalizeError {}

/// The path that rules are compared with: without path parameters, runs of `/`, and `.` and `..` segments.
///
/// The observable result is that of four passes in this order: drop `;...` in every segment, collapse `/`, remove `.`,
/// resolve `..`. A path that is already normal is borrowed, not copied. `*` (from `OPTIONS *`) stays as it is
/// (reference: apache-side.md section 3.2).
///
/// # Errors
///
/// [`NormalizeError`]; both mean 400, also for a URI that nobody mounted.
pub fn normalize(uri: &[u8]) -> Result<Cow<'_, [u8]>, NormalizeError> {
    if uri == b"*" || is_plain(uri) {
        return Ok(Cow::Borrowed(uri));
    }
    let Some((b'/', segments)) = uri.split_first() else { return Err(NormalizeError::BadPath) };
    if is_normal(segments) {
        return Ok(Cow::Borrowed(uri));
    }
    rebuild(segments, uri.len()).map(Cow::Owned)
}

/// Whether [`normalize`] would give the path back as it is, as far as a quick look can tell: nearly all paths are such.
#[inline]
pub fn is_plain(uri: &[u8]) -> bool {
    uri.first() == Some(&b'/') && !looks_odd(uri)
}

/// Whether the path holds `;`, `//` or `/.` at all. Written without branches inside, so that it compiles to vector code.
fn looks_odd(uri: &[u8]) -> bool {
    let next = uri.get(1..).unwrap_or_default();
    uri.iter()
        .zip(next)
        .fold(false, |odd, (&this, &next)| odd | (next == b';') | ((this == b'/') & ((next == b'/') | (next == b'.'))))
}

/// Whether rebuilding would change nothing (`/.well-known/x` looks odd and is normal).
fn is_normal(segments: &[u8]) -> bool {
    let mut rest = segments.split(|&byte| byte == b'/').peekable();
    while let Some(segment) = rest.next() {
        let is_last = rest.peek().is_none();
        if segment == b"." || segment == b".." || segment.contains(&b';') || (segment.is_empty() && !is_last) {
            return false;
        }
    }
    true
}

/// One walk over the segments that does what the four passes do. Invariant: `out` begins and ends with `/` between
/// segments, so popping means cutting back to the slash before the last one.
fn rebuild(segments: &[u8], capacity: usize) -> Result<Vec<u8>, NormalizeError> {
    let mut out = Vec::with_capacity(capacity);
    out.push(b'/');
    let mut rest = segments.split(|&byte| byte == b'/').peekable();
    while let Some(segment) = rest.next() {
        let name = segment.split(|&byte| byte == b';').next().unwrap_or_default();
        match name {
            b"" | b"." => {}
            b".." => {
                out.pop();
                let parent = memchr::memrchr(b'/', &out).ok_or(NormalizeError::Traversal)?;
                out.truncate(parent + 1);
            }
            _ => {
                out.extend_from_slice(name);
                if rest.peek().is_some() {
                    out.push(b'/');
                }
            }
        }
    }
    Ok(out)
}

/// What JkStripSession leaves of `path` (`r->uri` or `r->filename`), `None` when there is nothing to strip.
///
/// The first occurrence of `id` goes, up to the next `;` or `/` or the end, in whichever segment it stands. No `=` is
/// required: `;sid` also strips `;sidfoo` (reference: apache-side.md section 2.4).
pub fn strip_session(path: &[u8], id: &[u8]) -> Option<Vec<u8>> {
    if id.is_empty() {
        return None;
    }
    let start = memchr::memmem::find(path, id)?;
    let (before, found) = path.split_at_checked(start)?;
    let after = found.get(id.len()..)?;
    let end = memchr::memchr2(b';', b'/', after).unwrap_or(after.len());
    Some([before, after.get(end..)?].concat())
}

/// What JkAutoAlias does with an unmapped URI, as far as the URI alone can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoAlias<'u> {
    /// Not ours: httpd goes on as without mod_jk.
    Declined,
    /// Names WEB-INF or META-INF: 404, before anything is looked up on disk.
    NotFound,
    /// Look at `alias directory + "/" + context` on disk.
    Check {
        /// First segment of the URI, without slashes.
        context: &'u [u8],
        /// When that is no directory: 403 if set (a packed `.war`), otherwise declined.
        forbidden_unless_directory: bool,
    },
}

/// Decides JkAutoAlias for a normalised URI.
///
/// WEB-INF and META-INF are refused in any segment and any case; C mod_jk looks at the second segment only, and serves
/// `/app/sub/WEB-INF/web.xml` (reference: apache-side.md section 2.5; DEVIATIONS section 5).
pub fn auto_alias(normalized_uri: &[u8]) -> AutoAlias<'_> {
    let Some((b'/', path)) = normalized_uri.split_first() else { return AutoAlias::Declined };
    if path.is_empty() {
        return AutoAlias::Declined;
    }
    let mut segments = path.split(|&byte| byte == b'/');
    let is_private = |s: &[u8]| s.eq_ignore_ascii_case(b"WEB-INF") || s.eq_ignore_ascii_case(b"META-INF");
    if segments.clone().any(is_private) {
        return AutoAlias::NotFound;
    }
    let context = segments.next().unwrap_or_default();
    let forbidden_unless_directory = context.last_chunk::<4>().is_some_and(|end| end.eq_ignore_ascii_case(b".war"));
    AutoAlias::Check { context, forbidden_unless_directory }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;
    use crate::uri_map::fuzz::normalize_in_four_passes;
    use proptest::prelude::*;

    fn normal(uri: &str) -> String {
        String::from_utf8(normalize(uri.as_bytes()).unwrap().into_owned()).unwrap()
    }

    proptest! {
        #[test]
        fn equals_four_naive_passes(uri in "[/.;ab]{0,14}") {
            let ours = normalize(uri.as_bytes()).map(Cow::into_owned);
            prop_assert_eq!(ours, normalize_in_four_passes(uri.as_bytes()));
        }

        #[test]
        fn is_idempotent_and_leaves_nothing_to_resolve(uri in "/([.;ab/]|\\.\\.|;x){0,12}") {
            if let Ok(once) = normalize(uri.as_bytes()) {
                prop_assert!(matches!(normalize(&once), Ok(Cow::Borrowed(twice)) if twice == &*once));
                prop_assert!(!once.contains(&b';') && memchr::memmem::find(&once, b"//").is_none());
                prop_assert!(!once.split(|&b| b == b'/').any(|s| s == b"." || s == b".."));
            }
        }

        #[test]
        fn finds_what_is_odd_wherever_it_stands(before in "/[a-z]{0,40}", odd in "(|;|//|/\\.|\\.|/)", after in "[a-z]{0,40}") {
            let uri = [before, odd, after].concat();
            prop_assert_eq!(is_plain(uri.as_bytes()), !uri.contains(';') && !uri.contains("//") && !uri.contains("/."));
        }

        #[test]
        fn borrows_exactly_what_is_already_normal(uri in "/[.;ab/]{0,10}") {
            if let Ok(out) = normalize(uri.as_bytes()) {
                prop_assert_eq!(matches!(out, Cow::Borrowed(_)), &*out == uri.as_bytes());
            }
        }
    }

    #[test]
    fn drops_parameters_in_every_segment() {
        assert_eq!(normal("/a;x=1/b;y;z/c;"), "/a/b/c");
        assert_eq!(normal("/;x"), "/");
        assert_eq!(normal("/;x/a"), "/a");
    }

    #[test]
    fn collapses_slashes() {
        assert_eq!(normal("//app///private/x"), "/app/private/x");
        assert_eq!(normal("/a//"), "/a/");
    }

    #[test]
    fn removes_dot_segments_and_keeps_the_trailing_slash() {
        assert_eq!(normal("/a/./b/."), "/a/b/");
        assert_eq!(normal("/."), "/");
        assert_eq!(normal("/.a/b./..c"), "/.a/b./..c");
    }

    #[test]
    fn resolves_dot_dot_segments() {
        assert_eq!(normal("/a/b/../c"), "/a/c");
        assert_eq!(normal("/a/.."), "/");
        assert_eq!(normal("/a/b/.."), "/a/");
        assert_eq!(normal("/a//../b"), "/b");
    }

    #[test]
    fn parameters_go_before_dot_dot_is_seen() {
        assert_eq!(normal("/a/..;x/b"), "/b");
        assert_eq!(normal("/app/.;x/b"), "/app/b");
    }

    #[test]
    fn climbing_above_the_root_is_a_traversal() {
        for uri in ["/..", "/../a", "/a/../..", "/a/..;/..;/x", "/./../a"] {
            assert_eq!(normalize(uri.as_bytes()), Err(NormalizeError::Traversal), "{uri}");
        }
    }

    #[test]
    fn accepts_the_asterisk_alone_and_no_other_relative_text() {
        assert_eq!(normal("*"), "*");
        for uri in ["", "a", "*x", "http://h/"] {
            assert_eq!(normalize(uri.as_bytes()), Err(NormalizeError::BadPath), "{uri}");
        }
    }

    #[test]
    fn percent_and_backslash_are_ordinary() {
        assert_eq!(normal("/a/%2e%2e/b\\..\\c"), "/a/%2e%2e/b\\..\\c");
    }

    #[test]
    fn well_known_is_borrowed() {
        assert!(matches!(normalize(b"/.well-known/x"), Ok(Cow::Borrowed(_))));
    }

    fn stripped(path: &str, id: &str) -> Option<String> {
        strip_session(path.as_bytes(), id.as_bytes()).map(|p| String::from_utf8(p).unwrap())
    }

    #[test]
    fn strips_the_session_id_in_any_segment() {
        assert_eq!(stripped("/static;jsessionid=a.b/f.txt", ";jsessionid").unwrap(), "/static/f.txt");
        assert_eq!(stripped("/f.txt;jsessionid=1", ";jsessionid").unwrap(), "/f.txt");
    }

    #[test]
    fn strips_only_up_to_the_next_parameter() {
        assert_eq!(stripped("/f.txt;jsessionid=1;x=y", ";jsessionid").unwrap(), "/f.txt;x=y");
    }

    #[test]
    fn strips_without_an_equals_sign_and_longer_names_too() {
        assert_eq!(stripped("/f;sidfoo", ";sid").unwrap(), "/f");
    }

    #[test]
    fn strips_the_first_occurrence_only_and_case_sensitively() {
        assert_eq!(stripped("/a;sid=1/b;sid=2", ";sid").unwrap(), "/a/b;sid=2");
        assert_eq!(stripped("/a;SID=1", ";sid"), None);
        assert_eq!(stripped("/a;sid=1", ""), None);
    }

    #[test]
    fn auto_alias_declines_the_root_and_the_asterisk() {
        for uri in ["/", "*", ""] {
            assert_eq!(auto_alias(uri.as_bytes()), AutoAlias::Declined, "{uri}");
        }
    }

    #[test]
    fn auto_alias_refuses_private_directories_at_any_depth_and_in_any_case() {
        for uri in ["/app/WEB-INF/web.xml", "/app/web-inf", "/app/Meta-Inf/x", "/app/sub/WEB-INF/x", "/WEB-INF/x"] {
            assert_eq!(auto_alias(uri.as_bytes()), AutoAlias::NotFound, "{uri}");
        }
        let with_parameter = normalize(b"/app/WEB-INF;x/web.xml").unwrap();
        assert_eq!(auto_alias(&with_parameter), AutoAlias::NotFound);
    }

    #[test]
    fn auto_alias_checks_other_contexts_on_disk() {
        for (uri, context) in [("/app", "app"), ("/app1/f.txt", "app1"), ("/app/WEB-INF ", "app")] {
            let wanted = AutoAlias::Check { context: context.as_bytes(), forbidden_unless_directory: false };
            assert_eq!(auto_alias(uri.as_bytes()), wanted, "{uri}");
        }
    }

    #[test]
    fn auto_alias_forbids_war_files_in_any_case() {
        for uri in ["/app.war", "/app.WAR/x", "/.war"] {
            let found = auto_alias(uri.as_bytes());
            assert!(matches!(found, AutoAlias::Check { forbidden_unless_directory: true, .. }), "{uri}");
        }
        assert!(matches!(auto_alias(b"/war"), AutoAlias::Check { forbidden_unless_directory: false, .. }));
    }
}
