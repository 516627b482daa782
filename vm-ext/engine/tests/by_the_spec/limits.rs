//! Limits of the host.

use aiinference_engine::format;

use crate::common::random::{self, Draw};
use crate::common::LIMITS;
use crate::{both, seeds};

#[test]
fn limits_are_kept_to_the_unit_by_both() {
    let (mut taken, mut refused) = (0_u64, 0_u64);
    for seed in 0..seeds(10_000) {
        let draw = &mut Draw::new(seed ^ 0x1b87_3593);
        let (graph, _) = random::model(draw.next() % 5000);
        let bytes = format::encode(&graph);
        let (_, model) = both("unlimited", &bytes.graph, &bytes.weights, &LIMITS).expect("valid by construction");
        let mut limits = LIMITS;
        let small = draw.int(0, 12) as usize;
        match draw.next() % 9 {
            0 => limits.max_nodes = small,
            1 => limits.max_rank = small.min(6),
            2 => limits.max_elements = draw.int(1, 2000) as u64,
            3 => limits.max_peak_bytes = model.peak_bytes.saturating_add_signed(draw.int(-1, 1)),
            4 => limits.max_ports = small.min(4),
            5 => limits.max_name_bytes = small.min(7),
            6 => limits.max_labels = small,
            7 => limits.max_header_entries = small.min(3),
            _ => limits.max_header_bytes = small,
        }
        match both(
            &format!("seed {seed} within {limits:?}"),
            &bytes.graph,
            &bytes.weights,
            &limits,
        ) {
            Some(_) => taken += 1,
            None => refused += 1,
        }
    }
    assert!(taken > 100 && refused > 100, "{taken} taken, {refused} refused");
}
