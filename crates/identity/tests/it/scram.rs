//! Proofs of legacy accounts: the right one makes somebody, and nothing else does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use identity::{
    Account, ScramRejection, VerifierError, mock_verifier, parse_verifier, render_verifier, verify_scram,
};
use model::{Identity, Method, Secret};
use proptest::prelude::*;

/// The example of RFC 7677, section 3: password "pencil", and what both sides say.
const VERIFIER: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
const AUTH_MESSAGE: &[u8] = b"n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const PROOF: &str = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SIGNATURE: &str = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn bytes(text: &str) -> [u8; 32] {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap().try_into().unwrap()
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn account(until: Option<SystemTime>) -> Account {
    let identity = Identity {
        issuer: Identity::LEGACY.to_owned(),
        subject: "user".to_owned(),
        name: None,
        groups: BTreeSet::new(),
        attributes: BTreeMap::new(),
        token_id: None,
        on_behalf_of: None,
    };
    Account { identity, until, session_max: Duration::from_secs(3600) }
}

#[test]
fn the_proof_of_rfc_7677_makes_somebody_with_the_keys_to_log_in_elsewhere() {
    let verifier = parse_verifier(VERIFIER).unwrap();
    let check = |until| verify_scram(AUTH_MESSAGE, &Secret::new(bytes(PROOF)), &verifier, until, now());
    let proven = check(Some(account(None))).ok().unwrap();
    assert_eq!(proven.server_signature, bytes(SIGNATURE));
    assert_eq!(proven.verified.identity().to_string(), "legacy:user");
    assert_eq!(proven.verified.method(), Method::Passthrough);
    assert_eq!(proven.verified.expires_at(), now() + Duration::from_secs(3600));
    // ClientKey is what StoredKey is the hash of.
    assert_eq!(proven.keys.server_key.expose(), verifier.server_key.expose());
    assert_eq!((proven.keys.iterations, &proven.keys.salt), (4096, &verifier.salt));
    // A deadline bounds the session, and then refuses it.
    let soon = now() + Duration::from_secs(60);
    assert_eq!(check(Some(account(Some(soon)))).ok().unwrap().verified.expires_at(), soon);
    assert!(matches!(check(Some(account(Some(now())))).err(), Some(ScramRejection::Over(_))));
    // A proof that fits makes nobody of whom there is no account.
    assert_eq!(check(None).err(), Some(ScramRejection::Proof));
}

proptest! {
    #[test]
    fn no_other_proof_or_message_makes_anybody(at in 0..32_usize, bit in 0..8_u32, cut in 0..AUTH_MESSAGE.len()) {
        let verifier = parse_verifier(VERIFIER).unwrap();
        let mut proof = bytes(PROOF);
        proof[at] ^= 1 << bit;
        // Whose time is over learns nothing of it without the password.
        let over = Some(account(Some(SystemTime::UNIX_EPOCH)));
        let wrong = verify_scram(AUTH_MESSAGE, &Secret::new(proof), &verifier, over, now());
        prop_assert_eq!(wrong.err(), Some(ScramRejection::Proof));
        let other = verify_scram(&AUTH_MESSAGE[..cut], &Secret::new(bytes(PROOF)), &verifier, Some(account(None)), now());
        prop_assert_eq!(other.err(), Some(ScramRejection::Proof));
    }

    #[test]
    fn a_mock_is_the_same_for_the_same_name_and_looks_like_a_verifier(name: String, database: String) {
        let mock = |key: u8, name: &str, like| mock_verifier(&[key; 32], name, &database, like);
        let like = parse_verifier(VERIFIER).unwrap();
        let (one, again, other) = (mock(1, &name, Some(&like)), mock(1, &name, Some(&like)), mock(2, &name, None));
        prop_assert_eq!(&one.salt, &again.salt);
        prop_assert_ne!(&one.salt, &other.salt);
        prop_assert_ne!(&one.salt, &mock(1, &format!("{name}x"), None).salt);
        prop_assert_eq!((one.salt.len(), one.iterations), (like.salt.len(), like.iterations));
        prop_assert_eq!(parse_verifier(render_verifier(&one).expose()).unwrap().salt, one.salt);
    }
}

#[test]
fn what_is_no_verifier_is_refused() {
    assert_eq!(render_verifier(&parse_verifier(VERIFIER).unwrap()).expose(), VERIFIER);
    let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for (text, expected) in [
        ("md5e7806a8d0b24ac2d1ff6a8fb5c9ad5b6".to_owned(), VerifierError::Md5),
        (String::new(), VerifierError::Form),
        ("hunter2".to_owned(), VerifierError::Form),
        (format!("SCRAM-SHA-256$0:YWJj${key}:{key}"), VerifierError::Form),
        (format!("SCRAM-SHA-256$+1:YWJj${key}:{key}"), VerifierError::Form),
        (format!("SCRAM-SHA-256$1:${key}:{key}"), VerifierError::Form),
        (format!("SCRAM-SHA-256$1:YWJj$AAAA:{key}"), VerifierError::Form),
        (format!("SCRAM-SHA-256$1:YWJj${key}:{key}\n"), VerifierError::Form),
        (format!("SCRAM-SHA-256$100001:YWJj${key}:{key}"), VerifierError::Costly),
    ] {
        assert_eq!(parse_verifier(&text).err(), Some(expected), "{text}");
    }
}
