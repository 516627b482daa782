//! The protobuf messages of chains, by shorter names.

pub use cosmrs::{
    proto::traits::{Message, Name},
    Any,
};
pub use ibc_proto::{
    google::protobuf::{Any as ProtoAny, Duration as ProtoDuration, Timestamp},
    ibc::{
        core::{
            channel::v1 as channel,
            client::v1::{self as client, Height},
            commitment::v1::{MerklePrefix, MerkleProof, MerkleRoot},
            connection::v1 as connection,
        },
        lightclients::tendermint::v1 as light,
    },
};

/// A message as it goes into a transaction.
pub fn any<M: Message + Name>(message: &M) -> Any {
    Any {
        type_url: M::type_url(),
        value: message.encode_to_vec(),
    }
}

/// A message inside of another one.
pub fn nested<M: Message + Name>(message: &M) -> ProtoAny {
    ProtoAny {
        type_url: M::type_url(),
        value: message.encode_to_vec(),
    }
}

/// The message in an `Any`, if it is one of this type.
pub fn unpack<M: Message + Name + Default>(any: Option<&ProtoAny>) -> Option<M> {
    let any = any?;
    match any.type_url == M::type_url() {
        true => M::decode(any.value.as_slice()).ok(),
        false => None,
    }
}
