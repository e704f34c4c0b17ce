//! Bodies in, responses out, and what becomes of the client's connection.

use super::case::{Case, Group, Step, answer, case, get, pattern, request, usual, vhost};

/// All groups of this file.
pub(crate) fn groups() -> Vec<Group> {
    vec![bodies(), limited_bodies(), responses(), error_pages(), flushing(), protocol(), failures(), reuse()]
}

fn post(len: usize) -> Case {
    case("POST", "/j/b").body(pattern(len)).named(format!("POST {len} bytes"))
}

fn bodies() -> Group {
    let mut cases: Vec<Case> = [0, 1, 2, 40, 8184, 8185, 8186, 8187, 8188, 16_000, 16_372, 16_373, 65_536, 100_000]
        .map(post)
        .into_iter()
        .collect();
    for pieces in [
        &[][..],
        &[1],
        &[1, 1],
        &[8173],
        &[8174],
        &[8175],
        &[8185],
        &[8186],
        &[8187],
        &[20_000],
        &[100, 8186, 5],
        &[1; 40],
        &[8000; 5],
        &[65_536],
    ] {
        let shown: Vec<_> = pieces.iter().take(6).map(ToString::to_string).collect();
        cases.push(case("POST", "/j/b").chunked(pieces).named(format!(
            "POST chunks of {} ({} of them)",
            shown.join(","),
            pieces.len()
        )));
    }
    let unread = answer(200, "OK", &[], "done").split_off(1);
    cases.extend([
        post(100).named("body not read by the container").answer(unread.clone()),
        post(30_000).named("long body not read by the container").answer(unread.clone()),
        case("POST", "/j/b").chunked(&[100]).named("chunked body not read by the container").answer(unread.clone()),
        case("POST", "/j/b").chunked(&[30_000]).named("long chunked body not read").answer(unread),
        case("POST", "/j/b")
            .header("Transfer-Encoding: chunked")
            .sent("3\r\nabc\r\n0\r\nX-Trailer: t\r\n\r\n")
            .named("trailers"),
        case("POST", "/j/b")
            .header("Transfer-Encoding: chunked")
            .sent("3;ext=1\r\nabc\r\n0\r\n\r\n")
            .named("chunk extensions"),
        case("POST", "/j/b")
            .header("Transfer-Encoding: Chunked")
            .sent("3\r\nabc\r\n0\r\n\r\n")
            .named("Chunked in capitals"),
        case("POST", "/j/b").header("Transfer-Encoding: gzip, chunked").sent("0\r\n\r\n").named("gzip, chunked"),
        case("POST", "/j/b")
            .header("Transfer-Encoding: chunked")
            .header("Content-Length: 3")
            .sent("3\r\nabc\r\n0\r\n\r\n")
            .named("length and chunked"),
        case("POST", "/j/b").header("Content-Length: 3").header("Content-Length: 3").sent("abc").named("length twice"),
        case("POST", "/j/b").header("Content-Length: +3").sent("abc").named("length with a sign"),
        case("POST", "/j/b").named("POST without length"),
        post(5).header("Expect: 100-continue").named("Expect with length"),
        case("POST", "/j/b").chunked(&[5]).header("Expect: 100-continue").named("Expect with chunks"),
        case("POST", "/j/b")
            .chunked(&[5])
            .header("Expect: 100-continue")
            .named("Expect with chunks, body not read")
            .answer(answer(200, "OK", &[], "done").split_off(1)),
        get("/j/b").header("Expect: 100-continue").named("Expect without body"),
        post(5).header("Expect: other").named("Expect unknown"),
    ]);
    cases.extend([asked(&[1, 2, 8186]), asked(&[0]), asked(&[65_535]), asked(&[4, 4, 4, 4])]);
    Group::new("bodies", "JkMount /j/* w1\n", cases)
}

/// The container asks for odd amounts of a body of 20 bytes in chunks.
fn asked(amounts: &[u16]) -> Case {
    let mut steps: Vec<Step> = amounts.iter().map(|wanted| Step::Ask(*wanted)).collect();
    steps.extend(answer(200, "OK", &[], "done").split_off(1));
    case("POST", "/j/b").chunked(&[20]).answer(steps).named(format!("container asks for {amounts:?}"))
}

