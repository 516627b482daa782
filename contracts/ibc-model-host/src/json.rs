//! Numbers out of a JSON text, exactly: a small strict scanner, for what other contracts answer. One pass, no tree, no
//! floating point.

/// Nested arrays and objects, at most.
const MAX_DEPTH: usize = 64;
/// Numbers, at most: as decimals more do not fit a request.
pub const MAX_NUMBERS: usize = 4096;
/// Decimal places of a number.
const PLACES: usize = 18;

/// Why a text gives no numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// The text is none of JSON.
    #[error("what was read is no JSON text")]
    NotJson,
    /// Arrays in arrays, and so on.
    #[error("the JSON text is nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// The pointer is none of RFC 6901.
    #[error("the pointer is none: it begins with '/', and '~' is followed by 0 or 1")]
    BadPointer,
    /// The pointer leads nowhere.
    #[error("the pointer names nothing in the JSON text")]
    NotFound,
    /// An object on the pointer's way has a key twice.
    #[error("an object on the pointer's way has the key twice")]
    Ambiguous,
    /// Something else than a number, a string that holds one, a boolean, or an array of those.
    #[error("the value is no number, boolean or array of those")]
    NotANumber,
    /// A number that is not exact in units of 10^-18, or beyond 128 bits of them.
    #[error("a number has an exponent, more than {PLACES} places, or is too large")]
    NotExact,
    /// More numbers than fit a request.
    #[error("there are more than {MAX_NUMBERS} numbers")]
    TooMany,
}

/// The numbers of the value that a pointer names, row-major, in units of 10^-18.
pub fn numbers(text: &[u8], pointer: &str) -> Result<Vec<i128>, JsonError> {
    let text = core::str::from_utf8(text).map_err(|_| JsonError::NotJson)?;
    let tokens = tokens(pointer)?;
    let mut scanner = Scanner {
        text: text.as_bytes(),
        at: 0,
        found: None,
    };
    scanner.value(Place::Way(&tokens), 0)?;
    scanner.space();
    if scanner.at != scanner.text.len() {
        return Err(JsonError::NotJson);
    }
    scanner.found.ok_or(JsonError::NotFound)
}

/// The reference tokens of a pointer.
fn tokens(pointer: &str) -> Result<Vec<String>, JsonError> {
    if pointer.is_empty() {
        return Ok(vec![]);
    }
    let pointer = pointer.strip_prefix('/').ok_or(JsonError::BadPointer)?;
    pointer
        .split('/')
        .map(|token| {
            let mut plain = String::with_capacity(token.len());
            let mut chars = token.chars();
            while let Some(c) = chars.next() {
                plain.push(match (c, c == '~') {
                    (_, true) => match chars.next() {
                        Some('0') => '~',
                        Some('1') => '/',
                        _ => return Err(JsonError::BadPointer),
                    },
                    (c, false) => c,
                });
            }
            Ok(plain)
        })
        .collect()
}

/// The index that a token names, as RFC 6901 has it: no sign, no leading zero.
fn index(token: &str) -> Option<usize> {
    let plain = token == "0" || (!token.starts_with('0') && token.bytes().all(|b| b.is_ascii_digit()));
    plain.then(|| token.parse().ok()).flatten()
}

/// Units of 10^-18 of a plain decimal.
fn decimal(text: &str) -> Result<i128, JsonError> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, places) = match text.split_once('.') {
        Some((whole, places)) if !places.is_empty() => (whole, places),
        Some(_) => return Err(JsonError::NotANumber),
        None => (text, ""),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(places) {
        let exponent = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
        let begins = whole.bytes().next().is_some_and(|b| b.is_ascii_digit());
        return Err(if exponent && begins {
            JsonError::NotExact
        } else {
            JsonError::NotANumber
        });
    }
    if places.len() > PLACES {
        return Err(JsonError::NotExact);
    }
    let zeros = core::iter::repeat_n(b'0', PLACES - places.len());
    let mut units = 0i128;
    for digit in whole.bytes().chain(places.bytes()).chain(zeros) {
        units = units
            .checked_mul(10)
            .and_then(|units| units.checked_add(i128::from(digit - b'0')))
            .ok_or(JsonError::NotExact)?;
    }
    Ok(if negative { -units } else { units })
}

