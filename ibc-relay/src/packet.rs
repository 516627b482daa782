//! Packets: what they are, what chains store of them, and the events that tell of them.

use std::fmt;

use sha2::{Digest, Sha256};
use tendermint::abci::Event;

use crate::proto::{channel, Height};

/// Bytes of the largest packet or acknowledgement that is read from an event: above it no transaction could carry it.
const MAX_BYTES: usize = 1 << 20;

/// Heights that are read of one update of a light client: there is one, honestly.
const MAX_HEIGHTS: usize = 4;

/// One end of a channel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct End {
    pub port: String,
    pub channel: String,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.port, self.channel)
    }
}

/// Whether chains could have this name of a port or a channel.
pub fn is_name(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "._+-#[]<>".contains(c);
    (2..=128).contains(&text.len()) && text.chars().all(good)
}

/// A packet on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    pub sequence: u64,
    pub source: End,
    pub destination: End,
    pub data: Vec<u8>,
    /// Revision and height of the destination from which on it is not received any more; zeros: none.
    pub timeout_height: (u64, u64),
    /// Time of the destination in nanoseconds; 0: none.
    pub timeout_time: u64,
}

impl Packet {
    /// What the sending chain stores of it.
    pub fn commitment(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.timeout_time.to_be_bytes());
        hash.update(self.timeout_height.0.to_be_bytes());
        hash.update(self.timeout_height.1.to_be_bytes());
        hash.update(Sha256::digest(&self.data));
        hash.finalize().into()
    }

    /// Whether it is too late for a block of the destination with this height and time (nanoseconds).
    pub fn timed_out(&self, revision: u64, height: u64, time: u64) -> bool {
        let by_height = self.timeout_height != (0, 0) && (revision, height) >= self.timeout_height;
        by_height || self.timeout_time != 0 && time >= self.timeout_time
    }

    /// As messages have it.
    pub fn to_proto(&self) -> channel::Packet {
        channel::Packet {
            sequence: self.sequence,
            source_port: self.source.port.clone(),
            source_channel: self.source.channel.clone(),
            destination_port: self.destination.port.clone(),
            destination_channel: self.destination.channel.clone(),
            data: self.data.clone(),
            timeout_height: Some(Height {
                revision_number: self.timeout_height.0,
                revision_height: self.timeout_height.1,
            }),
            timeout_timestamp: self.timeout_time,
        }
    }
}

/// What the receiving chain stores of an acknowledgement.
pub fn acknowledgement_commitment(acknowledgement: &[u8]) -> [u8; 32] {
    Sha256::digest(acknowledgement).into()
}

/// Where chains keep things in the IBC store.
pub mod path {
    use super::End;

    pub fn commitment(end: &End, sequence: u64) -> String {
        format!(
            "commitments/ports/{}/channels/{}/sequences/{sequence}",
            end.port, end.channel
        )
    }

    pub fn acknowledgement(end: &End, sequence: u64) -> String {
        format!("acks/ports/{}/channels/{}/sequences/{sequence}", end.port, end.channel)
    }

    pub fn receipt(end: &End, sequence: u64) -> String {
        format!(
            "receipts/ports/{}/channels/{}/sequences/{sequence}",
            end.port, end.channel
        )
    }

    pub fn next_receive(end: &End) -> String {
        format!("nextSequenceRecv/ports/{}/channels/{}", end.port, end.channel)
    }

    pub fn channel(end: &End) -> String {
        format!("channelEnds/ports/{}/channels/{}", end.port, end.channel)
    }

    pub fn connection(id: &str) -> String {
        format!("connections/{id}")
    }
}

/// What a block tells of packets, and of what carries them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PacketEvent {
    /// Sent by this chain.
    Sent(Packet),
    /// Received by this chain; its answer may come later.
    Received(Packet),
    /// Answered by this chain.
    Answered(Packet, Vec<u8>),
    /// This chain has heard the answer to what it sent.
    Acknowledged(End, u64),
    /// This chain has given up what it sent.
    TimedOut(End, u64),
    /// An end of this chain was closed.
    Closed(End),
    /// A light client of this chain trusts these heights now, which may be one that it trusted before.
    Updated(String, Vec<Height>),
}

impl PacketEvent {
    /// Reads an event; None if it tells of no packet, or not in a way that is understood.
    pub fn read(event: &Event) -> Option<Self> {
        let fields = Fields(event);
        let kind = match event.kind.as_str() {
            "update_client" => {
                let heights = fields.get("consensus_heights")?.split(',');
                let heights = heights
                    .take(MAX_HEIGHTS)
                    .filter_map(height)
                    .map(|(revision_number, revision_height)| Height {
                        revision_number,
                        revision_height,
                    });
                return Some(PacketEvent::Updated(fields.name("client_id")?, heights.collect()));
            }
            "channel_close_init" | "channel_close_confirm" | "channel_close" => {
                return Some(PacketEvent::Closed(End {
                    port: fields.name("port_id")?,
                    channel: fields.name("channel_id")?,
                }));
            }
            other => Kind::of(other)?,
        };
        let source = End {
            port: fields.name("packet_src_port")?,
            channel: fields.name("packet_src_channel")?,
        };
        let sequence = fields.get("packet_sequence")?.parse().ok()?;
        match kind {
            Kind::Acknowledged => return Some(PacketEvent::Acknowledged(source, sequence)),
            Kind::TimedOut => return Some(PacketEvent::TimedOut(source, sequence)),
            _ => {}
        }
        let packet = Packet {
            sequence,
            source,
            destination: End {
                port: fields.name("packet_dst_port")?,
                channel: fields.name("packet_dst_channel")?,
            },
            data: fields.bytes("packet_data_hex")?,
            timeout_height: height(fields.get("packet_timeout_height")?)?,
            timeout_time: fields.get("packet_timeout_timestamp")?.parse().ok()?,
        };
        Some(match kind {
            Kind::Sent => PacketEvent::Sent(packet),
            Kind::Answered => PacketEvent::Answered(packet, fields.bytes("packet_ack_hex")?),
            _ => PacketEvent::Received(packet),
        })
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Sent,
    Received,
    Answered,
    Acknowledged,
    TimedOut,
}

impl Kind {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "send_packet" => Kind::Sent,
            "recv_packet" => Kind::Received,
            "write_acknowledgement" => Kind::Answered,
            "acknowledge_packet" => Kind::Acknowledged,
            "timeout_packet" => Kind::TimedOut,
            _ => return None,
        })
    }
}

