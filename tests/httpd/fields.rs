//! The fields and attributes of a forwarded request, and the environment variables that replace them.
//!
//! Not here: the URI (`uri_modes.rs`), bodies (`forwarding.rs`, `streaming.rs`). The surprising thing: the scripted container decodes
//! strictly, so every request of every test here proves the order of attributes too.

use std::fmt::Write as _;

use crate::support::backend::{Backend, Seen, ask, get, text};
use crate::support::http_client::{Body, Client, Request};

/// A field of the request as text; `None` is AJP's null or an attribute that was not sent.
type Field = fn(&Seen) -> Option<String>;

/// Variable, directive that renames it, where its value goes.
const OVERRIDES: [(&str, &str, Field); 8] = [
    ("JK_REMOTE_ADDR", "JkRemoteAddrIndicator", |seen| seen.request.remote_addr.as_deref().map(text)),
    ("JK_REMOTE_PORT", "JkRemotePortIndicator", |seen| seen.attribute("AJP_REMOTE_PORT")),
    ("JK_REMOTE_HOST", "JkRemoteHostIndicator", |seen| seen.request.remote_host.as_deref().map(text)),
    ("JK_REMOTE_USER", "JkRemoteUserIndicator", |seen| seen.request.remote_user.as_deref().map(text)),
    ("JK_AUTH_TYPE", "JkAuthTypeIndicator", |seen| seen.request.auth_type.as_deref().map(text)),
    ("JK_LOCAL_NAME", "JkLocalNameIndicator", |seen| seen.request.server_name.as_deref().map(text)),
    ("JK_LOCAL_ADDR", "JkLocalAddrIndicator", |seen| seen.attribute("AJP_LOCAL_ADDR")),
    ("JK_LOCAL_PORT", "JkLocalPortIndicator", |seen| Some(seen.request.server_port.to_string())),
];

fn location(path: &str, directives: &str) -> String {
    format!("<Location \"{path}\">\n{directives}</Location>\n")
}

#[test]
fn fields_are_the_facts_of_the_connection() {
    let backend = Backend::echo();
    let httpd = backend.httpd().start();
    let mut client = Client::connect(httpd.address()).unwrap();
    let port = client.local_addr().unwrap().port().to_string();
    client.exchange(&Request::new("GET", "/").header("Host", "www.example.test:8088")).unwrap();
    let seen = backend.last();
    let expected: [Option<&str>; 8] =
        [Some("127.0.0.1"), Some(&port), None, None, None, Some("www.example.test"), Some("127.0.0.1"), Some("8088")];
    for ((variable, _, field), expected) in OVERRIDES.iter().zip(expected) {
        assert_eq!(field(&seen).as_deref(), expected, "{variable}");
    }
    assert_eq!((text(&seen.request.protocol).as_str(), seen.request.is_ssl), ("HTTP/1.1", false));
}

#[test]
fn variables_replace_fields() {
    let backend = Backend::echo();
    let mut config = String::new();
    for (number, (variable, _, _)) in OVERRIDES.iter().enumerate() {
        config += &location(&format!("/{number}"), &format!("SetEnv {variable} 4711\n"));
    }
    let httpd = backend.httpd().config(&config).start();
    for (number, (variable, _, field)) in OVERRIDES.iter().enumerate() {
        get(&httpd, &format!("/{number}"));
        assert_eq!(field(&backend.last()).as_deref(), Some("4711"), "{variable}");
    }
}

#[test]
fn empty_variables_replace_fields_too() {
    let backend = Backend::echo();
    let mut config = String::new();
    for (number, (variable, _, _)) in OVERRIDES.iter().enumerate() {
        config += &location(&format!("/{number}"), &format!("SetEnv {variable}\n"));
    }
    let httpd = backend.httpd().config(&config).start();
    let empty = [None, None, None, None, None, Some(""), Some(""), Some("0")];
    for (number, ((variable, _, field), expected)) in OVERRIDES.iter().zip(empty).enumerate() {
        get(&httpd, &format!("/{number}"));
        let found = field(&backend.last());
        // An attribute has no null on the wire: an empty value is what the container reads as one.
        let found = found.filter(|value| !(value.is_empty() && *variable == "JK_REMOTE_PORT"));
        assert_eq!(found.as_deref(), expected, "{variable}");
    }
}

#[test]
fn variables_can_be_renamed() {
    let backend = Backend::echo();
    let mut config = String::new();
    for (number, (variable, directive, _)) in OVERRIDES.iter().enumerate() {
        writeln!(config, "{directive} MY_{number}").unwrap();
        config += &location(&format!("/{number}"), &format!("SetEnv MY_{number} 4711\nSetEnv {variable} 13\n"));
    }
    let httpd = backend.httpd().config(&config).start();
    for (number, (variable, _, field)) in OVERRIDES.iter().enumerate() {
        get(&httpd, &format!("/{number}"));
        assert_eq!(field(&backend.last()).as_deref(), Some("4711"), "{variable}");
    }
}

