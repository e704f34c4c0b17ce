//! Web server to container: ForwardRequest, body packets, CPing; and the container's side of it, for scripted peers. It
//! does not choose what is sent (headers, attributes): the caller does. Surprising: the order of the attributes is C
//! mod_jk's byte for byte, so that packet captures of both compare equal (reference: ajp-side.md sections 1.4 and 14).
//!
//! ```text
//!   ForwardRequest  02  method:u8  protocol  uri  remote_addr  remote_host  server_name  port:u16  is_ssl:u8
//!                   count:u16  count * (name:string or A0xx, value:string)
//!                   0C secret  03 user  04 auth_type  05 query  06 route  07 cert  08 cipher  09 session
//!                   0B key_size:u16  0D stored_method  (0A name value)*  FF
//!   body            length:u16  data                     no type byte, no NUL
//!   CPing           0A
//! ```

use super::codes::{self, attribute};
pub use super::forward::{
    EncodeError, Encoded, Facts, ForMember, Forward, HeaderName, Headers, NamedAttributes, Port, Tls,
};
use super::packet::{MAGIC_TO_CONTAINER, Reader};
use super::response::ProtocolError;
use super::{MAX_PACKET_SIZE, packet_type};

/// The whole CPing packet.
pub const CPING: [u8; 5] = [0x12, 0x34, 0x00, 0x01, packet_type::CPING];
/// Answer to GetBodyChunk when the body has ended: a packet without payload.
pub const END_OF_BODY: [u8; 4] = [0x12, 0x34, 0x00, 0x00];
/// Bytes before the data of a body packet: frame header and data length.
pub const BODY_PREFIX_LEN: usize = 6;

/// The head of a body packet that carries `data_len` bytes (at most `max_packet_size` - 6).
///
/// Send it only as the answer to a GetBodyChunk, or once behind a request that announced a Content-Length above 0: a
/// container that expects no body takes it for a new request (reference: ajp-side.md section 2.3).
pub fn body_prefix(data_len: u16) -> [u8; BODY_PREFIX_LEN] {
    let [length_high, length_low] = data_len.saturating_add(2).to_be_bytes();
    let [data_high, data_low] = data_len.to_be_bytes();
    let [first, second] = MAGIC_TO_CONTAINER;
    [first, second, length_high, length_low, data_high, data_low]
}

/// One request as AJP carries it. All text is bytes as httpd had them; `None` is AJP's null string, or "not sent" for
/// an attribute (reference: ajp-side.md section 1.4). No text may contain NUL; httpd's strings cannot.
#[derive(Clone, Debug, Default)]
pub struct ForwardRequest<'a> {
    /// Method as text; coded when AJP has a code for it, else sent as stored_method.
    pub method: &'a [u8],
    /// Protocol of the request line, such as `HTTP/1.1`.
    pub protocol: &'a [u8],
    /// URI, already encoded as JkOptions says.
    pub uri: &'a [u8],
    /// Client address.
    pub remote_addr: Option<&'a [u8]>,
    /// Client host name.
    pub remote_host: Option<&'a [u8]>,
    /// Name of this server.
    pub server_name: Option<&'a [u8]>,
    /// Port of this server.
    pub server_port: u16,
    /// Whether the client speaks TLS.
    pub is_ssl: bool,
    /// Headers in order; the caller has dropped what must not be sent and added `content-length`.
    pub headers: &'a [(&'a [u8], &'a [u8])],
    /// Secret of the worker (0x0C).
    pub secret: Option<&'a [u8]>,
    /// Authenticated user (0x03); not sent when empty.
    pub remote_user: Option<&'a [u8]>,
    /// Authentication scheme (0x04); not sent when empty.
    pub auth_type: Option<&'a [u8]>,
    /// Query string (0x05).
    pub query_string: Option<&'a [u8]>,
    /// Route of the chosen member (0x06).
    pub route: Option<&'a [u8]>,
    /// Client certificate, PEM (0x07).
    pub ssl_cert: Option<&'a [u8]>,
    /// Cipher suite (0x08).
    pub ssl_cipher: Option<&'a [u8]>,
    /// TLS session id (0x09).
    pub ssl_session: Option<&'a [u8]>,
    /// Key size in bits (0x0B).
    pub ssl_key_size: Option<u16>,
    /// TLS version: attribute AJP_SSL_PROTOCOL.
    pub ssl_protocol: Option<&'a [u8]>,
    /// Port of the client: attribute AJP_REMOTE_PORT.
    pub remote_port: Option<&'a [u8]>,
    /// Address of this server: attribute AJP_LOCAL_ADDR.
    pub local_addr: Option<&'a [u8]>,
    /// Further attributes (0x0A) in order: JkEnvVar entries.
    pub attributes: &'a [(&'a [u8], &'a [u8])],
}

