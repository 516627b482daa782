//! The memory that runs take: allocated once, used again and again.

use alloc::vec::Vec;

use crate::plan::{Place, Plan, Room};
use crate::tensor::{View, ViewMut};

/// Memory for runs of any model, one after another. It grows to what the largest needs ([`crate::Program::peak_bytes`], in
/// whole words) and is kept until it is dropped: a run in a workspace that has grown allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    /// Of all pools of a run, one after another; what each is depends on the model.
    words: Vec<i64>,
}

impl Workspace {
    /// An empty one.
    pub fn new() -> Self {
        Workspace::default()
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        8 * self.words.capacity() as u64
    }

    /// Space for a plan and for so many results, grown to what that takes. The program's limit on memory has bounded it.
    pub(crate) fn space(&mut self, plan: &Plan, results: u64) -> (Space<'_>, &mut [i32]) {
        // Below 2^63 by that limit, like all that is counted here.
        let room = Room {
            i16: plan.narrow + plan.scratch.i16,
            i32: plan.wide + results + plan.scratch.i32,
            i64: plan.scratch.i64,
        };
        let words = room.bytes().div_ceil(8) as usize;
        if self.words.len() < words {
            // What it held is of no value: nothing is copied, and both are never there together.
            self.words = Vec::new();
            self.words = alloc::vec![0; words];
        }
        // The widest first: each kind begins where its elements may.
        let (i64, rest) = self.words.split_at_mut(room.i64 as usize);
        let (i32, rest) = halves(rest).split_at_mut(room.i32 as usize);
        let i16 = quarters(rest);
        let (wide, i32) = i32.split_at_mut(plan.wide as usize);
        let (results, i32) = i32.split_at_mut(results as usize);
        let (narrow, i16) = i16.split_at_mut(plan.narrow as usize);
        let i16 = &mut i16[..plan.scratch.i16 as usize];
        let scratch = Scratch { i16, i32, i64 };
        (Space { narrow, wide, scratch }, results)
    }
}

/// The halves of words, in the order of their addresses.
fn halves(words: &mut [i64]) -> &mut [i32] {
    // SAFETY: the same memory, which is aligned for them; any bits are an integer of either kind. Its size fits `isize`, so
    // twice as many elements fit `usize`.
    unsafe { core::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), 2 * words.len()) }
}

/// The same of half words.
fn quarters(halves: &mut [i32]) -> &mut [i16] {
    // SAFETY: as above.
    unsafe { core::slice::from_raw_parts_mut(halves.as_mut_ptr().cast(), 2 * halves.len()) }
}

/// Where the values of some nodes live, and what those nodes need beside.
pub(crate) struct Space<'a> {
    narrow: &'a mut [i16],
    wide: &'a mut [i32],
    scratch: Scratch<'a>,
}

/// Space for an operation's own use, at least as long as its [`crate::plan::Room`] says, with arbitrary contents.
pub(crate) struct Scratch<'a> {
    pub i16: &'a mut [i16],
    pub i32: &'a mut [i32],
    pub i64: &'a mut [i64],
}

impl Scratch<'_> {
    /// Space for the nodes of a body, and so many elements of 32 bits apart from it.
    pub fn space(&mut self, plan: &Plan, apart: usize) -> (Space<'_>, &mut [i32]) {
        let (narrow, i16) = self.i16.split_at_mut(plan.narrow as usize);
        let (apart, i32) = self.i32.split_at_mut(apart);
        let (wide, i32) = i32.split_at_mut(plan.wide as usize);
        let i64 = &mut *self.i64;
        let scratch = Scratch { i16, i32, i64 };
        (Space { narrow, wide, scratch }, apart)
    }
}

impl<'s> Space<'s> {
    /// All values, to be read.
    pub fn values(&self) -> Values<'_> {
        Values {
            narrow: Rest::all(self.narrow),
            wide: Rest::all(self.wide),
        }
    }

    /// One value to be written, the others to be read, and the scratch space.
    pub fn split(
        &mut self,
        place: Place,
        narrow: bool,
        elements: usize,
    ) -> (ViewMut<'_>, Values<'_>, &mut Scratch<'s>) {
        let start = match place {
            Place::Pool(start) => start as usize,
            // Constants are not computed.
            Place::Constant(_) => 0,
        };
        let (out, values) = if narrow {
            let (out, rest) = Rest::without(self.narrow, start, elements);
            let values = Values {
                narrow: rest,
                wide: Rest::all(self.wide),
            };
            (ViewMut::I16(out), values)
        } else {
            let (out, rest) = Rest::without(self.wide, start, elements);
            let values = Values {
                narrow: Rest::all(self.narrow),
                wide: rest,
            };
            (ViewMut::I32(out), values)
        };
        (out, values, &mut self.scratch)
    }
}

