//! Buffers of one request that the next one on the same thread uses again.
//!
//! Not here: receive buffers, which belong to their connections. The surprising thing: the bytes of a buffer are whatever the last request
//! left there; they are initialised once, so that nobody pays for zeros that are overwritten at once.

use std::cell::Cell;

/// Buffers that a thread keeps beside the first; one request needs at most three.
const KEPT: usize = 3;

thread_local! {
    // They have destructors, which is harmless (only children serve requests, and the module stays mapped, `-z nodelete`) and needed: the
    // threads of mod_http2 come and go.
    /// The one that most requests do with; none while it is in use.
    static FIRST: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
    static OTHERS: Cell<Vec<Box<[u8]>>> = const { Cell::new(Vec::new()) };
}

/// A buffer of this thread, returned to it when dropped.
#[derive(Debug)]
pub(super) struct Scratch(Option<Box<[u8]>>);

impl Scratch {
    /// One that was used before, if there is one.
    #[inline(always)]
    pub(super) fn new() -> Self {
        // Fails only while the thread ends; then there is nothing kept.
        let first = FIRST.try_with(Cell::take).ok().flatten();
        Self(first.or_else(another))
    }

    /// None at all, for a request that needs none.
    #[inline(always)]
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// The first `length` bytes, to be written; what was in them is lost.
    pub(super) fn room(&mut self, length: usize) -> &mut [u8] {
        if self.len() < length {
            // Anew, without a copy of what nobody wants: memory that is fresh from the system need not be zeroed.
            self.0 = Some(vec![0; length].into_boxed_slice());
        }
        self.first(length)
    }

    /// The first `length` bytes; what was written to those that [`Self::room`] or this gave before is still there.
    #[inline(always)]
    pub(super) fn longer_room(&mut self, length: usize) -> &mut [u8] {
        if self.len() < length {
            self.lengthen(length);
        }
        self.first(length)
    }

    #[cold]
    fn lengthen(&mut self, length: usize) {
        let mut longer = vec![0; length];
        let old = self.bytes(length);
        if let Some(start) = longer.get_mut(..old.len()) {
            start.copy_from_slice(old);
        }
        self.0 = Some(longer.into_boxed_slice());
    }

    /// The first `length` bytes, at most what [`Self::room`] was asked for.
    #[inline(always)]
    pub(super) fn bytes(&self, length: usize) -> &[u8] {
        let all = self.0.as_deref().unwrap_or_default();
        all.get(..length).unwrap_or(all)
    }

    #[inline(always)]
    fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |buffer| buffer.len())
    }

    #[inline(always)]
    fn first(&mut self, length: usize) -> &mut [u8] {
        self.0.as_deref_mut().and_then(|buffer| buffer.get_mut(..length)).unwrap_or_default()
    }
}

impl Drop for Scratch {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(buffer) = self.0.take() {
            // Fails only while the thread ends; then there is nothing to keep.
            if let Ok(Some(old)) = FIRST.try_with(|cell| cell.replace(Some(buffer))) {
                keep(old);
            }
        }
    }
}

/// Takes a buffer beside the first.
#[cold]
fn another() -> Option<Box<[u8]>> {
    with_others(Vec::pop).flatten()
}

/// Keeps a buffer beside the first.
#[cold]
fn keep(buffer: Box<[u8]>) {
    with_others(|others| {
        if others.len() < KEPT {
            others.push(buffer);
        }
    });
}

/// `None`: the thread ends.
fn with_others<R>(change: impl FnOnce(&mut Vec<Box<[u8]>>) -> R) -> Option<R> {
    OTHERS
        .try_with(|cell| {
            let mut others = cell.take();
            let result = change(&mut others);
            cell.set(others);
            result
        })
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_buffer_of_the_last_request_to_the_next_one() {
        let mut first = Scratch::new();
        first.room(10_000).fill(7);
        let place = first.bytes(1).as_ptr();
        drop(first);
        let second = Scratch::new();
        assert_eq!((second.bytes(1).as_ptr(), second.bytes(2)), (place, &[7, 7][..]));
    }

    #[test]
    fn keeps_no_more_than_a_few() {
        let mut many: Vec<_> = (0..KEPT * 2).map(|_| Scratch::new()).collect();
        many.iter_mut().for_each(|one| one.room(1).fill(0));
        drop(many);
        assert_eq!(
            (FIRST.take().map(|buffer| buffer.len()), with_others(|others| others.len())),
            (Some(1), Some(KEPT))
        );
    }

    #[test]
    fn longer_room_keeps_what_was_written() {
        let mut one = Scratch::none();
        one.longer_room(3).copy_from_slice(b"abc");
        one.longer_room(10_000);
        assert_eq!(one.bytes(3), b"abc");
        assert_eq!(one.bytes(20_000).len(), 10_000);
    }

    #[test]
    fn buffers_end_with_their_thread() {
        fn is_dropped<T>(_: &std::thread::LocalKey<T>) -> bool {
            std::mem::needs_drop::<T>()
        }
        assert!(is_dropped(&FIRST) && is_dropped(&OTHERS));
    }
}
