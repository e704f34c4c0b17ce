//! The answers of C mod_jk 1.2.48 to 140 requests, recorded in order on one server, against ours under the same configuration.
//!
//! Not here: what C mod_jk never answered. The surprising thing: of its pages for people only facts were recorded (result, values in
//! forms, parameters of links), because ours look different; text, XML and properties are compared line by line.
//!
//! Masked in both: what depends on the clock, on ports and on this httpd; bytes, because our requests have other headers; and counts of
//! open connections. The known difference of a page is in `facts`.

use std::collections::BTreeSet;

use crate::support::backend::{Backend, ask, get};
use crate::support::http_client::{Request, Response};
use crate::support::httpd::{Builder, Httpd};
use crate::support::tomcat::Tomcat;

const RECORDED: &str = include_str!("../data/status/c-1.2.48.txt");
const WORKERS: &str = include_str!("../data/status/workers.properties");
const RULES: &str = include_str!("../data/status/uriworkermap.properties");
const CONFIG: &str = include_str!("../data/status/test.conf");

/// Names whose values are not compared.
const MASKED: [&str; 27] = [
    "datetime",
    "tz",
    "unix",
    "time_datetime",
    "time_tz",
    "time_unix",
    "web_server",
    "jk_version",
    "port",
    "vaprt",
    "server_port",
    "address",
    "time_to_maintenance_min",
    "time_to_maintenance_max",
    "last_reset_at",
    "last_reset_ago",
    "transferred",
    "read",
    "connected",
    "max_connected",
    "time_to_recover_min",
    "time_to_recover_max",
    "error_time_datetime",
    "error_time_tz",
    "error_time_unix_seconds",
    "error_time_ago",
    "ServerRoot",
];

/// One recorded answer.
struct Answer<'a> {
    name: &'a str,
    status: u16,
    content_type: &'a str,
    method: &'a str,
    target: &'a str,
    body: &'a str,
}

fn recorded() -> Vec<Answer<'static>> {
    RECORDED.split("=== ").skip(1).map(read).collect()
}

