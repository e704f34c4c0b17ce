//! JkRequestLogFormat: format text into items, items and one request's facts into the text of a line. Pure.
//!
//! Not here: the time stamp before the text, the newline after it, and the write (`log`); the facts themselves (`apache`). The
//! surprising thing: there are no modifiers and no `%%`; one unknown letter makes the whole format invalid, as in C, and then
//! no request line is written at all. Facts: reference apache-side.md section 6.5.

use std::fmt;
use std::io::Write as _;
use std::time::Duration;

/// A format that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestLogFormat {
    items: Vec<Item>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    /// Text of the format, `\n`, `\t` and `\\` replaced.
    Text(Vec<u8>),
    /// `%` and a letter.
    Fact(Fact),
}

/// What a `%` letter stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fact {
    Duration,
    RequestLine,
    Uri,
    Status,
    BytesOrDash,
    Bytes,
    CanonicalServerName,
    ServerName,
    Port,
    Protocol,
    Method,
    Query,
    Worker,
    Route,
}

/// All letters.
const LETTERS: [(u8, Fact); 14] = [
    (b'T', Fact::Duration),
    (b'r', Fact::RequestLine),
    (b'U', Fact::Uri),
    (b's', Fact::Status),
    (b'b', Fact::BytesOrDash),
    (b'B', Fact::Bytes),
    (b'V', Fact::CanonicalServerName),
    (b'v', Fact::ServerName),
    (b'p', Fact::Port),
    (b'H', Fact::Protocol),
    (b'm', Fact::Method),
    (b'q', Fact::Query),
    (b'w', Fact::Worker),
    (b'R', Fact::Route),
];

/// One finished request, as httpd knows it. Texts are bytes of strangers; [`RequestLogFormat::render`] escapes them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fields<'a> {
    /// `%T`: time with the worker, printed as seconds with six digits after the point; `None` = no worker was tried.
    pub duration: Option<Duration>,
    /// `%r`: request line, the password of an absolute URI masked.
    pub request_line: &'a [u8],
    /// `%U`: path, normalised if mapped, without the query.
    pub uri: &'a [u8],
    /// `%s`: status of the response; 0 or less prints `-`.
    pub status: i32,
    /// `%B`, and `%b` if a response was sent at all: bytes of its body.
    pub bytes: u64,
    /// Whether body bytes were to be sent, be it none; else `%b` is `-`.
    pub has_body: bool,
    /// `%V`: server name as UseCanonicalName says.
    pub canonical_server_name: &'a [u8],
    /// `%v`: ServerName.
    pub server_name: &'a [u8],
    /// `%p`: configured port.
    pub port: u16,
    /// `%H`: protocol.
    pub protocol: &'a [u8],
    /// `%m`: method.
    pub method: &'a [u8],
    /// `%q`: query without its `?`; none prints nothing.
    pub query: Option<&'a [u8]>,
    /// `%w`: note JK_WORKER_NAME; none prints `-`.
    pub worker: Option<&'a [u8]>,
    /// `%R`: note JK_WORKER_ROUTE; none prints `-`.
    pub route: Option<&'a [u8]>,
}

/// Why a format is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownItem {
    /// The byte after `%`; `None` at the end of the format.
    pub letter: Option<u8>,
    /// Where its `%` stands, counted in bytes from 1.
    pub position: usize,
}

impl fmt::Display for UnknownItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let position = self.position;
        match self.letter {
            Some(letter) => write!(f, "unknown item %{} at character {position}", letter.escape_ascii())?,
            None => write!(f, "% at character {position} is followed by nothing")?,
        }
        f.write_str(", expected % and one of ")?;
        LETTERS.iter().try_for_each(|(letter, _)| write!(f, "{}", char::from(*letter)))
    }
}

impl std::error::Error for UnknownItem {}

