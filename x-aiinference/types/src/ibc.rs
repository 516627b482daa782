//! What chains say to each other: `docs/spec/ibc.md`. Packets and acknowledgements come from strangers, so that their
//! parts are counted before a byte is allocated for them.

use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
    vec::Vec,
};
use prost::{
    encoding::{encode_key, encode_varint, WireType},
    Message,
};

use crate::{
    limits::{
        MAX_ACKNOWLEDGEMENT_BYTES, MAX_ADDRESS_BYTES, MAX_ERROR_BYTES, MAX_MEMO_BYTES, MAX_PACKET_BYTES, MAX_PORTS,
        MAX_QUERIES, MAX_READS, MAX_STEPS,
    },
    v1::{acknowledgement, answer, packet_data::Operation, query, Acknowledgement, Answer, Error, PacketData, Query},
    ErrorCode,
};

/// The version that both ends of a channel name.
pub const VERSION: &str = "aiinference-1";

/// The version of packets and acknowledgements.
pub const PACKET_VERSION: u32 = 1;

/// Why a packet, a query or an acknowledgement is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// Its number.
    pub code: ErrorCode,
    /// What happened, and what to do.
    pub message: String,
}

impl Fault {
    /// A fault with a message.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let message = message.into();
        Fault { code, message }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        error(fault.code as u32, fault.message, 0)
    }
}

/// An error as an acknowledgement carries it: the message cut to what is allowed, between two characters.
pub fn error(code: u32, mut message: String, step: u32) -> Error {
    if message.len() > MAX_ERROR_BYTES {
        let end = (0..=MAX_ERROR_BYTES).rev().find(|&end| message.is_char_boundary(end));
        message.truncate(end.unwrap_or(0));
    }
    Error { code, message, step }
}

/// The packet's bytes.
pub fn encode_packet(operation: Operation) -> Vec<u8> {
    let packet = PacketData {
        version: PACKET_VERSION,
        operation: Some(operation),
    };
    packet.encode_to_vec()
}

/// Reads a packet, and checks all of it that needs no knowledge of a chain: sizes, counts, lengths, version.
pub fn decode_packet(data: &[u8]) -> Result<Operation, Fault> {
    if data.len() > MAX_PACKET_BYTES {
        let size = data.len();
        return Err(malformed(format!(
            "reading the packet: it has {size} bytes, and {MAX_PACKET_BYTES} are allowed"
        )));
    }
    count(data, PACKET)?;
    let packet = PacketData::decode(data)
        .map_err(|_| malformed("reading the packet: it is no aiinference.v1.PacketData".to_owned()))?;
    if packet.version != PACKET_VERSION {
        let version = packet.version;
        return Err(Fault::new(
            ErrorCode::UnsupportedOperation,
            format!("reading the packet: its version is {version}, this chain speaks {PACKET_VERSION}"),
        ));
    }
    let operation = packet.operation.ok_or_else(|| {
        Fault::new(
            ErrorCode::UnsupportedOperation,
            "reading the packet: it holds no operation that this chain knows",
        )
    })?;
    let texts: &[(&str, &str)] = match &operation {
        Operation::Ask(ask) => {
            if ask.queries.is_empty() {
                return Err(Fault::new(
                    ErrorCode::InvalidPlan,
                    "reading the packet: it asks nothing",
                ));
            }
            if ask.queries.iter().any(|query| query.memo.len() > MAX_MEMO_BYTES) {
                return Err(malformed(format!(
                    "reading the packet: a memo has more than {MAX_MEMO_BYTES} bytes"
                )));
            }
            let runs = ask.queries.iter().filter_map(|query| match &query.operation {
                Some(query::Operation::Run(run)) => Some(run),
                _ => None,
            });
            for read in runs.flat_map(|run| &run.reads) {
                check_text("contract", &read.contract)?;
            }
            &[("asker", &ask.asker), ("denom", &ask.denom)]
        }
        Operation::Withdraw(withdraw) => &[
            ("asker", &withdraw.asker),
            ("denom", &withdraw.denom),
            ("receiver", &withdraw.receiver),
        ],
        Operation::SetRecovery(set) => &[
            ("asker", &set.asker),
            ("recovery", &set.recovery),
            ("denom", &set.denom),
        ],
    };
    for (name, text) in texts {
        check_text(name, text)?;
    }
    Ok(operation)
}

