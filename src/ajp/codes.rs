//! The coded methods, header names and attributes: one table each, both directions. No bytes are read or written here.
//! Surprising: methods are matched by exact case, request header names by any case, and response header names by exact
//! case again when a container writes them (reference: ajp-side.md section 1.4).

use std::ffi::CStr;

/// Method byte that means: the name is in the stored_method attribute.
pub const STORED_METHOD: u8 = 0xFF;

/// Methods in the order of their codes, the first is 0x01.
const METHODS: [&[u8]; 27] = [
    b"OPTIONS",
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"DELETE",
    b"TRACE",
    b"PROPFIND",
    b"PROPPATCH",
    b"MKCOL",
    b"COPY",
    b"MOVE",
    b"LOCK",
    b"UNLOCK",
    b"ACL",
    b"REPORT",
    b"VERSION-CONTROL",
    b"CHECKIN",
    b"CHECKOUT",
    b"UNCHECKOUT",
    b"SEARCH",
    b"MKWORKSPACE",
    b"UPDATE",
    b"LABEL",
    b"MERGE",
    b"BASELINE-CONTROL",
    b"MKACTIVITY",
];

/// Where codes of header names begin, in both directions: 0xA0 in the high byte. No name with such a length is sent.
pub const CODED_NAMES: u16 = 0xA000;

/// Request header names in the order of their codes, the first is 0xA001.
const REQUEST_HEADERS: [&[u8]; 14] = [
    b"Accept",
    b"Accept-Charset",
    b"Accept-Encoding",
    b"Accept-Language",
    b"Authorization",
    b"Connection",
    b"Content-Type",
    b"Content-Length",
    b"Cookie",
    b"Cookie2",
    b"Host",
    b"Pragma",
    b"Referer",
    b"User-Agent",
];

/// Response header names in the order of their codes, the first is 0xA001.
const RESPONSE_HEADERS: [&CStr; 11] = [
    c"Content-Type",
    c"Content-Language",
    c"Content-Length",
    c"Date",
    c"Last-Modified",
    c"Location",
    c"Set-Cookie",
    c"Set-Cookie2",
    c"Servlet-Engine",
    c"Status",
    c"WWW-Authenticate",
];

/// Code of Content-Type in a response.
pub(super) const RESPONSE_CONTENT_TYPE: u16 = 0xA001;
/// Code of Content-Length in a response.
pub(super) const RESPONSE_CONTENT_LENGTH: u16 = 0xA003;
/// Code of Last-Modified in a response.
pub(super) const RESPONSE_LAST_MODIFIED: u16 = 0xA005;
/// Code of Location in a response.
pub(super) const RESPONSE_LOCATION: u16 = 0xA006;

/// Codes of the request attributes.
pub mod attribute {
    /// Never sent by a web server.
    pub const CONTEXT: u8 = 0x01;
    /// Never sent by a web server.
    pub const SERVLET_PATH: u8 = 0x02;
    /// Authenticated user.
    pub const REMOTE_USER: u8 = 0x03;
    /// Authentication scheme.
    pub const AUTH_TYPE: u8 = 0x04;
    /// Query string, without the question mark.
    pub const QUERY_STRING: u8 = 0x05;
    /// Route of the chosen member.
    pub const ROUTE: u8 = 0x06;
    /// Client certificate, PEM.
    pub const SSL_CERT: u8 = 0x07;
    /// Cipher suite.
    pub const SSL_CIPHER: u8 = 0x08;
    /// TLS session id.
    pub const SSL_SESSION: u8 = 0x09;
    /// A named attribute: name and value.
    pub const REQ_ATTRIBUTE: u8 = 0x0A;
    /// Key size in bits, the only attribute that is a number.
    pub const SSL_KEY_SIZE: u8 = 0x0B;
    /// Secret of the worker.
    pub const SECRET: u8 = 0x0C;
    /// Method without a code.
    pub const STORED_METHOD: u8 = 0x0D;
    /// End of the attributes, and of the request.
    pub const ARE_DONE: u8 = 0xFF;