#[test]
fn local_port_is_read_as_far_as_it_is_a_number() {
    let backend = Backend::echo();
    let httpd = backend.httpd().config(&location("/x", "SetEnv JK_LOCAL_PORT 7777x\n")).start();
    get(&httpd, "/x");
    assert_eq!(backend.last().request.server_port, 7777);
}

#[test]
fn address_options_choose_whose_address_is_sent() {
    let backend = Backend::echo();
    let config = "RemoteIPHeader X-Client\nRemoteIPInternalProxy 127.0.0.1\n\
                  <VirtualHost *:${PORT}>\nServerName user.test\nJkMount /* w\n</VirtualHost>\n\
                  <VirtualHost *:${PORT}>\nServerName peer.test\nJkMount /* w\nJkOptions +ForwardPhysicalAddress\n</VirtualHost>\n\
                  <VirtualHost *:${PORT}>\nServerName local.test\nJkMount /* w\nJkOptions +ForwardLocalAddress\n</VirtualHost>\n";
    let httpd = backend.unmounted().load("mod_remoteip").config(config).start();
    for (host, address, port_is_zero) in
        [("user.test", "192.0.2.7", false), ("peer.test", "127.0.0.1", false), ("local.test", "127.0.0.1", true)]
    {
        ask(&httpd, &Request::new("GET", "/").header("Host", host).header("X-Client", "192.0.2.7"));
        let seen = backend.last();
        assert_eq!(seen.request.remote_addr.as_deref().map(text).as_deref(), Some(address), "{host}");
        assert!(!port_is_zero || seen.attribute("AJP_REMOTE_PORT").as_deref() == Some("0"), "{host}");
    }
}

#[test]
fn remote_user_and_auth_type_come_from_mod_auth_basic() {
    let backend = Backend::echo();
    // The hash of "secret" is not what is tested: a {SHA} line of htpasswd.
    let config =
        "<Location />\nAuthType Basic\nAuthName test\nAuthUserFile ${ROOT}/users\nRequire valid-user\n</Location>\n";
    let httpd = ["mod_auth_basic", "mod_authn_core", "mod_authn_file", "mod_authz_user"]
        .iter()
        .fold(backend.httpd(), |builder, module| builder.load(module))
        .file("users", "anna:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
        .config(config)
        .start();
    assert_eq!(get(&httpd, "/").status(), 401);
    assert_eq!(backend.count(), 0);
    let response = ask(&httpd, &Request::new("GET", "/").header("Authorization", "Basic YW5uYTpzZWNyZXQ="));
    assert_eq!(response.status(), 200);
    let seen = backend.last().request;
    assert_eq!(seen.remote_user.as_deref().map(text).as_deref(), Some("anna"));
    assert_eq!(seen.auth_type.as_deref().map(text).as_deref(), Some("Basic"));
}

#[test]
fn remote_host_is_sent_when_httpd_looks_it_up() {
    let backend = Backend::echo();
    let httpd = backend.httpd().config("HostnameLookups On\n").start();
    get(&httpd, "/");
    let name = backend.last().request.remote_host.as_deref().map(text);
    assert!(name.is_some_and(|name| !name.is_empty()), "the name of 127.0.0.1, or the address when it has none");
}

#[test]
fn attributes_come_in_order_and_env_vars_last() {
    let backend = Backend::echo();
    let config = "JkEnvVar SECOND default\nJkEnvVar UNSET\nJkEnvVar FIRST\nJkEnvVar WITH_DEFAULT \"a b\"\nJkEnvVar EMPTY\n\
                  JkEnvVar DEFAULT_IS_EMPTY \"\"\nSetEnv FIRST 1\nSetEnv SECOND 2\nSetEnv EMPTY\nSetEnv SSL_PROTOCOL TLSv1.3\nSetEnv HTTPS on\n";
    let httpd = backend.httpd().config(config).start();
    get(&httpd, "/");
    let seen = backend.last();
    let attributes: Vec<(String, String)> =
        seen.request.attributes.iter().map(|(name, value)| (text(name), text(value))).collect();
    let names: Vec<&str> = attributes.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "AJP_SSL_PROTOCOL",
            "AJP_REMOTE_PORT",
            "AJP_LOCAL_ADDR",
            "JK_LB_ACTIVATION",
            "SECOND",
            "FIRST",
            "WITH_DEFAULT",
            "EMPTY"
        ]
    );
    let value = |name: &str| seen.attribute(name).unwrap();
    assert_eq!((value("SECOND"), value("WITH_DEFAULT"), value("EMPTY")), ("2".into(), "a b".into(), String::new()));
    assert_eq!((value("AJP_SSL_PROTOCOL"), value("JK_LB_ACTIVATION")), ("TLSv1.3".into(), "ACT".into()));
}

