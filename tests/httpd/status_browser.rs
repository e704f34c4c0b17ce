//! The status pages in a real browser: with a mouse, with the keyboard alone, with scripts and without, narrow and wide, light and
//! dark. Pictures are left in `target/screenshots` for people to look at.
//!
//! Not here: what the pages say (`status_replay.rs`), what changes do (`status_page.rs`). The surprising thing: every test here also
//! asserts that the browser had nothing to complain about, the content policy included; `support/browser.rs` sees to that.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::support::backend::{Backend, get};
use crate::support::browser::{Browser, Key};
use crate::support::http_client::{Client, Request};
use crate::support::httpd::{Builder, Httpd};
use crate::support::tomcat::Tomcat;
use crate::support::wait;

/// Only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A balancer `lb` of two backends under /app, and a status worker.
fn pair(backends: &[Backend; 2]) -> Builder {
    let workers = format!(
        "worker.list=lb,st\nworker.lb.type=lb\nworker.lb.balance_workers=m1,m2\nworker.st.type=status\n{}{}",
        backends[0].worker("m1"),
        backends[1].worker("m2")
    );
    Httpd::builder().workers(&workers).config("JkMount /app/* lb\nJkMount /jkstatus st\n")
}

fn backends() -> [Backend; 2] {
    [Backend::named("m1"), Backend::named("m2")]
}

/// What the text format says of a member.
fn member(httpd: &Httpd, name: &str) -> String {
    let text = get(httpd, "/jkstatus?mime=txt").text();
    text.lines().find(|line| line.contains(&format!("Member: name={name} "))).unwrap().to_owned()
}

/// The page as each child shows it: asks until every child has answered.
fn every_child_shows(httpd: &Httpd, text: &str) {
    let mut missing = httpd.children();
    for round in 0..2_000 {
        let path = format!("/jkstatus?round={round}");
        let page = get(httpd, &path).text();
        assert!(page.contains(text), "{text} in {page}");
        let line = httpd.await_access_log(&format!("GET {path} "));
        missing.retain(|pid| !line.starts_with(&format!("{pid} ")));
        if missing.is_empty() {
            return;
        }
    }
    panic!("children {missing:?} were never asked");
}

#[test]
fn a_member_is_stopped_by_one_click_and_every_child_shows_it() {
    let backends = backends();
    let httpd = pair(&backends).start();
    let browser = Browser::open();
    browser.go(&httpd.url("/jkstatus"));
    browser.find("button[aria-label='Stop m1']").click();
    browser.await_text("Result: OK");
    assert!(member(&httpd, "m1").contains(" activation=STP "));
    every_child_shows(&httpd, "aria-label=\"Activate m1\"");
}

#[test]
fn a_member_is_drained_by_one_click_and_a_reload_shows_what_is_left() {
    let backends = backends();
    let httpd = pair(&backends).start();
    let browser = Browser::open();
    browser.go(&httpd.url("/jkstatus"));
    browser.find("button[aria-label^='Drain m1']").click();
    browser.await_text("Draining m1");
    assert!(browser.find("body").text().contains("Result: OK"));
    assert!(browser.url().ends_with("/jkstatus?cmd=list"), "{}", browser.url());
    assert!(member(&httpd, "m1").contains(" activation=DIS "));
    // Had the reload asked for it again, it would be drained anew.
    get(&httpd, "/jkstatus?cmd=update&w=lb&sw=m1&vwa=a");
    browser.script("location.reload()");
    browser.await_text("All 2 members are good");
    browser.find("button[aria-label^='Drain m1']").click();
    browser.await_text("Draining m1");
    browser.go(&httpd.url("/jkstatus"));
    browser.await_text("draining: 0 requests in progress");
}

#[test]
fn the_form_asks_where_a_request_goes() {
    let backends = backends();
    let httpd = pair(&backends).start();
    let browser = Browser::open();
    browser.go(&httpd.url("/jkstatus"));
    browser.find("nav.toolbar a[href*='cmd=explain']").click();
    browser.find("#uri").fill("/app/x");
    browser.find("#cookie").fill("JSESSIONID=1.m2");
    browser.find("form.edit button[type=submit]").click();
    browser.await_text("Rules that match, in their order");
    assert!(browser.find("body").text().contains("m2"));
    assert!(browser.url().contains("uri=%2Fapp%2Fx"), "{}", browser.url());
}

#[test]
fn a_setting_is_edited_in_its_form() {
    let backends = backends();
    let httpd = pair(&backends).start();
    let browser = Browser::open();
    browser.go(&httpd.url("/jkstatus"));
    browser.find("a[aria-label='Edit m2']").click();
    browser.find("#vwf").fill("7");
    browser.find("input[name=vwa][value='1']").click();
    browser.find("form.edit button[type=submit]").click();
    browser.await_text("Result: OK");
    assert!(member(&httpd, "m2").contains(" activation=DIS lbfactor=7 "), "{}", member(&httpd, "m2"));
}

