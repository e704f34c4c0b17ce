//! The encoder of ForwardRequest packets: one order of fields and attributes, whoever has the facts of the request.
//!
//! Not here: what a container makes of the packet, and its picture (`request.rs`). The surprising thing: a fact is asked for when its place
//! in the packet comes and goes straight there, so there is no list of headers or attributes on the way; and since only attributes depend
//! on the member of a balancer, all before them is written once for all members.

use super::codes::{self, attribute};
pub use super::packet::EncodeError;
use super::packet::{MAGIC_TO_CONTAINER, Writer};
use super::packet_type;
#[cfg(doc)]
use super::request::ForwardRequest;

/// What depends on the member of a balancer that a request goes to; `None` leaves what the request says.
#[derive(Clone, Copy, Debug, Default)]
pub struct ForMember<'a> {
    /// Replaces [`ForwardRequest::secret`].
    pub secret: Option<&'a [u8]>,
    /// Replaces [`ForwardRequest::route`].
    pub route: Option<&'a [u8]>,
    /// Value of JK_LB_ACTIVATION, which has its place behind AJP_LOCAL_ADDR (reference: ajp-side.md section 1.4).
    pub activation: Option<&'a [u8]>,
}

/// The facts of one request, from wherever they are: a web server's structures, which are then read once, each fact when its place in the
/// packet comes, or a [`ForwardRequest`], whose fields the methods without a comment are.
#[allow(missing_docs, reason = "the methods are ForwardRequest's fields")]
pub trait Facts {
    fn method(&self) -> &[u8];
    fn protocol(&self) -> &[u8];
    fn uri(&self) -> &[u8];
    fn remote_addr(&self) -> Option<&[u8]>;
    fn remote_host(&self) -> Option<&[u8]>;
    fn server_name(&self) -> Option<&[u8]>;
    fn server_port(&self) -> u16;
    fn is_ssl(&self) -> bool;
    /// How many headers there are; of more than 65,534 exactly, of fewer at most.
    fn number_of_headers(&self) -> usize;
    /// Writes each header.
    ///
    /// # Errors
    /// That of `headers`, at once.
    fn write_headers(&self, headers: &mut Headers<'_, '_>) -> Result<(), EncodeError>;
    fn secret(&self) -> Option<&[u8]>;
    fn remote_user(&self) -> Option<&[u8]>;
    fn auth_type(&self) -> Option<&[u8]>;
    fn query_string(&self) -> Option<&[u8]>;
    fn route(&self) -> Option<&[u8]>;
    /// What is told of a client that speaks TLS.
    fn tls(&self) -> Option<Tls<'_>>;
    fn remote_port(&self) -> Option<Port<'_>>;
    fn local_addr(&self) -> Option<&[u8]>;
    /// Writes each further attribute.
    ///
    /// # Errors
    /// That of `attributes`, at once.
    fn write_attributes(&self, attributes: &mut NamedAttributes<'_, '_>) -> Result<(), EncodeError>;
}

/// What is told of a client that speaks TLS: [`ForwardRequest::ssl_cert`] and so on.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs, reason = "the fields are ForwardRequest's")]
pub struct Tls<'a> {
    pub cert: Option<&'a [u8]>,
    pub cipher: Option<&'a [u8]>,
    pub session: Option<&'a [u8]>,
    pub key_size: Option<u16>,
    pub protocol: Option<&'a [u8]>,
}

/// Port of the client, which is a text in the packet.
#[derive(Clone, Copy, Debug)]
pub enum Port<'a> {
    /// To be written in decimal.
    Number(u16),
    /// As it is.
    Text(&'a [u8]),
}

/// Where the headers of a packet go.
pub struct Headers<'t, 'o> {
    packet: &'t mut Writer<'o>,
    count: u16,
}

