//! Requests to the container and its responses back: methods, headers, bodies of all sizes both ways.
//!
//! Not here: the scalar fields and their overrides (`fields.rs`), URIs (`uri_modes.rs`), what goes wrong (`failures.rs`).

use crate::support::backend::{Backend, ask, get, text};
use crate::support::http_client::{Body, Client, Request};
use crate::support::httpd::{Httpd, under_every_mpm};
use crate::support::tomcat_server::Pattern;

/// Around the limits of an AJP body packet, some packets, and more than any buffer on the way.
const LENGTHS: [usize; 7] = [0, 1, 8_185, 8_186, 8_187, 100 * 1024, 3 * 1024 * 1024];

/// A container that answers `/<n>` with n bytes of the pattern; with their Content-Length when the query is `length`.
fn source() -> Backend {
    Backend::start(|call| {
        let length: usize = call.uri().trim_start_matches('/').parse().unwrap();
        let declared = length.to_string();
        let headers: &[(&str, &str)] =
            if call.request.query_string.is_some() { &[("Content-Length", &declared)] } else { &[] };
        let bytes = Pattern::bytes(length);
        call.answer(200, headers, bytes);
    })
}

under_every_mpm! {
    fn methods_are_forwarded(mpm: Mpm) {
        let backend = Backend::echo();
        let httpd = backend.httpd().mpm(mpm).start();
        let mut client = Client::connect(httpd.address()).unwrap();
        let methods = [
            "GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK",
            "UNLOCK", "ACL", "REPORT", "VERSION-CONTROL", "CHECKIN", "CHECKOUT", "UNCHECKOUT", "SEARCH", "MKWORKSPACE",
            "UPDATE", "LABEL", "MERGE", "BASELINE-CONTROL", "MKACTIVITY", "BREW",
        ];
        for method in methods {
            let response = client.exchange(&Request::new(method, "/m")).unwrap();
            assert_eq!((response.status(), response.text()), (200, format!("{method} /m")));
        }
    }

    fn bodies_with_a_length_arrive_unchanged(mpm: Mpm) {
        let backend = Backend::echo();
        let httpd = backend.httpd().mpm(mpm).start();
        let mut client = Client::connect(httpd.address()).unwrap();
        // A GET seldom has a body, but may.
        for (length, method) in LENGTHS.into_iter().flat_map(|length| [(length, "POST"), (length, "GET")]) {
            let body = Body::Length(Pattern::bytes(length));
            assert_eq!(client.exchange(&Request::new(method, "/").body(body)).unwrap().status(), 200, "{length}");
            let seen = backend.last();
            assert_eq!((seen.header("Content-Length"), seen.body.len()), (Some(length.to_string()), length));
            Pattern::new().assert_next(&seen.body);
        }
    }

    fn chunked_bodies_arrive_unchanged(mpm: Mpm) {
        let backend = Backend::echo();
        let httpd = backend.httpd().mpm(mpm).start();
        let mut client = Client::connect(httpd.address()).unwrap();
        for (length, method) in LENGTHS.into_iter().flat_map(|length| [(length, "POST"), (length, "GET")]) {
            let chunks = Pattern::bytes(length).chunks(5_000).map(<[u8]>::to_vec).collect();
            let request = Request::new(method, "/").body(Body::Chunked(chunks));
            assert_eq!(client.exchange(&request).unwrap().status(), 200, "{length}");
            let seen = backend.last();
            assert_eq!((seen.header("Content-Length"), seen.body.len()), (None, length));
            Pattern::new().assert_next(&seen.body);
        }
    }

    fn response_bodies_arrive_unchanged(mpm: Mpm) {
        let backend = source();
        let httpd = backend.httpd().mpm(mpm).start();
        let mut client = Client::connect(httpd.address()).unwrap();
        for length in LENGTHS {
            for query in ["", "?length"] {
                let response = client.exchange(&Request::new("GET", &format!("/{length}{query}"))).unwrap();
                assert!(response.status() == 200 && response.complete(), "{length}{query}");
                assert_eq!(response.body.len(), length);
                Pattern::new().assert_next(&response.body);
                let declared = response.header("Content-Length").map(str::to_owned);
                assert!(query.is_empty() || declared == Some(length.to_string()), "{length}: {declared:?}");
            }
        }
    }

    fn headers_and_query_are_forwarded(mpm: Mpm) {
        let backend = Backend::echo();
        let httpd = backend.httpd().mpm(mpm).start();
        let request = Request::new("GET", "/a/b.jsp?x=1&y=%20&z")
            .header("User-Agent", "test/1.0")
            .header("X-Empty", "")
            .header("X-Bytes", b"caf\xe9")
            .header("x-MiXeD", "Case");
        assert_eq!(ask(&httpd, &request).text(), "GET /a/b.jsp");
        let seen = backend.last();
        assert_eq!(seen.request.query_string.as_deref().map(text).as_deref(), Some("x=1&y=%20&z"));
        assert_eq!(seen.header("Host").as_deref(), Some("localhost"));
        assert_eq!(seen.header("User-Agent").as_deref(), Some("test/1.0"));
        assert_eq!(seen.header("X-Empty").as_deref(), Some(""));
        assert_eq!(seen.request.header("x-bytes"), Some(&b"caf\xe9"[..]));
        assert!(seen.request.headers.contains(&(b"x-MiXeD".to_vec(), b"Case".to_vec())));
    }

    fn one_client_connection_serves_many_requests(mpm: Mpm) {
        let backend = Backend::echo();
        let httpd = backend.httpd().mpm(mpm).start();
        let mut client = Client::connect(httpd.address()).unwrap();
        for number in 0..20 {
            let target = format!("/{number}");
            assert_eq!(client.exchange(&Request::new("GET", &target)).unwrap().text(), format!("GET {target}"));
        }
        assert_eq!(backend.connections(), 1, "one child, one request at a time: one connection to the container");
    }

    fn large_bodies_pass_both_ways_at_once(mpm: Mpm) {
        let backend = Backend::start(|call| {
            let body = call.read_body();
            call.ok(body);
        });
        let httpd = backend.httpd().mpm(mpm).start();
        let sent = Pattern::bytes(1_000_003);
        let response = ask(&httpd, &Request::new("PUT", "/").body(Body::Length(sent.clone())));
        assert!(response.body == sent && response.complete());
    }
}

