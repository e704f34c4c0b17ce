//! With httpd's other modules, through a balancer, and in the logs.

use super::case::{Case, Group, Step, answer, case, get, request, usual, vhost};
use super::run::REQUEST_LOG;

/// All groups of this file.
pub(crate) fn groups() -> Vec<Group> {
    vec![
        other_modules(),
        authenticated(),
        remote_ip(),
        deflated(),
        included(),
        proxied(),
        sticky(),
        session_cookies(),
        balanced(),
        refused(),
        request_log(),
    ]
}

fn other_modules() -> Group {
    let config = [
        "JkMountCopy All\nJkMount /j/* w1\n",
        &vhost("headers", "RequestHeader set X-Added yes\nRequestHeader unset X-Drop\nRequestHeader append X-More b\nHeader set X-Out yes\n\
            Header unset X-Gone\nHeader add Set-Cookie own=1\nHeader edit X-Edit a b\nHeader always set X-Always yes\n"),
        &vhost("early", "RequestHeader set X-Early yes early\nRequestHeader set Cookie \"a=%{HTTP_HOST}e\"\n"),
        &vhost("unique", "JkEnvVar UNIQUE_KNOWN no\nSetEnvIf UNIQUE_ID . UNIQUE_KNOWN=yes\n"),
        &vhost("rewritecond", "RewriteEngine On\nRewriteCond %{QUERY_STRING} secret\nRewriteRule ^ - [F]\n"),
        &vhost("setenvif", "SetEnvIf User-Agent bot no-jk\nSetEnvIf X-Route (.*) JK_ROUTE=$1\n"),
        &vhost("limits", "LimitRequestLine 100\nLimitRequestFieldSize 100\nLimitRequestFields 5\n"),
        &vhost("expires", "ExpiresActive On\nExpiresDefault A0\nHeader unset Expires\n"),
        &vhost("types", "AddType text/x-j .j\nAddHandler foo .j\nForceType text/forced\nAddCharset utf-8 .j\nAddDefaultCharset utf-8\n"),
        &vhost("trace", "TraceEnable Off\n"),
        &vhost("require", "<Location /j/closed>\nRequire all denied\n</Location>\n<Location /j/method>\nRequire method GET\n</Location>\n"),
        &vhost("slotted", "<LocationMatch \"^/j/m\">\nSetEnv JK_REMOTE_HOST matched\n</LocationMatch>\n<If \"%{REQUEST_URI} =~ m#^/j/if#\">\nSetEnv JK_REMOTE_HOST iffed\n</If>\n"),
        &vhost("filter", "SetOutputFilter INCLUDES\n"),
    ]
    .concat();
    let mut cases = vec![
        get("/j/a").host("headers").header("X-Drop: 1").header("X-More: a").answers(
            200,
            "OK",
            &["X-Gone: 1", "X-Edit: aa", "Set-Cookie: back=1", "X-Always: no"],
            "ok",
        ),
        get("/j/a").host("headers").answers(404, "No", &["X-Gone: 1"], "no").named("headers 404"),
        get("/j/a").host("early"),
        get("/j/a").host("unique"),
        get("/j/a?secret").host("rewritecond"),
        get("/j/a?other").host("rewritecond"),
        get("/j/a").host("setenvif").header("User-Agent: bot").named("bot"),
        get("/j/a").host("setenvif").header("X-Route: r1").named("route from a header"),
        get(&format!("/j/{}", "x".repeat(200))).host("limits").named("long line"),
        get("/j/a").host("limits").header(format!("X: {}", "x".repeat(200))).named("long field"),
        get("/j/a").host("expires"),
        get("/j/a.j").host("types"),
        get("/j/a.j").host("types").answers(200, "OK", &[], "no type").named("types, without a type"),
        get("/j/a.j").host("types").answers(200, "OK", &["Content-Type: text/html"], "x").named("types, html"),
        case("TRACE", "/j/a").host("trace"),
        case("TRACE", "/j/a").host("unique").named("TRACE on"),
        get("/j/closed/x").host("require"),
        get("/j/x/../closed/x").host("require"),
        get("/j/closed;a/x").host("require"),
        get("/j/x/..;/closed/x").host("require"),
        get("/j//closed").host("require"),
        get("/j/method").host("require"),
        case("POST", "/j/method").host("require"),
        get("/j/m").host("slotted"),
        get("/j/if").host("slotted"),
        get("/j/a")
            .host("filter")
            .answers(200, "OK", &["Content-Type: text/html"], "<!--#echo var=\"REQUEST_METHOD\" -->")
            .named("answer through INCLUDES"),
    ];
    for case in &mut cases {
        case.name = format!(
            "{} {}",
            String::from_utf8_lossy(case.requests[0].headers.first().map_or(b"", Vec::as_slice)),
            case.name
        );
    }
    Group::new("modules", &config, cases).modules(&["mod_unique_id", "mod_expires", "mod_authz_host", "mod_include"])
}

