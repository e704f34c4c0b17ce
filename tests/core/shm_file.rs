//! The file behind the shared memory, as the file system shows it: rights, names, space.
//!
//! Not here: what lies in the file. The surprising thing: umask, limits and mounts belong to a process, so those tests create
//! their region in a forked child.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

use mod_jk::config::{AjpConfig, Config};
use mod_jk::shm::{Plan, Region, ShmError, remove_leftovers};
use tempfile::TempDir;

use crate::shm_fork::fork;

struct Place {
    folder: TempDir,
    plan: Plan,
}

impl Place {
    fn new() -> Self {
        let worker = AjpConfig { name: "w1".to_owned(), ..AjpConfig::default() };
        let config = Config { ajp: vec![worker], ..Config::default() };
        Self { folder: tempfile::tempdir().unwrap(), plan: Plan::new(&config, 16, 1_000).unwrap() }
    }
    /// What JkShmFile would say.
    fn path(&self) -> PathBuf {
        self.folder.path().join("jk-runtime-status")
    }
    /// The real name.
    fn file(&self) -> PathBuf {
        self.folder.path().join(format!("jk-runtime-status.{}", std::process::id()))
    }
    fn create(&self) -> Result<Region, ShmError> {
        Region::create(&self.path(), None, &self.plan)
    }
    fn names(&self) -> usize {
        fs::read_dir(self.folder.path()).unwrap().count()
    }
}

#[test]
fn the_name_ends_with_the_pid_of_the_creator() {
    let place = Place::new();
    let region = place.create().unwrap();
    assert_eq!(region.path(), Some(place.file().as_path()));
    assert_eq!(fs::metadata(place.file()).unwrap().len(), region.size() as u64);
    assert_eq!(region.replaced(), None);
}

#[test]
fn only_the_owner_may_read_and_write_whatever_the_umask() {
    let place = Place::new();
    for umask in [0o000, 0o022, 0o777] {
        let child = fork(|| {
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
            let Ok(region) = place.create() else { return 1 };
            let mode = region.path().and_then(|path| fs::metadata(path).ok()).map(|found| found.mode() & 0o7777);
            u8::from(mode != Some(0o600))
        });
        assert_eq!(child.wait(), Some(0), "umask {umask:o}");
    }
}

#[test]
fn all_bytes_are_reserved_at_the_start() {
    let place = Place::new();
    let region = place.create().unwrap();
    assert!(fs::metadata(place.file()).unwrap().blocks() * 512 >= region.size() as u64);
}

#[test]
fn an_explicit_size_only_adds_room() {
    let place = Place::new();
    let needed = place.create().unwrap().size();
    let size = |kib| Region::create(&place.path(), Some(kib), &place.plan).unwrap().size();
    assert!(needed < 74_112);
    assert_eq!((size(0), size(1), size(1_000)), (74_112, 74_112, 1_024_000));
}

#[test]
fn a_plan_larger_than_the_explicit_size_gets_what_it_needs() {
    let worker = |i| AjpConfig { name: format!("w{i}"), ..AjpConfig::default() };
    let config = Config { ajp: (0..500).map(worker).collect(), ..Config::default() };
    let plan = Plan::new(&config, 16, 0).unwrap();
    let place = Place::new();
    assert!(Region::create(&place.path(), Some(100), &plan).unwrap().size() > 500 * 1_344);
}

#[test]
fn whatever_file_has_the_name_is_replaced_and_left_as_it_is() {
    let contents: [&[u8]; 5] = [b"", b"!JKSH", b"!JKSHM13\x01\0\0\0", b"!JKSHMR1\xFF\xFF\xFF\xFF", &[0xA5; 200_000]];
    for content in contents {
        let place = Place::new();
        fs::write(place.file(), content).unwrap();
        let other_name = place.folder.path().join("other-name-of-the-same-file");
        fs::hard_link(place.file(), &other_name).unwrap();
        let region = place.create().unwrap();
        assert_eq!(region.replaced(), Some("a file"));
        assert_eq!(fs::read(&other_name).unwrap(), content);
        assert_eq!(&fs::read(place.file()).unwrap()[..8], b"!JKSHMR1");
        assert_eq!(region.ajp_named("w1").unwrap().numbers().unwrap().port, 8_009);
    }
}

#[test]
fn a_symbolic_link_is_replaced_and_its_target_left_alone() {
    let place = Place::new();
    let target = place.folder.path().join("precious");
    fs::write(&target, "precious").unwrap();
    symlink(&target, place.file()).unwrap();
    let region = place.create().unwrap();
    assert_eq!(region.replaced(), Some("a symbolic link"));
    assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
    assert!(fs::symlink_metadata(place.file()).unwrap().file_type().is_file());
    drop(region);
    assert!(target.exists() && !place.file().exists());
}

