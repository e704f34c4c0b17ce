//! What Tomcat is told about a request: headers, addresses, TLS facts, environment (reference: apache-side.md section 4.4, section 5).
//!
//! Not here: access to httpd's structures (`request.rs`), the bytes on the wire (`ajp`). The surprising thing: most facts can be
//! replaced by environment variables, and an empty variable replaces too (it sends AJP's null).

use std::ffi::CStr;

use smallvec::SmallVec;

use super::options::Flags;
use super::request::{Env, Request};
use super::server_config::Indicator;
use super::vhost::Vhost;
use crate::ajp::codes::names;
use crate::ajp::request::{self as ajp, EncodeError, HeaderName, Headers, NamedAttributes, Port, Tls};
use crate::worker::BodyKind;

/// The facts of one request, read from httpd while they are written to the packet.
pub(super) struct Facts<'r> {
    request: Request<'r>,
    vhost: &'r Vhost,
    env: Env,
    /// The URI before the map replaced it by its normalised form.
    original_uri: &'r [u8],
    route: Option<&'r [u8]>,
    method: &'r [u8],
    body: BodyKind,
}

impl<'r> Facts<'r> {
    #[inline(always)]
    pub(super) fn new(
        request: Request<'r>,
        vhost: &'r Vhost,
        env: Env,
        original_uri: &'r [u8],
        route: Option<&'r [u8]>,
    ) -> Self {
        let body = body_kind(request, vhost, env);
        Self { request, vhost, env, original_uri, route, method: request.method(), body }
    }

    /// What is said of the request body, in the headers too.
    #[inline(always)]
    pub(super) fn body(&self) -> BodyKind {
        self.body
    }
}

impl ajp::Facts for Facts<'_> {
    #[inline(always)]
    fn method(&self) -> &[u8] {
        self.method
    }

    #[inline(always)]
    fn protocol(&self) -> &[u8] {
        self.request.protocol()
    }

    #[inline(always)]
    fn uri(&self) -> &[u8] {
        if !self.vhost.flags.has(Flags::URI_OTHERS) && has_plain_words(self.original_uri) {
            return self.original_uri;
        }
        self.changed_uri()
    }

    #[inline(always)]
    fn remote_addr(&self) -> Option<&[u8]> {
        self.overridden(Indicator::RemoteAddr, || Some(self.remote_ip()))
    }

    #[inline(always)]
    fn remote_host(&self) -> Option<&[u8]> {
        let looked_up = self.request.remote_host();
        self.overridden(Indicator::RemoteHost, || looked_up)
    }

    #[inline(always)]
    fn server_name(&self) -> Option<&[u8]> {
        Some(self.env(Indicator::LocalName).unwrap_or_else(|| self.request.server_name()))
    }

    #[inline(always)]
    fn server_port(&self) -> u16 {
        match self.env(Indicator::LocalPort) {
            Some(text) => low_16_bits(leading_int(text)),
            None => self.request.server_port(),
        }
    }

    #[inline(always)]
    fn is_ssl(&self) -> bool {
        !self.env.is_empty()
            && self.vhost.extract_ssl
            && self.env(Indicator::Https).is_some_and(|text| text.eq_ignore_ascii_case(b"on"))
    }

    #[inline(always)]
    fn number_of_headers(&self) -> usize {
        let most = self.request.headers_in().entries().size_hint().1;
        most.filter(|most| *most < usize::from(u16::MAX)).unwrap_or_else(|| self.count_headers())
    }

    /// All headers in order; Content-Length as the body demands (reference: apache-side.md section 5.5).
    ///
    /// A function of its own: its loop has the registers to itself.
    #[inline(never)]
    fn write_headers(&self, headers: &mut Headers<'_, '_>) -> Result<(), EncodeError> {
        let mut has_length = false;
        for (name, value) in self.request.headers_in().entries() {
            let name = HeaderName::new(name.to_bytes());
            if name.is_content_length() {
                if self.body == BodyKind::Chunked {
                    continue;
                }
                has_length = true;
            }
            let value = value.to_bytes();
            if name.is_cookie()
                && let Some(joined) = rejoin_cookies(value)
            {
                headers.write(&name, &joined)?;
                continue;
            }
            headers.write(&name, value)?;
        }
        if !has_length && self.body == BodyKind::None {
            headers.write(&HeaderName::new(b"content-length"), b"0")?;
        }
        Ok(())
    }

    #[inline(always)]
    fn secret(&self) -> Option<&[u8]> {
        None
    }

    #[inline(always)]
    fn remote_user(&self) -> Option<&[u8]> {
        self.overridden(Indicator::RemoteUser, || self.request.user())
    }

    #[inline(always)]
    fn auth_type(&self) -> Option<&[u8]> {
        self.overridden(Indicator::AuthType, || self.request.auth_type())
    }

    #[inline(always)]
    fn query_string(&self) -> Option<&[u8]> {
        self.request.args()
    }

    #[inline(always)]
    fn route(&self) -> Option<&[u8]> {
        self.route
    }

    #[inline(always)]
    fn tls(&self) -> Option<Tls<'_>> {
        if ajp::Facts::is_ssl(self) { Some(self.tls_variables()) } else { None }
    }

    #[inline(always)]
    fn remote_port(&self) -> Option<Port<'_>> {
        let text = self.env(Indicator::RemotePort).map(Port::Text);
        Some(text.unwrap_or_else(|| Port::Number(self.own_remote_port())))
    }

    #[inline(always)]
    fn local_addr(&self) -> Option<&[u8]> {
        Some(self.env(Indicator::LocalAddr).unwrap_or_else(|| self.request.local_ip()))
    }

    /// JkEnvVar entries in order: the value when set, else the default, else nothing.
    #[inline(always)]
    fn write_attributes(&self, attributes: &mut NamedAttributes<'_, '_>) -> Result<(), EncodeError> {
        for var in &self.vhost.env_vars {
            if let Some(value) = self.env.get(&var.name).map(CStr::to_bytes).or(var.default.as_deref()) {
                attributes.write(var.name.as_bytes(), value)?;
            }
        }
        Ok(())
    }
}

