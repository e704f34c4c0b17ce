//! Each directive by itself: the forms it takes, those it refuses, and where it may stand (apache-side.md section 1).
//!
//! Not here: what it does. The surprising thing: everything is asked of `httpd -t`, so a refused form is refused before anything runs.

use crate::support::httpd::{Builder, Httpd, Outcome};

/// Where a directive may stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Contexts {
    /// In the main server only.
    Main,
    /// In virtual hosts too.
    Hosts,
    /// In sections too.
    Sections,
}

/// How many words httpd passes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Words {
    One,
    OneOrTwo,
    OnOff,
    Line,
}

struct Directive {
    name: &'static str,
    contexts: Contexts,
    words: Words,
    accepted: &'static [&'static str],
    /// Arguments, and what the refusal says.
    refused: &'static [(&'static str, &'static str)],
}

/// Files that arguments may name; no JkWorkersFile, so the only worker is `ajp13`.
fn scene(config: &str) -> Builder {
    Httpd::builder()
        .without_defaults()
        .file("w.properties", "worker.list=w\nworker.w.port=8009\n")
        .file("a.map", "/a=ajp13\n")
        .config(config)
}

fn refusal(config: &str) -> Outcome {
    let outcome = scene(config).config_test();
    assert!(!outcome.success, "accepted:\n{config}\n{}", outcome.output);
    outcome
}

impl Directive {
    fn check(&self) {
        for arguments in self.accepted {
            self.is_accepted(&format!("{} {arguments}\n", self.name));
            self.is_accepted(&format!("{} {arguments}\n", self.name.to_lowercase()));
        }
        for (arguments, message) in self.refused {
            let config = format!("ServerAdmin nobody\n{} {arguments}\n", self.name);
            refusal(&config).refuses_with(&["line 2 of", "test.conf", message]);
        }
        self.check_contexts();
        self.check_words();
    }

    fn is_accepted(&self, config: &str) {
        let outcome = scene(config).config_test();
        assert!(outcome.success, "refused:\n{config}\n{}", outcome.output);
    }

    fn check_contexts(&self) {
        let line = format!("{} {}\n", self.name, self.accepted[0]);
        let host = format!("<VirtualHost *:${{PORT}}>\n{line}</VirtualHost>\n");
        match self.contexts {
            Contexts::Main => refusal(&host).refuses_with(&["line 2 of", self.name, "cannot occur within"]),
            _ => self.is_accepted(&host),
        }
        if self.contexts != Contexts::Sections {
            for section in ["Location", "Directory"] {
                let config = format!("<{section} /tmp>\n{line}</{section}>\n");
                refusal(&config).refuses_with(&["line 2 of", self.name, "not allowed"]);
            }
        }
    }

    fn check_words(&self) {
        let refuse = |arguments: &str, message: &str| {
            refusal(&format!("{} {arguments}\n", self.name)).refuses_with(&["line 1 of", self.name, message]);
        };
        match self.words {
            Words::One => {
                refuse("", "takes one argument");
                refuse("a b", "takes one argument");
            }
            Words::OneOrTwo => {
                refuse("", "takes 1-2 arguments");
                refuse("/a b c", "takes 1-2 arguments");
            }
            Words::OnOff => {
                refuse("", "must be On or Off");
                refuse("perhaps", "must be On or Off");
            }
            Words::Line => {}
        }
    }
}

macro_rules! directives {
    ($($test:ident: $name:literal, $contexts:ident, $words:ident, [$($accepted:literal),*], [$($refused:expr),*];)+) => {
        $(#[test]
        fn $test() {
            Directive {
                name: $name,
                contexts: Contexts::$contexts,
                words: Words::$words,
                accepted: &[$($accepted),*],
                refused: &[$($refused),*],
            }
            .check();
        })+

        const NAMES: &[&str] = &[$($name),+];
    };
}

