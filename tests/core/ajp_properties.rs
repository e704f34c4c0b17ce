//! Properties of the AJP codec over random and over damaged packets. Single rules have their own tests in src/ajp.
//! Surprising: most tests here assert nothing themselves, because the `fuzz_*` functions assert the invariants inside.

use mod_jk::ajp::exchange::{Event, Exchange, Progress, fuzz_exchange};
use mod_jk::ajp::packet::{fuzz_packet, split_packet, split_request_packet};
use mod_jk::ajp::request::{DecodedRequest, EncodeError, ForMember, Forward, ForwardRequest, decode, fuzz_request};
use mod_jk::ajp::response::{
    CPONG, Packet, encode_body_chunk, encode_end, encode_get_body, encode_send_headers, fuzz_response, parse,
};
use mod_jk::ajp::{HEADER_LEN, MAX_PACKET_SIZE, MIN_PACKET_SIZE, codes};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

type Pair = (Vec<u8>, Vec<u8>);

/// Any text that a C string can hold.
fn text(longest: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(1..=0xFF_u8, 0..=longest)
}

fn not_empty(longest: usize) -> impl Strategy<Value = Option<Vec<u8>>> {
    option::of(vec(1..=0xFF_u8, 1..=longest))
}

fn method() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        (0x01..=0x1B_u8).prop_map(|code| codes::method_name(code).unwrap().to_vec()),
        "[A-Z-]{1,12}".prop_map(String::into_bytes),
    ]
}

/// A request header's name as it comes back: coded ones in the spelling of the table.
fn request_header() -> impl Strategy<Value = Pair> {
    let coded = (0xA001..=0xA00E_u16).prop_map(|code| codes::request_header_name(code).unwrap().to_vec());
    let free = text(20).prop_filter("has a code", |name| codes::request_header_code(name).is_none());
    (prop_oneof![coded, free], text(80))
}

prop_compose! {
    fn request_line()(
        method in method(), protocol in text(10), uri in text(200), remote_addr in option::of(text(40)),
        remote_host in option::of(text(40)), server_name in option::of(text(40)), server_port: u16, is_ssl: bool,
        headers in vec(request_header(), 0..15),
    ) -> DecodedRequest {
        DecodedRequest {
            method, protocol, uri, remote_addr, remote_host, server_name, server_port, is_ssl, headers,
            ..DecodedRequest::default()
        }
    }
}

prop_compose! {
    fn request()(
        line in request_line(), secret in option::of(text(20)), remote_user in not_empty(20),
        auth_type in not_empty(10), query_string in option::of(text(100)), route in option::of(text(10)),
        ssl in (option::of(text(300)), option::of(text(20)), option::of(text(40)), option::of(any::<u16>())),
        attributes in vec((text(20), text(40)), 0..6),
    ) -> DecodedRequest {
        let (ssl_cert, ssl_cipher, ssl_session, ssl_key_size) = ssl;
        DecodedRequest {
            secret, remote_user, auth_type, query_string, route, ssl_cert, ssl_cipher, ssl_session, ssl_key_size,
            attributes, ..line
        }
    }
}

fn encoded(request: &DecodedRequest) -> Vec<u8> {
    let mut packet = Vec::new();
    request.encode(&mut packet, MAX_PACKET_SIZE).unwrap();
    packet
}

/// What a container might send, mostly in a legal order.
#[derive(Clone, Debug)]
enum Sent {
    Headers { status: u16, headers: Vec<Pair> },
    Chunk(Vec<u8>),
    Flush,
    GetBody(u16),
    End(bool),
    CPong,
}

fn response_header() -> impl Strategy<Value = Pair> {
    let name = prop_oneof![
        4 => "[A-Za-z-]{1,12}",
        2 => prop::sample::select(vec!["Content-Type", "Set-Cookie", "Connection", "Transfer-Encoding"])
            .prop_map(str::to_owned),
    ];
    let free = (name, "[ -~]{0,30}").prop_map(|(name, value)| (name.into_bytes(), value.into_bytes()));
    let length = (0..40_u64).prop_map(|length| (b"Content-Length".to_vec(), length.to_string().into_bytes()));
    prop_oneof![6 => free, 1 => length]
}

