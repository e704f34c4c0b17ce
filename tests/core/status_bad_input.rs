//! Unknown, malformed and over-long input: C's answer in the old formats, a clear message in the others, and nothing changed.
//!
//! Not here: markup in answers (`status_access.rs`), bounds of single settings (unit tests of `status::field`).

use crate::desk::Desk;

/// Every parameter that means anything.
const PARAMETERS: [&str; 61] = [
    "cmd", "mime", "w", "sw", "from", "re", "opt", "att", "psw", "val0", "val1", "uri", "host", "cookie", "until",
    "quiet", "vlr", "vlri", "vlt", "vlee", "vlx", "vls", "vlf", "vlm", "vll", "vwa", "vwf", "vwn", "vwr", "vwc", "vwd",
    "vahst", "vaprt", "vacpt", "vapng", "vact", "vapt", "vart", "var", "vari", "vacpi", "varo", "vabl", "vamps", "l",
    "lr", "lt", "ls", "lf", "lm", "ll", "wf", "wd", "ws", "wr", "wc", "wa", "wn", "wx", "nosuch", "%00",
];

const BAD: [&str; 9] = [
    "",
    "-1",
    "99999999999999999999",
    "%0a%0d",
    "%ff%fe",
    "%22%3E%3Cx%3E",
    "\u{1F4A3}",
    "a b&c=d=e",
    "longer-than-any-text-that-can-be-stored-in-shared-memory-by-far%0aResult: type=OK",
];

/// What an admin could lose.
fn state(desk: &Desk) -> String {
    let settings: Vec<_> = (0..3).map(|index| desk.member(index).settings()).collect();
    let workers: Vec<_> = ["m1", "m2", "m3", "solo"].iter().map(|name| desk.ajp(name).settings()).collect();
    let drains: Vec<_> = (0..3).map(|index| desk.member(index).drain().state()).collect();
    format!("{settings:?} {workers:?} {drains:?} {:?}", desk.lb().settings())
}

#[test]
fn over_long_values_of_any_parameter_are_survived_and_never_stored() {
    let desk = Desk::new().mount("/x", "lb");
    let long = "L".repeat(7_000);
    for verb in ["list", "show", "edit", "update", "reset", "recover", "version", "dump", "explain", "drain"] {
        for name in PARAMETERS {
            for mime in ["html", "txt"] {
                let query = format!("cmd={verb}&w=lb&sw=m1&uri=/x&mime={mime}&{name}={long}");
                let page = desk.page(&query);
                assert!(matches!(page.status, 200 | 400), "{verb} {name}: {}", page.status);
                assert!(page.body.len() < 1_000_000, "{verb} {name}");
            }
        }
    }
    assert!(!state(&desk).contains("LLLL"));
    assert!(!desk.lines("").iter().any(|line| line.len() > 9_000));
}

#[test]
fn malformed_values_of_any_parameter_make_no_broken_answer() {
    for value in BAD {
        let desk = Desk::new().mount("/x", "lb");
        for verb in ["list", "show", "edit", "update", "version", "dump", "explain", "drain"] {
            for name in PARAMETERS {
                let query = |mime: &str| format!("cmd={verb}&w=lb&sw=m2&uri=/x&mime={mime}&{name}={value}");
                let json = desk.page(&query("json")).body;
                if name != "mime" {
                    let page: serde_json::Value =
                        serde_json::from_str(&json).unwrap_or_else(|error| panic!("{verb} {name} {value}: {error}"));
                    assert!(page["result"]["type"].is_string());
                }
                let text = desk.page(&query("txt")).body;
                let results = text.lines().filter(|line| line.starts_with("Result: ")).count();
                assert!(results == 1 || name == "mime", "{verb} {name} {value}: {text}");
            }
        }
    }
}

#[test]
fn what_is_refused_changes_nothing() {
    let desk = Desk::new();
    let before = state(&desk);
    for query in [
        "cmd=nosuch&w=lb&vlr=5",
        "cmd=update&w=nosuch&vlr=5",
        "cmd=update&w=lb&sw=nosuch&vwf=5",
        "cmd=update&w=lb&vlr=5&vlm=zz",
        "cmd=update&w=lb&sw=m1&vwf=5&vwn=%zz",
        "cmd=update&w=lb&att=vwf&val0=5&val1=x",
        "cmd=drain&w=lb&sw=m1&until=nosuch",
        "cmd=drain&w=lb&sw=m1&quiet=nosuch",
        "opt=32&cmd=update&w=lb&vlr=5",
    ] {
        for mime in ["html", "xml", "txt", "prop", "json"] {
            let page = desk.page(&format!("{query}&mime={mime}"));
            assert!(page.body.contains("ERROR"), "{query} {mime}: {}", page.body);
        }
        assert_eq!(state(&desk), before, "{query}");
    }
    assert_eq!(desk.refused("cmd=update&w=lb&vlr=5&w=nosuch"), "Could not find given worker");
    assert!(desk.page("cmd=update&w=lb&vlr=5&mime=nosuch").body.contains("worker.result.message=Invalid mime type."));
    assert_eq!(state(&desk), before);
    assert!(desk.lines("changing").is_empty());
}

