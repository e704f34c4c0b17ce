//! Beside httpd's other ways to serve a request: mod_rewrite, mod_dir, SetHandler, no-jk, error documents, Alias, proxies, SSI.
//!
//! Not here: mounts alone (`mounts.rs`). The surprising thing: a mounted URI has no file and no directory, so `<Directory>` rules do
//! not apply to it; `<Location>` rules do, by the normalised URI.

use crate::support::backend::{Backend, ask, get, status, text};
use crate::support::http_client::Request;
use crate::support::httpd::{Httpd, under_every_mpm};
use crate::support::wait;

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

under_every_mpm! {
    fn handler_and_variable_choose_the_worker(mpm: Mpm) {
        let backend = Backend::echo();
        let config = "<Location /set>\nSetHandler jakarta-servlet\nSetEnv JK_WORKER_NAME w\n</Location>\n";
        let httpd = backend.unmounted().mpm(mpm).config(config).start();
        assert_eq!(get(&httpd, "/set/x?y").text(), "GET /set/x");
        assert_eq!(status(&httpd, "/other"), 404);
    }

    fn no_jk_keeps_the_module_out(mpm: Mpm) {
        let backend = Backend::echo();
        let config = "SetEnvIf Request_URI \"^/app/static/\" no-jk\nSetEnvIf X-Local . no-jk=\n";
        let httpd = backend.httpd().mpm(mpm).config(config).file("htdocs/app/static/a.txt", "file").start();
        assert_eq!(get(&httpd, "/app/static/a.txt").text(), "file");
        assert_eq!(ask(&httpd, &Request::new("GET", "/app/static/a.txt").header("X-Local", "1")).text(), "file");
        assert_eq!(get(&httpd, "/app/x").text(), "GET /app/x");
    }
}

#[test]
fn worker_indicator_can_carry_rule_options() {
    let backend = Backend::start(|call| call.answer(404, &[], "page of the container"));
    let config = "JkWorkerIndicator MY_WORKER\nErrorDocument 404 \"page of httpd\"\nSetHandler jakarta-servlet\n\
                  <Location /plain>\nSetEnv MY_WORKER w\n</Location>\n\
                  <Location /own>\nSetEnv MY_WORKER w;use_server_errors=400\n</Location>\n";
    let httpd = backend.unmounted().config(config).start();
    assert_eq!(
        (get(&httpd, "/plain").text(), get(&httpd, "/own").text()),
        ("page of the container".into(), "page of httpd".into())
    );
}

#[test]
fn mount_beats_the_variable() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let workers = format!("worker.list=a,b\n{}{}", a.worker("a"), b.worker("b"));
    let config = "JkMount /m a\n<Location />\nSetHandler jakarta-servlet\nSetEnv JK_WORKER_NAME b\n</Location>\n";
    let httpd = Httpd::builder().workers(&workers).config(config).start();
    assert_eq!((get(&httpd, "/m").text().as_str(), get(&httpd, "/x").text().as_str()), ("a", "b"));
}

#[test]
fn handler_without_worker_serves_the_file() {
    let backend = Backend::echo();
    let config = "SetHandler jakarta-servlet\n<VirtualHost *:${PORT}>\nServerName bare.test\nSetHandler jakarta-servlet\n</VirtualHost>\n";
    let httpd = backend.unmounted().config(config).file("htdocs/f.txt", "file").start();
    assert_eq!((get(&httpd, "/f.txt").text().as_str(), status(&httpd, "/none")), ("file", 404));
    let bare = ask(&httpd, &Request::new("GET", "/f.txt").header("Host", "bare.test"));
    assert_eq!((bare.status(), backend.count()), (200, 0));
}

