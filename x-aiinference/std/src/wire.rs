//! Requests to bytes and answers from bytes.
//!
//! Requests are encoded, and answers decoded, as only the part that the operation has: a contract that runs models carries no
//! code for reading descriptions of models.

use aiinference_types::{abi, v1};
use prost::Message;

use crate::Error;

/// An `aiinference.v1.Response` to `Operation::Infer`.
#[derive(Clone, PartialEq, Message)]
pub struct InferAnswer {
    #[prost(message, optional, tag = "1")]
    infer: Option<v1::InferResponse>,
    #[prost(message, optional, tag = "15")]
    error: Option<v1::Error>,
}

/// An `aiinference.v1.Response` to `Operation::ModelInfo`.
#[derive(Clone, PartialEq, Message)]
pub struct InfoAnswer {
    #[prost(message, optional, tag = "2")]
    model_info: Option<v1::ModelInfo>,
    #[prost(message, optional, tag = "15")]
    error: Option<v1::Error>,
}

/// An `aiinference.v1.Response` to a request to check a proof.
#[derive(Clone, PartialEq, Message)]
pub struct VerifyAnswer {
    #[prost(message, optional, tag = "3")]
    verify: Option<v1::VerifyResponse>,
    #[prost(message, optional, tag = "15")]
    error: Option<v1::Error>,
}

/// An `aiinference.v1.Request` that runs models.
#[derive(Clone, PartialEq, Message)]
pub struct InferQuestion {
    #[prost(message, optional, tag = "1")]
    pub infer: Option<v1::InferRequest>,
}

/// An `aiinference.v1.Request` that asks for a model's description.
#[derive(Clone, PartialEq, Message)]
pub struct InfoQuestion {
    #[prost(message, optional, tag = "2")]
    pub model_info: Option<v1::ModelInfoRequest>,
}

/// An `aiinference.v1.Request` that has a proof checked.
#[derive(Clone, PartialEq, Message)]
pub struct VerifyQuestion {
    #[prost(message, optional, tag = "3")]
    pub verify: Option<v1::VerifyRequest>,
}

/// The bytes of a request: magic, then the message.
pub fn request(message: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(abi::MAGIC.len() + message.encoded_len());
    bytes.extend_from_slice(&abi::MAGIC);
    // A Vec grows, so there is always room.
    message.encode(&mut bytes).ok();
    bytes
}

/// The result of a run.
pub fn infer_answer(response: &[u8]) -> Result<v1::InferResponse, Error> {
    let answer = InferAnswer::decode(response).map_err(|_| UNREADABLE)?;
    part(answer.infer, answer.error)
}

/// The description of a model.
#[inline(never)]
pub fn info_answer(response: &[u8]) -> Result<v1::ModelInfo, Error> {
    let answer = InfoAnswer::decode(response).map_err(|_| UNREADABLE)?;
    part(answer.model_info, answer.error)
}

/// What came of checking a proof.
#[inline(never)]
pub fn verify_answer(response: &[u8]) -> Result<v1::VerifyResponse, Error> {
    let answer = VerifyAnswer::decode(response).map_err(|_| UNREADABLE)?;
    part(answer.verify, answer.error)
}

const UNREADABLE: Error = Error::InvalidAnswer("it is no aiinference.v1.Response");