#[test]
fn env_vars_include_what_httpd_tells_to_cgi() {
    let backend = Backend::echo();
    let config = "JkEnvVar SERVER_ADDR\nJkEnvVar DOCUMENT_ROOT\nJkEnvVar HTTP_X_A\nJkEnvVar REQUEST_URI\nJkEnvVar HTTP_AUTHORIZATION\n";
    let httpd = backend.httpd().config(config).start();
    ask(&httpd, &Request::new("GET", "/").header("X-A", "b").header("Authorization", "Basic eDp5"));
    let seen = backend.last();
    assert_eq!(
        (seen.attribute("SERVER_ADDR").as_deref(), seen.attribute("HTTP_X_A").as_deref()),
        (Some("127.0.0.1"), Some("b"))
    );
    assert!(seen.attribute("DOCUMENT_ROOT").is_some_and(|root| root.ends_with("/htdocs")));
    assert_eq!((seen.attribute("REQUEST_URI"), seen.attribute("HTTP_AUTHORIZATION")), (None, None));
}

#[test]
fn redefined_env_var_takes_the_last_default() {
    let backend = Backend::echo();
    let httpd = backend.httpd().config("JkEnvVar Name one\nJkEnvVar NAME two\n").start();
    get(&httpd, "/");
    assert_eq!(backend.last().attribute("Name").as_deref(), Some("two"));
}

#[test]
fn secret_is_sent_with_every_request_and_never_logged() {
    let backend = Backend::echo();
    let workers = format!("worker.list=w\n{}worker.w.secret=open sesame\n", backend.worker("w"));
    let httpd = backend.httpd().workers(&workers).config("JkLogLevel trace\n").start();
    for _ in 0..2 {
        get(&httpd, "/");
        assert_eq!(backend.last().request.secret.as_deref(), Some(&b"open sesame"[..]));
    }
    httpd.await_jk_log("Service finished");
    assert!(!httpd.jk_log().contains("open sesame"));
}

#[test]
fn content_length_is_what_the_body_demands() {
    let backend = Backend::echo();
    let httpd = backend.httpd().config(&location("/ignored", "SetEnv JK_IGNORE_CL\n")).start();
    let rows: [(&str, Body, Option<&str>); 5] = [
        ("/", Body::None, Some("0")),
        ("/", Body::Length(Vec::new()), Some("0")),
        ("/", Body::Length(b"abc".to_vec()), Some("3")),
        ("/", Body::Chunked(vec![b"abc".to_vec()]), None),
        ("/ignored", Body::None, Some("0")),
    ];
    for (target, body, expected) in rows {
        let what = format!("{target} {body:?}");
        ask(&httpd, &Request::new("POST", target).body(body));
        assert_eq!(backend.last().header("Content-Length").as_deref(), expected, "{what}");
    }
}

#[test]
fn appended_content_length_is_the_last_header() {
    let backend = Backend::echo();
    let httpd = backend.httpd().start();
    ask(&httpd, &Request::new("GET", "/").header("X-Last", "1"));
    let headers = backend.last().request.headers;
    let (name, value) = headers.last().unwrap();
    assert_eq!((text(name).to_lowercase(), value.as_slice()), ("content-length".to_owned(), &b"0"[..]));
}

#[test]
fn tls_facts_are_sent_when_https_is_on() {
    let backend = Backend::echo();
    let facts = "SetEnv SSL_CLIENT_CERT cert\nSetEnv SSL_CIPHER AES\nSetEnv SSL_SESSION_ID ab12\nSetEnv SSL_PROTOCOL TLSv1.2\n\
                 SetEnv SSL_CIPHER_USEKEYSIZE 256\n";
    let config = ["on", "ON", "1", "off"]
        .map(|value| location(&format!("/https-{value}"), &format!("SetEnv HTTPS {value}\n{facts}")))
        .concat();
    let httpd = backend.httpd().config(&config).start();
    for (value, is_on) in [("on", true), ("ON", true), ("1", false), ("off", false)] {
        get(&httpd, &format!("/https-{value}"));
        let seen = backend.last();
        let on = |text: &str| is_on.then(|| text.as_bytes().to_vec());
        let request = &seen.request;
        assert_eq!(request.is_ssl, is_on, "{value}");
        assert_eq!((&request.ssl_cert, &request.ssl_cipher), (&on("cert"), &on("AES")), "{value}");
        assert_eq!((&request.ssl_session, request.ssl_key_size), (&on("ab12"), is_on.then_some(256)), "{value}");
        assert_eq!(seen.attribute("AJP_SSL_PROTOCOL").is_some(), is_on, "{value}");
    }
}