fn limited_bodies() -> Group {
    let cases = vec![
        post(10),
        post(11),
        case("POST", "/j/b").chunked(&[10]).named("chunked at the limit"),
        case("POST", "/j/b").chunked(&[11]).named("chunked above the limit"),
        case("POST", "/j/b").chunked(&[5, 6]).named("chunked above the limit in two"),
        get("/j/b"),
    ];
    Group::new("limit-body", "JkMount /j/* w1\nLimitRequestBody 10\n", cases)
}

/// Status, reason, headers, body.
const RESPONSES: &[(u16, &str, &[&str], &str)] = &[
    (200, "OK", &[], "ok"),
    (200, "", &[], "ok"),
    (200, "Fine", &[], "ok"),
    (200, "200", &[], "ok"),
    (200, "A b c", &[], "ok"),
    (200, "OK", &[], ""),
    (200, "OK", &["Content-Type: text/HTML; Charset=UTF-8"], "ok"),
    (200, "OK", &["content-type: Text/Plain"], "ok"),
    (200, "OK", &["Content-Type: a/b", "Content-Type: c/d"], "ok"),
    (200, "OK", &["Content-Type: "], "ok"),
    (200, "OK", &["Set-Cookie: a=1", "Set-Cookie: b=2", "set-cookie: c=3"], "ok"),
    (200, "OK", &["X-A: 1", "X-A: 2", "x-a: 3", "X-B: 1"], "ok"),
    (200, "OK", &["X-Empty: "], "ok"),
    (200, "OK", &["X-Pad:   a  "], "ok"),
    (200, "OK", &["X-Bytes: \u{e9}"], "ok"),
    (200, "OK", &["Content-Length: 2"], "ok"),
    (200, "OK", &["content-length: 2"], "ok"),
    (200, "OK", &["Content-Length: 3"], "ok"),
    (200, "OK", &["Content-Length: 1"], "ok"),
    (200, "OK", &["Content-Length: 0"], ""),
    (200, "OK", &["Content-Length: 5"], ""),
    (200, "OK", &["Content-Length: x"], "ok"),
    (200, "OK", &["Content-Length: -1"], "ok"),
    (200, "OK", &["Content-Length: 2", "Content-Length: 2"], "ok"),
    (200, "OK", &["Content-Length: 2", "Content-Length: 3"], "ok"),
    (200, "OK", &["Content-Length: 2, 2"], "ok"),
    (200, "OK", &["Location: /a", "location: /b"], "ok"),
    (302, "Found", &["Location: /a"], ""),
    (302, "Found", &["Location: http://h/a"], "moved"),
    (200, "OK", &["Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"], "ok"),
    (200, "OK", &["Last-Modified: junk"], "ok"),
    (200, "OK", &["Date: Sun, 06 Nov 1994 08:49:37 GMT", "Server: Other/1"], "ok"),
    (200, "OK", &["Connection: close"], "ok"),
    (200, "OK", &["Connection: keep-alive", "Keep-Alive: timeout=5"], "ok"),
    (200, "OK", &["Transfer-Encoding: identity"], "ok"),
    (200, "OK", &["Transfer-Encoding: chunked"], "ok"),
    (200, "OK", &["Upgrade: h2c"], "ok"),
    (200, "OK", &["Trailer: X-T"], "ok"),
    (200, "OK", &["TE: trailers"], "ok"),
    (200, "OK", &["Proxy-Connection: close"], "ok"),
    (200, "OK", &["Status: 404"], "ok"),
    (200, "OK", &["ETag: \"x\""], "ok"),
    (200, "OK", &["Vary: Accept"], "ok"),
    (200, "OK", &["Cache-Control: no-cache", "Expires: 0", "Pragma: no-cache"], "ok"),
    (200, "OK", &["Content-Encoding: gzip"], "ok"),
    (200, "OK", &["Content-Language: de"], "ok"),
    (200, "OK", &["Content-Range: bytes 0-1/2"], "ok"),
    (200, "OK", &["Accept-Ranges: bytes"], "ok"),
    (200, "OK", &["Servlet-Engine: x", "Set-Cookie2: y"], "ok"),
    (200, "OK", &["WWW-Authenticate: Basic"], "ok"),
    (200, "OK", &["X-Under_Score: 1", "X.Dot: 2"], "ok"),
    (200, "OK", &["Bad Name: 1"], "ok"),
    (200, "OK", &["X-Bad: a\nb"], "ok"),
    (200, "O\nK", &[], "ok"),
    (99, "Low", &[], "ok"),
    (101, "Switching", &["Upgrade: x"], ""),
    (201, "Created", &["Location: /new"], "made"),
    (204, "No Content", &[], ""),
    (204, "No Content", &["Content-Length: 0"], ""),
    (204, "No Content", &[], "body"),
    (205, "Reset", &[], ""),
    (206, "Partial", &["Content-Range: bytes 0-1/9"], "ok"),
    (304, "Not Modified", &["ETag: \"x\""], ""),
    (304, "Not Modified", &["Content-Length: 10"], ""),
    (304, "Not Modified", &[], "body"),
    (299, "", &[], "ok"),
    (299, "Own", &[], "ok"),
    (400, "Bad", &[], "bad"),
    (400, "", &[], ""),
    (401, "Who", &["WWW-Authenticate: Basic realm=x"], "who"),
    (403, "", &[], ""),
    (404, "No", &[], "none"),
    (404, "No", &[], ""),
    (404, "No", &["Content-Length: 0"], ""),
    (410, "", &[], "gone"),
    (418, "Teapot", &[], "tea"),
    (499, "", &[], ""),
    (500, "Boom", &[], "boom"),
    (500, "", &[], ""),
    (503, "Busy", &["Retry-After: 1"], "busy"),
    (511, "", &[], ""),
    (599, "", &[], "x"),
    (600, "", &[], "x"),
    (999, "Odd", &[], "x"),
];

