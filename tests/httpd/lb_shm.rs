//! Shared memory in a real httpd: what survives children that are killed and restarts, and files that are in the way.
//!
//! Not here: the protocols of the slots (tests/core/shm_*.rs). The surprising thing: the state of a member is read from the request notes
//! in an access log of the test's own.

use std::fs;
use std::os::unix::fs::FileExt;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::cluster::{Cluster, Mode, PATIENCE, fetch, fetch_at};
use crate::support::httpd::{Httpd, under_every_mpm};
use crate::support::wait;

const NOTES: &str = "LogFormat \"%{JK_LB_LAST_NAME}n %{JK_LB_LAST_ACCESSED}n %{JK_LB_LAST_VALUE}n %{JK_LB_LAST_STATE}n\" lb\n\
                     CustomLog logs/lb.log lb\n";
const AT_ONCE: &str = "worker.lb.retry_interval=0\nworker.$W.retry_interval=0\n";

/// Waits for the line of the request after which the notes are these. Earlier requests may be logged later.
fn await_notes(httpd: &Httpd, notes: &str) {
    let log = || fs::read_to_string(httpd.root().join("logs/lb.log")).unwrap();
    wait::until(PATIENCE, notes, || log().lines().any(|line| line == notes));
}

/// The file of the shared memory.
fn shm_file(httpd: &Httpd) -> std::path::PathBuf {
    let entries = fs::read_dir(httpd.root().join("run")).unwrap().map(|entry| entry.unwrap().path());
    let mut files = entries.filter(|path| path.to_string_lossy().contains("jk-runtime-status."));
    let file = files.next().unwrap();
    assert_eq!(files.next(), None);
    file
}

