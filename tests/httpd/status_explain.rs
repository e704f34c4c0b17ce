//! `cmd=explain` in a real httpd: it says where the very next request goes, whatever its path, cookie and host.
//!
//! Not here: the answer's fields (tests/core/status_explain.rs).

use crate::support::backend::{Backend, ask, get};
use crate::support::http_client::Request;
use crate::support::httpd::Httpd;

/// Numbers that look random and are the same each time (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).unwrap()).unwrap()
    }

    fn of<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[self.below(texts.len())]
    }

    /// A path of parts that rules, servlets and httpd treat in different ways.
    fn path(&mut self) -> String {
        const PARTS: [&str; 24] = [
            "/app",
            "/app/",
            "/one",
            "/two/",
            "/x.gif",
            "/x.jsp",
            ";jsessionid=1.m1",
            ";jsessionid=9.m2",
            ";v=1",
            "/..",
            "/.",
            "//",
            "/%2e%2e/",
            "/..;x",
            "%20",
            "/a",
            "/./b",
            "%3b",
            "%25",
            "%2F",
            "/%",
            "/static/",
            "%C3%A4",
            ";x/../",
        ];
        let start = self.of(&["/app", "/app/", "/one/", "/two/", "/gone/", ""]);
        let parts: String = (0..self.below(4)).map(|_| self.of(&PARTS)).collect();
        let parts = format!("{start}{parts}");
        let query = self.of(&["", "", "?q=/app/x", "?"]);
        if parts.starts_with('/') { format!("{parts}{query}") } else { format!("/{parts}{query}") }
    }
}

/// A query value with everything encoded that has a meaning there.
fn encoded(text: &str) -> String {
    let letter = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(letter).collect()
}

fn start(backends: &[Backend; 3]) -> Httpd {
    let [m1, m2, solo] = backends;
    let workers = format!(
        "worker.list=lb,solo,st\nworker.lb.type=lb\nworker.lb.balance_workers=m1,m2\nworker.st.type=status\n{}{}{}",
        m1.worker("m1"),
        m2.worker("m2"),
        solo.worker("solo")
    );
    let hosts = "JkMount /app|/* lb\nJkMount /one/* solo\nJkMount /*.jsp solo\nJkUnMount /*.gif lb\nJkUnMount /app/static/* *\n\
                 JkMount /gone/* nobody\nJkMount /two/* lb;disabled=m1\nJkMount /jkstatus st\n<VirtualHost *>\nServerName first.test\n\
                 ServerAlias *.first.test\nJkMount /app/* solo\nJkMount /jkstatus st\n</VirtualHost>\n<VirtualHost *>\nServerName second.test\n\
                 JkMountCopy On\nJkUnMount /one/* solo\n</VirtualHost>\n<VirtualHost *>\nServerName third.test\n</VirtualHost>\n";
    Httpd::builder()
        .children(1)
        .workers(&workers)
        .config(hosts)
        .allow_error_log("AH10244")
        .allow_error_log("AH00026")
        .start()
}

/// What answers: the name of a backend, or a status of httpd's.
fn served(httpd: &Httpd, target: &str, host: &str, cookie: &str) -> String {
    let mut request = Request::new("GET", target).header("Host", host);
    if !cookie.is_empty() {
        request = request.header("Cookie", cookie);
    }
    let answer = ask(httpd, &request);
    if answer.status() == 200 { answer.text() } else { answer.status().to_string() }
}

#[test]
fn every_request_goes_where_explain_said() {
    let backends = [Backend::named("m1"), Backend::named("m2"), Backend::named("solo")];
    let httpd = start(&backends);
    let mut numbers = Numbers(0x2545_F491_4F6C_DD1D);
    let mut wrong = Vec::new();
    let mut seen = std::collections::BTreeMap::new();
    for round in 0..600 {
        if round % 100 == 50 {
            let (member, to) = (numbers.of(&["m1", "m2"]), numbers.of(&["a", "d", "s"]));
            get(&httpd, &format!("/jkstatus?cmd=update&w=lb&sw={member}&vwa={to}"));
        }
        let path = numbers.path();
        let host =
            numbers.of(&["localhost", "first.test", "www.First.test", "second.test:80", "third.test", "unknown.test"]);
        let cookie =
            numbers.of(&["", "JSESSIONID=5.m1", "a=b; JSESSIONID=\"6.m2\"", "JSESSIONID=7.nobody", "JSESSIONID="]);
        let query =
            format!("/jkstatus?cmd=explain&mime=json&uri={}&host={host}&cookie={}", encoded(&path), encoded(cookie));
        let page: serde_json::Value = serde_json::from_str(&get(&httpd, &query).text()).unwrap();
        let told = &page["explain"];
        let outcome = told["outcome"].as_str().unwrap_or_else(|| panic!("{path}: {page}"));
        let found = served(&httpd, &path, host, cookie);
        let expected = match outcome {
            "forwarded" => told["member"].as_str().or(told["worker"].as_str()).unwrap().to_owned(),
            "refused" | "no_member" => told["http_status"].to_string(),
            // There is no file of any such name.
            _ => "404".to_owned(),
        };
        let case = told["by"].as_str().unwrap_or(outcome);
        *seen.entry(case.to_owned()).or_insert(0) += 1;
        if found != expected {
            wrong.push(format!("{path} {host} {cookie}: {found}, and was told {told}"));
        }
    }
    assert!(wrong.is_empty(), "{} of 600: {}", wrong.len(), wrong.join("\n"));
    for case in ["forwarded", "session", "load", "refused", "unmapped", "excluded"] {
        assert!(seen.get(case).is_some_and(|count| *count > 5), "{case} is among the cases: {seen:?}");
    }
}