fn headers_packet() -> impl Strategy<Value = Sent> {
    let status = prop_oneof![4 => Just(200), 1 => Just(204), 1 => Just(304), 1 => 200..600_u16];
    (status, vec(response_header(), 0..8)).prop_map(|(status, headers)| Sent::Headers { status, headers })
}

fn sent() -> impl Strategy<Value = Sent> {
    prop_oneof![
        8 => vec(any::<u8>(), 1..20).prop_map(Sent::Chunk),
        3 => Just(Sent::Flush),
        3 => any::<u16>().prop_map(Sent::GetBody),
        1 => headers_packet(),
        1 => any::<bool>().prop_map(Sent::End),
        1 => Just(Sent::CPong),
    ]
}

fn conversation() -> impl Strategy<Value = Vec<u8>> {
    (vec(sent(), 0..2), headers_packet(), vec(sent(), 0..8), vec(any::<bool>(), 0..2)).prop_map(
        |(before, headers, after, ends)| {
            let mut stream = Vec::new();
            let ends = ends.into_iter().map(Sent::End);
            before.into_iter().chain([headers]).chain(after).chain(ends).for_each(|packet| write(&mut stream, &packet));
            stream
        },
    )
}

fn write(stream: &mut Vec<u8>, packet: &Sent) {
    match packet {
        Sent::Headers { status, headers } => {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
            encode_send_headers(stream, *status, Some(b"reason"), &headers).unwrap();
        }
        Sent::Chunk(data) => encode_body_chunk(stream, data).unwrap(),
        Sent::Flush => encode_body_chunk(stream, b"").unwrap(),
        Sent::GetBody(wanted) => stream.extend(encode_get_body(*wanted)),
        Sent::End(reuse) => stream.extend(encode_end(*reuse)),
        Sent::CPong => stream.extend(CPONG),
    }
}

/// Overwrites, removes or inserts a few bytes.
fn damage(mut bytes: Vec<u8>, wounds: &[(prop::sample::Index, u8, u8)]) -> Vec<u8> {
    for (index, kind, byte) in wounds {
        if bytes.is_empty() {
            break;
        }
        let at = index.index(bytes.len());
        match kind % 4 {
            0 => bytes[at] = *byte,
            1 => bytes[at] ^= 1 << (byte % 8),
            2 => drop(bytes.remove(at)),
            _ => bytes.insert(at, *byte),
        }
    }
    bytes
}

fn wounds() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, u8)>> {
    vec(any::<(prop::sample::Index, u8, u8)>(), 1..4)
}

/// What a member adds: secret, route, activation.
type Member = (Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);

fn member() -> impl Strategy<Value = Member> {
    (option::of(text(20)), option::of(text(10)), option::of(text(3)))
}