#[test]
fn late_no_jk_keeps_the_handler_out() {
    let backend = Backend::echo();
    let config = "<Location /set>\nSetHandler jakarta-servlet\nSetEnv JK_WORKER_NAME w\nSetEnv no-jk 1\n</Location>\n\
                  <Location /mounted>\nSetEnv no-jk 1\n</Location>\nJkMount /mounted w\n";
    let httpd = backend.unmounted().config(config).file("htdocs/set", "file").file("htdocs/mounted", "file").start();
    assert_eq!((get(&httpd, "/set").text().as_str(), status(&httpd, "/mounted"), backend.count()), ("file", 404, 0));
}

#[test]
fn rewritten_uris_are_mapped_when_they_are_passed_through() {
    let backend = Backend::echo();
    let config = "RewriteEngine On\nRewriteRule ^/pt/(.*)$ /app/$1?from=pt [PT,QSA]\nRewriteRule ^/file/(.*)$ /app/$1\n\
                  RewriteRule ^/handler - [H=jakarta-servlet,E=JK_WORKER_NAME:w]\nRewriteRule ^/app/local - [E=no-jk:1]\n\
                  RewriteRule ^/away /app/x [R]\nJkMount /app/* w\n";
    let httpd = backend.unmounted().config(config).file("htdocs/app/local", "file").start();
    assert_eq!(get(&httpd, "/pt/x%20y?a=b").text(), "GET /app/x%20y");
    assert_eq!(backend.last().request.query_string.as_deref().map(text).as_deref(), Some("from=pt&a=b"));
    assert_eq!(status(&httpd, "/file/x"), 404);
    assert_eq!(get(&httpd, "/handler/x").text(), "GET /handler/x");
    assert_eq!(get(&httpd, "/app/local").text(), "file");
    assert_eq!(
        get(&httpd, "/away").header("Location"),
        Some(format!("http://localhost:{}/app/x", httpd.address().port()).as_str())
    );
}

#[test]
fn aliases_lose_and_redirects_win_against_mounts() {
    let backend = Backend::echo();
    let config = "Alias /app ${ROOT}/other\nRedirect /app/away http://elsewhere.test/\nJkMount /app/* w\n\
                  <Directory \"${ROOT}/other\">\nRequire all granted\n</Directory>\n";
    let httpd = backend.unmounted().config(config).file("other/f.txt", "file").start();
    assert_eq!(get(&httpd, "/app/f.txt").text(), "GET /app/f.txt");
    assert_eq!(status(&httpd, "/app/away"), 302, "mod_alias is loaded first");
}

#[test]
fn directory_rules_do_not_apply_and_location_rules_do() {
    let backend = Backend::echo();
    let config = "<Directory />\nRequire all denied\n</Directory>\n<Location /app/admin>\nRequire all denied\n</Location>\nJkMount /app/* w\n";
    let httpd = backend.unmounted().config(config).allow_error_log("AH01630").start();
    for (target, expected) in [
        ("/app/x", 200),
        ("/app/admin", 403),
        ("/app/admin;x/y", 403),
        ("/app;a=b/admin", 403),
        ("/app/x/..;/admin/y", 403),
    ] {
        assert_eq!(status(&httpd, target), expected, "{target}");
    }
    assert_eq!(backend.count(), 1);
}

#[test]
fn proxied_requests_are_left_to_mod_proxy() {
    let (direct, proxied) = (Backend::echo(), Backend::echo());
    let inner = proxied.httpd().start();
    let config = format!(
        "ProxyPass /app/no !\nProxyPass /app http://127.0.0.1:{}/from-proxy\nJkMount /app/* w\n",
        inner.address().port()
    );
    let httpd = direct.unmounted().load("mod_proxy").load("mod_proxy_http").config(&config).start();
    assert_eq!(get(&httpd, "/app/x").text(), "GET /from-proxy/x");
    assert_eq!(get(&httpd, "/app/no").text(), "GET /app/no");
    assert_eq!((direct.count(), proxied.count()), (1, 1));
}

