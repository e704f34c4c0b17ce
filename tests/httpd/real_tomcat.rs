//! The main job on the real parts: httpd with the module in front of real Tomcats, one and two of them.
//!
//! Not here: what a container does wrong; a scripted one plays that. The surprising thing: the two shared Tomcats serve all
//! tests of this binary at once, so nothing here may depend on how many requests a Tomcat has had.

use std::fmt::Write as _;
use std::thread;

use crate::support::http_client::{Body, Client, LAST_CHUNK, Request, Response, chunk};
use crate::support::httpd::{Builder, Httpd, Mpm, under_every_mpm};
use crate::support::tomcat_server::{Options, Pattern, TomcatServer};

const GIBIBYTE: u64 = 1 << 30;
/// How much a child may grow while a gibibyte passes: buffers and the allocator's slack, not the body.
const GROWTH_KIB: u64 = 24 * 1024;
/// Lengths around the limits of AJP's 8 KiB packets (8184 and 8186 bytes of body each) and beyond.
const LENGTHS: [usize; 12] = [0, 1, 8183, 8184, 8185, 8186, 8187, 16_368, 16_372, 16_373, 65_536, 1_000_003];

/// httpd with everything mounted on the first shared Tomcat.
fn one_tomcat(mpm: Mpm) -> Builder {
    let workers = format!("worker.list=tomcat1\n{}", TomcatServer::shared(1).worker());
    Httpd::builder().mpm(mpm).workers(&workers).config("JkMount /* tomcat1\n")
}

/// httpd with everything mounted on a balancer over these Tomcats.
fn balancer(tomcats: &[&TomcatServer]) -> Builder {
    let names: Vec<&str> = tomcats.iter().map(|tomcat| tomcat.name()).collect();
    let mut workers = format!("worker.list=lb\nworker.lb.type=lb\nworker.lb.balance_workers={}\n", names.join(","));
    for tomcat in tomcats {
        workers.push_str(&tomcat.worker());
    }
    Httpd::builder().workers(&workers).config("JkMount /* lb\n")
}

#[track_caller]
fn get(httpd: &Httpd, target: &str) -> Response {
    Client::once(httpd.address(), &Request::new("GET", target)).unwrap()
}

/// The value of the line `name=value`.
#[track_caller]
fn fact(text: &str, name: &str) -> String {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("no {name}= in {text}")).to_owned()
}

