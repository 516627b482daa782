//! SHA-256 values as contracts store and show them.

use core::fmt;

use serde::{de, Deserialize, Deserializer, Serialize, Serializer};

/// 32 bytes of SHA-256, in JSON 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(any(feature = "std2", feature = "std3"), derive(schemars::JsonSchema))]
#[cfg_attr(feature = "std3", derive(cw_schema::Schemaifier))]
#[cfg_attr(feature = "std3", schemaifier(type = cw_schema::NodeType::Checksum))]
pub struct Checksum(#[cfg_attr(any(feature = "std2", feature = "std3"), schemars(with = "String"))] [u8; 32]);

impl Checksum {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// As hex digits.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Of 64 hex digits, or None.
    pub fn from_hex(digits: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).ok()?;
        Some(Checksum(bytes))
    }
}

impl From<[u8; 32]> for Checksum {
    fn from(bytes: [u8; 32]) -> Self {
        Checksum(bytes)
    }
}

impl From<Checksum> for [u8; 32] {
    fn from(checksum: Checksum) -> Self {
        checksum.0
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Checksum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

impl<'de> Deserialize<'de> for Checksum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Hex;

        impl de::Visitor<'_> for Hex {
            type Value = Checksum;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("64 hex digits")
            }

            fn visit_str<E: de::Error>(self, digits: &str) -> Result<Checksum, E> {
                Checksum::from_hex(digits).ok_or_else(|| E::custom("a checksum is 64 hex digits"))
            }
        }

        deserializer.deserialize_str(Hex)
    }
}