/// Values of the Cookie headers as httpd has them, which a balancer looks for sessions in.
pub(super) fn cookies(request: Request<'_>) -> SmallVec<[&[u8]; 2]> {
    request.headers_in().values_of(&names::COOKIE).collect()
}

impl<'r> Facts<'r> {
    #[inline(always)]
    fn env(&self, which: Indicator) -> Option<&'r [u8]> {
        if self.env.is_empty() { None } else { self.found(which) }
    }

    /// Out of the way: most requests have no variables.
    #[inline(never)]
    fn found(&self, which: Indicator) -> Option<&'r [u8]> {
        self.env.get(self.vhost.indicator(which)).map(CStr::to_bytes)
    }

    /// An environment variable over httpd's own fact; an empty one of either sends AJP's null.
    #[inline(always)]
    fn overridden(&self, which: Indicator, own: impl FnOnce() -> Option<&'r [u8]>) -> Option<&'r [u8]> {
        self.env(which).or_else(own).filter(|text| !text.is_empty())
    }

    #[inline(never)]
    fn changed_uri(&self) -> &'r [u8] {
        let (flags, original) = (self.vhost.flags, self.original_uri);
        if flags.has(Flags::URI_UNPARSED) {
            target_path(self.request.unparsed_uri())
        } else if flags.has(Flags::URI_COMPAT) {
            original
        } else if flags.has(Flags::URI_ESCAPED) {
            let path = self.request.pool().text(original);
            // SAFETY: `text` made a NUL-terminated copy in the request's pool.
            let path = unsafe { CStr::from_ptr(path) };
            self.request.escape_path(path)
        } else {
            match escape_uri(original) {
                Some(escaped) => self.request.pool().bytes(&escaped),
                None => original,
            }
        }
    }

    #[inline(always)]
    fn remote_ip(&self) -> &'r [u8] {
        let (request, flags) = (self.request, self.vhost.flags);
        if flags.has(Flags::LOCAL_ADDRESS) {
            request.local_ip()
        } else if flags.has(Flags::PHYSICAL_ADDRESS) {
            request.client_ip()
        } else {
            request.useragent_ip()
        }
    }

    #[inline(always)]
    fn own_remote_port(&self) -> u16 {
        let (request, flags) = (self.request, self.vhost.flags);
        if flags.has(Flags::LOCAL_ADDRESS) {
            0
        } else if flags.has(Flags::PHYSICAL_ADDRESS) {
            request.client_port()
        } else {
            request.useragent_port()
        }
    }

    #[cold]
    fn count_headers(&self) -> usize {
        let headers = self.request.headers_in();
        let lengths = headers.values_of(&names::CONTENT_LENGTH).count();
        let others = headers.entries().count().saturating_sub(lengths);
        match self.body {
            BodyKind::Chunked => others,
            BodyKind::None => others.saturating_add(lengths.max(1)),
            BodyKind::Length(_) => others.saturating_add(lengths),
        }
    }

    /// What mod_ssl exported (reference: apache-side.md section 5.4).
    #[inline(never)]
    fn tls_variables(&self) -> Tls<'r> {
        // -1 is C's mark for "none".
        let bits = || self.env(Indicator::KeySize).map(leading_int).filter(|bits| *bits != -1);
        Tls {
            cert: self.certificates(),
            cipher: self.env(Indicator::Cipher),
            session: self.env(Indicator::Session),
            key_size: if self.vhost.flags.has(Flags::KEY_SIZE) { bits().map(low_16_bits) } else { None },
            protocol: self.env(Indicator::SslProtocol).filter(|text| !text.is_empty()),
        }
    }

    fn certificates(&self) -> Option<&'r [u8]> {
        let own = self.env(Indicator::Certs).filter(|text| !text.is_empty());
        if !self.vhost.flags.has(Flags::CERT_CHAIN) {
            return own;
        }
        let prefix = self.vhost.indicator(Indicator::CertChainPrefix).to_bytes();
        let mut chain = own.unwrap_or_default().to_vec();
        for (name, value) in self.env.entries() {
            if name.to_bytes().get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix)) {
                chain.extend_from_slice(value.to_bytes());
            }
        }
        (!chain.is_empty()).then(|| self.request.pool().bytes(&chain))
    }
}

