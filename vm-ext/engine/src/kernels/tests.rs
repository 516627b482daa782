//! Every set of this machine against the scalar one, loop by loop: any number of rows, any k, extremes often.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::portable::End;
use super::{BlockTile, Channel, Dot, Kernels, Lanes, Products, Tile, NARROW, WIDE};

/// A small generator (xorshift64*).
struct Draw(u64);

impl Draw {
    fn new(seed: u64) -> Self {
        Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// In `low..=high`, its ends more often than chance has it.
    fn int(&mut self, low: i64, high: i64) -> i64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d);
        match bits >> 61 {
            0 => low,
            1 => high,
            _ => low + (bits % (high - low + 1) as u64) as i64,
        }
    }

    fn list<T>(&mut self, count: usize, low: i64, high: i64) -> Vec<T>
    where
        T: TryFrom<i64>,
        T::Error: core::fmt::Debug,
    {
        (0..count)
            .map(|_| self.int(low, high).try_into().expect("a range of the type"))
            .collect()
    }
}

/// Whatever they add up to: where a sum leaves 32 bits, every set wraps alike.
fn products<B>(set: &Products<B>, scalar: &Products<B>, low: i64, high: i64, draw: &mut Draw)
where
    B: Copy + TryFrom<i64>,
    B::Error: core::fmt::Debug,
{
    let (rows, k) = (draw.int(0, 30) as usize, draw.int(1, 90) as usize);
    let lda = k + draw.int(0, 3) as usize;
    let block = 2 * draw.int(1, 50) as usize;
    let a: Vec<i16> = draw.list((rows * lda).max(k), -32768, 32767);
    for width in [WIDE, NARROW] {
        let b: Vec<B> = draw.list(k.next_multiple_of(2) * width, low, high);
        let sums = |tile: Tile<B>| {
            let mut out = alloc::vec![7; rows * width];
            tile(&a, lda, rows, k, &b, &mut out);
            out
        };
        let totals = |tile: BlockTile<B>| {
            let mut out = alloc::vec![7; rows * width];
            tile(&a, lda, rows, k, block, &b, &mut out);
            out
        };
        if width == WIDE {
            assert_eq!(sums(set.wide), sums(scalar.wide), "{rows} rows, k {k}");
            assert_eq!(
                totals(set.wide_blocks),
                totals(scalar.wide_blocks),
                "{rows} rows, k {k}, {block}"
            );
        } else {
            assert_eq!(sums(set.narrow), sums(scalar.narrow), "{rows} rows, k {k}");
            assert_eq!(
                totals(set.narrow_blocks),
                totals(scalar.narrow_blocks),
                "{rows} rows, k {k}, {block}"
            );
        }
    }
    let b: Vec<B> = draw.list(k, low, high);
    let dot = |dot: Dot<B>| dot(&a[..k], &b);
    assert_eq!(dot(set.dot), dot(scalar.dot), "k {k}");
}

/// Of accumulators whose product with any multiplier stays below 2^62.
fn rescaling(set: &Kernels, scalar: &Kernels, draw: &mut Draw) {
    let most = (1 << 30) - 1;
    let (mut low, mut high) = (
        draw.int(-(1 << 31), 1 << 30) as i32,
        draw.int(-(1 << 30), (1 << 31) - 1) as i32,
    );
    if low > high {
        (low, high) = (high, low);
    }
    let mut lanes = Lanes::default();
    for c in 0..WIDE {
        lanes.bias[c] = draw.int(-most, most) as i32;
        lanes.multiplier[c] = draw.int(-(1 << 31), (1 << 31) - 1) as i32;
        lanes.shift[c] = draw.int(0, 62) as u8;
    }
    let rows = draw.int(0, 9) as usize;
    for width in [WIDE, NARROW] {
        let acc: Vec<i32> = draw.list(rows * width, -most, most);
        let columns = |kernels: &Kernels| {
            let mut acc = acc.clone();
            (kernels.rescale_columns)(&mut acc, width, &lanes, low, high);
            acc
        };
        assert_eq!(columns(set), columns(scalar), "{width} columns");
    }
    let count = draw.int(0, 70) as usize;
    let acc: Vec<i32> = draw.list(count, -most, most);
    let channel = Channel {
        bias: lanes.bias[0],
        multiplier: lanes.multiplier[0],
        shift: lanes.shift[0],
    };
    let row = |kernels: &Kernels| {
        let mut acc = acc.clone();
        (kernels.rescale_row)(&mut acc, channel, low, high);
        acc
    };
    assert_eq!(row(set), row(scalar), "{channel:?}");
}

/// A bias that a multiplier of 29 bits takes to just below 2^62.
const BIAS: i64 = 6 << 30;

/// Of values whose results stay below 2^62.
fn arithmetic(set: &Kernels, scalar: &Kernels, draw: &mut Draw) {
    let count = draw.int(0, 70) as usize;
    let (a, b): (Vec<i32>, Vec<i32>) = (draw.list(count, -32768, 32767), draw.list(count, -32768, 32767));
    let table: Vec<i16> = draw.list(513, -32768, 32767);
    let table: &[i16; 513] = table.as_slice().try_into().expect("513 of them");
    let end = End {
        shift: draw.int(0, 62) as u8,
        low: draw.int(-40_000, 0) as i32,
        high: draw.int(0, 40_000) as i32,
    };
    let most = (1 << 31) - 1;
    let multipliers = [draw.int(-most, most) as i32, draw.int(-most, most) as i32];
    let bias = draw.int(-BIAS, BIAS);
    let run = |f: &dyn Fn(&mut [i32])| {
        let mut a = a.clone();
        f(&mut a);
        a
    };
    let all = |kernels: &Kernels| {
        let k = kernels.arithmetic;
        [
            run(&|a| (k.add)(a, &b, multipliers, end)),
            run(&|a| (k.mul)(a, &b, multipliers[0], end)),
            run(&|a| (k.rescale)(a, bias, multipliers[1] >> 2, end)),
            run(&|a| (k.table)(a, table)),
        ]
    };
    assert_eq!(all(set), all(scalar), "{multipliers:?} {bias} {end:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_loop_of_every_set_equals_the_scalar_one(seed: u64) {
        let scalar = Kernels::scalar();
        for set in Kernels::available() {
            let draw = &mut Draw::new(seed);
            products(&set.i8, &scalar.i8, -128, 127, draw);
            products(&set.i16, &scalar.i16, -32768, 32767, draw);
            rescaling(&set, &scalar, draw);
            arithmetic(&set, &scalar, draw);
        }
    }
}

#[test]
fn names_and_sets_belong_together() {
    let available = Kernels::available();
    for (set, name) in available.iter().zip(Kernels::NAMES) {
        // A machine that runs a set runs those before it.
        assert_eq!(set.name(), name);
    }
    let fastest = available.last().map(Kernels::name);
    assert_eq!(Some(Kernels::auto().name()), fastest);
    assert_eq!(Kernels::by_name("auto").map(|k| k.name()), fastest);
    assert!(Kernels::by_name("neon").is_none());
}

/// What the machine has is used: the standard library's detection agrees.
#[cfg(target_arch = "x86_64")]
#[test]
fn sets_are_there_where_the_cpu_has_their_instructions() {
    extern crate std;
    use std::is_x86_feature_detected as has;

    let avx512 = has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl");
    let there = |name| Kernels::by_name(name).is_some();
    assert_eq!(there("avx2"), has!("avx2"));
    assert_eq!(there("avx512"), avx512);
    assert_eq!(there("avx512vnni"), avx512 && has!("avx512vnni"));
}
