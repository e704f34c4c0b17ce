//! One test for each CVE of mod_jk's history, against what was the hole (apache-side.md section 9).
//!
//! Not here: the same rules in general (`failures.rs`, `mounts.rs`). Each name ends in the number of its CVE.

use std::os::unix::fs::PermissionsExt as _;

use mod_jk::ajp::response::encode_get_body;

use crate::support::backend::{Backend, ask, get, status};
use crate::support::http_client::{Body, Client, Request};
use crate::support::httpd::Httpd;
use crate::support::tomcat::{Tomcat, headers, packet, script};

fn one(tomcat: &Tomcat) -> Httpd {
    let workers = format!("worker.list=w\nworker.w.host=127.0.0.1\nworker.w.port={}\n", tomcat.port());
    Httpd::builder().children(1).workers(&workers).config("JkMount /* w\n").start()
}

#[test]
fn chunk_longer_than_its_packet_discloses_nothing_cve_2006_7197() {
    let tomcat = Tomcat::start(vec![
        script(|peer| {
            peer.expect_forward_request();
            peer.send(&[headers(200, &[]), packet(b"\x03\x1f\xf0short")].concat());
            peer.expect_end();
        }),
        script(|peer| peer.serve(b"fine")),
    ]);
    let httpd = one(&tomcat);
    let response = ask(&httpd, &Request::new("POST", "/"));
    assert!(response.status() == 502 && !response.text().contains("short"), "{}", response.text());
    assert_eq!(get(&httpd, "/").text(), "fine");
    drop(httpd);
    assert_eq!(tomcat.finish(), 2, "the connection is not used again");
}

#[test]
fn uri_longer_than_the_map_takes_is_not_mapped_cve_2007_0774() {
    let backend = Backend::echo();
    let httpd =
        backend.unmounted().config("LimitRequestLine 70000\nJkMount /a/* w\n").allow_error_log("AH00127").start();
    let children = httpd.children();
    for length in [4_096, 5_000, 8_192, 60_000] {
        let uri = format!("/a/{}", "x".repeat(length - 3));
        assert!([403, 404].contains(&status(&httpd, &uri)), "{length}");
    }
    assert_eq!((status(&httpd, &format!("/a/{}", "x".repeat(4_092))), backend.count()), (200, 1));
    assert_eq!(httpd.children(), children);
}

#[test]
fn doubly_encoded_traversal_stays_encoded_cve_2007_1860() {
    let backend = Backend::echo();
    let httpd = backend.unmounted().config("JkMount /app/* w\n").start();
    assert_eq!(get(&httpd, "/app/%252e%252e/other").text(), "GET /app/%252e%252e/other");
}

#[test]
fn backslashes_and_encoded_slashes_do_not_traverse_cve_2007_0450() {
    let backend = Backend::echo();
    let config = "JkMount /app/* w\n<VirtualHost *:${PORT}>\nServerName safe.test\nJkOptions +RejectUnsafeURI\nJkMount /app/* w\n\
                  AllowEncodedSlashes NoDecode\n</VirtualHost>\n";
    let main = "<VirtualHost *:${PORT}>\nServerName main.test\nJkMount /app/* w\n</VirtualHost>\n";
    let httpd = backend.unmounted().config(main).config(config).start();
    let asked = |host: &str, target: &str| ask(&httpd, &Request::new("GET", target).header("Host", host));
    assert_eq!(asked("main.test", "/app/..%5C../x").text(), "GET /app/..%5C../x");
    assert_eq!(asked("main.test", "/app/%5c../x").text(), "GET /app/%5C../x");
    assert_eq!(asked("main.test", "/app/..%2f..%2fx").status(), 404);
    let before = backend.count();
    for target in ["/app/..%5C../x", "/app/%5c../x", "/app/..%2f..%2fx"] {
        assert_eq!(asked("safe.test", target).status(), 404, "{target}");
    }
    assert_eq!(backend.count(), before);
}