/// A sub-request has no body of its own (reference: apache-side.md section 2.6, section 5.6).
#[inline(always)]
fn body_kind(request: Request<'_>, vhost: &Vhost, env: Env) -> BodyKind {
    if request.main().is_some() {
        return BodyKind::None;
    }
    if request.body_is_chunked() {
        return BodyKind::Chunked;
    }
    match request.body_length() {
        0 => BodyKind::None,
        _ if env.get(vhost.indicator(Indicator::IgnoreCl)).is_some() => BodyKind::Chunked,
        length => BodyKind::Length(length),
    }
}

/// Path of a request target as received: up to the query, without scheme and authority of an absolute-form target.
fn target_path(target: &[u8]) -> &[u8] {
    let path = match memchr::memmem::find(target, b"://") {
        Some(scheme) if target.first() != Some(&b'/') => {
            let authority = target.get(scheme.saturating_add(3)..).unwrap_or_default();
            match memchr::memchr2(b'/', b'?', authority) {
                Some(slash) => authority.get(slash..).unwrap_or_default(),
                None => b"/",
            }
        }
        _ => target,
    };
    let path = path.get(..memchr::memchr(b'?', path).unwrap_or(path.len())).unwrap_or_default();
    if path.is_empty() { b"/" } else { path }
}

/// Bytes that ForwardURIProxy leaves as they are (reference: apache-side.md section 4.4).
const KEPT: [bool; 256] = {
    let mut kept = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        #[allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "evaluated at compile time")]
        {
            kept[byte] = (byte as u8).is_ascii_alphanumeric();
        }
        byte += 1;
    }
    let others = b"~$-_.+!*'(),;:@&=/";
    let mut index = 0;
    while index < others.len() {
        #[allow(clippy::indexing_slicing, reason = "evaluated at compile time")]
        {
            kept[others[index] as usize] = true;
        }
        index += 1;
    }
    kept
};

fn is_kept(byte: u8) -> bool {
    KEPT.get(usize::from(byte)).copied().unwrap_or(false)
}

/// Whether it can be said by the word that all bytes are kept: letters, and what is from `&` to `;`.
#[inline]
fn has_plain_words(uri: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = ONES * 0x80;
    let is_plain = |word: &[u8; 8]| {
        let word = u64::from_ne_bytes(*word);
        // The high bit of each byte that is at least `low`, in a word of ASCII.
        let from = |low: u8| word.wrapping_add(ONES * u64::from(0x80 - low));
        let signs = from(b'&') & !from(b';' + 1);
        let capitals = from(b'@') & !from(b'Z' + 1);
        let letters = from(b'a') & !from(b'z' + 1);
        word & HIGH == 0 && (signs | capitals | letters) & HIGH == HIGH
    };
    // The last word overlaps the one before it.
    uri.last_chunk().is_some_and(is_plain) && uri.as_chunks().0.iter().all(is_plain)
}

/// ForwardURIProxy: every byte that is not kept becomes `%XX` in upper case. `None`: nothing changes.
fn escape_uri(uri: &[u8]) -> Option<Vec<u8>> {
    let first = uri.iter().position(|byte| !is_kept(*byte))?;
    let mut escaped = Vec::with_capacity(uri.len().saturating_add(32));
    let (clean, rest) = uri.split_at_checked(first).unwrap_or((uri, &[]));
    escaped.extend_from_slice(clean);
    for byte in rest {
        if is_kept(*byte) {
            escaped.push(*byte);
        } else {
            escaped.extend_from_slice(&[b'%', hex_digit(byte >> 4), hex_digit(byte & 15)]);
        }
    }
    Some(escaped)
}

fn hex_digit(value: u8) -> u8 {
    if value < 10 { b'0'.wrapping_add(value) } else { b'A'.wrapping_add(value.wrapping_sub(10)) }
}

