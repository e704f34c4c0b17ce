//! What the container is told: URIs in the four modes, headers, environment, options, methods.

use super::case::{Case, Group, answer, case, get, vhost};

/// All groups of this file.
pub(crate) fn groups() -> Vec<Group> {
    vec![
        uri_modes(),
        uri_rewrites(),
        headers(),
        env(),
        indicators(),
        env_vars(),
        options(),
        tls_facts(),
        methods(),
        server_names(),
    ]
}

/// The targets of the table of ForwardURI modes (reference: apache-side.md section 4.4).
const TARGETS: &[&str] = &[
    "/a%20b",
    "/a%2Fb",
    "/a%2fb/c",
    "/a%3Bb;jsessionid=1.r",
    "/x;jsessionid=A.n1/y",
    "/%C3%A9",
    "/%c3%a9",
    "/\u{e9}",
    "/a%25b",
    "/a%2525b",
    "/a/%252e%252e/b",
    "/a+b",
    "/a%2Bb",
    "/a%3Fb?q=%20x",
    "/a%23b",
    "/~u/$-_.!*'(),:@&=z",
    "/a%22%3C%3E%5B%5D%5E%60%7B%7C%7D",
    "/a%5Cb",
    "/a\\b",
    "/a%7Fb",
    "/a%01b",
    "/a%0Ab",
    "/a//b",
    "/a/./b",
    "/a/../b",
    "/a/%2e%2e/b",
    "/a/..;/b",
    "/a;x=1/../b",
    "/../b",
    "/a/..;x/..;y/b",
    "http://h/abs/p?q=1",
    "http://other/abs",
    "/?",
    "/a?",
    "/a??b",
    "/a?b?c",
    "/a?%00",
    "/a?x=\u{e9}",
    "/a;",
    "/;a",
    "/a;/b",
    "/a%00b",
    "/a%",
    "/a%2",
    "/a%zz",
    "//",
    "///a",
    "/a/",
    "/a/.",
    "/a/..",
    "/a%26b",
    "/\"<>",
    "/a{b}|c^d`",
];

fn uri_modes() -> Group {
    let mut config = String::from("JkMountCopy All\nJkMount /* w1\n");
    let mut cases = Vec::new();
    let modes = [
        ("proxy", "ForwardURIProxy"),
        ("escaped", "ForwardURIEscaped"),
        ("compat", "ForwardURICompat"),
        ("unparsed", "ForwardURICompatUnparsed"),
    ];
    for (mode, option) in modes {
        for (slashes, setting) in
            [("", ""), ("-on", "AllowEncodedSlashes On\n"), ("-nodecode", "AllowEncodedSlashes NoDecode\n")]
        {
            config += &vhost(&format!("{mode}{slashes}"), &format!("JkOptions {option}\n{setting}"));
            let targets =
                TARGETS.iter().filter(|target| slashes.is_empty() || target.to_ascii_lowercase().contains("%2f"));
            cases.extend(targets.map(|target| aimed(&format!("{mode}{slashes}"), target)));
        }
        config += &vhost(&format!("{mode}-unmerged"), &format!("JkOptions {option}\nMergeSlashes Off\n"));
        let doubled = TARGETS.iter().filter(|target| target.contains("//") && !target.contains("http"));
        cases.extend(doubled.map(|target| aimed(&format!("{mode}-unmerged"), target)));
    }
    Group::new("uri", &config, cases)
}

fn aimed(host: &str, target: &str) -> Case {
    let absolute = target.replace("http://h/", &format!("http://{host}/"));
    get(&absolute).host(host).named(format!("{host} {}", target.escape_default()))
}

fn uri_rewrites() -> Group {
    let rules = "RewriteEngine On\nRewriteRule ^/old/(.*)$ /new/$1 [PT]\nRewriteRule ^/enc/(.*)$ \"/new/a b%25/$1\" [PT]\n\
        RewriteRule ^/q$ /new/q?from=rule [PT]\nRewriteRule ^/ne$ /new/%2541 [PT,NE]\n";
    let modes = ["ForwardURIProxy", "ForwardURIEscaped", "ForwardURICompat", "ForwardURICompatUnparsed"];
    let mut config = String::from("JkMountCopy All\nJkMount /new/* w1\nJkMount /plain/* w2\n");
    let mut cases = Vec::new();
    for mode in modes {
        let host = mode.trim_start_matches("ForwardURI").to_ascii_lowercase();
        config += &vhost(&host, &format!("JkOptions {mode}\n{rules}"));
        for target in ["/old/a%20b", "/old/a;x=y/b", "/enc/c", "/q?own=1", "/q", "/ne", "/plain/a%20b?x", "/old/%252e"]
        {
            cases.push(aimed(&host, target));
        }
    }
    Group::new("uri-rewritten", &config, cases)
}

