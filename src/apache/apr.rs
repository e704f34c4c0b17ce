//! APR's pools, tables and C strings as safe, borrowed Rust views.
//!
//! Not here: `request_rec` (`request.rs`). The surprising thing: a `Pool` is a plain pointer that promises nothing about its
//! lifetime to the compiler; the callbacks keep it alive (rule 1), and everything that needs dropping goes through `own`.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::NonNull;

use super::ffi;
use crate::ajp::codes::Name;
use crate::shm::{TEXT_MAX, Text};

/// A memory pool of httpd.
#[derive(Clone, Copy)]
pub(super) struct Pool(NonNull<ffi::apr_pool_t>);

impl Pool {
    /// # Safety
    /// `pool` must be a live pool for as long as the result is used (rule 1).
    pub(super) unsafe fn from_ptr(pool: *mut ffi::apr_pool_t) -> Option<Self> {
        NonNull::new(pool).map(Self)
    }

    pub(super) fn as_ptr(self) -> *mut ffi::apr_pool_t {
        self.0.as_ptr()
    }

    /// Copies `bytes` into the pool and ends them with NUL.
    pub(super) fn text(self, bytes: &[u8]) -> *mut c_char {
        // SAFETY: the pool is live (rule 1), `bytes` is readable for its length, allocation does not fail (rule 2).
        unsafe { ffi::apr_pstrmemdup(self.as_ptr(), bytes.as_ptr().cast::<c_char>(), bytes.len()) }
    }

    /// Copies `bytes` into the pool; lives as long as the pool, which the caller's `'p` must not exceed.
    pub(super) fn bytes<'p>(self, bytes: &[u8]) -> &'p [u8] {
        let copy = self.text(bytes);
        // SAFETY: `text` made `bytes.len()` initialised bytes that nobody changes while the pool lives.
        unsafe { std::slice::from_raw_parts(copy.cast::<u8>(), bytes.len()) }
    }

    /// As [`Self::bytes`], with the NUL behind them.
    pub(super) fn bytes_with_nul<'p>(self, bytes: &[u8]) -> &'p [u8] {
        let copy = self.text(bytes);
        // SAFETY: `text` made these bytes and a NUL, which nobody changes while the pool lives.
        unsafe { std::slice::from_raw_parts(copy.cast::<u8>(), bytes.len().saturating_add(1)) }
    }

    /// Rooms for two texts out of shared memory, which are put there, and for others, all in one piece of the pool; they live as long as
    /// the pool, which the caller's `'p` must not exceed.
    #[inline]
    pub(super) fn rooms<'p, const N: usize, const WORDS: usize>(self, texts: [&Text; 2]) -> &'p mut Rooms<N, WORDS> {
        let rooms = self.raw(size_of::<Rooms<N, WORDS>>()).cast::<Rooms<N, WORDS>>();
        let [one, other] = texts.map(Text::stored);
        // SAFETY: APR gave room for all of them, aligned to 8.
        let first = unsafe { &raw mut (*rooms).texts };
        // SAFETY: as above.
        let others = unsafe { &raw mut (*rooms).others };
        // SAFETY: as above.
        unsafe { first.write([*one, *other]) };
        // SAFETY: as above.
        unsafe { others.write([const { Room([[0; 8]; WORDS]) }; N]) };
        // SAFETY: initialised above; nobody else knows this memory.
        let rooms = unsafe { &mut *rooms };
        for (room, text) in rooms.texts.iter_mut().zip(texts) {
            if let Some(end) = room.get_mut(text.as_bytes().len()) {
                *end = 0;
            }
        }
        rooms
    }

    /// A copy of `bytes` in the pool.
    pub(super) fn owned_text(self, bytes: &[u8]) -> PoolText {
        PoolText(self.text(bytes))
    }

    /// Uninitialised memory for a plain value.
    fn raw(self, size: usize) -> *mut c_void {
        // SAFETY: the pool is live (rule 1).
        unsafe { ffi::apr_palloc(self.as_ptr(), size) }
    }

    /// Moves a value without a destructor into the pool.
    pub(super) fn plain<T>(self, value: T) -> *mut T {
        const { assert!(align_of::<T>() <= 8, "APR pools align to 8 bytes") };
        const { assert!(!std::mem::needs_drop::<T>(), "nobody would drop it") };
        let place = self.raw(size_of::<T>()).cast::<T>();
        // SAFETY: APR gave `size_of::<T>()` bytes aligned to 8, which suffices (const assertion above).
        unsafe { place.write(value) };
        place
    }