#[test]
fn query_is_sent_raw_and_an_absent_one_not_at_all() {
    let backend = Backend::echo();
    let httpd = backend.httpd().start();
    for (target, query) in [
        ("/q", None),
        ("/q?", Some("")),
        ("/q?a=%2e%2e/&b=;x?y", Some("a=%2e%2e/&b=;x?y")),
        ("/q?%00%ff+", Some("%00%ff+")),
    ] {
        get(&httpd, target);
        let seen = backend.last().request.query_string;
        assert_eq!(seen.as_deref().map(text).as_deref(), query, "{target}");
    }
}

#[test]
fn repeated_headers_are_forwarded_as_httpd_joins_them() {
    let backend = Backend::echo();
    let httpd = backend.httpd().start();
    ask(
        &httpd,
        &Request::new("GET", "/").header("X-A", "1").header("X-A", "2").header("Accept", "a").header("accept", "b"),
    );
    let seen = backend.last();
    assert_eq!((seen.headers("X-A"), seen.headers("Accept")), (vec!["1, 2".to_owned()], vec!["a, b".to_owned()]));
}

#[test]
fn cookie_lines_are_joined_by_semicolons() {
    let backend = Backend::echo();
    let httpd = backend.httpd().start();
    ask(&httpd, &Request::new("GET", "/").header("Cookie", "a=1").header("Cookie", "b=2"));
    assert_eq!(backend.last().headers("Cookie"), ["a=1; b=2"]);
}

#[test]
fn hop_by_hop_request_headers_are_forwarded_too() {
    let backend = Backend::echo();
    let httpd = backend.httpd().start();
    let named = [("Connection", "close"), ("TE", "trailers"), ("Upgrade", "x"), ("Proxy-Authorization", "Basic eDp5")];
    let request = named.iter().fold(Request::new("GET", "/"), |request, (name, value)| request.header(name, value));
    ask(&httpd, &request);
    let seen = backend.last();
    for (name, value) in named {
        assert_eq!(seen.header(name).as_deref(), Some(value), "{name}");
    }
}