fn read(text: &'static str) -> Answer<'static> {
    let (head, rest) = text.split_once("\n>>> ").unwrap();
    let (request, body) = rest.split_once('\n').unwrap();
    let (method, target) = request.split_once(' ').unwrap();
    let mut words = head.splitn(3, ' ');
    let (name, status) = (words.next().unwrap(), words.next().unwrap().parse().unwrap());
    Answer { name, status, content_type: words.next().unwrap(), method, target, body }
}

/// The configuration of the recording, in front of these backends.
fn setting(backends: &[Backend; 3], closed: u16) -> Builder {
    let ports = [backends[0].port(), backends[1].port(), backends[2].port(), closed];
    let workers = ports
        .iter()
        .zip(["PORT1", "PORT2", "PORT3", "PORT4"])
        .fold(WORKERS.to_owned(), |text, (port, word)| text.replace(word, &port.to_string()));
    Httpd::builder()
        .children(1)
        .load("mod_authn_core")
        .load("mod_authn_file")
        .load("mod_auth_basic")
        .load("mod_authz_user")
        .workers(&workers)
        .file("uriworkermap.properties", RULES)
        .file("users", "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\ncarol:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
        .config(CONFIG)
        .allow_error_log("AH01618")
        .allow_error_log("AH01617")
}

/// The requests that came before the recording.
fn warm_up(httpd: &Httpd) {
    for (count, target) in [(5, "/app/x"), (4, "/b/x"), (2, "/plain/x")] {
        for _ in 0..count {
            assert_eq!(get(httpd, target).status(), 200, "{target}");
        }
    }
    let sticky = Request::new("GET", "/app/x").header("Cookie", "JSESSIONID=abc.a2");
    assert_eq!(ask(httpd, &sticky).status(), 200);
}

#[test]
fn answers_are_those_of_c_mod_jk() {
    let backends = [Backend::named("1"), Backend::named("2"), Backend::named("3")];
    let httpd = setting(&backends, Tomcat::closed_port()).start();
    warm_up(&httpd);
    let mut differences = Vec::new();
    let port2 = backends[1].port().to_string();
    let answers = recorded();
    assert_eq!(answers.len(), 140);
    for answer in &answers {
        let response = ask(&httpd, &request(answer));
        assert_eq!(response.status(), answer.status, "{}", answer.name);
        if answer.status != 200 {
            continue;
        }
        check_head(answer, &response);
        let (ours, theirs) = compared(answer, &response.text().replace(&port2, "PORT2"));
        if let Some((line, ours, theirs)) = first_difference(&ours, &theirs) {
            differences.push(format!("{} line {line}\n  ours   {ours}\n  theirs {theirs}", answer.name));
        }
    }
    assert!(differences.is_empty(), "{} answers differ:\n{}", differences.len(), differences.join("\n"));
}

fn request(answer: &Answer<'_>) -> Request {
    let request = Request::new(answer.method, answer.target).header("Host", "lbspec.local");
    // carol is a user of httpd's and not of the status worker's.
    match answer.name.split('.').next().unwrap() {
        "err-denied" => request.header("Authorization", "Basic Y2Fyb2w6c2VjcmV0"),
        "user-alice" => request.header("Authorization", "Basic YWxpY2U6c2VjcmV0"),
        "user-ALICE" => request.header("Authorization", "Basic QUxJQ0U6c2VjcmV0"),
        _ => request,
    }
}

fn check_head(answer: &Answer<'_>, response: &Response) {
    let content_type = response.header("Content-Type").unwrap();
    assert_eq!(content_type.split(';').next(), Some(answer.content_type), "{}", answer.name);
    assert!(response.header("Cache-Control").unwrap().contains("no-cache"), "{}", answer.name);
    assert_eq!(response.header("Pragma"), Some("no-cache"), "{}", answer.name);
}

/// Both bodies as they are to be equal.
fn compared(answer: &Answer<'_>, ours: &str) -> (Vec<String>, Vec<String>) {
    if answer.name.ends_with(".html") {
        return facts(answer, ours);
    }
    let ours = match answer.name {
        // C does not escape what it prints.
        "dump.xml" => ours.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">"),
        _ => ours.to_owned(),
    };
    (masked(answer, &ours), masked(answer, answer.body))
}

fn masked(answer: &Answer<'_>, text: &str) -> Vec<String> {
    let one_value_per_line =
        |line: &str| answer.name.ends_with(".prop") || (answer.name.starts_with("dump.") && !line.contains(": "));
    let line = |line: &str| match one_value_per_line(line) {
        true => masked_word(line),
        false => words(line).iter().map(|word| masked_word(word)).collect::<Vec<_>>().join(" "),
    };
    text.lines().map(line).collect()
}

/// Splits a line at blanks outside quotes.
fn words(line: &str) -> Vec<String> {
    let mut quoted = false;
    let is_end = |letter: char| {
        quoted ^= letter == '"';
        letter == ' ' && !quoted
    };
    line.split(is_end).map(str::to_owned).collect()
}

fn masked_word(word: &str) -> String {
    let Some((name, _)) = word.split_once('=') else { return word.to_owned() };
    let last = name.trim().rsplit('.').next().unwrap();
    if MASKED.contains(&last) || name.ends_with("seconds") { format!("{name}=#") } else { word.to_owned() }
}

/// What our page says, as the recording puts it.
fn facts(answer: &Answer<'_>, page: &str) -> (Vec<String>, Vec<String>) {
    let mut theirs: BTreeSet<String> = answer.body.lines().map(essential).filter(|fact| fact != "link ").collect();
    // C answers with a page that has neither a form nor a word about it.
    if answer.name == "edit-all-unknownatt.html" {
        let told = "result ERROR - att=zzz is no setting of members that can be changed for all at once";
        theirs.insert(told.to_owned());
    }
    let mut ours = BTreeSet::new();
    if let Some((_, rest)) = page.split_once("Result: ") {
        let text = rest.split_once("</strong>").unwrap().0;
        ours.insert(format!("result {}", text.replace("&quot;", "\"")));
    }
    for tag in page.split('<').filter_map(|part| part.split_once('>')).map(|(tag, _)| tag) {
        let attribute = |name: &str| {
            let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
            Some(rest.split_once('"')?.0.replace("&amp;", "&"))
        };
        let is_form_field = match attribute("type").as_deref() {
            Some("radio") => tag.contains(" checked"),
            Some("text" | "number") => attribute("name").as_deref() != Some("re"),
            _ => false,
        };
        if is_form_field {
            let field = format!("input {}={}", attribute("name").unwrap(), attribute("value").unwrap());
            ours.insert(essential(&field));
        }
        if let Some(link) = attribute("href").or_else(|| attribute("action")).or_else(|| attribute("formaction"))
            && let Some((_, query)) = link.split_once('?')
        {
            ours.insert(essential(&format!("link {query}")));
        }
    }
    // Ours may have more links, but lacks none.
    let ours = ours.into_iter().filter(|fact| !fact.starts_with("link ") || theirs.contains(fact)).collect();
    (ours, theirs.into_iter().collect())
}

/// A fact without what does not matter: the order of parameters, `opt=0`, masked values, `cmd=list`, and the worker that a link to the
/// dump or to the list carries along in C.
fn essential(fact: &str) -> String {
    if let Some(query) = fact.strip_prefix("link ") {
        let mut parameters: Vec<_> =
            query.split('&').filter(|parameter| !["cmd=list", "opt=0"].contains(parameter)).collect();
        if parameters.contains(&"cmd=dump") || !parameters.iter().any(|parameter| parameter.starts_with("cmd=")) {
            parameters.retain(|parameter| !parameter.starts_with("w=") && !parameter.starts_with("sw="));
        }
        parameters.sort_unstable();
        return format!("link {}", parameters.join("&"));
    }
    match fact.strip_prefix("input ") {
        Some(field) => format!("input {}", masked_word(field)),
        None => fact.to_owned(),
    }
}

fn first_difference(ours: &[String], theirs: &[String]) -> Option<(usize, String, String)> {
    let length = ours.len().max(theirs.len());
    let line = |lines: &[String], at: usize| lines.get(at).cloned().unwrap_or_default();
    (0..length).map(|at| (at, line(ours, at), line(theirs, at))).find(|(_, ours, theirs)| ours != theirs)
}
