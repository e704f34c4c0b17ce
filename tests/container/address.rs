//! A Tomcat that comes back at another address.
//!
//! Not here: making names move; a later change. The surprising thing: what is asserted is what happens now, which is what C mod_jk does:
//! a name is resolved when httpd reads its configuration, and a graceful restart reads it again.

use super::hosts::{Hosts, Module, PATIENCE, Replication};
use crate::support::wait;

#[test]
fn moved_tomcat_is_found_again_by_a_graceful_restart() {
    let hosts = Hosts::start(Replication::Later);
    let web = hosts.webs("web", Module::Ours).remove(0);
    let (old, new) = (hosts.tomcat_address(1), hosts.tomcat_address(9));
    assert_eq!(web.status("tomcat1.address"), format!("{old}:8009"));
    hosts.disconnect("tomcat1");
    hosts.connect("tomcat1", &new);
    // It is in error once somebody was sent there, and nobody notices more than a wait.
    wait::until(PATIENCE, "the old address to fail", || {
        web.count(None);
        web.status("tomcat1.state").starts_with("ERR")
    });
    assert_eq!(web.status("tomcat1.address"), format!("{old}:8009"), "resolved once");
    super::docker::must(&["kill", "--signal", "USR1", &web.container]);
    wait::until(PATIENCE, "the new address", || {
        web.ask("/jkstatus?mime=prop")
            .is_ok_and(|page| page.text().contains(&format!("worker.tomcat1.address={new}:8009")))
    });
    web.await_tomcat(1);
}
