//! Charging before working, with the two kinds of "too expensive" kept apart.

/// Gas of one request.
#[derive(Debug)]
pub(crate) struct Meter {
    left: u64,
    limit: Option<u64>,
    charged: u64,
    external: u64,
}

/// Why a price was not charged.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TooExpensive {
    /// Above the gas limit that the request set: answered.
    AboveLimit { price: u64, limit: u64 },
    /// Above the gas left: the transaction aborts. The price is charged all the same, so that all gas is spent.
    AboveGasLeft,
}

impl Meter {
    pub(crate) fn new(gas_left: u64) -> Self {
        Meter {
            left: gas_left,
            limit: None,
            charged: 0,
            external: 0,
        }
    }

    /// The request's own limit on all that is charged, also on what has been.
    pub(crate) fn set_limit(&mut self, limit: Option<u64>) {
        self.limit = limit;
    }

    /// Charges a price before its work is done. The request's own limit is looked at first: it gives the same answer
    /// however much gas was sent along.
    pub(crate) fn charge(&mut self, price: u64) -> Result<(), TooExpensive> {
        let total = self.charged.saturating_add(price);
        if let Some(limit) = self.limit.filter(|&limit| total > limit) {
            return Err(TooExpensive::AboveLimit { price: total, limit });
        }
        self.charged = total;
        if total.saturating_add(self.external) > self.left {
            return Err(TooExpensive::AboveGasLeft);
        }
        Ok(())
    }

    /// Notes gas that an inner query has used and the chain has accounted.
    pub(crate) fn note_external(&mut self, gas: u64) {
        self.external = self.external.saturating_add(gas);
    }

    /// What an inner query may use.
    pub(crate) fn left(&self) -> u64 {
        self.left.saturating_sub(self.charged).saturating_sub(self.external)
    }

    pub(crate) fn charged(&self) -> u64 {
        self.charged
    }

    pub(crate) fn external(&self) -> u64 {
        self.external
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_unit_of_gas_is_enough_and_one_less_is_not() {
        let mut enough = Meter::new(100);
        assert_eq!(enough.charge(60), Ok(()));
        enough.note_external(10);
        assert_eq!(enough.charge(30), Ok(()));
        let mut short = Meter::new(99);
        assert_eq!(short.charge(60), Ok(()));
        short.note_external(10);
        assert_eq!(short.charge(30), Err(TooExpensive::AboveGasLeft));
        assert_eq!(short.charged(), 90);
    }

    #[test]
    fn the_requests_own_limit_is_answered_whatever_gas_is_left() {
        for gas_left in [0, 50, 1000] {
            let mut meter = Meter::new(gas_left);
            meter.set_limit(Some(40));
            assert_eq!(meter.charge(41), Err(TooExpensive::AboveLimit { price: 41, limit: 40 }));
            assert_eq!(meter.charged(), 0);
        }
    }
}
