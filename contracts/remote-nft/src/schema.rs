//! The messages as JSON schema, for `schema/` and the test that keeps it up to date.

use cosmwasm_schema::generate_api;

use crate::msg::{CollectionQuery, ExecuteMsg, InstantiateMsg, MigrateMsg, QueryMsg};

/// File names and their content: the whole interface; and the collection's extension of cw721's queries on its own, with
/// its answers, which the former cannot express.
pub fn files() -> Vec<(&'static str, String)> {
    let all = generate_api! {
        instantiate: InstantiateMsg,
        execute: ExecuteMsg,
        query: QueryMsg,
        migrate: MigrateMsg,
    };
    let extension = generate_api! {
        name: "remote-nft-extension",
        query: CollectionQuery,
    };
    [("remote-nft.json", all), ("remote-nft-extension.json", extension)]
        .map(|(name, api)| (name, api.render().to_string().unwrap_or_default() + "\n"))
        .into()
}
