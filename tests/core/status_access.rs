//! Who may ask, which pages may make a browser ask, and that nothing a stranger sends becomes markup.
//!
//! Not here: passwords, which are httpd's business.

use mod_jk::status::Provenance;

use crate::desk::Desk;

const CHANGES: [&str; 4] =
    ["cmd=update&w=lb&sw=m1&vwa=s", "cmd=reset&w=lb", "cmd=recover&w=lb&sw=m1", "cmd=drain&w=lb&sw=m1&until=30m"];

fn foreign() -> Provenance<'static> {
    Provenance { origin: Some(b"http://evil.example"), host: Some(b"www.example.org"), fetch_site: None, referer: None }
}

#[test]
fn changes_that_another_site_asks_for_are_refused_with_403() {
    let desk = Desk::new();
    for query in CHANGES {
        for mime in ["html", "xml", "txt", "prop", "json"] {
            let query = format!("mime={mime}&{query}");
            let page = desk.page_for(&query, |ask| ask.provenance = foreign());
            assert_eq!(page.status, 403, "{query}");
            assert!(page.body.contains("a page of another site asked for this change"), "{}", page.body);
        }
    }
    assert_eq!(desk.member_field("m1", "activation"), "ACT");
    assert_eq!(desk.level_of("evil.example"), "warn");
}

#[test]
fn reading_for_another_site_is_as_ever() {
    let desk = Desk::new();
    for query in ["", "cmd=show&w=lb", "cmd=version", "cmd=dump", "cmd=edit&w=lb", "cmd=explain&uri=/x"] {
        assert_eq!(desk.page_for(query, |ask| ask.provenance = foreign()).status, 200, "{query}");
    }
}

#[test]
fn only_listed_users_are_admitted() {
    let desk = Desk::with("worker.st.user=alice,Bob\n");
    for (user, admitted) in
        [(Some("alice"), true), (Some("Bob"), true), (Some("bob"), false), (Some(""), false), (None, false)]
    {
        let page = desk.page_for("mime=txt&cmd=version", |ask| ask.user = user.map(str::as_bytes));
        assert_eq!((page.status, page.body.contains("Access denied.")), (200, !admitted), "{user:?}");
    }
    assert_eq!(desk.level_of("denied"), "warn");
    let desk = Desk::with("worker.st.user=alice,Bob\nworker.st.user_case_insensitive=1\n");
    let page = desk.page_for("mime=txt&cmd=version", |ask| ask.user = Some(b"BOB"));
    assert!(page.body.contains("type=OK"));
}

#[test]
fn read_only_pages_offer_no_changes() {
    for (desk, query) in [(Desk::with("worker.st.read_only=1\n"), ""), (Desk::new(), "opt=32")] {
        let page = desk.ask(query);
        for word in
            ["cmd=update", "cmd=edit", "cmd=reset", "cmd=recover", "cmd=drain", "method=\"post\"", "formaction="]
        {
            assert!(!page.contains(word), "{word}");
        }
        assert!(page.contains("(read only)"));
    }
}