fn responses() -> Group {
    let mut cases = Vec::new();
    for (status, reason, headers, body) in RESPONSES {
        let name = format!("{status} '{}' {} '{body}'", reason.escape_debug(), headers.join(" | ").escape_debug());
        cases.push(get("/j/r").answers(*status, reason, headers, body).named(name));
    }
    for (status, headers, body) in [
        (200, &["Content-Length: 2"][..], ""),
        (200, &[], ""),
        (404, &[], ""),
        (200, &[], "ok"),
        (304, &[], ""),
        (500, &[], "x"),
    ] {
        let name = format!("HEAD {status} {headers:?} '{body}'");
        cases.push(case("HEAD", "/j/r").answers(status, "OK", headers, body).named(name));
    }
    for len in [1000, 7999, 8000, 100_000, 200_000] {
        let chunked = vec![Step::Head(200, "OK", &[]), Step::Chunk(pattern(len)), Step::End];
        cases.push(get("/j/r").answer(chunked).named(format!("{len} bytes without length")));
    }
    // On one connection to the container, so that a receive buffer that filled up would show.
    for round in 1..=8 {
        let chunked = vec![Step::Head(200, "OK", &[]), Step::Chunk(pattern(7000)), Step::End];
        cases.push(get("/j/r").answer(chunked).named(format!("7000 bytes without length, round {round}")));
    }
    let declared = vec![Step::Head(200, "OK", &["Content-Length: 100000"]), Step::Chunk(pattern(100_000)), Step::End];
    cases.push(get("/j/r").answer(declared).named("100000 bytes with length"));
    let pieces: Vec<Step> = (0..20).map(|_| Step::Chunk(pattern(100))).collect();
    let pieces = [vec![Step::Head(200, "OK", &[])], pieces, vec![Step::End]].concat();
    cases.push(get("/j/r").answer(pieces).named("20 chunks of 100 bytes"));
    Group::new("responses", "JkMount /j/* w1\n", cases)
}

