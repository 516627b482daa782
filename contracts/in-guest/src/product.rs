//! A product of matrices as fast as a guest can be made to compute it, for the benchmarks to hold the engine against.
//!
//! A guest has no vectors, but 64-bit integers: the weights of two columns stand in one, `w + v * 2^32`, so that a multiplication
//! gives both products and an addition adds both. The sum `s + t * 2^32` is exact as long as s fits 32 bits.

/// Rows that go past a pair of columns together.
const ROWS: usize = 4;
/// Pairs of columns that they go past.
const PAIRS: usize = 2;

/// Activations of 16 bits and weights of 8 from a small generator, in the order in which they are multiplied.
pub struct Product {
    k: usize,
    /// `[rows / 4][k][4]`
    x: Vec<i64>,
    /// `[columns / 4][k][2]`
    weights: Vec<i64>,
}

impl Product {
    /// `x[r][i] = activation(r * k + i)`, `w[c][i] = weight(c * k + i)`; rows and columns are multiples of 4.
    pub fn new(rows: usize, k: usize, columns: usize) -> Self {
        let (mut x, mut weights) = (vec![], vec![]);
        for row in (0..rows).step_by(ROWS) {
            for k_at in 0..k {
                x.extend((row..row + ROWS).map(|r| i64::from(activation((r * k + k_at) as u32))));
            }
        }
        for column in (0..columns).step_by(2 * PAIRS) {
            let weight = |c: usize, k_at: usize| i64::from(weight((c * k + k_at) as u32));
            let pair = |c: usize, k_at: usize| weight(c, k_at) + (weight(c + 1, k_at) << 32);
            weights.extend((0..k).flat_map(|k_at| [pair(column, k_at), pair(column + 2, k_at)]));
        }
        Product { k, x, weights }
    }

    /// All sums added up, wrapping, each times an odd number that tells its place.
    pub fn checksum(&self) -> u32 {
        let (mut sum, mut place) = (0u32, 1u32);
        for x in self.x.chunks_exact(ROWS * self.k) {
            for weights in self.weights.chunks_exact(PAIRS * self.k) {
                for both in tile(x, weights) {
                    // The upper sum lacks what the lower one borrowed.
                    let low = both as i32;
                    let high = ((both - i64::from(low)) >> 32) as i32;
                    for s in [low, high] {
                        sum = sum.wrapping_add((s as u32).wrapping_mul(place));
                        place = place.wrapping_add(2);
                    }
                }
            }
        }
        sum
    }
}

/// Four rows against two pairs of columns. Sixteen products a step share loads of six words, and the loop.
#[inline(never)]
fn tile(x: &[i64], weights: &[i64]) -> [i64; ROWS * PAIRS] {
    let ((x, _), (weights, _)) = (x.as_chunks::<ROWS>(), weights.as_chunks::<PAIRS>());
    let mut sums = [0i64; ROWS * PAIRS];
    for (x, w) in x.iter().zip(weights) {
        for (sums, x) in sums.chunks_exact_mut(PAIRS).zip(x) {
            sums[0] = sums[0].wrapping_add(x.wrapping_mul(w[0]));
            sums[1] = sums[1].wrapping_add(x.wrapping_mul(w[1]));
        }
    }
    sums
}

/// -2,047 to 2,047.
fn activation(at: u32) -> i16 {
    (at.wrapping_mul(2_654_435_761) >> 8) as i16 % 2_048
}

/// -127 to 127.
fn weight(at: u32) -> i8 {
    (at.wrapping_mul(2_246_822_519) >> 16) as i16 as i8 % 127
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums one after another, in the order in which tiles give them.
    fn naive(rows: usize, k: usize, columns: usize) -> u32 {
        let sum = |r: usize, c: usize| {
            let product = |i: usize| i32::from(activation((r * k + i) as u32)) * i32::from(weight((c * k + i) as u32));
            (0..k).map(product).sum::<i32>()
        };
        let mut sums = vec![];
        for first in (0..rows).step_by(4) {
            for four in (0..columns).step_by(4) {
                for r in first..first + 4 {
                    sums.extend((four..four + 4).map(|c| sum(r, c)));
                }
            }
        }
        let places = (1u32..).step_by(2);
        sums.iter()
            .zip(places)
            .fold(0u32, |all, (s, p)| all.wrapping_add((*s as u32).wrapping_mul(p)))
    }

    #[test]
    fn two_products_in_one_multiplication_are_those_of_each() {
        for (rows, k, columns) in [(4, 1, 4), (8, 7, 12), (4, 2048, 4), (12, 65, 8)] {
            assert_eq!(
                Product::new(rows, k, columns).checksum(),
                naive(rows, k, columns),
                "{rows} {k} {columns}"
            );
        }
    }

    #[test]
    fn made_up_numbers_reach_either_sign_and_stay_within_their_range() {
        let (x, w): (Vec<i16>, Vec<i8>) = (0..9999).map(|i| (activation(i), weight(i))).unzip();
        assert!(x.iter().all(|x| x.abs() < 2048) && x.iter().any(|x| *x < -1900) && x.iter().any(|x| *x > 1900));
        assert!(w.iter().all(|w| w.unsigned_abs() < 127) && w.iter().any(|w| *w < -120) && w.iter().any(|w| *w > 120));
    }
}