#[test]
fn the_keyboard_alone_stops_a_member_and_edits_another() {
    let backends = backends();
    let httpd = pair(&backends).start();
    let browser = Browser::open();
    browser.go(&httpd.url("/jkstatus"));
    browser.tab_to("button[aria-label='Stop m1']");
    browser.press(Key::Enter);
    browser.await_text("Result: OK");
    assert!(member(&httpd, "m1").contains(" activation=STP "));
    browser.go(&httpd.url("/jkstatus"));
    browser.tab_to("a[aria-label='Edit m2']");
    browser.press(Key::Enter);
    browser.tab_to("#vwf");
    browser.type_text("5");
    browser.press(Key::Enter);
    browser.await_text("Result: OK");
    assert!(member(&httpd, "m2").contains(" lbfactor=5 "), "{}", member(&httpd, "m2"));
}

#[test]
fn nothing_needs_scripts() {
    let backends = backends();
    let script = "<link rel='icon' href='data:,'><title>none</title><script>document.title = 'ran'</script>";
    let httpd = pair(&backends).file("htdocs/script.html", script).start();
    let browser = Browser::without_scripts();
    browser.go(&httpd.url("/script.html"));
    assert!(browser.source().contains("<title>none</title>"), "scripts run");
    browser.go(&httpd.url("/jkstatus"));
    browser.find("button[aria-label='Disable m1']").click();
    browser.await_text("Result: OK");
    browser.go(&httpd.url("/jkstatus"));
    browser.find("a[aria-label='Edit lb']").click();
    browser.find("#vlr").fill("4");
    browser.find("form.edit button[type=submit]").click();
    browser.await_text("Result: OK");
    assert!(member(&httpd, "m1").contains(" activation=DIS "));
    assert!(get(&httpd, "/jkstatus?mime=txt").text().contains(" retries=4 "));
}

#[test]
fn pages_fit_narrow_and_wide_windows_in_light_and_dark() {
    let backends = backends();
    let httpd = pair(&backends).start();
    let browser = Browser::open();
    for (width, height, size) in [(320, 640, "narrow"), (1_600, 1_000, "wide")] {
        browser.resize(width, height);
        for scheme in ["light", "dark"] {
            browser.prefer("prefers-color-scheme", scheme);
            for (page, query) in [
                ("list", ""),
                ("edit", "?cmd=edit&w=lb&sw=m1"),
                ("explain", "?cmd=explain&uri=/app/x&cookie=JSESSIONID=1.m1"),
                ("drain", "?cmd=drain&w=lb&sw=m1&until=30m"),
                ("draining", "?cmd=list"),
                ("activated", "?cmd=update&w=lb&sw=m1&vwa=a"),
            ] {
                browser.go(&httpd.url(&format!("/jkstatus{query}")));
                let overflow = browser.script("return document.documentElement.scrollWidth - window.innerWidth");
                assert!(overflow.as_i64().unwrap() <= 0, "{page} at {width}: {overflow} pixels too wide");
                browser.screenshot(&format!("{page}-{size}-{scheme}"));
            }
        }
    }
}

/// A balancer with all that can be wrong: traffic, a member that is down, one disabled and busy, one stopped, a long name; a balancer
/// that is well, and an AJP worker.
pub(crate) struct Trouble {
    pub(crate) httpd: Httpd,
    /// Ends before httpd does, or that waits for it.
    held: Vec<std::thread::JoinHandle<()>>,
    hold: Arc<Hold>,
    backends: [Backend; 2],
}

#[derive(Default)]
struct Hold {
    over: Mutex<bool>,
    changed: Condvar,
}

const LONG: &str = "a-member-with-a-long-name.rack-17.datacenter-north.example.org";