impl RequestLogFormat {
    /// Reads a format.
    ///
    /// # Errors
    /// [`UnknownItem`] for the first `%` that is not followed by a known letter.
    pub fn parse(format: &[u8]) -> Result<RequestLogFormat, UnknownItem> {
        let mut items = Vec::new();
        let mut text = Vec::new();
        let mut bytes = format.iter().copied().enumerate().peekable();
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'%' => {
                    let letter = bytes.next().map(|(_, letter)| letter);
                    let known = LETTERS.iter().find(|(known, _)| Some(*known) == letter);
                    let (_, fact) = known.ok_or(UnknownItem { letter, position: at + 1 })?;
                    if !text.is_empty() {
                        items.push(Item::Text(std::mem::take(&mut text)));
                    }
                    items.push(Item::Fact(*fact));
                }
                b'\\' => {
                    let escaped = bytes.next_if(|(_, next)| matches!(next, b'n' | b't' | b'\\'));
                    text.push(match escaped {
                        Some((_, b'n')) => b'\n',
                        Some((_, b't')) => b'\t',
                        _ => b'\\',
                    });
                }
                _ => text.push(byte),
            }
        }
        if !text.is_empty() {
            items.push(Item::Text(text));
        }
        Ok(RequestLogFormat { items })
    }

    /// Appends the text for one request: no stamp, no newline but those of the format. Control characters of a fact come out
    /// as `\x0a` and the like, so that a request cannot forge a line.
    pub fn render(&self, fields: &Fields<'_>, out: &mut Vec<u8>) {
        for item in &self.items {
            match item {
                Item::Text(text) => out.extend_from_slice(text),
                Item::Fact(fact) => fields.append(*fact, out),
            }
        }
    }
}

impl Fields<'_> {
    fn append(&self, fact: Fact, out: &mut Vec<u8>) {
        // Writing to a Vec cannot fail.
        let _ = match fact {
            Fact::Duration => match self.duration {
                Some(took) => write!(out, "{}.{:06}", took.as_secs(), took.subsec_micros()),
                None => out.write_all(b"-"),
            },
            Fact::Status if self.status > 0 => write!(out, "{}", self.status),
            Fact::BytesOrDash if !self.has_body => out.write_all(b"-"),
            Fact::Bytes | Fact::BytesOrDash => write!(out, "{}", self.bytes),
            Fact::Port => write!(out, "{}", self.port),
            Fact::Status => out.write_all(b"-"),
            Fact::Query => self.query.map_or(Ok(()), |query| {
                out.push(b'?');
                escaped(query, out)
            }),
            Fact::RequestLine => escaped(self.request_line, out),
            Fact::Uri => escaped(self.uri, out),
            Fact::CanonicalServerName => escaped(self.canonical_server_name, out),
            Fact::ServerName => escaped(self.server_name, out),
            Fact::Protocol => escaped(self.protocol, out),
            Fact::Method => escaped(self.method, out),
            Fact::Worker => escaped(self.worker.unwrap_or(b"-"), out),
            Fact::Route => escaped(self.route.unwrap_or(b"-"), out),
        };
    }
}