/// Reads one query as an asking contract is given it, by the same rules as within a packet.
pub fn decode_query(bytes: &[u8]) -> Result<Query, String> {
    count(bytes, QUERY).map_err(|fault| fault.message)?;
    Query::decode(bytes).map_err(|_| "its bytes are no aiinference.v1.Query; encode it by that message".to_owned())
}

/// An address or a denom. Only a denom may be left out.
fn check_text(name: &str, text: &str) -> Result<(), Fault> {
    if text.len() > MAX_ADDRESS_BYTES || (text.is_empty() && name != "denom") {
        return Err(malformed(format!(
            "reading the packet: {name} has {} bytes, and 1 to {MAX_ADDRESS_BYTES} are allowed",
            text.len()
        )));
    }
    Ok(())
}

/// Reads an acknowledgement of this protocol. Where it begins with `{` it may be one of ibc-go's own, which is JSON.
pub fn decode_acknowledgement(data: &[u8]) -> Result<Acknowledgement, Fault> {
    let bad = |what: &str| {
        Fault::new(
            ErrorCode::MalformedAnswer,
            format!("reading the acknowledgement: {what}"),
        )
    };
    if data.len() > MAX_ACKNOWLEDGEMENT_BYTES {
        return Err(bad("it is too large"));
    }
    count(data, ACKNOWLEDGEMENT).map_err(|fault| bad(&fault.message))?;
    let read = Acknowledgement::decode(data).map_err(|_| bad("it is no aiinference.v1.Acknowledgement"))?;
    if read.version != PACKET_VERSION {
        return Err(bad(&format!("its version is {}", read.version)));
    }
    Ok(read)
}

