//! Words of others, as they may be shown.

/// Text of a chain or a node without characters that steer a terminal or turn the direction of reading: these are escaped
/// as JSON escapes them, so that JSON stays what it says.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {
                escape(c, &mut shown)
            }
            c if c.is_control() => escape(c, &mut shown),
            c => shown.push(c),
        }
    }
    shown
}

/// All of these have at most 16 bits.
fn escape(c: char, shown: &mut String) {
    shown.push_str(&format!("\\u{:04x}", u32::from(c)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_others_steers_the_terminal() {
        assert_eq!(printable("10stake"), "10stake");
        assert_eq!(
            printable("\u{1b}[2J\r\n\u{9b}31m"),
            "\\u001b[2J\\u000d\\u000a\\u009b31m"
        );
        assert_eq!(printable("ab\u{202e}cd"), "ab\\u202ecd");
    }

    #[test]
    fn json_says_the_same_after_it() {
        let text = "a\u{9b}b\u{202e}c\u{7f}\"\\";
        let json = serde_json::to_string(text).unwrap();
        let shown = printable(&json);
        assert!(!shown.chars().any(char::is_control));
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
    }
}