under_every_mpm! {
    fn every_method_reaches_tomcat(mpm: Mpm) {
        let httpd = one_tomcat(mpm).start();
        let mut client = Client::connect(httpd.address()).unwrap();
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "REPORT", "LOCK"] {
            let response = client.exchange(&Request::new(method, "/echo.jsp")).unwrap();
            assert_eq!(response.status(), 200, "{method}");
            assert_eq!(fact(&response.text(), "method"), method);
        }
    }

    fn uploads_of_any_size_arrive_unchanged(mpm: Mpm) {
        let httpd = one_tomcat(mpm).start();
        let mut client = Client::connect(httpd.address()).unwrap();
        for length in LENGTHS {
            let bytes = Pattern::bytes(length);
            let pieces = bytes.chunks(5000).map(<[u8]>::to_vec).collect();
            for body in [Body::Length(bytes), Body::Chunked(pieces)] {
                let text = client.exchange(&Request::new("POST", "/sink.jsp").body(body)).unwrap().text();
                assert_eq!(fact(&text, "length"), length.to_string());
                assert_eq!(fact(&text, "differs_at"), "-1", "of {length}");
            }
        }
    }

    fn downloads_of_any_size_arrive_unchanged(mpm: Mpm) {
        let httpd = one_tomcat(mpm).start();
        let mut client = Client::connect(httpd.address()).unwrap();
        for length in LENGTHS {
            for declared in ["yes", "no"] {
                let target = format!("/bytes.jsp?n={length}&length={declared}");
                let response = client.exchange(&Request::new("GET", &target)).unwrap();
                assert!(response.status() == 200 && response.complete(), "{target}");
                assert_eq!(response.body.len(), length);
                Pattern::new().assert_next(&response.body);
                let content_length = response.header("Content-Length").map(str::to_owned);
                // Tomcat itself declares the length of what it has whole in its buffer.
                assert!(declared == "no" || content_length == Some(length.to_string()), "{target}: {content_length:?}");
            }
        }
    }

    fn head_has_the_headers_and_no_body(mpm: Mpm) {
        let httpd = one_tomcat(mpm).start();
        let mut client = Client::connect(httpd.address()).unwrap();
        for _ in 0..2 {
            let response = client.exchange(&Request::new("HEAD", "/bytes.jsp?n=12345")).unwrap();
            assert_eq!((response.status(), response.header("Content-Length")), (200, Some("12345")));
            assert!(response.body.is_empty() && client.unread().is_empty());
        }
    }

    fn events_arrive_before_the_page_ends(mpm: Mpm) {
        let httpd = one_tomcat(mpm).start();
        let mut client = Client::connect(httpd.address()).unwrap();
        client.send(&Request::new("GET", "/sse.jsp?events=3&pause=50&linger=100")).unwrap();
        let mut response = client.response("GET").unwrap();
        for number in 1..=3 {
            assert_eq!(response.event().unwrap(), Some(format!("data: event {number}")));
        }
        assert!(response.finish().unwrap().complete());
    }

    fn sessions_stick_to_their_tomcat(mpm: Mpm) {
        let httpd = balancer(&[TomcatServer::shared(1), TomcatServer::shared(2)]).mpm(mpm).start();
        for _ in 0..3 {
            let first = get(&httpd, "/counter.jsp").text();
            let session = fact(&first, "session");
            assert_eq!(fact(&first, "route"), fact(&first, "node"));
            for visits in 2..=6 {
                // Half of the visits name the session in a cookie, half in the path.
                let in_cookie = Request::new("GET", "/counter.jsp").header("Cookie", format!("a=b; JSESSIONID={session}"));
                let in_path = Request::new("GET", &format!("/counter.jsp;jsessionid={session}"));
                let request = if visits % 2 == 0 { in_cookie } else { in_path };
                let text = Client::once(httpd.address(), &request).unwrap().text();
                assert_eq!(fact(&text, "node"), fact(&first, "node"));
                assert_eq!(fact(&text, "visits"), visits.to_string());
            }
        }
    }
}

#[test]
fn tomcat_learns_who_asks_and_for_what() {
    let httpd = one_tomcat(Mpm::Event).start();
    let mut client = Client::connect(httpd.address()).unwrap();
    let request = Request::new("GET", "/echo.jsp?x=%41+b&y=%26")
        .header("Host", "shop.example:8443")
        .header("X-Twice", "one")
        .header("X-Twice", "two")
        .header("Accept-Language", "de,en;q=0.5");
    let text = client.exchange(&request).unwrap().text();
    let own = client.local_addr().unwrap();
    for (name, value) in [
        ("method", "GET"),
        ("uri", "/echo.jsp"),
        ("query", "x=%41+b&y=%26"),
        ("protocol", "HTTP/1.1"),
        ("scheme", "http"),
        ("secure", "false"),
        ("remote_addr", "127.0.0.1"),
        ("remote_port", &own.port().to_string()),
        ("local_addr", "127.0.0.1"),
        ("server_name", "shop.example"),
        ("server_port", "8443"),
        ("header accept-language", "de,en;q=0.5"),
        ("content_length", "0"),
    ] {
        assert_eq!(fact(&text, name), value, "{name}");
    }
    let twice: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("header x-twice=")).collect();
    assert!(twice == ["one", "two"] || twice == ["one, two"] || twice == ["one,two"], "{twice:?}");
}