struct Fields<'a>(&'a Event);

impl<'a> Fields<'a> {
    fn get(&self, key: &str) -> Option<&'a str> {
        let found = self
            .0
            .attributes
            .iter()
            .find(|a| a.key_str().is_ok_and(|name| name == key));
        found?.value_str().ok()
    }

    /// A name of a port or channel, as chains have them.
    fn name(&self, key: &str) -> Option<String> {
        let text = self.get(key)?;
        is_name(text).then(|| text.to_string())
    }

    fn bytes(&self, key: &str) -> Option<Vec<u8>> {
        let text = self.get(key)?;
        match text.len() <= 2 * MAX_BYTES {
            true => hex::decode(text).ok(),
            false => None,
        }
    }
}

/// `revision-height`.
fn height(text: &str) -> Option<(u64, u64)> {
    let (revision, height) = text.split_once('-')?;
    Some((revision.parse().ok()?, height.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet() -> Packet {
        Packet {
            sequence: 3,
            source: End {
                port: "transfer".into(),
                channel: "channel-0".into(),
            },
            destination: End {
                port: "transfer".into(),
                channel: "channel-1".into(),
            },
            data: b"data".to_vec(),
            timeout_height: (1, 20),
            timeout_time: 1000,
        }
    }

    #[test]
    fn a_packet_is_late_by_height_or_by_time() {
        let packet = packet();
        assert!(!packet.timed_out(1, 19, 999));
        assert!(
            packet.timed_out(1, 20, 0) && packet.timed_out(2, 1, 0),
            "a later revision is later"
        );
        assert!(packet.timed_out(1, 1, 1000));
        let without = Packet {
            timeout_height: (0, 0),
            timeout_time: 0,
            ..packet
        };
        assert!(!without.timed_out(9, u64::MAX, u64::MAX));
    }

    #[test]
    fn an_event_gives_back_what_was_sent() {
        let sent = packet();
        let attributes = [
            ("packet_data_hex", hex::encode(&sent.data)),
            ("packet_timeout_height", "1-20".into()),
            ("packet_timeout_timestamp", "1000".into()),
            ("packet_sequence", "3".into()),
            ("packet_src_port", sent.source.port.clone()),
            ("packet_src_channel", sent.source.channel.clone()),
            ("packet_dst_port", sent.destination.port.clone()),
            ("packet_dst_channel", sent.destination.channel.clone()),
            ("packet_ack_hex", "7b7d".into()),
        ];
        let event = |kind: &str| Event::new(kind, attributes.clone());
        assert_eq!(
            PacketEvent::read(&event("send_packet")),
            Some(PacketEvent::Sent(sent.clone()))
        );
        let answered = PacketEvent::Answered(sent.clone(), b"{}".to_vec());
        assert_eq!(PacketEvent::read(&event("write_acknowledgement")), Some(answered));
        let over = PacketEvent::TimedOut(sent.source, 3);
        assert_eq!(PacketEvent::read(&event("timeout_packet")), Some(over));
        assert_eq!(PacketEvent::read(&event("transfer")), None);
    }

    #[test]
    fn events_of_channels_and_clients_tell_which() {
        let of = |kind: &str, attributes: &[(&str, &str)]| {
            PacketEvent::read(&Event::new(
                kind,
                attributes
                    .iter()
                    .map(|(key, value)| (key.to_string(), value.to_string())),
            ))
        };
        let end = End {
            port: "wasm.abc".into(),
            channel: "channel-7".into(),
        };
        for kind in ["channel_close_init", "channel_close_confirm", "channel_close"] {
            let attributes = [
                ("port_id", "wasm.abc"),
                ("channel_id", "channel-7"),
                ("connection_id", "connection-0"),
            ];
            assert_eq!(of(kind, &attributes), Some(PacketEvent::Closed(end.clone())));
            assert_eq!(of(kind, &attributes[..1]), None);
        }
        let updated = [("client_id", "07-tendermint-3"), ("consensus_heights", "1-20,1-21")];
        let height = |revision_height| Height {
            revision_number: 1,
            revision_height,
        };
        let expected = PacketEvent::Updated("07-tendermint-3".into(), vec![height(20), height(21)]);
        assert_eq!(of("update_client", &updated), Some(expected));
        assert_eq!(of("update_client", &updated[..1]), None);
        let many = "1-1,".repeat(100_000);
        match of("update_client", &[updated[0], ("consensus_heights", &many)]) {
            Some(PacketEvent::Updated(_, heights)) => assert!(heights.len() <= MAX_HEIGHTS),
            other => panic!("{other:?}"),
        }
    }
}