/// alice:secret, as htpasswd -d writes it in plain for tests.
const USERS: &str = "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n";

fn authenticated() -> Group {
    let auth = "AuthType Basic\nAuthName realm\nAuthBasicProvider file\nAuthUserFile users\nRequire valid-user\n";
    let config = format!(
        "JkMount /* w1\n<Location /closed>\n{auth}</Location>\n<Location /named>\n{auth}SetEnv JK_REMOTE_USER other\nSetEnv JK_AUTH_TYPE own\n</Location>\n\
         <Location /nobody>\n{auth}SetEnv JK_REMOTE_USER \"\"\n</Location>\n<Location /fake>\n{auth}\nRequestHeader unset Authorization\n</Location>\n"
    );
    let mut cases = Vec::new();
    for target in ["/open", "/closed/x", "/named/x", "/nobody/x", "/fake/x", "/closed;a=b/x", "/open/..;/closed/x"] {
        cases.push(get(target).named(format!("{target} without a user")));
        cases.push(get(target).header("Authorization: Basic YWxpY2U6c2VjcmV0").named(format!("{target} alice")));
        cases.push(
            get(target).header("Authorization: Basic YWxpY2U6d3Jvbmc=").named(format!("{target} wrong password")),
        );
    }
    Group::new("auth", &config, cases)
        .modules(&["mod_authn_core", "mod_auth_basic", "mod_authn_file", "mod_authz_user"])
        .file("users", USERS)
}

fn remote_ip() -> Group {
    let remote = "RemoteIPHeader X-Forwarded-For\nRemoteIPInternalProxy 127.0.0.1\n";
    let config = [
        "JkMountCopy All\nJkMount /j/* w1\n",
        &vhost("logical", remote),
        &vhost("physical", &[remote, "JkOptions +ForwardPhysicalAddress\n"].concat()),
        &vhost("local", &[remote, "JkOptions +ForwardLocalAddress\n"].concat()),
        &vhost("lookups", &[remote, "HostnameLookups Off\n"].concat()),
    ]
    .concat();
    let mut cases = Vec::new();
    for host in ["logical", "physical", "local", "lookups"] {
        for value in ["1.2.3.4", "1.2.3.4, 5.6.7.8", "2001:db8::1", "junk"] {
            cases.push(
                get("/j/a").host(host).header(format!("X-Forwarded-For: {value}")).named(format!("{host} {value}")),
            );
        }
        cases.push(get("/j/a").host(host).named(format!("{host} without the header")));
    }
    Group::new("remote-ip", &config, cases).modules(&["mod_remoteip"])
}

