//! The example contracts, deployed; and their results held against the embedded chain and the command line.

use std::{fs, process::Command};

use aiinference_demo_models as models;
use aiinference_multi_test::{cw_multi_test::Executor, Chain};
use aiinference_runtime::LoadedModel;
use cosmwasm_std::{Binary, Decimal};
use credit_score::{
    msg::{Decision, ExecuteMsg, InstantiateMsg, ModelKind, ModelSource, QueryMsg, ScoreResponse},
    Applicant,
};
use npyz::NpyFile;
use test_probe::Script;
use zip::ZipArchive;

use crate::support::*;

/// Some rows of the credit data: values and the label, as text.
fn rows(count: usize) -> (String, Vec<[u32; 18]>) {
    let path = models::root().join("contracts/credit-score/model/calibration.csv");
    let text = fs::read_to_string(path).unwrap();
    let table: Vec<&str> = text.lines().take(count + 1).collect();
    let values = table[1..].iter().map(|line| {
        let values: Vec<u32> = line.split(',').take(18).map(|value| value.parse().unwrap()).collect();
        values.try_into().unwrap()
    });
    (table.join("\n") + "\n", values.collect())
}

/// What `aiinference run --raw` writes for a model on a table, as one list per row.
fn on_the_command_line(model: &[u8], table: &str, output: &str) -> Vec<Vec<i32>> {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("model.wasm"), model).unwrap();
    fs::write(path("rows.csv"), table).unwrap();
    let done = Command::new(target().join("release/aiinference"))
        .args([
            "run",
            "model.wasm",
            "--input",
            "rows.csv",
            "--output",
            "out.npz",
            "--labels",
            "label",
            "--raw",
        ])
        .current_dir(&dir)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let mut archive = ZipArchive::new(fs::File::open(path("out.npz")).unwrap()).unwrap();
    let array = NpyFile::new(archive.by_name(&format!("{output}.npy")).unwrap()).unwrap();
    let rows = array.shape()[0] as usize;
    let all: Vec<i32> = array.into_vec().unwrap();
    all.chunks(all.len() / rows).map(<[i32]>::to_vec).collect()
}

fn integers(binary: &Binary) -> Vec<i32> {
    let chunks = binary.as_slice().chunks_exact(4);
    chunks
        .map(|bytes| i32::from_le_bytes(bytes.try_into().unwrap()))
        .collect()
}

fn score_config(trees: u64, mlp: u64) -> InstantiateMsg {
    let source = |code_id| {
        Some(ModelSource {
            code_id,
            checksum: None,
        })
    };
    InstantiateMsg {
        trees: source(trees),
        mlp: source(mlp),
        decides: ModelKind::Trees,
        threshold: Decimal::percent(60),
        admin: None,
    }
}