/// Values that may be read.
#[derive(Clone, Copy)]
pub(crate) struct Values<'a> {
    narrow: Rest<'a, i16>,
    wide: Rest<'a, i32>,
}

impl<'a> Values<'a> {
    /// So many elements of a pool from `start` on.
    pub fn view(&self, start: u64, narrow: bool, elements: usize) -> View<'a> {
        let start = start as usize;
        match narrow {
            true => View::I16(self.narrow.slice(start, elements)),
            false => View::I32(self.wide.slice(start, elements)),
        }
    }
}

/// A pool, perhaps without a part in its middle that is being written.
#[derive(Clone, Copy)]
struct Rest<'a, T> {
    before: &'a [T],
    /// Where `after` starts in the pool.
    end: usize,
    after: &'a [T],
}

impl<'a, T> Rest<'a, T> {
    fn all(pool: &'a [T]) -> Self {
        Rest {
            before: pool,
            end: pool.len(),
            after: &[],
        }
    }

    fn without(pool: &'a mut [T], start: usize, elements: usize) -> (&'a mut [T], Self) {
        let (before, rest) = pool.split_at_mut(start);
        let (part, after) = rest.split_at_mut(elements);
        let rest = Rest {
            before,
            end: start + elements,
            after,
        };
        (part, rest)
    }

    fn slice(&self, start: usize, elements: usize) -> &'a [T] {
        match start.checked_sub(self.end) {
            Some(start) => &self.after[start..start + elements],
            None => &self.before[start..start + elements],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(narrow: u64, wide: u64, scratch: Room) -> Plan {
        Plan {
            places: Vec::new(),
            narrow,
            wide,
            results: 3,
            scratch,
        }
    }

    #[test]
    fn a_workspace_holds_what_the_largest_of_several_models_needs_and_no_more() {
        let room = |i16, i32, i64| Room { i16, i32, i64 };
        let plans = [
            plan(100_001, 0, Room::default()),
            plan(0, 50_001, Room::default()),
            plan(7, 1, room(3, 5, 20_000)),
            plan(1, 1, room(90_001, 1, 1)),
            plan(30_000, 20_000, room(10_000, 3_000, 1_000)),
        ];
        let largest = plans.iter().map(Plan::bytes).max().unwrap();
        let mut workspace = Workspace::new();
        for plan in plans.iter().cycle().take(11) {
            workspace.space(plan, plan.results);
            assert!(
                workspace.bytes() <= largest.next_multiple_of(8),
                "{} {largest}",
                workspace.bytes()
            );
        }
        assert_eq!(workspace.bytes(), largest.next_multiple_of(8));
    }

    #[test]
    fn pools_have_the_asked_lengths_and_do_not_overlap() {
        let room = Room { i16: 3, i32: 5, i64: 2 };
        let mut workspace = Workspace::new();
        let (space, results) = workspace.space(&plan(7, 9, room), 3);
        let Space { narrow, wide, scratch } = space;
        assert_eq!(
            [
                narrow.len(),
                wide.len(),
                results.len(),
                scratch.i16.len(),
                scratch.i32.len(),
                scratch.i64.len()
            ],
            [7, 9, 3, 3, 5, 2]
        );
        narrow.fill(1);
        wide.fill(2);
        results.fill(3);
        scratch.i16.fill(4);
        scratch.i32.fill(5);
        scratch.i64.fill(6);
        assert!(narrow.iter().all(|v| *v == 1) && wide.iter().all(|v| *v == 2) && results.iter().all(|v| *v == 3));
        assert!(scratch.i16.iter().all(|v| *v == 4) && scratch.i32.iter().all(|v| *v == 5));
        assert!(scratch.i64.iter().all(|v| *v == 6));
    }
}