directives! {
    jk_workers_file: "JkWorkersFile", Main, One, ["w.properties", "\"${ROOT}/w.properties\""],
        [("nowhere.properties", "nowhere.properties"), ("logs", "must be a regular file")];
    jk_worker_property: "JkWorkerProperty", Main, Line,
        ["worker.ajp13.port=8009", "worker.ajp13.host = localhost", "my.variable=1", "no-equal-sign", "=value", "key="], [];
    jk_mount_file: "JkMountFile", Hosts, One, ["a.map"],
        [("nowhere.map", "nowhere.map"), ("logs", "must be a regular file")];
    jk_mount_file_reload: "JkMountFileReload", Hosts, One, ["60", "0", "-1", "junk", "5x"], [];
    jk_watchdog_interval: "JkWatchdogInterval", Main, One, ["60", "0", "-1", "junk"], [];
    jk_mount: "JkMount", Sections, OneOrTwo,
        ["/* ajp13", "/a|/* ajp13", "/a \"ajp13;reply_timeout=5\"", "\"/x y\" ajp13"],
        [("/a", "needs a URI pattern and a worker"), ("*.jsp ajp13", "must start with '/'"), ("!/a ajp13", "must start with '/'")];
    jk_un_mount: "JkUnMount", Sections, OneOrTwo,
        ["/* ajp13", "/a|/* *", "/a ajp13"],
        [("/a", "needs a URI pattern and a worker"), ("*.gif ajp13", "must start with '/'")];
    jk_mount_copy: "JkMountCopy", Hosts, One, ["On", "off", "ON"], [("Some", "must be On, Off or All")];
    jk_auto_alias: "JkAutoAlias", Hosts, One, ["/nowhere", "relative"], [];
    jk_strip_session: "JkStripSession", Hosts, OneOrTwo, ["On", "off", "On ;sid"], [("perhaps", "must be On or Off")];
    jk_log_file: "JkLogFile", Hosts, One, ["logs/a.log", "\"${ROOT}/logs/b.log\"", "\"|cat > /dev/null\""], [];
    jk_log_level: "JkLogLevel", Hosts, One, ["trace", "debug", "info", "warn", "error", "emerg", "DEBUG", "chatty"], [];
    jk_log_stamp_format: "JkLogStampFormat", Hosts, One, ["\"[%H:%M] \"", "%Q", "%q", "none", "%"], [];
    jk_request_log_format: "JkRequestLogFormat", Hosts, One, ["\"%w %V %T\"", "%R", "%z"], [];
    jk_shm_file: "JkShmFile", Main, One, ["run/shm", "\"${ROOT}/run/shm\""], [];
    jk_shm_size: "JkShmSize", Main, One, ["1024", "0", "junk", "-5"], [];
    jk_x_keep_edits: "JkXKeepEdits", Main, One, ["On", "off"], [("perhaps", "must be On or Off")];
    jk_worker_indicator: "JkWorkerIndicator", Hosts, One, ["MY_NAME"], [];
    jk_request_id_indicator: "JkRequestIdIndicator", Hosts, One, ["MY_NAME"], [];
    jk_remote_addr_indicator: "JkRemoteAddrIndicator", Hosts, One, ["MY_NAME"], [];
    jk_remote_port_indicator: "JkRemotePortIndicator", Hosts, One, ["MY_NAME"], [];
    jk_remote_host_indicator: "JkRemoteHostIndicator", Hosts, One, ["MY_NAME"], [];
    jk_remote_user_indicator: "JkRemoteUserIndicator", Hosts, One, ["MY_NAME"], [];
    jk_auth_type_indicator: "JkAuthTypeIndicator", Hosts, One, ["MY_NAME"], [];
    jk_local_name_indicator: "JkLocalNameIndicator", Hosts, One, ["MY_NAME"], [];
    jk_local_addr_indicator: "JkLocalAddrIndicator", Hosts, One, ["MY_NAME"], [];
    jk_local_port_indicator: "JkLocalPortIndicator", Hosts, One, ["MY_NAME"], [];
    jk_ignore_cl_indicator: "JkIgnoreCLIndicator", Hosts, One, ["MY_NAME"], [];
    jk_extract_ssl: "JkExtractSSL", Hosts, OnOff, ["On", "off"], [];
    jk_https_indicator: "JkHTTPSIndicator", Hosts, One, ["MY_NAME"], [];
    jk_sslprotocol_indicator: "JkSSLPROTOCOLIndicator", Hosts, One, ["MY_NAME"], [];
    jk_certs_indicator: "JkCERTSIndicator", Hosts, One, ["MY_NAME"], [];
    jk_cipher_indicator: "JkCIPHERIndicator", Hosts, One, ["MY_NAME"], [];
    jk_session_indicator: "JkSESSIONIndicator", Hosts, One, ["MY_NAME"], [];
    jk_keysize_indicator: "JkKEYSIZEIndicator", Hosts, One, ["MY_NAME"], [];
    jk_certchain_prefix: "JkCERTCHAINPrefix", Hosts, One, ["MY_PREFIX_"], [];
    jk_options: "JkOptions", Hosts, Line,
        [
            "+ForwardURIProxy", "ForwardURIEscaped", "+forwarduricompat", "ForwardURICompatUnparsed", "", "+CollapseSlashesAll",
            "CollapseSlashesNone -CollapseSlashesUnmount", "+ForwardDirectories -ForwardLocalAddress +ForwardPhysicalAddress",
            "+FlushPackets +FlushHeader \"+DisableReuse\"", "-ForwardSSLCertChain -ForwardKeySize +RejectUnsafeURI"
        ],
        [
            ("+FlushPacket", "'FlushPackets'"), ("+ FlushPackets", "'+' is not an option"), ("-ForwardURIProxy", "-ForwardURIProxy"),
            ("ForwardSSLKeySize", "ForwardSSLKeySize"), ("+ForwardCertChain", "ForwardCertChain"), ("-ForwardURIWhatever", "-ForwardURIWhatever")
        ];
    jk_env_var: "JkEnvVar", Hosts, OneOrTwo, ["NAME", "NAME default", "NAME \"\""], [];
}