#[tokio::test]
#[ignore = "needs the localnet: make test-localnet"]
async fn a_contract_that_infers_is_refused_by_the_stock_chain_with_the_reason() {
    let net = localnet();
    let deployer = account(&net, &stock(&net), "deployer").await;
    let contract = models::contract("credit-score").unwrap();
    let refused = try_store(&deployer, &contract).await.unwrap_err().to_string();
    assert!(
        refused.contains(r#"Wasm contract requires unsupported import: "aiinference."#),
        "{refused}"
    );
    // A model runs nothing: any chain stores it.
    store(&deployer, &models::mlp().unwrap()).await;
}

#[tokio::test]
#[ignore = "needs the localnet: make test-localnet"]
async fn results_are_the_bits_of_the_embedded_chain_and_of_the_command_line() {
    let net = localnet();
    let nodes = validators(&net);
    let deployer = account(&net, &nodes[0], "deployer").await;
    let contract = probe(&deployer).await;
    let (table, values) = rows(12);

    let mut embedded = Chain::new().unwrap();
    let probe_code = embedded.store_wasm(&models::contract("test-probe").unwrap()).unwrap();
    let owner = embedded.account("owner");
    let embedded_probe = embedded
        .instantiate_contract(probe_code, owner, &Script::default(), &[], "probe", None)
        .unwrap();

    for model in [models::mlp().unwrap(), models::gbdt().unwrap()] {
        let program = LoadedModel::load([0; 32], &model).unwrap().program;
        let names: Vec<_> = program.outputs().iter().map(|output| output.name.clone()).collect();
        let local = on_the_command_line(&model, &table, &names[0]);
        let code_id = store(&deployer, &model).await;
        let embedded_id = embedded.store_wasm(&model).unwrap();
        agree(&nodes).await;
        for (row, expected) in values.iter().zip(&local) {
            let row = row.map(|value| value as i32);
            let there: Vec<Binary> = embedded
                .wrap()
                .query_wasm_smart(&embedded_probe, &run_model(embedded_id, &[1, 18], 0, &row))
                .unwrap();
            assert_eq!(&integers(&there[0]), expected);
            for node in &nodes {
                let msg = run_model(code_id, &[1, 18], 0, &row);
                let here: Vec<Binary> = query(node, &contract, &msg, None).await.unwrap();
                assert_eq!(here, there, "{}", node.name());
            }
        }
    }
}

#[tokio::test]
#[ignore = "needs the localnet: make test-localnet"]
async fn the_credit_contract_decides_as_on_the_embedded_chain() {
    let net = localnet();
    let nodes = validators(&net);
    let deployer = account(&net, &nodes[0], "deployer").await;
    let code = models::contract("credit-score").unwrap();
    let (gbdt, mlp) = (models::gbdt().unwrap(), models::mlp().unwrap());
    let config = score_config(store(&deployer, &gbdt).await, store(&deployer, &mlp).await);
    let code_id = store(&deployer, &code).await;
    let contract = instantiate(&deployer, code_id, "credit", &config).await;

    let mut chain = Chain::new().unwrap();
    let config = score_config(chain.store_wasm(&gbdt).unwrap(), chain.store_wasm(&mlp).unwrap());
    let code_id = chain.store_wasm(&code).unwrap();
    let owner = chain.account("owner");
    let embedded = chain
        .instantiate_contract(code_id, owner.clone(), &config, &[], "credit", None)
        .unwrap();

    for values in rows(5).1 {
        let applicant = Applicant::from_values(values);
        let apply = ExecuteMsg::Apply {
            applicant: applicant.clone(),
        };
        let done = execute(&deployer, &contract, &apply).await.unwrap();
        for node in [&nodes[1], &nodes[3]] {
            // What a block left can be asked for once the next one is on its way.
            node.wait_height(done.height + 1, SOON).await.unwrap();
        }
        let decision = QueryMsg::Decision {
            applicant: deployer.address().into(),
        };
        let here: Decision = query(&nodes[3], &contract, &decision, None).await.unwrap();
        chain
            .execute_contract(owner.clone(), embedded.clone(), &apply, &[])
            .unwrap();
        let decision = QueryMsg::Decision {
            applicant: owner.to_string(),
        };
        let there: Decision = chain.wrap().query_wasm_smart(&embedded, &decision).unwrap();
        let (mine, theirs) = (&here.reasons, &there.reasons);
        assert_eq!((mine.score, mine.approved), (theirs.score, theirs.approved));
        assert_eq!(mine.receipt.inputs_hash, theirs.receipt.inputs_hash);
        assert_eq!(mine.receipt.outputs_hash, theirs.receipt.outputs_hash);
        assert_eq!(mine.receipt.models[0].checksum, theirs.receipt.models[0].checksum);
        let score = QueryMsg::Score {
            applicant,
            model: Some(ModelKind::Mlp),
        };
        let here: ScoreResponse = query(&nodes[1], &contract, &score, None).await.unwrap();
        let there: ScoreResponse = chain.wrap().query_wasm_smart(&embedded, &score).unwrap();
        assert_eq!(here.score, there.score);
    }
}

#[tokio::test]
#[ignore = "needs the localnet: make test-localnet"]
async fn the_collection_paints_and_paints_the_same_again_on_every_validator() {
    use cw721::msg::NftInfoResponse;
    use dynamic_nft::msg::{
        Artwork, CollectionMsg, CollectionQuery, ExecuteMsg, InstantiateMsg, ModelSource, QueryMsg,
    };

    let net = localnet();
    let nodes = validators(&net);
    let creator = account(&net, &nodes[0], "deployer").await;
    let mut source = Vec::new();
    for model in [models::mood().unwrap(), models::painter().unwrap()] {
        source.push(ModelSource {
            code_id: store(&creator, &model).await,
            checksum: None,
        });
    }
    let painter = source.pop().unwrap();
    let config = InstantiateMsg {
        name: "Weather of Markets".into(),
        symbol: "WOM".into(),
        collection_info_extension: None,
        minter: None,
        creator: None,
        withdraw_address: None,
        mood: source.pop().unwrap(),
        painter,
        oracle: None,
        post_interval: 1,
    };
    let code_id = store(&creator, &models::contract("dynamic-nft").unwrap()).await;
    let contract = instantiate(&creator, code_id, "collection", &config).await;
    let mint = |id: &str| ExecuteMsg::Mint {
        token_id: id.into(),
        owner: creator.address().into(),
        token_uri: None,
        extension: None,
    };
    let post = |price: u64| ExecuteMsg::UpdateExtension {
        msg: CollectionMsg::PostPrice {
            price: price.to_string().parse().unwrap(),
        },
    };
    execute(&creator, &contract, &mint("1")).await.unwrap();
    execute(&creator, &contract, &post(100)).await.unwrap();
    let first = picture(&nodes[0], &contract).await;
    // Prices come at least a second of the chain's clock apart.
    tokio::time::sleep(std::time::Duration::from_millis(3_000)).await;
    execute(&creator, &contract, &post(40)).await.unwrap();
    let second = picture(&nodes[0], &contract).await;
    assert_ne!(first.image, second.image, "the picture follows the price");

    // Past pictures are drawn again, on every validator, to the byte.
    agree(&nodes).await;
    for past in [&first, &second] {
        let again = QueryMsg::Extension {
            msg: CollectionQuery::ImageAt {
                token_id: "1".into(),
                time: past.inputs.since,
            },
        };
        for node in &nodes {
            let art: Artwork = query(node, &contract, &again, None).await.unwrap();
            assert_eq!(art.image, past.image, "{}", node.name());
        }
    }

    /// What a token's picture shows now.
    async fn picture(node: &aiinference_localnet::Node, contract: &str) -> Artwork {
        let info = QueryMsg::NftInfo { token_id: "1".into() };
        let info: NftInfoResponse<Artwork> = query(node, contract, &info, None).await.unwrap();
        assert!(info.extension.image.starts_with("data:image/png;base64,"));
        info.extension
    }
}