impl ForwardRequest<'_> {
    /// Writes the whole packet, frame header included, to `out` (replacing what is in it).
    ///
    /// # Errors
    /// [`EncodeError`] when it does not fit into `max_packet_size` bytes; `out` is then unusable.
    pub fn encode(&self, out: &mut Vec<u8>, max_packet_size: usize) -> Result<(), EncodeError> {
        out.resize(max_packet_size.min(MAX_PACKET_SIZE), 0);
        let encoded = self.encode_for(&ForMember::default(), out, max_packet_size, 0)?;
        out.truncate(encoded.length);
        Ok(())
    }
}

impl Facts for ForwardRequest<'_> {
    fn method(&self) -> &[u8] {
        self.method
    }

    fn protocol(&self) -> &[u8] {
        self.protocol
    }

    fn uri(&self) -> &[u8] {
        self.uri
    }

    fn remote_addr(&self) -> Option<&[u8]> {
        self.remote_addr
    }

    fn remote_host(&self) -> Option<&[u8]> {
        self.remote_host
    }

    fn server_name(&self) -> Option<&[u8]> {
        self.server_name
    }

    fn server_port(&self) -> u16 {
        self.server_port
    }

    fn is_ssl(&self) -> bool {
        self.is_ssl
    }

    fn secret(&self) -> Option<&[u8]> {
        self.secret
    }

    fn remote_user(&self) -> Option<&[u8]> {
        self.remote_user
    }

    fn auth_type(&self) -> Option<&[u8]> {
        self.auth_type
    }

    fn query_string(&self) -> Option<&[u8]> {
        self.query_string
    }

    fn route(&self) -> Option<&[u8]> {
        self.route
    }

    fn local_addr(&self) -> Option<&[u8]> {
        self.local_addr
    }

    fn number_of_headers(&self) -> usize {
        self.headers.len()
    }

    fn write_headers(&self, headers: &mut Headers<'_, '_>) -> Result<(), EncodeError> {
        self.headers.iter().try_for_each(|(name, value)| headers.write(&HeaderName::new(name), value))
    }

    fn tls(&self) -> Option<Tls<'_>> {
        Some(Tls {
            cert: self.ssl_cert,
            cipher: self.ssl_cipher,
            session: self.ssl_session,
            key_size: self.ssl_key_size,
            protocol: self.ssl_protocol,
        })
    }

    fn remote_port(&self) -> Option<Port<'_>> {
        self.remote_port.map(Port::Text)
    }

    fn write_attributes(&self, attributes: &mut NamedAttributes<'_, '_>) -> Result<(), EncodeError> {
        self.attributes.iter().try_for_each(|(name, value)| attributes.write(name, value))
    }
}

