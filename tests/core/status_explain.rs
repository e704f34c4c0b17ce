//! `cmd=explain`: the verdicts, and that asking changes nothing and tells what the next request does.
//!
//! Not here: httpd's part of the way (tests/httpd/status_explain.rs).

use mod_jk::ajp::request::ForwardRequest;
use mod_jk::balancer::State;
use mod_jk::worker::lb::{Balance, LbWorker, Trail};
use mod_jk::worker::{BodyKind, Request};
use proptest::prelude::*;
use serde_json::Value;

use crate::desk::{Desk, NOW};
use crate::engine::Client;

fn told(desk: &Desk, query: &str) -> Value {
    let page: Value = serde_json::from_str(&desk.ask(&format!("cmd=explain&mime=json&{query}"))).unwrap();
    assert_eq!(page["result"]["type"], "OK", "{page}");
    page["explain"].clone()
}

fn verdicts(told: &Value) -> Vec<(&str, &str)> {
    let rules = told["rules"].as_array().unwrap();
    rules.iter().map(|rule| (rule["uri"].as_str().unwrap(), rule["verdict"].as_str().unwrap())).collect()
}

fn desk() -> Desk {
    Desk::with("worker.m2.redirect=m3\nworker.m3.reply_timeout=7000\n")
        .mount("/app/*", "lb")
        .mount("/app/solo/*", "solo;reply_timeout=1500")
        .mount("/*", "solo")
        .mount("/lost", "nobody")
        .mount("/jkstatus", "st")
        .mount("/rule/*", "lb;disabled=m1;stopped=m2;sticky_ignore=1;session_cookie=SID")
        .unmount("/app/*.gif", "lb")
        .unmount("/app/*.gif", "solo")
}

#[test]
fn the_winner_comes_with_the_rules_behind_it() {
    let told = told(&desk(), "uri=/app/solo/x?y=z");
    assert_eq!((&told["outcome"], &told["worker"]), (&"forwarded".into(), &"solo".into()));
    assert_eq!(verdicts(&told), [("/app/solo/*", "wins"), ("/app/*", "fewer_slashes"), ("/*", "fewer_slashes")]);
    assert_eq!(told["path"], "/app/solo/x");
    assert_eq!(told["server"], "www.example.org:80");
}

#[test]
fn an_exclusion_is_named() {
    let told = told(&desk(), "uri=/app/a/b.gif");
    assert_eq!((&told["outcome"], &told["worker"]), (&"excluded".into(), &Value::Null));
    assert_eq!(
        verdicts(&told),
        [("/app/*.gif", "excludes"), ("/app/*.gif", "other_worker"), ("/app/*", "excluded"), ("/*", "fewer_slashes")]
    );
    assert!(told["reason"].as_str().unwrap().contains("exclusion /app/*.gif"), "{told}");
}

#[test]
fn what_goes_nowhere_is_told_so() {
    let desk = desk();
    for (uri, outcome, status) in [
        ("/lost", "refused", 500.into()),
        ("/jkstatus", "status", Value::Null),
        ("/../x", "refused", 400.into()),
        ("/a%252fb", "refused", 404.into()),
        ("*", "unmapped", Value::Null),
    ] {
        let told = told(&desk, &format!("uri={uri}"));
        assert_eq!((&told["outcome"], &told["http_status"]), (&outcome.into(), &status), "{uri}");
    }
    let told = told(&Desk::new(), "uri=/x");
    assert_eq!((&told["outcome"], &told["rules"]), (&"unmapped".into(), &Value::Array(Vec::new())));
}

#[test]
fn stickiness_picks_the_member_of_the_session_or_its_redirect() {
    let desk = desk();
    let member = |query: &str| {
        let told = told(&desk, query);
        (told["member"].as_str().unwrap_or("-").to_owned(), told["by"].as_str().unwrap_or("-").to_owned())
    };
    let is = |member: &str, by: &str| (member.to_owned(), by.to_owned());
    assert_eq!(member("uri=/app/x&cookie=JSESSIONID=1.m2"), is("m2", "session"));
    assert_eq!(member("uri=/app/x;jsessionid=1.m3&cookie=JSESSIONID=1.m2"), is("m3", "session"));
    assert_eq!(member("uri=/app/x&cookie=JSESSIONID=%221.m2%22"), is("m2", "session"), "quotes are not masked");
    assert_eq!(member("uri=/app/x"), is("m1", "load"));
    assert_eq!(member("uri=/rule/x&cookie=JSESSIONID=1.m1"), is("m3", "load"), "the rule ignores sessions");
    desk.done("cmd=update&w=lb&sw=m2&vwa=s");
    assert_eq!(member("uri=/app/x&cookie=JSESSIONID=1.m2"), is("m3", "redirect"));
    desk.done("cmd=update&w=lb&vlf=1");
    assert_eq!(member("uri=/app/x&cookie=JSESSIONID=1.m2"), is("-", "-"));
    let told = told(&desk, "uri=/app/x&cookie=JSESSIONID=1.m2");
    assert_eq!((&told["outcome"], &told["http_status"]), (&"no_member".into(), &503.into()));
}