    /// Moves `value` into the pool's keeping: it is dropped when the pool is cleared or destroyed (rule 6).
    pub(super) fn own<T: 'static>(self, value: T) -> *mut T {
        let raw = Box::into_raw(Box::new(value));
        // SAFETY: the pool is live (rule 1); `drop_box::<T>` matches what `raw` points to, and runs exactly once per registration.
        unsafe {
            ffi::apr_pool_cleanup_register(
                self.as_ptr(),
                raw.cast::<c_void>(),
                Some(drop_box::<T>),
                Some(ffi::apr_pool_cleanup_null),
            );
        }
        raw
    }

    /// Runs `action` when the pool is cleared or destroyed; not in a forked child that only execs.
    pub(super) fn at_end(self, action: impl FnOnce() + 'static) {
        struct AtEnd<F: FnOnce()>(Option<F>);
        impl<F: FnOnce()> Drop for AtEnd<F> {
            fn drop(&mut self) {
                if let Some(action) = self.0.take() {
                    action();
                }
            }
        }
        self.own(AtEnd(Some(action)));
    }
}

/// Names of entries that a table gets together, prepared once: a copy of all of them takes the place of the table, which APR makes at one
/// go, without a look at each name. Names of entries that are there already, a head and a tail, and then two halves of the same meanings.
#[derive(Debug)]
pub(super) struct Form<const THERE: usize, const HALF: usize>(NonNull<ffi::apr_table_t>);

// SAFETY: the table is never changed after `new`, and the texts in it are constants.
unsafe impl<const THERE: usize, const HALF: usize> Send for Form<THERE, HALF> {}
// SAFETY: as above.
unsafe impl<const THERE: usize, const HALF: usize> Sync for Form<THERE, HALF> {}

impl<const THERE: usize, const HALF: usize> Form<THERE, HALF> {
    /// So many entries of others are taken along.
    const OTHERS: usize = 4;
    /// ... and what is added afterwards finds room without another allocation.
    const SPARE: usize = Self::OTHERS + 2;

