//! The pages for people, as text: forms that failed, results, the filter, refreshing, large and empty sites.
//!
//! Not here: how it looks and feels (tests/httpd/status_browser.rs), markup that strangers send (`status_access.rs`).

use mod_jk::balancer::State;
use mod_jk::shm::{Cause, Failing};

use crate::desk::{Desk, NOW};

/// The start tag of the element with this id.
#[track_caller]
fn tag<'p>(page: &'p str, id: &str) -> &'p str {
    let at = page.find(&format!(" id=\"{id}\"")).unwrap_or_else(|| panic!("no {id} in {page}"));
    &page[page[..at].rfind('<').unwrap()..at + page[at..].find('>').unwrap()]
}

/// Names of the members in the tables of the page.
fn rows(page: &str) -> Vec<&str> {
    let rows = page.split("<tr class=").skip(1);
    rows.map(|row| row.split_once("data-key=\"").unwrap().1.split_once('"').unwrap().0).collect()
}

#[test]
fn a_form_that_failed_comes_back_as_it_was_sent_with_what_is_wrong_beside_the_fields() {
    let desk = Desk::new();
    let page = desk.ask("cmd=update&from=list&w=lb&sw=m1&vwf=zero&vwn=changed&vart=-5&vwa=1&vahst=127.0.0.1");
    assert!(
        page.contains("role=\"alert\"") && page.contains("Result: ERROR - Update failed: vwf (LB Factor)"),
        "{page}"
    );
    for (id, value) in [("vwf", "zero"), ("vart", "-5"), ("vwn", "changed"), ("vahst", "127.0.0.1"), ("vaprt", "8011")]
    {
        assert!(tag(&page, id).contains(&format!(" value=\"{value}\"")), "{}", tag(&page, id));
        let is_wrong = ["vwf", "vart"].contains(&id);
        assert_eq!(tag(&page, id).contains(" aria-invalid=\"true\""), is_wrong, "{id}");
        assert_eq!(tag(&page, id).contains(&format!("aria-describedby=\"{id}-wrong {id}-hint\"")), is_wrong, "{id}");
    }
    assert!(page.contains("id=\"vwf-wrong\">Must be a number of at least 1.<"), "{page}");
    assert!(page.contains("name=\"vwa\" value=\"1\" checked"), "what was chosen stays chosen");
    assert_eq!(desk.member_field("m1", "lbfactor"), "1");
    assert_eq!((desk.member_field("m1", "route"), desk.member_field("m1", "activation")), ("m1".into(), "ACT".into()));
}

#[test]
fn a_form_for_all_members_comes_back_as_well() {
    let desk = Desk::new();
    let page = desk.ask("cmd=update&w=lb&att=vwf&val0=4&val1=no&val2=6");
    for (id, value) in [("val0", "4"), ("val1", "no"), ("val2", "6")] {
        assert!(tag(&page, id).contains(&format!(" value=\"{value}\"")), "{page}");
        assert_eq!(tag(&page, id).contains(" aria-invalid"), id == "val1");
    }
    assert!(page.contains("<a href=\"#val1\">m2</a>: Must be a number of at least 1."), "{page}");
    assert_eq!(desk.member_field("m1", "lbfactor"), "1");
}

#[test]
fn a_choice_that_is_none_is_told_at_its_choices() {
    let page = Desk::new().ask("cmd=update&w=lb&vlm=zz&vlr=3");
    assert!(tag(&page, "vlm").contains("aria-describedby=\"vlm-wrong\""), "{page}");
    assert!(page.contains("id=\"vlm-wrong\">Must be Request, Traffic, Busyness, Sessions or Next.<"), "{page}");
    assert!(!page.contains("name=\"vlm\" value=\"0\" checked"));
}

#[test]
fn a_result_stands_above_the_view_it_was_asked_on() {
    let desk = Desk::new();
    let page = desk.ask("cmd=update&from=list&w=lb&sw=m1&vwa=s&only=inactive&re=7&opt=4");
    assert!(page.contains("<strong>Result: OK</strong> - m1 in lb is stored as stopped"), "{page}");
    assert_eq!(rows(&page), ["m1"]);
    // Without scripts it goes back after three seconds, as ever; with scripts a reload does not repeat the change.
    let back = "/jkstatus?cmd=list&amp;only=inactive&amp;re=7&amp;opt=4";
    assert!(
        page.contains(&format!("<noscript><meta http-equiv=\"Refresh\" content=\"3;url={back}\"></noscript>")),
        "{page}"
    );
    assert!(page.contains(&format!("data-back=\"{back}\"")), "{page}");
    let page = desk.ask("cmd=update&from=show&w=lb&sw=m1&psw=m2&vwa=a");
    assert_eq!(rows(&page), ["m2"]);
    assert_eq!(rows(&desk.ask("cmd=reset&from=show&w=lb&sw=m1")), ["m1", "m2", "m3"]);
}

