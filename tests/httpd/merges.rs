//! What a virtual host takes from the main server: mounts, options, names, variables.
//!
//! Not here: what the settings do. The surprising thing: the default is that a virtual host gets no mounts at all.

use std::fmt::Write as _;

use crate::support::backend::{Backend, ask};
use crate::support::http_client::Request;
use crate::support::httpd::{Builder, Httpd};

/// A virtual host `<name>.test`.
fn vhost(name: &str, directives: &str) -> String {
    format!(
        "<VirtualHost *:${{PORT}}>\nServerName {name}.test\nDocumentRoot \"${{ROOT}}/htdocs\"\n{directives}</VirtualHost>\n"
    )
}

fn status_of(httpd: &Httpd, name: &str, target: &str) -> u16 {
    ask(httpd, &Request::new("GET", target).header("Host", format!("{name}.test"))).status()
}

#[track_caller]
fn assert_statuses(httpd: &Httpd, rows: &[(&str, &str, u16)]) {
    for (name, target, expected) in rows {
        assert_eq!(status_of(httpd, name, target), *expected, "{name} {target}");
    }
}

fn with(backend: &Backend, main: &str, hosts: &[(&str, &str)]) -> Builder {
    let mut config = main.to_owned();
    for (name, directives) in hosts {
        config += &vhost(name, directives);
    }
    backend.unmounted().config(&config)
}

#[test]
fn mounts_are_copied_when_jkmountcopy_says_so() {
    let backend = Backend::echo();
    let hosts = [
        ("plain", ""),
        ("own", "JkMount /own w\n"),
        ("on", "JkMountCopy On\n"),
        ("on-own", "JkMountCopy On\nJkMount /own w\nJkMount /main w;reply_timeout=5000\n"),
        ("on-unmount", "JkMountCopy On\nJkUnMount /main w\n"),
        ("off", "JkMountCopy Off\n"),
    ];
    let httpd = with(&backend, "JkMount /main w\n", &hosts).start();
    assert_statuses(
        &httpd,
        &[
            ("plain", "/main", 404),
            ("own", "/main", 404),
            ("own", "/own", 200),
            ("on", "/main", 200),
            ("on-own", "/main", 200),
            ("on-own", "/own", 200),
            ("on-unmount", "/main", 404),
            ("off", "/main", 404),
        ],
    );
}

#[test]
fn jkmountcopy_all_is_for_all_hosts_but_those_that_say_off() {
    let backend = Backend::echo();
    let hosts = [("plain", ""), ("own", "JkMount /own w\n"), ("off", "JkMountCopy Off\nJkMount /own w\n")];
    // All may come after the hosts; where it stands does not matter.
    let httpd = with(&backend, "JkMount /main w\n", &hosts).config("JkMountCopy All\n").start();
    assert_statuses(
        &httpd,
        &[
            ("plain", "/main", 200),
            ("own", "/main", 200),
            ("own", "/own", 200),
            ("off", "/main", 404),
            ("off", "/own", 200),
        ],
    );
}

#[test]
fn jkmountcopy_on_in_the_main_server_has_no_effect() {
    let backend = Backend::echo();
    let httpd =
        with(&backend, "JkMountCopy On\nJkMount /main w\n", &[("plain", ""), ("own", "JkMount /own w\n")]).start();
    assert_statuses(&httpd, &[("plain", "/main", 404), ("own", "/main", 404), ("own", "/own", 200)]);
}

#[test]
fn own_rule_of_a_pattern_beats_the_copied_one() {
    let (main, own) = (Backend::named("main"), Backend::named("own"));
    let workers = format!("worker.list=m,o\n{}{}", main.worker("m"), own.worker("o"));
    let config = format!("JkMount /x m\nJkMount /y m\n{}", vhost("a", "JkMountCopy On\nJkMount /x o\n"));
    let httpd = Httpd::builder().workers(&workers).config(&config).start();
    for (target, expected) in [("/x", "own"), ("/y", "main")] {
        assert_eq!(ask(&httpd, &Request::new("GET", target).header("Host", "a.test")).text(), expected);
    }
}

