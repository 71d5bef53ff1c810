//! The answer to AuthenticationMD5Password. Weak, and only for upstreams that still ask for it.

use model::Secret;
use postgres_protocol::authentication::md5_hash;
use zeroize::Zeroize;

/// Returns what a PasswordMessage must hold: `md5`, then in hexadecimal the MD5 of the hexadecimal MD5 of password and
/// user, and the salt (manual, "Message Flow", AuthenticationMD5Password).
pub fn password<T>(user: &str, password: &Secret<T>, salt: [u8; 4]) -> Secret<String>
where
    T: Zeroize + AsRef<[u8]>,
{
    Secret::new(md5_hash(user.as_bytes(), password.expose().as_ref(), salt))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answer() {
        // printf 'md5%s' $(printf '%s\x2a\x3d\x8f\xe0' $(printf 'passwordmd5_user' | md5sum | cut -c-32) | md5sum)
        let answer = password("md5_user", &Secret::new("password".to_owned()), [0x2a, 0x3d, 0x8f, 0xe0]);
        assert_eq!(answer.expose(), "md562af4dd09bbb41884907a838a3233294");
    }
}
