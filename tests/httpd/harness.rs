//! The harness against itself: that a test's httpd and Tomcat really run, and that trouble is really noticed.
//!
//! Not here: what the module does with requests; the one page that is fetched proves that the path is there at all.

use std::panic::catch_unwind;

use crate::support::backend::Backend;
use crate::support::http_client::{Body, Client, Request};
use crate::support::httpd::{Httpd, Mpm, under_every_mpm};
use crate::support::tomcat_server::{Options, TomcatServer};

under_every_mpm! {
    fn serves_a_file_of_its_own(mpm: Mpm) {
        let httpd = Httpd::builder().mpm(mpm).file("htdocs/a.txt", "hello").start();
        let response = Client::once(httpd.address(), &Request::new("GET", "/a.txt")).unwrap();
        assert_eq!((response.status(), response.text().as_str()), (200, "hello"));
        assert_eq!(httpd.children().len(), 2);
    }

    fn graceful_restart_replaces_all_children(mpm: Mpm) {
        let mut httpd = Httpd::builder().mpm(mpm).start();
        let before = httpd.children();
        httpd.graceful();
        httpd.restart();
        assert!(httpd.children().iter().all(|pid| !before.contains(pid)));
    }

    fn forwards_to_a_real_tomcat(mpm: Mpm) {
        let tomcat = TomcatServer::shared(1);
        let workers = format!("worker.list=tomcat1\n{}", tomcat.worker());
        let httpd = Httpd::builder().mpm(mpm).workers(&workers).config("JkMount /* tomcat1\n").start();
        let request = Request::new("POST", "/echo.jsp?a=b").body(Body::Length(b"abc".to_vec()));
        let text = Client::once(httpd.address(), &request).unwrap().text();
        for fact in ["node=tomcat1", "method=POST", "query=a=b", "body_length=3"] {
            assert!(text.lines().any(|line| line == fact), "{fact} in {text}");
        }
        assert!(httpd.await_access_log("POST /echo.jsp").contains(" tomcat1 200 "));
    }
}

#[test]
fn all_three_mpms_are_there() {
    assert_eq!(Mpm::available().len(), 3);
}

#[test]
fn config_test_tells_where_the_mistake_is() {
    let outcome = Httpd::builder().config("ServerAdmin nobody\nNoSuchDirective on\n").config_test();
    outcome.refuses_with(&["Syntax error on line 2 of ", "test.conf", "NoSuchDirective"]);
    assert!(Httpd::builder().config("ServerAdmin nobody\n").config_test().success);
}

#[test]
fn refused_start_tells_why() {
    Httpd::builder().config("NoSuchDirective on\n").start_fails().refuses_with(&["NoSuchDirective"]);
}

#[test]
fn undeclared_trouble_in_the_error_log_fails_the_test() {
    let config = "ErrorLogFormat \"[%t] [%-m:%l] [pid %P] %M\"\nLogLevel authz_core:error\n\
                  <Location /closed>\nRequire all denied\n</Location>\n";
    let closed = |builder: crate::support::httpd::Builder| {
        let httpd = builder.config(config).start();
        assert_eq!(Client::once(httpd.address(), &Request::new("GET", "/closed")).unwrap().status(), 403);
        httpd.stop()
    };
    assert!(catch_unwind(|| closed(Httpd::builder())).is_err());
    assert!(closed(Httpd::builder().expect_error_log("AH01630")).error_log.contains("AH01630"));
}

#[test]
fn tomcat_comes_back_on_its_port() {
    let mut tomcat = TomcatServer::start("back", Options::default());
    let port = tomcat.port();
    tomcat.kill();
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    tomcat.start_again();
    assert_eq!(tomcat.port(), port);
    tomcat.stop();
}

#[test]
fn tomcat_listens_on_a_unix_domain_socket() {
    let tomcat = TomcatServer::start("socket", Options { uds: true, packet_size: Some(16_384), ..Options::default() });
    assert!(std::os::unix::net::UnixStream::connect(tomcat.socket()).is_ok());
}

#[test]
fn sample_configuration_is_accepted() {
    let sample = |name: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("conf").join(name);
        std::fs::read_to_string(path).unwrap()
    };
    let samples = |conf: &str, workers: &str| {
        let builder = Httpd::builder().without_defaults().config(&format!("Include {conf}\n"));
        builder.file("sample.conf", sample("httpd-jk.conf")).file("conf/workers.properties", workers)
    };
    let workers = sample("workers.properties");
    let httpd = samples("sample.conf", &workers).start();
    assert_eq!(Client::once(httpd.address(), &Request::new("GET", "/none")).unwrap().status(), 404);
    httpd.stop();
    // All that is commented out is right as well, as soon as the files it names are there.
    let all = sample("httpd-jk.conf").lines().map(uncommented).collect::<Vec<_>>().join("\n");
    let builder = samples("all.conf", &workers).file("all.conf", all);
    let outcome = builder.file("conf/uriworkermap.properties", sample("uriworkermap.properties")).config_test();
    assert!(outcome.success, "{}", outcome.text());
}

#[test]
fn properties_file_in_toml_starts_the_same_workers() {
    let make = |arguments: &[&str]| {
        let mut make = std::process::Command::new("make");
        make.current_dir(env!("CARGO_MANIFEST_DIR")).args(["--no-print-directory", "toml"]).args(arguments);
        // What cargo tells of the test would let some crates be built anew for the command, and once more after it.
        let told =
            |name: &String| name == "OUT_DIR" || name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        for name in std::env::vars().map(|(name, _)| name).filter(told) {
            make.env_remove(name);
        }
        make.output().expect("make can be run")
    };
    let backend = Backend::named("hello");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("workers.properties");
    std::fs::write(
        &file,
        format!("# sample\nworker.list=lb\nworker.lb.type=lb\nworker.lb.balance_workers=a\n{}", backend.worker("a")),
    )
    .unwrap();
    let name = format!("FILE={}", file.display());
    let output = make(&[&name]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let config = "JkWorkersFile workers.toml\nJkMount /* lb\n";
    let httpd = Httpd::builder().file("workers.toml", &output.stdout).config(config).start();
    assert_eq!(Client::once(httpd.address(), &Request::new("GET", "/")).unwrap().text(), "hello");
    // All that is wrong is told, and nothing is printed that looks like a result.
    std::fs::write(&file, "worker.list=a\nworker.a.prot=1\nworker.a.port=x\n").unwrap();
    let output = make(&[&name]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && output.stdout.is_empty());
    for words in [
        ":2: worker.a.prot is not a known attribute; did you mean worker.a.port?",
        ":3: worker.a.port must be a number from",
    ] {
        assert!(said.contains(words), "{said}");
    }
}

/// A line of a sample without the `#` that switches its directive off; other comments stay.
fn uncommented(line: &str) -> &str {
    match line.strip_prefix('#') {
        Some(directive) if directive.starts_with("Jk") || directive.starts_with("LogFormat") => directive,
        _ => line,
    }
}