#[test]
fn statuses_and_headers_come_back_as_tomcat_sent_them() {
    let httpd = one_tomcat(Mpm::Event).start();
    for code in [200, 201, 202, 204, 206, 301, 304, 400, 401, 403, 404, 409, 410, 418, 422, 500, 501, 503] {
        // A connection each, because httpd closes it after some of these.
        let response = get(&httpd, &format!("/status.jsp?code={code}"));
        assert_eq!(response.status(), code);
        let bodiless = [204, 304].contains(&code);
        assert_eq!(response.text(), if bodiless { String::new() } else { format!("status={code}\n") });
    }
    let response = get(&httpd, "/status.jsp?code=200&header=X-Many&value=v&times=5");
    assert_eq!(response.head.all("X-Many"), ["v1", "v2", "v3", "v4", "v5"]);
    let response = get(&httpd, "/status.jsp?code=404&error=yes");
    assert!(response.status() == 404 && response.text().contains("Apache Tomcat"), "{}", response.text());
}

#[test]
fn next_member_answers_when_a_tomcat_dies() {
    let (mut first, second) = (TomcatServer::start("first", Options::default()), TomcatServer::shared(2));
    let httpd = balancer(&[&first, second]).allow_error_log("first").start();
    let session = loop {
        let text = get(&httpd, "/counter.jsp").text();
        if fact(&text, "node") == "first" {
            break fact(&text, "session");
        }
    };
    first.kill();
    let mut client = Client::connect(httpd.address()).unwrap();
    for _ in 0..10 {
        let request = Request::new("GET", "/counter.jsp").header("Cookie", format!("JSESSIONID={session}"));
        let response = client.exchange(&request).unwrap();
        assert_eq!((response.status(), fact(&response.text(), "node").as_str()), (200, "tomcat2"));
    }
}

#[test]
fn backend_that_is_down_is_503() {
    let mut tomcat = TomcatServer::start("down", Options::default());
    let workers = format!("worker.list=down\n{}", tomcat.worker());
    let httpd = Httpd::builder().workers(&workers).config("JkMount /* down\n").start();
    assert_eq!(get(&httpd, "/status.jsp?code=200").status(), 200);
    tomcat.stop();
    assert_eq!(get(&httpd, "/status.jsp?code=200").status(), 503);
    tomcat.start_again();
    assert_eq!(get(&httpd, "/status.jsp?code=200").status(), 200);
}

#[test]
fn wrong_secret_is_refused_by_tomcat_with_403() {
    let workers = format!(
        "worker.list=w\nworker.w.type=ajp13\nworker.w.host=127.0.0.1\nworker.w.port={}\nworker.w.secret=guessed\n",
        TomcatServer::shared(1).port()
    );
    let httpd = Httpd::builder().workers(&workers).config("JkMount /* w\n").start();
    assert_eq!(get(&httpd, "/echo.jsp").status(), 403);
    let line = httpd.await_jk_log("answers 403 and closes the connection");
    assert!(line.contains("[warn]") && line.contains("(w) 127.0.0.1:") && line.contains("secret"), "{line}");
}

#[test]
fn page_that_is_forbidden_is_no_wrong_secret() {
    let httpd = one_tomcat(Mpm::Event).start();
    assert_eq!(get(&httpd, "/status.jsp?code=403").status(), 403);
    assert_eq!(get(&httpd, "/status.jsp?code=403&error=yes").status(), 403);
    assert!(!httpd.jk_log().contains("closes the connection"), "{}", httpd.jk_log());
}

#[test]
fn more_headers_than_tomcat_takes_are_its_own_error() {
    let httpd = one_tomcat(Mpm::Event).config("LimitRequestFields 300\n").start();
    let with = |count: usize| {
        let request = Request::new("GET", "/echo.jsp");
        (0..count).fold(request, |request, number| request.header(&format!("X-{number}"), "v"))
    };
    let status = |count| Client::once(httpd.address(), &with(count)).unwrap().status();
    assert_eq!(status(90), 200);
    let refused = status(150);
    assert!(refused == 400 || refused == 500, "{refused}");
    assert_eq!(status(90), 200);
    assert!(!httpd.jk_log().contains("[error]"), "{}", httpd.jk_log());
}

