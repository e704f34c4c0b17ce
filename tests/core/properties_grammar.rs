//! The grammar of workers.properties as it was measured on C mod_jk, and what is different here on purpose.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

use mod_jk::properties::{Diagnostic, Origin, Properties, Severity};

fn read_bytes(text: &[u8]) -> (Properties, Vec<Diagnostic>) {
    let mut findings = Vec::new();
    let mut properties = Properties::new().with_environment(|name| (name == "ENV").then(|| "from outside".to_owned()));
    properties.set("ServerRoot", "/srv");
    properties.read(text, "f", &mut findings);
    (properties, findings)
}

fn read(text: &str) -> (Properties, Vec<Diagnostic>) {
    read_bytes(text.as_bytes())
}

fn dump(text: &str) -> String {
    let (properties, _) = read(text);
    let lines = properties.entries().skip(1).map(|entry| format!("{}={}", entry.key, entry.value));
    lines.collect::<Vec<_>>().join("|")
}

fn found(text: &str, severity: Severity) -> Vec<String> {
    read(text).1.iter().filter(|finding| finding.severity == severity).map(ToString::to_string).collect()
}

#[test]
fn reads_lines_as_measured() {
    for (text, expected) in [
        ("worker.x.host=a # tail", "worker.x.host=a"),
        ("worker.x.host=a#b", "worker.x.host=a"),
        ("  \t worker.x.host \t= \t a  b \t", "worker.x.host=a  b"),
        ("my var=hello world\nworker.y.host=$(my var)", "my var=hello world|worker.y.host=hello world"),
        ("worker.x.host=\"quoted\"", "worker.x.host=\"quoted\""),
        ("worker.x.host=back\\\nworker.y.host=b", "worker.x.host=back\\|worker.y.host=b"),
        ("worker.x.host=a=b", "worker.x.host=a=b"),
        ("worker.x.host:a", ""),
        ("worker.x.host", ""),
        ("worker.x.host=", ""),
        ("=a", ""),
        ("!bang\n! a=b", "! a=b"),
        ("worker.x.host=abc\r\nworker.y.host=d\r\n", "worker.x.host=abc|worker.y.host=d"),
        ("worker.x.host=abc\x0b\x0c", "worker.x.host=abc"),
        ("worker.x.host=last line without end", "worker.x.host=last line without end"),
        ("", ""),
    ] {
        assert_eq!(dump(text), expected, "{text:?}");
    }
}

#[test]
fn replaces_variables_as_measured() {
    for (text, expected) in [
        ("a=1\nb=2\nworker.x.host=$(a)$(b)-$(nosuch)-$(ENV)-$(a)", "12-$(nosuch)-from outside-1"),
        ("worker.x.host=$(late)\nlate=1", "$(late)"),
        ("n=a\na=1\nworker.x.host=$($(n))", "$($(n))"),
        ("worker.x.host=$(unterminated", "$(unterminated"),
        ("worker.x.host=$(ServerRoot)/x", "/srv/x"),
        ("worker.w.host=h\nworker.x.host=$(worker.w.host)", "h"),
        ("a=$(b)\nb=1\nworker.x.host=$(a)", "$(b)"),
        ("worker.x.host=$()", "$()"),
        ("worker.x.host=$a ${a}", "$a ${a}"),
    ] {
        assert_eq!(read(text).0.value("worker.x.host"), Some(expected), "{text:?}");
    }
}

#[test]
fn does_not_replace_variables_in_names() {
    assert_eq!(dump("a=host\nworker.x.$(a)=1"), "a=host|worker.x.$(a)=1");
}