/// An amount of coins: decimal digits of a number below 2^128, nothing for 0.
pub fn amount(digits: &str) -> Option<u128> {
    if digits.is_empty() {
        return Some(0);
    }
    let plain = digits.len() <= 39 && digits.bytes().all(|digit| digit.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// The digits of an amount, nothing for 0.
pub fn digits(amount: u128) -> String {
    match amount {
        0 => String::new(),
        amount => amount.to_string(),
    }
}

/// How much room is left in the acknowledgement of an Ask. For each query the room of an error is set aside, so that
/// none is left without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room(usize);

/// The message of an answer that found no room.
const NO_ROOM: &str = "answering: no room is left in the acknowledgement; ask in several packets";

/// Version, height, time; key and length of the answers.
const HEADER: usize = 2 + 11 + 11 + 6;

/// The most bytes that an error with the message [`NO_ROOM`], or a shorter one, takes as an entry of the answers.
fn least_entry(memo: usize) -> usize {
    // Keys, lengths and numbers at their longest: the entry; the error with code, message and step; price; memo.
    let error = 6 + 2 + NO_ROOM.len() + 6;
    (1 + 3) + (1 + 2 + error) + (2 + 39) + (3 + memo)
}

impl Room {
    /// That of an acknowledgement for queries with memos of these lengths.
    pub fn new(memos: impl IntoIterator<Item = usize>) -> Self {
        let aside: usize = memos.into_iter().map(least_entry).sum();
        Room((MAX_ACKNOWLEDGEMENT_BYTES - HEADER).saturating_sub(aside))
    }

    /// From bytes left.
    pub fn from_bytes(left: u32) -> Self {
        Room(left as usize)
    }

    /// Bytes left, below [`MAX_ACKNOWLEDGEMENT_BYTES`].
    pub fn bytes(self) -> u32 {
        self.0 as u32
    }

    /// The answer as an entry of `Answers`, with its key and length: what it is, or ResponseTooLarge where that finds no
    /// room.
    pub fn place(&mut self, mut answer: Answer) -> Vec<u8> {
        let aside = least_entry(answer.memo.len());
        if entry_len(&answer) > self.0 + aside {
            answer.result = Some(answer::Result::Error(match answer.result {
                // An error stays what it is, with less to say.
                Some(answer::Result::Error(error)) => Error {
                    message: String::new(),
                    ..error
                },
                _ => error(ErrorCode::ResponseTooLarge as u32, NO_ROOM.to_owned(), 0),
            }));
        }
        let length = entry_len(&answer);
        // Within by the check above, and by what `least_entry` counts.
        self.0 = (self.0 + aside).saturating_sub(length);
        let mut entry = Vec::with_capacity(length);
        encode_key(1, WireType::LengthDelimited, &mut entry);
        encode_varint(answer.encoded_len() as u64, &mut entry);
        // Fields go in ascending order, and an error is the last: prost would write it where the others of its oneof stand.
        let error = match answer.result {
            Some(answer::Result::Error(_)) => answer.result.take(),
            _ => None,
        };
        let last = Answer {
            result: error,
            ..Answer::default()
        };
        // A Vec grows, so there is always room.
        answer.encode(&mut entry).and_then(|()| last.encode(&mut entry)).ok();
        entry
    }
}

fn entry_len(answer: &Answer) -> usize {
    prost::encoding::message::encoded_len(1, answer)
}

/// The acknowledgement of an Ask, of entries as [`Room::place`] gives them, in the queries' order.
pub fn acknowledge_answers(height: u64, time: u64, entries: &[u8]) -> Vec<u8> {
    let mut data = acknowledgement(height, time, None).encode_to_vec();
    encode_key(4, WireType::LengthDelimited, &mut data);
    encode_varint(entries.len() as u64, &mut data);
    data.extend_from_slice(entries);
    data
}

/// An acknowledgement of anything but answers.
pub fn acknowledge(height: u64, time: u64, result: acknowledgement::Result) -> Vec<u8> {
    acknowledgement(height, time, Some(result)).encode_to_vec()
}

fn acknowledgement(height: u64, time: u64, result: Option<acknowledgement::Result>) -> Acknowledgement {
    Acknowledgement {
        version: PACKET_VERSION,
        height,
        time,
        result,
    }
}

fn malformed(message: String) -> Fault {
    Fault::new(ErrorCode::MalformedRequest, message)
}

/// A field whose occurrences are counted: of a message, how often it may occur, and what is counted within it.
struct Part {
    field: u64,
    name: &'static str,
    most: usize,
    parts: &'static [Part],
}

const fn part(field: u64, name: &'static str, most: usize, parts: &'static [Part]) -> Part {
    Part {
        field,
        name,
        most,
        parts,
    }
}

/// Most parts of one message that are counted.
const MAX_PARTS: usize = 4;

const PACKET: &[Part] = &[
    part(2, "ask", 1, ASK),
    part(3, "withdraw", 1, &[]),
    part(4, "set_recovery", 1, &[]),
];
const ASK: &[Part] = &[part(4, "queries", MAX_QUERIES, QUERY)];
const QUERY: &[Part] = &[part(1, "run", 1, RUN), part(2, "describe", 1, MODEL)];
const RUN: &[Part] = &[
    part(1, "reads", MAX_READS, &[]),
    part(2, "steps", MAX_STEPS, STEP),
    part(3, "outputs", MAX_STEPS * MAX_PORTS, &[]),
];
const STEP: &[Part] = &[part(1, "model", 1, REFERENCE), part(2, "inputs", MAX_PORTS, INPUT)];
const MODEL: &[Part] = &[part(1, "model", 1, REFERENCE)];
const REFERENCE: &[Part] = &[part(2, "own_code", 1, &[])];
const INPUT: &[Part] = &[
    part(2, "tensor", 1, &[]),
    part(3, "step_output", 1, &[]),
    part(4, "read_value", 1, READ_VALUE),
];
const READ_VALUE: &[Part] = &[part(2, "json", 1, &[]), part(3, "bytes", 1, &[])];

const ACKNOWLEDGEMENT: &[Part] = &[
    part(4, "answers", 1, ANSWERS),
    part(5, "withdrawn", 1, &[]),
    part(6, "recovery_set", 1, &[]),
    part(15, "error", 1, &[]),
];
const ANSWERS: &[Part] = &[part(1, "answers", MAX_QUERIES, ANSWER)];
const ANSWER: &[Part] = &[
    part(1, "run", 1, RUN_ANSWER),
    part(2, "description", 1, DESCRIPTION),
    part(15, "error", 1, &[]),
];
const RUN_ANSWER: &[Part] = &[part(1, "reads", MAX_READS, &[]), part(2, "infer", 1, INFER)];
const INFER: &[Part] = &[
    part(1, "outputs", MAX_STEPS * MAX_PORTS, &[]),
    part(2, "receipt", 1, RECEIPT),
];
const RECEIPT: &[Part] = &[part(1, "models", MAX_STEPS, &[])];
const DESCRIPTION: &[Part] = &[part(1, "info", 1, INFO)];
const INFO: &[Part] = &[part(3, "inputs", MAX_PORTS, &[]), part(4, "outputs", MAX_PORTS, &[])];

/// Counts the parts of a message, so that a decoder may then allocate for them. A few bytes could else call for many
/// times their size.
fn count(mut data: &[u8], parts: &'static [Part]) -> Result<(), Fault> {
    let mut counts = [0; MAX_PARTS];
    while !data.is_empty() {
        let (field, bytes) = field(&mut data)
            .ok_or_else(|| malformed("reading the packet: its bytes are no protobuf message".to_owned()))?;
        for (part, count) in parts.iter().zip(&mut counts) {
            if part.field != field {
                continue;
            }
            *count += 1;
            if *count > part.most {
                // Decoders of protobuf would join what is given twice.
                let code = match part.most {
                    1 => ErrorCode::MalformedRequest,
                    _ => ErrorCode::InvalidPlan,
                };
                let message = format!(
                    "reading the packet: it has more than {} of the field {}",
                    part.most, part.name
                );
                return Err(Fault::new(code, message));
            }
            count_within(bytes, part)?;
        }
    }
    Ok(())
}

fn count_within(bytes: Option<&[u8]>, part: &Part) -> Result<(), Fault> {
    match bytes {
        // Not every field without parts is a message: what was read is any bytes.
        Some(_) if part.parts.is_empty() => Ok(()),
        Some(bytes) => count(bytes, part.parts),
        None => Err(malformed(format!(
            "reading the packet: the field {} is no message",
            part.name
        ))),
    }
}

/// The next field's number, and its bytes where it has a length. None where there is no whole field.
fn field<'a>(data: &mut &'a [u8]) -> Option<(u64, Option<&'a [u8]>)> {
    let key = varint(data)?;
    let bytes = match key & 7 {
        0 => {
            varint(data)?;
            None
        }
        1 => {
            take(data, 8)?;
            None
        }
        2 => {
            let length = varint(data)?;
            Some(take(data, usize::try_from(length).ok()?)?)
        }
        5 => {
            take(data, 4)?;
            None
        }
        _ => return None,
    };
    Some((key >> 3, bytes))
}

fn take<'a>(data: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = data.split_at_checked(length)?;
    *data = rest;
    Some(taken)
}

