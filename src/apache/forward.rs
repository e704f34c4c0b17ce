//! What Tomcat is told about a request: headers, addresses, TLS facts, environment (reference: apache-side.md section 4.4, section 5).
//!
//! Not here: access to httpd's structures (`request.rs`), the bytes on the wire (`ajp`). The surprising thing: most facts can be
//! replaced by environment variables, and an empty variable replaces too (it sends AJP's null).

use std::borrow::Cow;
use std::ffi::CStr;

use smallvec::SmallVec;

use super::options::Flags;
use super::request::Request;
use super::server_config::Indicator;
use super::vhost::Vhost;
use crate::ajp::codes::names;
use crate::ajp::request::ForwardRequest;
use crate::worker::BodyKind;

type Pairs<'r> = SmallVec<[(&'r [u8], &'r [u8]); 24]>;

/// Texts made for one request that are not httpd's own.
#[derive(Default)]
pub(super) struct Texts<'r> {
    uri: Cow<'r, [u8]>,
    remote_port: Port,
}

/// Lists of one request.
pub(super) struct Lists<'r> {
    headers: Pairs<'r>,
    /// JkEnvVar entries.
    attributes: SmallVec<[(&'r [u8], &'r [u8]); 4]>,
    /// Values of the Cookie headers as httpd has them.
    cookies: SmallVec<[&'r [u8]; 2]>,
}

impl Lists<'_> {
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self { headers: SmallVec::new(), attributes: SmallVec::new(), cookies: SmallVec::new() }
    }
}

/// The facts of one request, borrowed from httpd and from what is put into `texts` and `lists`, for as long as the handler runs.
/// `original_uri` is the URI before the map replaced it by its normalised form. Last comes what a balancer looks for sessions in.
#[inline(always)]
pub(super) fn collect<'p, 'l: 'p, 'r: 'l>(
    request: Request<'r>,
    vhost: &'r Vhost,
    original_uri: &'r [u8],
    route: Option<&'r [u8]>,
    texts: &'l mut Texts<'r>,
    lists: &'p mut Lists<'l>,
) -> (ForwardRequest<'p>, BodyKind, &'p [&'l [u8]]) {
    if vhost.wants_cgi_variables {
        request.add_common_vars();
    }
    let facts = Facts { request, vhost, env: request.env() };
    let (remote_ip, remote_port) = facts.remote();
    texts.uri = facts.uri(original_uri);
    texts.remote_port = Port::of(remote_port);
    let texts = &*texts;
    let body = facts.body_kind();
    facts.headers(body, lists);
    facts.env_attributes(&mut lists.attributes);
    let tls = facts.tls();
    let fields = ForwardRequest {
        method: request.method(),
        protocol: request.protocol(),
        uri: &texts.uri,
        remote_addr: facts.overridden(Indicator::RemoteAddr, Some(remote_ip)),
        remote_host: facts.overridden(Indicator::RemoteHost, request.remote_host()),
        server_name: Some(facts.env(Indicator::LocalName).unwrap_or_else(|| request.server_name())),
        server_port: match facts.env(Indicator::LocalPort) {
            Some(text) => low_16_bits(leading_int(text)),
            None => request.server_port(),
        },
        is_ssl: tls.is_some(),
        headers: &lists.headers,
        secret: None,
        remote_user: facts.overridden(Indicator::RemoteUser, request.user()),
        auth_type: facts.overridden(Indicator::AuthType, request.auth_type()),
        query_string: request.args(),
        route,
        ssl_cert: tls.as_ref().and_then(|tls| tls.cert),
        ssl_cipher: tls.as_ref().and_then(|tls| tls.cipher),
        ssl_session: tls.as_ref().and_then(|tls| tls.session),
        ssl_key_size: tls.as_ref().and_then(|tls| tls.key_size),
        ssl_protocol: tls.as_ref().and_then(|tls| tls.protocol),
        remote_port: Some(facts.env(Indicator::RemotePort).unwrap_or_else(|| texts.remote_port.text())),
        local_addr: Some(facts.env(Indicator::LocalAddr).unwrap_or_else(|| request.local_ip())),
        attributes: &lists.attributes,
    };
    (fields, body, &lists.cookies)
}

/// What mod_ssl exported (reference: apache-side.md section 5.4).
struct Tls<'r> {
    cert: Option<&'r [u8]>,
    cipher: Option<&'r [u8]>,
    session: Option<&'r [u8]>,
    key_size: Option<u16>,
    protocol: Option<&'r [u8]>,
}

struct Facts<'r> {
    request: Request<'r>,
    vhost: &'r Vhost,
    env: super::request::Env,
}