#[test]
fn replaces_at_most_twenty_one_variables_in_one_value() {
    let text = format!("a=1\nworker.x.host={}", "$(a)".repeat(30));
    let (properties, findings) = read(&text);
    assert_eq!(properties.value("worker.x.host").unwrap(), format!("{}{}", "1".repeat(21), "$(a)".repeat(9)));
    let expected = "f:2: worker.x.host has more than 21 variables; the rest stays as written";
    assert_eq!(findings.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
    let (properties, _) = read(&format!("a=1\nworker.x.host={}{}", "$(n)".repeat(15), "$(a)".repeat(25)));
    let expected = format!("{}{}{}", "$(n)".repeat(15), "1".repeat(6), "$(a)".repeat(19));
    assert_eq!(properties.value("worker.x.host").unwrap(), expected, "those that stand for nothing count as well");
    let (properties, findings) = read(&format!("a=1\nworker.x.host={}", "$(a)".repeat(21)));
    assert_eq!((properties.value("worker.x.host").unwrap(), findings), ("1".repeat(21).as_str(), vec![]));
}

#[test]
fn warns_of_variables_that_stand_for_nothing() {
    assert_eq!(
        found("worker.x.host=$(nosuch)", Severity::Warning),
        [
            "f:1: worker.x.host contains $(nosuch), but no entry above defines nosuch and the environment does not; it stays as \
          written"
        ]
    );
    assert!(found("worker.x.host=$(ENV)", Severity::Warning).is_empty());
}

#[test]
fn joins_or_overwrites_repeats_by_the_sort_of_attribute() {
    for (key, expected) in [
        ("worker.x.host", "b"),
        ("worker.x.session_path", "b"),
        ("worker.x.max_packet_size", "b"),
        ("tmpl.host", "b"),
        ("jkx.worker.x.unix_socket", "b"),
        ("worker.list", "a,b"),
        ("worker.x.balance_workers", "a,b"),
        ("worker.x.mount", "a,b"),
        ("worker.x.user", "a,b"),
        ("worker.x.good", "a,b"),
        ("worker.x.bad", "a,b"),
        ("worker.x.fail_on_status", "a,b"),
        ("worker.x.class_path", "a:b"),
        ("worker.x.ld_path", "a:b"),
        ("my_path", "a:b"),
        ("worker.x.cmd_line", "a b"),
        ("worker.x.distance", "a*b"),
        ("worker.x.secretkey", "a*b"),
        ("worker.x.balanced_workers", "a*b"),
        ("worker.maintain", "a*b"),
        ("myvar", "a*b"),
        ("host", "a*b"),
    ] {
        let text = format!("{key}=a\n{key}=b");
        assert_eq!(read(&text).0.value(key), Some(expected), "{key}");
    }
}

#[test]
fn every_attribute_that_can_be_given_once_takes_the_last_value() {
    let unique = "secret reference host source port type cachesize connection_pool_size connection_pool_minsize cache_timeout \
                  connection_pool_timeout connection_acquire_timeout recovery_options connect_timeout prepost_timeout ping_timeout \
                  ping_mode reply_timeout socket_timeout socket_connect_timeout socket_buffer socket_keepalive \
                  connection_ping_interval recycle_timeout lbfactor sticky_session sticky_session_force session_cookie session_path \
                  set_session_cookie session_cookie_path local_worker local_worker_only jvm_route route domain redirect method lock \
                  disabled stopped activation recover_time error_escalation_time max_reply_timeouts retry_interval busy_limit \
                  max_packet_size css read_only retries lb_retries ns xmlns doctype prefix user_case_insensitive prefer_ipv6";
    for name in unique.split_whitespace() {
        let key = format!("worker.x.{name}");
        assert_eq!(read(&format!("{key}=a\n{key}=b")).0.value(&key), Some("b"), "{name}");
    }
}

#[test]
fn says_what_became_of_a_repeated_key() {
    assert_eq!(
        found("worker.x.host=a\n\nworker.x.host=b", Severity::Warning),
        ["f:3: worker.x.host is given again: \"b\" replaces \"a\" (f:1)"]
    );
    assert_eq!(
        found("a=1\na=9", Severity::Warning),
        ["f:2: a is given again (f:1): the values are joined with '*', which makes \"1*9\""]
    );
    assert!(found("worker.list=a\nworker.list=b", Severity::Warning).is_empty());
}

#[test]
fn never_prints_a_secret() {
    let text =
        "worker.x.secret=hunter2\nworker.x.secret=hunter3\nworker.x.secretkey=hunter4\nworker.x.secretkey=hunter5";
    let (_, findings) = read(text);
    assert_eq!(findings.len(), 2);
    assert!(findings.iter().all(|finding| !finding.message.contains("hunter")), "{findings:?}");
}

#[test]
fn shows_everything_but_secrets_and_what_they_are_made_of() {
    let text = "pw=hunter2\nhalf=unt\nwhole=h$(half)er2\nworker.x.secret=$(pw)\nworker.y.secret=$(whole)\nleak=$(worker.x.secret)\n\
                AJP_SECRET=z\nworker.x.secretkey=k\nother=o\nworker.x.host=$(other)\nname=$(leak)2";
    let shown = read(text).0.without_secrets();
    let keys: Vec<&str> = shown.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["ServerRoot", "other", "worker.x.host"]);
}

