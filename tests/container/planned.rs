//! What an admin plans: restarts of the Tomcats one by one, of the httpds one by one, a changed map. No request fails.
//!
//! Not here: events (accidents.rs). The surprising thing: the users stand before the balancer or change httpds with every request, so a
//! Tomcat must be stopped on the status pages of both httpds before it may go.

use std::fs;

use super::docker::must;
use super::hosts::{Hosts, Module, PATIENCE, Replication, Web};
use super::load::{Load, Tally};
use crate::support::http_client::{Client, Request};
use crate::support::wait;

#[track_caller]
fn assert_untouched(tally: &Tally) {
    let bad = (tally.failed, tally.lost, tally.stale);
    assert_eq!(bad, (0, 0, 0), "failed, lost, stale, of {}: {:?}", tally.requests, tally.failures);
}

#[test]
fn rolling_restart_of_the_tomcats_by_stop_and_activate_fails_no_request() {
    let hosts = Hosts::start(Replication::First);
    let webs = hosts.webs("web", Module::Ours);
    let load = Load::start(&webs, true);
    load.go_on(12);
    for number in 1..=3 {
        let name = format!("tomcat{number}");
        webs.iter().for_each(|web| web.command(&format!("cmd=update&w=lb&sw={name}&vwa=s")));
        for web in &webs {
            wait::until(PATIENCE, "no request on the stopped member", || web.status(&format!("{name}.busy")) == "0");
        }
        load.go_on(12);
        must(&["restart", &hosts.container(&name)]);
        hosts.await_tomcat(number);
        webs.iter().for_each(|web| web.command(&format!("cmd=update&w=lb&sw={name}&vwa=a")));
        load.await_node(&name);
    }
    let tally = load.end();
    println!("rolling restart of the Tomcats: {tally}");
    assert_untouched(&tally);
}

/// Drains an httpd in the balancer, or lets it serve again.
fn drain(front: &Web, web: &Web, on: bool) {
    let page = front.page("/balancer-manager");
    let nonce = page.split("nonce=").nth(1).and_then(|rest| rest.split('"').next()).expect("a nonce");
    let form = format!("w_status_N={}&w={}&b=webs&nonce={nonce}", u8::from(on), web.member);
    let request = Request::new("POST", "/balancer-manager")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .header("Host", front.address.to_string())
        .header("Referer", format!("http://{}/balancer-manager", front.address));
    let request = request.body(crate::support::http_client::Body::Length(form.into_bytes()));
    assert_eq!(Client::once(front.address, &request).unwrap().status(), 200);
    let page = front.page("/balancer-manager");
    let rows = page.split("<tr>").filter(|row| row.contains(&format!(">{}<", web.member)));
    assert!(rows.clone().all(|row| row.contains("Drn") == on), "{page}");
}

/// Requests that the balancer has under way to this httpd.
fn busy(front: &Web, web: &Web) -> String {
    let page = front.page("/balancer-manager");
    let row = page.split("<tr>").find(|row| row.contains(&format!(">{}<", web.member))).expect("its row").to_owned();
    row.split("<td>").nth(8).and_then(|cell| cell.split('<').next()).expect("a number").trim().to_owned()
}

#[test]
fn rolling_restart_of_the_httpds_behind_the_balancer_fails_no_request() {
    let hosts = Hosts::start(Replication::First);
    let webs = hosts.webs("web", Module::Ours);
    let front = hosts.front();
    let load = Load::start(std::slice::from_ref(&front), false);
    load.go_on(12);
    for web in &webs {
        drain(&front, web, true);
        wait::until(PATIENCE, "no request on the drained httpd", || busy(&front, web) == "0");
        must(&["restart", "--time", "60", &web.container]);
        wait::until(PATIENCE, "the httpd to serve again", || {
            web.ask("/counter.jsp").is_ok_and(|page| page.status() == 200)
        });
        drain(&front, web, false);
        load.go_on(12);
    }
    let tally = load.end();
    println!("rolling restart of the httpds: {tally}");
    assert_untouched(&tally);
}

#[test]
fn stop_of_an_httpd_lets_the_request_under_way_finish() {
    let hosts = Hosts::start(Replication::Later);
    let web = hosts.webs("web", Module::Ours).remove(0);
    let mut client = Client::connect(web.address).unwrap();
    client.send(&Request::new("GET", "/slow.jsp?ms=8000")).unwrap();
    wait::until(PATIENCE, "the request to be under way", || {
        (1..=3).any(|number| web.status(&format!("tomcat{number}.busy")) == "1")
    });
    must(&["stop", "--time", "60", &web.container]);
    let response = client.response("GET").unwrap().finish().unwrap();
    assert_eq!(response.status(), 200, "{}", response.text());
    assert_eq!(must(&["inspect", "--format", "{{.State.ExitCode}}", &web.container]), "0");
}

#[test]
fn graceful_restart_with_a_changed_map_fails_no_request() {
    let hosts = Hosts::start(Replication::First);
    let webs = hosts.webs("web", Module::Ours);
    let load = Load::start(&webs, true);
    load.go_on(12);
    let folder = tempfile::tempdir().unwrap();
    let map = folder.path().join("uriworkermap.properties");
    fs::write(&map, "/jkstatus=jkstatus\n/*.jsp=lb\n!/slow.jsp=lb\n/renamed|/*=lb\n").unwrap();
    for web in &webs {
        assert_eq!(web.ask("/slow.jsp?ms=0").unwrap().status(), 200);
        assert!(!web.ask("/renamed/x").unwrap().text().contains("Tomcat"), "httpd's own 404");
        must(&["cp", map.to_str().unwrap(), &format!("{}:/srv/httpd/conf/uriworkermap.properties", web.container)]);
        must(&["kill", "--signal", "USR1", &web.container]);
        wait::until(PATIENCE, "the new map", || web.ask("/slow.jsp?ms=0").is_ok_and(|page| page.status() == 404));
        assert!(web.ask("/renamed/x").unwrap().text().contains("Tomcat"), "Tomcat's 404");
        load.go_on(12);
    }
    assert_untouched(&load.end());
}
