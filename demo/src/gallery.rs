//! The collection: minted, traded, and driven by twenty months of the S&P 500.

use anyhow::{ensure, Result};
use base64::{engine::general_purpose::STANDARD, Engine};
use cosmwasm_std::Addr;
use cw721::msg::NftInfoResponse;
use dynamic_nft::msg::{Artwork, CollectionMsg, CollectionQuery, ExecuteMsg, InstantiateMsg, ModelSource, QueryMsg};

use crate::{
    market::{self, Day},
    stage::{grouped, sdk, Stage},
};

/// Days between two looks at the collection.
const STEP: usize = 30;
/// Days of prices before the first mint, so that the market has a past.
const WARM_UP: usize = 29;

/// A token's life: its id, the day of its mint, and how many days each owner keeps it (0: for ever).
struct Life {
    id: &'static str,
    minted: usize,
    kept: usize,
}

const LIVES: [Life; 6] = [
    Life {
        id: "1",
        minted: WARM_UP,
        kept: 0,
    },
    Life {
        id: "2",
        minted: WARM_UP,
        kept: 24,
    },
    Life {
        id: "3",
        minted: WARM_UP,
        kept: 150,
    },
    Life {
        id: "4",
        minted: 88,
        kept: 0,
    },
    Life {
        id: "5",
        minted: 148,
        kept: 70,
    },
    Life {
        id: "6",
        minted: 208,
        kept: 0,
    },
];

const OWNERS: [&str; 5] = ["ada", "grace", "emmy", "sofia", "hypatia"];

/// A token as it was on a day.
pub struct Frame {
    pub token: &'static str,
    /// Index of the day.
    pub day: usize,
    pub owner: &'static str,
    pub art: Artwork,
    pub png: Vec<u8>,
}

pub struct Gallery {
    pub contract: Addr,
    pub days: Vec<Day>,
    pub tokens: Vec<&'static str>,
    /// Days that were looked at.
    pub looks: Vec<usize>,
    pub frames: Vec<Frame>,
    /// CosmWasm gas of a mint, a price and a transfer.
    pub gas: [u64; 3],
}

impl Gallery {
    pub fn frame(&self, token: &str, day: usize) -> Option<&Frame> {
        self.frames
            .iter()
            .find(|frame| frame.token == token && frame.day == day)
    }
}

pub fn run(stage: &mut Stage, mut say: impl FnMut(&str)) -> Result<Gallery> {
    let days = market::days()?;
    let source = |code_id| ModelSource {
        code_id,
        checksum: None,
    };
    let msg = InstantiateMsg {
        name: "Weather of Markets".to_owned(),
        symbol: "WOM".to_owned(),
        collection_info_extension: None,
        minter: None,
        creator: None,
        withdraw_address: None,
        mood: source(stage.code("mood")?),
        painter: source(stage.code("painter")?),
        oracle: Some(stage.chain.account("oracle").to_string()),
        post_interval: 3_600,
    };
    let contract = stage.instantiate("dynamic-nft", "creator", &msg)?;
    let last = days.len() - 1;
    let mut gallery = Gallery {
        contract: contract.clone(),
        tokens: LIVES.iter().map(|life| life.id).collect(),
        looks: (WARM_UP..=last).step_by(STEP).collect(),
        frames: Vec::new(),
        gas: [0; 3],
        days: days.clone(),
    };
    if gallery.looks.last() != Some(&last) {
        gallery.looks.push(last);
    }

    for (today, day) in days.iter().enumerate() {
        stage.set_time(day.time);
        let price = day.price.parse()?;
        let post = CollectionMsg::PostPrice { price };
        stage.execute("oracle", &contract, &ExecuteMsg::UpdateExtension { msg: post })?;
        gallery.gas[1] = stage.chain.last_transaction().used;
        for life in &LIVES {
            let token_id = life.id.to_owned();
            if life.minted == today {
                let owner = stage.chain.account(owner(life, today)).to_string();
                let mint = ExecuteMsg::Mint {
                    token_id,
                    owner,
                    token_uri: None,
                    extension: None,
                };
                stage.execute("creator", &contract, &mint)?;
                gallery.gas[0] = stage.chain.last_transaction().used;
            } else if today > life.minted && owner(life, today) != owner(life, today - 1) {
                let recipient = stage.chain.account(owner(life, today)).to_string();
                let transfer = ExecuteMsg::TransferNft { recipient, token_id };
                stage.execute(owner(life, today - 1), &contract, &transfer)?;
                gallery.gas[2] = stage.chain.last_transaction().used;
            }
        }
        if gallery.looks.contains(&today) {
            for life in LIVES.iter().filter(|life| life.minted <= today) {
                let msg = QueryMsg::NftInfo {
                    token_id: life.id.to_owned(),
                };
                let (info, _): (NftInfoResponse<Artwork>, u64) = stage.query(&contract, &msg)?;
                gallery.frames.push(Frame {
                    token: life.id,
                    day: today,
                    owner: owner(life, today),
                    png: png(&info.extension)?,
                    art: info.extension,
                });
            }
            say(&format!(
                "{}: {} pictures, S&P 500 at {}",
                day.date,
                gallery.frames.len(),
                day.price
            ));
        }
    }

    for frame in &gallery.frames {
        let msg = CollectionQuery::ImageAt {
            token_id: frame.token.to_owned(),
            time: days[frame.day].time,
        };
        let (again, _): (Artwork, u64) = stage.query(&contract, &QueryMsg::Extension { msg })?;
        ensure!(
            again == frame.art,
            "token {} of {} came out differently",
            frame.token,
            days[frame.day].date
        );
    }
    let [mint, post, transfer] = gallery.gas.map(|gas| grouped(sdk(gas)));
    say(&format!(
        "all {} pictures drawn again from the stored inputs: every byte the same",
        gallery.frames.len()
    ));
    say(&format!(
        "SDK gas: a mint {mint}, a price {post}, a transfer {transfer} (no model runs in any of them)"
    ));
    Ok(gallery)
}

/// Who owns a token at the end of a day.
fn owner(life: &Life, day: usize) -> &'static str {
    let owners = (day - life.minted).checked_div(life.kept).unwrap_or(0);
    let first = usize::from(life.id.as_bytes()[0]);
    OWNERS[(first + owners) % OWNERS.len()]
}

fn png(art: &Artwork) -> Result<Vec<u8>> {
    let data = art.image.strip_prefix("data:image/png;base64,");
    Ok(STANDARD.decode(data.unwrap_or_default())?)
}