#[test]
fn body_that_never_comes_leaves_no_connection_out_of_step_cve_2008_5519() {
    for (sent, declared) in [(0, 50), (3, 50), (9_000, 50_000)] {
        let backend = Backend::start(|call| match call.uri().as_str() {
            "/next" => call.ok("for the next user"),
            // Whatever comes of the broken body, the connection ends with it.
            _ => {
                while call.peer.try_body().is_some() {
                    call.peer.send_anyway(&encode_get_body(8_186));
                }
                call.close();
            }
        });
        let httpd = backend.httpd().children(1).start();
        assert_eq!(get(&httpd, "/next").text(), "for the next user");
        for _ in 0..5 {
            let mut client = Client::connect(httpd.address()).unwrap();
            let body = Body::Declared { length: declared, sent: vec![b'x'; sent] };
            client.send(&Request::new("POST", "/broken").body(body)).unwrap();
            client.close_sending().unwrap();
            let answer = client.response("POST").map(|response| response.head.status);
            assert!(answer.is_err() || answer.is_ok_and(|status| status == 400), "{sent} of {declared}");
            assert_eq!(get(&httpd, "/next").text(), "for the next user");
        }
        httpd.await_jk_log("request body broke off");
    }
}

#[test]
fn slashes_do_not_lead_around_an_exclusion_cve_2014_8111() {
    let backend = Backend::echo();
    let config = "MergeSlashes Off\nJkMount /app/* w\nJkUnMount /app/private/* w\n";
    let httpd = backend.unmounted().config(config).start();
    for target in ["/app/private/x", "/app//private/x", "//app///private/x", "/app/private//x", "/app/./private/x"] {
        assert_eq!(status(&httpd, target), 404, "{target}");
    }
    assert_eq!(backend.count(), 0);
}

#[test]
fn host_name_is_no_part_of_what_is_mapped_cve_2016_6808() {
    let backend = Backend::echo();
    let httpd = backend.unmounted().config("LimitRequestLine 70000\nJkMount /a/* w\n").start();
    let host = format!("{}.test", "h".repeat(1_000));
    let uri = format!("/a/{}", "x".repeat(4_092));
    let response = ask(&httpd, &Request::new("GET", &uri).header("Host", host));
    assert_eq!((response.status(), backend.count()), (200, 1));
}

#[test]
fn parameters_and_dots_are_normalised_before_mapping_cve_2018_1323() {
    let backend = Backend::echo();
    let httpd = backend.unmounted().config("JkMount /app/* w\nJkUnMount /app/admin/* w\n").start();
    for target in [
        "/app/admin;/x",
        "/app/;/admin/x",
        "/app/.;/admin/x",
        "/app/x/..;/admin/y",
        "/app/x/..;a=b/admin/y",
        "/x/..;/app/admin/y",
        "/app/admin/.;/y",
    ] {
        assert_eq!(status(&httpd, target), 404, "{target}");
    }
    assert_eq!((backend.count(), status(&httpd, "/app/..;/..;/app/x")), (0, 400));
}

#[test]
fn access_rules_see_the_uri_that_is_mapped_cve_2018_11759() {
    const LATE: &[&str] =
        &["/app/admin", "/app/admin;x/y", "/app/x/..;/admin/y", "/app/.;/admin/y", "/app/%2e%2e;/jkstatus"];
    let backend = Backend::echo();
    let rules = "<Location /jkstatus>\nRequire all denied\n</Location>\n<Location /app/admin>\nRequire all denied\n</Location>\n";
    let mounts = format!("{rules}JkMount /jkstatus w\nJkMount /app/* w\n");
    // The same by SetHandler and a variable, where C mod_jk still has the hole.
    let rewrite = format!("{rules}RewriteEngine On\nRewriteRule ^/app/ - [H=jakarta-servlet,E=JK_WORKER_NAME:w]\n");
    let handler = format!("{rules}<Location /app>\nSetHandler jakarta-servlet\nSetEnv JK_WORKER_NAME w\n</Location>\n");
    for (config, targets) in [
        (
            mounts,
            &["/jkstatus", "/jkstatus;", "/jkstatus;a=b", "/app/admin;x/y", "/app;a=b/admin", "/x/..;/jkstatus"][..],
        ),
        (handler, LATE),
        (rewrite, LATE),
    ] {
        let httpd = backend.unmounted().load("mod_rewrite").config(&config).allow_error_log("AH01630").start();
        let before = backend.count();
        for target in targets {
            assert_eq!(status(&httpd, target), 403, "{target}");
        }
        assert_eq!(backend.count(), before);
        // What may be seen is served, whatever its parameters, and forwarded as it came.
        if config.contains("SetEnv") {
            assert_eq!(status(&httpd, "/app/x/..;/y;jsessionid=1"), 200);
            assert_eq!(backend.last().uri(), "/app/x/..;/y;jsessionid=1");
        }
    }
}