fn part<T>(result: Option<T>, error: Option<v1::Error>) -> Result<T, Error> {
    match (error, result) {
        (Some(v1::Error { code, message, step }), _) => Err(Error::Refused { code, message, step }),
        (None, Some(result)) => Ok(result),
        (None, None) => Err(Error::InvalidAnswer("it holds no result")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorCode, Outputs};
    use proptest::prelude::*;
    use v1::response;

    fn bytes(result: response::Result) -> Vec<u8> {
        v1::Response { result: Some(result) }.encode_to_vec()
    }

    fn result() -> v1::InferResponse {
        v1::InferResponse {
            outputs: vec![v1::Tensor::from_integers(
                "y".to_string(),
                vec![3],
                4,
                -9,
                9,
                &[1, -2, 3],
            )],
            receipt: Some(v1::Receipt {
                models: vec![v1::ModelUsed {
                    code_id: 7,
                    checksum: vec![1; 32],
                    op_set: 0,
                }],
                inputs_hash: vec![2; 32],
                outputs_hash: vec![3; 32],
                gas: 12_345,
                gas_schedule: 1,
                saturated: false,
            }),
        }
    }

    #[test]
    fn a_request_is_the_message_behind_the_magic() {
        use v1::request::Operation;

        let (infer, info, verify) = Default::default();
        let parts = [
            request(&InferQuestion { infer: Some(infer) }),
            request(&InfoQuestion { model_info: Some(info) }),
            request(&VerifyQuestion { verify: Some(verify) }),
        ];
        let wholes = [
            Operation::Infer(Default::default()),
            Operation::ModelInfo(Default::default()),
            Operation::Verify(Default::default()),
        ];
        for (bytes, operation) in parts.iter().zip(wholes) {
            let message = bytes.strip_prefix(&abi::MAGIC).unwrap();
            assert_eq!(v1::Request::decode(message).unwrap().operation, Some(operation));
        }
    }

    #[test]
    fn answers_are_read_as_the_full_message_says() {
        assert_eq!(infer_answer(&bytes(response::Result::Infer(result()))), Ok(result()));
        let info = v1::ModelInfo {
            op_set: 3,
            run_gas: 9,
            ..Default::default()
        };
        assert_eq!(info_answer(&bytes(response::Result::ModelInfo(info.clone()))), Ok(info));
    }

    #[test]
    fn a_refusal_keeps_code_message_and_step() {
        let refusal = v1::Error {
            code: 25,
            message: "too big".to_string(),
            step: 2,
        };
        let error = infer_answer(&bytes(response::Result::Error(refusal.clone()))).unwrap_err();
        assert_eq!(
            error,
            Error::Refused {
                code: 25,
                message: "too big".to_string(),
                step: 2
            }
        );
        assert_eq!(error.code(), Some(ErrorCode::OutOfRange));
        assert_eq!(info_answer(&bytes(response::Result::Error(refusal))), Err(error));
    }

    #[test]
    fn the_code_of_a_newer_host_is_kept_as_a_number() {
        let refusal = v1::Error {
            code: 9_999,
            ..Default::default()
        };
        let error = infer_answer(&bytes(response::Result::Error(refusal))).unwrap_err();
        assert!(matches!(error, Error::Refused { code: 9_999, .. }));
        assert_eq!(error.code(), None);
    }

    #[test]
    fn answers_without_the_result_asked_for_are_invalid() {
        let info = bytes(response::Result::ModelInfo(v1::ModelInfo::default()));
        for answer in [&[][..], &info, &[0xff; 10], b"\x0a\x05abc"] {
            assert!(
                matches!(infer_answer(answer), Err(Error::InvalidAnswer(_))),
                "{answer:?}"
            );
        }
    }

    #[test]
    fn results_without_a_whole_receipt_are_invalid() {
        let mut no_receipt = result();
        no_receipt.receipt = None;
        let mut short_hash = result();
        short_hash.receipt.as_mut().unwrap().outputs_hash.pop();
        let mut short_checksum = result();
        short_checksum.receipt.as_mut().unwrap().models[0].checksum.clear();
        for bad in [no_receipt, short_hash, short_checksum] {
            assert!(matches!(Outputs::from_message(bad), Err(Error::InvalidAnswer(_))));
        }
    }

    proptest! {
        #[test]
        fn damaged_answers_give_errors_or_results_and_never_panic(at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<bool>()) {
            let mut answer = bytes(response::Result::Infer(result()));
            let at = at.index(answer.len());
            if cut {
                answer.truncate(at);
            } else {
                answer[at] ^= 1 << bit;
            }
            if let Ok(outputs) = infer_answer(&answer).and_then(Outputs::from_message) {
                for output in &outputs {
                    let _ = (output.to_i64s(), output.to_bytes(), output.integers().count());
                }
            }
        }

        #[test]
        fn any_bytes_give_errors_or_results(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = infer_answer(&bytes).and_then(Outputs::from_message);
            let _ = info_answer(&bytes);
        }
    }
}
