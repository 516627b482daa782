//! What the fuzz target and the replay of its corpus check.

use aiinference_types::{
    ibc::{decode_acknowledgement, decode_packet, encode_packet},
    limits::{MAX_ADDRESS_BYTES, MAX_MEMO_BYTES, MAX_PORTS, MAX_QUERIES, MAX_READS, MAX_STEPS},
    v1::{acknowledgement, packet_data::Operation, query},
};
use prost::Message;

/// Bytes as a packet and as an acknowledgement. What is read is within its limits, and reads the same once it is written
/// again. Whether it was one of them.
pub fn check(data: &[u8]) -> (bool, bool) {
    let packet = decode_packet(data);
    if let Ok(operation) = &packet {
        check_operation(operation);
        assert_eq!(decode_packet(&encode_packet(operation.clone())).as_ref(), Ok(operation));
    }
    let acknowledgement = decode_acknowledgement(data);
    if let Ok(read) = &acknowledgement {
        assert_ne!(data.first(), Some(&b'{'), "it may be one of ibc-go's");
        if let Some(acknowledgement::Result::Answers(answers)) = &read.result {
            assert!(answers.answers.len() <= MAX_QUERIES);
        }
        assert_eq!(decode_acknowledgement(&read.encode_to_vec()).as_ref(), Ok(read));
    }
    (packet.is_ok(), acknowledgement.is_ok())
}

fn check_operation(operation: &Operation) {
    let text = |text: &str| assert!(text.len() <= MAX_ADDRESS_BYTES);
    match operation {
        Operation::Ask(ask) => {
            text(&ask.asker);
            text(&ask.denom);
            assert!((1..=MAX_QUERIES).contains(&ask.queries.len()));
            for query in &ask.queries {
                assert!(query.memo.len() <= MAX_MEMO_BYTES);
                let Some(query::Operation::Run(run)) = &query.operation else {
                    continue;
                };
                assert!(run.reads.len() <= MAX_READS && run.steps.len() <= MAX_STEPS);
                assert!(run.outputs.len() <= MAX_STEPS * MAX_PORTS);
                assert!(run.steps.iter().all(|step| step.inputs.len() <= MAX_PORTS));
                run.reads.iter().for_each(|read| text(&read.contract));
            }
        }
        Operation::Withdraw(withdraw) => {
            text(&withdraw.asker);
            text(&withdraw.denom);
            text(&withdraw.receiver);
        }
        Operation::SetRecovery(set) => {
            text(&set.asker);
            text(&set.denom);
            text(&set.recovery);
        }
    }
}