#[test]
fn members_are_shown_as_the_rule_sees_them() {
    let desk = desk();
    desk.member(2).state.set(State::Error);
    let told = told(&desk, "uri=/rule/x");
    let member = |index: usize| {
        let member = &told["members"][index];
        let text = |name: &str| member[name].as_str().unwrap().to_owned();
        (text("activation"), member["activation_of_rule"].as_bool().unwrap(), text("verdict"))
    };
    assert_eq!(member(0), ("DIS".into(), true, "disabled: only requests of its sessions".into()));
    assert_eq!(member(1), ("STP".into(), true, "stopped".into()));
    assert_eq!(member(2), ("ACT".into(), false, "chosen".into()), "nobody else is left, so it is forced");
    assert!(told["reason"].as_str().unwrap().contains("all members were in error"), "{told}");
    assert_eq!(desk.member(2).state.get(), State::Error, "asking forces nobody");
}

#[test]
fn timeouts_in_force_have_their_origin() {
    let desk = desk();
    desk.done("cmd=update&w=lb&sw=m2&vart=4000");
    let reply_timeout = |query: &str| {
        let setting = told(&desk, query)["settings"]["reply_timeout"].clone();
        (setting["value"].as_u64().unwrap(), setting["origin"].as_str().unwrap().to_owned())
    };
    assert_eq!(reply_timeout("uri=/app/x"), (0, "default".to_owned()));
    assert_eq!(reply_timeout("uri=/app/x&cookie=JSESSIONID=1.m2"), (4_000, "status page".to_owned()));
    let (value, origin) = reply_timeout("uri=/app/x&cookie=JSESSIONID=1.m3");
    assert!(value == 7_000 && origin.starts_with("workers.properties:"), "{origin}");
    assert_eq!(reply_timeout("uri=/app/solo/x"), (1_500, "rule of /app/solo/*".to_owned()));
    let told = told(&desk, "uri=/rule/x");
    assert_eq!(told["lb_settings"]["session_cookie"]["value"], "SID");
    assert_eq!(told["lb_settings"]["sticky_ignore"]["origin"], "rule of /rule/*");
    assert_eq!(told["lb_settings"]["retries"]["origin"], "default");
}

#[test]
fn the_host_chooses_among_the_servers_of_an_address() {
    let desk = Desk::new()
        .mount("/*", "solo")
        .host(&["one.example", "*.one.example"], "*", 81)
        .mount("/*", "lb")
        .host(&["two.example"], "*", 81)
        .host(&["two.example"], "10.0.0.9", 82)
        .mount("/x", "solo");
    let answer = |query: &str, site: usize| {
        let query = format!("cmd=explain&mime=json&uri=/x{query}");
        let page = desk.page_for(&query, |ask| ask.site = site);
        let page: Value = serde_json::from_str(&page.body).unwrap();
        let told = &page["explain"];
        let text = |name: &str| told[name].as_str().unwrap_or("-").to_owned();
        (text("worker"), text("server"), told["host_is_known"].as_bool().unwrap())
    };
    let is = |worker: &str, server: &str, known: bool| (worker.to_owned(), server.to_owned(), known);
    assert_eq!(answer("", 0), is("solo", "www.example.org:80", true));
    assert_eq!(answer("", 3), is("lb", "one.example [*:81]", true));
    assert_eq!(answer("&host=a.One.example", 3), is("lb", "one.example [*:81]", true));
    assert_eq!(answer("&host=two.example", 3), is("-", "two.example [*:81]", true));
    assert_eq!(answer("&host=two.example:82", 3), is("solo", "two.example [10.0.0.9:82]", true));
    assert_eq!(answer("&host=other.example", 2), is("lb", "one.example [*:81]", false), "the first of the address");
    assert_eq!(answer("&host=one.example", 0), is("lb", "one.example [*:81]", true), "a site of another port");
}

