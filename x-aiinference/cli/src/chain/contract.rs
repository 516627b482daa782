//! `aiinference instantiate` and `aiinference execute`

use aiinference_client::{address, coins, Included, Msg};
use anyhow::{bail, Result};
use cosmrs::proto::cosmwasm::wasm::v1::{MsgExecuteContractResponse, MsgInstantiateContractResponse};
use serde_json::{json, Value};

use super::{
    message,
    transaction::{facts, lines, Actor, Outcome, TxArgs},
    wait, NodeArgs,
};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  aiinference instantiate 7 '{\"model\":{\"code_id\":6}}' --label scores --admin wasm1... --from alice
  aiinference instantiate 7 @init.json --label scores --no-admin --from alice --json | jq -r .contract")]
pub struct InstantiateArgs {
    /// The code
    code_id: u64,
    /// Its message: JSON, @FILE, or - for standard input
    msg: String,
    /// A name for people
    #[arg(long)]
    label: String,
    /// Who may migrate it
    #[arg(long, value_name = "ADDRESS", required_unless_present = "no_admin")]
    admin: Option<String>,
    /// Nobody may ever migrate it
    #[arg(long, conflicts_with = "admin")]
    no_admin: bool,
    /// Coins to send along, like 5stake,7token
    #[arg(long, default_value = "", value_name = "COINS")]
    funds: String,
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    tx: TxArgs,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  aiinference execute wasm14hj... '{\"decide\":{\"id\":\"1\"}}' --from alice
  aiinference execute wasm14hj... @msg.json --from-address wasm1... --generate-only > unsigned.json")]
pub struct ExecuteArgs {
    /// Its address
    contract: String,
    /// The message: JSON, @FILE, or - for standard input
    msg: String,
    /// Coins to send along, like 5stake,7token
    #[arg(long, default_value = "", value_name = "COINS")]
    funds: String,
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    tx: TxArgs,
}

pub fn instantiate(args: &InstantiateArgs) -> Result<()> {
    let (msg, funds) = (message(&args.msg)?, coins(&args.funds)?);
    let admin = args.admin.as_deref().map(address).transpose()?.map(String::from);
    wait(async {
        let node = args.node.connect().await?;
        let actor = args.tx.actor(&node).await?;
        let message = Msg::Instantiate {
            sender: actor.sender.clone(),
            admin,
            code_id: args.code_id,
            label: args.label.clone(),
            msg,
            funds,
        };
        finish(&args.node, &actor, message, |done| {
            let answer: Option<MsgInstantiateContractResponse> = done.response(0);
            let Some(answer) = answer else {
                bail!("reading the answer of transaction {}: it names no contract", done.hash);
            };
            let contract = address(&answer.address)?.to_string();
            Ok(("contract", json!(contract), contract))
        })
        .await
    })
}

pub fn execute(args: &ExecuteArgs) -> Result<()> {
    let (msg, funds) = (message(&args.msg)?, coins(&args.funds)?);
    let contract = address(&args.contract)?.to_string();
    wait(async {
        let node = args.node.connect().await?;
        let actor = args.tx.actor(&node).await?;
        let message = Msg::Execute {
            sender: actor.sender.clone(),
            contract,
            msg,
            funds,
        };
        finish(&args.node, &actor, message, |done| {
            let answer: MsgExecuteContractResponse = done.response(0).unwrap_or_default();
            let text = match std::str::from_utf8(&answer.data) {
                Ok(text) if !text.chars().any(char::is_control) => text.to_string(),
                _ => hex::encode(&answer.data),
            };
            Ok(("data", json!(hex::encode(&answer.data)), text))
        })
        .await
    })
}

/// Does one message and prints what came of it.
async fn finish(
    node: &NodeArgs,
    actor: &Actor,
    message: Msg,
    result: impl FnOnce(&Included) -> Result<(&'static str, Value, String)>,
) -> Result<()> {
    match actor.act(vec![message], None).await? {
        Outcome::Done(done) => {
            let (name, value, text) = result(&done)?;
            let mut shown = facts(&done);
            shown[name] = value;
            shown["events"] = json!(done.events);
            let mut text = vec![(name, text)];
            text.extend(lines(&done));
            node.print(&shown, &text)
        }
        Outcome::Proposed(proposal, done) => {
            let mut shown = facts(&done);
            shown["proposal"] = json!(proposal);
            let mut text = vec![("proposal", proposal.to_string())];
            text.extend(lines(&done));
            node.print(&shown, &text)
        }
        Outcome::Written(unsigned) => {
            println!("{}", serde_json::to_string_pretty(&unsigned)?);
            actor.how_to_sign("unsigned.json");
            Ok(())
        }
    }
}
