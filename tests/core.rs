//! Everything that is tested without httpd, in one binary.

#[path = "core/shm_file.rs"]
mod shm_file;
#[path = "core/shm_fork.rs"]
mod shm_fork;
#[path = "core/shm_processes.rs"]
mod shm_processes;