#[test]
fn what_cannot_be_recovered_is_told_above_the_view() {
    let page = Desk::new().ask("cmd=recover&w=lb&sw=m1");
    assert!(page.contains("Result: ERROR - Marking worker for recovery failed"), "{page}");
    assert_eq!(rows(&page), ["m1", "m2", "m3"]);
    assert!(!page.contains("http-equiv"), "who reads an error needs time");
}

#[test]
fn the_filter_finds_names_addresses_routes_and_states() {
    let desk = Desk::new();
    desk.done("cmd=update&w=lb&sw=m2&vwa=d&vwn=special");
    desk.member(2).state.set(State::Error);
    for (query, expected) in [
        ("", ["m1", "m2", "m3"].as_slice()),
        ("find=M1", &["m1"]),
        ("find=8012", &["m2"]),
        ("find=special", &["m2"]),
        ("find=lb", &["m1", "m2", "m3"]),
        ("only=attention", &["m2", "m3"]),
        ("only=error", &["m3"]),
        ("only=inactive", &["m2"]),
        ("only=inactive&find=m3", &[]),
        ("only=nonsense", &["m1", "m2", "m3"]),
    ] {
        assert_eq!(rows(&desk.ask(query)), expected, "{query}");
    }
    assert!(desk.ask("find=nowhere").contains("Nothing matches this filter."));
    // The formats of scripts know no filter.
    assert_eq!(desk.ask("mime=txt&find=m1&only=error").matches("Member: ").count(), 3);
}

#[test]
fn what_is_wrong_comes_first() {
    let desk = Desk::new();
    assert!(desk.ask("").contains("All 3 members are good"));
    desk.member(1).state.set(State::Error);
    desk.member(1).first_error_time.set(NOW - 300);
    desk.member(1).note_state(Cause::Failed(Failing::Connect), NOW - 20);
    desk.done("cmd=update&w=lb&sw=m1&vwa=s");
    let page = desk.ask("");
    assert!(page.contains("2 of 3 members need attention"), "{page}");
    assert!(page.contains("<span class=\"why\">connecting failed</span>"), "{page}");
    assert!(page.find("since 12:39:39 (5 min)").unwrap() < page.find("<table").unwrap(), "{page}");
}

#[test]
fn a_member_that_is_tried_again_still_shows_why_it_failed_and_since_when() {
    let desk = Desk::new();
    desk.ajp("m2").count_failure(Failing::ReplyTimeout);
    desk.member(1).first_error_time.set(NOW - 300);
    for (state, cause) in
        [(State::Recover, Cause::Waited), (State::Probe, Cause::Tried), (State::Error, Cause::Escalated)]
    {
        desk.member(1).state.set(state);
        desk.member(1).note_state(cause, NOW - 20);
        let page = desk.ask("");
        assert_eq!(page.matches("<span class=\"why\">reply_timeout</span>").count(), 2, "{page}");
        assert_eq!(page.matches("since 12:39:39 (5 min)").count(), 2, "{page}");
    }
    // It has no error any more, but is not as it should be either.
    desk.member(1).first_error_time.set(0);
    desk.member(1).state.set(State::Forced);
    assert!(desk.ask("").contains("since 12:44:19 (20 s)"), "{}", desk.ask(""));
    desk.ajp("m2").count_failure(Failing::Client);
    assert!(!desk.ask("").contains("the client broke off"));
    desk.member(1).state.set(State::Ok);
    assert!(!desk.ask("").contains("class=\"why\"") && !desk.ask("").contains("class=\"since\""));
}

#[test]
fn the_page_refreshes_itself_only_when_it_is_asked_to() {
    let desk = Desk::new();
    assert!(!desk.ask("").contains("<script") && !desk.ask("re=0").contains("http-equiv"));
    let page = desk.ask("re=10&opt=4");
    let meta = "<noscript><meta http-equiv=\"Refresh\" content=\"10;url=/jkstatus?re=10&amp;opt=4\"></noscript>";
    assert!(page.contains(meta) && page.contains("data-every=\"10\""), "{page}");
    assert!(desk.ask("cmd=show&w=lb&re=10").contains("content=\"10;url=/jkstatus?cmd=show&amp;w=lb&amp;re=10\""));
    assert!(!desk.ask("cmd=edit&w=lb&re=10").contains("http-equiv"), "nobody's typing is lost");
}

