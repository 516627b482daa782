//! The prices around a run, as gas schedule 1 was released with them. Nobody changes these: another price is another schedule. What
//! runs cost is held in place by the engine's `tests/released.rs`.

use aiinference_runtime::price;

#[test]
fn requests_cost_what_gas_schedule_1_was_released_with() {
    assert_eq!(price::GAS_SCHEDULE, 1);
    assert_eq!(
        [0, 1, 1_000_000].map(price::call),
        [5_000_000, 5_040_000, 40_005_000_000]
    );
    assert_eq!(
        [0, 1, 1_000_000].map(price::load),
        [60_000_000, 60_030_000, 30_060_000_000]
    );
    assert_eq!([0, 1, 1_000_000].map(price::graph), [0, 80_000, 80_000_000_000]);
    assert_eq!([0, 1, 1_000_000].map(price::connect), [0, 20_000, 20_000_000_000]);
    assert_eq!(
        [0, 1, 1_000_000].map(price::output),
        [1_000_000, 1_020_000, 20_001_000_000]
    );
    assert_eq!([0, 1, 1_000_000].map(price::description), [0, 20_000, 20_000_000_000]);
    assert_eq!(
        [0, 1, 1_000_000].map(price::verify),
        [500_000_000, 500_024_000, 24_500_000_000]
    );
}

#[test]
fn prices_saturate() {
    let prices = [
        price::call,
        price::load,
        price::graph,
        price::connect,
        price::output,
        price::description,
        price::verify,
    ];
    assert_eq!(prices.map(|price| price(u64::MAX)), [u64::MAX; 7]);
}
