//! Web server to container: ForwardRequest, body packets, CPing.

/// The whole CPing packet.
pub const CPING: [u8; 5] = [0x12, 0x34, 0x00, 0x01, 0x0A];
/// Answer to GetBodyChunk when the body has ended: a packet without payload.
pub const END_OF_BODY: [u8; 4] = [0x12, 0x34, 0x00, 0x00];
/// Bytes before the data of a body packet: frame header and data length.
pub const BODY_PREFIX_LEN: usize = 6;

/// The head of a body packet that carries `data_len` bytes (at most `max_packet_size` - 6).
pub fn body_prefix(data_len: u16) -> [u8; BODY_PREFIX_LEN] {
    let _ = data_len;
    todo!()
}

/// One request as AJP carries it. All text is bytes as httpd had them; `None` is AJP's null string, or "not sent" for
/// an attribute (reference: ajp-side.md §1.4).
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
    /// Authenticated user (0x03).
    pub remote_user: Option<&'a [u8]>,
    /// Authentication scheme (0x04).
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
    /// Request attributes (0x0A) in order: AJP_SSL_PROTOCOL, AJP_REMOTE_PORT, AJP_LOCAL_ADDR, JK_LB_ACTIVATION, JkEnvVar entries.
    pub attributes: &'a [(&'a [u8], &'a [u8])],
}

/// Why a request cannot be sent to this worker; nothing has been written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// The packet would exceed `max_packet_size`; names the item that did not fit (a header's name, or the field).
    TooLarge {
        /// What did not fit.
        item: String,
        /// Length of that item's value.
        length: usize,
    },
    /// A string longer than AJP can carry ([`super::MAX_STRING`]).
    StringTooLong {
        /// What it was.
        item: String,
        /// Its length.
        length: usize,
    },
}

impl ForwardRequest<'_> {
    /// Writes the whole packet, frame header included, to `out` (cleared first).
    ///
    /// # Errors
    /// [`EncodeError`] when it does not fit into `max_packet_size` bytes; `out` is then unusable.
    pub fn encode(&self, out: &mut Vec<u8>, max_packet_size: usize) -> Result<(), EncodeError> {
        let _ = (out, max_packet_size);
        todo!()
    }
}