    /// Names in the order of the codes, the first is 0x01.
    pub(super) const NAMES: [&str; 13] = [
        "context",
        "servlet_path",
        "remote_user",
        "auth_type",
        "query_string",
        "route",
        "ssl_cert",
        "ssl_cipher",
        "ssl_session",
        "req_attribute",
        "ssl_key_size",
        "secret",
        "stored_method",
    ];
}

/// Code of a method, `None` when AJP has none.
#[inline(always)]
pub fn method_code(name: &[u8]) -> Option<u8> {
    match name {
        // What nearly every request is; the rest is found by walking the table.
        b"GET" => Some(0x02),
        b"POST" => Some(0x04),
        _ => other_method_code(name),
    }
}

#[inline(never)]
fn other_method_code(name: &[u8]) -> Option<u8> {
    METHODS.iter().zip(0x01..).find(|(method, _)| **method == name).map(|(_, code)| code)
}

/// Method of a code.
pub fn method_name(code: u8) -> Option<&'static [u8]> {
    METHODS.get(usize::from(code).checked_sub(1)?).copied()
}

/// Code of Cookie in a request.
pub(super) const COOKIE: u16 = 0xA009;
/// Code of Content-Length in a request.
pub(super) const CONTENT_LENGTH: u16 = 0xA008;

/// Code of a request header name in any case, `None` when it travels as text.
#[inline(always)]
pub fn request_header_code(name: &[u8]) -> Option<u16> {
    let code = |known: &Name, code| known.is(name).then_some(code);
    // Of a length there are few candidates, and comparing with one costs no more than a look at the first letter.
    match name.len() {
        4 => code(&names::HOST, 0xA00B),
        6 => code(&names::ACCEPT, 0xA001)
            .or_else(|| code(&names::COOKIE, COOKIE))
            .or_else(|| code(&names::PRAGMA, 0xA00C)),
        7 => code(&names::REFERER, 0xA00D).or_else(|| code(&names::COOKIE2, 0xA00A)),
        10 => code(&names::USER_AGENT, 0xA00E).or_else(|| code(&names::CONNECTION, 0xA006)),
        12 => code(&names::CONTENT_TYPE, 0xA007),
        13 => code(&names::AUTHORIZATION, 0xA005),
        14 => code(&names::CONTENT_LENGTH, CONTENT_LENGTH).or_else(|| code(&names::ACCEPT_CHARSET, 0xA002)),
        15 => code(&names::ACCEPT_ENCODING, 0xA003).or_else(|| code(&names::ACCEPT_LANGUAGE, 0xA004)),
        _ => None,
    }
}

/// A header name to compare others with, in any case: its first and last bytes as words, which may overlap.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    lower: &'static [u8],
    start: Word,
    end: Word,
}

/// Bytes in lower case, and the bit of the case where they are letters: a letter and its capital are all that this bit makes equal.
#[derive(Clone, Copy, Debug)]
struct Word {
    lower: u64,
    case: u64,
}

impl Name {
    /// `lower`, which is in lower case.
    #[must_use]
    pub const fn new(lower: &'static [u8]) -> Self {
        let width = if lower.len() < 8 { 4 } else { 8 };
        let end = if lower.len() < width { 0 } else { lower.len() - width };
        Self { lower, start: Word::at(lower, 0, width), end: Word::at(lower, end, width) }
    }

    /// Whether `name` is this one.
    #[inline(always)]
    #[must_use]
    pub fn is(&self, name: &[u8]) -> bool {
        if name.len() != self.lower.len() {
            return false;
        }
        if self.lower.len() >= 8 {
            let (Some(start), Some(end)) = (name.first_chunk(), name.last_chunk()) else { return false };
            let ends = self.start.is(u64::from_le_bytes(*start)) & self.end.is(u64::from_le_bytes(*end));
            // Longer ones have bytes between the words.
            return ends && (self.lower.len() <= 16 || name.eq_ignore_ascii_case(self.lower));
        }
        match (name.first_chunk(), name.last_chunk()) {
            (Some(start), Some(end)) => {
                let (start, end) = (u32::from_le_bytes(*start), u32::from_le_bytes(*end));
                self.start.is(start.into()) & self.end.is(end.into())
            }
            _ => name.eq_ignore_ascii_case(self.lower),
        }
    }
}