#[test]
fn status_line_and_headers_come_back() {
    let backend = Backend::start(|call| {
        let headers =
            [("Content-Type", "Text/Html;Charset=UTF-8"), ("X-One", "1"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")];
        call.answer(418, &headers, "tea");
    });
    let httpd = backend.httpd().start();
    let response = get(&httpd, "/");
    assert_eq!((response.status(), response.head.reason.as_str(), response.text().as_str()), (418, "text", "tea"));
    assert_eq!(response.header("Content-Type"), Some("text/html;Charset=UTF-8"));
    assert_eq!((response.header("X-One"), response.head.all("Set-Cookie")), (Some("1"), vec!["a=1", "b=2"]));
}

#[test]
fn head_has_the_headers_and_no_body() {
    let backend = Backend::start(|call| call.answer(200, &[("Content-Length", "5")], "hello"));
    let httpd = backend.httpd().start();
    let mut client = Client::connect(httpd.address()).unwrap();
    for _ in 0..2 {
        let response = client.exchange(&Request::new("HEAD", "/")).unwrap();
        assert_eq!((response.status(), response.header("Content-Length"), response.body.len()), (200, Some("5"), 0));
    }
    assert!(client.unread().is_empty());
}

#[test]
fn statuses_without_body_come_back_without_body() {
    let backend = Backend::start(|call| {
        let status = call.uri().trim_start_matches('/').parse().unwrap();
        call.answer(status, &[("ETag", "\"x\"")], "");
    });
    let httpd = backend.httpd().start();
    let mut client = Client::connect(httpd.address()).unwrap();
    for status in [204, 304, 404] {
        let response = client.exchange(&Request::new("GET", &format!("/{status}"))).unwrap();
        assert_eq!((response.status(), response.body.len(), response.header("ETag")), (status, 0, Some("\"x\"")));
    }
    let missing = client.exchange(&Request::new("GET", "/404")).unwrap();
    assert_eq!(missing.header("Content-Length"), Some("0"), "a bodiless error is passed on, with no page of httpd");
}

#[test]
fn range_that_the_response_cannot_satisfy_is_416() {
    let backend = Backend::start(|call| call.answer(200, &[("Content-Length", "10")], "abcdefghij"));
    let httpd = backend.httpd().start();
    let mut client = Client::connect(httpd.address()).unwrap();
    for (range, status, body) in
        [("bytes=90-", 416, None), ("bytes=2-4", 206, Some("cde")), ("bytes=99-100", 416, None)]
    {
        let response = client.exchange(&Request::new("GET", "/").header("Range", range)).unwrap();
        assert_eq!(response.status(), status, "{range}");
        assert!(body.is_none_or(|body| response.text() == body) && response.complete(), "{range}: {}", response.text());
    }
    assert!(!httpd.jk_log().contains("Aborting"), "{}", httpd.jk_log());
}

#[test]
fn hop_by_hop_response_headers_are_dropped() {
    let backend = Backend::start(|call| {
        let headers = [
            ("Connection", "close"),
            ("Keep-Alive", "max=1"),
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "x"),
            ("X-Kept", "y"),
        ];
        call.answer(200, &headers, "body");
    });
    let httpd = backend.httpd().start();
    let mut client = Client::connect(httpd.address()).unwrap();
    for _ in 0..2 {
        let response = client.exchange(&Request::new("GET", "/")).unwrap();
        assert!(response.complete());
        assert_eq!((response.text().as_str(), response.header("X-Kept")), ("body", Some("y")));
        assert_eq!((response.header("Upgrade"), response.header("Connection")), (None, None));
    }
}

#[test]
fn http_1_0_is_served_and_its_protocol_forwarded() {
    let backend = Backend::echo();
    let httpd = backend.httpd().start();
    let response = ask(&httpd, &Request::new("GET", "/old").version("HTTP/1.0"));
    assert_eq!((response.text().as_str(), response.complete()), ("GET /old", true));
    assert_eq!(text(&backend.last().request.protocol), "HTTP/1.0");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let backend = Backend::echo();
    let httpd = backend.httpd().start();
    let mut client = Client::connect(httpd.address()).unwrap();
    let requests: Vec<u8> = ["/1", "/2", "/3"].iter().flat_map(|target| Request::new("GET", target).encode()).collect();
    client.send_bytes(&requests).unwrap();
    for target in ["/1", "/2", "/3"] {
        assert_eq!(client.response("GET").unwrap().finish().unwrap().text(), format!("GET {target}"));
    }
}

#[test]
fn unread_request_body_does_not_disturb_the_next_request() {
    let backend = Backend::start(|call| {
        if call.request.header("content-length").is_some_and(|length| length != b"0") {
            call.peer.expect_body();
        }
        call.ok("done");
    });
    let httpd = backend.httpd().start();
    let mut client = Client::connect(httpd.address()).unwrap();
    for body in [Body::Length(vec![b'x'; 50_000]), Body::Chunked(vec![vec![b'y'; 50_000]]), Body::None] {
        assert_eq!(client.exchange(&Request::new("POST", "/").body(body)).unwrap().text(), "done");
    }
}

#[test]
fn server_token_names_the_module() {
    let httpd = Httpd::builder().config("ServerTokens Full\n").start();
    let expected = format!("mod_jk/{}", env!("CARGO_PKG_VERSION"));
    assert!(get(&httpd, "/").header("Server").is_some_and(|server| server.contains(&expected)));
}