/// httpd joins several Cookie lines by ", "; RFC 9113 section 8.2.3 joins them by "; ". A comma and a blank that another
/// `name=` follows, outside quotes, can only be httpd's: neither may stand in a cookie value (RFC 6265 section 4.1.1).
fn rejoin_cookies(value: &[u8]) -> Option<Vec<u8>> {
    memchr::memmem::find(value, b", ")?;
    let mut joined = value.to_vec();
    let mut quoted = false;
    let mut changed = false;
    for at in 0..value.len() {
        match value.get(at) {
            Some(b'"') => quoted = !quoted,
            Some(b',') if !quoted && value.get(at.saturating_add(1)) == Some(&b' ') => {
                let next = value.get(at.saturating_add(2)..).unwrap_or_default();
                let name = next.iter().take_while(|byte| byte.is_ascii_graphic() && !b"=;,\"".contains(byte)).count();
                if name > 0
                    && next.get(name) == Some(&b'=')
                    && let Some(comma) = joined.get_mut(at)
                {
                    *comma = b';';
                    changed = true;
                }
            }
            _ => {}
        }
    }
    changed.then_some(joined)
}

/// C's `atoi`.
pub(super) fn leading_int(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let mut number: i64 = 0;
    for byte in digits.iter().take_while(|byte| byte.is_ascii_digit()) {
        number = number.saturating_mul(10).saturating_add(i64::from(byte - b'0'));
    }
    if negative { number.saturating_neg() } else { number }
}

/// What C puts on the wire for a number that does not fit.
fn low_16_bits(number: i64) -> u16 {
    let [.., high, low] = number.to_be_bytes();
    u16::from_be_bytes([high, low])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_all_but_the_kept_bytes_in_upper_case_hex() {
        for (uri, escaped) in [
            (&b"/a b"[..], &b"/a%20b"[..]),
            (b"/a%2Fb", b"/a%252Fb"),
            (b"/x;jsessionid=A.n1/y", b"/x;jsessionid=A.n1/y"),
            (b"/\xc3\xa9", b"/%C3%A9"),
            (b"/~u/$-_.!*'(),:@&=z", b"/~u/$-_.!*'(),:@&=z"),
            (b"/a\"<>[]^`{|}", b"/a%22%3C%3E%5B%5D%5E%60%7B%7C%7D"),
            (b"/a\\b", b"/a%5Cb"),
            (b"/a\x7f\x01\n?#", b"/a%7F%01%0A%3F%23"),
        ] {
            assert_eq!(escape_uri(uri).as_deref().unwrap_or(uri), escaped);
        }
    }

    #[test]
    fn words_are_plain_only_if_all_their_bytes_are_kept() {
        for byte in 0..=u8::MAX {
            for at in 0..13 {
                let mut uri = *b"/abcXYZ/019.-";
                if let Some(place) = uri.get_mut(at) {
                    *place = byte;
                }
                assert!(!has_plain_words(&uri) || uri.iter().all(|byte| is_kept(*byte)), "{byte:#x} at {at}");
                let usual = byte.is_ascii_alphanumeric() || b"/.-;:,+*".contains(&byte);
                assert!(!usual || has_plain_words(&uri), "{byte:#x} at {at}");
            }
        }
    }

    #[test]
    fn leaves_a_uri_that_needs_no_escape() {
        assert_eq!(escape_uri(b"/app/index.jsp"), None);
    }

    #[test]
    fn takes_the_path_of_any_request_target() {
        for (target, path) in [
            (&b"/a%2Fb?q=1"[..], &b"/a%2Fb"[..]),
            (b"http://h/abs/p?q=1", b"/abs/p"),
            (b"http://h", b"/"),
            (b"http://h?q", b"/"),
            (b"/x?u=http://h/", b"/x"),
            (b"/x://y", b"/x://y"),
            (b"*", b"*"),
        ] {
            assert_eq!(target_path(target), path);
        }
    }

    #[test]
    fn joins_cookie_lines_by_semicolon_and_leaves_commas_in_values() {
        assert_eq!(rejoin_cookies(b"a=1, b=2"), Some(b"a=1; b=2".to_vec()));
        assert_eq!(rejoin_cookies(b"a=1; b=2"), None);
        assert_eq!(rejoin_cookies(b"a=\"x, y=z\"; b=2"), None);
        assert_eq!(rejoin_cookies(b"a=Mon, 01 Jan"), None);
    }

    #[test]
    fn reads_numbers_as_atoi_does() {
        for (text, number) in [(&b"7777x"[..], 7777), (b"", 0), (b"abc", 0), (b"-5", -5), (b" 12", 12)] {
            assert_eq!(leading_int(text), number);
        }
    }

    #[test]
    fn numbers_that_do_not_fit_lose_their_high_bits_as_in_c() {
        for (number, bits) in [(443, 443), (0, 0), (65_535, 65_535), (65_536, 0), (70_000, 4464), (-1, 65_535)] {
            assert_eq!(low_16_bits(number), bits);
        }
    }
}