#[test]
fn a_directive_comes_first_and_the_file_has_the_last_word() {
    let mut findings = Vec::new();
    let mut properties = Properties::new();
    let at = |line| Origin { file: "httpd.conf".into(), line };
    for (line, text) in
        ["worker.x.host=directive", "worker.list=y", " no equals", "=a", "worker.x.port=", "a=#1"].iter().enumerate()
    {
        properties.add_line(text.as_bytes(), at(u32::try_from(line).unwrap() + 7), &mut findings);
    }
    properties.read(b"worker.x.host=file\nworker.list=x", "f", &mut findings);
    assert_eq!(properties.value("worker.x.host"), Some("file"));
    assert_eq!(properties.value("worker.list"), Some("y,x"));
    assert_eq!(properties.value("a"), Some("#1"), "# has no meaning in a directive");
    assert_eq!(properties.entries().count(), 3);
    let expected = "f:1: worker.x.host is given again: \"file\" replaces \"directive\" (httpd.conf:7)";
    assert_eq!(findings.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
}

#[test]
fn accepts_any_end_of_a_known_name_and_nothing_else() {
    for (key, known) in [
        ("worker.x.host", true),
        ("worker.x.y.z.host", true),
        ("worker..host", true),
        ("worker.host", true),
        ("workers.tomcat_home", true),
        ("anything", true),
        ("Worker.x.foo", true),
        ("worker.x.foo", false),
        ("worker.x.Host", false),
        ("worker.x", false),
        ("worker.", false),
    ] {
        assert_eq!(found(&format!("{key}=1"), Severity::Error).is_empty(), known, "{key}");
    }
}

#[test]
fn suggests_the_near_name_for_an_unknown_one() {
    for (key, expected) in [
        ("worker.w1.prot", "worker.w1.prot is not a known attribute; did you mean worker.w1.port?"),
        ("worker.w1.Host", "worker.w1.Host is not a known attribute; did you mean worker.w1.host?"),
        ("worker.mantain", "worker.mantain is not a known attribute; did you mean worker.maintain?"),
        (
            "worker.w1.balance_worker",
            "worker.w1.balance_worker is not a known attribute; did you mean worker.w1.balance_workers?",
        ),
        ("worker.w1.zzz", "worker.w1.zzz is not a known attribute"),
        (
            "worker.w1.unix_socket",
            "worker.w1.unix_socket is not a known attribute; this module's own settings are written jkx.worker.w1.unix_socket",
        ),
    ] {
        assert_eq!(found(&format!("{key}=1"), Severity::Error), [format!("f:1: {expected}")], "{key}");
    }
}

#[test]
fn warns_of_unknown_settings_of_its_own() {
    for (key, expected) in [
        ("jkx.worker.w1.unix_sokcet", "is not a known setting and is ignored; did you mean jkx.worker.w1.unix_socket?"),
        (
            "jkx.worker.w1.host",
            "is not a known setting and is ignored; an attribute of C mod_jk is written without jkx: worker.w1.host",
        ),
        ("jkx.helth", "is not a known setting and is ignored; did you mean jkx.health?"),
        ("jkx.unix_socket", "is not a known setting and is ignored; it is written jkx.worker.<name>.unix_socket"),
        ("jkx.zzz", "is not a known setting and is ignored"),
    ] {
        assert_eq!(found(&format!("{key}=1"), Severity::Warning), [format!("f:1: {key} {expected}")]);
    }
    assert!(found("jkx.health=1\njkx.worker.a.b.slow_start=1", Severity::Warning).is_empty());
}

#[test]
fn warns_of_old_names_and_says_the_new_one() {
    for (name, expected) in [
        ("cachesize", "is an old name; write worker.x.connection_pool_size"),
        ("cache_timeout", "is an old name; write worker.x.connection_pool_timeout"),
        ("balanced_workers", "is an old name; write worker.x.balance_workers"),
        ("jvm_route", "is an old name; write worker.x.route"),
        ("disabled", "is an old form; write worker.x.activation=disabled"),
        ("stopped", "is an old form; write worker.x.activation=stopped"),
    ] {
        assert_eq!(
            found(&format!("worker.x.{name}=1"), Severity::Warning),
            [format!("f:1: worker.x.{name} {expected}")]
        );
    }
}

#[test]
fn warns_of_names_without_effect() {
    for name in
        "recycle_timeout local_worker local_worker_only sysprops stdout stderr mx ms class_path bridge jvm_lib ld_path cmd_line native_lib"
            .split_whitespace()
    {
        let found = found(&format!("worker.x.{name}=1"), Severity::Warning);
        assert_eq!(found.len(), 1, "{name}");
        assert!(found[0].starts_with(&format!("f:1: worker.x.{name} has no effect any more")), "{found:?}");
    }
    let found = found("worker.x.max_reuse_connections=250", Severity::Warning);
    assert!(found[0].contains("known to ColdFusion only"), "{found:?}");
}

#[test]
fn skips_a_byte_order_mark_with_a_warning() {
    let (properties, findings) = read_bytes(b"\xEF\xBB\xBFworker.list=a\r\n");
    assert_eq!(properties.value("worker.list"), Some("a"));
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].severity, Severity::Warning);
    assert!(findings[0].to_string().starts_with("f:1: the file begins with a byte order mark"));
}