/// A ForwardRequest as the container reads it, owned. The fields mean what those of [`ForwardRequest`] mean; names of
/// coded headers come back in the spelling of the code table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are ForwardRequest's")]
pub struct DecodedRequest {
    pub method: Vec<u8>,
    pub protocol: Vec<u8>,
    pub uri: Vec<u8>,
    pub remote_addr: Option<Vec<u8>>,
    pub remote_host: Option<Vec<u8>>,
    pub server_name: Option<Vec<u8>>,
    pub server_port: u16,
    pub is_ssl: bool,
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub secret: Option<Vec<u8>>,
    pub remote_user: Option<Vec<u8>>,
    pub auth_type: Option<Vec<u8>>,
    pub query_string: Option<Vec<u8>>,
    pub route: Option<Vec<u8>>,
    pub ssl_cert: Option<Vec<u8>>,
    pub ssl_cipher: Option<Vec<u8>>,
    pub ssl_session: Option<Vec<u8>>,
    pub ssl_key_size: Option<u16>,
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The order in which mod_jk sends attributes; each at most once, but 0x0A.
const ATTRIBUTE_ORDER: [u8; 11] = [
    attribute::SECRET,
    attribute::REMOTE_USER,
    attribute::AUTH_TYPE,
    attribute::QUERY_STRING,
    attribute::ROUTE,
    attribute::SSL_CERT,
    attribute::SSL_CIPHER,
    attribute::SSL_SESSION,
    attribute::SSL_KEY_SIZE,
    attribute::STORED_METHOD,
    attribute::REQ_ATTRIBUTE,
];

/// Reads one ForwardRequest payload (without frame header) as a container that accepts only what
/// [`ForwardRequest::encode`] writes: known codes, codes wherever there is one, attributes in their order, nothing
/// behind the end.
///
/// # Errors
/// [`ProtocolError`] for anything else.
pub fn decode(payload: &[u8]) -> Result<DecodedRequest, ProtocolError> {
    let mut reader = Reader::new(payload);
    let kind = byte(&mut reader, "packet type")?;
    if kind != packet_type::FORWARD_REQUEST {
        return Err(ProtocolError::new(format!("packet type 0x{kind:02X} is not a ForwardRequest")));
    }
    let mut request = DecodedRequest::default();
    let method_code = byte(&mut reader, "method")?;
    if method_code != codes::STORED_METHOD {
        request.method = codes::method_name(method_code)
            .ok_or_else(|| ProtocolError::new(format!("unknown method code 0x{method_code:02X}")))?
            .to_vec();
    }
    request.protocol = text(&mut reader, "protocol")?;
    request.uri = text(&mut reader, "uri")?;
    request.remote_addr = optional_text(&mut reader, "remote_addr")?;
    request.remote_host = optional_text(&mut reader, "remote_host")?;
    request.server_name = optional_text(&mut reader, "server_name")?;
    request.server_port = number(&mut reader, "server_port")?;
    request.is_ssl = match byte(&mut reader, "is_ssl")? {
        0 => false,
        1 => true,
        other => return Err(ProtocolError::new(format!("is_ssl is {other}"))),
    };
    for _ in 0..number(&mut reader, "number of headers")? {
        let name = decode_header_name(&mut reader)?;
        request.headers.push((name, text(&mut reader, "header value")?));
    }
    decode_attributes(&mut reader, &mut request, method_code == codes::STORED_METHOD)?;
    match reader.left().len() {
        0 => Ok(request),
        surplus => Err(ProtocolError::new(format!("{surplus} surplus bytes after the attributes"))),
    }
}

fn decode_header_name(reader: &mut Reader<'_>) -> Result<Vec<u8>, ProtocolError> {
    let field = number(reader, "header name")?;
    if codes::is_coded_name(field) {
        return codes::request_header_name(field)
            .map(<[u8]>::to_vec)
            .ok_or_else(|| ProtocolError::new(format!("unknown header code 0x{field:04X}")));
    }
    if field == u16::MAX {
        return Err(ProtocolError::new("header name is null".to_owned()));
    }
    let name = reader.text(field).map_err(|error| ProtocolError::item("header name", error))?;
    if name.contains(&0) || codes::request_header_code(name).is_some() {
        return Err(ProtocolError::new(format!("header name '{}' should not be text", name.escape_ascii())));
    }
    Ok(name.to_vec())
}

fn decode_attributes(
    reader: &mut Reader<'_>,
    request: &mut DecodedRequest,
    method_is_stored: bool,
) -> Result<(), ProtocolError> {
    let mut has_stored_method = false;
    let mut last_place = None;
    loop {
        let code = byte(reader, "attribute")?;
        if code == attribute::ARE_DONE {
            break;
        }
        let place = ATTRIBUTE_ORDER.iter().position(|known| *known == code);
        if place.is_none() || place < last_place || (place == last_place && code != attribute::REQ_ATTRIBUTE) {
            return Err(ProtocolError::new(format!("attribute 0x{code:02X} is unknown or out of order")));
        }
        last_place = place;
        let item = codes::attribute_name(code).unwrap_or("attribute");
        let field = match code {
            attribute::SSL_KEY_SIZE => {
                request.ssl_key_size = Some(number(reader, item)?);
                continue;
            }
            attribute::REQ_ATTRIBUTE => {
                let name = text(reader, item)?;
                request.attributes.push((name, text(reader, item)?));
                continue;
            }
            attribute::STORED_METHOD => {
                has_stored_method = true;
                request.method = text(reader, item)?;
                continue;
            }
            attribute::SECRET => &mut request.secret,
            attribute::REMOTE_USER => &mut request.remote_user,
            attribute::AUTH_TYPE => &mut request.auth_type,
            attribute::QUERY_STRING => &mut request.query_string,
            attribute::ROUTE => &mut request.route,
            attribute::SSL_CERT => &mut request.ssl_cert,
            attribute::SSL_CIPHER => &mut request.ssl_cipher,
            _ => &mut request.ssl_session,
        };
        *field = Some(text(reader, item)?);
    }
    let empty = |text: &Option<Vec<u8>>| text.as_ref().is_some_and(Vec::is_empty);
    if empty(&request.remote_user) || empty(&request.auth_type) {
        return Err(ProtocolError::new("empty remote_user or auth_type"));
    }
    if has_stored_method != method_is_stored || (method_is_stored && codes::method_code(&request.method).is_some()) {
        return Err(ProtocolError::new("stored_method does not fit the method code"));
    }
    Ok(())
}

fn byte(reader: &mut Reader<'_>, item: &str) -> Result<u8, ProtocolError> {
    reader.u8().map_err(|error| ProtocolError::item(item, error))
}

fn number(reader: &mut Reader<'_>, item: &str) -> Result<u16, ProtocolError> {
    reader.u16().map_err(|error| ProtocolError::item(item, error))
}

fn optional_text(reader: &mut Reader<'_>, item: &str) -> Result<Option<Vec<u8>>, ProtocolError> {
    Ok(reader.string().map_err(|error| ProtocolError::item(item, error))?.map(<[u8]>::to_vec))
}

fn text(reader: &mut Reader<'_>, item: &str) -> Result<Vec<u8>, ProtocolError> {
    optional_text(reader, item)?.ok_or_else(|| ProtocolError::item(item, "is null"))
}

impl DecodedRequest {
    /// Value of the first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let of_name = |(header, _): &&(Vec<u8>, Vec<u8>)| header.eq_ignore_ascii_case(name.as_bytes());
        self.headers.iter().find(of_name).map(|(_, value)| value.as_slice())
    }