#[test]
fn directory_index_that_is_a_file_is_forwarded_by_its_name() {
    let backend = Backend::echo();
    let config = "DirectoryIndex index.jsp\nJkMount /*.jsp w\n";
    let httpd = backend.unmounted().config(config).file("htdocs/dir/index.jsp", "source").start();
    assert_eq!(get(&httpd, "/dir/").text(), "GET /dir/index.jsp");
}

#[test]
fn rule_options_survive_the_directory_index() {
    let backend = Backend::start(|call| call.answer(404, &[], "page of the container"));
    let config =
        "ErrorDocument 404 \"page of httpd\"\nDirectoryIndex index.jsp\nJkMount /*.jsp \"w;use_server_errors=400\"\n";
    let httpd = backend.unmounted().config(config).file("htdocs/dir/index.jsp", "source").start();
    assert_eq!(get(&httpd, "/dir/").text(), "page of httpd");
}

#[test]
fn directory_index_that_is_no_file_forwards_the_directory() {
    for options in ["", "JkOptions +ForwardDirectories\n"] {
        let backend = Backend::echo();
        let config = format!("{options}DirectoryIndex index.jsp\nJkMount /*.jsp w\n");
        let httpd = backend.unmounted().config(&config).file("htdocs/dir/other", "x").start();
        assert_eq!(get(&httpd, "/dir/").text(), "GET /dir/", "{options}");
    }
}

#[test]
fn forward_directories_needs_a_rule() {
    let backend = Backend::echo();
    let config = "JkOptions +ForwardDirectories\nDirectoryIndex disabled\nSetEnvIf Request_URI ^/late later\nJkMount /mounted/ w\n";
    let httpd = backend
        .unmounted()
        .config(config)
        .file("htdocs/dir/f", "x")
        .file("htdocs/mounted/f", "x")
        .allow_error_log("AH01276")
        .allow_error_log("AH01262")
        .start();
    assert!([403, 404].contains(&status(&httpd, "/dir/")));
    assert_eq!((get(&httpd, "/mounted/").text().as_str(), backend.count()), ("GET /mounted/", 1));
}

#[test]
fn server_side_includes_reach_the_container() {
    let backend = Backend::echo();
    let page = "<!--#include virtual=\"/app/part?x=y\" -->|<!--#include file=\"f.txt\" -->";
    let config = "<Location /page.html>\nSetOutputFilter INCLUDES\nOptions +Includes\n</Location>\nJkMount /app/* w\n";
    let httpd = backend
        .unmounted()
        .load("mod_include")
        .config(config)
        .file("htdocs/page.html", page)
        .file("htdocs/f.txt", "file")
        .start();
    assert_eq!(get(&httpd, "/page.html").text(), "GET /app/part|file");
    let seen = backend.last();
    assert_eq!(
        (seen.header("Content-Length").as_deref(), seen.request.query_string.as_deref()),
        (Some("0"), Some(&b"x=y"[..]))
    );
}

#[test]
fn error_document_by_the_container_has_its_own_status() {
    let backend = Backend::echo();
    let httpd = backend.unmounted().config("ErrorDocument 404 /errors/404\nJkMount /errors/* w\n").start();
    let response = get(&httpd, "/nothing");
    assert_eq!((response.status(), response.text().as_str()), (200, "GET /errors/404"));
}

#[test]
fn headers_of_responses_can_be_changed_by_httpd() {
    let backend = Backend::start(|call| call.answer(200, &[("X-Secret", "1"), ("X-Kept", "2")], "x"));
    let httpd =
        backend.httpd().config("Header unset X-Secret\nHeader set X-Added 3\nRequestHeader set X-Sent 4\n").start();
    let response = get(&httpd, "/");
    assert_eq!(
        (response.header("X-Secret"), response.header("X-Kept"), response.header("X-Added")),
        (None, Some("2"), Some("3"))
    );
    assert_eq!(backend.last().header("X-Sent").as_deref(), Some("4"));
}

