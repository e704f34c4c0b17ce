//! What httpd makes of a request target and a host before mod_jk sees them.
//!
//! Not here: what mod_jk makes of the path (`uri_map::normalize`). The surprising thing: dot segments are resolved twice, by httpd before
//! it decodes, and by mod_jk after that, and the results can differ; only both together tell where a request goes.

use crate::status::{Ask, Host, Site};
use crate::uri_map::wildcard;

/// A target that httpd answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) why: &'static str,
}

const BAD_ESCAPE: Refusal = Refusal { status: 400, why: "httpd refuses a % that is not followed by two hex digits" };
const ABOVE_ROOT: Refusal = Refusal { status: 400, why: "httpd refuses a path that climbs above the root with .." };
const HIDDEN_SLASH: Refusal =
    Refusal { status: 404, why: "httpd refuses %2F and %00 in paths (%2F unless AllowEncodedSlashes is on)" };

/// The path of a request target as httpd hands it to modules: query cut off, dot segments resolved, decoded once.
pub(super) fn decoded(target: &[u8]) -> Result<Vec<u8>, Refusal> {
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    if !path.starts_with(b"/") {
        return Ok(path.to_vec());
    }
    unescaped(&resolved(&unreserved(path)?)?)
}

/// Decodes what need not have been encoded, so that `%2e%2e` is seen for what it is.
fn unreserved(path: &[u8]) -> Result<Vec<u8>, Refusal> {
    without_escapes(path, |letter| Ok(letter.is_ascii_alphanumeric() || b"-._~".contains(&letter)))
}

fn unescaped(path: &[u8]) -> Result<Vec<u8>, Refusal> {
    without_escapes(path, |letter| if matches!(letter, 0 | b'/') { Err(HIDDEN_SLASH) } else { Ok(true) })
}

/// Decodes the escapes of the bytes that `wanted` says; the others stay.
fn without_escapes(path: &[u8], wanted: impl Fn(u8) -> Result<bool, Refusal>) -> Result<Vec<u8>, Refusal> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let (digits, after) = after.split_at_checked(2).ok_or(BAD_ESCAPE)?;
        let letter = hex(digits).ok_or(BAD_ESCAPE)?;
        if wanted(letter)? {
            out.push(letter);
        } else {
            out.push(b'%');
            out.extend_from_slice(digits);
        }
        rest = after;
    }
    Ok(out)
}

/// Without `.` and `..` segments and runs of slashes (MergeSlashes is on unless switched off).
fn resolved(path: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut out = vec![b'/'];
    let mut segments = path.split(|byte| *byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            b"" | b"." => {}
            b".." => {
                if out.len() == 1 {
                    return Err(ABOVE_ROOT);
                }
                out.pop();
                while out.last().is_some_and(|byte| *byte != b'/') {
                    out.pop();
                }
            }
            _ => {
                out.extend_from_slice(segment);
                if segments.peek().is_some() {
                    out.push(b'/');
                }
            }
        }
    }
    Ok(out)
}

fn hex(digits: &[u8]) -> Option<u8> {
    let value = |digit: &u8| char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match digits {
        [high, low] => Some(value(high)? << 4 | value(low)?),
        _ => None,
    }
}

/// The server that a request for `host` goes to, and whether one has that name. Without a host: the one that was asked.
///
/// As httpd does: among the virtual hosts of one address, the first that has the name or an alias, else the first of them. A name that
/// only a host of another address has is looked up there, because an admin asks about the site and not about the port.
pub(super) fn site<'s>(sites: &'s [Site], ask: &Ask<'_>, host: Option<&[u8]>) -> Option<(&'s Site, bool)> {
    let own = sites.get(ask.site);
    let Some(host) = host else { return Some((own?, true)) };
    let (name, port) = name_and_port(host);
    let has_name = |site: &&Site| site.host.is_called(&name);
    let has_port = |site: &&Site| port.is_none_or(|port| site.host.listens(port));
    // httpd keeps its virtual hosts from the last one written to the first.
    let all = || sites.iter().rev();
    let of_own_address = || all().filter(|site| own.is_some_and(|own| site.host.shares_address(&own.host)));
    let found = of_own_address().filter(has_port).find(has_name).or_else(|| all().filter(has_port).find(has_name));
    found.map(|site| (site, true)).or_else(|| Some((of_own_address().next().or(own)?, false)))
}

/// Host header without its port, in lower case.
fn name_and_port(host: &[u8]) -> (String, Option<u16>) {
    let text = String::from_utf8_lossy(host).to_ascii_lowercase();
    let port = text.rsplit_once(':').and_then(|(name, port)| Some((name.to_owned(), port.parse().ok()?)));
    match port {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => {
            (name.trim_end_matches('.').to_owned(), Some(port))
        }
        _ => (text.trim_end_matches('.').to_owned(), None),
    }
}

impl Host {
    /// Whether the lower-case name is the server's or one of its aliases.
    fn is_called(&self, name: &str) -> bool {
        self.names.iter().any(|known| wildcard::matches(known.to_ascii_lowercase().as_bytes(), name.as_bytes()))
    }

    fn listens(&self, port: u16) -> bool {
        self.addresses.is_empty() || self.addresses.iter().any(|(_, own)| *own == 0 || *own == port)
    }

    /// Whether a connection for the one may be one for the other. The main server has no address of its own.
    fn shares_address(&self, other: &Self) -> bool {
        if self.addresses.is_empty() || other.addresses.is_empty() {
            return self.addresses.is_empty() && other.addresses.is_empty();
        }
        self.addresses.iter().any(|address| other.addresses.contains(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(target: &str) -> Result<String, u16> {
        let path = decoded(target.as_bytes()).map(|path| String::from_utf8_lossy(&path).into_owned());
        path.map_err(|refusal| refusal.status)
    }

    #[test]
    fn targets_are_read_as_httpd_reads_them() {
        for (target, expected) in [
            ("/a/b?c=/../d", "/a/b"),
            ("/a/./b/../c", "/a/c"),
            ("/a//b", "/a/b"),
            ("/a//../b", "/b"),
            ("/a/%2e%2e/b", "/b"),
            ("/a/..", "/"),
            ("/a/.", "/a/"),
            ("/a/;x/../b", "/a/b"),
            ("/a%20b%25", "/a b%"),
            ("/a/..;x/b", "/a/..;x/b"),
            ("*", "*"),
        ] {
            assert_eq!(path(target).as_deref(), Ok(expected), "{target}");
        }
        for (target, status) in [
            ("/%", 400),
            ("/%4", 400),
            ("/%zz", 400),
            ("/..", 400),
            ("/a/../../b", 400),
            ("/a%2fb", 404),
            ("/%00", 404),
        ] {
            assert_eq!(path(target), Err(status), "{target}");
        }
    }

    #[test]
    fn ports_are_told_from_colons_of_addresses() {
        assert_eq!(name_and_port(b"WWW.example.org:8080"), ("www.example.org".to_owned(), Some(8080)));
        assert_eq!(name_and_port(b"www.example.org."), ("www.example.org".to_owned(), None));
        assert_eq!(name_and_port(b"[::1]:81"), ("[::1]".to_owned(), Some(81)));
        assert_eq!(name_and_port(b"::1"), ("::1".to_owned(), None));
    }
}
