//! Which requests reach which worker: patterns, order, exclusions, disabled rules, mount files, virtual hosts, sections.

use super::case::{Case, Group, get, vhost};

/// All groups of this file.
pub(crate) fn groups() -> Vec<Group> {
    vec![
        patterns(),
        mount_file(),
        copied(),
        copied_to_all(),
        sections(),
        directories(),
        stripped(),
        aliased(),
        unsafe_uris(),
    ]
}

fn targets(list: &[&str]) -> Vec<Case> {
    list.iter().map(|target| get(target)).collect()
}

/// `host target` each.
fn hosted(list: &[&str]) -> Vec<Case> {
    let cases = list.iter().filter_map(|row| row.split_once(' '));
    cases.map(|(host, target)| get(target).host(host).named(format!("{host} {target}"))).collect()
}

const PATTERNS: &str = r#"
JkMount /app/* w1
JkMount /*.jsp w2
JkMount /exact w3
JkMount /ctx|/* w1
JkUnMount /app/static/* w1
JkUnMount /app/other/* w2
JkUnMount /app/any/* *
JkMount /q/?.do w3
JkMount "/x y" w2
JkMount /p%q w2
JkMount /dup w1
JkMount /dup|/z w2
JkMount /three|/a|/b w3
JkMount /deep/a/* w1
JkMount /deep/* w2
JkUnMount /deep/a/s/* w1
JkMount /same w1
JkMount /same w3
JkMount /star/*/end w2
JkMount /nobody/* nobody
JkMount /long/* w1
JkMount /noext/* w1;
JkMount /badext/* w1;what=ever
JkMount /un w1
JkUnMount /un w1
JkUnMount /app/t?p w1
JkUnMount /app/twice w1
JkUnMount /app/twice w2
"#;

fn patterns() -> Group {
    let mut cases = targets(&[
        "/app/",
        "/app",
        "/app/x",
        "/app/x.jsp",
        "/x.jsp",
        "/x.jsp/y",
        "/x.JSP",
        "/a/b/c.jsp",
        "/.jsp",
        "/exact",
        "/exact/",
        "/exactly",
        "/exact?a=b",
        "/ctx",
        "/ctx/",
        "/ctx/a",
        "/ctxa",
        "/app/static/a",
        "/app/static",
        "/app/other/a",
        "/app/any/a",
        "/q/a.do",
        "/q/ab.do",
        "/q//.do",
        "/x%20y",
        "/p%25q",
        "/p%q",
        "/dup",
        "/dup/z",
        "/three",
        "/three/a|/b",
        "/three/a",
        "/deep/a/x",
        "/deep/b/x",
        "/deep/a/s/x",
        "/deep/a/s/x.jsp",
        "/same",
        "/star/a/end",
        "/star//end",
        "/star/a/b/end",
        "/star/a/ends",
        "/nobody/a",
        "/noext/a",
        "/badext/a",
        "/un",
        "/app/top",
        "/app/toop",
        "/App/x",
        "/",
        "/a.txt",
        "/none",
        "//app//x",
        "/app/./x",
        "/app/../app/x",
        "/app/x/../static/a",
        "/app//static/a",
        "/app/static;a=b/a",
        "/app;v=1/static/a",
        "/app/;a/x",
        "/none/../app/x",
        "/app/%2e%2e/none",
        "/app/..;/none",
        "/app/.;x/b",
        "/..;/app/x",
        "/none/..;/..;/x",
        "/app%2fx",
        "/app/%73tatic/a",
        "/app/x%00y",
        "/app/x%0ay",
        "/app\\x",
        "/app/..%5cx",
        "/app/%252e%252e/x",
        "/app/%zz",
        "/%61pp/x",
        "/app/#frag",
        "*",
    ]);
    cases.push(get("/app/twice"));
    for length in [4095, 4096, 4097, 8000] {
        let target = format!("/long/{}", "x".repeat(length - 6));
        cases.push(get(&target).named(format!("URI of {length} bytes")));
    }
    let target = format!("/long/{}x", "a/../".repeat(900));
    cases.push(get(&target).named("long URI that is short when normalised"));
    Group::new("patterns", PATTERNS, cases).config("LimitRequestLine 20000\n").file("htdocs/a.txt", "static\n")
}

const MOUNT_FILE: &str = r#"
# a comment
/f/*=w1
/f/off=w2
-/f/off2/*=w2
/f/off2/*=w3
!/f/no/*=w1
-!/f/yes/*=w1
!/f/wild/*=*
!-/f/bad/*=w1
*.do=w2
/g|/*=w2
!/g|/x=w2
/eq=w1=x
/blank  =   w3
/trail=w3 # comment
/dup=w1
/dup=w2
nothing
/empty=
/both/*=w3
/ext/*=w1;use_server_errors=400
/ext/spaced/*=w1; use_server_errors=400
/var/*=$(WHO)
WHO=w2
/var2/*=$(WHO)
/fail/*=w1;fail_on_status=404,-503
/t/*=down;reply_timeout=500
"#;

fn mount_file() -> Group {
    let mut cases = targets(&[
        "/f/a",
        "/f/off",
        "/f/off2/a",
        "/f/no/a",
        "/f/yes/a",
        "/f/wild/a",
        "/f/bad/a",
        "/a.do",
        "/g",
        "/g/",
        "/g/x",
        "/g/y",
        "/eq",
        "/blank",
        "/trail",
        "/dup",
        "/nothing",
        "/empty",
        "/both/a",
        "/both/jk/a",
        "/var/a",
        "/var2/a",
        "/mine/a",
        "/t/a",
    ]);
    cases.push(get("/ext/a").answers(404, "No", &[], "backend's page"));
    cases.push(get("/ext/b").answers(399, "No", &[], "backend's page"));
    cases.push(get("/ext/spaced/a").answers(404, "No", &[], "backend's page"));
    cases.push(get("/fail/a").answers(404, "No", &[], "backend's page"));
    cases.push(get("/fail/b").answers(503, "No", &[], "backend's page"));
    cases.push(get("/fail/c").answers(500, "No", &[], "backend's page"));
    let config = "JkMountFile map.properties\nJkMount /both/* w1\nJkMount /both/jk/* w2\nJkMount /mine/* w2\n";
    Group::new("mount-file", config, cases).file("map.properties", MOUNT_FILE)
}

fn copied() -> Group {
    let config = [
        "JkMount /main/* w1\nJkMount /both/* w1\nJkUnMount /main/no/* w1\nJkMountFile main.properties\n",
        &vhost("plain", ""),
        &vhost("own", "JkMount /own/* w2\n"),
        &vhost("on", "JkMountCopy On\n"),
        &vhost("onown", "JkMountCopy On\nJkMount /own/* w2\nJkMount /both/* w2\nJkUnMount /main/mine/* w1\n"),
        &vhost("onfile", "JkMountCopy On\nJkMountFile own.properties\n"),
        &vhost("off", "JkMountCopy Off\n"),
        &vhost("file", "JkMountFile own.properties\n"),
    ]
    .concat();
    let mut rows = Vec::new();
    for host in ["plain", "own", "on", "onown", "onfile", "off", "file"] {
        for target in ["/main/a", "/both/a", "/main/no/a", "/mainfile/a", "/own/a", "/main/mine/a", "/ownfile/a"] {
            rows.push(format!("{host} {target}"));
        }
    }
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    Group::new("mount-copy", &config, hosted(&rows))
        .file("main.properties", "/mainfile/*=w3\n")
        .file("own.properties", "/ownfile/*=w3\n/both/*=w3\n")
}

fn copied_to_all() -> Group {
    let config = [
        "JkMount /main/* w1\n",
        &vhost("plain", ""),
        &vhost("own", "JkMount /own/* w2\n"),
        &vhost("off", "JkMountCopy Off\nJkMount /own/* w2\n"),
        &vhost("option", "JkOptions +ForwardURICompat\n"),
        "JkMountCopy All\n",
    ]
    .concat();
    let rows = [
        "plain /main/a",
        "plain /own/a",
        "own /main/a",
        "own /own/a",
        "off /main/a",
        "off /own/a",
        "option /main/a%20b",
        "plain /prop/a",
        "own /prop/a",
    ];
    Group::new("copy-all", &config, hosted(&rows)).workers("worker.w3.mount=/prop/*\n")
}

const SECTIONS: &str = r#"
<Location /a>
JkMount w1
</Location>
<Location /b/*>
JkMount w2
</Location>
<Location /b/no/*>
JkUnMount w2
</Location>
<Location /h>
SetHandler jakarta-servlet
</Location>
<Location /hw>
SetHandler jakarta-servlet
SetEnv JK_WORKER_NAME w3
</Location>
<Location /hx>
SetHandler jakarta-servlet
SetEnv JK_WORKER_NAME "w3;use_server_errors=400"
</Location>
<Location /hn>
SetHandler jakarta-servlet
SetEnv JK_WORKER_NAME nobody
</Location>
<Location /he>
SetHandler jakarta-servlet
SetEnv JK_WORKER_NAME ""
</Location>
<Location /upper>
SetHandler JAKARTA-servlet
</Location>
<Location /old>
SetHandler application/x-jakarta-servlet
SetEnv JK_WORKER_NAME w3
</Location>
<Location /hm/m>
SetHandler jakarta-servlet
SetEnv JK_WORKER_NAME w3
</Location>
JkMount /hm/* w1
<Location /secret>
Require all denied
</Location>
<Location /m/secret>
Require all denied
</Location>
JkMount /m/* w1
SetEnvIf Request_URI "^/m/nojk/" no-jk
SetEnvIf Request_URI "^/m/nojkempty/" no-jk=
<Location /m/late>
SetEnv no-jk 1
</Location>
RewriteEngine On
RewriteRule ^/rw/pt/(.*)$ /m/$1 [PT]
RewriteRule ^/rw/plain/(.*)$ /m/$1
RewriteRule ^/rw/h/(.*)$ /x/$1 [H=jakarta-servlet,E=JK_WORKER_NAME:w2]
RewriteRule ^/m/rwnojk/ - [E=no-jk:1]
RewriteRule ^/m/args$ /m/args2?b=2 [QSA,PT]
RewriteRule ^/m/out/(.*)$ /none/$1 [PT]
RewriteRule ^/m/gone - [G]
Redirect /m/redirect /elsewhere
Alias /m/alias "${ROOT}/htdocs/sub"
<Directory "${ROOT}/htdocs/denied">
Require all denied
</Directory>
JkMount /denied/* w2
"#;

fn sections() -> Group {
    let mut cases = targets(&[
        "/a",
        "/a/x",
        "/b/x",
        "/b",
        "/b/no/x",
        "/h",
        "/h/x",
        "/h/a.txt",
        "/hw",
        "/hw/x",
        "/hw/a/../b",
        "/hw/x;a=b/y",
        "/hw//x",
        "/hn/x",
        "/he/x",
        "/upper",
        "/old",
        "/hm/x",
        "/hm/m/x",
        "/secret",
        "/m/secret",
        "/m/secret/x",
        "/m/secret;x",
        "/m;a/secret",
        "/m/x/..;/secret",
        "/m//secret",
        "/m/nojk/x",
        "/m/nojkempty/x",
        "/m/late",
        "/m/late/x",
        "/rw/pt/x?q=1",
        "/rw/pt/x%20y",
        "/rw/plain/x",
        "/rw/h/x",
        "/m/rwnojk/x",
        "/m/args?a=1",
        "/m/out/x",
        "/m/gone",
        "/m/redirect/x",
        "/m/alias/in.txt",
        "/denied/x",
        "/m/",
    ]);
    cases.push(get("/hx/a").answers(404, "No", &[], "backend's page"));
    cases.push(get("/hx/b").answers(200, "Yes", &[], "backend's page"));
    Group::new("sections", SECTIONS, cases)
        .file("htdocs/h/a.txt", "static\n")
        .file("htdocs/sub/in.txt", "aliased\n")
        .file("htdocs/m/late", "late\n")
}

fn directories() -> Group {
    let common = "DirectoryIndex index.jsp index.html\nJkMount /*.jsp w1\nOptions +Indexes\n";
    let config = [
        vhost("off", common).as_str(),
        &vhost("on", &[common, "JkOptions +ForwardDirectories\n"].concat()),
        &vhost("rule", &[common, "JkOptions +ForwardDirectories\nJkMount /plain/ w2\nJkMount /none/|* w3\n"].concat()),
        &vhost(
            "nojsp",
            "DirectoryIndex index.html\nJkOptions +ForwardDirectories\nJkMount /x/* w2\nOptions +Indexes\n",
        ),
        &vhost("ext", "DirectoryIndex index.jsp\nJkMount /*.jsp w1;use_server_errors=400\n"),
    ]
    .concat();
    let mut cases = Vec::new();
    for host in ["off", "on", "rule", "nojsp"] {
        for target in ["/html/", "/html", "/jsp/", "/both/", "/plain/", "/none/", "/plain/?q=1"] {
            cases.push(get(target).host(host).named(format!("{host} {target}")));
        }
    }
    cases.push(get("/jsp/").host("ext").named("extensions after an index").answers(404, "No", &[], "backend's page"));
    cases.push(get("/plain/").host("ext").named("extensions without an index").answers(
        404,
        "No",
        &[],
        "backend's page",
    ));
    Group::new("directories", &config, cases)
        .modules(&["mod_autoindex"])
        .file("htdocs/html/index.html", "index\n")
        .file("htdocs/jsp/index.jsp", "jsp source\n")
        .file("htdocs/both/index.html", "index\n")
        .file("htdocs/both/index.jsp", "jsp source\n")
        .file("htdocs/plain/a.txt", "a\n")
}

fn stripped() -> Group {
    let config = [
        vhost("on", "JkStripSession On\nJkMount /app/* w1\n").as_str(),
        &vhost("sid", "JkStripSession On ;sid\nJkMount /app/* w1\n"),
        &vhost("off", "JkStripSession Off\nJkMount /app/* w1\n"),
        &vhost("nomap", "JkStripSession On\n"),
    ]
    .concat();
    let mut rows = Vec::new();
    for host in ["on", "sid", "off", "nomap"] {
        for target in [
            "/f.txt;jsessionid=1",
            "/f.txt;jsessionid=1;x=y",
            "/d;jsessionid=a.b/f.txt",
            "/f.txt;sid=1",
            "/f.txt;sidfoo",
            "/f.txt;JSESSIONID=1",
            "/app/x;jsessionid=1",
            "/f.txt;jsessionid",
            "/f.txt;jsessionid=1/x",
        ] {
            rows.push(format!("{host} {target}"));
        }
    }
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    Group::new("strip", &config, hosted(&rows)).file("htdocs/f.txt", "f\n").file("htdocs/d/f.txt", "d/f\n")
}

fn aliased() -> Group {
    let config = "JkAutoAlias \"${ROOT}/webapps\"\nJkMount /*.jsp w1\nDirectoryIndex index.html\n\
        <Directory \"${ROOT}/webapps\">\nRequire all granted\nOptions +Indexes\n</Directory>\n";
    let cases = targets(&[
        "/app1/f.txt",
        "/app1/f.txt;jsessionid=1",
        "/app1/x.jsp",
        "/app1",
        "/app1/",
        "/app1/WEB-INF/web.xml",
        "/app1/web-inf/web.xml",
        "/app1/META-INF",
        "/app1/WEB-INF;x/web.xml",
        "/app1//WEB-INF/web.xml",
        "/none/WEB-INF/x",
        "/app1/sub/WEB-INF/x.txt",
        "/app1/sub/s.txt",
        "/app1/WEB-INF%20/x",
        "/a.war",
        "/A.WAR",
        "/b.war",
        "/b.war/x",
        "/top.txt",
        "/app1/none",
        "/only.txt",
        "/app1/./f.txt",
        "/app1/%66.txt",
        "/",
        "/app1/index.html",
        "/app2/",
    ]);
    Group::new("auto-alias", config, cases)
        .modules(&["mod_autoindex"])
        .file("webapps/app1/f.txt", "app1 f\n")
        .file("webapps/app1/WEB-INF/web.xml", "<web/>\n")
        .file("webapps/app1/sub/WEB-INF/x.txt", "nested\n")
        .file("webapps/app1/sub/s.txt", "sub\n")
        .file("webapps/app1/index.html", "index of app1\n")
        .file("webapps/app2/a.txt", "a\n")
        .file("webapps/a.war", "zip\n")
        .file("webapps/top.txt", "top\n")
        .file("htdocs/only.txt", "only\n")
}

fn unsafe_uris() -> Group {
    let config = "JkOptions +RejectUnsafeURI\nJkMount /* w1\n";
    Group::new("unsafe", config, targets(&["/a", "/a%25b", "/a%5cb", "/a;x=%25", "/a?x=%25", "/a%20b", "/%252e/x"]))
}