impl Name {
    /// Whether a name that begins with `byte` may be this one.
    #[inline(always)]
    #[must_use]
    pub fn may_begin(&self, byte: u8) -> bool {
        self.lower.first().is_some_and(|first| byte.eq_ignore_ascii_case(first))
    }
}

impl Word {
    #[allow(
        clippy::indexing_slicing,
        reason = "runs at build time only, where an index out of bounds is a build error"
    )]
    const fn at(text: &[u8], from: usize, width: usize) -> Self {
        let mut word = Self { lower: 0, case: 0 };
        let mut place = 0;
        while place < width && from + place < text.len() {
            let byte = text[from + place];
            word.lower |= (byte as u64) << (8 * place);
            if byte.is_ascii_lowercase() {
                word.case |= 0x20 << (8 * place);
            }
            place += 1;
        }
        word
    }

    #[inline(always)]
    fn is(self, word: u64) -> bool {
        word | self.case == self.lower
    }
}

/// Header names that are compared on the way of every request, in lower case.
pub mod names {
    use super::Name;

    macro_rules! names {
        ($($name:ident $text:literal)+) => {
            $(#[doc = concat!("`", $text, "`")] pub const $name: Name = Name::new($text.as_bytes());)+
        };
    }

    names! {
        ACCEPT "accept"
        ACCEPT_CHARSET "accept-charset"
        ACCEPT_ENCODING "accept-encoding"
        ACCEPT_LANGUAGE "accept-language"
        AUTHORIZATION "authorization"
        CONNECTION "connection"
        CONTENT_LENGTH "content-length"
        CONTENT_TYPE "content-type"
        COOKIE "cookie"
        COOKIE2 "cookie2"
        HOST "host"
        KEEP_ALIVE "keep-alive"
        LAST_MODIFIED "last-modified"
        LOCATION "location"
        PRAGMA "pragma"
        PROXY_CONNECTION "proxy-connection"
        REFERER "referer"
        TE "te"
        TRAILER "trailer"
        TRANSFER_ENCODING "transfer-encoding"
        UPGRADE "upgrade"
        USER_AGENT "user-agent"
    }
}

/// Request header name of a code.
pub fn request_header_name(code: u16) -> Option<&'static [u8]> {
    REQUEST_HEADERS.get(place(code)?).copied()
}

/// Code of a response header name as a container would look it up: by exact case.
pub fn response_header_code(name: &[u8]) -> Option<u16> {
    RESPONSE_HEADERS.iter().zip(0xA001..).find(|(header, _)| header.to_bytes() == name).map(|(_, code)| code)
}

/// Response header name of a code. 0xA000 has none: C mod_jk crashes on it.
#[inline]
pub fn response_header_name(code: u16) -> Option<&'static CStr> {
    RESPONSE_HEADERS.get(place(code)?).copied()
}

/// Whether the field before a header name is a code and not the length of a text.
#[inline]
pub fn is_coded_name(field: u16) -> bool {
    field & 0xFF00 == CODED_NAMES
}

/// Name of an attribute code, for messages.
pub fn attribute_name(code: u8) -> Option<&'static str> {
    attribute::NAMES.get(usize::from(code).checked_sub(1)?).copied()
}

