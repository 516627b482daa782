//! The portable loops again, for machines with wider vectors.

/// Compiles one loop of [`super::portable`] or another module for machines with `$features`.
macro_rules! compile {
    ($features:literal, $name:ident($($rest:tt)*) $(-> $result:ty)?) => {
        compile!($features, portable::$name($($rest)*) $(-> $result)?);
    };
    ($features:literal, $bodies:ident::$name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)?) => {
        #[target_feature(enable = $features)]
        fn $name($($argument: $type),*) $(-> $result)? {
            $bodies::$name($($argument),*)
        }
    };
}
pub(super) use compile;

/// Compiles the loops of [`super::portable`] for machines with `$features`, which the caller of `KERNELS` has found there.
macro_rules! compiled_for {
    ($features:literal) => {
        mod compiled {
            use super::super::compiled::compile;
            use super::super::folds::{self, Taps};
            use super::super::portable::{self, End, Neighbours, Normal, Power};
            use super::super::{Arithmetic, Channel, Ends, Folds, Lanes, Target};
            use crate::graph::Comparison;

            compile!($features, columns(acc: &mut [i32], lanes: &[Lanes<i32>], low: i32, high: i32));
            compile!($features, rows(acc: &mut [i32], channels: &[Channel<i32>], low: i32, high: i32));
            compile!($features, wide_columns(sums: &[i64], lanes: &Lanes<i64>, low: i32, high: i32, out: &mut [i32]));
            compile!($features, wide_rows(sums: &[i64], channels: &[Channel<i64>], low: i32, high: i32, out: &mut [i32]));
            compile!($features, widen(values: &[i16], out: &mut [i32]));
            compile!($features, narrow(values: &[i32], out: &mut [i16]));
            compile!($features, narrow_columns(values: &[i32], rows: usize, target: Target<'_>));
            compile!($features, columns_to(sums: &[i32], lanes: &[Lanes<i32>], low: i32, high: i32, target: Target<'_>));
            compile!($features, rows_to(sums: &[i32], channels: &[Channel<i32>], low: i32, high: i32, target: Target<'_>));
            compile!($features, add(a: &mut [i32], b: &[i32], multipliers: [i32; 2], end: End));
            compile!($features, mul(a: &mut [i32], b: &[i32], multiplier: i32, end: End));
            compile!($features, rescale(x: &mut [i32], bias: i64, multiplier: i32, end: End));
            compile!($features, add_short(a: &mut [i32], b: &[i32], multipliers: [i32; 2], end: End));
            compile!($features, mul_short(a: &mut [i32], b: &[i32], end: End));
            compile!($features, rescale_short(x: &mut [i32], bias: i32, multiplier: i32, end: End));
            compile!($features, add_narrow(a: &[i16], b: &[i16], out: &mut [i16], multipliers: [i32; 2], end: End));
            compile!($features, mul_narrow(a: &[i16], b: &[i16], out: &mut [i16], end: End));
            compile!($features, rescale_narrow(x: &[i16], out: &mut [i16], bias: i32, multiplier: i32, end: End));
            compile!($features, rescale_neighbours(x: &[i16], out: &mut [i16], channels: Neighbours<'_>, low: i32, high: i32));
            compile!($features, clamp_narrow(x: &[i16], out: &mut [i16], low: i16, high: i16));
            compile!($features, min_narrow(a: &[i16], b: &[i16], out: &mut [i16]));
            compile!($features, max_narrow(a: &[i16], b: &[i16], out: &mut [i16]));
            compile!($features, compare_narrow(a: &[i16], b: &[i16], out: &mut [i16], kind: Comparison));
            compile!($features, select_narrow(condition: &[i16], a: &[i16], b: &[i16], out: &mut [i16]));
            compile!($features, table(x: &mut [i32], table: &[i16; 513]));
            compile!($features, exponentials(x: &[i32], power: Power, out: &mut [i32]) -> u64);
            compile!($features, shares(e: &mut [i32], sum: u64));
            compile!($features, sums(x: &mut [i32], origin: i32) -> (i64, i64));
            compile!($features, normalise(x: &mut [i32], normal: Normal));
            compile!($features, min(a: &mut [i32], b: &[i32]));
            compile!($features, max(a: &mut [i32], b: &[i32]));
            compile!($features, compare(a: &mut [i32], b: &[i32], kind: Comparison));
            compile!($features, select(a: &mut [i32], b: &[i32], condition: &[i32]));

            compile!($features, folds::largest_down(out: &mut [i16], x: &[i16], step: usize, rows: usize));
            compile!($features, folds::totals_down(out: &mut [i32], x: &[i16], step: usize, rows: usize));
            compile!($features, folds::largest_along(out: &mut [i16], x: &[i16], taps: Taps));
            compile!($features, folds::totals_along(out: &mut [i32], x: &[i32], taps: Taps));
            compile!($features, folds::largest_of(x: &[i16]) -> i16);
            compile!($features, folds::total_of(x: &[i16]) -> i64);
            compile!($features, roots(x: &mut [i32], end: End));

            // SAFETY (all of them): the machine has the features, and the bodies are safe code compiled for it.
            pub const ENDS: Ends = Ends {
                columns: |acc, lanes, low, high| unsafe { columns(acc, lanes, low, high) },
                rows: |acc, channels, low, high| unsafe { rows(acc, channels, low, high) },
                wide_columns: |sums, lanes, low, high, out| unsafe { wide_columns(sums, lanes, low, high, out) },
                wide_rows: |sums, channels, low, high, out| unsafe { wide_rows(sums, channels, low, high, out) },
                widen: |values, out| unsafe { widen(values, out) },
                narrow: |values, out| unsafe { narrow(values, out) },
                narrow_columns: |values, rows, target| unsafe { narrow_columns(values, rows, target) },
                columns_to: |sums, lanes, low, high, target| unsafe { columns_to(sums, lanes, low, high, target) },
                rows_to: |sums, channels, low, high, target| unsafe { rows_to(sums, channels, low, high, target) },
            };
            pub const ARITHMETIC: Arithmetic = Arithmetic {
                add: |a, b, multipliers, end| unsafe { add(a, b, multipliers, end) },
                mul: |a, b, multiplier, end| unsafe { mul(a, b, multiplier, end) },
                rescale: |x, bias, multiplier, end| unsafe { rescale(x, bias, multiplier, end) },
                add_short: |a, b, multipliers, end| unsafe { add_short(a, b, multipliers, end) },
                mul_short: |a, b, end| unsafe { mul_short(a, b, end) },
                rescale_short: |x, bias, multiplier, end| unsafe { rescale_short(x, bias, multiplier, end) },
                add_narrow: |a, b, out, multipliers, end| unsafe { add_narrow(a, b, out, multipliers, end) },
                mul_narrow: |a, b, out, end| unsafe { mul_narrow(a, b, out, end) },
                rescale_narrow: |x, out, bias, multiplier, end| unsafe {
                    rescale_narrow(x, out, bias, multiplier, end)
                },
                rescale_neighbours: |x, out, channels, low, high| unsafe {
                    rescale_neighbours(x, out, channels, low, high)
                },
                clamp_narrow: |x, out, low, high| unsafe { clamp_narrow(x, out, low, high) },
                min_narrow: |a, b, out| unsafe { min_narrow(a, b, out) },
                max_narrow: |a, b, out| unsafe { max_narrow(a, b, out) },
                compare_narrow: |a, b, out, kind| unsafe { compare_narrow(a, b, out, kind) },
                select_narrow: |condition, a, b, out| unsafe { select_narrow(condition, a, b, out) },
                table: |x, table_of| unsafe { table(x, table_of) },
                roots: |x, end| unsafe { roots(x, end) },
                exponentials: |x, power, out| unsafe { exponentials(x, power, out) },
                shares: |e, sum| unsafe { shares(e, sum) },
                sums: |x, origin| unsafe { sums(x, origin) },
                normalise: |x, normal| unsafe { normalise(x, normal) },
                min: |a, b| unsafe { min(a, b) },
                max: |a, b| unsafe { max(a, b) },
                compare: |a, b, kind| unsafe { compare(a, b, kind) },
                select: |a, b, condition| unsafe { select(a, b, condition) },
            };
            pub const FOLDS: Folds = Folds {
                largest_down: |out, x, step, rows| unsafe { largest_down(out, x, step, rows) },
                totals_down: |out, x, step, rows| unsafe { totals_down(out, x, step, rows) },
                largest_along: |out, x, taps| unsafe { largest_along(out, x, taps) },
                totals_along: |out, x, taps| unsafe { totals_along(out, x, taps) },
                largest_of: |x| unsafe { largest_of(x) },
                total_of: |x| unsafe { total_of(x) },
            };
        }
    };
}
pub(super) use compiled_for;