fn error_pages() -> Group {
    let config = [
        vhost("plain", "JkMount /j/* w1\n").as_str(),
        &vhost("doc", "JkMount /j/* w1\nErrorDocument 404 /own404.txt\nErrorDocument 503 \"own text\"\n"),
        &vhost(
            "use",
            "JkMount /j/* w1;use_server_errors=400\nErrorDocument 404 /own404.txt\nErrorDocument 500 \"own text\"\n",
        ),
        &vhost("use500", "JkMount /j/* w1;use_server_errors=500\n"),
        &vhost("useback", "JkMount /j/* w1;use_server_errors=400\nJkMount /err/* w2\nErrorDocument 404 /err/page\n"),
        &vhost("useneg", "JkMount /j/* w1;use_server_errors=-1\n"),
        &vhost("fail", "JkMount /j/* w1;fail_on_status=500,-404\nErrorDocument 503 \"own text\"\n"),
        &vhost("down", "JkMount /j/* down\nErrorDocument 503 \"own text\"\n"),
        &vhost("nobody", "JkMount /j/* nobody\nErrorDocument 500 \"own text\"\n"),
    ]
    .concat();
    let mut cases = Vec::new();
    for host in ["plain", "doc", "use", "use500", "useback", "fail"] {
        for (status, body) in
            [(200, "ok"), (399, "x"), (400, "x"), (404, "backend"), (404, ""), (500, "backend"), (503, "")]
        {
            let name = format!("{host} {status} '{body}'");
            cases.push(get("/j/e").host(host).answers(status, "Why", &["X-From: backend"], body).named(name));
        }
    }
    for (status, body) in [(200, "ok"), (404, "backend")] {
        cases.push(get("/j/e").host("useneg").answers(status, "Why", &[], body).named(format!("useneg {status}")));
    }
    for headers in [
        &["WWW-Authenticate: Basic realm=a"][..],
        &["WWW-Authenticate: Basic realm=a", "WWW-Authenticate: Digest realm=b"],
        &[],
    ] {
        cases.push(get("/j/e").host("use").answers(401, "Who", headers, "who").named(format!("use 401 {headers:?}")));
    }
    cases.push(case("HEAD", "/j/e").host("use").answers(404, "No", &[], "").named("use HEAD 404"));
    cases.push(case("POST", "/j/e").host("use").body("12345").answers(404, "No", &[], "no").named("use POST 404"));
    cases.push(get("/j/e").host("down").named("container is down"));
    cases.push(case("POST", "/j/e").host("down").body("12345").named("container is down, POST"));
    cases.push(case("HEAD", "/j/e").host("down").named("container is down, HEAD"));
    cases.push(get("/j/e").host("nobody").named("worker that does not exist"));
    Group::new("errors", &config, cases).file("htdocs/own404.txt", "own 404\n")
}

fn flushing() -> Group {
    let config = [
        "JkMountCopy All\nJkMount /j/* w1\n",
        &vhost("plain", ""),
        &vhost("packets", "JkOptions +FlushPackets\n"),
        &vhost("header", "JkOptions +FlushHeader\n"),
        &vhost("both", "JkOptions +FlushHeader +FlushPackets\n"),
    ]
    .concat();
    let mut cases = Vec::new();
    for host in ["plain", "packets", "header", "both"] {
        let scripts = [
            ("one chunk", usual()),
            (
                "two chunks",
                vec![Step::Head(200, "OK", &[]), Step::Chunk(b"a".to_vec()), Step::Chunk(b"b".to_vec()), Step::End],
            ),
            ("length", answer(200, "OK", &["Content-Length: 2"], "ok")),
            ("no body", answer(200, "OK", &[], "")),
            ("flush after head", vec![Step::Head(200, "OK", &[]), Step::Flush, Step::Chunk(b"ab".to_vec()), Step::End]),
            ("flush at the end", vec![Step::Head(200, "OK", &[]), Step::Chunk(b"ab".to_vec()), Step::Flush, Step::End]),
            (
                "flush before head",
                vec![Step::Flush, Step::Head(200, "OK", &[]), Step::Chunk(b"ab".to_vec()), Step::End],
            ),
            ("only flush", vec![Step::Head(200, "OK", &[]), Step::Flush, Step::End]),
        ];
        cases
            .extend(scripts.map(|(name, steps)| get("/j/f").host(host).answer(steps).named(format!("{host}, {name}"))));
        cases.push(case("HEAD", "/j/f").host(host).named(format!("{host}, HEAD")));
    }
    Group::new("flush", &config, cases)
}

