//! Reading numbers, texts and arrays.

use alloc::{string::String, vec::Vec};

use super::{element, ALIGNMENT};
use crate::error::{FormatProblem, LoadError, WeightsProblem};
use crate::graph::Array;

/// Refuses more than a host allows.
pub(super) fn limit(what: &'static str, found: usize, limit: usize) -> Result<(), LoadError> {
    if found > limit {
        return Err(LoadError::Limit {
            what,
            found: found as u64,
            limit: limit as u64,
        });
    }
    Ok(())
}

/// Both sections, and how far they have been read.
pub(super) struct Reader<'a> {
    pub graph: &'a [u8],
    pub at: usize,
    pub weights: &'a [u8],
    pub weights_at: usize,
    /// Nodes so far, those of bodies among them.
    pub all_nodes: usize,
    /// Whether the nodes being read are a body.
    pub inside: bool,
}

impl<'a> Reader<'a> {
    pub fn bad(&self, problem: FormatProblem) -> LoadError {
        LoadError::Format {
            offset: self.at as u64,
            problem,
        }
    }

    pub fn bad_weights(&self, problem: WeightsProblem) -> LoadError {
        LoadError::Weights {
            offset: self.weights_at as u64,
            problem,
        }
    }

    pub fn take(&mut self, count: usize) -> Result<&'a [u8], LoadError> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.graph.len());
        let bytes = end
            .and_then(|end| self.graph.get(self.at..end))
            .ok_or(self.bad(FormatProblem::Truncated))?;
        self.at += count;
        Ok(bytes)
    }

    pub fn byte(&mut self) -> Result<u8, LoadError> {
        let byte = self
            .graph
            .get(self.at)
            .copied()
            .ok_or(self.bad(FormatProblem::Truncated))?;
        self.at += 1;
        Ok(byte)
    }

    /// LEB128, shortest form only.
    pub fn unsigned(&mut self) -> Result<u64, LoadError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            let last = byte & 0x80 == 0;
            if (shift == 63 && bits > 1) || (last && byte == 0 && shift > 0) {
                return Err(self.bad(FormatProblem::Number));
            }
            value |= bits << shift;
            if last {
                return Ok(value);
            }
        }
        Err(self.bad(FormatProblem::Number))
    }

    pub fn u32(&mut self) -> Result<u32, LoadError> {
        let value = self.unsigned()?;
        u32::try_from(value).map_err(|_| self.bad(FormatProblem::Number))
    }

    /// Zigzag.
    pub fn signed(&mut self) -> Result<i32, LoadError> {
        let value = self.u32()?;
        Ok((value >> 1) as i32 ^ -((value & 1) as i32))
    }

    pub fn flag(&mut self) -> Result<bool, LoadError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.bad(FormatProblem::Tag)),
        }
    }

    /// A count of things of at least `min_bytes` each, which must fit what remains of the graph.
    pub fn count(&mut self, min_bytes: usize) -> Result<usize, LoadError> {
        let count = self.unsigned()?;
        let room = (self.graph.len() - self.at) / min_bytes;
        usize::try_from(count)
            .ok()
            .filter(|n| *n <= room)
            .ok_or(self.bad(FormatProblem::Count))
    }

    pub fn text(&mut self, max: usize) -> Result<String, LoadError> {
        let count = self.count(1)?;
        limit("bytes of a name", count, max)?;
        let bytes = self.take(count)?;
        core::str::from_utf8(bytes)
            .map(String::from)
            .map_err(|_| self.bad(FormatProblem::Text))
    }

    pub fn extents(&mut self, max: usize) -> Result<Vec<u32>, LoadError> {
        let count = self.count(1)?;
        limit("axes of a tensor", count, max)?;
        self.u32s(count)
    }

    pub fn u32s(&mut self, count: usize) -> Result<Vec<u32>, LoadError> {
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            values.push(self.u32()?);
        }
        Ok(values)
    }

    /// The next array's bytes in the weights section; its count stands in the graph.
    pub fn numbers(&mut self, size: usize) -> Result<&'a [u8], LoadError> {
        let count = self.unsigned()?;
        if count == 0 {
            return Ok(&[]);
        }
        let start = self.weights_at.next_multiple_of(ALIGNMENT);
        let room = self.weights.len().saturating_sub(start);
        let bytes = usize::try_from(count)
            .ok()
            .and_then(|n| n.checked_mul(size))
            .filter(|n| *n <= room);
        let bytes = bytes.ok_or(self.bad_weights(WeightsProblem::Truncated))?;
        // start <= weights.len() because bytes > 0 fit in the room after it.
        if self.weights[self.weights_at..start].iter().any(|b| *b != 0) {
            return Err(self.bad_weights(WeightsProblem::Padding));
        }
        self.weights_at = start + bytes;
        Ok(&self.weights[start..start + bytes])
    }

    pub fn i8s(&mut self) -> Result<Vec<i8>, LoadError> {
        Ok(self.numbers(1)?.iter().map(|b| *b as i8).collect())
    }

    pub fn i16s(&mut self) -> Result<Vec<i16>, LoadError> {
        Ok(chunks(self.numbers(2)?).map(i16::from_le_bytes).collect())
    }

    pub fn i32s(&mut self) -> Result<Vec<i32>, LoadError> {
        Ok(chunks(self.numbers(4)?).map(i32::from_le_bytes).collect())
    }

    pub fn i64s(&mut self) -> Result<Vec<i64>, LoadError> {
        Ok(chunks(self.numbers(8)?).map(i64::from_le_bytes).collect())
    }

    pub fn array(&mut self) -> Result<Array, LoadError> {
        match self.byte()? {
            element::I8 => self.i8s().map(Array::I8),
            element::I16 => self.i16s().map(Array::I16),
            element::I32 => self.i32s().map(Array::I32),
            element::I64 => self.i64s().map(Array::I64),
            _ => Err(self.bad(FormatProblem::Tag)),
        }
    }
}

/// Whole chunks of a slice whose length is a multiple of N.
fn chunks<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    bytes.chunks_exact(N).map(|chunk| {
        let mut array = [0; N];
        array.copy_from_slice(chunk);
        array
    })
}