/// Header lines of one request each, `|` between them.
const HEADERS: &[&str] = &[
    "Accept: */*",
    "Accept-Charset: utf-8",
    "Accept-Encoding: gzip",
    "Accept-Language: de",
    "Authorization: Basic YTpi",
    "Connection: keep-alive",
    "Connection: close",
    "Content-Type: text/plain",
    "Cookie: a=1",
    "Cookie2: $Version=1",
    "Pragma: no-cache",
    "Referer: http://x/",
    "User-Agent: t/1",
    "accept: lower",
    "ACCEPT: UPPER",
    "X-Own: 1",
    "X-Two: 1|X-Two: 2",
    "X-Two: 1|x-two: 2",
    "Accept: a|Accept: b",
    "Cookie: a=1|Cookie: b=2",
    "Cookie: a=1; c=3|Cookie: b=2|Cookie: d=4",
    "Cookie: a=1, b=2",
    "Cookie: a",
    "Cookie:",
    "X-Empty:",
    "X-Empty: ",
    "X-Blank:  \t ",
    "X-Pad:   a   ",
    "X-Tab: a\tb",
    "X-Bytes: \u{e9}\u{ff}",
    "X-Colon: a:b:c",
    "X_Under: 1",
    "X.Dot: 1",
    "Keep-Alive: 300",
    "TE: trailers",
    "Trailer: X-T",
    "Upgrade: websocket|Connection: Upgrade",
    "Proxy-Authorization: Basic YTpi",
    "Proxy-Connection: keep-alive",
    "Transfer-Encoding: identity",
    "Content-Length: 0",
    "Content-Length: 00",
    "Content-Length: +0",
    "Content-Length: -1",
    "Content-Length: a",
    "Content-Length:",
    "Content-Length: 0|Content-Length: 0",
    "Content-Length: 1|Content-Length: 2",
    "Content-Length: 0, 0",
    "Range: bytes=0-1",
    "If-Modified-Since: Sun, 22 Nov 2026 00:00:00 GMT",
    "If-None-Match: \"x\"",
    "Expect: 100-continue",
    "Expect: 200-ok",
    "Via: 1.1 x",
    "X-Forwarded-For: 1.2.3.4",
    "Forwarded: for=1.2.3.4",
    "Max-Forwards: 3",
    "Host: other:81|X: y",
    "Host: h:8443",
    "Host: H",
    "Host: h.",
    "Host: 127.0.0.1",
    "Host: [::1]:80",
    "Host:",
    "Host: a b",
    "Host: h|Host: i",
    "Host: h/x",
    "X-Fold: a|\tb",
    " leading: 1",
    "NoColon",
    "X Space: 1",
    "X-Space : 1",
    "Date: Sun, 22 Nov 2026 00:00:00 GMT",
    "Warning: 199 x",
    "SC_REQ: 1",
    "Content-Encoding: gzip",
    "Ajp-X: 1",
    "JK_LB_ACTIVATION: STP",
    "AJP_REMOTE_PORT: 1",
    "Cookie: x=\"a, b=c\"",
    "Cookie: JSESSIONID=1.a, JSESSIONID=2.b",
];

