//! Buffers of one request that the next one on the same thread uses again.
//!
//! Not here: receive buffers, which belong to their connections. The surprising thing: the bytes of a buffer are whatever the last request
//! left there; they are initialised once, so that nobody pays for zeros that are overwritten at once.

use std::cell::Cell;

/// Buffers that a thread keeps beside the first; one request needs at most three.
const KEPT: usize = 3;

thread_local! {
    // They have destructors, which is harmless: only children serve requests, and the module stays mapped (`-z nodelete`).
    /// The one that most requests do with; empty while it is in use.
    static FIRST: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static OTHERS: Cell<Vec<Vec<u8>>> = const { Cell::new(Vec::new()) };
}

/// A buffer of this thread, returned to it when dropped.
#[derive(Debug)]
pub(super) struct Scratch(Vec<u8>);

impl Scratch {
    /// One that was used before, if there is one.
    pub(super) fn new() -> Self {
        // Fails only while the thread ends; then there is nothing kept.
        let first = FIRST.try_with(Cell::take).unwrap_or_default();
        if first.is_empty() { Self::another() } else { Self(first) }
    }

    #[cold]
    fn another() -> Self {
        let buffer = OTHERS.try_with(|cell| {
            let mut others = cell.take();
            let buffer = others.pop();
            cell.set(others);
            buffer
        });
        Self(buffer.ok().flatten().unwrap_or_default())
    }

    /// None at all, for a request that needs none.
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    /// The first `length` bytes, to be written; what was in them is lost.
    pub(super) fn room(&mut self, length: usize) -> &mut [u8] {
        if self.0.len() < length {
            // Anew, without a copy of what nobody wants: memory that is fresh from the system need not be zeroed.
            self.0 = vec![0; length];
        }
        self.0.get_mut(..length).unwrap_or_default()
    }

    /// The first `length` bytes; what was written to those that [`Self::room`] or this gave before is still there.
    pub(super) fn longer_room(&mut self, length: usize) -> &mut [u8] {
        if self.0.is_empty() {
            return self.room(length);
        }
        if self.0.len() < length {
            self.0.resize(length, 0);
        }
        self.0.get_mut(..length).unwrap_or_default()
    }

    /// The first `length` bytes, at most what [`Self::room`] was asked for.
    pub(super) fn bytes(&self, length: usize) -> &[u8] {
        self.0.get(..length).unwrap_or(&self.0)
    }
}

impl Drop for Scratch {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.0.is_empty() {
            self.give_back();
        }
    }
}

impl Scratch {
    #[inline]
    fn give_back(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        // Fails only while the thread ends; then there is nothing to keep.
        let _ = FIRST.try_with(|cell| {
            let old = cell.replace(buffer);
            if !old.is_empty() {
                keep(old);
            }
        });
    }
}

/// Keeps a buffer beside the first.
#[cold]
fn keep(buffer: Vec<u8>) {
    let _ = OTHERS.try_with(|cell| {
        let mut others = cell.take();
        if others.len() < KEPT {
            others.push(buffer);
        }
        cell.set(others);
    });
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
        assert_eq!((FIRST.take().len(), OTHERS.take().len()), (1, KEPT));
    }
}
