//! Sessions across hosts: the same Tomcat through either httpd, and another one with the data when it dies.
//!
//! Not here: sessions under load (planned.rs, accidents.rs). The surprising thing: neither httpd knows of the other; the route in the
//! session's id is all they share.

use super::docker::must;
use super::hosts::{Hosts, Module, Replication};

#[test]
fn sessions_stick_through_both_httpds_and_survive_their_tomcat() {
    let hosts = Hosts::start(Replication::First);
    let webs = hosts.webs("web", Module::Ours);
    let mut homes = Vec::new();
    for user in 0..6 {
        let first = webs[user % 2].count(None);
        for step in 1..=6 {
            let next = webs[(user + step) % 2].count(Some(&first.session));
            assert_eq!((&next.node, next.visits), (&first.node, u32::try_from(step).unwrap() + 1), "user {user}");
        }
        homes.push(first);
    }
    let (orphan, others): (Vec<_>, Vec<_>) = homes.iter().partition(|home| home.node == homes[0].node);
    assert!(!others.is_empty(), "all users came to one Tomcat");
    must(&["kill", &hosts.container(&homes[0].node)]);
    for home in &orphan {
        let moved = webs[0].count(Some(&home.session));
        assert_ne!(moved.node, home.node);
        assert_eq!(moved.visits, 8, "the data came along");
        // The id names the new home from now on, and the other httpd goes there.
        let next = webs[1].count(Some(&moved.session));
        assert_eq!((&next.node, next.visits), (&moved.node, 9));
    }
    for home in &others {
        let next = webs[1].count(Some(&home.session));
        assert_eq!((&next.node, next.visits), (&home.node, 8), "another Tomcat's session stays where it was");
    }
}
