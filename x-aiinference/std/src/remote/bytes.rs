//! Bytes and times as contracts' messages hold them, for both versions of cosmwasm-std.

use core::{fmt, ops::Deref};

use base64::{engine::general_purpose::STANDARD, Engine};
use serde::{de, Deserialize, Deserializer, Serialize, Serializer};

/// Bytes, in JSON as base64: the `Binary` of cosmwasm-std, into and from which they convert.
#[derive(Clone, Default, PartialEq, Eq)]
#[cfg_attr(any(feature = "std2", feature = "std3"), derive(schemars::JsonSchema))]
#[cfg_attr(feature = "std3", derive(cw_schema::Schemaifier))]
#[cfg_attr(feature = "std3", schemaifier(type = cw_schema::NodeType::Binary))]
pub struct Bytes(#[cfg_attr(any(feature = "std2", feature = "std3"), schemars(with = "String"))] Vec<u8>);

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes(bytes)
    }
}

impl From<Bytes> for Vec<u8> {
    fn from(bytes: Bytes) -> Self {
        bytes.0
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(&self.0))
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = deserializer.deserialize_str(Text("base64"))?;
        let bytes = STANDARD.decode(text);
        bytes.map(Bytes).map_err(|_| de::Error::custom("bytes are base64"))
    }
}

/// A time in nanoseconds since 1970, in JSON as decimal digits: the `Timestamp` of cosmwasm-std.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(any(feature = "std2", feature = "std3"), derive(schemars::JsonSchema))]
#[cfg_attr(feature = "std3", derive(cw_schema::Schemaifier))]
#[cfg_attr(feature = "std3", schemaifier(type = cw_schema::NodeType::Timestamp))]
pub struct Nanos(#[cfg_attr(any(feature = "std2", feature = "std3"), schemars(with = "String"))] pub u64);

impl Serialize for Nanos {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Nanos {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = deserializer.deserialize_str(Text("digits"))?;
        text.parse().map(Nanos).map_err(de::Error::custom)
    }
}

/// Reads a string; says what it should hold.
struct Text(&'static str);

impl de::Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a string of {}", self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<String, E> {
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_times_are_strings_in_json_as_cosmwasm_writes_them() {
        let bytes = Bytes::from(vec![1, 2, 255]);
        let json = serde_json::to_string(&bytes).unwrap();
        assert_eq!(
            json,
            serde_json::to_string(&cosmwasm_std::Binary::from([1, 2, 255])).unwrap()
        );
        assert_eq!(serde_json::from_str::<Bytes>(&json).unwrap(), bytes);
        assert!(serde_json::from_str::<Bytes>("\"?\"").is_err());

        let time = Nanos(u64::MAX);
        let json = serde_json::to_string(&time).unwrap();
        let stamp = cosmwasm_std::Timestamp::from_nanos(u64::MAX);
        assert_eq!(json, serde_json::to_string(&stamp).unwrap());
        assert_eq!(serde_json::from_str::<Nanos>(&json).unwrap(), time);
        assert!(serde_json::from_str::<Nanos>("\"-1\"").is_err());
    }
}