    /// Lives as long as `pool`.
    pub(super) fn new(
        pool: Pool,
        there: [&'static CStr; THERE],
        ends: [&'static CStr; 2],
        halves: [[&'static CStr; HALF]; 2],
    ) -> Option<Self> {
        let room = c_int::try_from(THERE + 2 + 2 * HALF + Self::SPARE).unwrap_or(0);
        // SAFETY: the pool is live (rule 1).
        let table = NonNull::new(unsafe { ffi::apr_table_make(pool.as_ptr(), room) })?;
        for name in there.into_iter().chain(ends).chain(halves.into_iter().flatten()) {
            Table(table).add_static(name, c"");
        }
        Some(Self(table))
    }

    /// A table of `pool` with the entries of `old`, a table of that pool, and all of this form: `ends` for the two names that are not there
    /// yet, and `half` for both halves. `None`: `old` has not just what is expected to be there and a few entries of others, or what it has
    /// might have a name of this form.
    #[inline]
    pub(super) fn filled(&self, pool: Pool, old: Table, ends: [PoolText; 2], half: &[PoolText; HALF]) -> Option<Table> {
        let names = Table(self.0).raw_entries().first_chunk::<THERE>()?;
        let mut there = [std::ptr::null_mut::<c_char>(); THERE];
        let mut others = 0;
        for entry in old.raw_entries() {
            match names.iter().zip(&mut there).find(|(name, _)| std::ptr::eq(name.key, entry.key)) {
                Some((_, value)) if value.is_null() => *value = entry.val,
                None if others < Self::OTHERS && is_of_others(entry) => others += 1,
                _ => return None,
            }
        }
        if there.iter().any(|value| value.is_null()) {
            return None;
        }
        // SAFETY: the pool is live (rule 1), and the table is (`new`); it has only constants.
        let new = Table(NonNull::new(unsafe { ffi::apr_table_copy(pool.as_ptr(), self.0.as_ptr()) })?);
        // SAFETY: live table, made above.
        let array = unsafe { ffi::apr_table_elts(new.as_ptr()) };
        // SAFETY: a live table has an element array.
        let array = unsafe { array.read() };
        let count = usize::try_from(array.nelts).unwrap_or(0);
        // SAFETY: APR keeps `nelts` initialised entries at `elts`; nobody else knows this table yet.
        let entries = unsafe { std::slice::from_raw_parts_mut(array.elts.cast::<ffi::apr_table_entry_t>(), count) };
        let (known, rest) = entries.split_first_chunk_mut::<THERE>()?;
        let (first_two, halves) = rest.split_first_chunk_mut::<2>()?;
        let (first_half, halves) = halves.split_first_chunk_mut::<HALF>()?;
        let second_half = halves.first_chunk_mut::<HALF>()?;
        for (entry, value) in known.iter_mut().zip(there) {
            entry.val = value;
        }
        for (entry, text) in first_two.iter_mut().zip(ends) {
            entry.val = text.0.cast_mut();
        }
        for ((one, other), text) in first_half.iter_mut().zip(second_half).zip(half) {
            one.val = text.0.cast_mut();
            other.val = text.0.cast_mut();
        }
        if others > 0 {
            new.add_others(old, is_of_others);
        }
        Some(new)
    }
}

/// Whether the name of an entry has another first letter than all notes of ours.
#[inline]
fn is_of_others(entry: &ffi::apr_table_entry_t) -> bool {
    // SAFETY: a key is NUL-terminated (rule 4), so it has a first byte.
    !entry.key.is_null() && !unsafe { entry.key.cast::<u8>().read() }.eq_ignore_ascii_case(&NOTE_LETTER)
}

/// What the name of every note of ours begins with.
const NOTE_LETTER: u8 = b'J';

/// Room for one text in a pool: words of eight bytes, the last of which is NUL.
#[repr(transparent)]
pub(super) struct Room<const WORDS: usize>([[u8; 8]; WORDS]);

impl<const WORDS: usize> Room<WORDS> {
    /// Puts a text there: `put` writes it into the room, which is all zeros, up to the last word, and returns where it starts.
    #[inline]
    pub(super) fn text(&mut self, put: impl FnOnce(&mut [[u8; 8]; WORDS]) -> usize) -> PoolText {
        let start = put(&mut self.0);
        if let Some(end) = self.0.last_mut() {
            *end = [0; 8];
        }
        // What starts beyond its room is empty.
        let first = self.0.as_flattened().get(start);
        PoolText(first.map_or(c"".as_ptr(), |first| std::ptr::from_ref(first).cast::<c_char>()))
    }
}

/// What [`Pool::rooms`] makes.
#[repr(C)]
pub(super) struct Rooms<const N: usize, const WORDS: usize> {
    texts: [[u8; TEXT_MAX + 1]; 2],
    pub(super) others: [Room<WORDS>; N],
}

impl<const N: usize, const WORDS: usize> Rooms<N, WORDS> {
    /// The two texts.
    #[inline]
    pub(super) fn texts(&self) -> [PoolText; 2] {
        self.texts.each_ref().map(|text| PoolText(text.as_ptr().cast::<c_char>()))
    }
}

/// A NUL-terminated text that lives in a pool.
#[derive(Clone, Copy)]
pub(super) struct PoolText(*const c_char);

impl PoolText {
    /// A text that outlives every pool.
    pub(super) fn constant(text: &'static CStr) -> Self {
        Self(text.as_ptr())
    }

    /// # Safety
    /// `text` is NUL-terminated, and lives and does not change as long as the pool that the result is used with.
    pub(super) unsafe fn from_ptr(text: *const c_char) -> Self {
        Self(text)
    }
}

/// Cleanup of [`Pool::own`].
unsafe extern "C" fn drop_box<T>(data: *mut c_void) -> ffi::apr_status_t {
    super::guard::guard("cleanup", ServerRef::none(), 0, || {
        // SAFETY: `own` made this pointer with `Box::into_raw` and registered this cleanup once.
        drop(unsafe { Box::from_raw(data.cast::<T>()) });
        0
    })
}

/// A table of httpd: ordered name/value pairs, names compared without regard to case.
#[derive(Clone, Copy)]
pub(super) struct Table(NonNull<ffi::apr_table_t>);

impl Table {
    /// # Safety
    /// `table` must be a live table for as long as the result is used (rule 1).
    pub(super) unsafe fn from_ptr(table: *mut ffi::apr_table_t) -> Option<Self> {
        NonNull::new(table).map(Self)
    }

    pub(super) fn as_ptr(self) -> *mut ffi::apr_table_t {
        self.0.as_ptr()
    }

    /// First value of `name`. The caller keeps the result no longer than the table's pool and does not change the entry meanwhile.
    pub(super) fn get<'t>(self, name: &CStr) -> Option<&'t CStr> {
        // SAFETY: a value of a table is NUL-terminated and lives in the table's pool (rule 4).
        unsafe { text(self.value_of(name)) }
    }

    /// [`Self::get`] for a name that we set ourselves as a rule: our own pointer is found without comparing texts.
    ///
    /// The first entry with our pointer is the first of that name: a set replaces the first and removes the others, and keeps the pointer
    /// of the name; what is added comes behind.
    pub(super) fn get_own<'t>(self, name: &'static CStr) -> Option<&'t CStr> {
        // SAFETY: a value of a table is null or NUL-terminated and lives in the table's pool (rule 4).
        unsafe { text(self.value_of_own(name)) }
    }

    /// Where the text of [`Self::get_own`] lies; null = there is none.
    #[inline]
    pub(super) fn value_of_own(self, name: &'static CStr) -> *const c_char {
        match self.raw_entries().iter().find(|entry| std::ptr::eq(entry.key, name.as_ptr())) {
            Some(entry) => entry.val,
            None => self.value_of(name),
        }
    }

    /// Whether there is an entry of that name.
    pub(super) fn has(self, name: &CStr) -> bool {
        !self.value_of(name).is_null()
    }

    /// First value of `name`, or null.
    fn value_of(self, name: &CStr) -> *const c_char {
        // SAFETY: live table (rule 1) and a NUL-terminated key.
        unsafe { ffi::apr_table_get(self.as_ptr(), name.as_ptr()) }
    }

    /// Whether it has no entry.
    pub(super) fn is_empty(self) -> bool {
        self.raw_entries().is_empty()
    }

    /// Sets `name` to a copy of `value` made in `pool`, the pool of the table.
    pub(super) fn set(self, pool: Pool, name: &'static CStr, value: &[u8]) {
        let value = pool.text(value);
        // SAFETY: live table (rule 1); the key is static and the value lives in the table's pool.
        unsafe { ffi::apr_table_setn(self.as_ptr(), name.as_ptr(), value) };
    }

    /// Sets `name` to a text of the table's pool.
    pub(super) fn set_text(self, name: &'static CStr, value: PoolText) {
        // SAFETY: live table (rule 1); the key is static and the value lives in the table's pool.
        unsafe { ffi::apr_table_setn(self.as_ptr(), name.as_ptr(), value.0) };
    }

    /// [`Self::set_text`] for a name that is not there as a rule. `known`: others of ours that may be there.
    #[inline]
    pub(super) fn set_new<const N: usize>(self, name: &'static CStr, value: PoolText, known: [&'static CStr; N]) {
        let is_other = |entry: &ffi::apr_table_entry_t| {
            known.iter().any(|known| std::ptr::eq(entry.key, known.as_ptr())) || is_of_others(entry)
        };
        if self.raw_entries().iter().all(is_other) { self.add_text(name, value) } else { self.set_text(name, value) }
    }

    /// Adds an entry, keeping others of that name, with a text of the table's pool.
    pub(super) fn add_text(self, name: &'static CStr, value: PoolText) {
        // SAFETY: live table (rule 1); the key is static and the value lives in the table's pool.
        unsafe { ffi::apr_table_addn(self.as_ptr(), name.as_ptr(), value.0) };
    }

    /// Adds an entry with a static text, keeping others of that name.
    pub(super) fn add_static(self, name: &'static CStr, value: &'static CStr) {
        // SAFETY: live table (rule 1); both texts outlive every pool.
        unsafe { ffi::apr_table_addn(self.as_ptr(), name.as_ptr(), value.as_ptr()) };
    }

    /// Adds an entry, keeping others of that name; both texts are copied into `pool`, the pool of the table.
    pub(super) fn add(self, pool: Pool, name: &[u8], value: &[u8]) {
        let (name, value) = (pool.text(name), pool.text(value));
        // SAFETY: live table (rule 1); both texts live in the table's pool.
        unsafe { ffi::apr_table_addn(self.as_ptr(), name, value) };
    }

    /// Adds those entries of `old`, a table of the same pool, that `is_wanted` names.
    #[cold]
    fn add_others(self, old: Self, is_wanted: impl Fn(&ffi::apr_table_entry_t) -> bool) {
        for entry in old.raw_entries().iter().filter(|entry| is_wanted(entry)) {
            // SAFETY: live table (rule 1); both texts live as long as the pool of both tables.
            unsafe { ffi::apr_table_addn(self.as_ptr(), entry.key, entry.val) };
        }
    }

    /// Removes every entry of `name`.
    pub(super) fn unset(self, name: &CStr) {
        // SAFETY: live table (rule 1) and a NUL-terminated key.
        unsafe { ffi::apr_table_unset(self.as_ptr(), name.as_ptr()) };
    }

    /// All entries in order. The caller keeps them no longer than the table's pool and does not change the table meanwhile.
    pub(super) fn entries<'t>(self) -> impl Iterator<Item = (&'t CStr, &'t CStr)> {
        self.raw_entries().iter().filter_map(|entry| {
            // SAFETY: keys of a table are NUL-terminated (rule 4).
            let key = unsafe { text(entry.key) }?;
            // SAFETY: values of a table are NUL-terminated (rule 4).
            let value = unsafe { text(entry.val) }?;
            Some((key, value))
        })
    }