/// Place of a coded name in its table.
fn place(code: u16) -> Option<usize> {
    usize::from(code.checked_sub(CODED_NAMES)?).checked_sub(1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn finds_every_method_by_name_and_code() {
        for (name, code) in METHODS.iter().zip(0x01..) {
            assert_eq!(method_code(name), Some(code), "{}", name.escape_ascii());
            assert_eq!(method_name(code), Some(*name));
        }
        assert_eq!(method_code(b"MKACTIVITY"), Some(0x1B));
        assert_eq!(method_code(b"VERSION-CONTROL"), Some(0x11));
        assert_eq!(method_code(b"BASELINE-CONTROL"), Some(0x1A));
    }

    #[test]
    fn matches_methods_by_exact_case_only() {
        for name in [&b"get"[..], b"Get", b"PATCH", b"CONNECT", b"QUERY", b"BASELINE_CONTROL", b"GETS", b""] {
            assert_eq!(method_code(name), None, "{}", name.escape_ascii());
        }
    }

    #[test]
    fn knows_no_method_outside_the_table() {
        assert_eq!(method_name(0x00), None);
        assert_eq!(method_name(0x1C), None);
        assert_eq!(method_name(STORED_METHOD), None);
    }

    #[test]
    fn finds_every_request_header_in_any_case() {
        for (name, code) in REQUEST_HEADERS.iter().zip(0xA001..) {
            assert_eq!(request_header_code(name), Some(code), "{}", name.escape_ascii());
            assert_eq!(request_header_code(&name.to_ascii_lowercase()), Some(code));
            assert_eq!(request_header_code(&name.to_ascii_uppercase()), Some(code));
            assert_eq!(request_header_name(code), Some(*name));
        }
        assert_eq!(request_header_code(b"user-agent"), Some(0xA00E));
        assert_eq!(request_header_code(b"Host"), Some(0xA00B));
    }

    #[test]
    fn compares_names_of_every_length_byte_by_byte_but_for_the_case_of_letters() {
        for lower in
            [&b"te"[..], b"host", b"cookie", b"cookie2", b"location", b"proxy-connection", b"transfer-encoding"]
        {
            let known = Name::new(lower);
            assert!(known.is(lower) && known.is(&lower.to_ascii_uppercase()));
            assert!(!known.is(lower.get(1..).unwrap()) && !known.is(&[lower, b"x"].concat()));
            for (at, byte) in lower.iter().enumerate() {
                for other in 0..=u8::MAX {
                    let mut name = lower.to_vec();
                    *name.get_mut(at).unwrap() = other;
                    assert_eq!(known.is(&name), other.eq_ignore_ascii_case(byte), "{at} {other}");
                }
            }
        }
    }

    #[test]
    fn leaves_near_misses_of_request_headers_as_text() {
        for name in [&b"Hos"[..], b"Hosts", b"Accep_", b"Accept-Ranges", b"Cookie3", b"X-Forwarded-For", b"", b"DNT"] {
            assert_eq!(request_header_code(name), None, "{}", name.escape_ascii());
        }
    }

    #[test]
    fn finds_every_response_header_by_code() {
        for (name, code) in RESPONSE_HEADERS.iter().zip(0xA001..) {
            assert_eq!(response_header_name(code), Some(*name));
            assert_eq!(response_header_code(name.to_bytes()), Some(code));
        }
        assert_eq!(response_header_name(0xA00B), Some(c"WWW-Authenticate"));
        assert_eq!(response_header_name(RESPONSE_CONTENT_TYPE), Some(c"Content-Type"));
        assert_eq!(response_header_name(RESPONSE_CONTENT_LENGTH), Some(c"Content-Length"));
        assert_eq!(response_header_name(RESPONSE_LAST_MODIFIED), Some(c"Last-Modified"));
        assert_eq!(response_header_name(RESPONSE_LOCATION), Some(c"Location"));
    }

    #[test]
    fn codes_response_headers_by_exact_case_only() {
        assert_eq!(response_header_code(b"content-type"), None);
    }

    #[test]
    fn knows_no_header_outside_the_tables() {
        for code in [0x0001, 0xA000, 0xA00F, 0xA0FF, 0xA101, 0xFFFF] {
            assert_eq!(request_header_name(code), None, "{code:04X}");
        }
        for code in [0x0001, 0xA000, 0xA00C, 0xA0FF, 0xA101, 0xFFFF] {
            assert_eq!(response_header_name(code), None, "{code:04X}");
        }
    }

    #[test]
    fn tells_codes_from_lengths() {
        assert!(is_coded_name(0xA000) && is_coded_name(0xA00B) && is_coded_name(0xA0FF));
        assert!(!is_coded_name(0x9FFF) && !is_coded_name(0xA100) && !is_coded_name(0x000A));
    }

    #[test]
    fn names_attributes_by_code() {
        assert_eq!(attribute_name(attribute::CONTEXT), Some("context"));
        assert_eq!(attribute_name(attribute::SECRET), Some("secret"));
        assert_eq!(attribute_name(attribute::STORED_METHOD), Some("stored_method"));
        assert_eq!(attribute_name(0x00), None);
        assert_eq!(attribute_name(attribute::ARE_DONE), None);
    }
}