fn headers() -> Group {
    let mut cases: Vec<Case> = HEADERS
        .iter()
        .map(|row| {
            row.split('|').fold(get("/j/h").named(row.escape_default().to_string()), |case, line| case.header(line))
        })
        .collect();
    let many =
        (0..90).fold(get("/j/h").named("90 headers"), |case, number| case.header(format!("X-{number}: {number}")));
    let many_cookies = (0..20)
        .fold(get("/j/h").named("20 Cookie lines"), |case, number| case.header(format!("Cookie: c{number}={number}")));
    cases.extend([many, many_cookies]);
    cases.extend([100, 4000, 7000, 8000].map(|length| {
        get("/j/h").named(format!("header of {length} bytes")).header(format!("X-Long: {}", "v".repeat(length)))
    }));
    let full = (0..3).fold(get("/j/h").named("headers beyond the packet"), |case, number| {
        case.header(format!("X-{number}: {}", "v".repeat(4000)))
    });
    let wide = (0..3).fold(get("/wide/h").named("headers in a large packet"), |case, number| {
        case.header(format!("X-{number}: {}", "v".repeat(4000)))
    });
    cases.extend([full, wide, get("/j/after").named("after a request that did not fit")]);
    let workers = "worker.list=wide\nworker.wide.reference=worker.w1\nworker.wide.max_packet_size=65536\n";
    Group::new("headers", "JkMount /j/* w1\nJkMount /wide/* wide\nLimitRequestFields 200\n", cases)
        .workers(workers)
        .connections()
}

/// Overriding variables and values; each is tried alone.
const OVERRIDES: &[(&str, &[&str])] = &[
    ("JK_REMOTE_ADDR", &["1.2.3.4", "", "::1", "not an address"]),
    ("JK_REMOTE_PORT", &["1", "", "99999", "x"]),
    ("JK_REMOTE_HOST", &["client.example", ""]),
    ("JK_REMOTE_USER", &["alice", "", "a b"]),
    ("JK_AUTH_TYPE", &["Digest", ""]),
    ("JK_LOCAL_NAME", &["server.example", ""]),
    ("JK_LOCAL_PORT", &["8080", "", "7777x", "x", "0", "65535", "65536", "70000", "-1", " 80"]),
    ("JK_LOCAL_ADDR", &["10.0.0.1", ""]),
    ("JK_IGNORE_CL", &["1", ""]),
    ("JK_ROUTE", &["node1", "", "a b"]),
    ("JK_REPLY_TIMEOUT", &["5000", "0", "-1", ""]),
    ("JK_STICKY_IGNORE", &["1", "", "0"]),
    ("JK_STATELESS", &["1", "", "0"]),
    ("HTTPS", &["on", "ON", "1", "off", ""]),
    ("no-jk", &["1", ""]),
    ("JK_WORKER_NAME", &["w2", "", "w2;use_server_errors=1"]),
];

/// mod_rewrite sets a variable before the mapping, an empty one too; the case's host is the vhost with that one line.
fn overriding(prefix: &str, rows: &[(&str, &[&str])], directives: &str) -> (String, Vec<Case>) {
    let (mut config, mut cases) = (String::new(), Vec::new());
    for (name, values) in rows {
        for (number, value) in (0..).zip(*values) {
            let host = format!("{prefix}{}-{number}", name.to_ascii_lowercase().replace('_', "-"));
            config += &vhost(&host, &format!("{directives}RewriteEngine On\nRewriteRule ^ - \"[E={name}:{value}]\"\n"));
            cases.push(get("/j/e").host(&host).named(format!("{prefix}{name}='{value}'")));
        }
    }
    (config, cases)
}

fn env() -> Group {
    let (config, mut cases) = overriding("", OVERRIDES, "");
    for host in ["jk-ignore-cl-0", "jk-ignore-cl-1"] {
        cases.push(case("POST", "/j/e").host(host).body("12345").named(format!("POST 5 bytes {host}")));
        cases.push(case("POST", "/j/e").host(host).body("").named(format!("POST 0 bytes {host}")));
        cases.push(case("POST", "/j/e").host(host).chunked(&[3]).named(format!("POST chunked {host}")));
        cases.push(
            case("POST", "/j/e")
                .host(host)
                .body(super::case::pattern(20_000))
                .named(format!("POST 20000 bytes {host}")),
        );
    }
    cases.push(get("/j/e").host("late").named("SetEnv acts in the handler"));
    let late =
        vhost("late", "SetEnv JK_REMOTE_ADDR 9.9.9.9\nSetEnv JK_LOCAL_NAME late.example\nSetEnv JK_REMOTE_USER \"\"\n");
    Group::new("env", &["JkMountCopy All\nJkMount /j/* w1\n", &config, &late].concat(), cases)
}

