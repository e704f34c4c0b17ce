//! The coded methods, header names and attributes: one table each, both directions. No bytes are read or written here.
//! Surprising: methods are matched by exact case, request header names by any case, and response header names by exact
//! case again when a container writes them (reference: ajp-side.md section 1.4).

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

/// Where codes of header names begin, in both directions: 0xA0 in the high byte. No header name we send is this long.
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
const RESPONSE_HEADERS: [&[u8]; 11] = [
    b"Content-Type",
    b"Content-Language",
    b"Content-Length",
    b"Date",
    b"Last-Modified",
    b"Location",
    b"Set-Cookie",
    b"Set-Cookie2",
    b"Servlet-Engine",
    b"Status",
    b"WWW-Authenticate",
];

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
pub fn method_code(name: &[u8]) -> Option<u8> {
    match name {
        // What nearly every request is; the rest is found by walking the table.
        b"GET" => Some(0x02),
        b"POST" => Some(0x04),
        _ => METHODS.iter().zip(0x01..).find(|(method, _)| **method == name).map(|(_, code)| code),
    }
}

/// Method of a code.
pub fn method_name(code: u8) -> Option<&'static [u8]> {
    METHODS.get(usize::from(code).checked_sub(1)?).copied()
}

/// Code of a request header name in any case, `None` when it travels as text.
pub fn request_header_code(name: &[u8]) -> Option<u16> {
    // By length there are at most three candidates, mostly none.
    let candidates: &[u16] = match name.len() {
        4 => &[0xA00B],
        6 => &[0xA001, 0xA009, 0xA00C],
        7 => &[0xA00D, 0xA00A],
        10 => &[0xA00E, 0xA006],
        12 => &[0xA007],
        13 => &[0xA005],
        14 => &[0xA008, 0xA002],
        15 => &[0xA003, 0xA004],
        _ => return None,
    };
    candidates.iter().copied().find(|code| request_header_name(*code).is_some_and(|n| n.eq_ignore_ascii_case(name)))
}

/// Request header name of a code.
pub fn request_header_name(code: u16) -> Option<&'static [u8]> {
    coded_name(&REQUEST_HEADERS, code)
}

/// Code of a response header name as a container would look it up: by exact case.
pub fn response_header_code(name: &[u8]) -> Option<u16> {
    RESPONSE_HEADERS.iter().zip(0xA001..).find(|(header, _)| **header == name).map(|(_, code)| code)
}

/// Response header name of a code. 0xA000 has none: C mod_jk crashes on it.
pub fn response_header_name(code: u16) -> Option<&'static [u8]> {
    coded_name(&RESPONSE_HEADERS, code)
}

/// Whether the field before a header name is a code and not the length of a text.
pub fn is_coded_name(field: u16) -> bool {
    field & 0xFF00 == CODED_NAMES
}

/// Name of an attribute code, for messages.
pub fn attribute_name(code: u8) -> Option<&'static str> {
    attribute::NAMES.get(usize::from(code).checked_sub(1)?).copied()
}

fn coded_name(table: &[&'static [u8]], code: u16) -> Option<&'static [u8]> {
    table.get(usize::from(code.checked_sub(CODED_NAMES)?).checked_sub(1)?).copied()
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
    fn leaves_near_misses_of_request_headers_as_text() {
        for name in [&b"Hos"[..], b"Hosts", b"Accep_", b"Accept-Ranges", b"Cookie3", b"X-Forwarded-For", b"", b"DNT"] {
            assert_eq!(request_header_code(name), None, "{}", name.escape_ascii());
        }
    }

    #[test]
    fn finds_every_response_header_by_code() {
        for (name, code) in RESPONSE_HEADERS.iter().zip(0xA001..) {
            assert_eq!(response_header_name(code), Some(*name));
            assert_eq!(response_header_code(name), Some(code));
        }
        assert_eq!(response_header_name(0xA00B), Some(&b"WWW-Authenticate"[..]));
        assert_eq!(response_header_name(0xA003), Some(&b"Content-Length"[..]));
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
