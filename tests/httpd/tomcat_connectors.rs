//! The same suite in front of real Tomcats whose AJP connectors are set up in different ways: packet sizes, secret, allowed
//! attributes, a Unix domain socket; and transfers in both directions at scale.
//!
//! Not here: what a container does wrong. The surprising thing: a packet size above 8192 counts in Tomcat for what it sends
//! as well, so both sides must know it.

use std::io::Write as _;
use std::net::TcpStream;
use std::thread;

use crate::support::http_client::{Body, Client, Request, chunk};
use crate::support::httpd::{Builder, Httpd};
use crate::support::tomcat_server::{Options, Pattern, TomcatServer};

const MEBIBYTE: u64 = 1 << 20;
/// How many transfers run at once, half of them in each direction, and how long each is.
const TRANSFERS: usize = 100;
const TRANSFER: u64 = 100 * MEBIBYTE;
/// What a child may need for a transfer in progress, in KiB: buffers of the module, of httpd and of the sockets.
const PER_TRANSFER_KIB: u64 = 512;
/// Lengths around the limits of packets of 8 KiB and of 64 KiB.
const LENGTHS: [usize; 14] =
    [0, 1, 8183, 8184, 8186, 8187, 16_372, 16_373, 65_526, 65_528, 65_530, 65_531, 131_060, 1_000_003];

/// The value of the line `name=value`.
#[track_caller]
fn fact(text: &str, name: &str) -> String {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("no {name}= in {text}")).to_owned()
}

/// httpd with everything mounted on this Tomcat, as worker `w`.
fn in_front_of(tomcat: &TomcatServer, workers: &str) -> Builder {
    let name = tomcat.name();
    Httpd::builder()
        .workers(&format!("worker.list={name}\n{}{workers}", tomcat.worker()))
        .config(&format!("JkMount /* {name}\n"))
}

/// All that a site does: methods, bodies of every length in both directions, headers, statuses, sessions, events.
#[track_caller]
fn serves_everything(httpd: &Httpd) {
    let mut client = Client::connect(httpd.address()).unwrap();
    let mut ask = |request: &Request| client.exchange(request).unwrap();
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "REPORT"] {
        let response = ask(&Request::new(method, "/echo.jsp"));
        assert_eq!((response.status(), fact(&response.text(), "method").as_str()), (200, method));
    }
    for length in LENGTHS {
        let bytes = Pattern::bytes(length);
        let pieces = bytes.chunks(5000).map(<[u8]>::to_vec).collect();
        for body in [Body::Length(bytes), Body::Chunked(pieces)] {
            let text = ask(&Request::new("POST", "/sink.jsp").body(body)).text();
            assert_eq!(fact(&text, "length"), length.to_string());
            assert_eq!(fact(&text, "differs_at"), "-1", "of {length}");
        }
        for declared in ["yes", "no"] {
            let response = ask(&Request::new("GET", &format!("/bytes.jsp?n={length}&length={declared}")));
            assert!(response.status() == 200 && response.complete() && response.body.len() == length);
            Pattern::new().assert_next(&response.body);
        }
        let head = ask(&Request::new("HEAD", &format!("/bytes.jsp?n={length}")));
        assert!(head.status() == 200 && head.body.is_empty());
    }
    let response = ask(&Request::new("GET", "/status.jsp?code=200&header=X-Many&value=v&times=5"));
    assert_eq!(response.head.all("X-Many"), ["v1", "v2", "v3", "v4", "v5"]);
    let session = fact(&ask(&Request::new("GET", "/counter.jsp")).text(), "session");
    for visits in 2..5 {
        let text = ask(&Request::new("GET", "/counter.jsp").header("Cookie", format!("JSESSIONID={session}"))).text();
        assert_eq!(fact(&text, "visits"), visits.to_string());
    }
    client.send(&Request::new("GET", "/sse.jsp?events=3&pause=20")).unwrap();
    let mut response = client.response("GET").unwrap();
    for number in 1..=3 {
        assert_eq!(response.event().unwrap(), Some(format!("data: event {number}")));
    }
    assert!(response.finish().unwrap().complete());
    // httpd closes the connection after some of these.
    for code in [201, 204, 304, 404, 418, 500, 503] {
        let target = format!("/status.jsp?code={code}");
        assert_eq!(Client::once(httpd.address(), &Request::new("GET", &target)).unwrap().status(), code);
    }
}

#[test]
fn connector_as_tomcat_has_it_with_a_secret() {
    serves_everything(&in_front_of(TomcatServer::shared(2), "").start());
}

#[test]
fn connector_with_packets_of_64_kib() {
    let tomcat = TomcatServer::start("large-packets", Options { packet_size: Some(65_536), ..Options::default() });
    let httpd = in_front_of(&tomcat, "").config("LimitRequestFieldSize 60000\n").start();
    serves_everything(&httpd);
    // A header that no packet of 8 KiB could carry, in both directions.
    let long = "x".repeat(50_000);
    let text = Client::once(httpd.address(), &Request::new("GET", "/echo.jsp").header("X-Long", &long)).unwrap().text();
    assert_eq!(fact(&text, "header x-long"), long);
    let target = format!("/status.jsp?code=200&header=X-Long&value={}&times=10", "v".repeat(4000));
    let response = Client::once(httpd.address(), &Request::new("GET", &target)).unwrap();
    assert_eq!(response.head.all("X-Long").len(), 10);
}

