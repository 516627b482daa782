//! A node's check of its own kernels: golden vectors that are compiled in, run before anything depends on them.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use thiserror::Error;

use crate::kernels::Kernels;
use crate::limits::Limits;
use crate::program::Program;

/// Enough for the vectors below.
const LIMITS: Limits = Limits {
    max_nodes: 64,
    max_rank: 6,
    max_elements: 1 << 16,
    max_peak_bytes: 1 << 20,
    max_ports: 16,
    max_name_bytes: 64,
    max_labels: 64,
    max_header_entries: 16,
    max_header_bytes: 1 << 10,
};

macro_rules! vectors {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../tests/golden/", $name, ".txt")))),+]
    };
}

/// Names and texts. A new one is written by `tests/golden.rs` before it is named here, and none is ever written again.
const VECTORS: &[(&str, &str)] = vectors!(
    "self-test-mat-mul-i8",
    "self-test-mat-mul-i16",
    "self-test-mat-mul-blocks",
    "self-test-conv",
    "self-test-pointwise",
    "self-test-others",
    "self-test-narrow",
    "self-test-rows",
    "self-test-folds",
    "self-test-sixteens",
    "self-test-depthwise",
    "self-test-reductions",
);

/// Why kernels must not be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SelfTestError {
    /// They compute something else than every other machine.
    #[error("testing the {kernels} kernels: in vector \"{vector}\" element {element} of output {output} is {found} instead of {want}; use other kernels, and have this CPU checked")]
    Differs {
        /// Name of the set.
        kernels: &'static str,
        /// Name of the vector.
        vector: &'static str,
        /// Which output.
        output: usize,
        /// The first that differs.
        element: usize,
        /// What the kernels gave.
        found: i32,
        /// What they must give.
        want: i32,
    },
    /// The engine itself cannot read or run a vector.
    #[error("testing the kernels: vector \"{vector}\" cannot be run: {problem}; this build of the engine is damaged, install it again")]
    Damaged {
        /// Name of the vector.
        vector: &'static str,
        /// Why.
        problem: String,
    },
}

/// Runs every compiled-in vector with `kernels` and compares all elements. Takes a few milliseconds at most.
///
/// ```
/// use aiinference_engine::{selftest, Kernels};
///
/// let kernels = Kernels::auto();
/// assert_eq!(selftest(&kernels), Ok(()));
/// ```
pub fn selftest(kernels: &Kernels) -> Result<(), SelfTestError> {
    VECTORS.iter().try_for_each(|(name, text)| check(name, text, kernels))
}

fn check(vector: &'static str, text: &str, kernels: &Kernels) -> Result<(), SelfTestError> {
    let damaged = |problem: String| SelfTestError::Damaged { vector, problem };
    let Vector {
        graph,
        weights,
        inputs,
        outputs,
    } = Vector::read(text).ok_or_else(|| damaged("its text is malformed".into()))?;
    let program = Program::load(&graph, &weights, &LIMITS).map_err(|e| damaged(e.to_string()))?;
    let views: Vec<&[i32]> = inputs.iter().map(Vec::as_slice).collect();
    let found = program.run(&views, kernels).map_err(|e| damaged(e.to_string()))?;
    let lengths = |lists: &[Vec<i32>]| lists.iter().map(Vec::len).collect::<Vec<_>>();
    if lengths(&found) != lengths(&outputs) {
        return Err(damaged("its outputs have other shapes".into()));
    }
    for (output, (found, want)) in found.iter().zip(&outputs).enumerate() {
        let mut pairs = found.iter().zip(want).enumerate();
        if let Some((element, (found, want))) = pairs.find(|(_, (found, want))| found != want) {
            return Err(SelfTestError::Differs {
                kernels: kernels.name(),
                vector,
                output,
                element,
                found: *found,
                want: *want,
            });
        }
    }
    Ok(())
}

/// A golden vector: lines `graph HEX`, `weights HEX`, then `input NUMBERS..` and `output NUMBERS..`, in order.
#[derive(Default)]
struct Vector {
    graph: Vec<u8>,
    weights: Vec<u8>,
    inputs: Vec<Vec<i32>>,
    outputs: Vec<Vec<i32>>,
}