const RENAMED: &str = "JkRemoteAddrIndicator R_A\nJkRemotePortIndicator R_P\nJkRemoteHostIndicator R_H\nJkRemoteUserIndicator R_U\n\
    JkAuthTypeIndicator A_T\nJkLocalNameIndicator L_N\nJkLocalPortIndicator L_P\nJkIgnoreCLIndicator I_C\nJkWorkerIndicator W_I\n\
    JkHTTPSIndicator H_S\nJkSSLPROTOCOLIndicator S_P\nJkCERTSIndicator S_C\nJkCIPHERIndicator C_I\nJkSESSIONIndicator S_I\n\
    JkKEYSIZEIndicator K_S\n";

fn indicators() -> Group {
    let rows: &[(&str, &[&str])] = &[
        ("R_A", &["1.2.3.4", ""]),
        ("R_P", &["1", ""]),
        ("R_H", &["client.example"]),
        ("R_U", &["alice"]),
        ("A_T", &["Digest"]),
        ("L_N", &["server.example"]),
        ("L_P", &["8080"]),
        ("L_A", &["10.0.0.9"]),
        ("JK_REMOTE_ADDR", &["1.2.3.4"]),
        ("JK_LOCAL_ADDR", &["10.0.0.1"]),
        ("JK_REMOTE_USER", &["alice"]),
    ];
    // Inherited from the main server; the second set has them in the virtual host itself.
    let (inherited, mut cases) = overriding("in-", rows, "");
    let (own, more) = overriding(
        "own-",
        &[("L_A", &["10.0.0.9", ""]), ("JK_LOCAL_ADDR", &["10.0.0.1"])],
        "JkLocalAddrIndicator L_A\n",
    );
    cases.extend(more);
    let config = ["JkMountCopy All\nJkMount /j/* w1\nJkLocalAddrIndicator L_A\n", RENAMED, &inherited, &own].concat();
    Group::new("indicators", &config, cases)
}

fn env_vars() -> Group {
    let main = "JkMountCopy All\nJkMount /j/* w1\nJkEnvVar MAIN main\nJkEnvVar BOTH main\nJkEnvVar UNSET\nSetEnvIfExpr true FROM_ENV=env \
        \nJkEnvVar FROM_ENV default\nJkEnvVar EMPTY default\n";
    let own = "JkEnvVar OWN own\nJkEnvVar both vhost\nSetEnvIfExpr true OWN_SET=1 BOTH=set\nJkEnvVar OWN_SET\n";
    let common = "JkEnvVar SERVER_ADDR\nJkEnvVar REMOTE_ADDR\nJkEnvVar DOCUMENT_ROOT\nJkEnvVar SERVER_NAME\nJkEnvVar HTTP_X_OWN\n\
        JkEnvVar HTTP_AUTHORIZATION none\nJkEnvVar REQUEST_URI none\nJkEnvVar QUERY_STRING none\nJkEnvVar REQUEST_METHOD none\n\
        JkEnvVar SCRIPT_NAME none\nJkEnvVar SERVER_PROTOCOL none\nJkEnvVar REQUEST_SCHEME\nJkEnvVar CONTEXT_PREFIX none\n\
        JkEnvVar SERVER_SIGNATURE none\nJkEnvVar PATH none\n";
    let config = [
        main,
        &vhost("inherits", "SetEnvIfExpr true FROM_ENV=env\nRewriteEngine On\nRewriteRule ^ - [E=EMPTY:]\n"),
        &vhost("own", own),
        &vhost("common", common),
        &vhost("common-nossl", &[common, "JkExtractSSL Off\n"].concat()),
        &vhost("redefined", "JkEnvVar A 1\nJkEnvVar B 2\nJkEnvVar a 3\nJkEnvVar E \"\"\nJkEnvVar F \"x y\"\n"),
        &vhost("late", "JkEnvVar LATE no\nSetEnv LATE yes\n"),
        &vhost("unset", "JkEnvVar GONE default\nSetEnvIfExpr true GONE=1\nUnsetEnv GONE\n"),
        &vhost("reserved", "JkEnvVar AJP_REMOTE_PORT 1\nJkEnvVar JK_LB_ACTIVATION STP\n"),
    ]
    .concat();
    let hosts = ["inherits", "own", "common", "common-nossl", "redefined", "late", "unset", "reserved"];
    let header =
        |host: &&str| get("/j/e?q=1").host(host).header("X-Own: yes").header("Authorization: Basic YTpi").named(*host);
    Group::new("env-vars", &config, hosts.iter().map(header).collect())
}

