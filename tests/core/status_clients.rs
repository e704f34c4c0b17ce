//! What the known readers of the status worker make of our answers: each does here what it does in its own language.
//!
//! Not here: whole answers (tests/httpd/status_replay.rs). The surprising thing: some count columns and lines, so that a new field
//! anywhere but at the end of a line would break them (reference: lb-shm-status.md section 4.12).

use std::collections::HashMap;

use mod_jk::balancer::State;

use crate::desk::Desk;

/// An XML element with its attributes and children; enough of XML for what we write.
#[derive(Debug, Default)]
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    children: Vec<Element>,
}

impl Element {
    fn parse(text: &str) -> Element {
        let mut stack = vec![Element::default()];
        let body = text.split_once("?>").unwrap().1;
        for part in body.split('<').skip(1) {
            let (tag, between) = part.split_once('>').unwrap();
            assert_eq!(between.trim(), "", "no text between elements");
            if let Some(ended) = tag.strip_prefix('/') {
                let done = stack.pop().unwrap();
                assert_eq!(ended, done.name);
                stack.last_mut().unwrap().children.push(done);
                continue;
            }
            let (inner, is_empty) = tag.strip_suffix('/').map_or((tag, false), |inner| (inner, true));
            let (name, rest) = inner.split_once(char::is_whitespace).unwrap_or((inner, ""));
            let mut pieces = rest.split('"');
            let mut attributes = Vec::new();
            while let (Some(name), Some(value)) = (pieces.next(), pieces.next()) {
                attributes.push((name.trim().trim_end_matches('=').to_owned(), value.to_owned()));
            }
            let element = Element { name: name.to_owned(), attributes, children: Vec::new() };
            if is_empty {
                stack.last_mut().unwrap().children.push(element);
            } else {
                stack.push(element);
            }
        }
        assert_eq!(stack.len(), 1, "all elements end");
        stack.pop().unwrap().children.pop().unwrap()
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    fn one(&self, name: &str) -> &Element {
        self.children.iter().find(|child| child.name == name).unwrap_or_else(|| panic!("no {name} in {}", self.name))
    }

    fn get(&self, name: &str) -> &str {
        let found = self.attributes.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("no {name} in {}", self.name))
    }
}

fn troubled() -> Desk {
    let desk = Desk::new().mount("/app/*", "lb").mount("/solo/*", "solo");
    desk.done("cmd=update&w=lb&sw=m2&vwa=d");
    desk.member(2).state.set(State::Error);
    desk.member(2).first_error_time.set(crate::desk::NOW - 5);
    desk.member(2).last_error_time.set(crate::desk::NOW - 5);
    desk.ajp("m1").used.set(7);
    desk
}

#[test]
fn check_jk_status_of_nagios_finds_members_out_of_service() {
    let page = Element::parse(&troubled().ask("mime=xml"));
    let balancer = page.one("jk:balancers").all("jk:balancer").find(|balancer| balancer.get("name") == "lb").unwrap();
    assert_eq!(balancer.get("member_count"), "3");
    let is_good = |member: &&Element| {
        member.get("activation") == "ACT" && ["OK", "OK/IDLE", "N/A"].contains(&member.get("state"))
    };
    let good: Vec<_> = balancer.all("jk:member").filter(is_good).map(|member| member.get("name")).collect();
    assert_eq!(good, ["m1"]);
    assert_eq!(page.get("xmlns:jk"), "http://tomcat.apache.org");
}

#[test]
fn the_nagios_plugin_that_shows_one_balancer_finds_it_under_the_root() {
    let page = Element::parse(&troubled().ask("mime=xml&opt=2&cmd=show&w=lb"));
    assert_eq!((page.one("jk:result").get("type"), page.one("jk:result").get("message")), ("OK", "Action finished"));
    assert_eq!(page.one("jk:software").get("jk_version"), "mod_jk/test");
    let members: Vec<_> = page.one("jk:balancer").all("jk:member").collect();
    assert_eq!(members.len(), 3);
    for name in ["busy", "errors", "connected", "client_errors", "elected", "read", "transferred"] {
        assert!(members[0].get(name).parse::<u64>().is_ok(), "{name}");
    }
    assert_eq!(page.one("jk:balancer").all("jk:map").count(), 0);
}

