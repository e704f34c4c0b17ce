//! The shared memory file and the life of the processes: created, hidden from others, unlinked, replaced at restarts.
//!
//! Not here: what is in it (src/shm). The surprising thing: the file has a name only while its httpd runs, and that name ends in the
//! process id.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use crate::support::backend::{Backend, get, status};
use crate::support::httpd::{Httpd, under_every_mpm};

/// Names below `folder` that begin with `stem`.
fn files(folder: &Path, stem: &str) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(stem)).collect();
    names.sort();
    names
}

fn pid(httpd: &Httpd) -> String {
    std::fs::read_to_string(httpd.root().join("run/httpd.pid")).unwrap().trim().to_owned()
}

under_every_mpm! {
    fn file_is_named_by_pid_closed_to_others_and_unlinked_at_the_stop(mpm: Mpm) {
        let folder = tempfile::tempdir().unwrap();
        let backend = Backend::echo();
        let config = format!("JkShmFile \"{}/jk-status\"\n", folder.path().display());
        let httpd = backend.httpd().mpm(mpm).config(&config).start();
        let names = files(folder.path(), "jk-status");
        assert!(names.contains(&format!("jk-status.{}", pid(&httpd))), "{names:?}");
        for name in names {
            let mode = std::fs::metadata(folder.path().join(&name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o600, "{name}");
        }
        assert_eq!(status(&httpd, "/"), 200);
        httpd.stop();
        assert!(files(folder.path(), "").is_empty());
    }

    fn graceful_restart_serves_on(mpm: Mpm) {
        let backend = Backend::echo();
        let mut httpd = backend.httpd().mpm(mpm).start();
        let (name, before) = (format!("run/jk-runtime-status.{}", pid(&httpd)), httpd.children());
        let inode = |httpd: &Httpd| std::fs::metadata(httpd.root().join(&name)).unwrap().ino();
        let old = inode(&httpd);
        assert_eq!(get(&httpd, "/before").text(), "GET /before");
        for round in 0..2 {
            httpd.graceful();
            assert_eq!(get(&httpd, "/after").text(), "GET /after", "{round}");
        }
        assert_ne!(inode(&httpd), old, "new memory, as with C mod_jk");
        assert_eq!(files(&httpd.root().join("run"), "jk-runtime-status").iter().filter(|name| !name.ends_with(".lock")).count(), 1);
        assert!(httpd.children().iter().all(|pid| !before.contains(pid)));
    }
}

#[test]
fn missing_shared_memory_file_is_announced_with_the_default() {
    let backend = Backend::echo();
    let httpd = backend.httpd().without_defaults().config("JkLogFile logs/mod_jk.log\n").start();
    assert_eq!(status(&httpd, "/"), 200);
    assert!(httpd.root().join(format!("logs/jk-runtime-status.{}", pid(&httpd))).exists());
    let said = httpd.error_log() + &std::fs::read_to_string(httpd.root().join("logs/output")).unwrap();
    assert!(said.contains("no JkShmFile is given, using logs/jk-runtime-status"), "{said}");
}

#[test]
fn file_that_lies_in_the_way_is_not_written_to() {
    // Whoever may write to the folder must not be able to make httpd write through a link.
    let backend = Backend::echo();
    let folder = tempfile::tempdir().unwrap();
    let config = format!("JkShmFile \"{}/shm\"\n", folder.path().display());
    let httpd = backend.httpd().config(&config).start();
    let name = format!("shm.{}", pid(&httpd));
    assert!(!std::fs::symlink_metadata(folder.path().join(&name)).unwrap().is_symlink());
}

#[test]
fn graceful_restart_takes_a_changed_workers_file_over() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let mut httpd =
        Httpd::builder().workers(&format!("worker.list=w\n{}", a.worker("w"))).config("JkMount /* w\n").start();
    assert_eq!(get(&httpd, "/").text(), "a");
    httpd.write_file("workers.properties", format!("worker.list=w\n{}", b.worker("w")));
    httpd.graceful();
    assert_eq!(get(&httpd, "/").text(), "b");
}

#[test]
fn watchdog_runs_and_ends_with_its_child() {
    let backend = Backend::echo();
    let mut httpd = backend.httpd().config("JkWatchdogInterval 1\nJkLogLevel debug\n").start();
    assert_eq!(status(&httpd, "/"), 200);
    httpd.graceful();
    assert_eq!(status(&httpd, "/"), 200);
    httpd.stop();
}

#[test]
fn size_that_is_given_is_said_to_be_unnecessary_and_httpd_starts() {
    for size in ["1", "1024"] {
        let backend = Backend::echo();
        let httpd = backend.httpd().config(&format!("JkShmSize {size}\n")).start();
        assert_eq!(status(&httpd, "/"), 200);
    }
}