fn options() -> Group {
    let rows = [
        ("none", ""),
        ("escaped", "JkOptions +ForwardURIEscaped\n"),
        ("compat", "JkOptions ForwardURICompat\n"),
        ("last", "JkOptions +ForwardURICompat +ForwardURIEscaped\n"),
        ("local", "JkOptions +ForwardLocalAddress\n"),
        ("physical", "JkOptions +ForwardPhysicalAddress\n"),
        ("minus-local", "JkOptions -ForwardLocalAddress\n"),
        ("minus-physical", "JkOptions -ForwardPhysicalAddress\n"),
        ("both", "JkOptions +ForwardLocalAddress\nJkOptions +ForwardPhysicalAddress\n"),
        ("plus-minus", "JkOptions +FlushPackets -FlushPackets +FlushPackets\n"),
        ("minus-flush", "JkOptions -FlushPackets\n"),
        ("flush", "JkOptions +FlushPackets\n"),
        ("flush-header", "JkOptions +flushheader\n"),
        ("reuse", "JkOptions +DisableReuse\n"),
        ("minus-reuse", "JkOptions -DisableReuse\n"),
        ("collapse", "JkOptions +CollapseSlashesNone\n"),
        ("empty", "JkOptions\n"),
        ("quoted", "JkOptions \"+ForwardURICompat\" +FlushHeader\n"),
    ];
    let mut groups = String::from(
        "JkMountCopy All\nJkMount /j/* w1\nJkOptions ForwardURICompat +ForwardLocalAddress +FlushHeader\n",
    );
    let mut cases = Vec::new();
    for (host, directives) in rows {
        groups += &vhost(host, directives);
        for round in 1..=2 {
            cases.push(get("/j/a%20b").host(host).named(format!("{host} request {round}")));
        }
    }
    Group::new("options", &groups, cases).connections()
}

fn tls_facts() -> Group {
    let facts = "SetEnvIfExpr true HTTPS=on SSL_PROTOCOL=TLSv1.3 SSL_CIPHER=X-Y SSL_SESSION_ID=abc SSL_CIPHER_USEKEYSIZE=256 \
        SSL_CLIENT_CERT=own SSL_CLIENT_CERT_CHAIN_1=one SSL_CLIENT_CERT_CHAIN_0=zero ssl_client_cert_chain_2=two\n";
    let config = [
        "JkMountCopy All\nJkMount /j/* w1\n",
        &vhost("all", facts),
        &vhost("off", &[facts, "JkExtractSSL Off\n"].concat()),
        &vhost("chain", &[facts, "JkOptions +ForwardSSLCertChain\n"].concat()),
        &vhost("prefix", &[facts, "JkOptions +ForwardSSLCertChain\nJkCERTCHAINPrefix SSL_CLIENT_CERT_CHAIN_1\n"].concat()),
        &vhost("nokey", &[facts, "JkOptions -ForwardKeySize\n"].concat()),
        &vhost("bare", "SetEnvIfExpr true HTTPS=on\n"),
        &vhost("barechain", "SetEnvIfExpr true HTTPS=on\nJkOptions +ForwardSSLCertChain\n"),
        &vhost("onlychain", "SetEnvIfExpr true HTTPS=on SSL_CLIENT_CERT_CHAIN_0=zero\nJkOptions +ForwardSSLCertChain\n"),
        &vhost("empty", "RewriteEngine On\nRewriteRule ^ - [E=HTTPS:on,E=SSL_PROTOCOL:,E=SSL_CIPHER:,E=SSL_SESSION_ID:,E=SSL_CIPHER_USEKEYSIZE:,E=SSL_CLIENT_CERT:]\n"),
        &vhost("odd", "SetEnvIfExpr true HTTPS=On SSL_CIPHER_USEKEYSIZE=12x\n"),
        &vhost("words", "SetEnvIfExpr true HTTPS=on SSL_CIPHER_USEKEYSIZE=many\n"),
        &vhost("huge", "SetEnvIfExpr true HTTPS=on SSL_CIPHER_USEKEYSIZE=70000\n"),
        &vhost("negative", "SetEnvIfExpr true HTTPS=on SSL_CIPHER_USEKEYSIZE=-1\n"),
        &vhost("negative-2", "SetEnvIfExpr true HTTPS=on SSL_CIPHER_USEKEYSIZE=-2\n"),
        &vhost("plain", "SetEnvIfExpr true SSL_CIPHER=X-Y\n"),
        &vhost("renamed", "JkHTTPSIndicator TLS\nJkCIPHERIndicator CI\nSetEnvIfExpr true TLS=on CI=mine SSL_CIPHER=X\n"),
    ]
    .concat();
    let hosts = [
        "all",
        "off",
        "chain",
        "prefix",
        "nokey",
        "bare",
        "barechain",
        "onlychain",
        "empty",
        "odd",
        "words",
        "huge",
        "negative",
        "negative-2",
        "plain",
        "renamed",
    ];
    Group::new("tls-facts", &config, hosts.iter().map(|host| get("/j/s").host(host).named(*host)).collect())
}