#[test]
fn mount_file_of_the_main_server_is_copied_with_the_mounts() {
    let backend = Backend::echo();
    let hosts = [
        ("shared", "JkMountCopy On\n"),
        ("own-map", "JkMountCopy On\nJkMount /own w\n"),
        ("own-file", "JkMountCopy On\nJkMountFile b.map\n"),
        ("off", ""),
    ];
    let httpd = with(&backend, "JkMountFile a.map\n", &hosts).file("a.map", "/a=w\n").file("b.map", "/b=w\n").start();
    assert_statuses(
        &httpd,
        &[
            ("shared", "/a", 200),
            ("own-map", "/a", 200),
            ("own-map", "/own", 200),
            ("own-file", "/a", 404),
            ("own-file", "/b", 200),
            ("off", "/a", 404),
        ],
    );
}

#[test]
fn mounts_of_workers_reach_only_hosts_that_share_the_whole_map() {
    let backend = Backend::echo();
    let workers = format!("worker.list=w\n{}worker.w.mount=/prop\n", backend.worker("w"));
    let config = ["shared", "own"]
        .map(|name| vhost(name, if name == "own" { "JkMountCopy On\nJkMount /own w\n" } else { "JkMountCopy On\n" }))
        .concat();
    let httpd = Httpd::builder().workers(&workers).config(&config).start();
    assert_statuses(&httpd, &[("shared", "/prop", 200), ("own", "/prop", 404), ("own", "/own", 200)]);
}

#[test]
fn options_are_merged_bit_by_bit() {
    let backend = Backend::echo();
    let main = "JkOptions +ForwardURICompat +ForwardLocalAddress -ForwardKeySize\nSetEnv HTTPS on\nSetEnv SSL_CIPHER_USEKEYSIZE 256\n";
    let env = "JkMount /* w\nSetEnv HTTPS on\nSetEnv SSL_CIPHER_USEKEYSIZE 256\n";
    let hosts = [
        ("plain", env.to_owned()),
        ("uri", format!("{env}JkOptions ForwardURIEscaped\n")),
        ("minus", format!("{env}JkOptions -ForwardLocalAddress\n")),
        ("address", format!("{env}JkOptions +ForwardPhysicalAddress\n")),
        ("size", format!("{env}JkOptions +ForwardKeySize\n")),
    ];
    let hosts: Vec<(&str, &str)> = hosts.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let httpd = with(&backend, main, &hosts).start();
    // Host, forwarded URI, whether the remote port is sent as 0, key size.
    for (name, uri, local, size) in [
        ("plain", "/\u{e9}", true, None),
        ("uri", "/%c3%a9", true, None),
        ("minus", "/\u{e9}", false, None),
        ("address", "/\u{e9}", false, None),
        ("size", "/\u{e9}", true, Some(256)),
    ] {
        assert_eq!(status_of(&httpd, name, "/%C3%A9"), 200);
        let seen = backend.last();
        assert_eq!(seen.uri(), uri, "{name}");
        assert_eq!(seen.attribute("AJP_REMOTE_PORT").as_deref() == Some("0"), local, "{name}");
        assert_eq!(seen.request.ssl_key_size, size, "{name}");
    }
}

#[test]
fn indicators_are_inherited_unless_replaced() {
    let backend = Backend::echo();
    let mut main = String::new();
    let names = [
        ("JkRemoteAddrIndicator", "ADDR"),
        ("JkRemotePortIndicator", "PORT"),
        ("JkRemoteHostIndicator", "HOST"),
        ("JkRemoteUserIndicator", "USER"),
        ("JkAuthTypeIndicator", "AUTH"),
        ("JkLocalNameIndicator", "NAME"),
        ("JkLocalAddrIndicator", "LOCAL"),
        ("JkLocalPortIndicator", "LPORT"),
    ];
    let mut env = String::from("JkMount /* w\n");
    for (directive, name) in names {
        writeln!(main, "{directive} MAIN_{name}").unwrap();
        writeln!(env, "SetEnv MAIN_{name} 1{0}\nSetEnv OWN_{name} 2{0}", name.len()).unwrap();
    }
    let own = names.iter().fold(env.clone(), |text, (directive, name)| text + &format!("{directive} OWN_{name}\n"));
    let httpd = with(&backend, &main, &[("inherits", &env), ("own", &own)]).start();
    for (host, first) in [("inherits", '1'), ("own", '2')] {
        assert_eq!(status_of(&httpd, host, "/"), 200);
        let seen = backend.last();
        let field = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(crate::support::backend::text).unwrap_or_default();
        let request = &seen.request;
        let values = [
            field(&request.remote_addr),
            seen.attribute("AJP_REMOTE_PORT").unwrap(),
            field(&request.remote_host),
            field(&request.remote_user),
            field(&request.auth_type),
            field(&request.server_name),
            seen.attribute("AJP_LOCAL_ADDR").unwrap(),
            request.server_port.to_string(),
        ];
        let expected: Vec<String> = names.iter().map(|(_, name)| format!("{first}{}", name.len())).collect();
        assert_eq!(values.as_slice(), expected.as_slice(), "{host}");
    }
}