/// Where a value stands to the one that the pointer names.
#[derive(Clone, Copy)]
enum Place<'t> {
    /// On the way to it, with these tokens left; without any, it is the value.
    Way(&'t [String]),
    /// Within it.
    Within,
    /// Elsewhere.
    Aside,
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    /// The numbers, once the value was met.
    found: Option<Vec<i128>>,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, bytes: &[u8]) -> Result<(), JsonError> {
        match self.text.get(self.at..self.at + bytes.len()) {
            Some(found) if found == bytes => {
                self.at += bytes.len();
                Ok(())
            }
            _ => Err(JsonError::NotJson),
        }
    }

    fn value(&mut self, place: Place, depth: usize) -> Result<(), JsonError> {
        if depth > MAX_DEPTH {
            return Err(JsonError::TooDeep);
        }
        let place = match place {
            Place::Way([]) => {
                self.found = Some(vec![]);
                Place::Within
            }
            place => place,
        };
        self.space();
        let taken = matches!(place, Place::Within);
        match self.peek() {
            Some(b'{') if taken => Err(JsonError::NotANumber),
            Some(b'{') => self.object(place, depth),
            Some(b'[') => self.array(place, depth),
            Some(b'"') => {
                let text = self.string()?;
                if taken {
                    self.push(decimal(&text)?)?;
                }
                Ok(())
            }
            Some(b't') => {
                self.expect(b"true")?;
                self.push_if(taken, 10i128.pow(PLACES as u32))
            }
            Some(b'f') => {
                self.expect(b"false")?;
                self.push_if(taken, 0)
            }
            Some(b'n') => {
                self.expect(b"null")?;
                if taken {
                    return Err(JsonError::NotANumber);
                }
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => {
                let text = self.number()?;
                if taken {
                    self.push(decimal(text)?)?;
                }
                Ok(())
            }
            _ => Err(JsonError::NotJson),
        }
    }

    fn push_if(&mut self, taken: bool, units: i128) -> Result<(), JsonError> {
        if taken {
            self.push(units)?;
        }
        Ok(())
    }

    fn push(&mut self, units: i128) -> Result<(), JsonError> {
        let found = self.found.get_or_insert_default();
        if found.len() == MAX_NUMBERS {
            return Err(JsonError::TooMany);
        }
        found.push(units);
        Ok(())
    }

    fn object(&mut self, place: Place, depth: usize) -> Result<(), JsonError> {
        self.expect(b"{")?;
        self.space();
        if self.eat(b'}') {
            return Ok(());
        }
        let mut met = false;
        loop {
            self.space();
            let key = self.string()?;
            self.space();
            self.expect(b":")?;
            let next = match place {
                Place::Way([token, rest @ ..]) if *token == key => {
                    if core::mem::replace(&mut met, true) {
                        return Err(JsonError::Ambiguous);
                    }
                    Place::Way(rest)
                }
                _ => Place::Aside,
            };
            self.value(next, depth + 1)?;
            self.space();
            if self.eat(b'}') {
                return Ok(());
            }
            self.expect(b",")?;
        }
    }

    fn array(&mut self, place: Place, depth: usize) -> Result<(), JsonError> {
        self.expect(b"[")?;
        self.space();
        if self.eat(b']') {
            return Ok(());
        }
        let wanted = match place {
            Place::Way([token, rest @ ..]) => index(token).map(|index| (index, rest)),
            _ => None,
        };
        for index in 0usize.. {
            let next = match (place, wanted) {
                (Place::Within, _) => Place::Within,
                (_, Some((wanted, rest))) if wanted == index => Place::Way(rest),
                _ => Place::Aside,
            };
            self.value(next, depth + 1)?;
            self.space();
            if self.eat(b']') {
                break;
            }
            self.expect(b",")?;
        }
        Ok(())
    }

    /// A number as it is written.
    fn number(&mut self) -> Result<&'a str, JsonError> {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _ = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        core::str::from_utf8(text).map_err(|_| JsonError::NotJson)
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start {
            return Err(JsonError::NotJson);
        }
        Ok(())
    }

    /// A string, its escapes resolved.
    fn string(&mut self) -> Result<String, JsonError> {
        self.expect(b"\"")?;
        let mut plain = vec![];
        loop {
            let byte = self.peek().ok_or(JsonError::NotJson)?;
            self.at += 1;
            match byte {
                b'"' => break,
                b'\\' => {
                    let c = self.escape()?;
                    plain.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                0..0x20 => return Err(JsonError::NotJson),
                byte => plain.push(byte),
            }
        }
        // Of a valid text, cut at ASCII characters.
        String::from_utf8(plain).map_err(|_| JsonError::NotJson)
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let byte = self.peek().ok_or(JsonError::NotJson)?;
        self.at += 1;
        Ok(match byte {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.hex()?;
                let code = match unit {
                    0xd800..0xdc00 => {
                        self.expect(b"\\u")?;
                        match self.hex()? {
                            low @ 0xdc00..0xe000 => 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00),
                            _ => return Err(JsonError::NotJson),
                        }
                    }
                    unit => unit,
                };
                char::from_u32(code).ok_or(JsonError::NotJson)?
            }
            _ => return Err(JsonError::NotJson),
        })
    }

    fn hex(&mut self) -> Result<u32, JsonError> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            unit = unit * 16 + digit.ok_or(JsonError::NotJson)?;
            self.at += 1;
        }
        Ok(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    const ONE: i128 = 1_000_000_000_000_000_000;

    fn read(text: &str, pointer: &str) -> Result<Vec<i128>, JsonError> {
        numbers(text.as_bytes(), pointer)
    }

    #[test]
    fn numbers_enter_exactly() {
        assert_eq!(read("1", ""), Ok(vec![ONE]));
        assert_eq!(read(" -0.5 ", ""), Ok(vec![-ONE / 2]));
        assert_eq!(read(r#""123.000000000000000001""#, ""), Ok(vec![123 * ONE + 1]));
        assert_eq!(read("[true,[false,[]],\"7\"]", ""), Ok(vec![ONE, 0, 7 * ONE]));
        assert_eq!(
            read("170141183460469231731.687303715884105727", ""),
            Ok(vec![i128::MAX])
        );
        assert_eq!(
            read("170141183460469231731.687303715884105728", ""),
            Err(JsonError::NotExact)
        );
        assert_eq!(read("\"-0\"", ""), Ok(vec![0]));
        assert_eq!(read(r#""\u0031\u002e5""#, ""), Ok(vec![ONE * 3 / 2]));
    }

    #[test]
    fn what_is_not_exact_is_refused() {
        for text in [
            "1e3",
            "0.1E-2",
            "\"1e3\"",
            "0.1234567890123456789",
            "1000000000000000000000",
        ] {
            assert_eq!(read(text, ""), Err(JsonError::NotExact), "{text}");
        }
        for text in [
            "null", "{}", "\"\"", "\"x\"", "\"+1\"", "\" 1\"", "\".5\"", "\"1.\"", "\"0x10\"", "[1,null]",
        ] {
            assert_eq!(read(text, ""), Err(JsonError::NotANumber), "{text}");
        }
    }

    #[test]
    fn pointers_are_followed() {
        let text = r#"{"a":{"b/c":[10,{"~":[1,2]},30]},"":{"":5},"0":6,"x":null}"#;
        assert_eq!(read(text, "/a/b~1c/0"), Ok(vec![10 * ONE]));
        assert_eq!(read(text, "/a/b~1c/1/~0"), Ok(vec![ONE, 2 * ONE]));
        assert_eq!(read(text, "//"), Ok(vec![5 * ONE]));
        assert_eq!(read(text, "/0"), Ok(vec![6 * ONE]));
        for nowhere in ["/b", "/a/b~1c/3", "/a/b~1c/-", "/a/b~1c/00", "/0/0", "/x/y"] {
            assert_eq!(read(text, nowhere), Err(JsonError::NotFound), "{nowhere}");
        }
        for bad in ["a", "/~", "/~2", "/a~"] {
            assert_eq!(read(text, bad), Err(JsonError::BadPointer), "{bad}");
        }
        assert_eq!(read(text, "/a"), Err(JsonError::NotANumber));
        assert_eq!(read(r#"{"a":1,"a":2}"#, "/a"), Err(JsonError::Ambiguous));
        assert_eq!(read(r#"{"b":{"a":1,"a":2},"c":3}"#, "/c"), Ok(vec![3 * ONE]));
    }

    #[test]
    fn sizes_are_bounded() {
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(read(&deep(MAX_DEPTH), ""), Ok(vec![]));
        assert_eq!(read(&deep(MAX_DEPTH + 2), ""), Err(JsonError::TooDeep));
        assert_eq!(read(&"[".repeat(100_000), "/x"), Err(JsonError::TooDeep));
        let many = |count: usize| format!("[{}0]", "0,".repeat(count - 1));
        assert_eq!(read(&many(MAX_NUMBERS), "").map(|n| n.len()), Ok(MAX_NUMBERS));
        assert_eq!(read(&many(MAX_NUMBERS + 1), ""), Err(JsonError::TooMany));
        assert_eq!(read(&format!("{{\"a\":{},\"b\":1}}", many(9_999)), "/b"), Ok(vec![ONE]));
    }

    /// Texts of JSON, and what damage makes of them.
    fn texts() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            // Few enough digits that the other parser reads what it wrote.
            any::<i32>().prop_map(|n| Value::from(f64::from(n) / 64.0)),
            "-?[0-9]{1,21}(\\.[0-9]{1,19})?".prop_map(Value::from),
            ".{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[ab~/0\u{e9}]{0,2}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
        .prop_map(|value| value.to_string())
    }

    /// The same by a tree of serde_json, which keeps a number's digits only as far as they are in the value.
    fn reference(value: &Value, found: &mut Vec<i128>) -> Result<(), JsonError> {
        match value {
            Value::Null | Value::Object(_) => return Err(JsonError::NotANumber),
            Value::Bool(b) => found.push(if *b { ONE } else { 0 }),
            Value::Number(n) => found.push(decimal(&n.to_string())?),
            Value::String(s) => found.push(decimal(s)?),
            Value::Array(list) => list.iter().try_for_each(|v| reference(v, found))?,
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn values_are_found_where_another_parser_finds_them(text in texts(), pointer in "(/([ab0-3\u{e9}]|~0|~1){0,2}){0,3}") {
            let tree: Value = serde_json::from_str(&text).unwrap();
            let mut found = vec![];
            let want = match tree.pointer(&pointer) {
                None => Err(JsonError::NotFound),
                Some(value) => reference(value, &mut found).map(|()| found),
            };
            // serde_json takes no other index than this scanner either, but for a leading plus and zeros.
            prop_assert_eq!(read(&text, &pointer), want);
        }

        #[test]
        fn texts_are_taken_as_json_where_another_parser_takes_them(
            text in texts(), at in any::<prop::sample::Index>(), put in prop::sample::select(br#" {}[]",:\u0123456789.eE+-tfn"#.to_vec()), cut in any::<bool>(),
        ) {
            let mut bytes = text.into_bytes();
            let at = at.index(bytes.len());
            if cut {
                bytes.truncate(at);
            } else {
                bytes[at] = put;
            }
            // Passed over rather than read: a number may be beyond what that parser holds.
            let passed = core::str::from_utf8(&bytes).map(serde_json::from_str::<serde::de::IgnoredAny>);
            let json = matches!(passed, Ok(Ok(_)));
            // A pointer that leads nowhere, so that all of the text is passed over.
            let taken = numbers(&bytes, "/nowhere/at/all");
            prop_assert_eq!(taken == Err(JsonError::NotFound), json, "{:?}", taken);
        }

        #[test]
        fn any_bytes_give_numbers_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..100), pointer in ".{0,8}") {
            let _ = numbers(&bytes, &pointer);
        }

        #[test]
        fn decimals_are_their_digits(units in any::<i128>()) {
            let (sign, size) = (if units < 0 { "-" } else { "" }, units.unsigned_abs());
            let text = format!("{sign}{}.{:018}", size / ONE as u128, size % ONE as u128);
            let want = if units == i128::MIN { Err(JsonError::NotExact) } else { Ok(vec![units]) };
            prop_assert_eq!(read(&text, ""), want);
        }
    }
}