#[test]
fn text_has_a_line_per_fact_whatever_was_asked() {
    let desk = desk();
    let page = desk.ask("cmd=explain&mime=txt&uri=/app/x&cookie=JSESSIONID=1.m2&host=a%0aResult:%20b");
    let lines: Vec<_> = page.lines().collect();
    assert_eq!(lines.iter().filter(|line| line.starts_with("Result:")).count(), 1, "{page}");
    assert_eq!(lines.last(), Some(&"Result: type=OK message=\"Action finished\""));
    assert!(page.contains("Rule: uri=\"/app/*\" worker=\"lb\" type=\"Wildchar\" source=\"JkMount\""), "{page}");
    assert!(page.contains("\nAnswer: outcome=forwarded worker=lb member=m2 by=session route=\"m2\""), "{page}");
    assert!(page.contains("\nSetting: reply_timeout=\"0\" origin=\"default\"\n"), "{page}");
}

#[test]
fn html_has_a_form_and_the_answer() {
    let desk = desk();
    let form = desk.ask("cmd=explain");
    assert!(form.contains("name=\"uri\"") && form.contains("name=\"cookie\"") && !form.contains("Answer"), "{form}");
    let page = desk.ask("cmd=explain&uri=/app/x&cookie=JSESSIONID=1.m2");
    assert!(
        page.contains("m2 is chosen: the session&#39;s route is m2")
            || page.contains("m2 is chosen: the session's route is m2")
    );
    assert!(!page.contains("JSESSIONID=1.m2"), "a session id is not shown again");
}

#[test]
fn bad_questions_are_refused() {
    let desk = desk();
    for query in ["cmd=explain", "cmd=explain&uri=", "cmd=explain&uri=app"] {
        assert!(desk.refused(query).contains("needs the path of a request"), "{query}");
    }
    for mime in ["xml", "prop"] {
        let page = desk.ask(&format!("cmd=explain&uri=/x&mime={mime}"));
        assert!(page.contains("cmd=explain answers in html, txt and json."), "{page}");
    }
    assert_eq!(desk.page("cmd=explain&uri=/x&mime=prom").status, 400);
}

/// One request through the balancer; nobody listens, so it is the choices that count. Returns the member of the first attempt.
fn request(desk: &Desk, lb: &LbWorker, balance: &Balance<'_>) -> Option<String> {
    let forward = ForwardRequest { method: b"GET", protocol: b"HTTP/1.1", uri: b"/", ..ForwardRequest::default() };
    let mut request = Request::new(&forward, BodyKind::None);
    let mut trail = Trail::default();
    // Nobody listens, so it fails.
    lb.service(&mut request, &mut Client::default(), balance, desk.log(), &mut trail).unwrap_err();
    trail.first.map(|report| report.name.as_str().to_owned())
}

