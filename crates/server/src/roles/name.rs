//! What the roles that a gateway makes are called. Names say enough to sweep by them alone; knows no database.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The role that one session logs in as: `gatepost_s4000_9b8d7c6e_6923a1f0_0123456789abcdef`.
///
/// In its name, in hexadecimal: the OID of its database, since only there what it owns can be dropped; the gateway's run that made
/// it, which holds an advisory lock while it lives; when it was made, in seconds since 1970; and 64 random bits, since an object
/// with the name of a role to come would be in its way. With the longest prefix it has 52 of the 63 bytes that PostgreSQL keeps
/// (`NAMEDATALEN`, pg_config_manual.h).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionRole {
    pub(crate) database: u32,
    pub(crate) instance: u32,
    pub(crate) made: u32,
    pub(crate) random: u64,
}

/// One run of a gateway, as far as one database is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Instance(pub(crate) u32);

impl Instance {
    /// Makes one of random bytes.
    pub(crate) fn new(random: [u8; 4]) -> Self {
        // Positive, as the key of an advisory lock is written as an integer.
        Self(u32::from_be_bytes(random) & 0x7fff_ffff)
    }
}

impl SessionRole {
    /// Makes one for a database.
    pub(crate) fn new(database: u32, instance: Instance, now: SystemTime, random: [u8; 8]) -> Self {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        Self {
            database,
            instance: instance.0,
            made: u32::try_from(since).unwrap_or(u32::MAX),
            random: u64::from_be_bytes(random),
        }
    }

    /// Writes the name.
    pub(crate) fn with_prefix(&self, prefix: &str) -> String {
        let Self { database, instance, made, random } = self;
        format!("{prefix}_s{database:x}_{instance:08x}_{made:08x}_{random:016x}")
    }

    /// Reads a name; `None`: it is no session's role of that prefix.
    pub(crate) fn parse(prefix: &str, name: &str) -> Option<Self> {
        let rest = name.strip_prefix(prefix)?.strip_prefix("_s")?;
        let parts: Vec<&str> = rest.split('_').collect();
        let [database, instance, made, random] = parts.as_slice() else { return None };
        let role = Self {
            database: u32::from_str_radix(database, 16).ok()?,
            instance: u32::from_str_radix(instance, 16).ok()?,
            made: u32::from_str_radix(made, 16).ok()?,
            random: u64::from_str_radix(random, 16).ok()?,
        };
        // One name for each: no capitals, signs or missing zeros.
        (role.with_prefix(prefix) == name).then_some(role)
    }
}

/// The role that has the grants of a scope: `gatepost_g4000_00112233445566778899aabb`.
pub(crate) fn scope_role(prefix: &str, database: u32, digest: &[u8; 32]) -> String {
    let digest: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("{prefix}_g{database:x}_{digest}")
}

/// Whether it is the name of a scope's role for that database.
pub(crate) fn is_scope_role(prefix: &str, database: u32, name: &str) -> bool {
    let digest = name.strip_prefix(&format!("{prefix}_g{database:x}_"));
    let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    digest.is_some_and(|digest| digest.len() == 24 && digest.bytes().all(digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_written() {
        let now = UNIX_EPOCH + Duration::from_secs(0x6923_a1f0);
        let role = SessionRole::new(0x4000, Instance::new([0xff; 4]), now, [1, 2, 3, 4, 5, 6, 7, 8]);
        let name = role.with_prefix("gatepost");
        assert_eq!(name, "gatepost_s4000_7fffffff_6923a1f0_0102030405060708");
        assert_eq!(SessionRole::parse("gatepost", &name), Some(role));
        let longest =
            SessionRole::new(u32::MAX, Instance::new([1; 4]), now, [0; 8]).with_prefix("abcdefghijklmnop");
        assert!(longest.len() <= 63, "{longest}");
        let scope = scope_role("abcdefghijklmnop", u32::MAX, &[0xab; 32]);
        assert!(scope.len() <= 63 && is_scope_role("abcdefghijklmnop", u32::MAX, &scope), "{scope}");
    }

    #[test]
    fn what_is_no_role_of_ours_is_not_taken_for_one() {
        for name in [
            "gatepost",
            "gatepost_admin",
            "gatepost_s4000_7fffffff_6923a1f0",
            "gatepost_s4000_7fffffff_6923a1f0_0102030405060708_x",
            "gatepost_s4000_7FFFFFFF_6923a1f0_0102030405060708",
            "gatepost_s4000_+fffffff_6923a1f0_0102030405060708",
            "gatepost_s04000_7fffffff_6923a1f0_0102030405060708",
            "other_s4000_7fffffff_6923a1f0_0102030405060708",
        ] {
            assert_eq!(SessionRole::parse("gatepost", name), None, "{name}");
        }
        let scope = scope_role("gatepost", 5, &[0; 32]);
        assert!(!is_scope_role("gatepost", 6, &scope) && !is_scope_role("gate", 5, &scope));
        assert!(
            !is_scope_role("gatepost", 5, "gatepost_g5_admin")
                && !is_scope_role("gatepost", 5, "gatepost_g5")
        );
    }
}
