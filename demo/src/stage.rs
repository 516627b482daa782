//! The embedded chain and what is on it.

use std::collections::BTreeMap;

use aiinference_multi_test::{
    cw_multi_test::{AppResponse, Executor},
    Chain, GasLimits, SDK_GAS,
};
use anyhow::{anyhow, Context, Result};
use cosmwasm_std::{Addr, Timestamp};
use serde::{de::DeserializeOwned, Serialize};

/// A chain, and its code ids by name.
pub struct Stage {
    pub chain: Chain,
    codes: BTreeMap<&'static str, u64>,
}

impl Stage {
    pub fn new() -> Result<Self> {
        let mut chain = Chain::new()?;
        // Running a model in guest Wasm takes far more than any chain allows.
        chain.set_gas_limits(GasLimits {
            query: 100_000_000 * SDK_GAS,
            ..GasLimits::default()
        });
        Ok(Stage {
            chain,
            codes: BTreeMap::new(),
        })
    }

    pub fn store(&mut self, name: &'static str, module: &[u8]) -> Result<u64> {
        let id = self
            .chain
            .store_wasm(module)
            .with_context(|| format!("storing {name}"))?;
        self.codes.insert(name, id);
        Ok(id)
    }

    pub fn code(&self, name: &str) -> Result<u64> {
        self.codes
            .get(name)
            .copied()
            .ok_or_else(|| anyhow!("nothing is stored as {name}"))
    }

    pub fn instantiate<T: Serialize>(&mut self, name: &str, sender: &str, msg: &T) -> Result<Addr> {
        let (code, sender) = (self.code(name)?, self.chain.account(sender));
        let created = self.chain.instantiate_contract(code, sender, msg, &[], name, None);
        created.map_err(|error| anyhow!("instantiating {name}: {error}"))
    }

    pub fn execute<T>(&mut self, sender: &str, contract: &Addr, msg: &T) -> Result<AppResponse>
    where
        T: Serialize + std::fmt::Debug,
    {
        let sender = self.chain.account(sender);
        let done = self.chain.execute_contract(sender, contract.clone(), msg, &[]);
        done.map_err(|error| anyhow!("executing {msg:?}: {error}"))
    }

    /// The answer and the gas it took, in CosmWasm gas.
    pub fn query<T: DeserializeOwned>(&self, contract: &Addr, msg: &impl Serialize) -> Result<(T, u64)> {
        let answer = self.chain.wrap().query_wasm_smart(contract, msg);
        let answer = answer.map_err(|error| anyhow!("querying {contract}: {error}"))?;
        Ok((answer, self.chain.last_query().used))
    }

    /// Moves the clock. Blocks come every five seconds.
    pub fn set_time(&mut self, time: u64) {
        self.chain.update_block(|block| {
            let passed = time.saturating_sub(block.time.seconds());
            block.time = Timestamp::from_seconds(time);
            block.height += passed / 5 + 1;
        });
    }
}

/// CosmWasm gas as gas of the SDK.
pub fn sdk(gas: u64) -> u64 {
    gas.div_ceil(SDK_GAS)
}

/// A number with its thousands apart.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
