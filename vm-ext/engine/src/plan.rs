//! Where values live while a model runs: offsets into one arena, fixed when the model is loaded.
//!
//! The arena is a pool of 16-bit and a pool of 32-bit elements. A value is given its place when it is computed, and the
//! place is free again after its last reader: the smallest hole that holds it, the first of several alike, and else the
//! pool grows. `docs/spec/numeric.md` states the rule, since the size of the arena is the model's declared memory.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::graph::{Op, ValueId};
use crate::infer::{Storage, ValueType};

/// Space that an operation needs beside its result, in elements. Its contents are arbitrary when the operation starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Room {
    pub i16: u64,
    pub i32: u64,
    pub i64: u64,
}

impl Room {
    pub fn bytes(self) -> u64 {
        let [a, b, c] = [(self.i16, 2), (self.i32, 4), (self.i64, 8)].map(|(n, size)| n.saturating_mul(size));
        a.saturating_add(b).saturating_add(c)
    }

    /// Room for either.
    pub fn or(self, other: Room) -> Room {
        Room {
            i16: self.i16.max(other.i16),
            i32: self.i32.max(other.i32),
            i64: self.i64.max(other.i64),
        }
    }
}

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is that of a Constant, which belongs to the program.
    Constant(usize),
    /// From this element on in the pool of its storage.
    Pool(u64),
}

/// The arena of a model.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Per value. A reshaped one has its operand's.
    pub places: Vec<Place>,
    /// Elements of the pool of 16 bits.
    pub narrow: u64,
    /// Elements of the pool of 32 bits.
    pub wide: u64,
    /// Elements of all outputs, which are copied out in 32 bits.
    pub results: u64,
    /// Room for any operation.
    pub scratch: Room,
}

impl Plan {
    /// Places for the values of nodes that inference took, and for those that are given before. `scratch` is what the nodes
    /// need, `kept` are values that last to the end, `results` is how many elements are copied out then.
    pub fn new(nodes: &[Op], values: &[ValueType], scratch: &[Room], kept: &[ValueId], results: u64) -> Self {
        let first = values.len() - nodes.len();
        // Per value: whose place it has, and, for those with their own, the node after which it ends. Inputs that nothing
        // reads end with node 0.
        let mut owner: Vec<usize> = (0..values.len()).collect();
        let mut ends: Vec<usize> = owner.iter().map(|v| v.saturating_sub(first)).collect();
        for (i, op) in nodes.iter().enumerate() {
            op.operands(|x| ends[owner[x as usize]] = i);
            if let Op::Reshape { x, .. } = op {
                owner[first + i] = owner[*x as usize];
            }
        }
        for value in kept {
            ends[owner[*value as usize]] = usize::MAX;
        }
        let constant = |v: usize| v >= first && matches!(nodes[v - first], Op::Constant { .. });
        let mut ending: Vec<Vec<usize>> = alloc::vec![Vec::new(); nodes.len()];
        for (v, end) in ends.iter().enumerate() {
            if let Some(list) = ending.get_mut(*end).filter(|_| owner[v] == v && !constant(v)) {
                list.push(v);
            }
        }
        let mut pools = [Pool::default(), Pool::default()];
        let pool = |v: usize| usize::from(values[v].storage() == Storage::I32);
        let elements = |v: usize| values[v].elements() as u64;
        let mut places: Vec<Place> = Vec::with_capacity(values.len());
        for v in 0..values.len() {
            places.push(if owner[v] != v {
                places[owner[v]]
            } else if constant(v) {
                Place::Constant(v)
            } else {
                Place::Pool(pools[pool(v)].take(elements(v)))
            });
            for ended in v.checked_sub(first).map_or(&[][..], |node| &ending[node]) {
                if let Place::Pool(start) = places[*ended] {
                    pools[pool(*ended)].give(start, elements(*ended));
                }
            }
        }
        let [narrow, wide] = pools.map(|pool| pool.end);
        Plan {
            places,
            narrow,
            wide,
            results,
            scratch: scratch.iter().copied().fold(Room::default(), Room::or),
        }
    }

    /// Bytes of the arena, of scratch space and of the results.
    pub fn bytes(&self) -> u64 {
        let arena = Room {
            i16: self.narrow,
            i32: self.wide.saturating_add(self.results),
            i64: 0,
        };
        arena.bytes().saturating_add(self.scratch.bytes())
    }
}

/// A pool while places are given: its holes by start and by length.
#[derive(Default)]
struct Pool {
    holes: BTreeMap<u64, u64>,
    by_length: BTreeSet<(u64, u64)>,
    end: u64,
}

impl Pool {
    fn take(&mut self, length: u64) -> u64 {
        let fitting = self.by_length.range((length, 0)..).next().copied();
        let last = || self.holes.iter().next_back().map(|(start, length)| (*length, *start));
        // A hole at the end grows with the pool.
        let grown = || last().filter(|(length, start)| start.saturating_add(*length) == self.end);
        let Some((hole, start)) = fitting.or_else(grown) else {
            let start = self.end;
            self.end = self.end.saturating_add(length);
            return start;
        };
        self.remove(start, hole);
        if hole > length {
            self.insert(start + length, hole - length);
        }
        self.end = self.end.max(start.saturating_add(length));
        start
    }

    fn give(&mut self, mut start: u64, mut length: u64) {
        if let Some((before, hole)) = self.holes.range(..start).next_back().map(|(s, l)| (*s, *l)) {
            if before + hole == start {
                self.remove(before, hole);
                (start, length) = (before, hole + length);
            }
        }
        let after = start + length;
        if let Some(hole) = self.holes.get(&after).copied() {
            self.remove(after, hole);
            length += hole;
        }
        self.insert(start, length);
    }

    fn insert(&mut self, start: u64, length: u64) {
        self.holes.insert(start, length);
        self.by_length.insert((length, start));
    }

    fn remove(&mut self, start: u64, length: u64) {
        self.holes.remove(&start);
        self.by_length.remove(&(length, start));
    }
}

#[cfg(test)]
mod tests {
    use super::Pool;

    #[test]
    fn the_smallest_hole_that_fits_is_taken_and_neighbours_join() {
        let mut pool = Pool::default();
        let starts: alloc::vec::Vec<u64> = [10, 5, 20, 5, 10].map(|n| pool.take(n)).into();
        assert_eq!(starts, [0, 10, 15, 35, 40]);
        pool.give(0, 10);
        pool.give(15, 20);
        assert_eq!(pool.take(8), 0);
        assert_eq!(pool.take(8), 15);
        // Holes: 8..10 and 23..35.
        pool.give(10, 5);
        assert_eq!(pool.take(7), 8);
        pool.give(35, 5);
        assert_eq!(pool.take(17), 23);
        assert_eq!(pool.end, 50);
    }

    #[test]
    fn a_hole_at_the_end_grows() {
        let mut pool = Pool::default();
        assert_eq!([pool.take(4), pool.take(6)], [0, 4]);
        pool.give(4, 6);
        assert_eq!(pool.take(9), 4);
        assert_eq!(pool.end, 13);
        pool.give(0, 4);
        pool.give(4, 9);
        assert_eq!(pool.take(14), 0);
        assert_eq!((pool.end, pool.holes.len(), pool.by_length.len()), (14, 0, 0));
    }
}