#[test]
fn session_ids_are_stripped_from_what_httpd_serves() {
    let backend = Backend::echo();
    let rows = [
        ("JkStripSession On\n", "/f.txt;jsessionid=1.n", 200),
        ("JkStripSession On\n", "/static;jsessionid=a.b/f.txt", 200),
        ("JkStripSession On\n", "/f.txt;jsessionid=1;x=y", 404),
        ("JkStripSession On ;sid\n", "/f.txt;sidfoo", 200),
        ("JkStripSession Off\n", "/f.txt;jsessionid=1.n", 404),
        ("", "/f.txt;jsessionid=1.n", 404),
    ];
    for (config, target, expected) in rows {
        let httpd = backend
            .unmounted()
            .config(&format!("{config}JkMount /app/* w\n"))
            .file("htdocs/f.txt", "file")
            .file("htdocs/static/f.txt", "file")
            .start();
        assert_eq!(status(&httpd, target), expected, "{config}{target}");
        assert_eq!(get(&httpd, "/app/x;jsessionid=1").text(), "GET /app/x;jsessionid=1", "mounted URIs keep it");
    }
}

#[test]
fn auto_alias_serves_the_files_of_applications() {
    let backend = Backend::echo();
    let config = "JkAutoAlias ${ROOT}/apps\nJkMount /app1/*.jsp w\n<Directory \"${ROOT}/apps\">\nRequire all granted\n</Directory>\n";
    let httpd = backend
        .unmounted()
        .config(config)
        .file("apps/app1/f.txt", "of app1")
        .file("apps/app1/WEB-INF/web.xml", "secret")
        .file("apps/app1/sub/META-INF/x", "secret")
        .file("apps/app1.war", "archive")
        .file("apps/plain.txt", "file")
        .file("htdocs/root.txt", "of the root")
        .start();
    let rows = [
        ("/app1/f.txt", 200),
        ("/app1/f.txt;jsessionid=1", 200),
        ("/app1/x.jsp", 200),
        ("/app1/WEB-INF/web.xml", 404),
        ("/app1/web-inf/web.xml", 404),
        ("/app1/WEB-INF;x/web.xml", 404),
        ("/app1/sub/META-INF/x", 404),
        ("/none/META-INF/x", 404),
        ("/app1.war", 403),
        ("/APP2.WAR", 403),
        ("/plain.txt", 404),
        ("/root.txt", 200),
    ];
    for (target, expected) in rows {
        assert_eq!(status(&httpd, target), expected, "{target}");
    }
    assert_eq!(get(&httpd, "/app1/f.txt").text(), "of app1");
    assert_eq!(
        get(&httpd, "/app1").header("Location"),
        Some(format!("http://localhost:{}/app1/", httpd.address().port()).as_str())
    );
}

#[test]
fn what_another_module_makes_of_uri_and_notes_after_the_match_is_not_what_counts() {
    let backend = Backend::echo();
    let script = "function change(r)\n  r.uri = '/elsewhere'\n  r.notes['JK_WORKER_TYPE'] = 'theirs'\n  \
                  r.notes['JK_REQUEST_DURATION'] = 'theirs'\n  return apache2.DECLINED\nend\n";
    let config = "LuaHookFixups ${ROOT}/change.lua change\nLogFormat \"%{JK_WORKER_TYPE}n %{JK_REQUEST_DURATION}n\" notes\n\
                  CustomLog logs/notes.log notes\n";
    let httpd = backend.httpd().load("mod_lua").file("change.lua", script).config(config).start();
    // The first is normal as it is, the second is not.
    for target in ["/app/x", "/app/./x;v=1"] {
        assert_eq!(get(&httpd, target).text(), format!("GET {}", target.replace("./", "")));
    }
    let log = httpd.root().join("logs/notes.log");
    let lines = || std::fs::read_to_string(&log).unwrap_or_default();
    wait::until(PATIENCE, "both lines of the log", || lines().lines().count() == 2);
    assert!(lines().lines().all(|line| line.starts_with("ajp13 0.")), "{}", lines());
}
