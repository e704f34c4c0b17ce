//! A byte trie with whole runs of bytes on its edges, laid out in flat arrays.
//!
//! Not here: what the payload means (`index`). The surprising thing: a walk compares each byte of the text at most once and
//! visits one node per fork on its way, so its cost follows the text, not the number of keys.

/// Keys with payloads, built once. `BACKWARDS` tries read keys and texts from their ends.
#[derive(Debug)]
pub(super) struct Trie<P, const BACKWARDS: bool> {
    /// The root first; the children of a node side by side, in the order of their first bytes.
    nodes: Vec<Node<P>>,
    /// First byte of each node's edge, parallel to `nodes`.
    first_bytes: Vec<u8>,
    /// The other bytes of all edges, in the order of the text (also when the walk goes backwards).
    edges: Vec<u8>,
}

#[derive(Debug)]
struct Node<P> {
    edge: Span,
    children: Span,
    payload: P,
}

/// A stretch of an array: start and length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// Of a whole array, whose parts are then unreachable beyond 4 GiB: rules are config files, not databases.
    pub(super) fn new(start: usize, len: usize) -> Self {
        Self { start: narrow(start), len: narrow(len) }
    }

    pub(super) fn of<T>(self, array: &[T]) -> &[T] {
        let start = self.start as usize;
        array.get(start..start + self.len as usize).unwrap_or_default()
    }
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// More children than this are searched by halving.
const SEARCHED_IN_ORDER: usize = 8;

impl<P: Default + Copy, const BACKWARDS: bool> Default for Trie<P, BACKWARDS> {
    fn default() -> Self {
        Self::build(&[])
    }
}

impl<P: Default + Copy, const BACKWARDS: bool> Trie<P, BACKWARDS> {
    /// Builds from keys in ascending order, each once. Keys of a backwards trie are given reversed.
    pub(super) fn build(keys: &[(Vec<u8>, P)]) -> Self {
        let mut trie = Self { nodes: Vec::new(), first_bytes: Vec::new(), edges: Vec::new() };
        trie.push_node(0, P::default());
        let mut work = vec![(0usize, keys, 0usize)];
        while let Some((node, mut keys, depth)) = work.pop() {
            // The root has no edge; elsewhere the edge is what all keys below have in common.
            let end = if node == 0 { 0 } else { common_length(keys, depth + 1) };
            if node != 0 {
                trie.set_edge(node, keys, depth + 1, end);
            }
            if let Some(((key, payload), rest)) = keys.split_first()
                && key.len() == end
            {
                if let Some(node) = trie.nodes.get_mut(node) {
                    node.payload = *payload;
                }
                keys = rest;
            }
            let first_child = trie.nodes.len();
            for family in keys.chunk_by(|(one, _), (other, _)| one.get(end) == other.get(end)) {
                let first_byte = family.first().and_then(|(key, _)| key.get(end)).copied().unwrap_or_default();
                work.push((trie.nodes.len(), family, end));
                trie.push_node(first_byte, P::default());
            }
            let children = Span::new(first_child, trie.nodes.len() - first_child);
            if let Some(node) = trie.nodes.get_mut(node) {
                node.children = children;
            }
        }
        trie
    }

    /// Calls `visit` with the payload of every node on the way and the part of the text that is still to go, from the
    /// root on, as far as the text leads.
    #[inline(always)]
    pub(super) fn walk<'t>(&self, text: &'t [u8], mut visit: impl FnMut(P, &'t [u8])) {
        let mut rest = text;
        let mut next = self.nodes.first();
        while let Some(node) = next {
            // Most edges of a crowded trie hold their first byte only.
            if node.edge.len > 0 {
                let edge = node.edge.of(&self.edges);
                let below = if BACKWARDS { rest.strip_suffix(edge) } else { rest.strip_prefix(edge) };
                let Some(below) = below else { return };
                rest = below;
            }
            visit(node.payload, rest);
            if node.children.len == 0 {
                return;
            }
            let split = if BACKWARDS { rest.split_last() } else { rest.split_first() };
            let Some((byte, below)) = split else { return };
            rest = below;
            next = self.child(node.children, *byte);
        }
    }

    #[inline]
    fn child(&self, children: Span, byte: u8) -> Option<&Node<P>> {
        let first_bytes = children.of(&self.first_bytes);
        let place = if first_bytes.len() <= SEARCHED_IN_ORDER {
            first_bytes.iter().position(|first| *first == byte)?
        } else {
            first_bytes.binary_search(&byte).ok()?
        };
        self.nodes.get(children.start as usize + place)
    }

    fn push_node(&mut self, first_byte: u8, payload: P) {
        self.nodes.push(Node { edge: Span::default(), children: Span::default(), payload });
        self.first_bytes.push(first_byte);
    }

    fn set_edge(&mut self, node: usize, keys: &[(Vec<u8>, P)], from: usize, to: usize) {
        let key = keys.first().map(|(key, _)| key.as_slice()).unwrap_or_default();
        let edge = key.get(from..to).unwrap_or_default();
        let span = Span::new(self.edges.len(), edge.len());
        if BACKWARDS {
            self.edges.extend(edge.iter().rev());
        } else {
            self.edges.extend(edge);
        }
        if let Some(node) = self.nodes.get_mut(node) {
            node.edge = span;
        }
    }
}

/// Length of what sorted keys have in common, given that the first `known` bytes are: that of the first and the last.
fn common_length<P>(keys: &[(Vec<u8>, P)], known: usize) -> usize {
    let (Some((first, _)), Some((last, _))) = (keys.first(), keys.last()) else { return known };
    let pairs = first.iter().zip(last).skip(known);
    known + pairs.take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn visits_exactly_the_keys_that_begin_the_text(
            keys in proptest::collection::btree_map("[ab/]{0,5}", 1u32.., 0..12),
            text in "[ab/]{0,8}",
        ) {
            let sorted: Vec<_> = keys.iter().map(|(key, value)| (key.clone().into_bytes(), *value)).collect();
            let mut found = BTreeMap::new();
            Trie::<u32, false>::build(&sorted).walk(text.as_bytes(), |value, rest| {
                if value > 0 {
                    found.insert(text.len() - rest.len(), value);
                }
            });
            let expected: BTreeMap<_, _> =
                keys.iter().filter(|(key, _)| text.starts_with(*key)).map(|(key, value)| (key.len(), *value)).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn walks_backwards_over_the_keys_that_end_the_text(
            keys in proptest::collection::btree_map("[ab.]{0,5}", 1u32.., 0..12),
            text in "[ab.]{0,8}",
        ) {
            let mut sorted: Vec<_> = keys.iter().map(|(key, value)| {
                let mut key = key.clone().into_bytes();
                key.reverse();
                (key, *value)
            }).collect();
            sorted.sort();
            let mut found = BTreeMap::new();
            Trie::<u32, true>::build(&sorted).walk(text.as_bytes(), |value, rest| {
                if value > 0 {
                    found.insert(text.len() - rest.len(), value);
                }
            });
            let expected: BTreeMap<_, _> =
                keys.iter().filter(|(key, _)| text.ends_with(*key)).map(|(key, value)| (key.len(), *value)).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn finds_each_of_256_children() {
        let keys: Vec<_> = (0..=255u8).map(|byte| (vec![byte], u32::from(byte) + 1)).collect();
        let trie = Trie::<u32, false>::build(&keys);
        for byte in 0..=255u8 {
            let mut last = 0;
            trie.walk(&[byte], |value, _| last = value);
            assert_eq!(last, u32::from(byte) + 1);
        }
    }
}