#[test]
fn headers_that_tomcat_cannot_fit_into_a_packet_fail_the_request() {
    let workers =
        format!("worker.list=tomcat1\n{}worker.tomcat1.reply_timeout=1500\n", TomcatServer::shared(1).worker());
    let httpd = Httpd::builder().workers(&workers).config("JkMount /* tomcat1\n").start();
    let target = format!("/status.jsp?code=200&header=X-Large&value={}&times=10", "v".repeat(1000));
    let response = get(&httpd, &target);
    assert_eq!(response.status(), 504);
    let line = httpd.await_jk_log("request failed with 504");
    assert!(line.contains("response headers may exceed Tomcat's packetSize"), "{line}");
    let fits = format!("/status.jsp?code=200&header=X-Large&value={}&times=7", "v".repeat(1000));
    assert_eq!(get(&httpd, &fits).head.all("X-Large").len(), 7);
}

#[test]
fn larger_packets_work_when_both_sides_know() {
    let options = Options { packet_size: Some(65_536), ..Options::default() };
    let tomcat = TomcatServer::start("large", options);
    let workers = format!("worker.list=large\n{}", tomcat.worker());
    let httpd = Httpd::builder().workers(&workers).config("JkMount /* large\nLimitRequestFieldSize 60000\n").start();
    let bytes = Pattern::bytes(300_000);
    let request = Request::new("POST", "/sink.jsp").header("X-Long", "x".repeat(50_000)).body(Body::Length(bytes));
    let response = Client::once(httpd.address(), &request).unwrap();
    assert_eq!((response.status(), fact(&response.text(), "differs_at").as_str()), (200, "-1"));
    let response = get(&httpd, "/bytes.jsp?n=300000");
    Pattern::new().assert_next(&response.body);
    assert_eq!(response.body.len(), 300_000);
}

#[test]
fn examples_of_tomcat_work() {
    let httpd = one_tomcat(Mpm::Event).start();
    let page = get(&httpd, "/examples/");
    assert!(page.status() == 200 && page.text().contains("Apache Tomcat Examples"));
    let snoop = get(&httpd, "/examples/jsp/snp/snoop.jsp?a=b");
    assert!(snoop.status() == 200 && snoop.text().contains("Query string: a=b"), "{}", snoop.text());
    let redirect = get(&httpd, "/examples");
    assert_eq!((redirect.status(), redirect.header("Location")), (302, Some("/examples/")));
}

#[test]
fn unmounted_file_is_served_by_httpd() {
    let workers = format!("worker.list=tomcat1\n{}", TomcatServer::shared(1).worker());
    let httpd = Httpd::builder()
        .workers(&workers)
        .config("JkMount /* tomcat1\nJkUnMount /static/* tomcat1\n")
        .file("htdocs/static/a.txt", "from httpd")
        .start();
    let response = get(&httpd, "/static/a.txt");
    assert_eq!((response.status(), response.text().as_str()), (200, "from httpd"));
    assert!(response.header("ETag").is_some());
    assert_eq!(get(&httpd, "/static/none.txt").status(), 404);
    assert_eq!(fact(&get(&httpd, "/echo.jsp").text(), "node"), "tomcat1");
    assert!(httpd.await_access_log("GET /static/a.txt").contains(" - 200 "));
    assert!(httpd.await_access_log("GET /echo.jsp").contains(" tomcat1 200 "));
}

