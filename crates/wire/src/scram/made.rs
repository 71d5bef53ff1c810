//! Passwords that nobody chose: random bytes, and what PostgreSQL is told of them. Draws none itself.

use base64::Engine as _;
use hmac::{Hmac, Mac as _};
use model::Secret;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::SCRAM_SHA_256;

/// Returns what PostgreSQL stores of a password, and takes in its place: `SCRAM-SHA-256$1:SALT$STORED_KEY:SERVER_KEY`
/// (`scram_build_secret`, common/scram-common.c). Nobody can log in with it.
///
/// One iteration: more of them make guessing slow, and nobody guesses 256 random bits. Each costs both sides time at each login.
pub fn verifier_of_random(password: &Secret<[u8; 32]>, salt: [u8; 16]) -> String {
    // ASCII, so that SASLprep leaves it as it is.
    let password = password_of_random(password);
    let mut message = salt.to_vec();
    message.extend(1_u32.to_be_bytes());
    let salted = Zeroizing::new(hmac(password.expose().as_bytes(), &message));
    let client_key = Zeroizing::new(hmac(&*salted, b"Client Key"));
    let stored_key: [u8; 32] = Sha256::digest(*client_key).into();
    let server_key = hmac(&*salted, b"Server Key");
    let base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    format!("{SCRAM_SHA_256}$1:{}${}:{}", base64(&salt), base64(&stored_key), base64(&server_key))
}

/// Returns random bytes as a password to log in with: hexadecimal digits.
pub fn password_of_random(password: &Secret<[u8; 32]>) -> Secret<String> {
    let mut text = String::with_capacity(64);
    for byte in password.expose() {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or_default());
        }
    }
    Secret::new(text)
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    // Every length of key will do (RFC 2104, section 2).
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    mac.update(message);
    mac.finalize().into_bytes().into()
}
