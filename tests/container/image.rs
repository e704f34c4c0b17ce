//! The images themselves: what is in them, who runs, what their samples do.
//!
//! Not here: how they are built (tests/container/image.sh). The surprising thing: nothing is mounted here; the samples must do as they are.

use super::docker::{Owner, docker, logs, must};
use super::hosts::PATIENCE;
use crate::support::wait;

const INITIALIZED: &str = concat!("mod_jk/", env!("CARGO_PKG_VERSION"), " initialized");

/// Starts an image with these options and waits until it calls itself healthy.
fn healthy(owner: &Owner, image: &str, options: &[&str]) -> String {
    let name = format!("{}-image", owner.prefix);
    let run = ["run", "--detach", &owner.label, "--name", &name, "--env", "AJP_SECRET=x", "--health-interval=1s"];
    must(&[&run[..], options, &[image]].concat());
    wait::until(PATIENCE, &format!("{image} to be healthy"), || {
        must(&["inspect", "--format", "{{.State.Health.Status}}", &name]) == "healthy"
    });
    name
}

fn stands_alone(image: &str, modules: &str) {
    let owner = Owner::new();
    let container = healthy(&owner, image, &[]);
    let log = logs(&container);
    assert!(log.contains(INITIALIZED), "the jk log goes to the container's: {log}");
    assert!(!log.contains("OPTIONS"), "the health check is not worth a line: {log}");
    assert!(!log.contains("[error]") && !log.contains("[warn]"), "{log}");
    assert_ne!(must(&["exec", &container, "id", "-u"]), "0", "no root rights");
    assert!(docker(&["exec", &container, "test", "-f", &format!("{modules}/mod_jk.so")]).is_ok());
    for tool in ["cc", "gcc", "rustc", "cargo", "clang", "make"] {
        assert!(docker(&["exec", &container, "sh", "-c", &format!("command -v {tool}")]).is_err(), "{tool} in {image}");
    }
    let label = |name: &str| {
        let format = format!("{{{{index .Config.Labels \"org.opencontainers.image.{name}\"}}}}");
        must(&["image", "inspect", "--format", &format, image])
    };
    assert_eq!(label("version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(must(&["image", "inspect", "--format", "{{.Config.StopSignal}}", image]), "SIGWINCH");
    must(&["stop", "--time", "60", &container]);
    assert_eq!(must(&["inspect", "--format", "{{.State.ExitCode}}", &container]), "0", "{}", logs(&container));
}

#[test]
fn image_runs_with_its_samples_and_without_root() {
    stands_alone("mod_jk:latest", "/usr/lib/apache2/modules");
}

#[test]
fn module_for_the_official_layout_runs_with_its_samples_and_without_root() {
    stands_alone("mod_jk:official", "/usr/local/apache2/modules");
}

#[test]
fn images_run_for_any_user_with_a_file_system_that_cannot_be_written_to_and_on_another_port() {
    for (image, root) in [("mod_jk:latest", "/srv/httpd"), ("mod_jk:official", "/usr/local/apache2")] {
        let owner = Owner::new();
        let folder = tempfile::tempdir().unwrap();
        let port = folder.path().join("port.conf");
        std::fs::write(&port, "Listen 9000\n").unwrap();
        let (logs_on, mount) =
            (format!("{root}/logs:uid=12345"), format!("{}:{root}/conf/conf.d/port.conf:ro", port.display()));
        let options = [
            "--read-only",
            "--tmpfs",
            &logs_on,
            "--user",
            "12345:12345",
            "--env",
            "HEALTH_PORT=9000",
            "--volume",
            &mount,
        ];
        let log = logs(&healthy(&owner, image, &options));
        assert!(log.contains(INITIALIZED), "{image}: {log}");
    }
}

#[test]
fn any_user_of_the_root_group_may_write_the_files_of_a_running_httpd() {
    for image in ["mod_jk:latest", "mod_jk:official"] {
        let owner = Owner::new();
        let log = logs(&healthy(&owner, image, &["--user", "12345:0"]));
        assert!(log.contains(INITIALIZED), "{image}: {log}");
    }
}

#[test]
fn dockerfile_names_the_version_of_the_module() {
    let line = concat!("\nARG VERSION=", env!("CARGO_PKG_VERSION"), "\n");
    assert!(include_str!("../../Dockerfile").contains(line), "no {line}");
}