#[test]
fn gibibyte_download_passes_unchanged_in_constant_memory() {
    let httpd = one_tomcat(Mpm::Event).children(1).start();
    let mut client = Client::connect(httpd.address()).unwrap();
    let mut download = |length: u64| {
        client.send(&Request::new("GET", &format!("/bytes.jsp?n={length}"))).unwrap();
        let mut response = client.response("GET").unwrap();
        assert_eq!(response.head.header("Content-Length"), Some(length.to_string().as_str()));
        let mut pattern = Pattern::new();
        while let Some(part) = response.part().unwrap() {
            pattern.assert_next(&part);
        }
        assert_eq!(pattern.passed(), length);
    };
    download(1 << 20);
    let before = httpd.peak_resident_kib();
    download(GIBIBYTE);
    let after = httpd.peak_resident_kib();
    assert!(after < before + GROWTH_KIB, "a child grew from {before} to {after} KiB");
}

/// Sends `length` bytes of the pattern to sink.jsp, which must find them unchanged.
fn upload(client: &mut Client, length: u64, chunked: bool) {
    let mut head = "POST /sink.jsp HTTP/1.1\r\nHost: localhost\r\n".to_owned();
    if chunked {
        head.push_str("Transfer-Encoding: chunked\r\n\r\n");
    } else {
        write!(head, "Content-Length: {length}\r\n\r\n").unwrap();
    }
    client.send_bytes(head.as_bytes()).unwrap();
    let mut pattern = Pattern::new();
    let mut buffer = vec![0; 65_536];
    while pattern.passed() < length {
        let part = usize::try_from(length - pattern.passed()).unwrap().min(buffer.len());
        pattern.fill(&mut buffer[..part]);
        if chunked {
            client.send_bytes(&chunk(&buffer[..part])).unwrap();
        } else {
            client.send_bytes(&buffer[..part]).unwrap();
        }
    }
    if chunked {
        client.send_bytes(LAST_CHUNK).unwrap();
    }
    let text = client.response("POST").unwrap().finish().unwrap().text();
    assert_eq!((fact(&text, "length"), fact(&text, "differs_at").as_str()), (length.to_string(), "-1"));
}

#[test]
fn gibibyte_upload_passes_unchanged_in_constant_memory() {
    let httpd = one_tomcat(Mpm::Event).children(1).start();
    let mut client = Client::connect(httpd.address()).unwrap();
    upload(&mut client, 1 << 20, false);
    let before = httpd.peak_resident_kib();
    upload(&mut client, GIBIBYTE, false);
    let after = httpd.peak_resident_kib();
    assert!(after < before + GROWTH_KIB, "a child grew from {before} to {after} KiB");
}

#[test]
fn large_chunked_upload_passes_unchanged_in_constant_memory() {
    let httpd = one_tomcat(Mpm::Event).children(1).start();
    let mut client = Client::connect(httpd.address()).unwrap();
    upload(&mut client, 1 << 20, true);
    let before = httpd.peak_resident_kib();
    upload(&mut client, GIBIBYTE / 8, true);
    let after = httpd.peak_resident_kib();
    assert!(after < before + GROWTH_KIB, "a child grew from {before} to {after} KiB");
}

#[test]
fn ten_thousand_requests_on_fifty_connections_all_answer_200() {
    let httpd = balancer(&[TomcatServer::shared(1), TomcatServer::shared(2)]).children(2).threads(64).start();
    let pids = httpd.children();
    let address = httpd.address();
    let visitor = move || {
        let mut client = Client::connect(address).unwrap();
        let answers = (0..200).map(|_| client.exchange(&Request::new("GET", "/status.jsp?code=200")).unwrap());
        answers.filter(|response| response.status() == 200 && response.text() == "status=200\n").count()
    };
    let visitors: Vec<_> = (0..50).map(|_| thread::spawn(visitor)).collect();
    let answered: usize = visitors.into_iter().map(|visitor| visitor.join().unwrap()).sum();
    assert_eq!(answered, 10_000);
    assert_eq!(httpd.children(), pids);
}
