//! Configurations that cannot work: `httpd -t` and the start both refuse, say file, line, word and what was expected, and leave nothing.
//!
//! Not here: refusals while a directive is read (`directives.rs`). The surprising thing: some mistakes are no reason not to start, as
//! with C mod_jk; they are here too.

use crate::support::backend::{Backend, status};
use crate::support::httpd::{Builder, Httpd};

/// Both `httpd -t` and the start refuse and say all of this; the start leaves no shared memory file behind.
#[track_caller]
fn refused(build: impl Fn() -> Builder, words: &[&str]) {
    build().config_test().refuses_with(words);
    start_refused(build, words);
}

#[track_caller]
fn start_refused(build: impl Fn() -> Builder, words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let shm = format!("JkShmFile \"{}/shm\"\nJkLogFile logs/mod_jk.log\n", folder.path().display());
    build().without_defaults().config(&shm).start_fails().refuses_with(words);
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

/// A workers file with a worker `w1` and these lines after its three.
fn with_lines(lines: &'static str) -> impl Fn() -> Builder {
    move || Httpd::builder().workers(&format!("worker.list=w1\nworker.w1.host=127.0.0.1\nworker.w1.port=8009\n{lines}"))
}

#[test]
fn missing_workers_file() {
    refused(
        || Httpd::builder().config("ServerAdmin a\nJkWorkersFile nowhere.properties\n"),
        &["line 2 of", "test.conf", "JkWorkersFile", "nowhere.properties", "existing file"],
    );
}

#[test]
fn workers_file_that_cannot_be_read() {
    // A regular file that even root cannot read from its beginning.
    refused(
        || Httpd::builder().config("ServerAdmin a\nJkWorkersFile /proc/self/mem\n"),
        &["test.conf:2", "JkWorkersFile: cannot read '/proc/self/mem'", "Input/output error"],
    );
}

#[test]
fn unknown_attribute() {
    refused(with_lines("worker.w1.prot=8010\n"), &["workers.properties:4", "worker.w1.prot", "port"]);
}

#[test]
fn port_that_is_no_port() {
    for (lines, found) in
        [("worker.w1.port=80a\n", "80a"), ("worker.w1.port=65536\n", "65536"), ("worker.w1.port=-1\n", "-1")]
    {
        refused(with_lines(lines), &["workers.properties:4", "worker.w1.port", "65535", found]);
    }
}

#[test]
fn worker_type_that_does_not_exist() {
    refused(with_lines("worker.w1.type=ajp15\n"), &["workers.properties:4", "worker.w1.type", "ajp15", "ajp13"]);
}

#[test]
fn old_protocols_name_ajp13() {
    for kind in ["ajp12", "ajp14"] {
        let build = move || Httpd::builder().workers(&format!("worker.list=w1\nworker.w1.type={kind}\n"));
        refused(build, &["workers.properties:2", kind, "ajp13"]);
    }
}

#[test]
fn balancer_without_members() {
    refused(|| Httpd::builder().workers("worker.list=lb\nworker.lb.type=lb\n"), &["lb", "balance_workers"]);
}

#[test]
fn reference_to_nothing() {
    refused(with_lines("worker.w1.reference=worker.template\n"), &["workers.properties:4", "worker.template"]);
}

#[test]
fn reference_to_itself() {
    refused(with_lines("worker.w1.reference=worker.w1\n"), &["workers.properties:4", "reference"]);
}

#[test]
fn mount_property_that_is_no_pattern() {
    refused(with_lines("worker.w1.mount=app/*\n"), &["workers.properties:4", "app/*"]);
}

#[test]
fn all_findings_come_at_once() {
    refused(
        || with_lines("worker.w1.prot=1\nworker.w1.port=x\n")().config("JkMount /a nobody\n"),
        &["workers.properties:4", "workers.properties:5", "test.conf:1"],
    );
}

#[test]
fn shared_memory_file_that_cannot_be_created() {
    let build =
        || with_lines("")().without_defaults().config("JkLogFile logs/mod_jk.log\nJkShmFile /nowhere/at/all/shm\n");
    for outcome in [build().config_test(), build().start_fails()] {
        outcome.refuses_with(&["test.conf:2", "JkShmFile", "/nowhere/at/all", "No such file or directory"]);
    }
}

#[test]
fn log_file_that_cannot_be_opened() {
    let build = || with_lines("")().without_defaults().config("JkLogFile nowhere/mod_jk.log\nJkShmFile run/shm\n");
    for outcome in [build().config_test(), build().start_fails()] {
        outcome.refuses_with(&["test.conf:1", "JkLogFile", "/nowhere/mod_jk.log'", "No such file or directory"]);
    }
}

#[test]
fn mount_file_that_does_not_exist() {
    refused(|| with_lines("")().config("JkMountFile nowhere.map\n"), &["line 1 of", "JkMountFile", "nowhere.map"]);
}

#[test]
fn option_that_does_not_exist() {
    refused(|| with_lines("")().config("JkOptions +FlushPacket\n"), &["line 1 of", "+FlushPacket", "'FlushPackets'"]);
}

#[test]
fn directive_in_the_wrong_place() {
    refused(
        || with_lines("")().config("<Location /x>\nJkLogLevel debug\n</Location>\n"),
        &["line 2 of", "JkLogLevel", "not allowed"],
    );
    refused(
        || with_lines("")().config("<VirtualHost *:${PORT}>\nJkShmSize 5\n</VirtualHost>\n"),
        &["line 2 of", "JkShmSize", "cannot occur within"],
    );
}

#[test]
fn bad_toml_names_line_and_column() {
    refused(
        || Httpd::builder().file("workers.toml", "[worker.w1]\nport = 80 09\n").config("JkWorkersFile workers.toml\n"),
        &["workers.toml:2"],
    );
}

#[test]
fn mount_of_an_unknown_worker_is_named_and_answers_500() {
    let build = || with_lines("")().config("ServerAdmin a\nJkMount /app/* w11\n");
    let outcome = build().config_test();
    assert!(outcome.success, "{}", outcome.output);
    for word in ["test.conf:2", "/app/*", "\"w11\"", "\"w1\""] {
        assert!(outcome.output.contains(word), "{word} in {}", outcome.output);
    }
    let httpd = build().start();
    assert_eq!((status(&httpd, "/app/x"), status(&httpd, "/x")), (500, 404));
}

#[test]
fn container_that_is_down_or_unknown_is_no_reason_not_to_start() {
    let workers = "worker.list=w1\nworker.w1.host=no-such-host.invalid\nworker.w1.port=8009\n";
    let httpd = Httpd::builder().workers(workers).config("JkMount /* w1\n").start();
    assert_eq!(status(&httpd, "/"), 503);
    httpd.await_jk_log("no-such-host.invalid");
}

#[test]
fn request_log_format_that_means_nothing_is_no_reason_not_to_start() {
    let backend = Backend::echo();
    let httpd = backend.httpd().config("JkRequestLogFormat \"%w %z\"\n").start();
    assert_eq!(status(&httpd, "/"), 200);
    assert!(httpd.error_log().contains("JkRequestLogFormat") || httpd.jk_log().contains("JkRequestLogFormat"));
}

#[test]
fn empty_configuration_starts_with_one_worker() {
    let httpd = Httpd::builder().config("JkMount /x ajp13\n").file("htdocs/a.txt", "a").start();
    assert_eq!(status(&httpd, "/a.txt"), 200);
}

#[test]
fn bad_line_of_a_mount_file_is_no_reason_not_to_start() {
    let backend = Backend::echo();
    let config = "JkMountFile a.map\nJkMount /mount w\n";
    let httpd = backend.unmounted().file("a.map", "*.jsp=w\n/file=w\n").config(config).start();
    assert_eq!((status(&httpd, "/file"), status(&httpd, "/mount"), status(&httpd, "/x.jsp")), (200, 200, 404));
    assert!(httpd.jk_log().contains("a.map:1"));
}

#[test]
fn file_of_coldfusion_is_accepted_with_a_warning() {
    let outcome = with_lines("worker.w1.max_reuse_connections=250\n")().config_test();
    assert!(outcome.success && outcome.output.contains("max_reuse_connections"), "{}", outcome.output);
}
