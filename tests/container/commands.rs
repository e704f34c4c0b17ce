//! `make image`, `make cluster` and `make cluster-stop` themselves: what they say when they cannot, and what they leave alone.
//!
//! Not here: what runs in the cluster (the other files). The surprising thing: a cluster of a test is told from the user's by its project
//! name and carries the label of its owner, so it goes the way of all other containers of the tests.

use std::net::TcpListener;
use std::process::{Command, Output};

use super::docker::{Owner, docker, must};
use super::hosts::free_port;
use crate::support::http_client::{Client, Request};

fn script(name: &str, words: &[&str], environment: &[(&str, &str)]) -> Output {
    let path = format!("{}/tests/container/{name}.sh", env!("CARGO_MANIFEST_DIR"));
    Command::new(path).args(words).envs(environment.iter().copied()).output().unwrap()
}

/// It failed with one line, which says this.
#[track_caller]
fn assert_refuses(output: &Output, why: &str) {
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && complaint.contains(why), "{complaint}");
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
}

/// What there is in the engine of a compose project.
fn things_of(project: &str) -> Vec<String> {
    let filter = format!("label=com.docker.compose.project={project}");
    let all = |arguments: &[&str]| must(&[arguments, &["--filter", &filter, "--quiet"]].concat());
    let found = [all(&["container", "ls", "--all"]), all(&["network", "ls"]), all(&["volume", "ls"])];
    found.iter().flat_map(|lines| lines.lines()).map(str::to_owned).collect()
}

#[test]
fn without_an_engine_each_command_says_so_in_one_line() {
    let nowhere = [("DOCKER_HOST", "unix:///nonexistent/docker.sock")];
    for (name, word) in [("image", "httpd"), ("cluster", "start"), ("cluster", "stop")] {
        assert_refuses(&script(name, &[word], &nowhere), "no Docker engine answers");
    }
}

#[test]
fn without_a_network_the_base_is_neither_pulled_nor_made() {
    let owner = Owner::new();
    let base = format!("base=127.0.0.1:1/{}:none", owner.prefix);
    let output = script("image", &[&base], &[("DEBIAN_MIRROR", "http://127.0.0.1:1/debian")]);
    assert_refuses(&output, "no network");
    assert!(docker(&["image", "inspect", base.trim_start_matches("base=")]).is_err());
}

#[test]
fn base_that_is_there_is_taken_as_it_is() {
    let id = || must(&["image", "inspect", "--format", "{{.Id}}", "debian:bookworm-slim"]);
    let before = id();
    let output = script("image", &["base=debian:bookworm-slim"], &[("DEBIAN_MIRROR", "http://127.0.0.1:1/debian")]);
    assert!(output.status.success());
    assert_eq!(id(), before);
}

#[test]
fn port_in_use_is_named_before_anything_is_started() {
    let (owner, port) = (Owner::new(), free_port());
    for taken in [port, port + 2] {
        let _listener = TcpListener::bind(("127.0.0.1", taken)).unwrap();
        let environment = [("CLUSTER_PROJECT", owner.prefix.as_str()), ("CLUSTER_PORT", &port.to_string())];
        assert_refuses(&script("cluster", &["start"], &environment), &format!("port {taken} of 127.0.0.1 is in use"));
    }
    assert_eq!(things_of(&owner.prefix), [""; 0]);
}

#[test]
fn cluster_replaces_a_half_started_one_and_leaves_nothing_but_what_is_not_its_own() {
    let owner = Owner::new();
    let (project, port) = (owner.prefix.clone(), free_port());
    let compose = format!("--label=com.docker.compose.project={project}");
    let name = |name: &str| format!("{project}{name}");
    // Left by an earlier run, and beside it somebody else's of the same project name.
    let half = ["create", &owner.label, &compose, "--label=org.mod-jk=cluster", "--name"];
    must(&[&half[..], &[&name("_web1_1"), "mod_jk:latest"]].concat());
    let stranger = must(&["create", &owner.label, &compose, "--name", &name("_stranger"), "mod_jk:latest"]);
    let mark = owner.label.rsplit_once('=').unwrap().1;
    let port_text = port.to_string();
    let environment = [("CLUSTER_PROJECT", project.as_str()), ("CLUSTER_PORT", &port_text), ("CLUSTER_OWNER", mark)];
    let output = script("cluster", &["start"], &environment);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("removed what an earlier run had left"), "{text}");
    for port in port..port + 3 {
        assert!(text.contains(&format!("http://127.0.0.1:{port}/counter.jsp")), "{text}");
        let response = Client::once(("127.0.0.1", port), &Request::new("GET", "/counter.jsp")).unwrap();
        assert_eq!(response.status(), 200);
    }
    assert!(script("cluster", &["stop"], &environment).status.success());
    let left = things_of(&project);
    assert!(left.len() == 1 && stranger.starts_with(&left[0]), "{left:?}");
}