under_every_mpm! {
    fn killed_child_leaves_no_busy_count(mpm: Mpm) {
        let cluster = Cluster::start(2);
        let httpd = cluster.httpd(&format!("{AT_ONCE}worker.w1.busy_limit=1")).mpm(mpm).children(2);
        let httpd = httpd.allow_error_log("exit signal Killed").start();
        let address = httpd.address();
        let held = thread::spawn(move || {
            // The connection dies with the child.
            let request = crate::support::http_client::Request::new("GET", "/hold").header("Cookie", "JSESSIONID=a.w1");
            assert!(crate::support::http_client::Client::once(address, &request).is_err());
        });
        cluster.member(1).await_held(1);
        assert_eq!(fetch(&httpd, Some("a.w1")), (200, "w2".to_owned()));
        let children = httpd.children();
        for pid in &children {
            kill_process(Pid::from_raw(i32::try_from(*pid).unwrap()).unwrap(), Signal::KILL).unwrap();
        }
        held.join().unwrap();
        wait::until(PATIENCE, "new children", || httpd.children().iter().any(|pid| !children.contains(pid)));
        assert_eq!(fetch(&httpd, Some("a.w1")), (200, "w1".to_owned()));
        cluster.member(1).release();
    }

    fn killed_child_leaves_no_load_under_busyness(mpm: Mpm) {
        let cluster = Cluster::start(2);
        let httpd = cluster.httpd(&format!("{AT_ONCE}worker.lb.method=B")).mpm(mpm).children(1);
        let httpd = httpd.allow_error_log("exit signal Killed").start();
        let address = httpd.address();
        let held = thread::spawn(move || {
            let request = crate::support::http_client::Request::new("GET", "/hold").header("Cookie", "JSESSIONID=a.w1");
            assert!(crate::support::http_client::Client::once(address, &request).is_err());
        });
        cluster.member(1).await_held(1);
        let children = httpd.children();
        for pid in &children {
            kill_process(Pid::from_raw(i32::try_from(*pid).unwrap()).unwrap(), Signal::KILL).unwrap();
        }
        held.join().unwrap();
        cluster.picks();
        wait::until(PATIENCE, "new children", || httpd.children().iter().any(|pid| !children.contains(pid)));
        (0..4).for_each(|_| assert_eq!(fetch(&httpd, None).0, 200));
        assert_eq!(cluster.picks(), "1212");
        cluster.member(1).release();
    }

    fn file_that_is_cut_under_a_running_httpd_costs_each_child_once_at_most(mpm: Mpm) {
        let cluster = Cluster::start(2);
        let more = format!("{AT_ONCE}worker.maintain=1");
        let mut httpd = cluster.httpd(&more).mpm(mpm).children(2).allow_error_log("exit signal Bus error").start();
        assert_eq!(fetch(&httpd, None).0, 200);
        let file = shm_file(&httpd);
        let size = fs::metadata(&file).unwrap().len();
        fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(0).unwrap();
        let request = crate::support::http_client::Request::new("GET", "/x");
        wait::until(PATIENCE, "the file to be whole", || {
            // A child may die with the request.
            let _ = crate::support::http_client::Client::once(httpd.address(), &request);
            fs::metadata(&file).unwrap().len() == size
        });
        httpd.await_jk_log("somebody cut the shared memory file");
        (0..20).for_each(|_| assert_eq!(fetch(&httpd, None).0, 200));
        assert!(httpd.error_log().matches("exit signal Bus error").count() <= 2, "{}", httpd.error_log());
        // The parent reads it at a restart. (A hard one: when children die of a signal during a graceful one, whatever the reason, the next
        // ones of the event MPM do not listen to SIGTERM.)
        fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(0).unwrap();
        httpd.restart();
        (0..4).for_each(|_| assert_eq!(fetch(&httpd, None).0, 200));
    }

    fn file_that_is_written_over_under_a_running_httpd_holds_no_request_up(mpm: Mpm) {
        let cluster = Cluster::start(2);
        let more = format!("{AT_ONCE}worker.maintain=1\nworker.w1.busy_limit=20\nworker.w2.busy_limit=20\n");
        let httpd = cluster.httpd(&more).mpm(mpm).children(2).start();
        assert_eq!(fetch(&httpd, None).0, 200);
        let file = fs::OpenOptions::new().write(true).open(shm_file(&httpd)).unwrap();
        let size = file.metadata().unwrap().len();
        for byte in [0x01, 0xAA, 0xFF] {
            let told = || httpd.jk_log().matches("slots of the shared memory; they begin anew").count();
            let before = told();
            file.write_all_at(&vec![byte; usize::try_from(size).unwrap()], 0).unwrap();
            wait::until(PATIENCE, "the slots to begin anew", || {
                // Nobody may be usable meanwhile, but somebody answers, and soon.
                assert!([200, 503].contains(&fetch(&httpd, None).0));
                told() > before
            });
            // Nobody's count of requests in flight is what was written there.
            (0..4).for_each(|_| assert_eq!(fetch(&httpd, None).0, 200));
        }
        assert!(!httpd.jk_log().contains("children died"), "{}", httpd.jk_log());
    }

    fn restarts_keep_counters(mpm: Mpm) {
        let cluster = Cluster::start(1);
        let mut httpd = cluster.httpd("worker.maintain=0").config(NOTES).mpm(mpm).children(2).start();
        (0..3).for_each(|_| assert_eq!(fetch(&httpd, None).0, 200));
        await_notes(&httpd, "w1 3 3 OK");
        httpd.graceful();
        assert_eq!(fetch(&httpd, None).0, 200);
        await_notes(&httpd, "w1 4 4 OK");
        httpd.restart();
        assert_eq!(fetch(&httpd, None).0, 200);
        await_notes(&httpd, "w1 5 5 OK");
    }
}

#[test]
fn child_whose_entry_was_written_over_counts_its_requests_again() {
    let cluster = Cluster::start(2);
    let httpd = cluster.httpd(&format!("{AT_ONCE}worker.maintain=1\nworker.w1.busy_limit=1")).children(1).start();
    assert_eq!(fetch(&httpd, None).0, 200);
    let file = fs::OpenOptions::new().write(true).open(shm_file(&httpd)).unwrap();
    let size = usize::try_from(file.metadata().unwrap().len()).unwrap();
    file.write_all_at(&vec![0xAA; size], 0).unwrap();
    wait::until(PATIENCE, "the counts to begin anew", || {
        fetch(&httpd, None);
        httpd.jk_log().contains("in flight begin anew")
    });
    assert_eq!(fetch(&httpd, Some("a.w1")), (200, "w1".to_owned()));
    let address = httpd.address();
    let held = thread::spawn(move || {
        let request = crate::support::http_client::Request::new("GET", "/hold").header("Cookie", "JSESSIONID=a.w1");
        crate::support::http_client::Client::once(address, &request).unwrap().status()
    });
    cluster.member(1).await_held(1);
    assert_eq!(fetch(&httpd, Some("a.w1")), (200, "w2".to_owned()));
    cluster.member(1).release();
    assert_eq!(held.join().unwrap(), 200);
}