#[test]
fn a_dangling_symbolic_link_does_not_say_where_the_file_goes() {
    let place = Place::new();
    let target = place.folder.path().join("elsewhere");
    symlink(&target, place.file()).unwrap();
    let _region = place.create().unwrap();
    assert!(!target.exists());
}

#[test]
fn a_directory_of_that_name_is_refused_by_name() {
    let place = Place::new();
    fs::create_dir(place.file()).unwrap();
    let message = place.create().unwrap_err().to_string();
    assert!(
        message.contains(place.file().to_str().unwrap()) && message.contains("a directory has this name"),
        "{message}"
    );
    assert!(place.file().is_dir());
}

#[test]
fn a_named_pipe_of_that_name_is_refused_and_left_alone() {
    let place = Place::new();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, place.file(), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let message = place.create().unwrap_err().to_string();
    assert!(message.contains("a named pipe"), "{message}");
    assert!(fs::symlink_metadata(place.file()).unwrap().file_type().is_fifo());
}

#[test]
fn a_missing_directory_is_named_with_the_reason() {
    let place = Place::new();
    let error = Region::create(&place.folder.path().join("no/such"), None, &place.plan).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("no/such.") && message.contains("No such file or directory"), "{message}");
    assert!(message.contains("JkShmFile"), "{message}");
}

#[test]
fn the_creator_removes_the_file() {
    let place = Place::new();
    drop(place.create().unwrap());
    assert_eq!(place.names(), 0);
}

#[test]
fn a_file_that_was_cut_is_made_whole_with_what_the_configuration_says() {
    for length in [0, 100, 5_000] {
        let place = Place::new();
        let region = place.create().unwrap();
        assert_eq!(region.mend().unwrap(), None);
        let file = fs::OpenOptions::new().write(true).open(place.file()).unwrap();
        let child = fork(|| {
            // An access to what is cut off would be SIGBUS.
            if file.set_len(length).is_err() || region.mend().ok().flatten() != Some(length) {
                return 2;
            }
            let in_order = region.lock().is_ok() && region.register_child().is_ok_and(|child| child.has_entry());
            let numbers = region.ajp_named("w1").map(|slot| slot.numbers().unwrap().port);
            u8::from(!in_order || numbers != Some(8_009)) * 3
        });
        assert_eq!(child.wait(), Some(0), "{length}");
        assert_eq!(fs::metadata(place.file()).unwrap().len(), region.size() as u64);
        assert!(fs::metadata(place.file()).unwrap().blocks() * 512 >= region.size() as u64);
        assert_eq!(region.mend().unwrap(), None);
        assert_eq!(region.ajp(0).unwrap().numbers().unwrap().port, 8_009, "the others see the same memory");
    }
}

#[test]
fn of_many_processes_one_makes_a_cut_file_whole() {
    let place = Place::new();
    let region = place.create().unwrap();
    fs::OpenOptions::new().write(true).open(place.file()).unwrap().set_len(0).unwrap();
    let mend = || match region.mend() {
        Ok(Some(0)) => 1,
        Ok(None) => 0,
        _ => 99,
    };
    let children = (0..8).map(|_| fork(mend)).collect::<Vec<_>>();
    let codes = children.into_iter().map(|child| child.wait().unwrap()).collect::<Vec<_>>();
    assert_eq!(codes.iter().sum::<i32>(), 1, "{codes:?}");
    assert_eq!(region.ajp(0).unwrap().numbers().unwrap().port, 8_009);
}

#[test]
fn leftovers_of_killed_httpds_are_removed_and_nothing_else() {
    let place = Place::new();
    let name = |suffix: &str| place.folder.path().join(format!("jk-runtime-status{suffix}"));
    let parent = fork(|| {
        let Ok(region) = place.create() else { return 1 };
        std::mem::forget(region);
        0
    });
    let leftover = name(&format!(".{}", parent.pid()));
    assert_eq!(parent.wait(), Some(0));
    let foreign: [(&str, &[u8]); 4] =
        [(".77", b"!JKSHM13 of the C module"), (".78", b""), (".79x", b"!JKSHMR1"), (".lock", b"!JKSHMR1")];
    foreign.iter().for_each(|(suffix, content)| fs::write(name(suffix), content).unwrap());
    symlink(&leftover, name(".80")).unwrap();
    let own = place.create().unwrap();
    assert_eq!(remove_leftovers(&place.path()), std::slice::from_ref(&leftover));
    assert!(!leftover.exists() && own.has_its_name());
    assert!(foreign.iter().all(|(suffix, _)| name(suffix).exists()));
    assert!(fs::symlink_metadata(name(".80")).is_ok());
}

