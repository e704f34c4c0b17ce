//! What nobody planned: a Tomcat that dies, stands still, loses its cable, or one httpd that alone cannot reach it. The figures are
//! printed as a table, those of C mod_jk beside ours.
//!
//! Not here: that no request fails, which such an event cannot promise. The surprising thing: both modules are under the same load in
//! front of the same Tomcats at the same time, so each event is one event for both.

use std::fmt::Write as _;
use std::time::Duration;

use super::docker::must;
use super::hosts::{Hosts, Module, Replication, Web};
use super::load::{Load, Tally};

/// Which users meet the event first is chance: up to so many more.
const CHANCE: usize = 8;
/// Measured times of two equal things differ by this much on a loaded machine; one more wait would be 20 seconds.
const NOISE: Duration = Duration::from_secs(5);

/// What is done to the hosts.
type Act = fn(&Hosts, &[Web]);

/// What happens, and how it ends.
const EVENTS: [(&str, Act, Act); 5] = [
    (
        "killed, started again",
        |hosts, _| drop(must(&["kill", &hosts.container("tomcat1")])),
        |hosts, _| drop(must(&["start", &hosts.container("tomcat1")])),
    ),
    (
        "stopped, started again",
        |hosts, _| drop(must(&["stop", &hosts.container("tomcat1")])),
        |hosts, _| drop(must(&["start", &hosts.container("tomcat1")])),
    ),
    (
        "paused, unpaused",
        |hosts, _| drop(must(&["pause", &hosts.container("tomcat1")])),
        |hosts, _| drop(must(&["unpause", &hosts.container("tomcat1")])),
    ),
    (
        "cut off, connected",
        |hosts, _| hosts.disconnect("tomcat1"),
        |hosts, _| hosts.connect("tomcat1", &hosts.tomcat_address(1)),
    ),
    (
        "cut off from one httpd",
        |hosts, firsts| firsts.iter().for_each(|web| hosts.cut_link(web, 1, true)),
        |hosts, firsts| firsts.iter().for_each(|web| hosts.cut_link(web, 1, false)),
    ),
];

#[test]
fn unplanned_events_cost_no_more_than_with_c() {
    let hosts = Hosts::start(Replication::Later);
    let (ours, theirs) = (hosts.webs("web", Module::Ours), hosts.webs("c", Module::C));
    let firsts = [ours[0].clone(), theirs[0].clone()];
    let loads = [Load::start(&ours, false), Load::start(&theirs, false)];
    let mut rows: Vec<(&str, [Tally; 2])> = Vec::new();
    for (name, begin, end) in EVENTS {
        loads.iter().for_each(|load| load.go_on(12));
        loads.iter().for_each(Load::reset);
        begin(&hosts, &firsts);
        // Longer than recover_time, so that the Tomcat is tried again in vain.
        loads.iter().for_each(|load| load.go_on(120));
        end(&hosts, &firsts);
        loads.iter().for_each(|load| load.await_node("tomcat1"));
        rows.push((name, [loads[0].tally(), loads[1].tally()]));
    }
    loads.into_iter().for_each(|load| drop(load.end()));
    println!("{}", table(&rows));
    for (name, [ours, theirs]) in &rows {
        assert!(ours.failed <= theirs.failed, "{name}: {:?}", ours.failures);
        assert!(ours.lost <= theirs.lost, "{name}: sessions lost");
        assert!(ours.slow <= theirs.slow + CHANCE, "{name}: slow answers");
        assert!(ours.outage <= theirs.outage + NOISE, "{name}: the longest outage");
    }
}

fn table(rows: &[(&str, [Tally; 2])]) -> String {
    let mut text =
        "requests, failed ones, the longest outage of a user, answers slower than 2 s, sessions lost\n".to_owned();
    writeln!(text, "{:<24}| {:<30}| {:<30}", "one of three Tomcats is", "this module", "C mod_jk").unwrap();
    for (name, [ours, theirs]) in rows {
        writeln!(text, "{name:<24}| {:<30}| {:<30}", ours.to_string(), theirs.to_string()).unwrap();
    }
    for (name, [ours, theirs]) in rows {
        for (whose, tally) in [("this module", ours), ("C mod_jk", theirs)] {
            tally.failures.iter().for_each(|why| writeln!(text, "  {name}, {whose}: {why}").unwrap());
        }
    }
    text
}