#[test]
fn graceful_restart_keeps_the_error_state_of_a_member() {
    let mut cluster = Cluster::start(2);
    cluster.members[0].set(Mode::Down);
    let mut httpd = cluster.httpd(AT_ONCE).start();
    (0..2).for_each(|_| assert_eq!(fetch(&httpd, None), (200, "w2".to_owned())));
    cluster.members[0].set(Mode::Serve);
    httpd.graceful();
    (0..3).for_each(|_| assert_eq!(fetch(&httpd, None), (200, "w2".to_owned())));
    assert_eq!(httpd.jk_log().matches("service failed").count(), 1);
}

#[test]
fn graceful_restart_takes_new_members_and_keeps_what_is_known_of_the_old_ones() {
    let cluster = Cluster::start(2);
    let mut httpd = cluster.httpd("").config(NOTES).start();
    (0..2).for_each(|_| assert_eq!(fetch(&httpd, None).0, 200));
    httpd.write_file("workers.properties", cluster.workers("").replace("balance_workers=w1,w2", "balance_workers=w2"));
    httpd.graceful();
    assert_eq!(fetch(&httpd, Some("a.w1")), (200, "w2".to_owned()));
    // Elections are kept; loads are not, as they are not comparable to those of other members any more.
    await_notes(&httpd, "w2 2 1 OK");
}

#[test]
fn shared_memory_has_one_file_for_its_owner_alone_and_none_after_the_end() {
    use std::os::unix::fs::PermissionsExt;
    let cluster = Cluster::start(1);
    let folder = tempfile::tempdir().unwrap();
    let config = format!("JkLogFile logs/mod_jk.log\nJkShmFile {}/jk\n", folder.path().display());
    let mut httpd = cluster.httpd("").without_defaults().config(&config).start();
    let files = || fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let before = files();
    assert_eq!(before.len(), 1);
    assert_eq!(fs::metadata(&before[0]).unwrap().permissions().mode() & 0o777, 0o600);
    httpd.graceful();
    assert_eq!(files(), before);
    httpd.stop();
    assert!(files().is_empty());
}

#[test]
fn foreign_file_in_the_way_is_replaced_and_told() {
    let cluster = Cluster::start(1);
    let mut httpd = cluster.httpd("").start();
    let file = shm_file(&httpd);
    fs::remove_file(&file).unwrap();
    fs::write(&file, b"!JKSHM13 and then garbage").unwrap();
    httpd.graceful();
    httpd.await_jk_log("a file stood in the way of the shared memory file and was removed");
    assert_eq!(fetch(&httpd, None), (200, "w1".to_owned()));
    assert!(fs::metadata(&file).unwrap().len() > 4_096);
}

#[test]
fn two_httpds_with_one_shm_file_have_a_file_each() {
    let cluster = Cluster::start(2);
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        let config = format!("JkLogFile logs/mod_jk.log\nJkShmFile {}/jk\n", folder.path().display());
        cluster.httpd(AT_ONCE).without_defaults().config(&config).start()
    };
    let files = || fs::read_dir(folder.path()).unwrap().count();
    let (one, two) = (start(), start());
    assert_eq!(files(), 2);
    assert!(!two.jk_log().contains("left behind"));
    (0..2).for_each(|_| assert_eq!(fetch(&one, None).0, 200));
    assert_eq!(fetch(&two, None), (200, "w1".to_owned()));
    one.stop();
    assert_eq!(files(), 1);
    assert_eq!(fetch(&two, None), (200, "w2".to_owned()));
}