fn deflated() -> Group {
    let config = [
        "JkMountCopy All\nJkMount /j/* w1\n",
        &vhost("out", "SetOutputFilter DEFLATE\n"),
        &vhost("bytype", "AddOutputFilterByType DEFLATE text/html\n"),
        &vhost("in", "SetInputFilter DEFLATE\n"),
        &vhost("sub", "AddOutputFilterByType SUBSTITUTE text/html\nSubstitute s/old/new/\n"),
    ]
    .concat();
    let html = |length: usize| answer(200, "OK", &["Content-Type: text/html"], &"<p>old text</p>".repeat(length));
    let known = |length: &'static [&'static str]| answer(200, "OK", length, "<p>old text</p>");
    let mut cases = Vec::new();
    for host in ["out", "bytype", "sub"] {
        for size in [1, 400] {
            cases.push(
                get("/j/a")
                    .host(host)
                    .header("Accept-Encoding: gzip")
                    .answer(html(size))
                    .named(format!("{host} gzip {size}")),
            );
            cases.push(get("/j/a").host(host).answer(html(size)).named(format!("{host} plain {size}")));
        }
        let length = known(&["Content-Type: text/html", "Content-Length: 15"]);
        cases.push(
            get("/j/a").host(host).header("Accept-Encoding: gzip").answer(length).named(format!("{host} with length")),
        );
        let coded = known(&["Content-Type: text/html", "Content-Encoding: gzip"]);
        cases.push(
            get("/j/a").host(host).header("Accept-Encoding: gzip").answer(coded).named(format!("{host} coded already")),
        );
        let tagged = known(&["Content-Type: text/html", "ETag: \"x\""]);
        cases.push(
            get("/j/a").host(host).header("Accept-Encoding: gzip").answer(tagged).named(format!("{host} tagged")),
        );
        cases.push(
            case("HEAD", "/j/a")
                .host(host)
                .header("Accept-Encoding: gzip")
                .answers(200, "OK", &["Content-Type: text/html"], "")
                .named(format!("{host} HEAD")),
        );
        cases.push(
            get("/j/a")
                .host(host)
                .header("Accept-Encoding: gzip")
                .answers(404, "No", &["Content-Type: text/html"], "old")
                .named(format!("{host} 404")),
        );
        cases.push(
            get("/j/a")
                .host(host)
                .header("Accept-Encoding: gzip")
                .answers(304, "No", &["Content-Type: text/html"], "")
                .named(format!("{host} 304")),
        );
    }
    let gzip = *b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xffKLJ\x06\x00\xc2A$5\x03\x00\x00\x00";
    cases.push(
        case("POST", "/j/a").host("in").header("Content-Encoding: gzip").body(gzip).named("gzip in, with length"),
    );
    let chunked = [&b"17\r\n"[..], &gzip, b"\r\n0\r\n\r\n"].concat();
    cases.push(
        case("POST", "/j/a")
            .host("in")
            .header("Content-Encoding: gzip")
            .header("Transfer-Encoding: chunked")
            .sent(chunked)
            .named("gzip in, chunked"),
    );
    cases.push(case("POST", "/j/a").host("in").body("plain").named("plain in"));
    Group::new("deflate", &config, cases).modules(&["mod_filter", "mod_deflate", "mod_substitute"])
}

fn included() -> Group {
    let config = "JkMount /j/* w1\nJkMount /k/* w2\nAddType text/html .shtml\nAddOutputFilter INCLUDES .shtml\nOptions +Includes\n\
        ErrorDocument 404 /j/missing\n";
    let pages = [
        ("htdocs/virtual.shtml", "[<!--#include virtual=\"/j/part?x=1\" -->]\n"),
        ("htdocs/two.shtml", "[<!--#include virtual=\"/j/a\" -->|<!--#include virtual=\"/k/b\" -->]\n"),
        ("htdocs/file.shtml", "[<!--#include file=\"part.txt\" -->]\n"),
        ("htdocs/local.shtml", "[<!--#include virtual=\"/part.txt\" -->]\n"),
        ("htdocs/part.txt", "part"),
    ];
    let mut cases: Vec<Case> =
        ["/virtual.shtml", "/two.shtml", "/file.shtml", "/local.shtml", "/virtual.shtml?q=outer", "/none.txt"]
            .map(get)
            .into_iter()
            .collect();
    cases.push(case("POST", "/virtual.shtml").body("abc"));
    cases.push(case("HEAD", "/virtual.shtml"));
    cases.push(get("/virtual.shtml").answers(404, "No", &[], "nothing").named("included part is 404"));
    cases.push(
        get("/virtual.shtml")
            .answers(200, "OK", &["Set-Cookie: a=1", "Content-Length: 2"], "ok")
            .named("included part has headers"),
    );
    cases.push(get("/none.txt").answers(404, "Lost", &[], "own page").named("ErrorDocument of the container"));
    pages.into_iter().fold(Group::new("include", config, cases).modules(&["mod_include"]), |group, (name, text)| {
        group.file(name, text)
    })
}

