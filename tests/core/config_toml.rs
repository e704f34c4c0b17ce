//! workers.toml: what it takes, how it complains, and that it says the same as a workers.properties.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

use mod_jk::config::toml::{MAX_FILE, convert_properties_to_toml};
use mod_jk::properties::{Properties, Severity};

use crate::config_reading::{accepted, ajp, assert_same, lb, of, read, read_toml};

fn toml_errors(text: &str) -> Vec<String> {
    of(&read_toml(text).1, Severity::Error)
}

#[test]
fn says_the_same_as_the_properties() {
    let (config, findings) = read_toml(
        r#"
list = ["lb", "s"]
maintain = 7
[variables]
base = "example.com"
[jkx]
slow_start = 5
[worker.t]
host = "app.$(base)"
connect_timeout = 0x10
secret = "pass # word"
[worker.w]
reference = "worker.t"
socket_keepalive = true
fail_on_status = [500, -503]
max_packet_size = "16k"
[worker.w.jkx]
unix_socket = "/run/w.sock"
[worker."a.b"]
port = 81
[worker.lb]
type = "lb"
balance_workers = ["w", "a.b"]
mount = ["/a", "!/b"]
[worker.s]
type = "status"
"#,
    );
    assert_eq!(of(&findings, Severity::Error), [""; 0]);
    let expected = accepted(
        "base=example.com\nworker.list=lb,s\nworker.maintain=7\njkx.slow_start=5\nworker.t.host=app.$(base)\n\
         worker.t.connect_timeout=16\nworker.w.reference=worker.t\nworker.w.socket_keepalive=true\n\
         worker.w.fail_on_status=500,-503\nworker.w.max_packet_size=16k\njkx.worker.w.unix_socket=/run/w.sock\nworker.a.b.port=81\n\
         worker.lb.type=lb\nworker.lb.balance_workers=w,a.b\nworker.lb.mount=/a,!/b\nworker.s.type=status",
    );
    assert_eq!(ajp(&config, "w").secret.as_deref(), Some("pass # word"), "TOML can say what the lines cannot");
    let mut without_secret = config.clone();
    for worker in &mut without_secret.ajp {
        worker.secret = None;
    }
    assert_same(&without_secret, &expected);
}

#[test]
fn knows_variables_in_the_whole_file_and_keeps_the_order_otherwise() {
    let (config, _) = read_toml(
        "list=[\"z\", \"a\"]\n[worker.z]\nhost = \"$(h)\"\n[worker.a]\nhost = \"$(worker.z.host)2\"\n[variables]\nh = \"x\"",
    );
    assert_eq!((ajp(&config, "z").settings.host.as_str(), ajp(&config, "a").settings.host.as_str()), ("x", "x2"));
    let keys: Vec<&str> = config.properties_dump.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["h", "worker.list", "worker.z.host", "worker.a.host"]);
}

#[test]
fn complains_with_line_and_column() {
    for (text, expected) in [
        (
            "list = [\"w1\"]\n[worker.w1]\n  port = \"80a\"",
            "workers.toml:3: column 10: worker.w1.port must be a number from 1 to 65535, found \"80a\"",
        ),
        (
            "list = [\"w1\"]\n[worker.w1]\nport = 70000",
            "workers.toml:3: column 8: worker.w1.port must be a number from 1 to 65535, found \"70000\"",
        ),
        (
            "list = [\"w1\"]\n[worker.w1]\nprot = 1",
            "workers.toml:3: column 8: worker.w1.prot is not a known attribute; did you mean worker.w1.port?",
        ),
        ("lst = [\"a\"]", "workers.toml:1: column 1: lst is not known at the top level; did you mean list?"),
        ("worker = 1", "workers.toml:1: column 1: worker must be a table of workers: [worker.<name>]"),
        ("[worker]\nw1 = 2", "workers.toml:2: column 1: worker.w1 must be a table: [worker.w1]"),
        ("variables = 2", "workers.toml:1: column 1: variables must be a table: [variables]"),
        ("jkx = true", "workers.toml:1: column 1: jkx must be a table: [jkx]"),
        (
            "maintain = 1.5",
            "workers.toml:1: column 12: worker.maintain must be a text, a whole number, true or false, or a list, found float",
        ),
        (
            "[worker.ajp13]\nhost = \"a\\nb\"",
            "workers.toml:2: column 8: worker.ajp13.host must be a text, a whole number, true or false, or a list, found a text with \
             control characters",
        ),
        (
            "maintain = 99999999999999999999",
            "workers.toml:1: column 12: worker.maintain must be a text, a whole number, true or false, or a list, found a number that \
             is too big",
        ),
        (
            "list = [\"a b\"]",
            "workers.toml:1: column 9: worker.list must be a list of texts without blanks and commas, found \"a b\"",
        ),
        ("list = [[\"a\"]]", "workers.toml:1: column 9: worker.list must be a list without lists in it"),
        (
            "[worker.ajp13.x]\ny = 1",
            "workers.toml:1: column 1: worker.ajp13.x must be a text, a whole number, true or false, or a list, found table",
        ),
    ] {
        assert_eq!(toml_errors(text), [expected], "{text}");
    }
}

#[test]
fn counts_characters_not_bytes_in_columns() {
    let text = "worker = { \"\u{e4}\" = { port = \"x\" } }\nlist = \"\u{e4}\"";
    assert!(
        toml_errors(text)[0].starts_with("workers.toml:1: column 27: worker.\u{e4}.port must be"),
        "{:?}",
        toml_errors(text)
    );
}