#[test]
fn tls_variables_can_be_renamed() {
    let backend = Backend::echo();
    let names = ["HTTPS", "SSLPROTOCOL", "CERTS", "CIPHER", "SESSION", "KEYSIZE"];
    let mut config =
        String::from("JkOptions +ForwardSSLCertChain\nJkCERTCHAINPrefix MY_CHAIN_\nSetEnv MY_CHAIN_0 -c0\n");
    for name in names {
        writeln!(config, "Jk{name}Indicator MY_{name}").unwrap();
    }
    config += "SetEnv MY_HTTPS on\nSetEnv MY_SSLPROTOCOL p\nSetEnv MY_CERTS cert\nSetEnv MY_CIPHER c\nSetEnv MY_SESSION s\nSetEnv MY_KEYSIZE 40\n";
    let httpd = backend.httpd().config(&config).start();
    get(&httpd, "/");
    let seen = backend.last();
    let request = &seen.request;
    assert!(request.is_ssl);
    assert_eq!((request.ssl_cert.as_deref(), request.ssl_cipher.as_deref()), (Some(&b"cert-c0"[..]), Some(&b"c"[..])));
    assert_eq!((request.ssl_session.as_deref(), request.ssl_key_size), (Some(&b"s"[..]), Some(40)));
    assert_eq!(seen.attribute("AJP_SSL_PROTOCOL").as_deref(), Some("p"));
}

#[test]
fn tls_facts_can_come_in_headers_from_a_proxy_in_front() {
    let backend = Backend::echo();
    let config = "JkHTTPSIndicator HTTP_X_HTTPS\nJkCERTSIndicator HTTP_X_CERT\nJkCIPHERIndicator HTTP_X_CIPHER\nJkRemoteAddrIndicator HTTP_X_CLIENT\n";
    let httpd = backend.httpd().config(config).start();
    let request = Request::new("GET", "/").header("X-HTTPS", "on").header("X-Cert", "CERT").header("X-Cipher", "AES");
    ask(&httpd, &request.header("X-Client", "192.0.2.9"));
    let request = backend.last().request;
    assert!(request.is_ssl);
    assert_eq!((request.ssl_cert.as_deref(), request.ssl_cipher.as_deref()), (Some(&b"CERT"[..]), Some(&b"AES"[..])));
    assert_eq!(request.remote_addr.as_deref(), Some(&b"192.0.2.9"[..]));
}

#[test]
fn tls_facts_that_are_absent_or_odd_have_defined_values() {
    let backend = Backend::echo();
    let config = location("/bare", "SetEnv HTTPS on\nSetEnv SSL_CLIENT_CERT\nSetEnv SSL_PROTOCOL\n")
        + &location("/odd", "SetEnv HTTPS on\nSetEnv SSL_CIPHER_USEKEYSIZE strong\n");
    let httpd = backend.httpd().config(&config).start();
    get(&httpd, "/bare");
    let seen = backend.last();
    let request = &seen.request;
    assert_eq!((&request.ssl_cert, &request.ssl_cipher, &request.ssl_session), (&None, &None, &None));
    assert_eq!((request.ssl_key_size, seen.attribute("AJP_SSL_PROTOCOL")), (None, None));
    get(&httpd, "/odd");
    assert_eq!(backend.last().request.ssl_key_size, Some(0));
}

#[test]
fn tls_facts_can_be_switched_off() {
    let backend = Backend::echo();
    let facts = "SetEnv HTTPS on\nSetEnv SSL_CIPHER_USEKEYSIZE 256\n";
    let config = format!(
        "{facts}<VirtualHost *:${{PORT}}>\nServerName none.test\n{facts}JkExtractSSL Off\nJkMount /* w\n</VirtualHost>\n\
         <VirtualHost *:${{PORT}}>\nServerName size.test\n{facts}JkOptions -ForwardKeySize\nJkMount /* w\n</VirtualHost>\n"
    );
    let httpd = backend.unmounted().config(&config).start();
    ask(&httpd, &Request::new("GET", "/").header("Host", "none.test"));
    assert!(!backend.last().request.is_ssl);
    ask(&httpd, &Request::new("GET", "/").header("Host", "size.test"));
    let request = backend.last().request;
    assert_eq!((request.is_ssl, request.ssl_key_size), (true, None));
}
