//! A chain as the relayer sees it: several nodes that are asked in turn, state with proofs, blocks.

use std::{
    future::Future,
    sync::atomic::{AtomicUsize, Ordering},
};

use aiinference_client::{ClientError, Node};
use cosmrs::proto::cosmos::base::query::v1beta1::{PageRequest, PageResponse};
use tendermint::{block::signed_header::SignedHeader, block::Height as BlockHeight, validator};
use tendermint_rpc::{
    endpoint::{abci_info, abci_query, block_results, block_search, commit, tx_search, validators},
    Order, SimpleRequest,
};
use tokio::sync::OnceCell;

use crate::{
    config::ChainConfig,
    error::{nodes_fault, RelayError, Result},
    packet::{path, End, Packet, PacketEvent},
    proof,
    proto::{channel, client, connection, Height, MerkleProof, Message},
    text::printable,
};

/// Validators asked for in one page, and the most of a chain.
const VALIDATORS_PAGE: u8 = 100;
const MAX_VALIDATORS: usize = 10_000;

/// Entries asked for in one page, and the most pages of a list.
const PAGE: u64 = 200;
const MAX_PAGES: usize = 500;

/// Transactions or blocks that are looked through for one packet: an honest index names one.
const FOUND: u8 = 3;

/// Something of the chain's state, with its proof. The proof is one of the header after `height`.
#[derive(Clone, Debug)]
pub struct Proven {
    pub height: u64,
    pub value: Vec<u8>,
    pub proof: MerkleProof,
}

/// A chain.
pub struct Chain {
    config: ChainConfig,
    revision: u64,
    nodes: Vec<OnceCell<Node>>,
    current: AtomicUsize,
}

impl Chain {
    /// A chain of the configuration; nothing is asked yet.
    pub fn new(config: &ChainConfig) -> Self {
        Chain {
            revision: revision(&config.id),
            nodes: config.rpc.iter().map(|_| OnceCell::new()).collect(),
            current: AtomicUsize::new(0),
            config: config.clone(),
        }
    }

    pub fn id(&self) -> &str {
        &self.config.id
    }

    pub fn config(&self) -> &ChainConfig {
        &self.config
    }

    /// The number at the end of its id, which all its heights carry.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// A height of it as IBC writes them.
    pub fn height(&self, height: u64) -> Height {
        Height {
            revision_number: self.revision,
            revision_height: height,
        }
    }

    /// Which node is asked at the moment: a number for [`Self::url_of`] and [`Self::leave`].
    pub fn current(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }

    /// The address of a node.
    pub fn url_of(&self, node: usize) -> &str {
        let index = node % self.config.rpc.len().max(1);
        self.config.rpc.get(index).map(String::as_str).unwrap_or_default()
    }

