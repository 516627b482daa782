//! The memory that runs take: allocated once, used again and again.

use alloc::vec::Vec;

use crate::plan::{Place, Plan};
use crate::tensor::{View, ViewMut};

/// Memory for runs of any model, one after another. It grows to what the largest needs ([`crate::Program::peak_bytes`])
/// and is kept until it is dropped: a run in a workspace that has grown allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    pub(crate) arena: Arena,
    pub(crate) results: Vec<i32>,
}

impl Workspace {
    /// An empty one.
    pub fn new() -> Self {
        Workspace::default()
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        let Arena {
            narrow,
            wide,
            scratch_i16,
            scratch_i32,
            scratch_i64,
        } = &self.arena;
        let bytes = 2 * (narrow.capacity() + scratch_i16.capacity())
            + 4 * (wide.capacity() + scratch_i32.capacity() + self.results.capacity())
            + 8 * scratch_i64.capacity();
        bytes as u64
    }
}

/// Tensors and scratch space, without the results.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arena {
    narrow: Vec<i16>,
    wide: Vec<i32>,
    scratch_i16: Vec<i16>,
    scratch_i32: Vec<i32>,
    scratch_i64: Vec<i64>,
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

impl Arena {
    /// Space for a plan, grown to what it asks for. The program's limit on memory has bounded that.
    pub fn space(&mut self, plan: &Plan) -> Space<'_> {
        Space {
            narrow: grown(&mut self.narrow, plan.narrow),
            wide: grown(&mut self.wide, plan.wide),
            scratch: Scratch {
                i16: grown(&mut self.scratch_i16, plan.scratch.i16),
                i32: grown(&mut self.scratch_i32, plan.scratch.i32),
                i64: grown(&mut self.scratch_i64, plan.scratch.i64),
            },
        }
    }
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

fn grown<T: Copy + Default>(pool: &mut Vec<T>, elements: u64) -> &mut [T] {
    let elements = elements as usize;
    if pool.len() < elements {
        // What it held is of no value: nothing is copied.
        pool.clear();
        pool.reserve_exact(elements);
        pool.resize(elements, T::default());
    }
    pool
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