#[test]
fn every_answer_carries_the_headers_that_browsers_obey() {
    let desk = Desk::new();
    for query in ["", "mime=xml", "mime=nosuch", "cmd=nosuch", "cmd=update&w=lb&vlr=0"] {
        let page = desk.page(query);
        let header =
            |name: &str| page.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
        assert_eq!(header("Cache-Control"), Some("no-cache, no-store"));
        assert_eq!(header("Pragma"), Some("no-cache"));
        assert_eq!(header("X-Content-Type-Options"), Some("nosniff"));
        assert_eq!(header("X-Frame-Options"), Some("DENY"));
        let policy = header("Content-Security-Policy").unwrap();
        assert!(policy.starts_with("default-src 'none';") && policy.contains("frame-ancestors 'none'"), "{policy}");
        // One script, by its hash; nothing that stands in a page by mistake or malice runs or is obeyed.
        let allowed = |name: &str| policy.split("; ").find_map(|rule| rule.strip_prefix(name)).unwrap().to_owned();
        let scripts = allowed("script-src ");
        assert!(scripts.starts_with("'sha256-") && scripts.split(' ').count() == 1, "{policy}");
        assert!(allowed("style-src ").starts_with("'self' 'sha256-"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }
}

/// Everything that is a letter of markup, in each place where a request or an admin's text is printed.
#[test]
fn nothing_echoed_becomes_markup() {
    const EVIL: &str = "%3Cscript%3Ealert(1)%3C/script%3E%22%27%26x";
    let desk = Desk::new().mount("/x", "lb");
    let mut queries: Vec<String> = ["cmd", "mime", "w", "sw", "opt", "re", "from", "psw", "att", "foo", EVIL, "val0"]
        .iter()
        .flat_map(|name| {
            ["list", "show", "edit", "update", "version", "dump"]
                .map(|verb| format!("cmd={verb}&w=lb&sw=m1&from=show&{name}={EVIL}"))
        })
        .collect();
    queries.extend(
        ["vwn", "vwr", "vwc", "vahst", "vwf", "vwa", "vart"].map(|name| format!("cmd=update&w=lb&sw=m1&{name}={EVIL}")),
    );
    queries.extend(["vlm", "vlr", "vls"].map(|name| format!("cmd=update&w=lb&{name}={EVIL}")));
    for name in ["until", "quiet", "w", "sw", "from", "psw", "foo"] {
        queries.push(format!("cmd=drain&w=lb&sw=m1&until=5m&{name}={EVIL}"));
    }
    queries.push(String::new());
    for name in ["uri", "host", "cookie", "re", "foo"] {
        queries.push(format!("cmd=explain&uri=/x&{name}=/{EVIL}"));
        queries.push(format!("cmd=explain&uri=/x&cookie=JSESSIONID=1.{EVIL}&{name}={EVIL}"));
    }
    queries.push("cmd=edit&w=lb&sw=m1".to_owned());
    queries.push("cmd=edit&w=lb&att=vwn".to_owned());
    for query in queries {
        let page = desk.page_for(&query, |ask| ask.path = b"/x\"><script>alert(2)</script>'&y");
        assert_harmless(&query, &page.body);
    }
}

#[test]
fn texts_of_the_configuration_become_no_markup() {
    let desk = Desk::of(
        "worker.list=a<script>&\"b,lb,st\nworker.a<script>&\"b.port=1\nworker.lb.type=lb\nworker.lb.balance_workers=m\n\
         worker.m.route=<script>\"'&\nworker.m.domain=<script>\"\nworker.m.redirect=\"<script>\nworker.st.type=status\n\
         worker.st.css=\"><script>x\n",
    )
    .mount("/<script>\"*", "lb");
    for query in [
        "",
        "cmd=dump",
        "cmd=edit&w=lb&sw=m",
        "cmd=show&w=lb",
        "cmd=edit&w=lb&att=vwn",
        "cmd=explain&uri=/%3Cscript%3E%22x",
    ] {
        assert_harmless(query, &desk.ask(query));
    }
}

#[test]
fn xml_stays_well_formed_whatever_is_in_it() {
    let desk = Desk::new().mount("/<\"&>*", "lb");
    desk.done("cmd=update&w=lb&sw=m1&vwn=a%26b'c");
    let page = desk.ask("mime=xml");
    assert!(page.contains("route=\"a&amp;b'c\"") && page.contains("uri=\"/&lt;&quot;&amp;&gt;*\""), "{page}");
}

#[test]
fn no_value_can_add_a_line_to_text_or_properties() {
    let desk = Desk::new();
    for name in ["vwn", "vwr", "vwc", "vahst"] {
        assert!(desk.refused(&format!("cmd=update&w=lb&sw=m1&{name}=a%0aResult:%20x")).contains("Update failed"));
    }
    assert_eq!(desk.ask("mime=txt&cmd=update&w=lb&sw=m1&vwf=%0aResult:%0d").lines().count(), 1);
    let long = "x".repeat(70);
    for name in ["wd", "ws", "vwn", "vwr", "vwc", "vahst"] {
        for line_end in ["%0a", "%0d", "%0b", "%c2%85", "%e2%80%a8"] {
            let value = format!("{long}{line_end}worker.result.type=OK{line_end}Result:%20type=OK");
            for (mime, lines) in [("txt", 1), ("prop", 2)] {
                let page = desk.ask(&format!("cmd=update&w=m1&l=lb&mime={mime}&{name}={value}"));
                let ends = ['\n', '\r', '\u{b}', '\u{85}', '\u{2028}'];
                assert_eq!(page.trim_end().split(ends).count(), lines, "{name} {line_end} {mime}: {page}");
            }
        }
    }
}

#[track_caller]
fn assert_harmless(query: &str, page: &str) {
    let page = page.replace("<style>", "").replace("</style>", "");
    // The one script that is ours stands at the end.
    let page = page.split_once("<script>\"use strict\";").map_or(page.as_str(), |(page, _)| page);
    assert!(!page.contains("<script") && !page.contains("alert(1)</") && !page.contains("><b>"), "{query}: {page}");
    // An attribute that was broken out of leaves a quote in front of something that is no attribute.
    for tag in page.split('<').skip(1).filter_map(|part| part.split_once('>')).map(|(tag, _)| tag) {
        assert!(tag.matches('"').count() % 2 == 0, "{query}: <{tag}>");
    }
}