fn escaped(text: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
    text.iter().try_for_each(|byte| {
        if byte.is_ascii_control() { write!(out, "\\x{byte:02x}") } else { out.write_all(&[*byte]) }
    })
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that fails here has done its work"
)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REQUEST: Fields<'static> = Fields {
        duration: Some(Duration::from_micros(1_000_042)),
        request_line: b"GET /app/a?b=c HTTP/1.1",
        uri: b"/app/a",
        status: 200,
        bytes: 4_711,
        has_body: true,
        canonical_server_name: b"canonical.example",
        server_name: b"server.example",
        port: 8_080,
        protocol: b"HTTP/1.1",
        method: b"GET",
        query: Some(b"b=c"),
        worker: Some(b"lb"),
        route: Some(b"node1"),
    };

    fn rendered(format: &str, fields: &Fields<'_>) -> String {
        let mut out = Vec::new();
        RequestLogFormat::parse(format.as_bytes()).unwrap().render(fields, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_letter_prints_its_fact() {
        let rows = [
            ("%T", "1.000042"),
            ("%r", "GET /app/a?b=c HTTP/1.1"),
            ("%U", "/app/a"),
            ("%s", "200"),
            ("%b", "4711"),
            ("%B", "4711"),
            ("%V", "canonical.example"),
            ("%v", "server.example"),
            ("%p", "8080"),
            ("%H", "HTTP/1.1"),
            ("%m", "GET"),
            ("%q", "?b=c"),
            ("%w", "lb"),
            ("%R", "node1"),
        ];
        for (format, expected) in rows {
            assert_eq!(rendered(format, &REQUEST), expected, "{format}");
        }
        assert_eq!(rows.len(), LETTERS.len());
    }

    #[test]
    fn absent_facts_print_a_dash_or_nothing() {
        let rows = [
            ("%s", "-"),
            ("%b", "-"),
            ("%B", "0"),
            ("%w", "-"),
            ("%R", "-"),
            ("%q", ""),
            ("%r", ""),
            ("%T", "-"),
        ];
        for (format, expected) in rows {
            assert_eq!(rendered(format, &Fields::default()), expected, "{format}");
        }
    }

    #[test]
    fn negative_status_prints_a_dash() {
        assert_eq!(rendered("%s", &Fields { status: -1, ..REQUEST }), "-");
    }

    #[test]
    fn empty_query_keeps_its_question_mark() {
        assert_eq!(rendered("%U%q", &Fields { query: Some(b""), ..REQUEST }), "/app/a?");
    }

    #[test]
    fn text_between_items_is_kept() {
        assert_eq!(rendered("%w %V \"%m %U%q\" %s.", &REQUEST), "lb canonical.example \"GET /app/a?b=c\" 200.");
    }

    #[test]
    fn escapes_of_the_format_are_replaced() {
        let rows = [
            (r"a\nb", "a\nb"),
            (r"a\tb", "a\tb"),
            (r"a\\nb", r"a\nb"),
            (r"a\rb", r"a\rb"),
            (r"a\", r"a\"),
            (r"\%m", r"\GET"),
            (r"\\\n", "\\\n"),
        ];
        for (format, expected) in rows {
            assert_eq!(rendered(format, &REQUEST), expected, "{format}");
        }
    }

    #[test]
    fn unknown_letter_is_named_with_its_place() {
        let rows: [(&[u8], Option<u8>, usize); 7] = [
            (b"%%", Some(b'%'), 1),
            (b"%w %D %X", Some(b'D'), 4),
            (b"%>s", Some(b'>'), 1),
            (b"%{Referer}i", Some(b'{'), 1),
            (b"\\n%t", Some(b't'), 3),
            (b"100%", None, 4),
            (b"%\xe9", Some(0xE9), 1),
        ];
        for (format, letter, position) in rows {
            assert_eq!(
                RequestLogFormat::parse(format),
                Err(UnknownItem { letter, position }),
                "{}",
                format.escape_ascii()
            );
        }
    }

    #[test]
    fn refusal_names_what_was_expected() {
        let rows: [(&[u8], &str); 3] = [
            (b"%w %D", "unknown item %D at character 4, expected % and one of TrUsbBVvpHmqwR"),
            (b"%\n", r"unknown item %\n at character 1, expected % and one of TrUsbBVvpHmqwR"),
            (b"100%", "% at character 4 is followed by nothing, expected % and one of TrUsbBVvpHmqwR"),
        ];
        for (format, expected) in rows {
            assert_eq!(RequestLogFormat::parse(format).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn request_cannot_forge_a_line() {
        let hostile =
            Fields { request_line: b"GET /\r\n[forged]\x7f HTTP/1.1", uri: b"/\n", query: Some(b"\n"), ..REQUEST };
        assert_eq!(rendered("%r %U%q", &hostile), r"GET /\x0d\x0a[forged]\x7f HTTP/1.1 /\x0a?\x0a");
    }

    #[test]
    fn bytes_that_are_not_ascii_pass() {
        let mut out = Vec::new();
        let format = RequestLogFormat::parse(b"\xe9%U").unwrap();
        format.render(&Fields { uri: b"/\xff", ..REQUEST }, &mut out);
        assert_eq!(out, b"\xe9/\xff");
    }

    proptest! {
        #[test]
        fn any_format_parses_or_names_a_percent_sign(format in prop::collection::vec(prop_oneof![Just(b'%'), Just(b'\\'), any::<u8>()], 0..40)) {
            match RequestLogFormat::parse(&format) {
                Ok(format) => format.render(&REQUEST, &mut Vec::new()),
                Err(error) => prop_assert_eq!(format[error.position - 1], b'%'),
            }
        }
    }
}