impl<'r> Facts<'r> {
    #[inline(always)]
    fn env(&self, which: Indicator) -> Option<&'r [u8]> {
        if self.env.is_empty() {
            return None;
        }
        self.env.get(self.vhost.indicator(which)).map(CStr::to_bytes)
    }

    /// An environment variable over httpd's own fact; an empty one of either sends AJP's null.
    fn overridden(&self, which: Indicator, own: Option<&'r [u8]>) -> Option<&'r [u8]> {
        self.env(which).or(own).filter(|text| !text.is_empty())
    }

    fn uri(&self, original: &'r [u8]) -> Cow<'r, [u8]> {
        let flags = self.vhost.flags;
        if flags.has(Flags::URI_UNPARSED) {
            Cow::Borrowed(target_path(self.request.unparsed_uri()))
        } else if flags.has(Flags::URI_COMPAT) {
            Cow::Borrowed(original)
        } else if flags.has(Flags::URI_ESCAPED) {
            let path = self.request.pool().text(original);
            // SAFETY: `text` made a NUL-terminated copy in the request's pool.
            let path = unsafe { CStr::from_ptr(path) };
            Cow::Borrowed(self.request.escape_path(path))
        } else {
            escape_uri(original)
        }
    }

    fn remote(&self) -> (&'r [u8], u16) {
        let (request, flags) = (self.request, self.vhost.flags);
        if flags.has(Flags::LOCAL_ADDRESS) {
            (request.local_ip(), 0)
        } else if flags.has(Flags::PHYSICAL_ADDRESS) {
            (request.client_ip(), request.client_port())
        } else {
            (request.useragent_ip(), request.useragent_port())
        }
    }

    /// All headers in order; Content-Length as the body demands (reference: apache-side.md section 5.5).
    fn headers<'p>(&self, body: BodyKind, Lists { headers, cookies, .. }: &mut Lists<'p>)
    where
        'r: 'p,
    {
        let request = self.request;
        let mut has_length = false;
        for (name, value) in request.headers_in().entries() {
            let (name, value) = (name.to_bytes(), value.to_bytes());
            if names::CONTENT_LENGTH.is(name) {
                if matches!(body, BodyKind::Chunked) {
                    continue;
                }
                has_length = true;
            }
            if names::COOKIE.is(name) {
                cookies.push(value);
                let joined = rejoin_cookies(value).map(|joined| request.pool().bytes(&joined));
                headers.push((name, joined.unwrap_or(value)));
                continue;
            }
            headers.push((name, value));
        }
        if !has_length && matches!(body, BodyKind::None) {
            headers.push((b"content-length", b"0"));
        }
    }

    /// `None`: the client does not speak TLS, as far as we are told.
    fn tls(&self) -> Option<Tls<'r>> {
        if !self.vhost.extract_ssl || !self.env(Indicator::Https).is_some_and(|text| text.eq_ignore_ascii_case(b"on")) {
            return None;
        }
        // -1 is C's mark for "none".
        let bits = || self.env(Indicator::KeySize).map(leading_int).filter(|bits| *bits != -1);
        Some(Tls {
            cert: self.certificates(),
            cipher: self.env(Indicator::Cipher),
            session: self.env(Indicator::Session),
            key_size: if self.vhost.flags.has(Flags::KEY_SIZE) { bits().map(low_16_bits) } else { None },
            protocol: self.env(Indicator::SslProtocol).filter(|text| !text.is_empty()),
        })
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

    /// JkEnvVar entries in order: the value when set, else the default, else nothing.
    fn env_attributes<'p, const N: usize>(&self, attributes: &mut SmallVec<[(&'p [u8], &'p [u8]); N]>)
    where
        [(&'p [u8], &'p [u8]); N]: smallvec::Array<Item = (&'p [u8], &'p [u8])>,
        'r: 'p,
    {
        for var in &self.vhost.env_vars {
            let value = self.env.get(&var.name).map(CStr::to_bytes).or(var.default.as_deref());
            if let Some(value) = value {
                attributes.push((var.name.as_bytes(), value));
            }
        }
    }

    /// A sub-request has no body of its own (reference: apache-side.md section 2.6, section 5.6).
    fn body_kind(&self) -> BodyKind {
        let request = self.request;
        if request.main().is_some() {
            return BodyKind::None;
        }
        if request.body_is_chunked() {
            return BodyKind::Chunked;
        }
        match request.body_length() {
            0 => BodyKind::None,
            _ if self.env(Indicator::IgnoreCl).is_some() => BodyKind::Chunked,
            length => BodyKind::Length(length),
        }
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

/// ForwardURIProxy: every byte that is not kept becomes `%XX` in upper case. Borrows when nothing changes.
fn escape_uri(uri: &[u8]) -> Cow<'_, [u8]> {
    if has_plain_words(uri) {
        return Cow::Borrowed(uri);
    }
    let Some(first) = uri.iter().position(|byte| !is_kept(*byte)) else { return Cow::Borrowed(uri) };
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
    Cow::Owned(escaped)
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

/// A port in decimal.
#[derive(Default)]
struct Port {
    room: [u8; 5],
    start: usize,
}

impl Port {
    fn of(number: u16) -> Self {
        let (mut room, mut start, mut left) = ([0; 5], 5_usize, number);
        for place in room.iter_mut().rev() {
            let [_, digit] = (left % 10).to_be_bytes();
            *place = b'0' + digit;
            left /= 10;
            start = start.saturating_sub(1);
            if left == 0 {
                break;
            }
        }
        Self { room, start }
    }

    fn text(&self) -> &[u8] {
        self.room.get(self.start..).unwrap_or_default()
    }
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
            assert_eq!(escape_uri(uri).as_ref(), escaped);
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
    fn borrows_a_uri_that_needs_no_escape() {
        assert!(matches!(escape_uri(b"/app/index.jsp"), Cow::Borrowed(_)));
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

    #[test]
    fn writes_ports_in_decimal() {
        for port in [0_u16, 7, 80, 8009, 65535] {
            assert_eq!(Port::of(port).text(), port.to_string().as_bytes());
        }
    }
}