fn pairs(list: &[Pair]) -> Vec<(&[u8], &[u8])> {
    list.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn head_written_for_one_member_serves_the_others(
        request in request(), members in vec((member(), 0_usize..1_500), 1..5),
    ) {
        let (headers, attributes) = (pairs(&request.headers), pairs(&request.attributes));
        let forward = ForwardRequest {
            method: &request.method, protocol: &request.protocol, uri: &request.uri, server_port: request.server_port,
            remote_addr: request.remote_addr.as_deref(), headers: &headers, route: request.route.as_deref(),
            ssl_cert: request.ssl_cert.as_deref(), attributes: &attributes, ..ForwardRequest::default()
        };
        let (mut kept, mut head) = (vec![0; 1_500], 0);
        for ((secret, route, activation), size) in &members {
            let member = ForMember {
                secret: secret.as_deref(), route: route.as_deref(), activation: activation.as_deref(),
            };
            let mut fresh = vec![0; 1_500];
            let expected = forward.encode_for(&member, &mut fresh, *size, 0);
            let found = forward.encode_for(&member, &mut kept, *size, head);
            prop_assert_eq!(&found, &expected);
            if let Ok(encoded) = found {
                prop_assert_eq!(&kept[..encoded.length], &fresh[..encoded.length]);
                head = encoded.head;
            } else {
                // What did not fit may be the head, which is then partly overwritten.
                head = 0;
            }
        }
    }

    #[test]
    fn decodes_every_request_to_what_was_encoded(request in request()) {
        let packet = encoded(&request);
        let (payload, taken) = split_request_packet(&packet, MAX_PACKET_SIZE - HEADER_LEN).unwrap().unwrap();
        prop_assert_eq!(taken, packet.len());
        prop_assert_eq!(decode(payload).unwrap(), request);
    }

    #[test]
    fn encodes_a_request_exactly_when_it_fits(request in request(), limit in 0..=MIN_PACKET_SIZE) {
        let needed = encoded(&request).len();
        let mut packet = Vec::new();
        match request.encode(&mut packet, limit) {
            Ok(()) => prop_assert!(packet.len() == needed && needed <= limit),
            Err(EncodeError::TooLarge { .. }) => prop_assert!(needed > limit),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn accepts_a_damaged_request_only_if_it_is_a_request_again(request in request(), wounds in wounds()) {
        fuzz_request(&damage(encoded(&request)[HEADER_LEN..].to_vec(), &wounds));
    }

    #[test]
    fn survives_random_bytes(data in vec(any::<u8>(), 0..300), kind in 0..12_u8) {
        fuzz_packet(&data);
        fuzz_exchange(&data);
        let typed = [&[kind][..], &data].concat();
        fuzz_response(&typed);
        fuzz_request(&typed);
    }

    #[test]
    fn survives_random_headers(data in vec(any::<u8>(), 0..300), status: u16, count in 0..5_u16) {
        let mut payload = vec![0x04];
        payload.extend(status.to_be_bytes());
        payload.extend([0xFF, 0xFF]);
        payload.extend(count.to_be_bytes());
        payload.extend(data);
        fuzz_response(&payload);
    }

    #[test]
    fn keeps_its_order_in_every_conversation(head_request: bool, stream in conversation()) {
        fuzz_exchange(&[&[u8::from(head_request)][..], &stream].concat());
    }

    #[test]
    fn keeps_its_order_in_damaged_conversations(head_request: bool, stream in conversation(), wounds in wounds()) {
        let stream = damage(stream, &wounds);
        fuzz_packet(&stream);
        fuzz_exchange(&[&[u8::from(head_request)][..], &stream].concat());
        fuzz_response(stream.get(HEADER_LEN..).unwrap_or_default());
    }

    #[test]
    fn passes_exactly_what_was_declared(declared in 0..60_u64, chunks in vec(vec(any::<u8>(), 1..20), 0..6)) {
        let mut stream = Vec::new();
        encode_send_headers(&mut stream, 200, None, &[(b"Content-Length", declared.to_string().as_bytes())]).unwrap();
        chunks.iter().for_each(|chunk| encode_body_chunk(&mut stream, chunk).unwrap());
        stream.extend(encode_end(true));

        let sent = chunks.concat();
        let (mut exchange, mut passed, mut left) = (Exchange::new(false), Vec::new(), stream.as_slice());
        let end = loop {
            let (payload, taken) = split_packet(left, MAX_PACKET_SIZE).unwrap().unwrap();
            left = &left[taken..];
            match exchange.on_packet(payload).unwrap() {
                Event::Body(body) => passed.extend_from_slice(body),
                Event::End(end) => break end,
                Event::Headers(_) | Event::Nothing => {}
                other => prop_assert!(false, "{:?}", other),
            }
        };
        let expected = sent.len().min(usize::try_from(declared).unwrap());
        prop_assert_eq!(&passed, &sent[..expected]);
        prop_assert_eq!(end.missing, declared.saturating_sub(sent.len() as u64));
        prop_assert_eq!(exchange.surplus(), (sent.len() as u64).saturating_sub(declared));
        prop_assert_eq!(end.keep, sent.len() as u64 == declared);
        prop_assert_eq!(exchange.progress(), Progress::Ended);
        prop_assert!(left.is_empty());
    }

    #[test]
    fn parses_response_headers_to_what_was_encoded(
        status in 200..=999_u16,
        headers in vec(("X-[!#-'*+.^_`|~0-9A-Za-z-]{0,20}", "[\t -~\u{80}-\u{FF}]{0,40}"), 0..40),
    ) {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let mut packet = Vec::new();
        encode_send_headers(&mut packet, status, Some(b"fine"), &headers).unwrap();
        match parse(&packet[HEADER_LEN..]) {
            Ok(Packet::SendHeaders(head)) => {
                prop_assert_eq!((head.status, head.reason), (status, Some(&b"fine"[..])));
                prop_assert_eq!(head.headers.iter().collect::<Vec<_>>(), headers);
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }
}