impl Headers<'_, '_> {
    /// Writes one.
    ///
    /// # Errors
    /// [`EncodeError`] when it does not fit.
    #[inline(always)]
    pub fn write(&mut self, name: &HeaderName<'_>, value: &[u8]) -> Result<(), EncodeError> {
        // No more than fit into a packet, and each has several bytes.
        self.count = self.count.wrapping_add(1);
        match name.code {
            0 => self.packet.pair(name.text, value),
            code => self.packet.header(Some(code), name.text, value),
        }
    }
}

/// The name of a header, with its code if it has one.
#[derive(Clone, Copy, Debug)]
pub struct HeaderName<'a> {
    text: &'a [u8],
    /// 0: none.
    code: u16,
}

impl<'a> HeaderName<'a> {
    /// `text` in any case.
    #[inline(always)]
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, code: codes::request_header_code(text).unwrap_or(0) }
    }

    /// Whether it is Content-Length.
    #[inline(always)]
    pub fn is_content_length(&self) -> bool {
        self.code == codes::CONTENT_LENGTH
    }

    /// Whether it is Cookie.
    #[inline(always)]
    pub fn is_cookie(&self) -> bool {
        self.code == codes::COOKIE
    }
}

/// Where the attributes with names of an admin's go.
pub struct NamedAttributes<'t, 'o> {
    packet: &'t mut Writer<'o>,
}

impl NamedAttributes<'_, '_> {
    /// Writes one.
    ///
    /// # Errors
    /// [`EncodeError`] when it does not fit.
    #[inline(always)]
    pub fn write(&mut self, name: &[u8], value: &[u8]) -> Result<(), EncodeError> {
        self.packet.bytes("req_attribute", [attribute::REQ_ATTRIBUTE])?;
        self.packet.pair(name, value)
    }
}

/// A request that can be written as a ForwardRequest packet: all [`Facts`] can.
pub trait Forward {
    /// Method as text.
    fn method(&self) -> &[u8];

    /// Writes the whole packet to the start of `out`. `out` should have `max_packet_size` bytes; no more than it has are used.
    ///
    /// `head` is how many bytes of `out` an earlier call for this request, and perhaps for another member, found to be the same for every
    /// member: they are left as they are. 0: none. When they do not fit they are written anew, which tells what it is that does not fit.
    ///
    /// # Errors
    /// [`EncodeError`] when it does not fit; the head must then be written anew.
    fn encode_for(
        &self,
        member: &ForMember<'_>,
        out: &mut [u8],
        max_packet_size: usize,
        head: usize,
    ) -> Result<Encoded, EncodeError>;
}

/// Where what was encoded ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Bytes before the attributes: those that do not depend on the member.
    pub head: usize,
    /// Bytes of the whole packet.
    pub length: usize,
}

impl<F: Facts> Forward for F {
    fn method(&self) -> &[u8] {
        Facts::method(self)
    }

    fn encode_for(
        &self,
        member: &ForMember<'_>,
        out: &mut [u8],
        max_packet_size: usize,
        head: usize,
    ) -> Result<Encoded, EncodeError> {
        let mut packet = Writer::begin(out, MAGIC_TO_CONTAINER, max_packet_size);
        if head == 0 || !packet.skip(head) {
            encode_head(self, &mut packet)?;
        }
        let head = packet.written();
        encode_attributes(self, member, &mut packet)?;
        packet.bytes("end of attributes", [attribute::ARE_DONE])?;
        Ok(Encoded { head, length: packet.finish()? })
    }
}