    /// Leaves a node for the next one, unless somebody else has left it meanwhile.
    pub fn leave(&self, node: usize) {
        // An error means just that.
        let _ = self
            .current
            .compare_exchange(node, node.wrapping_add(1), Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Leaves the current node for the next one.
    pub fn next_node(&self) {
        self.current.fetch_add(1, Ordering::Relaxed);
    }

    /// Does something with a node, and with the next ones if it fails by the node's fault.
    pub async fn on_node<T, F, W>(&self, work: F) -> Result<T>
    where
        F: Fn(Node) -> W,
        W: Future<Output = Result<T, ClientError>>,
    {
        let mut last = None;
        for _ in 0..self.nodes.len() {
            let seen = self.current();
            let index = seen % self.nodes.len();
            let attempt = async {
                let (cell, url) = (&self.nodes[index], &self.config.rpc[index]);
                let node = cell.get_or_try_init(|| Node::connect(url, Some(self.id()))).await?;
                work(node.clone()).await
            };
            match attempt.await {
                Err(error) if nodes_fault(&error) => {
                    if self.nodes.len() > 1 {
                        self.leave(seen);
                    }
                    last = Some(error);
                }
                done => return done.map_err(RelayError::at(self.id())),
            }
        }
        let none = || self.answer("rpc", "no node is configured");
        Err(last.map(|error| RelayError::at(self.id())(error)).unwrap_or_else(none))
    }

    async fn call<R: SimpleRequest + Clone>(&self, request: R) -> Result<R::Output> {
        self.on_node(|node| {
            let request = request.clone();
            async move { node.rpc().call(request).await }
        })
        .await
    }

    /// Asks the current node alone: that it lacks what not every node offers is no reason to leave it.
    async fn call_here<R: SimpleRequest>(&self, request: R) -> Result<R::Output> {
        let index = self.current.load(Ordering::Relaxed) % self.nodes.len().max(1);
        let (Some(cell), Some(url)) = (self.nodes.get(index), self.config.rpc.get(index)) else {
            return Err(self.answer("rpc", "no node is configured"));
        };
        let asked = async {
            let node = cell.get_or_try_init(|| Node::connect(url, Some(self.id()))).await?;
            node.rpc().call(request).await
        };
        asked.await.map_err(RelayError::at(self.id()))
    }

    /// A gRPC query by its path, at a height or now.
    pub async fn query<Q: Message + Clone, A: Message + Default>(
        &self,
        method: &str,
        request: &Q,
        height: Option<u64>,
    ) -> Result<A> {
        self.on_node(|node| {
            let request = request.clone();
            async move { node.query(method, &request, height).await }
        })
        .await
    }

    /// All pages of a list, within bounds.
    pub async fn pages<Q, A, T>(
        &self,
        method: &str,
        height: Option<u64>,
        request: impl Fn(PageRequest) -> Q,
        split: impl Fn(A) -> (Vec<T>, Option<PageResponse>),
    ) -> Result<Vec<T>>
    where
        Q: Message + Clone,
        A: Message + Default,
    {
        let mut all = Vec::new();
        let mut key = Vec::new();
        for _ in 0..MAX_PAGES {
            let page = PageRequest {
                key: key.clone(),
                limit: PAGE,
                ..Default::default()
            };
            let (items, next) = split(self.query(method, &request(page), height).await?);
            if items.len() as u64 > PAGE {
                return Err(self.answer(method, "a page holds more than was asked for"));
            }
            all.extend(items);
            match next.map(|page| page.next_key) {
                Some(next) if !next.is_empty() && next != key => key = next,
                _ => return Ok(all),
            }
        }
        Err(self.answer(method, "its pages do not end"))
    }

    /// The last block that the node has executed: it has others a moment earlier, and cannot be asked about their state.
    pub async fn tip(&self) -> Result<u64> {
        let status = self.on_node(|node| async move { node.status().await }).await?;
        if status.catching_up {
            return Err(self.answer("status", "it is still fetching blocks"));
        }
        let answer = self.call(abci_info::Request {}).await?;
        Ok(answer.response.last_block_height.value())
    }

    /// A header with the signatures for it; not verified.
    pub async fn signed_header(&self, height: u64) -> Result<SignedHeader> {
        let answer = self.call(commit::Request::new(self.block_height(height)?)).await?;
        let header = answer.signed_header;
        if header.header.height.value() != height || header.header.chain_id.as_str() != self.id() {
            return Err(self.header_error(height, "it is a header of another block"));
        }
        Ok(header)
    }

    /// The validators of a height; not verified.
    pub async fn validators(&self, height: u64) -> Result<Vec<validator::Info>> {
        let mut all = Vec::new();
        for page in 1usize.. {
            let request = validators::Request::new(
                Some(self.block_height(height)?),
                Some(page.into()),
                Some(VALIDATORS_PAGE.into()),
            );
            let answer = self.call(request).await?;
            let total = usize::try_from(answer.total).unwrap_or(0);
            let got = answer.validators.len();
            all.extend(answer.validators);
            if total == 0 || total > MAX_VALIDATORS || all.len() > total || got == 0 {
                return Err(self.answer("validators", format!("it names {total} and gives {}", all.len())));
            }
            if all.len() == total {
                break;
            }
        }
        Ok(all)
    }

    /// What a block tells of packets.
    pub async fn packet_events(&self, height: u64) -> Result<Vec<PacketEvent>> {
        let answer = self
            .call(block_results::Request::new(self.block_height(height)?))
            .await?;
        let done = answer.txs_results.iter().flatten().filter(|result| result.code.is_ok());
        let events = done
            .flat_map(|result| &result.events)
            .chain(&answer.finalize_block_events);
        Ok(events.filter_map(PacketEvent::read).collect())
    }

    /// A value of the IBC store after a block, with its proof; not verified.
    pub async fn proven(&self, key: &str, height: u64) -> Result<Proven> {
        let request = abci_query::Request::new(
            Some("store/ibc/key".into()),
            key.as_bytes(),
            Some(self.block_height(height)?),
            true,
        );
        let answer = self.call(request).await?.response;
        if answer.code.is_err() {
            let log: String = printable(&answer.log).chars().take(400).collect();
            return Err(self.answer(key, format!("it refuses with code {}: {log}", answer.code.value())));
        }
        if answer.height.value() != height {
            return Err(self.answer(key, format!("it is of height {}", answer.height)));
        }
        Ok(Proven {
            height,
            value: answer.value,
            proof: proof::decode(answer.proof).map_err(|source| self.proof_error(key, source))?,
        })
    }

    /// A channel's end.
    pub async fn channel(&self, end: &End) -> Result<channel::Channel> {
        let request = channel::QueryChannelRequest {
            port_id: end.port.clone(),
            channel_id: end.channel.clone(),
        };
        let method = "/ibc.core.channel.v1.Query/Channel";
        let answer: channel::QueryChannelResponse = self.query(method, &request, None).await?;
        answer.channel.ok_or_else(|| self.answer("Channel", "it is empty"))
    }

    /// A connection's end.
    pub async fn connection(&self, id: &str) -> Result<connection::ConnectionEnd> {
        let request = connection::QueryConnectionRequest {
            connection_id: id.into(),
        };
        let method = "/ibc.core.connection.v1.Query/Connection";
        let answer: connection::QueryConnectionResponse = self.query(method, &request, None).await?;
        answer
            .connection
            .ok_or_else(|| self.answer("Connection", "it is empty"))
    }

    /// Sequence and commitment of what was sent from an end and is not over.
    pub async fn commitments(&self, end: &End, height: u64) -> Result<Vec<(u64, Vec<u8>)>> {
        let states = self
            .pages(
                "/ibc.core.channel.v1.Query/PacketCommitments",
                Some(height),
                |page| channel::QueryPacketCommitmentsRequest {
                    port_id: end.port.clone(),
                    channel_id: end.channel.clone(),
                    pagination: Some(page),
                },
                |answer: channel::QueryPacketCommitmentsResponse| (answer.commitments, answer.pagination),
            )
            .await?;
        Ok(states.into_iter().map(|state| (state.sequence, state.data)).collect())
    }

    /// Those of some sequences that have not come to an end.
    pub async fn unreceived(&self, end: &End, sequences: &[u64], height: u64) -> Result<Vec<u64>> {
        let request = channel::QueryUnreceivedPacketsRequest {
            port_id: end.port.clone(),
            channel_id: end.channel.clone(),
            packet_commitment_sequences: sequences.to_vec(),
        };
        let method = "/ibc.core.channel.v1.Query/UnreceivedPackets";
        let answer: channel::QueryUnreceivedPacketsResponse = self.query(method, &request, Some(height)).await?;
        Ok(answer.sequences)
    }

    /// Those of some sequences that an end has answered.
    pub async fn answered(&self, end: &End, sequences: &[u64], height: u64) -> Result<Vec<u64>> {
        let request = channel::QueryPacketAcknowledgementsRequest {
            port_id: end.port.clone(),
            channel_id: end.channel.clone(),
            pagination: None,
            packet_commitment_sequences: sequences.to_vec(),
        };
        let method = "/ibc.core.channel.v1.Query/PacketAcknowledgements";
        let answer: channel::QueryPacketAcknowledgementsResponse = self.query(method, &request, Some(height)).await?;
        Ok(answer.acknowledgements.iter().map(|state| state.sequence).collect())
    }

    /// The sequence that an ordered channel's end takes next.
    pub async fn next_receive(&self, end: &End, height: u64) -> Result<u64> {
        let request = channel::QueryNextSequenceReceiveRequest {
            port_id: end.port.clone(),
            channel_id: end.channel.clone(),
        };
        let method = "/ibc.core.channel.v1.Query/NextSequenceReceive";
        let answer: channel::QueryNextSequenceReceiveResponse = self.query(method, &request, Some(height)).await?;
        Ok(answer.next_sequence_receive)
    }

    /// A packet that was sent from an end, and the block, from the node's index.
    pub async fn find_sent(&self, end: &End, sequence: u64) -> Result<(Packet, u64)> {
        let filter = format!(
            "send_packet.packet_src_port='{}' AND send_packet.packet_src_channel='{}' AND send_packet.packet_sequence='{sequence}'",
            end.port, end.channel
        );
        let wanted = |event| match event {
            PacketEvent::Sent(packet) if packet.source == *end && packet.sequence == sequence => Some(packet),
            _ => None,
        };
        self.find(end, sequence, filter, wanted).await
    }

    /// A packet that an end answered, with the answer and the block, from the node's index.
    pub async fn find_answered(&self, end: &End, sequence: u64) -> Result<((Packet, Vec<u8>), u64)> {
        let filter = format!(
            "write_acknowledgement.packet_dst_port='{}' AND write_acknowledgement.packet_dst_channel='{}' AND write_acknowledgement.packet_sequence='{sequence}'",
            end.port, end.channel
        );
        let wanted = |event| match event {
            PacketEvent::Answered(packet, bytes) if packet.destination == *end && packet.sequence == sequence => {
                Some((packet, bytes))
            }
            _ => None,
        };
        self.find(end, sequence, filter, wanted).await
    }

    async fn find<T>(
        &self,
        end: &End,
        sequence: u64,
        filter: String,
        wanted: impl Fn(PacketEvent) -> Option<T>,
    ) -> Result<(T, u64)> {
        let in_txs = tx_search::Request::new(filter.clone(), false, 1, FOUND, Order::Descending);
        for tx in self
            .call(in_txs)
            .await?
            .txs
            .iter()
            .filter(|tx| tx.tx_result.code.is_ok())
        {
            let events = tx.tx_result.events.iter().filter_map(PacketEvent::read);
            if let Some(found) = events.filter_map(&wanted).next() {
                return Ok((found, tx.height.value()));
            }
        }
        // What is sent at a block's begin or end, by governance for example, is in no transaction.
        let in_blocks = block_search::Request::new(filter, 1, 1, Order::Descending);
        let blocks = match self.call_here(in_blocks).await {
            Ok(answer) => answer.blocks,
            Err(error) => {
                tracing::debug!(%error, "a node without an index of blocks");
                Vec::new()
            }
        };
        for block in blocks {
            let height = block.block.header.height.value();
            let found = self.packet_events(height).await?.into_iter().filter_map(&wanted).next();
            if let Some(found) = found {
                return Ok((found, height));
            }
        }
        Err(RelayError::NoEvent {
            chain: self.id().into(),
            channel: end.to_string(),
            sequence,
        })
    }

    /// What the chain says of a light client: Active, Frozen, Expired.
    pub async fn client_status(&self, id: &str) -> Result<String> {
        let request = client::QueryClientStatusRequest { client_id: id.into() };
        let method = "/ibc.core.client.v1.Query/ClientStatus";
        let answer: client::QueryClientStatusResponse = self.query(method, &request, None).await?;
        Ok(printable(&answer.status).chars().take(40).collect())
    }

    /// A proof's value must be the expected one; the proof itself is checked against the root.
    pub fn check(&self, proven: &Proven, root: &[u8], key: &str, value: Option<&[u8]>) -> Result<()> {
        let checked = match value {
            Some(value) => proof::verify_value(&proven.proof, root, key.as_bytes(), value),
            None => proof::verify_absence(&proven.proof, root, key.as_bytes()),
        };
        checked.map_err(|source| self.proof_error(key, source))
    }

    pub(crate) fn answer(&self, what: &str, reason: impl Into<String>) -> RelayError {
        RelayError::Answer {
            chain: self.id().into(),
            what: what.into(),
            reason: reason.into(),
        }
    }

    pub(crate) fn header_error(&self, height: u64, reason: impl Into<String>) -> RelayError {
        RelayError::Header {
            chain: self.id().into(),
            height,
            reason: reason.into(),
        }
    }

    fn proof_error(&self, what: &str, source: proof::ProofError) -> RelayError {
        RelayError::Proof {
            chain: self.id().into(),
            what: what.into(),
            source,
        }
    }

    fn block_height(&self, height: u64) -> Result<BlockHeight> {
        height
            .try_into()
            .map_err(|_| self.header_error(height, "there is no such height"))
    }
}

/// The keys of the store that `link` proves.
pub fn connection_key(id: &str) -> String {
    path::connection(id)
}

/// The number behind the last dash of a chain's id; 0 if there is none.
fn revision(id: &str) -> u64 {
    let number = id.rsplit_once('-').map(|(_, number)| number).unwrap_or_default();
    match number.starts_with('0') {
        true => 0,
        false => number.parse().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_revision_is_the_number_at_the_end_of_the_id() {
        for (id, number) in [
            ("provider-1", 1),
            ("a-b-42", 42),
            ("plain", 0),
            ("x-01", 0),
            ("x-", 0),
            ("x-1a", 0),
        ] {
            assert_eq!(revision(id), number, "{id}");
        }
    }
}