#[test]
fn file_that_a_killed_httpd_left_behind_is_removed_and_told() {
    let cluster = Cluster::start(1);
    let folder = tempfile::tempdir().unwrap();
    let config = format!("JkLogFile logs/mod_jk.log\nJkShmFile {}/jk\n", folder.path().display());
    let files = || fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let one = cluster.httpd("").without_defaults().config(&config).start();
    // What is left when nobody is alive to remove it: the same bytes under the number of a process that is gone.
    let leftover = folder.path().join("jk.4194305");
    fs::copy(&files()[0], &leftover).unwrap();
    one.stop();
    assert_eq!(files(), std::slice::from_ref(&leftover));
    let two = cluster.httpd("").without_defaults().config(&config).start();
    two.await_jk_log("jk.4194305 was left behind by an httpd that was killed; it is removed");
    assert!(!leftover.exists() && files().len() == 1);
    assert_eq!(fetch(&two, None).0, 200);
}

#[test]
fn own_file_is_replaced_without_a_word() {
    let cluster = Cluster::start(1);
    let mut httpd = cluster.httpd("").start();
    httpd.graceful();
    assert!(!httpd.jk_log().contains("stood in the way"));
}

#[test]
fn full_disk_is_told_at_the_start() {
    let cluster = Cluster::start(1);
    let folder = tempfile::Builder::new().prefix("mod_jk-").tempdir_in("/dev/shm").unwrap();
    let path = folder.path().join("jk").display().to_string();
    let outcome = cluster.httpd("").without_defaults();
    let outcome = outcome.config(&format!("JkLogFile logs/mod_jk.log\nJkShmFile {path}\nJkShmSize 4294967295\n"));
    outcome.start_fails().refuses_with(&[&path, "4398046510080", "No space left on device"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn two_httpds_share_members_and_nothing_else() {
    let mut cluster = Cluster::start(2);
    let (one, two) = (cluster.httpd(AT_ONCE).start(), cluster.httpd(AT_ONCE).start());
    (0..2).for_each(|_| assert_eq!(fetch(&one, None).0, 200));
    (0..2).for_each(|_| assert_eq!(fetch(&two, None).0, 200));
    assert_eq!(cluster.picks(), "1212");
    cluster.members[0].set(Mode::Down);
    for httpd in [&one, &two] {
        (0..3).for_each(|_| assert_eq!(fetch(httpd, None), (200, "w2".to_owned())));
        assert_eq!(httpd.jk_log().matches("service failed, worker w1 is in error state").count(), 1);
    }
    assert_eq!(fetch_at(two.address(), "/x", Some("a.w2")), (200, "w2".to_owned()));
}

#[test]
fn keeping_edits_is_a_switch_of_the_main_server() {
    let cluster = Cluster::start(1);
    cluster.httpd("").config("JkXKeepEdits perhaps\n").start_fails().refuses_with(&["must be On or Off", "perhaps"]);
    let in_host = "<VirtualHost *:80>\nJkXKeepEdits On\n</VirtualHost>\n";
    cluster.httpd("").config(in_host).start_fails().refuses_with(&["JkXKeepEdits", "VirtualHost"]);
    let httpd = cluster.httpd("").config("JkXKeepEdits On\n").start();
    assert_eq!(fetch(&httpd, None).0, 200);
}

#[test]
fn edits_survive_a_restart_only_where_they_are_to_be_kept() {
    for (directive, kept) in [("", false), ("JkXKeepEdits On\n", true)] {
        let cluster = Cluster::start(2);
        let status = "worker.list=status\nworker.status.type=status\n";
        let config = format!("JkMount /status status\n{directive}");
        let mut httpd = cluster.httpd(status).config(&config).start();
        assert_eq!(fetch_at(httpd.address(), "/status?cmd=update&mime=txt&w=lb&sw=w1&vwa=s", None).0, 200);
        (0..3).for_each(|_| assert_eq!(fetch(&httpd, None).1, "w2"));
        httpd.graceful();
        let names: Vec<_> = (0..2).map(|_| fetch(&httpd, None).1).collect();
        assert_eq!(names.iter().all(|name| name == "w2"), kept, "{directive:?} {names:?}");
    }
}