fn protocol() -> Group {
    let keep = "Connection: keep-alive";
    let mut cases = vec![
        get("/j/p").version("HTTP/1.0").named("1.0"),
        get("/j/p").version("HTTP/1.0").header(keep).named("1.0 keep-alive"),
        get("/j/p")
            .version("HTTP/1.0")
            .header(keep)
            .answers(200, "OK", &["Content-Length: 2"], "ok")
            .named("1.0 keep-alive with length"),
        case("POST", "/j/p").version("HTTP/1.0").body("abc").named("1.0 POST"),
        case("POST", "/j/p").version("HTTP/1.0").header(keep).body("abc").named("1.0 POST keep-alive"),
        case("HEAD", "/j/p").version("HTTP/1.0").header(keep).named("1.0 HEAD keep-alive"),
        get("/j/p")
            .version("HTTP/1.0")
            .answer(vec![Step::Head(200, "OK", &[]), Step::Flush, Step::Chunk(b"x".to_vec()), Step::End])
            .named("1.0 flush"),
        get("/j/p")
            .version("HTTP/1.0")
            .header(keep)
            .answer(vec![Step::Head(200, "OK", &[]), Step::Flush, Step::Chunk(b"x".to_vec()), Step::End])
            .named("1.0 keep-alive flush"),
        get("/j/p").version("HTTP/1.0").answers(204, "", &[], "").named("1.0 204"),
        get("/j/p").version("HTTP/1.0").answers(500, "", &[], "x").named("1.0 500"),
        get("/j/p").version("HTTP/1.2").named("1.2"),
        get("/j/p").version("HTTP/2.0").named("2.0 in a request line"),
        get("/j/p").version("HTTP/0.9").named("0.9 with headers"),
        get("/j/p").version("http/1.1").named("http in lower case"),
        get("/j/p").header("Connection: close").named("1.1 close"),
        get("/j/p").then(request("GET", "/j/q")).named("two pipelined"),
        get("/j/p")
            .then(request("GET", "/j/q"))
            .then(request("GET", "/a.txt"))
            .then(request("GET", "/j/r"))
            .named("four pipelined, one local"),
        case("POST", "/j/p").body("abc").then(request("GET", "/j/q")).named("POST then GET pipelined"),
        case("POST", "/j/p").chunked(&[3, 4]).then(request("GET", "/j/q")).named("chunked then GET pipelined"),
        case("HEAD", "/j/p").then(request("GET", "/j/q")).named("HEAD then GET pipelined"),
        get("/j/p").header("Connection: close").then(request("GET", "/j/q")).named("close then GET pipelined"),
        case("POST", "/j/p")
            .body("abc")
            .answer(answer(200, "OK", &[], "x").split_off(1))
            .then(request("GET", "/j/q"))
            .named("unread body then GET"),
        get("/j/p").half_close().named("client half-closes"),
        case("POST", "/j/p")
            .header("Content-Length: 50")
            .sent("abc")
            .half_close()
            .named("body of 3 bytes where 50 were declared"),
        case("POST", "/j/p").header("Content-Length: 50").half_close().named("body of 0 bytes where 50 were declared"),
        case("POST", "/j/p")
            .header("Content-Length: 20000")
            .sent(pattern(9000))
            .half_close()
            .named("second packet of the body is short"),
        case("POST", "/j/p")
            .header("Transfer-Encoding: chunked")
            .sent("5\r\nab")
            .half_close()
            .named("chunked body ends early"),
        case("POST", "/j/p")
            .header("Transfer-Encoding: chunked")
            .sent("zz\r\nab\r\n0\r\n\r\n")
            .half_close()
            .named("chunked body is garbage"),
        get("/j/p").header("Upgrade: websocket").header("Connection: Upgrade").named("Upgrade"),
        get("/j/p").header("Range: bytes=0-0").named("Range"),
        get("/j/p")
            .header("If-None-Match: \"x\"")
            .answers(200, "OK", &["ETag: \"x\""], "ok")
            .named("If-None-Match hits"),
        get("/j/p")
            .header("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT")
            .answers(200, "OK", &["Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"], "ok")
            .named("If-Modified-Since"),
    ];
    for status in [301, 400, 404, 408, 413, 414, 500, 501, 503] {
        cases.push(
            get("/j/p")
                .answers(status, "", &["Content-Length: 1"], "x")
                .named(format!("is the connection kept after {status}")),
        );
    }
    Group::new("protocol", "JkMount /j/* w1\n", cases).file("htdocs/a.txt", "static\n")
}

