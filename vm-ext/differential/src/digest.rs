//! A digest that notices any one change for certain, and several but for chance.

/// Every step is a bijection of the state, and no two numbers take a state to the same one.
#[derive(Clone, Copy)]
pub struct Digest(u64);

impl Digest {
    pub fn new() -> Self {
        Digest(0x6a09_e667_f3bc_c908)
    }

    pub fn add(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 29);
    }

    pub fn numbers(&mut self, numbers: &[i32]) {
        self.add(numbers.len() as u64);
        numbers.iter().for_each(|n| self.add(*n as u32 as u64));
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.add(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.add(u64::from_le_bytes(*word)));
        rest.iter().for_each(|byte| self.add((*byte).into()));
    }

    pub fn value(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(numbers: &[i32]) -> u64 {
        let mut digest = Digest::new();
        digest.numbers(numbers);
        digest.value()
    }

    #[test]
    fn every_element_its_place_and_their_number_count() {
        let all = [
            of(&[]),
            of(&[0]),
            of(&[0, 0]),
            of(&[1, 0]),
            of(&[0, 1]),
            of(&[-1, 0]),
            of(&[i32::MIN, 0]),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|b| a != b), "{all:?}");
        }
    }
}