    /// Value of the request attribute (0x0A) of this name.
    pub fn attribute(&self, name: &str) -> Option<&[u8]> {
        let of_name = |(attribute, _): &&(Vec<u8>, Vec<u8>)| attribute == name.as_bytes();
        self.attributes.iter().find(of_name).map(|(_, value)| value.as_slice())
    }

    /// Encodes it again, as [`ForwardRequest::encode`].
    ///
    /// # Errors
    /// As [`ForwardRequest::encode`].
    pub fn encode(&self, out: &mut Vec<u8>, max_packet_size: usize) -> Result<(), EncodeError> {
        let headers: Vec<_> = self.headers.iter().map(|(n, v)| (n.as_slice(), v.as_slice())).collect();
        let attributes: Vec<_> = self.attributes.iter().map(|(n, v)| (n.as_slice(), v.as_slice())).collect();
        ForwardRequest {
            method: &self.method,
            protocol: &self.protocol,
            uri: &self.uri,
            remote_addr: self.remote_addr.as_deref(),
            remote_host: self.remote_host.as_deref(),
            server_name: self.server_name.as_deref(),
            server_port: self.server_port,
            is_ssl: self.is_ssl,
            headers: &headers,
            secret: self.secret.as_deref(),
            remote_user: self.remote_user.as_deref(),
            auth_type: self.auth_type.as_deref(),
            query_string: self.query_string.as_deref(),
            route: self.route.as_deref(),
            ssl_cert: self.ssl_cert.as_deref(),
            ssl_cipher: self.ssl_cipher.as_deref(),
            ssl_session: self.ssl_session.as_deref(),
            ssl_key_size: self.ssl_key_size,
            ssl_protocol: None,
            remote_port: None,
            local_addr: None,
            attributes: &attributes,
        }
        .encode(out, max_packet_size)
    }
}

