//! Whether a browser asks on behalf of a page of another site (cross-site request forgery).
//!
//! Not here: who the user is. The surprising thing: a request without any of these headers is let through. No browser of today sends
//! such a request for another site, but every script does.

/// What browsers say about the page a request comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Provenance<'a> {
    /// Sec-Fetch-Site.
    pub fetch_site: Option<&'a [u8]>,
    /// Origin.
    pub origin: Option<&'a [u8]>,
    /// Referer.
    pub referer: Option<&'a [u8]>,
    /// Host: what this server is called in the browser.
    pub host: Option<&'a [u8]>,
}

impl Provenance<'_> {
    /// The other site, in words; `None` when the request comes from a page of this server, from the address bar, or from a script.
    ///
    /// Sec-Fetch-Site is asked first, because the browser itself compares with the address it used, and a reverse proxy in front of us
    /// cannot falsify the result as it can by changing Host.
    #[must_use]
    pub fn foreign(&self) -> Option<String> {
        if let Some(site) = self.fetch_site {
            let own = [b"same-origin".as_slice(), b"none"].iter().any(|word| site.eq_ignore_ascii_case(word));
            let named = self.origin.or(self.referer).unwrap_or(b"another site");
            return (!own).then(|| crate::log::Shown(authority(named).unwrap_or(named)).to_string());
        }
        let page = self.origin.or(self.referer)?;
        let own = self.host.zip(authority(page)).is_some_and(|(host, page)| host.eq_ignore_ascii_case(page));
        (!own).then(|| crate::log::Shown(authority(page).unwrap_or(page)).to_string())
    }
}

/// Host with port, as in a Host header: the port is left out when it is the usual one of the scheme.
fn authority(url: &[u8]) -> Option<&[u8]> {
    let colon = memchr::memmem::find(url, b"://")?;
    let (scheme, rest) = url.split_at_checked(colon)?;
    let rest = rest.get(3..)?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let authority = rest.get(..end)?;
    let usual: &[u8] = if scheme.eq_ignore_ascii_case(b"https") { b":443" } else { b":80" };
    Some(authority.strip_suffix(usual).unwrap_or(authority))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_foreign(fetch_site: &str, origin: &str, referer: &str) -> bool {
        let header = |text: &'static str| (!text.is_empty()).then_some(text.as_bytes());
        let leak = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
        let provenance = Provenance {
            fetch_site: header(leak(fetch_site)),
            origin: header(leak(origin)),
            referer: header(leak(referer)),
            host: Some(b"www.example.org:8080"),
        };
        provenance.foreign().is_some()
    }

    #[test]
    fn scripts_and_old_links_are_no_other_site() {
        assert!(!is_foreign("", "", ""));
        assert!(!is_foreign("none", "", ""));
    }

    #[test]
    fn pages_of_this_server_are_no_other_site() {
        assert!(!is_foreign("same-origin", "http://www.example.org:8080", ""));
        assert!(!is_foreign("", "http://WWW.example.org:8080", ""));
        assert!(!is_foreign("", "", "http://www.example.org:8080/jkstatus?x=y"));
    }

    #[test]
    fn other_sites_are_found_by_each_header() {
        for site in ["cross-site", "same-site", "nonsense"] {
            assert!(is_foreign(site, "", ""), "{site}");
        }
        for origin in
            ["http://evil.example", "null", "http://www.example.org", "http://www.example.org:8080.evil.example"]
        {
            assert!(is_foreign("", origin, ""), "{origin}");
            assert!(is_foreign("", "", origin), "{origin}");
        }
        assert!(
            is_foreign("", "http://evil.example", "http://www.example.org:8080/"),
            "Origin counts more than Referer"
        );
    }

    #[test]
    fn the_usual_port_may_be_left_out() {
        let host = Some(b"www.example.org".as_slice());
        for origin in ["http://www.example.org:80", "https://www.example.org:443", "https://www.example.org"] {
            let provenance = Provenance { origin: Some(origin.as_bytes()), host, ..Provenance::default() };
            assert_eq!(provenance.foreign(), None, "{origin}");
        }
    }

    #[test]
    fn a_request_without_host_comes_from_nowhere_known() {
        let provenance = Provenance { origin: Some(b"http://a"), ..Provenance::default() };
        assert_eq!(provenance.foreign().as_deref(), Some("a"));
    }
}