#[test]
fn a_file_whose_children_outlive_their_parent_is_no_leftover() {
    let place = Place::new();
    let region = place.create().unwrap();
    let child = fork(crate::shm_fork::park);
    let other = name_of_another_process(&place);
    drop(region);
    assert!(remove_leftovers(&place.path()).is_empty());
    drop(child);
    assert_eq!(remove_leftovers(&place.path()), [other]);
}

/// The file under the name of a process that is gone.
fn name_of_another_process(place: &Place) -> PathBuf {
    let other = place.folder.path().join("jk-runtime-status.1");
    fs::hard_link(place.file(), &other).unwrap();
    other
}

#[test]
fn a_file_in_use_by_another_httpd_is_called_that() {
    let place = Place::new();
    let first = place.create().unwrap();
    let second = place.create().unwrap();
    assert_eq!(second.replaced(), Some("a file in use by another httpd (give each its own JkShmFile)"));
    drop((first, second));
}

#[test]
fn a_child_that_ends_leaves_the_file() {
    let place = Place::new();
    let region = place.create().unwrap();
    let mut inherited = Some(&region).map(|region| fork(|| drop_copy(region)));
    assert_eq!(inherited.take().and_then(|child| child.wait()), Some(0));
    assert!(place.file().exists());
}

/// Drops the child's copy of `region` as its pool cleanup does.
fn drop_copy(region: &Region) -> u8 {
    #[allow(unsafe_code, reason = "only a copy of the bits can be dropped in the child and stay in the parent")]
    // SAFETY: this process is a copy; it ends right after, and nothing in it uses `region` again.
    drop(unsafe { std::ptr::read(region) });
    0
}

#[test]
fn an_old_generation_does_not_remove_the_file_of_the_new_one() {
    let place = Place::new();
    let old = place.create().unwrap();
    let new = place.create().unwrap();
    drop(old);
    assert!(place.file().exists());
    drop(new);
    assert!(!place.file().exists());
}

#[test]
fn an_old_generation_keeps_its_memory_when_the_new_one_takes_the_name() {
    let place = Place::new();
    let old = place.create().unwrap();
    old.ajp(0).unwrap().used.set(42);
    let new = place.create().unwrap();
    assert_eq!((old.ajp(0).unwrap().used.get(), new.ajp(0).unwrap().used.get()), (42, 0));
}

#[test]
fn beyond_the_file_size_limit_is_an_error_and_not_a_signal() {
    let place = Place::new();
    let child = fork(|| {
        let limit = rustix::process::Rlimit { current: Some(8_192), maximum: Some(8_192) };
        if rustix::process::setrlimit(rustix::process::Resource::Fsize, limit).is_err() {
            return 1;
        }
        match place.create() {
            Err(ShmError::Reserve { source, .. }) if source.raw_os_error() == Some(libc::EFBIG) => 0,
            _ => 2,
        }
    });
    assert_eq!(child.wait(), Some(0));
    assert_eq!(place.names(), 0, "the file is removed again");
}

/// A file system of 64 KiB in a mount namespace of its own; where this may not be made, there is nothing to test.
#[test]
fn a_full_file_system_is_an_error_at_the_start_and_leaves_no_file() {
    const NOT_ALLOWED: i32 = 77;
    let place = Place::new();
    let child = fork(|| {
        if !mount_tiny(place.folder.path()) {
            return 77;
        }
        let Err(error) = Region::create(&place.path(), Some(1_024), &place.plan) else { return 2 };
        let message = error.to_string();
        let teaches = message.contains("No space left on device") && message.contains("df");
        if teaches && place.names() == 0 { 0 } else { 3 }
    });
    let code = child.wait();
    assert!(code == Some(0) || code == Some(NOT_ALLOWED), "{code:?}");
}

#[allow(unsafe_code, reason = "unshare and mount have no safe wrapper among the dependencies")]
fn mount_tiny(folder: &Path) -> bool {
    let Ok(folder) = std::ffi::CString::new(folder.as_os_str().as_encoded_bytes()) else { return false };
    // SAFETY: takes flags only; affects this forked child.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        return false;
    }
    let none = c"none".as_ptr();
    let private = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: all pointers are NUL-terminated strings or null where mount(2) allows it.
    let result = unsafe { libc::mount(none, c"/".as_ptr(), std::ptr::null(), private, std::ptr::null()) };
    if result != 0 {
        return false;
    }
    // SAFETY: all pointers are NUL-terminated strings.
    let result = unsafe { libc::mount(none, folder.as_ptr(), c"tmpfs".as_ptr(), 0, c"size=64k".as_ptr().cast()) };
    result == 0
}