#[test]
fn redirect_of_httpd_for_the_uri_that_is_mapped_late_says_where_to() {
    let backend = Backend::echo();
    let config = "<Location /app>\nSetHandler jakarta-servlet\nSetEnv JK_WORKER_NAME w\n</Location>\n";
    // mod_dir adds the slash to the name of a folder, which it can only see once the parameter is gone.
    let httpd = backend.unmounted().config(config).file("htdocs/app/x/f.txt", "f").start();
    for target in ["/app/x", "/app/x;a=1"] {
        let response = get(&httpd, target);
        let location = response.header("Location").unwrap_or_default();
        assert!(
            response.status() == 200 || (response.status() == 301 && location.ends_with("/app/x/")),
            "{target}: {location}"
        );
        println!("{target} {} {location}", response.status());
    }
}

#[test]
fn passwords_are_asked_for_the_uri_that_is_mapped_late() {
    let backend = Backend::echo();
    let config = "<Location /app>\nSetHandler jakarta-servlet\nSetEnv JK_WORKER_NAME w\n</Location>\n<Location /app/admin>\nAuthType Basic\n\
                  AuthName test\nAuthUserFile ${ROOT}/users\nRequire valid-user\n</Location>\n";
    let httpd = ["mod_auth_basic", "mod_authn_core", "mod_authn_file", "mod_authz_user"]
        .iter()
        .fold(backend.unmounted(), |builder, module| builder.load(module))
        .file("users", "anna:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
        .config(config)
        .start();
    let refused = get(&httpd, "/app/x/..;/admin/y");
    assert_eq!((refused.status(), refused.header("WWW-Authenticate")), (401, Some("Basic realm=\"test\"")));
    assert_eq!(backend.count(), 0);
    let request = Request::new("GET", "/app/x/..;/admin/y").header("Authorization", "Basic YW5uYTpzZWNyZXQ=");
    assert_eq!(ask(&httpd, &request).status(), 200);
}

#[test]
fn no_request_goes_to_a_worker_that_no_rule_names_cve_2023_41081() {
    let backend = Backend::echo();
    let configs = [
        "JkOptions +ForwardDirectories\n",
        "SetHandler jakarta-servlet\n",
        "JkOptions +ForwardDirectories\nSetHandler jakarta-servlet\n",
    ];
    for config in configs {
        let httpd = backend
            .unmounted()
            .config(config)
            .file("htdocs/dir/f.txt", "file")
            .allow_error_log("AH01276")
            .allow_error_log("AH01262")
            .start();
        for target in ["/", "/dir/", "/dir/f.txt", "/none", "/dir/none/"] {
            let status = status(&httpd, target);
            assert!(status != 500 && status != 503, "{config}{target}: {status}");
        }
        assert_eq!(backend.count(), 0, "{config}");
    }
}

#[test]
fn shared_memory_is_closed_to_other_users_cve_2024_46544() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Backend::echo();
    let config = format!("JkShmFile \"{}/shm\"\n", folder.path().display());
    let mut httpd = backend.httpd().config(&config).start();
    for round in 0..2 {
        let modes: Vec<u32> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().permissions().mode() & 0o777)
            .collect();
        assert!(!modes.is_empty() && modes.iter().all(|mode| *mode == 0o600), "{round}: {modes:?}");
        httpd.graceful();
    }
    httpd.stop();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn coded_header_without_a_name_does_not_end_the_child() {
    let backend = Backend::start(|call| match call.uri().as_str() {
        "/fine" => call.ok("fine"),
        _ => {
            call.peer.send(&packet(b"\x04\x00\xc8\x00\x02OK\x00\x00\x01\xa0\x00\x00\x01x\x00"));
            call.peer.expect_end();
        }
    });
    let httpd = backend.httpd().start();
    let children = httpd.children();
    assert_eq!(ask(&httpd, &Request::new("POST", "/")).status(), 502);
    assert_eq!((get(&httpd, "/fine").text().as_str(), httpd.children()), ("fine", children));
}
