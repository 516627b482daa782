//! The JSON that the chain's query path wraps around an answer: `{"ok":{"ok":"<base64>"}}`.

use base64::{engine::general_purpose::STANDARD, Engine};

use crate::Error;

const HEAD: &[u8] = br#"{"ok":{"ok":""#;
const TAIL: &[u8] = br#""}}"#;

/// The bytes inside. Anything else the chain may say is its own error and comes back as text.
///
/// Strict: the host writes exactly these bytes, so a JSON parser would be dead weight in every contract.
#[cfg_attr(not(all(target_arch = "wasm32", feature = "imports")), allow(dead_code))]
pub fn open(answer: &[u8]) -> Result<Vec<u8>, Error> {
    let Some(inner) = answer.strip_prefix(HEAD).and_then(|rest| rest.strip_suffix(TAIL)) else {
        return Err(Error::Host(String::from_utf8_lossy(answer).into_owned()));
    };
    STANDARD
        .decode(inner)
        .map_err(|_| Error::InvalidAnswer("its payload is no base64"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_payload_is_unwrapped() {
        assert_eq!(open(br#"{"ok":{"ok":"AQID"}}"#), Ok(vec![1, 2, 3]));
        assert_eq!(open(br#"{"ok":{"ok":"AQ=="}}"#), Ok(vec![1]));
        assert_eq!(open(br#"{"ok":{"ok":""}}"#), Ok(vec![]));
    }

    #[test]
    fn an_error_of_the_chain_is_handed_on_as_its_text() {
        for text in [
            r#"{"error":{"invalid_request":{"error":"invalid character '\\x00'","request":"AGE="}}}"#,
            r#"{"ok":{"error":"out of luck"}}"#,
            r#"{"ok":{"ok":"AQID"}"#,
            r#"{"ok":{"ok":"AQ"#,
            r#"{"ok":{"ok":"}}"#,
            r#" {"ok":{"ok":"AQID"}}"#,
            "",
        ] {
            assert_eq!(open(text.as_bytes()), Err(Error::Host(text.to_string())));
        }
        assert!(matches!(open(&[0xff, 0xfe]), Err(Error::Host(_))));
    }

    #[test]
    fn bad_base64_is_an_invalid_answer() {
        for payload in [
            "AQI",
            "AQ=",
            "A",
            "AQ\\u003d\\u003d",
            "AQID\n",
            "AQID\",\"x\":\"",
            "AR==",
        ] {
            let answer = format!("{{\"ok\":{{\"ok\":\"{payload}\"}}}}");
            assert!(
                matches!(open(answer.as_bytes()), Err(Error::InvalidAnswer(_))),
                "{payload}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_survive(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let answer = format!("{{\"ok\":{{\"ok\":\"{}\"}}}}", STANDARD.encode(&bytes));
            prop_assert_eq!(open(answer.as_bytes()), Ok(bytes));
        }

        #[test]
        fn no_answer_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = open(&bytes);
        }
    }
}