fn varint(data: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let byte = *take(data, 1)?.first()?;
        // Of the tenth byte one bit is left; what is above is for the decoder to refuse.
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{self, Ask, Query};
    use alloc::vec;
    use proptest::prelude::*;

    fn ask(queries: usize) -> Ask {
        Ask {
            asker: "asker".to_owned(),
            queries: vec![Query::default(); queries],
            ..Default::default()
        }
    }

    fn refused(operation: Operation) -> ErrorCode {
        decode_packet(&encode_packet(operation)).unwrap_err().code
    }

    /// A query that runs.
    fn run(run: v1::Run) -> Operation {
        let query = Query {
            operation: Some(query::Operation::Run(run)),
            ..Default::default()
        };
        Operation::Ask(Ask {
            queries: vec![query],
            ..ask(0)
        })
    }

    fn read(contract: &str) -> v1::Read {
        v1::Read {
            contract: contract.to_owned(),
            query: None,
        }
    }

    #[test]
    fn packets_of_every_operation_are_read_as_written() {
        let withdraw = v1::Withdraw {
            asker: "asker".to_owned(),
            denom: "coin".to_owned(),
            amount: "12".to_owned(),
            receiver: "receiver".to_owned(),
            max_price: "3".to_owned(),
        };
        let set = v1::SetRecovery {
            asker: "asker".to_owned(),
            recovery: "recovery".to_owned(),
            ..Default::default()
        };
        for operation in [
            Operation::Ask(ask(MAX_QUERIES)),
            Operation::Withdraw(withdraw),
            Operation::SetRecovery(set),
        ] {
            assert_eq!(decode_packet(&encode_packet(operation.clone())), Ok(operation));
        }
    }

    #[test]
    fn numbers_of_parts_are_limited() {
        assert_eq!(refused(Operation::Ask(ask(0))), ErrorCode::InvalidPlan);
        assert_eq!(refused(Operation::Ask(ask(MAX_QUERIES + 1))), ErrorCode::InvalidPlan);
        let reads = |count| v1::Run {
            reads: vec![read("contract"); count],
            ..Default::default()
        };
        let steps = |count| v1::Run {
            steps: vec![v1::RunStep::default(); count],
            ..Default::default()
        };
        let inputs = |count| v1::Run {
            steps: vec![v1::RunStep {
                model: None,
                inputs: vec![v1::RunInput::default(); count],
            }],
            ..Default::default()
        };
        for (most, parts) in [
            (MAX_READS, &reads as &dyn Fn(usize) -> v1::Run),
            (MAX_STEPS, &steps),
            (MAX_PORTS, &inputs),
        ] {
            decode_packet(&encode_packet(run(parts(most)))).unwrap();
            assert_eq!(refused(run(parts(most + 1))), ErrorCode::InvalidPlan);
        }
    }

    #[test]
    fn lengths_are_limited() {
        let long = "x".repeat(MAX_ADDRESS_BYTES + 1);
        let asker = |asker: &str| {
            Operation::Ask(Ask {
                asker: asker.to_owned(),
                ..ask(1)
            })
        };
        decode_packet(&encode_packet(asker(&long[1..]))).unwrap();
        for bad in [&long, ""] {
            assert_eq!(refused(asker(bad)), ErrorCode::MalformedRequest);
            let reads = vec![read(bad)];
            assert_eq!(
                refused(run(v1::Run {
                    reads,
                    ..Default::default()
                })),
                ErrorCode::MalformedRequest
            );
        }
        let memo = |length| {
            let query = Query {
                memo: vec![7; length],
                ..Default::default()
            };
            Operation::Ask(Ask {
                queries: vec![query],
                ..ask(0)
            })
        };
        decode_packet(&encode_packet(memo(MAX_MEMO_BYTES))).unwrap();
        assert_eq!(refused(memo(MAX_MEMO_BYTES + 1)), ErrorCode::MalformedRequest);
        let huge = v1::Run {
            reads: vec![v1::Read {
                query: Some(v1::read::Query::Raw(vec![0; MAX_PACKET_BYTES])),
                ..read("contract")
            }],
            ..Default::default()
        };
        assert_eq!(refused(run(huge)), ErrorCode::MalformedRequest);
    }

    #[test]
    fn unknown_versions_and_operations_are_told_from_malformed_bytes() {
        let code = |bytes: &[u8]| decode_packet(bytes).unwrap_err().code;
        assert_eq!(code(&[]), ErrorCode::UnsupportedOperation);
        assert_eq!(code(&[8, 2, 18, 0]), ErrorCode::UnsupportedOperation);
        assert_eq!(code(&[8, 1]), ErrorCode::UnsupportedOperation);
        // Field 9, of a later version.
        assert_eq!(code(&[8, 1, 74, 1, 0]), ErrorCode::UnsupportedOperation);
        for bytes in [&[8][..], &[18, 5, 0], &[16, 1], &[7], &[0xff; 11], b"{}"] {
            assert_eq!(code(bytes), ErrorCode::MalformedRequest, "{bytes:?}");
        }
        // The same field twice, which decoders of protobuf would join past every limit.
        let mut twice = encode_packet(Operation::Ask(ask(200)));
        let again = twice[2..].to_vec();
        twice.extend_from_slice(&again);
        assert_eq!(code(&twice), ErrorCode::MalformedRequest);
    }

    /// Each message that a packet holds once, as its path of field numbers.
    const PACKET_MESSAGES: &[&[u64]] = &[
        &[2],
        &[3],
        &[4],
        &[2, 4, 1],
        &[2, 4, 2],
        &[2, 4, 2, 1],
        &[2, 4, 2, 1, 2],
        &[2, 4, 1, 2, 1],
        &[2, 4, 1, 2, 1, 2],
        &[2, 4, 1, 2, 2, 2],
        &[2, 4, 1, 2, 2, 3],
        &[2, 4, 1, 2, 2, 4],
        &[2, 4, 1, 2, 2, 4, 2],
        &[2, 4, 1, 2, 2, 4, 3],
    ];
    const ACKNOWLEDGEMENT_MESSAGES: &[&[u64]] = &[
        &[4],
        &[5],
        &[6],
        &[15],
        &[4, 1, 1],
        &[4, 1, 2],
        &[4, 1, 15],
        &[4, 1, 1, 2],
        &[4, 1, 1, 2, 2],
        &[4, 1, 2, 1],
    ];

    /// A message of version 1 with the empty message at that path so many times.
    fn nested(path: &[u64], times: usize) -> Vec<u8> {
        let (last, path) = path.split_last().unwrap();
        let key = |field: u64| (field << 3 | 2) as u8;
        let empty = [key(*last), 0].repeat(times);
        let message = path.iter().rev().fold(empty, |inner, &field| {
            let mut outer = vec![key(field), inner.len() as u8];
            outer.extend(inner);
            outer
        });
        let mut bytes = vec![8, 1];
        bytes.extend(message);
        bytes
    }

    #[test]
    fn no_message_that_stands_once_may_stand_twice() {
        for path in PACKET_MESSAGES {
            count(&nested(path, 1), PACKET).unwrap();
            let code = decode_packet(&nested(path, 2)).unwrap_err().code;
            assert_eq!(code, ErrorCode::MalformedRequest, "{path:?}");
        }
        for path in ACKNOWLEDGEMENT_MESSAGES {
            decode_acknowledgement(&nested(path, 1)).unwrap();
            let code = decode_acknowledgement(&nested(path, 2)).unwrap_err().code;
            assert_eq!(code, ErrorCode::MalformedAnswer, "{path:?}");
        }
    }

    #[test]
    fn unknown_fields_are_skipped() {
        let mut bytes = encode_packet(Operation::Ask(ask(1)));
        // Field 100: a number, bytes, 4 and 8 bytes.
        bytes.extend_from_slice(&[
            0xa0, 6, 1, 0xa2, 6, 2, 0, 0, 0xa5, 6, 0, 0, 0, 0, 0xa1, 6, 0, 0, 0, 0, 0, 0, 0, 0,
        ]);
        assert_eq!(decode_packet(&bytes), Ok(Operation::Ask(ask(1))));
    }

    #[test]
    fn acknowledgements_are_told_from_ibc_gos_own() {
        let code = |bytes: &[u8]| decode_acknowledgement(bytes).unwrap_err().code;
        for bytes in [
            &b"{\"error\":\"ABCI code: 1: error handling packet: see events for details\"}"[..],
            b"{\"result\":\"AQ==\"}",
            b"",
            &[8, 2],
            &[8],
        ] {
            assert_eq!(code(bytes), ErrorCode::MalformedAnswer, "{bytes:?}");
        }
        let withdrawn = acknowledgement::Result::Withdrawn(v1::Withdrawn { amount: "5".to_owned() });
        let read = decode_acknowledgement(&acknowledge(7, 8, withdrawn.clone())).unwrap();
        assert_eq!((read.height, read.time, read.result), (7, 8, Some(withdrawn)));
    }

    #[test]
    fn amounts_are_plain_digits() {
        for (text, value) in [
            ("", 0),
            ("0", 0),
            ("007", 7),
            ("340282366920938463463374607431768211455", u128::MAX),
        ] {
            assert_eq!(amount(text), Some(value));
        }
        for bad in [
            "340282366920938463463374607431768211456",
            "+1",
            "-1",
            "1.0",
            " 1",
            "1_000",
            "\u{661}",
        ] {
            assert_eq!(amount(bad), None, "{bad}");
        }
        assert_eq!((digits(0).as_str(), digits(120).as_str()), ("", "120"));
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let cut = error(5, "\u{e9}".repeat(MAX_ERROR_BYTES), 3);
        assert_eq!((cut.message.len(), cut.code, cut.step), (MAX_ERROR_BYTES, 5, 3));
        let cut = error(5, format!("x{}", "\u{e9}".repeat(MAX_ERROR_BYTES)), 0);
        assert_eq!(cut.message.len(), MAX_ERROR_BYTES - 1);
    }

    fn answer(reads: usize, memo: usize) -> Answer {
        Answer {
            result: Some(answer::Result::Run(v1::RunAnswer {
                reads: vec![vec![1; reads]],
                infer: None,
            })),
            price: "1".to_owned(),
            memo: vec![2; memo],
        }
    }

    #[test]
    fn the_last_query_finds_room_for_an_error_whatever_came_before() {
        let longest = || Answer {
            price: u128::MAX.to_string(),
            ..answer(MAX_ACKNOWLEDGEMENT_BYTES, MAX_MEMO_BYTES)
        };
        let mut room = Room::new([MAX_MEMO_BYTES; MAX_QUERIES]);
        let mut entries = vec![];
        for _ in 0..MAX_QUERIES {
            entries.extend(room.place(longest()));
        }
        let data = acknowledge_answers(u64::MAX, u64::MAX, &entries);
        assert!(data.len() <= MAX_ACKNOWLEDGEMENT_BYTES);
        let Some(acknowledgement::Result::Answers(answers)) = decode_acknowledgement(&data).unwrap().result else {
            panic!("no answers")
        };
        assert_eq!(answers.answers.len(), MAX_QUERIES);
        for answer in answers.answers {
            assert!(matches!(
                answer.result,
                Some(answer::Result::Error(Error { code: 5, .. }))
            ));
            assert_eq!(
                (answer.memo.len(), answer.price),
                (MAX_MEMO_BYTES, u128::MAX.to_string())
            );
        }
    }

    #[test]
    fn an_answer_of_all_the_room_is_given_and_a_byte_more_is_not() {
        let place = |reads| {
            let mut room = Room::new([0]);
            let entry = room.place(answer(reads, 0));
            acknowledge_answers(u64::MAX, u64::MAX, &entry).len()
        };
        let most = (0..MAX_ACKNOWLEDGEMENT_BYTES)
            .rev()
            .find(|&reads| place(reads) > reads)
            .unwrap();
        assert!(place(most) <= MAX_ACKNOWLEDGEMENT_BYTES && place(most) > MAX_ACKNOWLEDGEMENT_BYTES - 64);
        assert!(place(most + 1) < 200);
    }

    proptest! {
        #[test]
        fn acknowledgements_stay_within_their_limit(sizes in prop::collection::vec((0usize..40_000, 0usize..=MAX_MEMO_BYTES), 1..=MAX_QUERIES)) {
            let mut room = Room::new(sizes.iter().map(|(_, memo)| *memo));
            let mut entries = vec![];
            for (reads, memo) in &sizes {
                entries.extend(room.place(answer(*reads, *memo)));
            }
            let data = acknowledge_answers(1, 2, &entries);
            prop_assert!(data.len() <= MAX_ACKNOWLEDGEMENT_BYTES);
            let read = decode_acknowledgement(&data).unwrap();
            let Some(acknowledgement::Result::Answers(answers)) = read.result else { panic!("no answers") };
            prop_assert_eq!(answers.answers.len(), sizes.len());
            prop_assert!(answers.answers.iter().zip(&sizes).all(|(answer, (_, memo))| answer.memo.len() == *memo));
        }

        #[test]
        fn any_bytes_give_a_packet_or_a_fault(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (decode_packet(&bytes), decode_acknowledgement(&bytes));
        }

        #[test]
        fn damaged_packets_give_a_packet_or_a_fault(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let reads = vec![read("contract"); 3];
            let mut bytes = encode_packet(run(v1::Run { reads, ..Default::default() }));
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = (decode_packet(&bytes), decode_acknowledgement(&bytes));
        }
    }
}
