//! The messages as JSON schema, for `schema/` and the test that keeps it up to date.

use cosmwasm_schema::generate_api;

use crate::msg::{ExecuteMsg, InstantiateMsg, MigrateMsg, QueryMsg};

/// File names and their content.
pub fn files() -> Vec<(&'static str, String)> {
    let api = generate_api! {
        instantiate: InstantiateMsg,
        execute: ExecuteMsg,
        query: QueryMsg,
        migrate: MigrateMsg,
    };
    let json = api.render().to_string().unwrap_or_default();
    vec![("aiinference-registry.json", json + "\n")]
}