#[test]
fn connector_that_allows_some_attributes_only() {
    let extra = "allowedRequestAttributesPattern=\"MY_[A-Z]+\"".to_owned();
    let tomcat = TomcatServer::start("attributes", Options { extra, ..Options::default() });
    let config = "JkEnvVar MY_ENV\nSetEnv MY_ENV forty-two\n";
    let httpd = in_front_of(&tomcat, "").config(config).start();
    serves_everything(&httpd);
    let target = "/echo.jsp?attribute=MY_ENV";
    let text = Client::once(httpd.address(), &Request::new("GET", target)).unwrap().text();
    assert_eq!(fact(&text, "attribute MY_ENV"), "forty-two");
    // An attribute that the pattern does not match is Tomcat's 403, and our log names the reason.
    let httpd = in_front_of(&tomcat, "").config("JkEnvVar OTHER\nSetEnv OTHER x\n").start();
    assert_eq!(Client::once(httpd.address(), &Request::new("GET", target)).unwrap().status(), 403);
    httpd.await_jk_log("allowedRequestAttributesPattern");
}

#[test]
fn connector_on_a_unix_domain_socket() {
    let options = Options { uds: true, packet_size: Some(65_536), ..Options::default() };
    let tomcat = TomcatServer::start("local-socket", options);
    let httpd = in_front_of(&tomcat, "").start();
    serves_everything(&httpd);
    // The TCP address is not tried: nothing listens there, and C mod_jk, which ignores the setting, would need it.
    assert!(!httpd.jk_log().contains("[error]"), "{}", httpd.jk_log());
}

/// Sends a chunked body of the pattern in a thread of its own while the answer is read.
fn mirrored(httpd: &Httpd, length: u64) -> u64 {
    let mut client = Client::connect(httpd.address()).unwrap();
    client.send_bytes(b"POST /mirror.jsp HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    let mut sending: TcpStream = client.stream().try_clone().unwrap();
    let sender = thread::spawn(move || {
        let (mut pattern, mut buffer) = (Pattern::new(), vec![0; 65_536]);
        while pattern.passed() < length {
            pattern.fill(&mut buffer);
            sending.write_all(&chunk(&buffer)).unwrap();
        }
        sending.write_all(b"0\r\n\r\n").unwrap();
    });
    let mut response = client.response("POST").unwrap();
    let mut pattern = Pattern::new();
    while let Some(part) = response.part().unwrap() {
        pattern.assert_next(&part);
    }
    sender.join().unwrap();
    pattern.passed()
}

#[test]
fn body_can_come_back_while_it_is_still_going_out() {
    let httpd = in_front_of(TomcatServer::shared(2), "").start();
    let length = 32 * MEBIBYTE;
    assert_eq!(mirrored(&httpd, length), length);
}

/// Moves `TRANSFER` bytes down, for even numbers, or up.
fn transfer(address: std::net::SocketAddr, number: usize, length: u64) -> u64 {
    let mut client = Client::connect(address).unwrap();
    if number.is_multiple_of(2) {
        client.send(&Request::new("GET", &format!("/bytes.jsp?n={length}"))).unwrap();
        let mut response = client.response("GET").unwrap();
        let mut passed = 0;
        while let Some(part) = response.part().unwrap() {
            passed += part.len() as u64;
        }
        return passed;
    }
    let head = format!("POST /sink.jsp HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
    client.send_bytes(head.as_bytes()).unwrap();
    let (mut pattern, mut buffer) = (Pattern::new(), vec![0; 65_536]);
    while pattern.passed() < length {
        let part = usize::try_from(length - pattern.passed()).unwrap().min(buffer.len());
        pattern.fill(&mut buffer[..part]);
        client.send_bytes(&buffer[..part]).unwrap();
    }
    let text = client.response("POST").unwrap().finish().unwrap().text();
    assert_eq!(fact(&text, "differs_at"), "-1");
    fact(&text, "length").parse().unwrap()
}

#[test]
fn hundred_transfers_of_100_mib_at_once_pass_in_constant_memory() {
    let httpd = in_front_of(TomcatServer::shared(2), "").children(1).threads(TRANSFERS + 10).start();
    let address = httpd.address();
    let all_at_once = |length: u64| {
        let transfers: Vec<_> =
            (0..TRANSFERS).map(|number| thread::spawn(move || transfer(address, number, length))).collect();
        let passed: Vec<u64> = transfers.into_iter().map(|transfer| transfer.join().unwrap()).collect();
        assert!(passed.iter().all(|passed| *passed == length), "{passed:?}");
    };
    all_at_once(MEBIBYTE);
    let before = httpd.peak_resident_kib();
    all_at_once(TRANSFER);
    let after = httpd.peak_resident_kib();
    let limit = PER_TRANSFER_KIB * TRANSFERS as u64;
    assert!(after < before + limit, "a child grew from {before} to {after} KiB; {limit} more are allowed");
    println!("peak resident memory: {before} KiB after 100 x 1 MiB, {after} KiB after 100 x 100 MiB");
}