/// Entry point for fuzzers: what decodes must be what our encoder would have written. Panics only when this file is
/// wrong.
#[doc(hidden)]
pub fn fuzz_request(data: &[u8]) {
    if let Ok(request) = decode(data) {
        let mut packet = Vec::new();
        let encoded = request.encode(&mut packet, MAX_PACKET_SIZE);
        let fits = data.len() + super::HEADER_LEN <= MAX_PACKET_SIZE;
        assert!(encoded.is_ok() == fits, "{encoded:?}");
        assert!(!fits || packet.get(super::HEADER_LEN..) == Some(data));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::ajp::{HEADER_LEN, MAX_STRING, MIN_PACKET_SIZE};

    const GET: &[u8] = include_bytes!("../../tests/data/ajp/forward-get.bin");
    const POST: &[u8] = include_bytes!("../../tests/data/ajp/forward-post.bin");
    const PATCH: &[u8] = include_bytes!("../../tests/data/ajp/forward-patch.bin");

    fn minimal() -> ForwardRequest<'static> {
        ForwardRequest { method: b"GET", protocol: b"HTTP/1.1", uri: b"/", ..ForwardRequest::default() }
    }

    fn get() -> ForwardRequest<'static> {
        ForwardRequest {
            method: b"GET",
            protocol: b"HTTP/1.1",
            uri: b"/app/hello",
            remote_addr: Some(b"127.0.0.1"),
            server_name: Some(b"www.example.org"),
            server_port: 80,
            headers: &[
                (b"Host", b"www.example.org"),
                (b"User-Agent", b"curl/8.5.0"),
                (b"Accept", b"*/*"),
                (b"content-length", b"0"),
            ],
            query_string: Some(b"x=1&y="),
            route: Some(b"node1"),
            remote_port: Some(b"50412"),
            local_addr: Some(b"127.0.0.1"),
            attributes: &[(b"JK_LB_ACTIVATION", b"ACT")],
            ..ForwardRequest::default()
        }
    }

    fn post() -> ForwardRequest<'static> {
        ForwardRequest {
            method: b"POST",
            protocol: b"HTTP/1.1",
            uri: b"/shop/order",
            remote_addr: Some(b"2001:db8::7"),
            remote_host: Some(b"client.example.net"),
            server_name: Some(b"shop.example.org"),
            server_port: 443,
            is_ssl: true,
            headers: &[
                (b"host", b"shop.example.org"),
                (b"USER-AGENT", b"Mozilla/5.0 (X11; Linux x86_64)"),
                (b"X-Requested-With", b"XMLHttpRequest"),
                (b"Cookie", b"JSESSIONID=0123456789ABCDEF.node2"),
                (b"Content-Type", b"application/x-www-form-urlencoded"),
                (b"content-length", b"10"),
            ],
            secret: Some(b"s3cr3t"),
            remote_user: Some(b"alice"),
            auth_type: Some(b"Basic"),
            query_string: Some(b""),
            route: Some(b"node2"),
            ssl_cert: Some(b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
            ssl_cipher: Some(b"TLS_AES_256_GCM_SHA384"),
            ssl_session: Some(b"a1b2c3d4"),
            ssl_key_size: Some(256),
            ssl_protocol: Some(b"TLSv1.3"),
            remote_port: Some(b"40001"),
            local_addr: Some(b"2001:db8::1"),
            attributes: &[(b"JK_LB_ACTIVATION", b"DIS"), (b"tenant", b"blue")],
        }
    }

    fn encoded(request: &ForwardRequest<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        request.encode(&mut out, MIN_PACKET_SIZE).unwrap();
        out
    }

    fn encode_error(request: &ForwardRequest<'_>, max_packet_size: usize) -> EncodeError {
        request.encode(&mut Vec::new(), max_packet_size).unwrap_err()
    }

    /// The payload of [`GET`] with the bytes `from` replaced by `to`.
    fn changed(from: &[u8], to: &[u8]) -> Vec<u8> {
        let payload = &GET[HEADER_LEN..];
        let at = payload.windows(from.len()).position(|window| window == from).unwrap();
        [&payload[..at], to, &payload[at + from.len()..]].concat()
    }

    fn decode_error(payload: &[u8]) -> String {
        decode(payload).unwrap_err().reason
    }

    #[test]
    fn puts_the_activation_behind_the_local_address() {
        let names = |request: ForwardRequest<'_>| {
            let mut out = vec![0; MIN_PACKET_SIZE];
            let member = ForMember { activation: Some(b"DIS"), ..ForMember::default() };
            let length = request.encode_for(&member, &mut out, MIN_PACKET_SIZE, 0).unwrap().length;
            let decoded = decode(&out[HEADER_LEN..length]).unwrap();
            assert_eq!(decoded.attribute("JK_LB_ACTIVATION"), Some(&b"DIS"[..]));
            decoded.attributes.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect::<Vec<_>>()
        };
        let request = ForwardRequest {
            ssl_protocol: Some(b"TLSv1.3"),
            remote_port: Some(b"1"),
            local_addr: Some(b"::1"),
            attributes: &[(b"AJP_LOCAL_ADDR", b"from JkEnvVar")],
            ..minimal()
        };
        assert_eq!(
            names(request.clone()),
            ["AJP_SSL_PROTOCOL", "AJP_REMOTE_PORT", "AJP_LOCAL_ADDR", "JK_LB_ACTIVATION", "AJP_LOCAL_ADDR"]
        );
        let request = ForwardRequest { local_addr: None, ..request };
        assert_eq!(names(request), ["AJP_SSL_PROTOCOL", "AJP_REMOTE_PORT", "JK_LB_ACTIVATION", "AJP_LOCAL_ADDR"]);
    }

    #[test]
    fn member_replaces_secret_and_route() {
        let mut out = vec![0; MIN_PACKET_SIZE];
        let request = ForwardRequest { secret: Some(b"own"), route: Some(b"own"), ..minimal() };
        for (member, expected) in [(Some(&b"its"[..]), b"its"), (None, b"own")] {
            let member = ForMember { secret: member, route: member, activation: None };
            let length = request.encode_for(&member, &mut out, MIN_PACKET_SIZE, 0).unwrap().length;
            let decoded = decode(&out[HEADER_LEN..length]).unwrap();
            assert_eq!(
                (decoded.secret.as_deref(), decoded.route.as_deref()),
                (Some(&expected[..]), Some(&expected[..]))
            );
        }
    }

    #[test]
    fn encodes_a_get_as_mod_jk_does() {
        assert_eq!(encoded(&get()), GET);
    }

    #[test]
    fn encodes_all_attributes_in_the_order_of_mod_jk() {
        assert_eq!(encoded(&post()), POST);
    }

    #[test]
    fn sends_a_method_without_code_as_stored_method() {
        let request = ForwardRequest {
            method: b"PATCH",
            protocol: b"HTTP/1.1",
            uri: b"/api/item/1",
            remote_addr: Some(b"10.0.0.9"),
            server_name: Some(b"api.example.org"),
            server_port: 8_080,
            headers: &[(b"Host", b"api.example.org:8080"), (b"Content-Length", b"0")],
            attributes: &[
                (b"AJP_REMOTE_PORT", b"50413"),
                (b"AJP_LOCAL_ADDR", b"10.0.0.1"),
                (b"JK_LB_ACTIVATION", b"ACT"),
            ],
            ..ForwardRequest::default()
        };
        assert_eq!(encoded(&request), PATCH);
    }

    #[test]
    fn leaves_out_an_empty_user_and_auth_type() {
        let request = ForwardRequest { remote_user: Some(b""), auth_type: Some(b""), ..minimal() };
        assert_eq!(encoded(&request), encoded(&minimal()));
    }

    #[test]
    fn encodes_into_a_used_buffer_without_allocating() {
        let mut out = Vec::with_capacity(MIN_PACKET_SIZE);
        out.resize(5_000, 0xEE);
        let (address, capacity) = (out.as_ptr(), out.capacity());
        post().encode(&mut out, MIN_PACKET_SIZE).unwrap();
        assert_eq!(out, POST);
        assert_eq!((out.as_ptr(), out.capacity()), (address, capacity));
    }

    #[test]
    fn fills_a_packet_to_its_last_byte() {
        // Row 114: one byte more is too large.
        let value = vec![b'v'; MIN_PACKET_SIZE];
        let empty = encoded(&ForwardRequest { headers: &[(b"X-Big", b"")], ..minimal() }).len();
        let room = MIN_PACKET_SIZE - empty;
        let full = encoded(&ForwardRequest { headers: &[(b"X-Big", &value[..room])], ..minimal() });
        assert_eq!(full.len(), MIN_PACKET_SIZE);
        assert_eq!(full[2..4], [0x1F, 0xFC]);
        let over = ForwardRequest { headers: &[(b"X-Big", &value[..=room])], ..minimal() };
        assert!(matches!(encode_error(&over, MIN_PACKET_SIZE), EncodeError::TooLarge { .. }));
    }

    #[test]
    fn fails_at_every_size_that_is_too_small() {
        for size in 0..POST.len() {
            let mut out = Vec::new();
            let result = post().encode(&mut out, size);
            assert!(matches!(result, Err(EncodeError::TooLarge { .. })), "{size}");
            assert!(out.len() <= size.max(HEADER_LEN), "wrote {} bytes where {size} are allowed", out.len());
        }
        assert!(post().encode(&mut Vec::new(), POST.len()).is_ok());
    }

    #[test]
    fn never_writes_more_than_the_largest_packet() {
        let value = vec![b'v'; 40_000];
        let request = ForwardRequest { headers: &[(b"X-A", &value), (b"X-B", &value)], ..minimal() };
        let error = encode_error(&request, 1_000_000);
        assert_eq!(error, EncodeError::TooLarge { item: "X-B".to_owned(), length: 40_000 });
    }

    #[test]
    fn names_the_header_that_does_not_fit() {
        // Row 114.
        let big = vec![b'v'; 9_000];
        let error = encode_error(&ForwardRequest { headers: &[(b"Cookie", &big)], ..minimal() }, MIN_PACKET_SIZE);
        assert_eq!(error, EncodeError::TooLarge { item: "Cookie".to_owned(), length: 9_000 });
        assert_eq!(error.to_string(), "Cookie (9000 bytes) does not fit into a packet of max_packet_size");
        let error = encode_error(&ForwardRequest { headers: &[(b"X-Big", &big)], ..minimal() }, MIN_PACKET_SIZE);
        assert_eq!(error, EncodeError::TooLarge { item: "X-Big".to_owned(), length: 9_000 });
    }

    #[test]
    fn names_the_field_that_does_not_fit() {
        let big = vec![b'v'; 9_000];
        let big = big.as_slice();
        let cases = [
            ("uri", ForwardRequest { uri: big, ..minimal() }),
            ("stored_method", ForwardRequest { method: big, ..minimal() }),
            ("query_string", ForwardRequest { query_string: Some(big), ..minimal() }),
            ("ssl_cert", ForwardRequest { ssl_cert: Some(big), ..minimal() }),
            ("tenant", ForwardRequest { attributes: &[(b"tenant", big)], ..minimal() }),
        ];
        for (name, request) in cases {
            let expected = EncodeError::TooLarge { item: name.to_owned(), length: 9_000 };
            assert_eq!(encode_error(&request, MIN_PACKET_SIZE), expected);
        }
    }

    #[test]
    fn refuses_strings_whose_length_would_wrap() {
        // Row 115: C sends the length modulo 65,536.
        for length in [MAX_STRING + 1, 65_536, 70_000] {
            let big = vec![b'v'; length];
            for name in [&b"Cookie"[..], b"X-Big"] {
                let request = ForwardRequest { headers: &[(name, &big)], ..minimal() };
                let item = String::from_utf8(name.to_vec()).unwrap();
                let expected = EncodeError::StringTooLong { item, length };
                assert_eq!(encode_error(&request, MAX_PACKET_SIZE), expected);
            }
            let expected = EncodeError::StringTooLong { item: "uri".to_owned(), length };
            assert_eq!(encode_error(&ForwardRequest { uri: &big, ..minimal() }, MAX_PACKET_SIZE), expected);
        }
    }

    #[test]
    fn refuses_names_whose_length_reads_as_a_code() {
        let name = vec![b'n'; 0xA100];
        for bad in [0xA000, 0xA0FF] {
            let headers = [(&name[..bad], &b"v"[..])];
            let error = encode_error(&ForwardRequest { headers: &headers, ..minimal() }, MAX_PACKET_SIZE);
            let EncodeError::StringTooLong { item, length } = error else { panic!("{error:?}") };
            assert!(item.starts_with("name nnn") && item.contains("takes for a code") && length == bad);
        }
        for good in [0x9FFF, 0xA100] {
            let (headers, mut packet) = ([(&name[..good], &b"v"[..])], Vec::new());
            ForwardRequest { headers: &headers, ..minimal() }.encode(&mut packet, MAX_PACKET_SIZE).unwrap();
            assert_eq!(decode(&packet[4..]).unwrap().headers, [(name[..good].to_vec(), b"v".to_vec())]);
        }
    }

    #[test]
    fn does_not_show_the_secret_in_an_error() {
        let secret = vec![b's'; 9_000];
        let error = encode_error(&ForwardRequest { secret: Some(&secret), ..minimal() }, MIN_PACKET_SIZE);
        assert_eq!(error, EncodeError::TooLarge { item: "secret".to_owned(), length: 9_000 });
    }

    #[test]
    fn prefixes_body_data_with_both_lengths() {
        assert_eq!(body_prefix(10), include_bytes!("../../tests/data/ajp/body.bin")[..BODY_PREFIX_LEN]);
        assert_eq!(body_prefix(8_186), [0x12, 0x34, 0x1F, 0xFC, 0x1F, 0xFA]);
        assert_eq!(body_prefix(65_530), [0x12, 0x34, 0xFF, 0xFC, 0xFF, 0xFA]);
    }

    #[test]
    fn writes_the_fixed_packets() {
        assert_eq!(CPING, *include_bytes!("../../tests/data/ajp/cping.bin"));
        assert_eq!(END_OF_BODY, [0x12, 0x34, 0x00, 0x00]);
    }

    #[test]
    fn decodes_what_was_encoded() {
        let request = decode(&POST[HEADER_LEN..]).unwrap();
        assert_eq!(request.method, b"POST");
        assert_eq!((request.server_port, request.is_ssl, request.ssl_key_size), (443, true, Some(256)));
        assert_eq!(request.remote_host.as_deref(), Some(&b"client.example.net"[..]));
        assert_eq!(request.header("user-agent"), Some(&b"Mozilla/5.0 (X11; Linux x86_64)"[..]));
        assert_eq!(request.header("X-REQUESTED-WITH"), Some(&b"XMLHttpRequest"[..]));
        assert_eq!(request.header("x-none"), None);
        assert_eq!(request.attribute("JK_LB_ACTIVATION"), Some(&b"DIS"[..]));
        assert_eq!(request.attribute("jk_lb_activation"), None);
        assert_eq!(request.query_string.as_deref(), Some(&b""[..]));
        assert_eq!(decode(&PATCH[HEADER_LEN..]).unwrap().method, b"PATCH");
    }

    #[test]
    fn encodes_again_what_was_decoded() {
        for packet in [GET, POST, PATCH] {
            let mut out = Vec::new();
            decode(&packet[HEADER_LEN..]).unwrap().encode(&mut out, MIN_PACKET_SIZE).unwrap();
            assert_eq!(out, packet);
        }
    }

    #[test]
    fn decodes_no_request_that_is_cut_short_or_too_long() {
        let payload = &POST[HEADER_LEN..];
        for cut in 0..payload.len() {
            assert!(decode(&payload[..cut]).is_err(), "{cut} bytes");
        }
        assert_eq!(decode_error(&[payload, b"\x00"].concat()), "1 surplus bytes after the attributes");
    }

    #[test]
    fn decodes_forward_requests_only() {
        assert_eq!(decode_error(b"\x0A"), "packet type 0x0A is not a ForwardRequest");
        assert_eq!(decode_error(b"\x02\x1C"), "unknown method code 0x1C");
    }

    #[test]
    fn decodes_no_unknown_or_needless_header_names() {
        assert_eq!(decode_error(&changed(b"\xA0\x0E", b"\xA0\x0F")), "unknown header code 0xA00F");
        assert_eq!(decode_error(&changed(b"\xA0\x0B", b"\x00\x04Host\x00")), "header name 'Host' should not be text");
        assert_eq!(decode_error(&changed(b"\xA0\x0B", b"\xFF\xFF")), "header name is null");
    }

    #[test]
    fn decodes_no_null_where_a_text_must_be() {
        assert_eq!(decode_error(&changed(b"\x00\x08HTTP/1.1\x00", b"\xFF\xFF")), "protocol is null");
        assert_eq!(decode_error(&changed(b"\x00\x0A/app/hello\x00", b"\xFF\xFF")), "uri is null");
        assert_eq!(decode_error(&changed(b"\x00\x03*/*\x00", b"\xFF\xFF")), "header value is null");
    }

    #[test]
    fn decodes_no_attributes_out_of_order() {
        let reason = "attribute 0x05 is unknown or out of order";
        assert_eq!(decode_error(&changed(b"\x06\x00\x05node1\x00", b"\x05\x00\x00\x00")), reason);
        let swapped = b"\x06\x00\x05node1\x00\x05\x00\x06x=1&y=\x00";
        assert_eq!(decode_error(&changed(b"\x05\x00\x06x=1&y=\x00\x06\x00\x05node1\x00", swapped)), reason);
    }

    #[test]
    fn decodes_no_attribute_that_is_never_sent() {
        for code in [0x00, 0x01, 0x02, 0x0E, 0xFE] {
            let payload = changed(b"\x06\x00\x05node1\x00", &[code, 0, 0, 0]);
            assert_eq!(decode_error(&payload), format!("attribute 0x{code:02X} is unknown or out of order"));
        }
        assert_eq!(
            decode_error(&changed(b"\x06\x00\x05node1\x00", b"\x06\x00\x05node1\x00\x06\x00\x05node1\x00")),
            "attribute 0x06 is unknown or out of order"
        );
    }

    #[test]
    fn decodes_no_empty_user() {
        let payload = changed(b"\x05\x00\x06x=1&y=\x00", b"\x03\x00\x00\x00\x05\x00\x06x=1&y=\x00");
        assert_eq!(decode_error(&payload), "empty remote_user or auth_type");
    }

    #[test]
    fn decodes_a_stored_method_only_where_it_belongs() {
        let reason = "stored_method does not fit the method code";
        let stored = |name: &[u8]| [b"\x06\x00\x05node1\x00\x0D\x00\x05", name, b"\x00"].concat();
        assert_eq!(decode_error(&changed(b"\x06\x00\x05node1\x00", &stored(b"PATCH"))), reason);
        assert_eq!(decode_error(&changed(b"\x02\x02", b"\x02\xFF")), reason);
        let mut payload = changed(b"\x06\x00\x05node1\x00", &stored(b"MERGE"));
        payload[1] = codes::STORED_METHOD;
        assert_eq!(decode_error(&payload), reason);
    }

    #[test]
    fn decodes_a_boolean_only_as_zero_or_one() {
        assert_eq!(decode_error(&changed(b"\x00\x50\x00\x00\x04", b"\x00\x50\x02\x00\x04")), "is_ssl is 2");
    }
}
