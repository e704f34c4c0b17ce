//! What outlives a configuration: the shared memory, so that the next one can take its counters and error states over.
//!
//! Not here: the taking over (`shm::adopt`). The surprising thing: it hangs on the pool of httpd's process, which a restart does not clear.
//! That is safe because the module stays mapped until the process ends (`-z nodelete`), and with it the code that frees it.

use std::ffi::{CStr, c_void};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use super::apr::Pool;
use super::ffi;
use crate::shm::Region;

/// Names the place in the pool's table. The version is in it because another build may lay a `Keeper` out differently.
const KEY: &CStr = match CStr::from_bytes_with_nul(concat!("mod_jk-rust-", env!("CARGO_PKG_VERSION"), "\0").as_bytes())
{
    Ok(key) => key,
    Err(_) => c"mod_jk-rust",
};

/// The shared memory of the present configuration.
#[derive(Default)]
struct Keeper(Mutex<Option<Arc<Region>>>);

/// Where the region of this process is kept between configurations.
pub(super) struct Kept<'p>(&'p Keeper);

impl Kept<'_> {
    /// The keeper of the process that `server` belongs to; made when it is first asked for. `None`: httpd has no pool for it.
    ///
    /// # Safety
    /// `server` is null or the live main server of this process, and no other thread runs yet.
    pub(super) unsafe fn of(server: *mut ffi::server_rec) -> Option<Self> {
        // SAFETY: null, or live by this function's contract.
        let process = unsafe { server.as_ref() }?.process;
        // SAFETY: null, or the record that httpd keeps for the life of the process.
        let pool = unsafe { process.as_ref() }?.pool;
        // SAFETY: the pool of the process outlives everything else (rule 1).
        let pool = unsafe { Pool::from_ptr(pool) }?;
        let mut found: *mut c_void = std::ptr::null_mut();
        // SAFETY: live pool, NUL-terminated key, and a place for one pointer.
        unsafe { ffi::apr_pool_userdata_get(&raw mut found, KEY.as_ptr(), pool.as_ptr()) };
        let keeper = NonNull::new(found.cast::<Keeper>()).or_else(|| NonNull::new(Self::make(pool)))?;
        // SAFETY: `make` put a `Keeper` of this very build under this key, owned by the pool (rule 6); only shared references are made.
        Some(Self(unsafe { keeper.as_ref() }))
    }

    fn make(pool: Pool) -> *mut Keeper {
        let keeper = pool.own(Keeper::default());
        // SAFETY: live pool; the key is static; the pool itself drops the keeper, so there is no cleanup to give.
        unsafe { ffi::apr_pool_userdata_setn(keeper.cast::<c_void>(), KEY.as_ptr(), None, pool.as_ptr()) };
        keeper
    }

    /// The region of the configuration before this one.
    pub(super) fn previous(&self) -> Option<Arc<Region>> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps `region` from now on, and lets go of the one before.
    pub(super) fn keep(&self, region: Arc<Region>) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(region);
    }
}