#[test]
fn what_means_nothing_here_is_told_in_html_and_json_and_overlooked_in_the_old_formats() {
    let desk = Desk::new();
    let before = state(&desk);
    for (query, words) in [
        ("w=lb&att=nope&val0=5", "att=nope is no setting of members"),
        ("w=lb&att=vahst&val0=5", "att=vahst is no setting of members that can be changed for all at once"),
        ("w=lb&att=vwf&val7=5", "val7 is no member of load balancer &#39;lb&#39;"),
        ("w=lb&att=vwf&val0=5&val3=5", "val3 is no member of load balancer"),
        ("w=lb&vwa=s", "vwa is no setting of a load balancer; it needs sw, the member"),
        ("w=lb&vlr=5&vwa=s", "vwa is no setting of a load balancer"),
        ("w=lb&wd=1", "wd is no setting of a load balancer"),
        ("w=lb&sw=m1&vlr=9", "vlr is no setting of a member"),
        ("w=lb&sw=m2&vls=maybe", "vls is no setting of a member"),
        ("w=lb&sw=m2&att=vwf&val0=7&vwf=3", "val0 is no setting of a member"),
        ("w=solo&vwf=5", "vwf is no setting of an AJP worker"),
        ("w=lb&vlrr=5&vlr=5", "vlrr is no setting"),
        ("w=lb&nosuch=7", "no setting was named"),
        ("w=lb", "no setting was named"),
    ] {
        let html = desk.ask(&format!("cmd=update&{query}"));
        let words = words.replace("&#39;", "'");
        assert!(html.contains("Result: ERROR - Update failed: ") && html.contains(&words), "{query}: {html}");
        let json: serde_json::Value =
            serde_json::from_str(&desk.ask(&format!("mime=json&cmd=update&{query}"))).unwrap();
        assert_eq!(json["result"]["type"], "ERROR", "{query}");
        let message = json["result"]["message"].as_str().unwrap();
        assert!(message.contains(&words) && message.ends_with("; nothing was changed"), "{query}: {message}");
        assert_eq!(state(&desk), before, "{query}");
    }
    for query in ["w=lb&att=nope&val0=5", "w=lb&vwa=s", "w=lb&att=vwf&val7=5", "w=lb&nosuch=7", "w=lb&sw=m1&vlr=9"] {
        for mime in ["xml", "txt", "prop"] {
            assert!(desk.ask(&format!("cmd=update&mime={mime}&{query}")).contains("OK"), "{query} {mime}");
        }
        assert_eq!(state(&desk), before, "{query}");
    }
    assert!(
        desk.ask("cmd=update&w=lb&vlr=5&_=123&re=5&opt=4").contains("Result: OK"),
        "what a page hands on is no setting"
    );
    let form = desk.ask("cmd=edit&w=lb&att=nope");
    assert!(form.contains("Result: ERROR - ") && form.contains("att=nope is no setting of members"), "{form}");
}

#[test]
fn the_old_formats_answer_as_c_does() {
    let desk = Desk::new();
    for (query, message) in [
        ("cmd=nosuch", "Invalid command."),
        ("cmd=show", "NULL or EMPTY worker param"),
        ("cmd=show&w=nosuch", "Could not find given worker"),
        ("cmd=show&w=lb&sw=nosuch", "could not find sub worker"),
        ("cmd=show&w=lb&sw=", "EMPTY sub worker param"),
        ("cmd=show&w=solo&sw=m1", "worker type has no sub workers"),
    ] {
        assert_eq!(desk.refused(query), message, "{query}");
        let xml = desk.ask(&format!("mime=xml&{query}"));
        assert!(xml.contains("type=\"ERROR\"") && xml.contains(&format!("message=\"{message}\"")), "{xml}");
        assert!(
            desk.ask(&format!("mime=prop&{query}")).contains(&format!("worker.result.message={message}")),
            "{query}"
        );
        let page: serde_json::Value = serde_json::from_str(&desk.ask(&format!("mime=json&{query}"))).unwrap();
        assert_eq!((&page["result"]["type"], &page["result"]["message"]), (&"ERROR".into(), &message.into()));
        assert!(desk.ask(query).contains(message), "{query}");
    }
}