#[test]
fn table_holds_every_directive_of_the_module() {
    let source = include_str!("../../src/apache/directives.rs");
    let names: Vec<&str> = source
        .split("row(")
        .skip(1)
        .filter_map(|row| row.trim_start().strip_prefix("c\"")?.split('"').next())
        .filter(|name| name.starts_with("Jk"))
        .collect();
    assert_eq!(names, NAMES);
    assert_eq!(names.iter().filter(|name| !name.starts_with("JkX")).count(), 37, "those of C mod_jk");
}

#[test]
fn module_answers_to_both_of_its_names() {
    let config =
        "<IfModule jk_module>\nServerAdmin a\n</IfModule>\n<IfModule mod_jk.c>\nNoSuchDirective\n</IfModule>\n";
    refusal(config).refuses_with(&["line 5 of", "NoSuchDirective"]);
}

#[test]
fn empty_words_are_refused_by_httpd() {
    for name in ["JkLogFile", "JkWorkerIndicator", "JkMountFile"] {
        refusal(&format!("{name} \"\"\n")).refuses_with(&["line 1 of", name]);
    }
}

#[test]
fn historical_directives_are_gone() {
    for name in ["JkAutoMount On", "JkCheckPath x"] {
        refusal(&format!("{name}\n")).refuses_with(&["line 1 of", "Invalid command"]);
    }
}

#[test]
fn second_workers_file_is_refused_and_names_the_first() {
    refusal("JkWorkersFile w.properties\nJkWorkersFile w.properties\n").refuses_with(&[
        "line 2 of",
        "JkWorkersFile",
        "once",
        "test.conf:1",
    ]);
}

#[test]
fn mount_copy_all_is_for_the_main_server_only() {
    assert!(scene("JkMountCopy All\n").config_test().success);
    refusal("<VirtualHost *:${PORT}>\nJkMountCopy All\n</VirtualHost>\n")
        .refuses_with(&["line 2 of", "cannot occur within"]);
}

#[test]
fn mounts_in_sections_take_the_worker_only() {
    for name in ["JkMount", "JkUnMount"] {
        for section in ["Location /a", "Location /c/*", "Directory /tmp"] {
            let kind = section.split(' ').next().unwrap();
            let config = format!("<{section}>\n{name} ajp13\n</{kind}>\n");
            let outcome = scene(&config).config_test();
            assert!(outcome.success, "{config}{}", outcome.output);
        }
        refusal(&format!("<Location /a>\n{name} /b ajp13\n</Location>\n")).refuses_with(&[
            "line 2 of",
            "takes the worker only",
            "'/a'",
        ]);
        refusal(&format!("<LocationMatch \"^/a\">\n{name} ajp13\n</LocationMatch>\n"))
            .refuses_with(&["line 2 of", "must start with '/'"]);
        refusal(&format!("<Files x>\n{name} ajp13\n</Files>\n")).refuses_with(&["line 2 of"]);
    }
}

#[test]
fn unknown_worker_attribute_in_a_worker_property_is_refused() {
    let outcome = refusal("ServerAdmin a\nJkWorkerProperty worker.ajp13.prot=8009\n");
    outcome.refuses_with(&["test.conf:2", "worker.ajp13.prot", "port"]);
}