fn methods() -> Group {
    let known = [
        "OPTIONS",
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "DELETE",
        "TRACE",
        "PROPFIND",
        "PROPPATCH",
        "MKCOL",
        "COPY",
        "MOVE",
        "LOCK",
        "UNLOCK",
        "ACL",
        "REPORT",
        "VERSION-CONTROL",
        "CHECKIN",
        "CHECKOUT",
        "UNCHECKOUT",
        "SEARCH",
        "MKWORKSPACE",
        "UPDATE",
        "LABEL",
        "MERGE",
        "BASELINE-CONTROL",
        "MKACTIVITY",
        "PATCH",
        "QUERY",
        "get",
        "Post",
        "X",
        "PURGE",
        "BREW",
        "M-SEARCH",
        "CONNECT",
        "PRI",
    ];
    let mut cases: Vec<_> = known.iter().map(|method| case(method, "/j/m").named(*method)).collect();
    cases.push(case("OPTIONS", "*"));
    cases.push(case("PROPFIND", "/j/m").body("<x/>"));
    cases.push(case("BREW", "/j/m").body("tea"));
    cases.push(case("GET", "/j/m").body("body of a GET").named("GET with body"));
    cases.push(case("HEAD", "/j/m").answers(200, "OK", &["Content-Length: 5"], "").named("HEAD with length"));
    cases.push(case("HEAD", "/j/m").answers(404, "No", &[], "").named("HEAD 404"));
    cases.push(case("DELETE", "/j/m").answer(answer(204, "Gone", &[], "")).named("DELETE 204"));
    Group::new("methods", "JkMount /j/* w1\n", cases)
}

fn server_names() -> Group {
    let config = [
        "JkMountCopy All\nJkMount /j/* w1\n",
        &vhost("first", ""),
        &vhost("canon", "UseCanonicalName On\nServerAlias alias\n"),
        &vhost("canonport", "UseCanonicalName On\nUseCanonicalPhysicalPort On\nServerAlias aliasport\n"),
        &vhost("named.example:8123", "UseCanonicalName On\n"),
        &vhost("https://sec.example", "UseCanonicalName On\n"),
        &vhost("dns", "UseCanonicalName DNS\n"),
        &vhost("physical", "UseCanonicalPhysicalPort On\n"),
    ]
    .concat();
    let hosts = [
        "first",
        "first:99",
        "canon",
        "canon:99",
        "alias",
        "alias:99",
        "canonport:99",
        "aliasport",
        "named.example",
        "named.example:1",
        "sec.example",
        "physical",
        "physical:99",
        "unknown",
        "unknown:99",
    ];
    let mut cases: Vec<_> = hosts.iter().map(|host| get("/j/n").host(host).named(*host)).collect();
    cases.push(get("http://canon:77/j/n").named("absolute URI").host("other"));
    cases.push(get("/j/n").version("HTTP/1.0").named("HTTP/1.0 with a Host"));
    Group::new("server-name", &config, cases)
}