#[test]
fn refuses_utf_16() {
    for text in [&b"\xFF\xFEw\0o\0"[..], b"\xFE\xFF\0w\0o"] {
        let (properties, findings) = read_bytes(text);
        assert_eq!((properties.entries().count(), findings.len()), (1, 1));
        assert_eq!(findings[0].severity, Severity::Error);
    }
}

#[test]
fn replaces_bytes_that_are_not_utf_8_and_remembers_it() {
    let (properties, findings) = read_bytes(b"worker.x.route=caf\xE9\nworker.y.route=caf\xC3\xA9 # \xE9");
    let entry = properties.get("worker.x.route").unwrap();
    assert_eq!((entry.value.as_str(), entry.lossy), ("caf\u{fffd}", true));
    let entry = properties.get("worker.y.route").unwrap();
    assert_eq!((entry.value.as_str(), entry.lossy), ("caf\u{e9}", false));
    assert_eq!(findings.len(), 1);
    assert!(findings[0].to_string().starts_with("f:1: worker.x.route contains bytes that are not UTF-8"));
}

#[test]
fn refuses_a_nul_byte() {
    let (properties, findings) = read_bytes(b"worker.x.host=a\0b\nworker.x.port=1");
    assert_eq!(properties.value("worker.x.host"), None);
    assert_eq!(properties.value("worker.x.port"), Some("1"));
    assert_eq!(findings[0].to_string(), "f:1: worker.x.host contains a NUL byte; the line is not read");
}

#[test]
fn advises_on_lines_that_say_nothing_although_they_were_meant_to() {
    assert_eq!(
        found(
            "worker.list lb\n\nworker.x.host=\nworker.y.host:1\njust text\n; worker.x.port=1\njkx.health",
            Severity::Advice
        ),
        [
            "f:1: worker.list is not followed by =; the line is ignored",
            "f:3: worker.x.host has no value; the line is ignored",
            "f:4: worker.y.host is not followed by =; the line is ignored",
            "f:6: \"; \" does not start a comment, only # does; this defines a variable \"; worker.x.port\"",
            "f:7: jkx.health is not followed by =; the line is ignored",
        ]
    );
}

#[test]
fn finds_everything_in_one_run() {
    let text = "worker.a.x1=1\nworker.b.x2=1\nworker.c.host=ok\nworker.d.x3=1";
    assert_eq!(found(text, Severity::Error).len(), 3);
    assert_eq!(read(text).0.value("worker.c.host"), Some("ok"));
}

#[test]
fn keeps_the_order_of_first_appearance() {
    assert_eq!(dump("b=1\na=2\nb=3\nc=4"), "b=1*3|a=2|c=4");
}