/// All before the attributes.
#[inline(always)]
fn encode_head(facts: &impl Facts, packet: &mut Writer<'_>) -> Result<(), EncodeError> {
    let method_code = codes::method_code(facts.method()).unwrap_or(codes::STORED_METHOD);
    packet.bytes("method", [packet_type::FORWARD_REQUEST, method_code])?;
    packet.string("protocol", Some(facts.protocol()))?;
    packet.string("uri", Some(facts.uri()))?;
    packet.string("remote_addr", facts.remote_addr())?;
    packet.string("remote_host", facts.remote_host())?;
    packet.string("server_name", facts.server_name())?;
    let [port_high, port_low] = facts.server_port().to_be_bytes();
    packet.bytes("server_port", [port_high, port_low, u8::from(facts.is_ssl())])?;
    let most = facts.number_of_headers();
    if most > usize::from(u16::MAX) {
        return Err(too_many_headers(most));
    }
    let place = packet.place("number of headers")?;
    let mut headers = Headers { packet, count: 0 };
    facts.write_headers(&mut headers)?;
    let count = headers.count.to_be_bytes();
    packet.fill(&place, count);
    Ok(())
}

#[cold]
fn too_many_headers(number: usize) -> EncodeError {
    EncodeError::TooLarge { item: "headers".to_owned(), length: number }
}

/// All attributes, in mod_jk's order.
#[inline(always)]
fn encode_attributes(facts: &impl Facts, member: &ForMember<'_>, packet: &mut Writer<'_>) -> Result<(), EncodeError> {
    let not_empty = |text: &&[u8]| !text.is_empty();
    encode_attribute(packet, attribute::SECRET, member.secret.or_else(|| facts.secret()))?;
    encode_attribute(packet, attribute::REMOTE_USER, facts.remote_user().filter(not_empty))?;
    encode_attribute(packet, attribute::AUTH_TYPE, facts.auth_type().filter(not_empty))?;
    encode_attribute(packet, attribute::QUERY_STRING, facts.query_string())?;
    encode_attribute(packet, attribute::ROUTE, member.route.or_else(|| facts.route()))?;
    let tls = facts.tls();
    if let Some(tls) = &tls {
        encode_attribute(packet, attribute::SSL_CERT, tls.cert)?;
        encode_attribute(packet, attribute::SSL_CIPHER, tls.cipher)?;
        encode_attribute(packet, attribute::SSL_SESSION, tls.session)?;
        if let Some(bits) = tls.key_size {
            let [high, low] = bits.to_be_bytes();
            packet.bytes("ssl_key_size", [attribute::SSL_KEY_SIZE, high, low])?;
        }
    }
    let method = facts.method();
    if codes::method_code(method).is_none() {
        encode_attribute(packet, attribute::STORED_METHOD, Some(method))?;
    }
    if let Some(value) = tls.and_then(|tls| tls.protocol) {
        packet.named(&SSL_PROTOCOL, value)?;
    }
    match facts.remote_port() {
        Some(Port::Number(number)) => packet.named(&REMOTE_PORT, itoa::Buffer::new().format(number).as_bytes())?,
        Some(Port::Text(value)) => packet.named(&REMOTE_PORT, value)?,
        None => {}
    }
    if let Some(value) = facts.local_addr() {
        packet.named(&LOCAL_ADDRESS, value)?;
    }
    if let Some(value) = member.activation {
        packet.named(&ACTIVATION, value)?;
    }
    facts.write_attributes(&mut NamedAttributes { packet })
}

/// What is before the value of an attribute with a fixed name: its code, the length of the name, the name, NUL.
const SSL_PROTOCOL: [u8; 20] = *b"\x0A\x00\x10AJP_SSL_PROTOCOL\x00";
const REMOTE_PORT: [u8; 19] = *b"\x0A\x00\x0FAJP_REMOTE_PORT\x00";
const LOCAL_ADDRESS: [u8; 18] = *b"\x0A\x00\x0EAJP_LOCAL_ADDR\x00";
const ACTIVATION: [u8; 20] = *b"\x0A\x00\x10JK_LB_ACTIVATION\x00";

#[inline(always)]
fn encode_attribute(packet: &mut Writer<'_>, code: u8, value: Option<&[u8]>) -> Result<(), EncodeError> {
    let Some(value) = value else { return Ok(()) };
    let item = || codes::attribute_name(code).unwrap_or("attribute");
    packet.bytes(item(), [code])?;
    packet.string(item(), Some(value))
}