fn proxied() -> Group {
    let config = "ProxyPass /j/not !\nProxyPass /j/ http://127.0.0.1:1/\nJkMount /j/* w1\n<Location /sh>\nSetHandler jakarta-servlet\n\
        SetEnv JK_WORKER_NAME w1\n</Location>\nProxyPass /sh/ http://127.0.0.1:1/\nRewriteEngine On\n\
        RewriteRule ^/rp/(.*)$ http://127.0.0.1:1/$1 [P]\nJkMount /rp/* w1\n";
    let cases = ["/j/a", "/j/not/a", "/sh/a", "/sh", "/rp/a"].map(get).into_iter().collect();
    Group::new("proxy", config, cases).modules(&["mod_proxy", "mod_proxy_http"])
}

/// Path, and what is sent as Cookie. Not here: ids whose route is empty or odd, for which C reads a dead stack frame (reference: lb-shm-status.md
/// section 9.1) and sends the request anywhere.
const SESSIONS: &[(&str, &str)] = &[
    ("/s", "JSESSIONID=abc.w2"),
    ("/s", "JSESSIONID=\"abc.w2\""),
    ("/s", "JSESSIONID=\"abc.w2"),
    ("/s", "JSESSIONID = abc.w2"),
    ("/s", "a=b;JSESSIONID=abc.w3"),
    ("/s", "a=b; JSESSIONID=abc.w3; c=d"),
    ("/s", "a=b,JSESSIONID=abc.w3,c=d"),
    ("/s", "jsessionid=abc.w2"),
    ("/s", "XJSESSIONID=abc.w2"),
    ("/s", "JSESSIONIDX=abc.w2"),
    ("/s", "JSESSIONID=abc.w2 ;x=y"),
    ("/s", "JSESSIONID=a.zz; JSESSIONID=b.w3"),
    ("/s", "JSESSIONID=nodot; JSESSIONID=b.w3"),
    ("/s", "JSESSIONID=\"\"; JSESSIONID=b.w3"),
    ("/s", "JSESSIONID=; JSESSIONID=b.w3"),
    ("/s", "JSESSIONID=a.w2; JSESSIONID=b.w3"),
    ("/s", "JSESSIONID=.w3"),
    ("/s;jsessionid=abc.w3", "JSESSIONID=abc.w2"),
    ("/s;jsessionid=abc.w3", ""),
    ("/s;jsessionid=abc.zz", "JSESSIONID=abc.w2"),
    ("/s;jsessionid=abc", "JSESSIONID=abc.w2"),
    ("/s;JSESSIONID=abc.w3", ""),
    ("/s?jsessionid=a.w3", ""),
    ("/s;jsessionid=/y", "JSESSIONID=abc.w2"),
    ("/s;jsessionid=", "JSESSIONID=abc.w2"),
    ("/s;a=b;jsessionid=abc.w3;c=d", ""),
    ("/s;jsessionid=abc.w3/t", ""),
    ("/s%3Bjsessionid=abc.w3", ""),
    ("/s;jsessionid=abc.w3?x=1", ""),
    ("/s", ""),
];