    /// The values of all entries of a name; [`Self::entries`]' conditions hold. Other names are passed over by their first letter.
    pub(super) fn values_of<'t>(self, name: &'static Name) -> impl Iterator<Item = &'t [u8]> {
        let may_be = |key: *const c_char| {
            // SAFETY: a key is NUL-terminated (rule 4), so it has a first byte.
            !key.is_null() && name.may_begin(unsafe { key.cast::<u8>().read() })
        };
        self.raw_entries().iter().filter(move |entry| may_be(entry.key)).filter_map(move |entry| {
            // SAFETY: keys of a table are NUL-terminated (rule 4).
            let key = unsafe { text(entry.key) }?;
            if !name.is(key.to_bytes()) {
                return None;
            }
            // SAFETY: values of a table are NUL-terminated (rule 4).
            unsafe { text(entry.val) }.map(CStr::to_bytes)
        })
    }

    /// As [`Self::entries`], and with its conditions.
    #[inline]
    fn raw_entries<'t>(self) -> &'t [ffi::apr_table_entry_t] {
        // SAFETY: live table (rule 1).
        let array = unsafe { ffi::apr_table_elts(self.as_ptr()) };
        // SAFETY: a live table has an element array.
        let array = unsafe { array.read() };
        let count = usize::try_from(array.nelts).unwrap_or(0);
        if count == 0 {
            return &[];
        }
        // SAFETY: APR keeps `nelts` initialised entries at `elts`; nobody changes the table meanwhile (`entries`' contract).
        unsafe { std::slice::from_raw_parts(array.elts.cast::<ffi::apr_table_entry_t>(), count) }
    }
}