impl Trouble {
    pub(crate) fn start() -> Trouble {
        let hold = Arc::<Hold>::default();
        let waits = Arc::clone(&hold);
        let slow = Backend::start(move |call| {
            if call.uri().starts_with("/app/hold") {
                let over = waits.over.lock().unwrap();
                drop(waits.changed.wait_while(over, |over| !*over).unwrap());
            }
            call.ok("slow");
        });
        let backends = [Backend::named("m1"), slow];
        let closed = Tomcat::closed_port();
        let names = ["tomcat1", "tomcat2", "tomcat3", "tomcat4", LONG];
        let mut workers = format!(
            "worker.list=shop,intranet,solo,st\nworker.st.type=status\nworker.shop.type=lb\nworker.intranet.type=lb\n\
             worker.shop.balance_workers={}\nworker.intranet.balance_workers=intra1,intra2\n",
            names.join(",")
        );
        let mut worker = |name: &str, port: u16| {
            workers += &format!(
                "worker.{name}.host=127.0.0.1\nworker.{name}.port={port}\nworker.{name}.socket_timeout=60\n\
                 worker.{name}.socket_connect_timeout=1000\n"
            );
        };
        for (name, port) in
            names.iter().zip([backends[0].port(), closed, backends[1].port(), backends[0].port(), backends[0].port()])
        {
            worker(name, port);
        }
        ["intra1", "intra2", "solo"].iter().for_each(|name| worker(name, backends[0].port()));
        let httpd = Httpd::builder()
            .threads(16)
            .workers(&workers)
            .config("JkMount /app/* shop\nJkMount /intra/* intranet\nJkMount /solo/* solo\nJkMount /jkstatus st\n");
        let httpd = httpd.start();
        for round in 0..60 {
            get(&httpd, &format!("/app/{round}"));
            get(&httpd, &format!("/intra/{}", round % 7));
        }
        get(&httpd, "/solo/x");
        get(&httpd, "/jkstatus?cmd=update&w=shop&sw=tomcat3&vwa=d");
        get(&httpd, "/jkstatus?cmd=update&w=shop&sw=tomcat4&vwa=s");
        Trouble { httpd, held: Vec::new(), hold, backends }
    }

    /// Three requests that the disabled member does not answer before the end of the test.
    fn hold_requests(&mut self) {
        let before = self.backends[1].count();
        for _ in 0..3 {
            let address = self.httpd.address();
            let request = Request::new("GET", "/app/hold").header("Cookie", "JSESSIONID=x.tomcat3");
            self.held.push(std::thread::spawn(move || {
                Client::once(address, &request).unwrap();
            }));
        }
        self.backends[1].await_count(before + 3);
    }
}

impl Drop for Trouble {
    fn drop(&mut self) {
        *self.hold.over.lock().unwrap() = true;
        self.hold.changed.notify_all();
        self.held.drain(..).for_each(|request| request.join().unwrap());
    }
}

#[test]
fn trouble_looks_like_trouble() {
    let mut trouble = Trouble::start();
    trouble.hold_requests();
    let browser = Browser::open();
    for (width, height, size) in [(320, 640, "narrow"), (1_600, 1_000, "wide")] {
        browser.resize(width, height);
        for scheme in ["light", "dark"] {
            browser.prefer("prefers-color-scheme", scheme);
            browser.go(&trouble.httpd.url("/jkstatus"));
            browser.await_text("connecting failed");
            browser.screenshot(&format!("trouble-{size}-{scheme}"));
        }
    }
}

#[test]
fn the_page_refreshes_in_place_and_takes_nothing_from_the_admin() {
    let backends = backends();
    let httpd = pair(&backends).start();
    let browser = Browser::open();
    browser.go(&httpd.url("/jkstatus?re=1"));
    browser.script("window.same = true; document.querySelector('.more details').open = true");
    browser.find("input[name=find]").click();
    browser.type_text("m2");
    let focused = browser.focused();
    get(&httpd, "/jkstatus?cmd=update&w=lb&sw=m1&vwa=s");
    browser.await_text("1 of 2 members needs attention");
    browser.find("button[aria-label='Activate m1']");
    assert!(browser.script("return window.same").as_bool().unwrap(), "the page was loaded anew");
    assert_eq!(browser.script("return document.querySelector('.more details').open"), true);
    assert!(focused.matches("input[name=find]:focus"), "the focus has moved");
    assert_eq!(focused.property("value"), "m2");
    // A button that has the focus stays the button it is.
    browser.script("document.querySelector(\"button[aria-label='Stop m2']\").focus()");
    get(&httpd, "/jkstatus?cmd=update&w=lb&sw=m2&vwa=d");
    browser.await_text("2 of 2 members need attention");
    assert_eq!(browser.focused().attribute("aria-label"), "Stop m2");
}

#[test]
fn refreshing_can_be_paused_and_resumed() {
    let backends = backends();
    let httpd = pair(&backends).start();
    let browser = Browser::open();
    browser.go(&httpd.url("/jkstatus?re=1"));
    let asked = || httpd.access_log().matches("GET /jkstatus?re=1 ").count();
    wait::until(PATIENCE, "a refresh", || asked() >= 3);
    browser.find("#pause").click();
    browser.await_text("Paused.");
    get(&httpd, "/jkstatus?cmd=update&w=lb&sw=m1&vwa=s");
    // The timer of the page goes on: its third turn comes after two that changed nothing.
    browser.script(
        "window.turns = 0; const plain = setTimeout; window.setTimeout = (...it) => { turns++; return plain(...it); }",
    );
    wait::until(PATIENCE, "the page's timer", || browser.script("return turns").as_u64() >= Some(3));
    assert!(browser.find("body").text().contains("All 2 members are good"));
    browser.find("#pause").click();
    browser.await_text("1 of 2 members needs attention");
}