fn sticky_cases(host: &str) -> impl Iterator<Item = Case> + use<'_> {
    SESSIONS.iter().map(move |(target, cookie)| {
        let case = get(target).host(host).named(format!("{host} {target} [{cookie}]"));
        if cookie.is_empty() { case } else { case.header(format!("Cookie: {cookie}")) }
    })
}

fn variable(name: &str, value: &str) -> String {
    format!("JkMount /* lb\nRewriteEngine On\nRewriteRule ^ - \"[E={name}:{value}]\"\n")
}

fn sticky() -> Group {
    let config = [
        vhost("plain", "JkMount /* lb\n").as_str(),
        &vhost("rule-ignore", "JkMount /* lb;sticky_ignore=1\n"),
        &vhost("rule-ignore0", "JkMount /* lb;sticky_ignore=0\n"),
        &vhost("rule-cookie", "JkMount /* lb;session_cookie=SID;session_path=;sid\n"),
        &vhost("rule-stateless", "JkMount /* lb;stateless=1\n"),
        &vhost("rule-stopped", "JkMount /* lb;stopped=w2\n"),
        &vhost("rule-disabled", "JkMount /* lb;disabled=w2,w1\n"),
        &vhost("rule-unknown", "JkMount /* lb;stopped=nobody\n"),
        &vhost("off", "JkMount /* loose\n"),
        &vhost("one", "JkMount /* single\n"),
        &vhost("force", "JkMount /* force\n"),
        &vhost("ignore-1", &variable("JK_STICKY_IGNORE", "1")),
        &vhost("ignore-empty", &variable("JK_STICKY_IGNORE", "")),
        &vhost("ignore-0", &variable("JK_STICKY_IGNORE", "0")),
        &vhost("ignore-true", &variable("JK_STICKY_IGNORE", "true")),
        &vhost("route-w3", &variable("JK_ROUTE", "w3")),
        &vhost("route-zz", &variable("JK_ROUTE", "zz")),
        &vhost("route-empty", &variable("JK_ROUTE", "")),
        &vhost("route-loose", &variable("JK_ROUTE", "w3").replace("lb", "loose")),
        &vhost("stateless-1", &variable("JK_STATELESS", "1")),
        &vhost("own-names", "JkMount /* named\n"),
    ]
    .concat();
    let mut cases: Vec<Case> = sticky_cases("plain").collect();
    for host in [
        "rule-ignore",
        "rule-ignore0",
        "rule-cookie",
        "rule-stateless",
        "rule-stopped",
        "rule-disabled",
        "rule-unknown",
        "off",
        "one",
        "force",
        "ignore-1",
        "ignore-empty",
        "ignore-0",
        "ignore-true",
        "route-w3",
        "route-zz",
        "route-empty",
        "route-loose",
        "stateless-1",
        "own-names",
    ] {
        for (target, cookie) in [
            ("/s", ""),
            ("/s", "JSESSIONID=a.w2"),
            ("/s", "JSESSIONID=a.zz"),
            ("/s;jsessionid=a.w3", ""),
            ("/s;sid=a.w3", ""),
            ("/s", "SID=a.w2"),
        ] {
            let case = get(target).host(host).named(format!("{host} {target} [{cookie}]"));
            cases.push(if cookie.is_empty() { case } else { case.header(format!("Cookie: {cookie}")) });
        }
    }
    cases.push(
        get("/s")
            .host("plain")
            .header("Cookie: JSESSIONID=a.zz")
            .header("Cookie: JSESSIONID=b.w3")
            .named("two Cookie lines"),
    );
    let workers = "worker.w2.distance=1\nworker.w3.distance=1\nworker.list=loose,single,force,named\nworker.loose.type=lb\nworker.loose.balance_workers=w1,w2,w3\nworker.loose.sticky_session=0\n\
        worker.single.type=lb\nworker.single.balance_workers=w1\nworker.force.type=lb\nworker.force.balance_workers=w1,w2,w3\n\
        worker.force.sticky_session_force=1\nworker.named.type=lb\nworker.named.balance_workers=w1,w2,w3\nworker.named.session_cookie=SID\n\
        worker.named.session_path=;sid\n";
    Group::new("sticky", &config, cases).workers(workers).without_counters()
}

