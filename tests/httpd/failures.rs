//! What the client sees when a container fails: the status table of apache-side.md section 5.9, and never a crash.
//!
//! Not here: which member serves instead (`balancing.rs`), how often a request is sent (tests/core/engine_*.rs). The surprising
//! thing: the same failure is a clean error page or an aborted connection, and only whether the client has seen a byte decides.

use crate::support::backend::{Backend, Call, ask, get, status};
use crate::support::http_client::{Body, Client, End, Request, chunk as http_chunk};
use crate::support::httpd::{Httpd, under_every_mpm};
use crate::support::tomcat::{Tomcat, chunk, headers, packet};
use mod_jk::ajp::response::encode_end;

fn httpd_with(settings: &str, behaviour: impl Fn(&mut Call<'_>) + Send + Sync + 'static) -> (Backend, Httpd) {
    let backend = Backend::start(behaviour);
    let workers = format!("worker.list=w\n{}{settings}", backend.worker("w"));
    let httpd = Httpd::builder().workers(&workers).config("JkMount /* w\n").start();
    (backend, httpd)
}

under_every_mpm! {
    fn container_that_is_down_is_503(mpm: Mpm) {
        let workers = format!("worker.list=w\nworker.w.port={}\nworker.w.host=127.0.0.1\n", Tomcat::closed_port());
        let httpd = Httpd::builder().mpm(mpm).workers(&workers).config("JkMount /* w\n").start();
        for request in [Request::new("GET", "/"), Request::new("POST", "/").body(Body::Length(b"abc".to_vec()))] {
            assert_eq!(ask(&httpd, &request).status(), 503);
        }
        httpd.await_jk_log("errno=111");
    }

    fn container_that_dies_before_it_answers_is_502(mpm: Mpm) {
        let backend = Backend::start(|call| call.close());
        let httpd = backend.httpd().mpm(mpm).start();
        assert_eq!(ask(&httpd, &Request::new("POST", "/")).status(), 502);
        assert_eq!(backend.count(), 1, "a POST that may have been taken is not sent again");
        assert_eq!(status(&httpd, "/"), 502);
    }

    fn response_that_breaks_off_before_the_client_saw_a_byte_is_502(mpm: Mpm) {
        let backend = Backend::start(|call| {
            let half = chunk(b"half a packet");
            call.peer.send(&[headers(200, &[("X-Broken", "1")]), half[..9].to_vec()].concat());
            call.close();
        });
        let httpd = backend.httpd().mpm(mpm).start();
        let response = ask(&httpd, &Request::new("POST", "/"));
        assert_eq!((response.status(), response.header("X-Broken"), response.complete()), (502, None, true));
        assert!(response.text().contains("Bad Gateway") && !response.text().contains("half"));
    }

    fn response_that_breaks_off_after_a_flush_aborts_the_client(mpm: Mpm) {
        let backend = Backend::start(|call| {
            call.peer.headers(200);
            call.peer.chunk(b"first part");
            call.peer.flush();
            // Nothing more until the client has it: asking for a body that does not exist proves that the flush was taken.
            call.peer.get_body(1);
            call.peer.expect_body();
            call.close();
        });
        let httpd = backend.httpd().mpm(mpm).start();
        let response = ask(&httpd, &Request::new("GET", "/"));
        assert_eq!((response.status(), response.text().as_str(), response.end), (200, "first part", End::Closed));
        assert_eq!(backend.count(), 1, "nothing is retried and nothing is glued on");
    }

    fn reply_timeout_is_504(mpm: Mpm) {
        let backend = Backend::start(|call| call.peer.expect_end());
        let workers = format!("worker.list=w\n{}worker.w.reply_timeout=100\n", backend.worker("w"));
        let httpd = Httpd::builder().mpm(mpm).workers(&workers).config("JkMount /* w\n").start();
        assert_eq!(ask(&httpd, &Request::new("POST", "/")).status(), 504);
        httpd.await_jk_log("reply");
    }

    fn request_that_fits_no_packet_is_413(mpm: Mpm) {
        let backend = Backend::echo();
        let httpd = backend.httpd().mpm(mpm).config("LimitRequestFieldSize 20000\n").start();
        let response = ask(&httpd, &Request::new("GET", "/").header("X-Long", "y".repeat(9_000)));
        assert_eq!((response.status(), response.complete(), backend.connections()), (413, true, 0));
        assert_eq!(status(&httpd, "/"), 200);
    }

    fn traversal_above_the_root_is_400(mpm: Mpm) {
        let backend = Backend::echo();
        let httpd = backend
            .unmounted()
            .mpm(mpm)
            .config("JkMount /app/* w\n")
            .file("htdocs/b", "file")
            .allow_error_log("AH10244")
            .start();
        for target in ["/..;/b", "/app/..;/..;/b", "/x/..;x/..;y/b", "/../b"] {
            assert_eq!(status(&httpd, target), 400, "{target}");
        }
        assert_eq!(backend.count(), 0);
        assert_eq!(status(&httpd, "/b"), 200);
    }

    fn malformed_answers_are_502_and_the_child_serves_on(mpm: Mpm) {
        let httpd_and_backend = malformed_answers(mpm);
        let (backend, httpd, rows) = &httpd_and_backend;
        let children = httpd.children();
        for (number, what) in rows.iter().enumerate() {
            let response = ask(httpd, &Request::new("POST", &format!("/{number}")));
            assert_eq!((response.status(), response.complete()), (502, true), "{what}");
        }
        assert_eq!(get(httpd, "/fine").text(), "fine");
        assert_eq!(httpd.children(), children);
        assert_eq!(backend.connections(), rows.len() + 1, "none of these connections is used again");
    }
}

/// A container that answers `/<n>` with the n-th kind of garbage.
fn malformed_answers(mpm: crate::support::httpd::Mpm) -> (Backend, Httpd, Vec<&'static str>) {
    let end = encode_end(true).to_vec();
    let ok = headers(200, &[]);
    let whole = |parts: &[&[u8]]| parts.concat();
    let rows: Vec<(&'static str, Vec<u8>)> = vec![
        ("HTTP instead of AJP", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("the web server's magic", b"\x12\x34\x00\x02\x05\x01".to_vec()),
        ("a packet longer than any", b"AB\xff\xff\x04".to_vec()),
        ("an empty packet", packet(b"")),
        ("an unknown type", packet(b"\x7f")),
        ("the type of a request", packet(b"\x02")),
        ("CPong", packet(b"\x09")),
        ("a body before the headers", whole(&[&chunk(b"x"), &ok, &end])),
        ("the end before the headers", end.clone()),
        ("headers twice", whole(&[&ok, &ok, &end])),
        ("a header block that is cut", packet(b"\x04\x00\xc8\x00\x02OK\x00\x00\x01\xa0\x01\x00\x50abc")),
        ("more headers than there are bytes", packet(b"\x04\x00\xc8\x00\x02OK\x00\xff\xff")),
        ("a status that is cut", packet(b"\x04\x00")),
        ("coded header 0xA000", packet(b"\x04\x00\xc8\x00\x02OK\x00\x00\x01\xa0\x00\x00\x01x\x00")),
        ("a coded header beyond the table", packet(b"\x04\x00\xc8\x00\x02OK\x00\x00\x01\xa0\x7f\x00\x01x\x00")),
        ("a chunk longer than its packet", whole(&[&ok, &packet(b"\x03\x00\x50abc\x00")])),
        ("a chunk without length", whole(&[&ok, &packet(b"\x03\x00")])),
        ("conflicting lengths", headers(200, &[("Content-Length", "1"), ("Content-Length", "2")])),
        ("a length that is none", headers(200, &[("Content-Length", "abc")])),
        ("a request for a body without length", packet(b"\x06\x00")),
    ];
    let names = rows.iter().map(|(what, _)| *what).collect();
    let backend = Backend::start(move |call| match call.uri()[1..].parse::<usize>() {
        Ok(number) => {
            call.peer.send_anyway(&rows[number].1);
            call.peer.finish_sending();
            call.close();
        }
        Err(_) => call.ok("fine"),
    });
    let httpd = backend.httpd().mpm(mpm).start();
    (backend, httpd, names)
}

#[test]
fn end_without_a_clean_flag_counts_but_the_connection_does_not() {
    const ENDS: [&[u8]; 3] = [b"\x05", b"\x05\xff", b"\x05\x01\x00"];
    let (backend, httpd) = httpd_with("", |call| {
        let number: usize = call.uri()[1..].parse().unwrap();
        call.peer.send(&[headers(200, &[]), chunk(b"fine"), packet(ENDS[number])].concat());
    });
    for number in 0..ENDS.len() {
        assert_eq!(get(&httpd, &format!("/{number}")).text(), "fine", "{number}");
    }
    assert_eq!(backend.connections(), ENDS.len());
}

#[test]
fn body_longer_than_declared_is_cut() {
    let (backend, httpd) = httpd_with("", |call| call.answer(200, &[("Content-Length", "3")], "abcdef"));
    for _ in 0..2 {
        let response = get(&httpd, "/");
        assert_eq!((response.text().as_str(), response.complete()), ("abc", true));
    }
    assert_eq!(backend.connections(), 2);
}

#[test]
fn body_shorter_than_declared_never_looks_whole() {
    let (_backend, httpd) = httpd_with("", |call| {
        call.peer.headers_with(200, &[("Content-Length", "10")]);
        call.peer.chunk(b"abc");
        call.peer.flush();
        call.peer.get_body(1);
        call.peer.expect_body();
        call.peer.end(true);
    });
    let response = get(&httpd, "/");
    assert_eq!((response.text().as_str(), response.end), ("abc", End::Closed));
}

#[test]
fn reset_by_the_container_is_502() {
    let (_backend, httpd) = httpd_with("", |call| call.reset());
    assert_eq!(ask(&httpd, &Request::new("POST", "/")).status(), 502);
}

#[test]
fn rule_and_variable_can_set_the_reply_timeout() {
    let backend = Backend::start(|call| call.peer.expect_end());
    let config = "JkMount /rule \"w;reply_timeout=100\"\nJkMount /env w\n\
                  <Location /env>\nSetEnv JK_REPLY_TIMEOUT 100\n</Location>\n";
    let httpd = backend.unmounted().config(config).start();
    for target in ["/rule", "/env"] {
        assert_eq!(ask(&httpd, &Request::new("POST", target)).status(), 504, "{target}");
    }
}

#[test]
fn reply_timeout_that_is_no_number_changes_nothing() {
    let (_backend, httpd) = {
        let backend = Backend::start(|call| call.peer.expect_end());
        let workers = format!("worker.list=w\n{}worker.w.reply_timeout=100\n", backend.worker("w"));
        let config = "JkMount /* w\nSetEnv JK_REPLY_TIMEOUT soon\n";
        let httpd = Httpd::builder().workers(&workers).config(config).start();
        (backend, httpd)
    };
    assert_eq!(ask(&httpd, &Request::new("POST", "/")).status(), 504);
    httpd.await_jk_log("JK_REPLY_TIMEOUT must be a number of milliseconds, found 'soon'");
}

#[test]
fn worker_that_does_not_exist_is_500() {
    let backend = Backend::echo();
    let config = "<Location /x>\nSetHandler jakarta-servlet\nSetEnv JK_WORKER_NAME nobody\n</Location>\n";
    let httpd = backend.unmounted().config(config).start();
    assert_eq!(status(&httpd, "/x"), 500);
    httpd.await_jk_log("nobody");
}

#[test]
fn body_beyond_httpds_limit_is_413() {
    let backend = Backend::echo();
    let httpd = backend.httpd().config("LimitRequestBody 1000\n").allow_error_log("AH01587").start();
    let request = Request::new("POST", "/").body(Body::Length(vec![b'x'; 2_000]));
    assert_eq!(ask(&httpd, &request).status(), 413);
    assert_eq!((backend.count(), status(&httpd, "/")), (0, 200));
}

#[test]
fn chunked_body_beyond_httpds_limit_ends_the_connection() {
    let backend = Backend::start(|call| {
        call.peer.get_body(8_186);
        // Whatever comes, it is not a whole body.
        let _ = call.peer.try_body();
        call.close();
    });
    let httpd = backend.httpd().config("LimitRequestBody 1000\n").allow_error_log("AH0158").start();
    let mut client = Client::connect(httpd.address()).unwrap();
    client.send(&Request::new("POST", "/").body(Body::Chunked(vec![vec![b'x'; 2_000]]))).unwrap();
    let answer = client.response("POST").map(|response| response.head.status);
    assert!(answer.is_err() || answer.is_ok_and(|status| status == 413 || status == 400), "no success");
}

#[test]
fn upload_that_breaks_off_closes_the_connection_to_the_container() {
    let tomcat = Tomcat::start(vec![
        crate::support::tomcat::script(|peer| {
            peer.expect_forward_request();
            assert_eq!(peer.expect_body().len(), 8_186);
            peer.get_body(8_186);
            // Closed, with or without an empty packet before: never reused.
            if peer.try_body().is_some_and(|body| body.is_empty()) {
                peer.expect_end();
            }
        }),
        crate::support::tomcat::script(|peer| peer.serve(b"fine")),
    ]);
    let workers = format!("worker.list=w\nworker.w.host=127.0.0.1\nworker.w.port={}\n", tomcat.port());
    let httpd = Httpd::builder().children(1).workers(&workers).config("JkMount /* w\n").start();
    let mut client = Client::connect(httpd.address()).unwrap();
    client.send(&Request::new("POST", "/").body(Body::Declared { length: 50_000, sent: vec![b'x'; 9_000] })).unwrap();
    client.close_sending().unwrap();
    assert!(client.response("POST").is_err() || client.is_closed_by_server().unwrap_or(true));
    assert_eq!(get(&httpd, "/").text(), "fine");
    drop(httpd);
    assert_eq!(tomcat.finish(), 2);
}

#[test]
fn body_that_a_filter_swallows_is_not_delivered_as_an_empty_one() {
    let backend = Backend::start(|call| {
        let _ = call.peer.try_body();
        call.ok("taken for whole");
    });
    // mod_lua as a filter that lets nothing through.
    let script = "function cut(r)\n  coroutine.yield()\n  while bucket ~= nil do coroutine.yield('') end\nend\n";
    let config = "LuaInputFilter CUT ${ROOT}/cut.lua cut\n<Location /cut>\nSetInputFilter CUT\n</Location>\n";
    let httpd = backend.httpd().load("mod_lua").file("cut.lua", script).config(config).allow_error_log("AH0").start();
    let ask_for = |target: &str| {
        let request = Request::new("POST", target).body(Body::Length(vec![b'x'; 9_000]));
        Client::once(httpd.address(), &request).map(|response| response.status())
    };
    assert_eq!(ask_for("/whole").unwrap(), 200);
    let cut = ask_for("/cut");
    assert!(matches!(cut, Ok(400..) | Err(_)), "{cut:?}");
}

#[test]
fn error_page_of_the_container_for_an_upload_is_served() {
    // httpd asks for the ErrorDocument by GET with the headers of the upload, Content-Length among them.
    let backend = Backend::start(|call| {
        assert_eq!(call.peer.expect_body(), b"", "httpd has read the body before");
        call.ok(format!("sorry: {}", call.uri()));
    });
    let config = "ErrorDocument 404 /errors/404\nJkMount /errors/* w\n";
    let httpd = backend.unmounted().config(config).start();
    let response = ask(&httpd, &Request::new("POST", "/none").body(Body::Length(b"abcde".to_vec())));
    assert_eq!(response.text(), "sorry: /errors/404");
}

#[test]
fn client_that_stalls_is_given_up_after_httpds_timeout() {
    let (tell, told) = std::sync::mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let backend = Backend::start(move |call| {
        // The first packet was kept back until it was full, so a stall within it never reaches the container.
        let first = call.peer.expect_body();
        call.peer.get_body(8_186);
        let rest = call.peer.try_body();
        tell.lock().unwrap().send((first.len(), rest.is_some())).unwrap();
    });
    let httpd = backend.httpd().config("Timeout 1\n").allow_error_log("AH0").start();
    let mut client = Client::connect(httpd.address()).unwrap();
    client.send_bytes(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\n").unwrap();
    client.send_bytes(&[b'x'; 9_000]).unwrap();
    let answer = client.response("POST").map(|response| response.head.status);
    assert!(matches!(answer, Ok(408) | Err(_)), "{answer:?}");
    assert_eq!(told.recv().unwrap(), (8_186, false), "no end of the body is made up");
    // Nobody but the client is blamed.
    assert!(!httpd.jk_log().contains("[error]"), "{}", httpd.jk_log());
    let log = httpd.await_jk_log("request failed");
    assert!(log.contains("[info]"), "{log}");
}

#[test]
fn client_that_goes_away_does_not_disturb_others() {
    let backend = Backend::start(|call| match call.uri().as_str() {
        "/fine" => call.ok("fine"),
        _ => {
            call.peer.headers(200);
            while call.peer.send_all(&chunk(&[b'x'; 8_000])) {}
            call.close();
        }
    });
    let httpd = backend.httpd().children(1).start();
    let mut client = Client::connect(httpd.address()).unwrap();
    client.send(&Request::new("GET", "/endless")).unwrap();
    let mut response = client.response("GET").unwrap();
    assert!(response.part().unwrap().is_some());
    drop(response);
    client.reset().unwrap();
    httpd.await_jk_log("Aborting connection for worker=w");
    assert_eq!(get(&httpd, "/fine").text(), "fine");
}

#[test]
fn bad_chunked_request_is_refused_and_not_half_forwarded() {
    let backend = Backend::start(|call| {
        call.peer.get_body(8_186);
        let _ = call.peer.try_body();
        call.close();
    });
    let httpd = backend.httpd().allow_error_log("AH0").start();
    let mut client = Client::connect(httpd.address()).unwrap();
    let head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    client.send_bytes(&[head, http_chunk(b"abc"), b"zz\r\n".to_vec()].concat()).unwrap();
    let answer = client.response("POST").map(|response| response.head.status);
    assert!(answer.is_err() || answer.is_ok_and(|status| status >= 400), "no success");
}

#[test]
fn fail_on_status_is_503_after_the_retries() {
    let (backend, httpd) = httpd_with("worker.w.fail_on_status=500,-503\n", |call| {
        let status = call.uri()[1..].parse().unwrap();
        call.answer(status, &[], "page of the container");
    });
    for (target, status) in [("/500", 503), ("/503", 503), ("/404", 404)] {
        assert_eq!(get(&httpd, target).status(), status, "{target}");
    }
    assert_eq!(backend.uris().iter().filter(|uri| *uri == "/500").count(), 2);
}

#[test]
fn fail_on_status_of_a_rule_replaces_the_workers() {
    let backend = Backend::start(|call| call.answer(500, &[], "page of the container"));
    let workers = format!("worker.list=w\n{}worker.w.fail_on_status=501\n", backend.worker("w"));
    let config = "JkMount /rule \"w;fail_on_status=500\"\nJkMount /plain w\n";
    let httpd = Httpd::builder().workers(&workers).config(config).start();
    assert_eq!((status(&httpd, "/rule"), get(&httpd, "/plain").text().as_str()), (503, "page of the container"));
}

#[test]
fn use_server_errors_answers_with_httpds_pages() {
    let backend = Backend::start(|call| {
        let status = call.uri()[1..].parse().unwrap();
        call.answer(status, &[("X-From", "container"), ("WWW-Authenticate", "Basic realm=x")], "page of the container");
    });
    let config = "ErrorDocument 404 \"page of httpd\"\nJkMount /* \"w;use_server_errors=400\"\n";
    let httpd = backend.unmounted().config(config).start();
    let mut client = Client::connect(httpd.address()).unwrap();
    let missing = client.exchange(&Request::new("GET", "/404")).unwrap();
    assert_eq!((missing.status(), missing.text().as_str(), missing.header("X-From")), (404, "page of httpd", None));
    let unauthorized = client.exchange(&Request::new("GET", "/401")).unwrap();
    assert_eq!((unauthorized.status(), unauthorized.header("WWW-Authenticate")), (401, Some("Basic realm=x")));
    let fine = client.exchange(&Request::new("GET", "/200")).unwrap();
    assert_eq!((fine.text().as_str(), fine.header("X-From")), ("page of the container", Some("container")));
    assert_eq!(backend.connections(), 1, "the connection is used again");
}

#[test]
fn error_pages_of_the_container_are_passed_on_by_default() {
    let (_backend, httpd) = httpd_with("", |call| call.answer(500, &[], "stack trace"));
    let response = get(&httpd, "/");
    assert_eq!((response.status(), response.text().as_str()), (500, "stack trace"));
}

#[test]
fn error_document_served_by_the_container_replaces_the_page() {
    let backend = Backend::start(|call| call.ok(format!("sorry: {}", call.uri())));
    let config = "ErrorDocument 503 /errors/503\nJkMount /errors/* w\nJkMount /down/* down\n";
    let workers = format!(
        "worker.list=w,down\n{}worker.down.host=127.0.0.1\nworker.down.port={}\n",
        backend.worker("w"),
        Tomcat::closed_port()
    );
    let httpd = Httpd::builder().workers(&workers).config(config).start();
    assert_eq!(get(&httpd, "/down/x").text(), "sorry: /errors/503");
}

#[test]
fn head_with_an_error_status_has_no_body_of_httpd() {
    let (_backend, httpd) = httpd_with("", |call| call.answer(404, &[], ""));
    let mut client = Client::connect(httpd.address()).unwrap();
    for _ in 0..2 {
        let response = client.exchange(&Request::new("HEAD", "/")).unwrap();
        assert_eq!((response.status(), response.body.len()), (404, 0));
    }
    assert!(client.unread().is_empty());
}
