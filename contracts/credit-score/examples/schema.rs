//! Writes `schema/`: `cargo run -p credit-score --example schema`.

use cosmwasm_schema::write_api;
use credit_score::msg::{ExecuteMsg, InstantiateMsg, MigrateMsg, QueryMsg};

fn main() {
    std::env::set_current_dir(env!("CARGO_MANIFEST_DIR")).expect("the package's folder is there");
    write_api! {
        instantiate: InstantiateMsg,
        execute: ExecuteMsg,
        query: QueryMsg,
        migrate: MigrateMsg,
    }
}