fn session_cookies() -> Group {
    let config = [
        vhost("lb", "JkMount /* set\n").as_str(),
        &vhost("rule", "JkMount /* lb;set_session_cookie=1\n"),
        &vhost("rulepath", "JkMount /* lb;set_session_cookie=1;session_cookie_path=/rule\n"),
        &vhost("rulename", "JkMount /* lb;set_session_cookie=1;session_cookie=RULE\n"),
        &vhost("one", "JkMount /* setone\n"),
        &vhost("secure", "JkMount /* set\nSetEnvIfExpr true HTTPS=on\n"),
        &vhost("ignored", "JkMount /* set;sticky_ignore=1\n"),
        &vhost("errors", "JkMount /* set;use_server_errors=400\n"),
    ]
    .concat();
    let mut cases = Vec::new();
    for host in ["lb", "rule", "rulepath", "rulename", "one", "secure", "ignored"] {
        for cookie in ["", "JSESSIONID=a.w2", "JSESSIONID=a.zz", "SID=a.w2", "RULE=a.w2"] {
            let case = get("/c").host(host).named(format!("{host} [{cookie}]"));
            let case = if cookie.is_empty() { case } else { case.header(format!("Cookie: {cookie}")) };
            cases.push(case.answers(200, "OK", &["Set-Cookie: back=1"], "ok"));
        }
    }
    cases.push(get("/c").host("errors").answers(404, "No", &[], "no").named("server error page"));
    cases.push(get("/c").host("lb").answers(304, "", &[], "").named("304"));
    let workers = "worker.list=set,setone\nworker.set.type=lb\nworker.set.balance_workers=w1,w2,w3\nworker.set.set_session_cookie=1\n\
        worker.set.session_cookie=SID\nworker.set.session_cookie_path=/app\nworker.setone.type=lb\nworker.setone.balance_workers=w1\n\
        worker.setone.set_session_cookie=1\n";
    Group::new("set-cookie", &config, cases).workers(workers)
}

fn balanced() -> Group {
    let config = [
        vhost("requests", "JkMount /* lb\n").as_str(),
        &vhost("sessions", "JkMount /* sessions\n"),
        &vhost("traffic", "JkMount /* traffic\n"),
        &vhost("busy", "JkMount /* busy\n"),
        &vhost("next", "JkMount /* next\n"),
        &vhost("distance", "JkMount /* far\n"),
        &vhost("redirect", "JkMount /* redirected\n"),
        &vhost("broken", "JkMount /* broken\n"),
        &vhost("alldown", "JkMount /* alldown\n"),
    ]
    .concat();
    let mut cases = Vec::new();
    for host in ["requests", "sessions", "traffic", "busy", "next", "distance", "broken"] {
        cases.extend((1..=6).map(|number| get("/b").host(host).named(format!("{host} request {number}"))));
    }
    for cookie in ["JSESSIONID=a.stop", "JSESSIONID=a.dis", "JSESSIONID=a.here"] {
        cases.push(get("/b").host("redirect").header(format!("Cookie: {cookie}")).named(format!("redirect {cookie}")));
    }
    cases.push(get("/b").host("alldown"));
    cases.push(case("POST", "/b").host("alldown").body("abc"));
    cases.push(case("POST", "/b").host("broken").body("abc").named("POST past a member that is down"));
    let closing = vec![Step::ReadBody, Step::Close];
    cases.push(
        case("POST", "/b")
            .host("requests")
            .body("abc")
            .answers_in_turn(vec![closing, usual()])
            .named("POST, the first member closes"),
    );
    cases.push(get("/b").host("requests").then(request("GET", "/b2")).named("pipelined"));
    Group::new("balance", &config, cases).workers(BALANCERS)
}