#[test]
fn env_vars_of_both_are_sent_own_first() {
    let backend = Backend::echo();
    let main = "JkEnvVar MAIN m\nJkEnvVar Both main\n";
    let httpd = with(
        &backend,
        main,
        &[("own", "JkMount /* w\nJkEnvVar OWN o\nJkEnvVar BOTH own\n"), ("plain", "JkMount /* w\n")],
    )
    .start();
    let attributes = |name: &str| -> Vec<(String, String)> {
        assert_eq!(status_of(&httpd, name, "/"), 200);
        let all = backend.last().request.attributes;
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        all.iter().skip(3).map(|(name, value)| (text(name), text(value))).collect()
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(attributes("own"), [pair("OWN", "o"), pair("BOTH", "own"), pair("MAIN", "m")]);
    assert_eq!(attributes("plain"), [pair("MAIN", "m"), pair("Both", "main")]);
}

#[test]
fn single_values_are_inherited_unless_set() {
    let backend = Backend::echo();
    let main = "JkExtractSSL Off\nJkStripSession On ;sid\nSetEnv HTTPS on\n";
    let hosts = [
        ("plain", "SetEnv HTTPS on\nJkMount /w w\n"),
        ("own", "SetEnv HTTPS on\nJkExtractSSL On\nJkStripSession Off\nJkMount /w w\n"),
    ];
    let httpd = with(&backend, main, &hosts).file("htdocs/f.txt", "file").start();
    for (host, ssl, stripped) in [("plain", false, 200), ("own", true, 404)] {
        assert_eq!(status_of(&httpd, host, "/w"), 200);
        assert_eq!(backend.last().request.is_ssl, ssl, "{host}");
        assert_eq!(status_of(&httpd, host, "/f.txt;sid=1"), stripped, "{host}");
    }
}

#[test]
fn auto_alias_is_taken_over_only_with_mountcopy() {
    let backend = Backend::echo();
    let hosts =
        [("off", "JkMount /w w\n"), ("on", "JkMountCopy On\n"), ("own", "JkMountCopy On\nJkAutoAlias ${ROOT}/other\n")];
    let config = "JkAutoAlias ${ROOT}/apps\n<Directory \"${ROOT}\">\nRequire all granted\n</Directory>\n";
    let httpd = with(&backend, config, &hosts).file("apps/app1/f.txt", "a").file("other/app2/f.txt", "b").start();
    assert_statuses(
        &httpd,
        &[
            ("off", "/app1/f.txt", 404),
            ("on", "/app1/f.txt", 200),
            ("own", "/app1/f.txt", 404),
            ("own", "/app2/f.txt", 200),
        ],
    );
}

#[test]
fn hosts_can_log_apart() {
    let backend = Backend::echo();
    let hosts = [
        ("own", "JkMount /* w\nJkLogFile logs/own.log\nJkRequestLogFormat \"OWN %U\"\n"),
        ("shared", "JkMount /* w\n"),
    ];
    let httpd = with(&backend, "JkRequestLogFormat \"MAIN %U\"\n", &hosts).start();
    status_of(&httpd, "own", "/a");
    status_of(&httpd, "shared", "/b");
    httpd.await_jk_log("MAIN /b");
    let path = httpd.root().join("logs/own.log");
    crate::support::wait::until(std::time::Duration::from_secs(60), "the own log", || {
        std::fs::read_to_string(&path).is_ok_and(|text| text.contains("OWN /a"))
    });
    assert!(!httpd.jk_log().contains("OWN"));
}