#[test]
fn telegraf_and_the_prometheus_exporter_get_numbers_and_booleans() {
    let page = Element::parse(&troubled().ask("mime=xml"));
    let balancer = page.one("jk:balancers").one("jk:balancer");
    assert_eq!(balancer.get("type"), "lb");
    for name in ["sticky_session", "sticky_session_force"] {
        assert!(["True", "False"].contains(&balancer.get(name)), "{name}");
    }
    for name in [
        "retries",
        "recover_time",
        "error_escalation_time",
        "max_reply_timeouts",
        "member_count",
        "good",
        "degraded",
        "bad",
        "busy",
        "max_busy",
        "map_count",
        "time_to_maintenance_min",
        "time_to_maintenance_max",
        "last_reset_at",
        "last_reset_ago",
    ] {
        assert!(balancer.get(name).parse::<u64>().is_ok(), "{name}");
    }
    for name in [
        "lbfactor",
        "distance",
        "lbmult",
        "lbvalue",
        "elected",
        "sessions",
        "errors",
        "client_errors",
        "reply_timeouts",
        "transferred",
        "read",
        "busy",
        "max_busy",
        "connected",
        "max_connected",
        "time_to_recover_min",
        "time_to_recover_max",
        "last_reset_at",
        "last_reset_ago",
    ] {
        for member in balancer.all("jk:member") {
            assert!(member.get(name).parse::<i64>().is_ok(), "{name}");
        }
    }
    let map = balancer.one("jk:map");
    assert_eq!((map.get("id"), map.get("server"), map.get("uri")), ("1", "www.example.org:80", "/app/*"));
    let ajp = page.one("jk:ajp_workers");
    assert_eq!((ajp.one("jk:ajp").get("used"), ajp.one("jk:map").get("uri")), ("0", "/solo/*"));
}

/// `awk` splits at blanks and counts from 1.
fn column(line: &str, number: usize) -> &str {
    line.split_whitespace().nth(number - 1).unwrap()
}

#[test]
fn the_awk_columns_of_the_zabbix_script_hold_what_it_expects() {
    let page = troubled().ask("mime=txt");
    let line = |start: &str| page.lines().find(|line| line.starts_with(start)).unwrap();
    let balancer = line("Balancer Worker: name=lb ");
    assert_eq!([14, 15, 16].map(|number| column(balancer, number)), ["good=1", "degraded=1", "bad=1"]);
    let member = line("Member: name=m3 ");
    let expected = [(24, "state=ERR"), (28, "sessions=0"), (29, "errors=0"), (35, "max_busy=0"), (36, "connected=0")];
    for (number, field) in expected {
        assert_eq!(column(member, number), field);
    }
}

#[test]
fn munin_finds_its_properties() {
    let page = troubled().ask("mime=prop");
    for line in [
        "worker.m1.type=ajp13",
        "worker.m1.state=OK/IDLE",
        "worker.m3.state=ERR",
        "worker.m1.busy=0",
        "worker.m1.max_busy=0",
        "worker.m1.errors=0",
        "worker.m1.transferred=0",
        "worker.m1.read=0",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}");
    }
    let at = |text: &str| page.find(text).unwrap();
    assert!(at("worker.m1.busy=") < at("worker.m1.max_busy="));
}

#[test]
fn saltstack_joins_repeated_properties() {
    let desk = Desk::new();
    let page = desk.ask("mime=prop");
    let mut all: HashMap<&str, Vec<&str>> = HashMap::new();
    for line in page.lines() {
        let (name, value) = line.split_once('=').unwrap();
        all.entry(name).or_default().push(value);
    }
    assert_eq!(all["worker.list"], ["lb"]);
    assert_eq!(all["worker.lb.balance_workers"], ["m1", "m2", "m3"]);
    assert_eq!(all["worker.solo.list"], ["solo"]);
    assert_eq!(all["worker.m1.activation"], ["ACT"]);
    assert_eq!(all["worker.result.type"], ["OK"]);
    assert_eq!(all["worker.jk_version"], ["mod_jk/test"]);
    assert!(desk.ask("cmd=update&mime=prop&w=lb&sw=m1&vwa=s").starts_with("worker.result.type=OK\n"));
    assert_eq!(desk.member_field("m1", "activation"), "STP");
}

#[test]
fn dump_is_the_same_properties_in_all_formats_and_has_no_secrets() {
    let desk = Desk::with("worker.m1.secret=hush-hush\nworker.m2.secretkey=quiet\n");
    for mime in ["prop", "txt", "xml", "html"] {
        let page = desk.ask(&format!("cmd=dump&mime={mime}"));
        assert!(page.contains("worker.lb.balance_workers") && page.contains("m1,m2,m3"), "{mime}");
        assert!(!page.contains("hush") && !page.contains("quiet"), "{mime}");
    }
}