#[test]
fn a_large_balancer_keeps_its_long_tables_on_its_own_page() {
    let names: Vec<_> = (1..=101).map(|number| format!("m{number}")).collect();
    let desk = Desk::of(&format!(
        "worker.list=lb,st\nworker.lb.type=lb\nworker.lb.balance_workers={}\nworker.st.type=status\n",
        names.join(",")
    ));
    let (list, show) = (desk.ask(""), desk.ask("cmd=show&w=lb"));
    assert_eq!((rows(&list).len(), rows(&show).len()), (101, 101));
    assert!(!list.contains("All counters of lb") && show.contains("All counters of lb"));
}

#[test]
fn every_bit_of_opt_hides_its_part_and_links_keep_what_a_request_did_not_need() {
    let desk = Desk::new().mount("/app/*", "lb");
    let whole = desk.ask("");
    for (bit, part) in [
        (1, "<table class=\"members\""),
        (2, "URI mappings (1 map)"),
        (4, "<summary>Legend"),
        (8, "id=\"lb-lb\""),
        (16, "id=\"ajp-solo\""),
        (32, "formaction="),
        (64, "<summary>Balancer settings"),
        (128, "Next maintenance"),
        (256, "<summary>AJP settings"),
    ] {
        assert!(whole.contains(part), "{part}");
        let page = desk.ask(&format!("opt={bit}"));
        assert!(!page.contains(part), "opt={bit} shows {part}");
        // The way back to the whole page is on it.
        assert!(page.contains("href=\"/jkstatus?cmd=list\"") || page.contains("href=\"/jkstatus\""), "{page}");
    }
    let page = desk.ask("foo=bar&re=5&opt=4&mime=html");
    for link in page.split("href=\"/jkstatus?").skip(1).map(|rest| rest.split_once('"').unwrap().0) {
        assert!(link.contains("foo=bar"), "{link}");
        let stops_refreshing = link == "mime=html&amp;foo=bar&amp;opt=4";
        assert_eq!(link.contains("re=5"), !stops_refreshing, "{link}");
    }
}

#[test]
fn the_style_sheet_of_the_admin_comes_after_ours_and_the_policy_lets_it_in() {
    for (css, origin) in [("/css/jk.css", ""), ("https://cdn.example/jk.css", " https://cdn.example")] {
        let desk = Desk::with(&format!("worker.st.css={css}\n"));
        let page = desk.page("");
        let link = page.body.find(&format!("<link rel=\"stylesheet\" type=\"text/css\" href=\"{css}\">")).unwrap();
        assert!(page.body.find("</style>").unwrap() < link);
        let policy = page.headers.iter().find(|(name, _)| *name == "Content-Security-Policy").unwrap();
        let styles = policy.1.split("; ").find(|rule| rule.starts_with("style-src ")).unwrap();
        assert!(styles.starts_with("style-src 'self' 'sha256-") && styles.ends_with(&format!("'{origin}")), "{styles}");
    }
}

#[test]
fn old_links_to_commands_work_from_the_page_and_by_hand() {
    let desk = Desk::new();
    for (query, result) in [
        ("cmd=update&from=show&w=lb&sw=m1&vwa=1", "Result: OK"),
        ("cmd=update&w=m1&l=lb&wf=3", "Result: OK"),
        ("cmd=update&w=lb&sw=m*&vwd=2", "Result: OK"),
        ("cmd=update&w=lb&att=vwf&val0=2&val1=2&val2=2", "Result: OK"),
        ("cmd=update&w=solo&vart=5", "Result: OK"),
        ("cmd=reset&from=list&w=solo", "Result: OK"),
        ("cmd=reset&w=lb&sw=m3", "Result: OK"),
        ("cmd=recover&w=lb&sw=m3", "Result: ERROR - Marking worker for recovery failed"),
        ("cmd=update&w=lb&sw=nobody", "Result: ERROR - could not find sub worker"),
        ("cmd=nosuch", "Result: ERROR - Invalid command."),
        ("cmd=update&from=show&w=lb&sw=m1&psw=nobody&vwa=0", "Result: OK"),
    ] {
        assert!(desk.ask(query).contains(result), "{query}");
    }
    assert_eq!((desk.member_field("m2", "distance"), desk.member_field("m2", "lbfactor")), ("2".into(), "2".into()));
}
