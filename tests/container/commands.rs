//! `make image`, `make cluster` and `make cluster-stop` themselves: what they say when they cannot, and what they leave alone.
//!
//! Not here: what runs in the cluster (the other files). The surprising thing: a cluster of a test is told from the user's by its project
//! name and carries the label of its owner, so it goes the way of all other containers of the tests.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

use super::docker::{Owner, docker, must};
use super::hosts::{PATIENCE, free_port};
use crate::support::http_client::{Client, Request};
use crate::support::wait;

fn command(name: &str, words: &[&str], environment: &[(&str, &str)]) -> Command {
    let path = format!("{}/tests/container/{name}.sh", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(path);
    command.args(words).envs(environment.iter().copied());
    command
}

fn script(name: &str, words: &[&str], environment: &[(&str, &str)]) -> Output {
    command(name, words, environment).output().unwrap()
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

/// A registry that answers every request with this one response.
fn registry(response: &'static str) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let head = BufReader::new(&stream).lines().map_while(Result::ok);
            head.take_while(|line| !line.is_empty()).for_each(drop);
            let _ = stream.write_all(response.as_bytes());
        }
    });
    port
}

#[test]
fn registry_that_refuses_is_quoted_and_no_base_is_made() {
    let owner = Owner::new();
    let port = registry(
        "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nContent-Length: 72\r\nConnection: close\r\n\r\n\
         {\"errors\":[{\"code\":\"TOOMANYREQUESTS\",\"message\":\"the limit is reached\"}]}",
    );
    let base = format!("base=127.0.0.1:{port}/{}:none", owner.prefix);
    let output = script("image", &[&base], &[("DEBIAN_MIRROR", "http://127.0.0.1:1/debian")]);
    assert_refuses(&output, "the limit is reached");
    assert!(docker(&["image", "inspect", base.trim_start_matches("base=")]).is_err());
}

#[test]
fn ports_and_images_that_make_no_sense_are_named() {
    for port in ["abc", "08080", "8080.5", "1 2", "0", "-1", "65534", "99999999999999999999"] {
        let wanted = format!("CLUSTER_PORT is '{port}', not a number from 1 to 65533");
        assert_refuses(&script("cluster", &["start"], &[("CLUSTER_PORT", port)]), &wanted);
    }
    // What make is told is never a command.
    for (goal, setting) in [("image", "IMAGES=httpd;echo ran"), ("cluster", "CLUSTER_PORT=1;echo ran")] {
        let mut make = Command::new("make");
        let output = make.current_dir(env!("CARGO_MANIFEST_DIR")).args([goal, setting]).output().unwrap();
        assert!(!output.status.success());
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{setting}");
    }
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
    let (port_text, routes) = (port.to_string(), wide_route());
    let path = format!("{}:{}", routes.path().display(), std::env::var("PATH").unwrap());
    let environment =
        [("CLUSTER_PROJECT", project.as_str()), ("CLUSTER_PORT", &port_text), ("CLUSTER_OWNER", mark), ("PATH", &path)];
    let output = script("cluster", &["start"], &environment);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("removed what an earlier run had left"), "{text}");
    for port in port..port + 3 {
        assert!(text.contains(&format!("http://127.0.0.1:{port}/counter.jsp")), "{text}");
        assert_eq!(status(port, "/counter.jsp"), 200);
    }
    let network = name("_cluster");
    let subnet = must(&["network", "inspect", "--format", "{{range .IPAM.Config}}{{.Subnet}}{{end}}", &network]);
    assert!(subnet.as_str() < "172.31.240", "{subnet} is inside the wide route");
    assert_status_pages_stay_behind(port);
    // An httpd that is gone, with its name, is not noticed at the balancer.
    must(&["kill", &name("_web1_1")]);
    (0..10).for_each(|_| assert_eq!(status(port, "/counter.jsp"), 200));
    must(&["run", "--detach", &owner.label, "--network", &network, "--name", &name("_guest"), "mod_jk:latest"]);
    assert_running_cluster_is_kept(&project, &environment);
    assert_refuses(&script("cluster", &["stop"], &environment), &name("_guest"));
    must(&["rm", "--force", &name("_guest")]);
    assert!(script("cluster", &["stop"], &environment).status.success());
    let left = things_of(&project);
    assert!(left.len() == 1 && stranger.starts_with(&left[0]), "{left:?}");
}

/// A folder with a command `ip` that knows one route, over what the cluster would take.
fn wide_route() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ip");
    fs::write(&path, "#!/bin/sh\necho 172.31.240.0/20 dev tunnel0 scope link\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn status(port: u16, target: &str) -> u16 {
    Client::once(("127.0.0.1", port), &Request::new("GET", target)).unwrap().status()
}

/// However it is spelled, the balancer does not hand out what is for an httpd's own port.
fn assert_status_pages_stay_behind(balancer: u16) {
    assert_eq!(status(balancer + 1, "/jkstatus;x"), 200);
    for target in
        ["/jkstatus", "/jkstatus;x", "/;x/jkstatus", "/x;y/..;z/jkstatus?mime=txt", "//jkstatus;", "/%6akstatus;"]
    {
        assert_eq!(status(balancer, target), 403, "{target}");
    }
}

/// What cannot be started does not cost the cluster that runs.
fn assert_running_cluster_is_kept(project: &str, environment: &[(&str, &str)]) {
    let before = things_of(project);
    assert_refuses(&script("cluster", &["start"], environment), "is on its network");
    let other = free_port();
    let _listener = TcpListener::bind(("127.0.0.1", other)).unwrap();
    let other = other.to_string();
    let elsewhere = [environment, &[("CLUSTER_PORT", &other)]].concat();
    assert_refuses(&script("cluster", &["start"], &elsewhere), "is in use");
    assert_eq!(things_of(project), before);
}

#[test]
fn interrupted_start_says_so_and_leaves_nothing_whoever_is_impatient() {
    // A busy engine may answer the test so late that the cluster is ready before it is interrupted: that proves nothing.
    assert!((0..3).any(|_| start_interrupted_in_time()));
}

/// False: the cluster was ready before.
fn start_interrupted_in_time() -> bool {
    let (owner, port) = (Owner::new(), free_port().to_string());
    let mark = owner.label.rsplit_once('=').unwrap().1;
    let environment = [("CLUSTER_PROJECT", owner.prefix.as_str()), ("CLUSTER_PORT", &port), ("CLUSTER_OWNER", mark)];
    let mut start = command("cluster", &["start"], &environment);
    let mut start = start.process_group(0).stdout(Stdio::piped()).spawn().unwrap();
    let group = Pid::from_child(&start);
    let mut lines = BufReader::new(start.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("starting three Tomcats")));
    wait::until(PATIENCE, "something to remove", || !things_of(&owner.prefix).is_empty());
    // Fails when it is ready and gone.
    let _ = kill_process_group(group, Signal::INT);
    let mut is_ready = false;
    if !lines.any(|line| {
        is_ready |= line.contains("The balancer:");
        line.contains("removing the half-started cluster")
    }) {
        assert!(is_ready, "neither removed nor ready");
        start.wait().unwrap();
        return false;
    }
    kill_process_group(group, Signal::INT).unwrap();
    assert_eq!(start.wait().unwrap().code(), Some(130));
    assert_eq!(things_of(&owner.prefix), [""; 0]);
    true
}
