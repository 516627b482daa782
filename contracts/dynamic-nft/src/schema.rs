//! The messages as JSON schema, for `schema/` and the test that keeps it up to date.

use cosmwasm_schema::generate_api;

use crate::msg::{CollectionMsg, CollectionQuery, ExecuteMsg, InstantiateMsg, MigrateMsg, QueryMsg};

/// File names and their content: the whole interface; and the collection's extensions of cw721 on their own, with their
/// answers, which the former cannot express.
pub fn files() -> Vec<(&'static str, String)> {
    let all = generate_api! {
        instantiate: InstantiateMsg,
        execute: ExecuteMsg,
        query: QueryMsg,
        migrate: MigrateMsg,
    };
    let extension = generate_api! {
        name: "dynamic-nft-extension",
        execute: CollectionMsg,
        query: CollectionQuery,
    };
    [("dynamic-nft.json", all), ("dynamic-nft-extension.json", extension)]
        .map(|(name, api)| (name, api.render().to_string().unwrap_or_default() + "\n"))
        .into()
}