#[test]
fn goes_on_behind_broken_lines() {
    let found = toml_errors("list = [\"w\"\n[worker.w]\nport = \"x\"\nhost = \nretries = 1\nretries = 2");
    assert!(found.len() >= 2, "{found:?}");
    assert!(found.iter().all(|error| error.starts_with("workers.toml:")), "{found:?}");
}

#[test]
fn refuses_keys_given_twice() {
    let found = toml_errors("[worker.ajp13]\nport = 1\nport = 2");
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("workers.toml:3: column 1: duplicate key"), "{found:?}");
}

#[test]
fn accepts_a_byte_order_mark_and_refuses_what_is_no_text() {
    let read = |bytes: &[u8]| {
        let mut findings = Vec::new();
        let mut properties = Properties::new();
        mod_jk::config::toml::read(&mut properties, bytes, "t", &mut findings);
        (properties.entries().count(), of(&findings, Severity::Error))
    };
    assert_eq!(read(b"\xEF\xBB\xBFlist = [\"a\"]"), (1, vec![]));
    assert_eq!(read(b"list = \"\xE9\""), (0, vec!["t: the file must be UTF-8; byte 9 is not".to_owned()]));
    let (count, errors) = read(&vec![b'\n'; MAX_FILE + 1]);
    assert_eq!((count, errors.len()), (0, 1));
}

#[test]
fn an_empty_value_counts_as_not_given() {
    let (config, findings) = read_toml("list = []\n[worker.ajp13]\nhost = \"\"");
    assert_eq!(ajp(&config, "ajp13").settings.host, "localhost");
    assert_eq!(
        of(&findings, Severity::Warning),
        [
            "workers.toml:1: column 8: worker.list is empty, which counts as not given",
            "workers.toml:3: column 8: worker.ajp13.host is empty, which counts as not given"
        ]
    );
}

#[test]
fn a_nested_document_is_refused_and_does_not_overflow_the_stack() {
    let deep = format!("list = {}1{}", "[".repeat(20_000), "]".repeat(20_000));
    assert!(!toml_errors(&deep).is_empty());
    let dotted = format!("{}x = 1", "a.".repeat(20_000));
    assert!(!toml_errors(&dotted).is_empty());
}

const PROPERTIES: &str = "base=app\r\n\
worker.list=lb, s\r\n\
worker.maintain=10\r\n\
worker.t.host=$(base)1 # comment\r\n\
worker.t.secret=$(AJP_SECRET)\\\"q\r\n\
worker.w.reference=worker.t\r\n\
worker.w.retries=3x\r\n\
worker.w.socket_keepalive=1\r\n\
worker.w.prefer_ipv6=maybe\r\n\
worker.w.fail_on_status=500,503\r\n\
worker.w.max_packet_size=16k\r\n\
jkx.worker.w.unix_socket=/s\r\n\
jkx.health=off\r\n\
worker.a.b.port=9\r\n\
worker.lb.type=lb\r\n\
worker.lb.balance_workers=w a.b\r\n\
worker.lb.balance_workers=c\r\n\
worker.s.type=status\r\n";

#[test]
fn turns_properties_into_toml() {
    let expected = r#"list = ["lb", "s"]
maintain = 10

[variables]
base = "app"

[jkx]
health = false

[worker.t]
host = "$(base)1"
secret = "$(AJP_SECRET)\\\"q"

[worker.w]
reference = "worker.t"
retries = "3x"
socket_keepalive = true
prefer_ipv6 = "maybe"
fail_on_status = [500, 503]
max_packet_size = 16384

[worker.w.jkx]
unix_socket = "/s"

[worker."a.b"]
port = 9

[worker.lb]
type = "lb"
balance_workers = ["w", "a.b", "c"]

[worker.s]
type = "status"
"#;
    assert_eq!(convert_properties_to_toml(PROPERTIES.as_bytes(), "workers.properties").unwrap(), expected);
}

#[test]
fn the_converted_file_means_the_same() {
    let toml = convert_properties_to_toml(PROPERTIES.as_bytes(), "workers.properties").unwrap();
    assert_same(&read_toml(&toml).0, &read(PROPERTIES).0);
    assert_eq!(lb(&read_toml(&toml).0, "lb").members.len(), 3);
}

#[test]
fn a_variable_defined_too_late_is_not_brought_to_life() {
    let text = "worker.list=w\nworker.w.host=$(late)\nlate=1\nearly=2\nworker.w.route=$(early)";
    let toml = convert_properties_to_toml(text.as_bytes(), "workers.properties").unwrap();
    assert_eq!(toml, "list = [\"w\"]\n\n[worker.w]\nhost = \"$(late)\"\nroute = \"2\"\n");
}

#[test]
fn does_not_convert_what_is_wrong() {
    let found = convert_properties_to_toml(b"worker.list=w\nworker.w.prot=1", "workers.properties").unwrap_err();
    assert_eq!(
        of(&found, Severity::Error),
        ["workers.properties:2: worker.w.prot is not a known attribute; did you mean worker.w.port?"]
    );
}

#[test]
fn does_not_convert_what_toml_cannot_say() {
    let found = convert_properties_to_toml(b"worker.list=w\nworker.w.host=a\x01b", "workers.properties").unwrap_err();
    assert_eq!(
        of(&found, Severity::Error),
        ["workers.properties: the file says something that workers.toml cannot say"]
    );
}