/// What was read of an answer that is refused depends on how its packets came, so the counters are no facts here.
fn refused() -> Group {
    let mut cases = Vec::new();
    let down = answer(503, "Busy", &[], "busy");
    cases.push(get("/b").host("failing").answers_in_turn(vec![down, usual()]).named("fail_on_status of a member"));
    cases.push(get("/b").host("failing").named("after fail_on_status"));
    Group::new("refused", &vhost("failing", "JkMount /* failing\n"), cases).workers(BALANCERS).without_counters()
}

const BALANCERS: &str = "\
worker.list=sessions,traffic,busy,next,far,redirected,broken,alldown,failing
worker.sessions.type=lb
worker.sessions.balance_workers=w1,w2,w3
worker.sessions.method=Session
worker.traffic.type=lb
worker.traffic.balance_workers=w1,w2,w3
worker.traffic.method=Traffic
worker.busy.type=lb
worker.busy.balance_workers=w1,w2,w3
worker.busy.method=Busyness
worker.next.type=lb
worker.next.balance_workers=w1,w2,w3
worker.next.method=Next
worker.near.reference=worker.w1
worker.near.distance=0
worker.near.lbfactor=2
worker.wide.reference=worker.w2
worker.wide.distance=1
worker.far.type=lb
worker.far.balance_workers=wide,near
worker.stop.reference=worker.w1
worker.stop.activation=S
worker.stop.redirect=here
worker.dis.reference=worker.w2
worker.dis.activation=D
worker.here.reference=worker.w3
worker.redirected.type=lb
worker.redirected.balance_workers=stop,dis,here
worker.dead.reference=worker.down
worker.well.reference=worker.w2
worker.broken.type=lb
worker.broken.balance_workers=dead,well
worker.dead1.reference=worker.down
worker.dead2.reference=worker.down
worker.alldown.type=lb
worker.alldown.balance_workers=dead1,dead2
worker.alldown.retries=1
worker.fail1.reference=worker.w1
worker.fail1.fail_on_status=503
worker.fail2.reference=worker.w2
worker.failing.type=lb
worker.failing.balance_workers=fail1,fail2
";

fn request_log() -> Group {
    assert_eq!(REQUEST_LOG, "T r ");
    let format = "r w=%w R=%R s=%s b=%b B=%B m=%m H=%H U=%U q=%q V=%V v=%v p=%p r=[%r] took=%T \\\\ \\t.";
    let config = format!(
        "JkLogStampFormat \"T \"\nJkRequestLogFormat \"{format}\"\nJkMountCopy All\nJkMount /j/* w1\nJkMount /lb/* lb\nJkMount /none/* nobody\n\
         JkMount /down/* down\n{}{}{}",
        vhost("first", ""),
        vhost("canon", "UseCanonicalName On\n"),
        vhost("short", "JkRequestLogFormat \"r %s %b\"\n"),
    );
    let mut cases = vec![
        get("/j/a?x=y"),
        get("/j/a;b=c/../d"),
        get("/lb/a"),
        get("/none/a"),
        get("/down/a"),
        get("/a.txt"),
        get("/nothing"),
        get("/j/a").answers(204, "", &[], "").named("204"),
        get("/j/a").answers(404, "", &[], "").named("404"),
        get("/j/a").answers(200, "OK", &["Content-Length: 5"], "12345").named("5 bytes"),
        case("HEAD", "/j/a"),
        case("POST", "/j/a").body("abc"),
        get("/j/a").version("HTTP/1.0"),
        get("/j/a").host("canon:99").named("canon"),
        get("/j/a").host("short").named("short"),
        get("http://user:pass@first/j/a").named("password in the request line"),
        get("/lb/a").header("Cookie: JSESSIONID=a.w2").named("sticky"),
        get("/j/%25%22a").named("escapes"),
        get("/j/a").then(request("GET", "/j/b")).named("two"),
    ];
    for (number, case) in (0..).zip(&mut cases) {
        case.name = format!("{number} {}", case.name);
    }
    Group::new("request-log", &config, cases).file("htdocs/a.txt", "static\n")
}