/// What changes a balancer between two requests.
#[derive(Clone, Debug)]
enum Step {
    Request { route: usize, cookie: usize, stateless: bool },
    State(usize, State),
    Activation(usize, &'static str),
    Drain(usize, &'static str),
    Value(usize, u64),
    Setting(&'static str),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..PATHS.len(), 0..ROUTES.len(), any::<bool>()).prop_map(|(route, cookie, stateless)| Step::Request { route, cookie, stateless }),
        2 => (0..4_usize, 0..7_usize).prop_map(|(member, state)| Step::State(member, State::ALL[state])),
        2 => (0..4_usize, proptest::sample::select(vec!["a", "d", "s"])).prop_map(|(member, to)| Step::Activation(member, to)),
        1 => (0..4_usize, proptest::sample::select(vec!["quiet=0s", "until=30m"])).prop_map(|(member, how)| Step::Drain(member, how)),
        1 => (0..4_usize, 0..5_u64).prop_map(|(member, value)| Step::Value(member, value)),
        1 => proptest::sample::select(vec!["vlm=R", "vlm=B", "vlm=S", "vlm=N", "vlf=1", "vlf=0", "vll=P", "vll=O", "vls=1", "vls=0"])
            .prop_map(Step::Setting),
    ];
    proptest::collection::vec(step, 1..40)
}

/// Members that nobody contacts (port 0): an attempt fails at once and changes their states.
fn four(method: &str) -> Desk {
    let desk = Desk::of(&format!(
        "worker.list=lb,st\nworker.lb.type=lb\nworker.lb.balance_workers=a,b,c,d\nworker.lb.retries=1\nworker.st.type=status\n\
         worker.a.port=0\nworker.b.port=0\nworker.c.port=0\nworker.d.port=0\nworker.a.domain=east\nworker.b.domain=east\n\
         worker.c.redirect=d\nworker.d.distance=1\nworker.b.lbfactor=3\nworker.t.retry_interval=1\nworker.a.retries=1\n\
         worker.b.retries=1\nworker.c.retries=1\nworker.d.retries=1\n{method}"
    ));
    // A port of 0 stops a member at the start.
    desk.done("cmd=update&w=lb&sw=*&vwa=a");
    desk
}

const ROUTES: [&[u8]; 7] = [
    b"",
    b"JSESSIONID=1.a",
    b"JSESSIONID=1.c",
    b"JSESSIONID=1.east.x; JSESSIONID=2.d",
    b"JSESSIONID=1.zz",
    b"JSESSIONID=1.d",
    b"JSESSIONID=1.d; JSESSIONID=2.a",
];
const PATHS: [&[u8]; 6] = [b"/", b"/;jsessionid=1.a", b"/;jsessionid=1.b/x", b"/;jsessionid=/", b"/", b"/"];

/// Every request goes where the prediction before it said, and predicting twice says the same.
fn agrees(desk: &Desk, steps: &[Step]) -> Result<(), TestCaseError> {
    let lb = &desk.lbs()[0];
    let names = ["a", "b", "c", "d"];
    for step in steps {
        match step {
            Step::Request { route, cookie, stateless } => {
                let cookies = [ROUTES[*cookie]];
                let balance =
                    Balance { path: PATHS[*route], cookies: &cookies, stateless: *stateless, ..Balance::default() };
                let name = |prediction: mod_jk::worker::lb::Prediction| {
                    prediction.choice.ok().map(|(index, _)| names[index].to_owned())
                };
                let (first, second) = (name(lb.predict(&balance)), name(lb.predict(&balance)));
                prop_assert_eq!(&first, &second);
                prop_assert_eq!(first, request(desk, lb, &balance));
            }
            Step::State(member, state) => desk.member(*member).state.set(*state),
            Step::Activation(member, to) => desk.done(&format!("cmd=update&w=lb&sw={}&vwa={to}", names[*member])),
            // That of a stopped member is refused.
            Step::Drain(member, how) => drop(desk.ask(&format!("cmd=drain&w=lb&sw={}&{how}", names[*member]))),
            Step::Value(member, value) => desk.member(*member).value.set(*value),
            Step::Setting(setting) => desk.done(&format!("cmd=update&w=lb&{setting}")),
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_request_goes_where_the_prediction_said(steps in steps()) {
        agrees(&four(""), &steps)?;
    }

    #[test]
    fn a_request_by_latency_goes_where_the_prediction_said(steps in steps()) {
        agrees(&four("jkx.worker.lb.method=latency\njkx.worker.lb.slow_start=30\n"), &steps)?;
    }
}

/// The member that the next request is predicted to go to, and goes to.
fn next(desk: &Desk, cookies: &[&[u8]]) -> Option<String> {
    let (lb, balance) = (&desk.lbs()[0], Balance { path: b"/", cookies, ..Balance::default() });
    let predicted = lb.predict(&balance);
    let name = predicted.choice.ok().map(|(index, _)| predicted.members[index].name.clone());
    assert_eq!(name, request(desk, lb, &balance));
    name
}

#[test]
fn a_busy_member_that_has_room_again_keeps_its_session_before_those_of_later_ids() {
    let desk = four("");
    desk.member(3).state.set(State::Busy);
    assert_eq!(next(&desk, &[b"JSESSIONID=1.d; JSESSIONID=2.a"]).as_deref(), Some("d"));
}

#[test]
fn the_request_that_ends_a_drain_finds_the_loads_cleared() {
    let desk = four("");
    desk.done("cmd=drain&w=lb&sw=c&quiet=0s");
    desk.member(0).value.set(1_000);
    assert_eq!(next(&desk, &[]).as_deref(), Some("a"));
    assert_eq!(desk.member_field("c", "activation"), "STP");
}

#[test]
fn asking_changes_nothing() {
    let desk = desk();
    let before = desk.ask("mime=json");
    desk.member(1).state.set(State::Error);
    desk.member(1).first_error_time.set(NOW);
    let with_error = desk.ask("mime=json");
    assert_ne!(before, with_error);
    for uri in ["/app/x", "/app/x;jsessionid=1.m2", "/rule/y", "/none", "/lost"] {
        told(&desk, &format!("uri={uri}"));
    }
    assert_eq!(desk.ask("mime=json"), with_error);
    assert!(
        desk.lines("").iter().all(|line| !line.contains("empty session")),
        "nothing is logged for a request that is none"
    );
}
