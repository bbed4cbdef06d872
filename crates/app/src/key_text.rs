//! API keys as text: `drk_`, 86 letters and digits for 64 bytes, 6 for their checksum.
//!
//! One word without punctuation, so a double click selects it, and a prefix and a checksum, so a scanner of leaked secrets
//! finds it without asking the server: `\bdrk_[0-9A-Za-z]{92}\b`, see `docs/access.md`.

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What every key begins with.
pub(crate) const PREFIX: &str = "drk_";

/// 62^86 is more than 2^512.
const BODY_DIGITS: usize = 86;
/// 62^6 is more than 2^32.
const CHECKSUM_DIGITS: usize = 6;

/// The key as text.
pub(crate) fn encode(bytes: &[u8; 64]) -> String {
    let body = to_digits(bytes, BODY_DIGITS);
    let checksum = to_digits(&crc32(body.as_bytes()).to_be_bytes(), CHECKSUM_DIGITS);
    format!("{PREFIX}{body}{checksum}")
}

/// The bytes of a key; none when the text is no key, or one with a slip of the pen.
pub(crate) fn decode(text: &str) -> Option<[u8; 64]> {
    let digits = text.strip_prefix(PREFIX).filter(|digits| digits.is_ascii())?;
    let (body, checksum) = digits.split_at_checked(BODY_DIGITS)?;
    let is_whole = checksum == to_digits(&crc32(body.as_bytes()).to_be_bytes(), CHECKSUM_DIGITS);
    if is_whole { from_digits(body) } else { None }
}

/// The number that the bytes are, divided by 62 again and again.
fn to_digits(bytes: &[u8], count: usize) -> String {
    let mut number = bytes.to_vec();
    let mut digits = vec![b'0'; count];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0_u32;
        for byte in &mut number {
            let value = rest << 8 | u32::from(*byte);
            *byte = low_byte(value / 62);
            rest = value % 62;
        }
        *digit = DIGITS[rest as usize];
    }
    digits.into_iter().map(char::from).collect()
}

fn from_digits(text: &str) -> Option<[u8; 64]> {
    let mut number = [0; 64];
    for letter in text.bytes() {
        let digit = DIGITS.iter().position(|digit| *digit == letter)?;
        let mut carry = u32::try_from(digit).ok()?;
        for byte in number.iter_mut().rev() {
            let value = u32::from(*byte) * 62 + carry;
            *byte = low_byte(value);
            carry = value >> 8;
        }
        if carry != 0 {
            return None;
        }
    }
    Some(number)
}

const fn low_byte(value: u32) -> u8 {
    value.to_le_bytes()[0]
}

/// CRC-32 as in Ethernet and ZIP.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_key_comes_back_and_looks_alike() {
        for fill in [[0; 64], [1; 64], [255; 64], std::array::from_fn(|n| u8::try_from(n * 4 % 251).expect("a byte"))] {
            let text = encode(&fill);
            assert_eq!(text.len(), 96);
            assert!(text[4..].bytes().all(|letter| letter.is_ascii_alphanumeric()), "{text}");
            assert_eq!(decode(&text), Some(fill));
        }
    }

    #[test]
    fn one_wrong_letter_anywhere_is_noticed() {
        let text = encode(&[7; 64]);
        for n in 0..text.len() {
            let mut letters = text.clone().into_bytes();
            letters[n] = if letters[n] == b'x' { b'y' } else { b'x' };
            assert_eq!(decode(&String::from_utf8(letters).expect("ASCII")), None, "letter {n}");
        }
        for wrong in ["", "drk_", "drk_é", &text[..95], &format!("{text}0"), &format!("drk_{}", "z".repeat(92))] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_checksum_is_the_well_known_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