fn failures() -> Group {
    let head = || Step::Head(200, "OK", &[]);
    let garbage = |bytes: &[u8]| vec![Step::ReadBody, Step::Raw(bytes.to_vec()), Step::Close];
    let scripts: Vec<(&str, Vec<Step>)> = vec![
        ("closes at once", vec![Step::Close]),
        ("closes after reading", vec![Step::ReadBody, Step::Close]),
        ("closes after the head", vec![Step::ReadBody, head(), Step::Close]),
        ("closes after some body", vec![Step::ReadBody, head(), Step::Chunk(b"part".to_vec()), Step::Close]),
        (
            "closes after flushed body",
            vec![Step::ReadBody, head(), Step::Chunk(b"part".to_vec()), Step::Flush, Step::Close],
        ),
        ("ends without head", vec![Step::ReadBody, Step::End]),
        ("body before head", vec![Step::ReadBody, Step::Chunk(b"x".to_vec()), Step::End, Step::Close]),
        ("two heads", vec![Step::ReadBody, head(), head(), Step::End, Step::Close]),
        ("bad magic", garbage(b"XX\x00\x01\x05")),
        ("unknown code", garbage(b"AB\x00\x01\x63")),
        ("empty packet", garbage(b"AB\x00\x00")),
        ("oversize packet", garbage(b"AB\xff\xff\x03")),
        ("chunk longer than its packet", garbage(b"AB\x00\x05\x04\x00\xc8\xff\xffAB\x00\x04\x03\x00\x09a")),
        ("half a head", garbage(b"AB\x00\x20\x04\x00\xc8")),
        ("HTTP answer", garbage(b"HTTP/1.1 200 OK\r\n\r\n")),
    ];
    let mut cases = Vec::new();
    for (name, steps) in scripts {
        cases.push(get("/j/x").answer(steps.clone()).named(format!("GET: {name}")));
        cases.push(case("POST", "/j/x").body("12345").answer(steps.clone()).named(format!("POST: {name}")));
        cases.push(get("/j/x").answers_in_turn(vec![steps, usual()]).named(format!("GET: {name}, then well")));
    }
    Group::new("failures", "JkMount /j/* w1\n", cases)
}

fn reuse() -> Group {
    let config =
        ["JkMountCopy All\nJkMount /j/* w1\n", &vhost("keep", ""), &vhost("close", "JkOptions +DisableReuse\n")]
            .concat();
    let once = |host: &str, name: &str| get("/j/k").host(host).named(format!("{host} {name}"));
    let cases = vec![
        once("keep", "first"),
        once("keep", "second"),
        once("keep", "no reuse").answer(vec![
            Step::Head(200, "OK", &[]),
            Step::Chunk(b"x".to_vec()),
            Step::EndWithoutReuse,
        ]),
        once("keep", "after no reuse"),
        once("close", "first"),
        once("close", "second"),
        once("keep", "closed after the end").answer([usual(), vec![Step::Close]].concat()),
        once("keep", "after it was closed"),
    ];
    Group::new("reuse", &config, cases).connections()
}