#[test]
fn a_server_that_is_gone_is_told_and_the_last_view_stays() {
    let backends = backends();
    let httpd = pair(&backends).start();
    let browser = Browser::open();
    browser.go(&httpd.url("/jkstatus?re=1"));
    httpd.stop();
    browser.await_text("The server does not answer; what you see is old.");
    assert!(browser.find("body").text().contains("All 2 members are good"));
    // That it could not load what it wanted is what the test wants.
    browser.console_errors();
    browser.go("about:blank");
    browser.console_errors();
}

#[test]
fn a_result_is_not_repeated_by_a_reload() {
    let backends = backends();
    let httpd = pair(&backends).start();
    let browser = Browser::open();
    browser.go(&httpd.url("/jkstatus?cmd=update&from=list&w=lb&sw=m1&vwa=s"));
    browser.await_text("m1 in lb is stored as stopped");
    assert!(browser.url().ends_with("/jkstatus?cmd=list"), "{}", browser.url());
    get(&httpd, "/jkstatus?cmd=update&w=lb&sw=m1&vwa=a");
    browser.script("location.reload()");
    browser.await_text("All 2 members are good");
    assert!(member(&httpd, "m1").contains(" activation=ACT "));
}

#[test]
fn a_form_that_failed_has_what_was_typed_and_the_focus_where_it_is_wrong() {
    let backends = backends();
    let httpd = pair(&backends).start();
    let browser = Browser::open();
    browser.go(&httpd.url("/jkstatus?cmd=edit&from=list&w=lb&sw=m1"));
    browser.find("#vwf").fill("9");
    browser.find("#vahst").fill("no-such-host.invalid");
    browser.find("form.edit button[type=submit]").click();
    browser.await_text("This name cannot be resolved.");
    assert_eq!(browser.find("#vwf").property("value"), "9");
    assert_eq!(browser.focused().attribute("id"), "vahst");
    browser.screenshot("edit-failed");
    assert!(member(&httpd, "m1").contains(" lbfactor=1 "));
    browser.find("#vahst").fill("127.0.0.1");
    browser.find("form.edit button[type=submit]").click();
    browser.await_text("Result: OK");
    assert!(member(&httpd, "m1").contains(" lbfactor=9 "));
}

/// No container is needed to look at workers that nobody uses.
fn large(members: usize) -> Httpd {
    let names: Vec<_> = (1..=members).map(|number| format!("node{number}")).collect();
    let mut workers = format!(
        "worker.list=lb,st\nworker.st.type=status\nworker.lb.type=lb\nworker.lb.balance_workers={}\n\
         worker.t.host=127.0.0.1\nworker.t.port=9\nworker.t.socket_timeout=9\nworker.t.socket_connect_timeout=9\n",
        names.join(",")
    );
    names.iter().for_each(|name| workers += &format!("worker.{name}.reference=worker.t\n"));
    Httpd::builder().workers(&workers).config("JkMount /app/* lb\nJkMount /jkstatus st\n").start()
}

#[test]
fn a_thousand_members_are_looked_through_by_the_filter() {
    let httpd = large(1_000);
    get(&httpd, "/jkstatus?cmd=update&w=lb&sw=node77&vwa=s");
    let browser = Browser::open();
    browser.resize(390, 844);
    browser.go(&httpd.url("/jkstatus"));
    assert_eq!(browser.script("return document.querySelectorAll('.members tbody tr').length"), 1_000);
    assert_eq!(browser.find("#glance").text(), "1 of 1,000 members needs attention");
    browser.screenshot("thousand-narrow");
    browser.find("input[name=find]").fill("node99");
    browser.find(".filter button").click();
    browser.await_text("11 of 1,000 members shown");
    assert_eq!(browser.all(".members tbody tr").len(), 11);
    browser.resize(1_600, 1_000);
    browser.screenshot("filtered-wide");
}

#[test]
fn a_site_without_balancers_or_workers_is_told_to_be_empty() {
    let httpd =
        Httpd::builder().workers("worker.list=st\nworker.st.type=status\n").config("JkMount /jkstatus st\n").start();
    let browser = Browser::open();
    browser.go(&httpd.url("/jkstatus"));
    browser.await_text("Nothing to show.");
    browser.screenshot("empty");
}
