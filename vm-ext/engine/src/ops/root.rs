//! Square roots of integers, without a division.

/// Knots of the first estimate.
const KNOTS: usize = 256;

/// `2^30 / sqrt(z)` in the middle of each 256th of z from 1/4 to 1; 0 below.
pub(crate) static INVERSE_ROOTS: [u32; KNOTS] = {
    let mut table = [0u32; KNOTS];
    let mut i = KNOTS / 4;
    while i < KNOTS {
        // z = (2 * i + 1) / 512, so the square of what is sought is 2^69 / (2 * i + 1): below 2^62.
        let square = ((1u128 << 69) / (2 * i as u128 + 1)) as u64;
        let (mut root, mut bit) = (0u64, 1u64 << 31);
        while bit > 0 {
            if (root + bit) * (root + bit) <= square {
                root += bit;
            }
            bit >>= 1;
        }
        table[i] = root as u32;
        i += 1;
    }
    table
};

/// A product in 64 bits.
#[inline(always)]
fn product(a: u32, b: u32) -> u64 {
    u64::from(a) * u64::from(b)
}

/// `floor(sqrt(v))` for v below 2^62.
///
/// An inverse root from a table is wrong by one part in 2^8 at most, which Newton's iteration squares: twice makes it one in 2^28, and
/// the root of v, brought to 31 bits, wrong by a few units. What its square lacks, times the same inverse, leaves it wrong by one at
/// most, which is looked at. An iteration gives no more than the inverse root itself, which is at most 2^31 here, and no knot is more.
#[inline(always)]
pub(crate) fn floor_sqrt(v: u64) -> u32 {
    // An even shift that brings v to 2^60 .. 2^62. The root of 0 is found as that of 1.
    let zeros = (v | 1).leading_zeros();
    let up = (zeros - 2) & !1;
    let w = (v | u64::from(v == 0)) << up;
    // z in 32 bits, y its inverse root in 30.
    let z = (w >> 30) as u32;
    let mut y = INVERSE_ROOTS[(z >> 24) as usize & (KNOTS - 1)];
    for _ in 0..2 {
        // Below 2^32, and z * y^2 is about 1.
        let square = (product(y, y) >> 30) as u32;
        let wanting = (3u32 << 30) - (product(z, square) >> 32) as u32;
        y = (product(y, wanting) >> 31) as u32;
    }
    let root = (product(z, y) >> 31) as u32;
    // Below 2^35 in magnitude, so the low half of what is shifted is all of it.
    let rest = w.wrapping_sub(product(root, root));
    let lacking = i64::from((rest >> 8) as i32) * i64::from(y);
    let root = root.wrapping_add_signed((lacking >> 54) as i32);
    let root = root - u32::from(product(root, root) > w);
    let root = root + u32::from(product(root + 1, root + 1) <= w);
    (root >> (up / 2)) - u32::from(v == 0)
}

#[cfg(test)]
mod tests {
    use super::floor_sqrt;

    /// Around every square that begins a step, near ends and all over.
    #[test]
    fn roots_equal_those_of_the_standard_library() {
        let check = |v: u64| assert_eq!(u64::from(floor_sqrt(v)), v.isqrt(), "{v}");
        (0..70_000).for_each(check);
        let mut seed = 1u64;
        for i in 0..3_000_000u64 {
            seed = seed
                .wrapping_mul(0x5851_f42d_4c95_7f2d)
                .wrapping_add(0x1405_7b7e_f767_814f);
            let v = (seed ^ seed >> 31) >> (2 + i % 60);
            check(v);
            let root = v.isqrt();
            check(root * root);
            check((root * root).saturating_sub(1));
            check((root + 1) * (root + 1) - 1);
        }
        for bit in 0..62 {
            (0..64).for_each(|i| check((1u64 << bit) - 1 + i));
            (0..64).for_each(|i| check(((1u64 << 62) - 1) - (i << bit & ((1 << 62) - 1))));
        }
    }
}