/// A C string of httpd, when there is one.
///
/// # Safety
/// `pointer` is null, or NUL-terminated and alive and unchanged for `'t` (rule 4).
pub(super) unsafe fn text<'t>(pointer: *const c_char) -> Option<&'t CStr> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: not null, and NUL-terminated by this function's contract.
    Some(unsafe { CStr::from_ptr(pointer) })
}

/// Which server's ErrorLog a message goes to.
#[derive(Clone, Copy)]
pub(super) struct ServerRef(*const ffi::server_rec);

impl ServerRef {
    /// The main server's log, or stderr before it is open.
    pub(super) fn none() -> Self {
        Self(std::ptr::null())
    }

    /// # Safety
    /// `server` must be null or live while the result is used (rule 1).
    pub(super) unsafe fn from_ptr(server: *const ffi::server_rec) -> Self {
        Self(server)
    }

    /// One line at level error.
    pub(super) fn error(self, message: &str) {
        self.log(ffi::APLOG_ERR, message);
    }

    /// One line at `level` (an APLOG_ number).
    pub(super) fn log(self, level: u32, message: &str) {
        let mut line: Vec<u8> = message.bytes().map(|byte| if byte == 0 { b'?' } else { byte }).collect();
        line.push(0);
        let level = c_int::try_from(level).unwrap_or(3);
        let index = c_int::try_from(super::module_index()).unwrap_or(-1);
        // SAFETY: file name and line are NUL-terminated, the server is null or live (contract of `from_ptr`).
        unsafe { ffi::jk_shim_log(c"mod_jk".as_ptr(), 0, index, level, self.0, line.as_ptr().cast::<c_char>()) };
    }
}
