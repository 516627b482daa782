//! Versions of models.

use std::{fmt, str::FromStr};

use serde::{de, Deserialize, Deserializer, Serialize, Serializer};

/// `major.minor.patch`, in JSON as a string. Each is a number below 2^21, without leading zeros.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, schemars::JsonSchema, cw_schema::Schemaifier)]
#[schemaifier(type = cw_schema::NodeType::String)]
pub struct Version(#[schemars(with = "String")] u64);

/// No version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("reading a version: it is not three numbers below 2097152 as in 1.0.3")]
pub struct VersionError;

const PART_BITS: u32 = 21;
const PART_END: u32 = 1 << PART_BITS;

impl Version {
    /// Of its parts; none where one is too large.
    pub fn new(major: u32, minor: u32, patch: u32) -> Option<Self> {
        let parts = [major, minor, patch];
        let fits = parts.iter().all(|&part| part < PART_END);
        let packed = parts
            .iter()
            .fold(0, |packed, &part| packed << PART_BITS | u64::from(part));
        fits.then_some(Version(packed))
    }

    /// Major, minor and patch.
    pub fn parts(self) -> [u32; 3] {
        [2, 1, 0].map(|index| (self.0 >> (index * PART_BITS)) as u32 & (PART_END - 1))
    }

    /// One number, in the order of versions.
    pub(crate) fn packed(self) -> u64 {
        self.0
    }

    /// The version of such a number.
    pub(crate) fn from_packed(packed: u64) -> Self {
        Version(packed)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.parts();
        write!(f, "{major}.{minor}.{patch}")
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let mut parts = text.split('.').map(part);
        let mut next = || parts.next().flatten().ok_or(VersionError);
        let (major, minor, patch) = (next()?, next()?, next()?);
        match parts.next() {
            None => Version::new(major, minor, patch).ok_or(VersionError),
            Some(_) => Err(VersionError),
        }
    }
}

/// A number in its one form.
fn part(digits: &str) -> Option<u32> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    digits.parse().ok().filter(|_| plain)
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl de::Visitor<'_> for Text {
            type Value = Version;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a version as 1.0.3")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Version, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn versions_are_three_plain_numbers() {
        for text in ["0.0.0", "1.0.3", "2097151.2097151.2097151"] {
            assert_eq!(version(text).to_string(), text);
        }
        for text in [
            "",
            "1",
            "1.2",
            "1.2.3.4",
            "1..2",
            "1.2.",
            ".1.2",
            "01.0.0",
            "1.+2.3",
            "1.-2.3",
            "1.2.3 ",
            "a.b.c",
            "v1.0.0",
            "1.2.3-rc1",
            "2097152.0.0",
            "4294967297.0.0",
        ] {
            assert_eq!(text.parse::<Version>(), Err(VersionError), "{text}");
        }
    }

    #[test]
    fn the_numbers_of_versions_are_in_their_order() {
        let ascending = [
            "0.0.0",
            "0.0.2097151",
            "0.1.0",
            "0.2097151.2097151",
            "1.0.0",
            "1.9.9",
            "1.10.0",
            "2097151.0.1",
        ];
        let packed: Vec<u64> = ascending.iter().map(|text| version(text).packed()).collect();
        assert!(packed.is_sorted());
        for (text, packed) in ascending.iter().zip(packed) {
            assert_eq!(Version::from_packed(packed), version(text));
        }
    }
}