impl Vector {
    fn read(text: &str) -> Option<Self> {
        let mut vector = Vector::default();
        for line in text.lines() {
            match line.split_once(' ')? {
                ("graph", hex) => vector.graph = bytes(hex)?,
                ("weights", hex) => vector.weights = bytes(hex)?,
                ("input", list) => vector.inputs.push(numbers(list)?),
                ("output", list) => vector.outputs.push(numbers(list)?),
                _ => return None,
            }
        }
        Some(vector)
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digit = |d: &u8| char::from(*d).to_digit(16);
    let pairs = hex.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => u8::try_from(digit(high)? << 4 | digit(low)?).ok(),
            _ => None,
        })
        .collect()
}

fn numbers(list: &str) -> Option<Vec<i32>> {
    list.split(' ').map(|n| n.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_of_this_machine_passes() {
        for kernels in Kernels::available() {
            assert_eq!(selftest(&kernels), Ok(()), "{kernels:?}");
        }
    }

    #[test]
    fn the_vectors_stay_small() {
        assert!(VECTORS.iter().map(|(_, text)| text.len()).sum::<usize>() < 88_000);
    }

    /// The scalar kernels with one loop replaced.
    fn with(change: fn(&mut Kernels)) -> Kernels {
        let mut kernels = Kernels::scalar();
        change(&mut kernels);
        kernels
    }

    /// The scalar loop, whose first result comes out one too large.
    macro_rules! off_by_one {
        ($($field:ident).+, |$($argument:ident),*| $out:ident) => {
            with(|kernels| kernels.$($field).+ = |$($argument),*| {
                (Kernels::scalar().$($field).+)($($argument),*);
                $out[0] = $out[0].wrapping_add(1);
            })
        };
    }

    #[test]
    fn an_error_of_one_in_any_loop_is_found() {
        let faulty = [
            off_by_one!(bytes.columns, |words, rows, quads, width, panels, out| out),
            off_by_one!(bytes.rows, |weights, pixels, stride, quads, width, out| out),
            off_by_one!(bytes.pack_rows, |x, stride, rows, k, width, words| words),
            off_by_one!(bytes.pack_pixels, |source, start, offsets, width, from, words| words),
            off_by_one!(words.tile, |a, lda, rows, k, b, stride, out| out),
            off_by_one!(words.blocks, |a, lda, rows, k, block, b, out| out),
            with(|kernels| kernels.bytes.dot = |a, b| (Kernels::scalar().bytes.dot)(a, b) + 1),
            with(|kernels| kernels.words.dot = |a, b| (Kernels::scalar().words.dot)(a, b) + 1),
            off_by_one!(depthwise, |source, start, offsets, step, weights, sums| sums),
            off_by_one!(depthwise_to, |rows, channel, low, high, out| out),
            off_by_one!(depthwise_wide, |source, start, offsets, step, weights, sums| sums),
            off_by_one!(ends.columns, |acc, lanes, low, high| acc),
            off_by_one!(ends.rows, |acc, channels, low, high| acc),
            off_by_one!(ends.wide_columns, |sums, lanes, low, high, out| out),
            off_by_one!(ends.wide_rows, |sums, channels, low, high, out| out),
            off_by_one!(ends.narrow, |values, out| out),
            off_by_one!(ends.widen, |values, out| out),
            with(|kernels| {
                kernels.ends.narrow_columns = |values, rows, target| {
                    let mut values = values.to_vec();
                    values[0] = values[0].wrapping_add(1);
                    (Kernels::scalar().ends.narrow_columns)(&values, rows, target);
                }
            }),
            with(|kernels| {
                kernels.ends.columns_to = |sums, lanes, low, high, target| {
                    (Kernels::scalar().ends.columns_to)(sums, lanes, low + 1, high, target);
                }
            }),
            with(|kernels| {
                kernels.ends.rows_to = |sums, channels, low, high, target| {
                    (Kernels::scalar().ends.rows_to)(sums, channels, low, high - 1, target);
                }
            }),
            off_by_one!(arithmetic.add, |a, b, multipliers, end| a),
            off_by_one!(arithmetic.mul, |a, b, multiplier, end| a),
            off_by_one!(arithmetic.rescale, |x, bias, multiplier, end| x),
            off_by_one!(arithmetic.table, |x, table| x),
            off_by_one!(arithmetic.roots, |x, end| x),
            off_by_one!(arithmetic.normalise, |x, normal| x),
            off_by_one!(arithmetic.min, |a, b| a),
            off_by_one!(arithmetic.max, |a, b| a),
            off_by_one!(arithmetic.compare, |a, b, kind| a),
            off_by_one!(arithmetic.select, |a, b, condition| a),
            off_by_one!(arithmetic.add_short, |a, b, multipliers, end| a),
            off_by_one!(arithmetic.mul_short, |a, b, end| a),
            off_by_one!(arithmetic.rescale_short, |x, bias, multiplier, end| x),
            off_by_one!(arithmetic.add_narrow, |a, b, out, multipliers, end| out),
            off_by_one!(arithmetic.mul_narrow, |a, b, out, end| out),
            off_by_one!(arithmetic.rescale_narrow, |x, out, bias, multiplier, end| out),
            off_by_one!(arithmetic.rescale_neighbours, |x, out, channels, low, high| out),
            off_by_one!(arithmetic.clamp_narrow, |x, out, low, high| out),
            off_by_one!(arithmetic.min_narrow, |a, b, out| out),
            off_by_one!(arithmetic.max_narrow, |a, b, out| out),
            off_by_one!(arithmetic.compare_narrow, |a, b, out, kind| out),
            off_by_one!(arithmetic.select_narrow, |condition, a, b, out| out),
            off_by_one!(folds.largest_down, |out, x, step, rows| out),
            off_by_one!(folds.totals_down, |out, x, step, rows| out),
            off_by_one!(folds.largest_along, |out, x, taps| out),
            off_by_one!(folds.totals_along, |out, x, taps| out),
            with(|kernels| kernels.folds.largest_of = |x| (Kernels::scalar().folds.largest_of)(x) - 1),
            with(|kernels| kernels.folds.total_of = |x| (Kernels::scalar().folds.total_of)(x) + 1),
            off_by_one!(arithmetic.shares, |e, sum| e),
            with(|kernels| {
                kernels.arithmetic.exponentials = |x, power, out| {
                    let sum = (Kernels::scalar().arithmetic.exponentials)(x, power, out);
                    // Units of 2^-30, of which a result has 2^15.
                    sum + (1 << 20)
                }
            }),
            with(|kernels| {
                kernels.arithmetic.sums = |x, origin| {
                    let (sum, squares) = (Kernels::scalar().arithmetic.sums)(x, origin);
                    (sum + 1, squares)
                }
            }),
            with(|kernels| {
                kernels.arithmetic.sums = |x, origin| {
                    let (sum, squares) = (Kernels::scalar().arithmetic.sums)(x, origin);
                    (sum, squares + 1)
                }
            }),
        ];
        let found = |kernels: &Kernels| matches!(selftest(kernels), Err(SelfTestError::Differs { .. }));
        let missed: Vec<usize> = (0..faulty.len()).filter(|i| !found(&faulty[*i])).collect();
        assert_eq!(missed, [], "faulty loops that were not found");
    }

    #[test]
    fn the_error_names_the_first_element_that_differs() {
        let kernels = with(|kernels| {
            kernels.ends.columns = |acc, lanes, low, high| {
                (Kernels::scalar().ends.columns)(acc, lanes, low, high);
                if let Some(second_row) = acc.get_mut(16) {
                    *second_row += 5;
                }
            }
        });
        let want = match selftest(&Kernels::scalar()) {
            Ok(()) => Vector::read(VECTORS[0].1).unwrap().outputs[0][24],
            Err(e) => panic!("{e}"),
        };
        let error = selftest(&kernels).unwrap_err();
        let expected = SelfTestError::Differs {
            kernels: "scalar",
            vector: "self-test-mat-mul-i8",
            output: 0,
            element: 24,
            found: want + 5,
            want,
        };
        assert_eq!(error, expected);
        assert!(error
            .to_string()
            .starts_with("testing the scalar kernels: in vector \"self-test-mat-mul-i8\""));
    }

    #[test]
    fn a_damaged_vector_is_told_from_a_wrong_result() {
        let (name, text) = VECTORS[0];
        for broken in [
            text.replace("graph 61", "graph 6z"),
            text.replace("graph 61", "graph 62"),
            text.replace("weights ", "weights 00"),
            text.replace("input ", "input 99999999 "),
            text.replace("output ", "output 0 "),
            text.replace("output ", "outcome "),
            String::from("graph"),
            String::from("graph 6"),
        ] {
            let result = check(name, &broken, &Kernels::scalar());
            assert!(matches!(result, Err(SelfTestError::Damaged { .. })), "{result:?}");
        }
    }
}
