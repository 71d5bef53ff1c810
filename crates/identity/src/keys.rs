//! An issuer's public keys (JWK Set, RFC 7517). Knows no tokens and not where the set came from.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};

use crate::rejection::Excerpt;
use crate::{Algorithm, JsonError, Rejection, parse_json};

/// How large a key set may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySetLimits {
    /// The longest document, in bytes.
    pub bytes_max: usize,
    /// The most members of `keys`, usable or not.
    pub keys_max: usize,
}

impl Default for KeySetLimits {
    fn default() -> Self {
        Self { bytes_max: 1024 * 1024, keys_max: 128 }
    }
}

/// A document that is not a key set: the issuer's fault. The set held before it stays in use.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// Over [`KeySetLimits::bytes_max`].
    #[error("key set is {bytes} bytes long; at most {bytes_max} are accepted")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// Over [`KeySetLimits::keys_max`].
    #[error("key set has {keys} keys; at most {keys_max} are accepted")]
    TooManyKeys {
        /// How many.
        keys: usize,
        /// The limit.
        keys_max: usize,
    },
    /// Not JSON.
    #[error("key set can't be read")]
    Json(#[source] JsonError),
    /// JSON, but not an object with an array `keys` of objects.
    #[error("key set is not an object with an array \"keys\" of objects")]
    Shape,
}

/// The public keys that an issuer signs with.
///
/// A key that can't be used (symmetric, private, for encryption, too short, unknown type) is left out and its reason
/// kept; a set may hold no usable key at all, which is an issuer's way to say that nothing it signed is valid.
#[derive(Clone)]
pub struct KeySet {
    keys: Vec<Key>,
    left_out: Vec<String>,
}

#[derive(Clone)]
struct Key {
    id: Option<String>,
    /// The one algorithm that the key is for, if the set says so.
    algorithm: Option<Algorithm>,
    material: Material,
    decoding: DecodingKey,
}

#[derive(Clone, PartialEq, Eq)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256 { x: Vec<u8>, y: Vec<u8> },
    P384 { x: Vec<u8>, y: Vec<u8> },
    Ed25519 { x: Vec<u8> },
}

/// What a key must be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Tokens: `sig`, or nothing said.
    Signature,
    /// JWT-SVIDs: `jwt-svid`, said (SPIFFE Trust Domain and Bundle, 4.2.2).
    JwtSvid,
}

impl KeySet {
    /// Reads a JWK Set.
    ///
    /// # Errors
    /// Each variant of [`KeySetError`]: the issuer's fault.
    pub fn parse(json: &[u8], limits: KeySetLimits) -> Result<Self, KeySetError> {
        Self::parse_for(json, limits, Use::Signature)
    }

    pub(crate) fn parse_for(json: &[u8], limits: KeySetLimits, wanted: Use) -> Result<Self, KeySetError> {
        if json.len() > limits.bytes_max {
            return Err(KeySetError::TooLong { bytes: json.len(), bytes_max: limits.bytes_max });
        }
        let document = parse_json(json).map_err(KeySetError::Json)?;
        let members = document.get("keys").and_then(Value::as_array).ok_or(KeySetError::Shape)?;
        if members.len() > limits.keys_max {
            return Err(KeySetError::TooManyKeys { keys: members.len(), keys_max: limits.keys_max });
        }
        let mut set = Self { keys: Vec::new(), left_out: Vec::new() };
        for (index, member) in members.iter().enumerate() {
            let member = member.as_object().ok_or(KeySetError::Shape)?;
            if wanted == Use::JwtSvid && member.get("use").is_some_and(|it| it == "x509-svid") {
                continue;
            }
            match Key::read(member, wanted) {
                // The same key listed twice is no ambiguity.
                Ok(key) if set.keys.iter().any(|it| it.is_same(&key)) => {}
                Ok(key) => set.keys.push(key),
                Err(reason) => set.left_out.push(format!("key {}: {reason}", label(member, index))),
            }
        }
        Ok(set)
    }

    /// Returns how many keys can be used.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns whether no key can be used.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the ids of the usable keys, in the set's order.
    pub fn ids(&self) -> impl Iterator<Item = Option<&str>> {
        self.keys.iter().map(|key| key.id.as_deref())
    }

    /// Returns, for each key that was left out, which one and why.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// Finds the one key that may have signed a token with this header.
    pub(crate) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<&DecodingKey, Rejection> {
        let named: Vec<&Key> =
            self.keys.iter().filter(|key| id.is_none() || key.id.as_deref() == id).collect();
        let mut suitable = named.iter().filter(|key| key.suits(algorithm));
        match (suitable.next(), suitable.next()) {
            (Some(key), None) => Ok(&key.decoding),
            (Some(_), Some(_)) => Err(Rejection::AmbiguousKey),
            (None, _) => Err(match id {
                Some(id) if !named.is_empty() => Rejection::UnsuitableKey { key: Excerpt::of(id), algorithm },
                id => Rejection::UnknownKey(id.map(Excerpt::of)),
            }),
        }
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet")
            .field("ids", &self.ids().collect::<Vec<_>>())
            .field("left_out", &self.left_out)
            .finish()
    }
}

impl Key {
    /// Reads one JWK, or says why it can't be used.
    fn read(jwk: &Map<String, Value>, wanted: Use) -> Result<Self, &'static str> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        if jwk.contains_key("d") {
            // SECURITY: whoever reads the set can sign with it.
            return Err("it is a private key, published");
        }
        let silent = matches!(jwk.get("use"), None | Some(Value::Null));
        match wanted {
            Use::Signature if !silent && text("use") != Some("sig") => return Err("its use is not \"sig\""),
            Use::JwtSvid if text("use") != Some("jwt-svid") => return Err("its use is not \"jwt-svid\""),
            Use::Signature | Use::JwtSvid => {}
        }
        if let Some(operations) = jwk.get("key_ops") {
            let verifies = |it: &Vec<Value>| it.iter().any(|op| op == "verify");
            if !operations.as_array().is_some_and(verifies) {
                return Err("its key_ops do not include \"verify\"");
            }
        }
        let algorithm = match jwk.get("alg") {
            None | Some(Value::Null) => None,
            Some(alg) => {
                let known = alg.as_str().and_then(|it| it.parse().ok());
                Some(known.ok_or("its alg is not a supported signature algorithm")?)
            }
        };
        let id = match jwk.get("kid") {
            None | Some(Value::Null) => None,
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err("its kid is not a string"),
        };
        let material = match (text("kty"), text("crv")) {
            (Some("RSA"), _) => read_rsa(jwk)?,
            (Some("EC"), Some("P-256")) => {
                Material::P256 { x: coordinate(jwk, "x", 32)?, y: coordinate(jwk, "y", 32)? }
            }
            (Some("EC"), Some("P-384")) => {
                Material::P384 { x: coordinate(jwk, "x", 48)?, y: coordinate(jwk, "y", 48)? }
            }
            (Some("EC"), _) => return Err("its curve is not P-256 or P-384"),
            (Some("OKP"), Some("Ed25519")) => Material::Ed25519 { x: coordinate(jwk, "x", 32)? },
            (Some("OKP"), _) => return Err("its curve is not Ed25519"),
            (Some("oct"), _) => return Err("it is a shared secret"),
            _ => return Err("its kty is not RSA, EC or OKP"),
        };
        let key = Self { decoding: material.decoding()?, id, algorithm, material };
        match key.algorithm {
            Some(algorithm) if !key.suits(algorithm) => Err("its alg does not fit its kty or crv"),
            _ => Ok(key),
        }
    }

    /// Returns whether the key's type, curve and declared algorithm all fit.
    ///
    /// SECURITY: here RS/HS and cross-curve confusion end: the key decides what it may be used for, not the token.
    fn suits(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{EdDsa, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        let by_type = match self.material {
            Material::Rsa { .. } => matches!(algorithm, Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512),
            Material::P256 { .. } => algorithm == Es256,
            Material::P384 { .. } => algorithm == Es384,
            Material::Ed25519 { .. } => algorithm == EdDsa,
        };
        by_type && self.algorithm.is_none_or(|it| it == algorithm)
    }

    fn is_same(&self, other: &Self) -> bool {
        self.id == other.id && self.algorithm == other.algorithm && self.material == other.material
    }
}

impl Material {
    fn decoding(&self) -> Result<DecodingKey, &'static str> {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Rsa { n, e } => Ok(DecodingKey::from_rsa_raw_components(n, e)),
            Self::P256 { x, y } | Self::P384 { x, y } => {
                DecodingKey::from_ec_components(&encode(x), &encode(y)).map_err(|_| "its point can't be read")
            }
            Self::Ed25519 { x } => {
                DecodingKey::from_ed_components(&encode(x)).map_err(|_| "its point can't be read")
            }
        }
    }
}

/// Bits of an RSA modulus that are accepted: NIST SP 800-131A's least, and what the library verifies at most.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

fn read_rsa(jwk: &Map<String, Value>) -> Result<Material, &'static str> {
    let n = unsigned(jwk, "n")?;
    let e = unsigned(jwk, "e")?;
    let bits = n.len() * 8 - n.first().map_or(0, |byte| byte.leading_zeros() as usize);
    if !RSA_BITS.contains(&bits) {
        return Err("its modulus has fewer than 2048 or more than 8192 bits");
    }
    // e = 1 makes every message its own signature; an even e is no RSA key; a huge one makes verifying slow.
    let odd = e.last().is_some_and(|byte| byte % 2 == 1);
    if !odd || e == [1] || e.len() > 4 {
        return Err("its exponent is not an odd number from 3 to 2^32");
    }
    Ok(Material::Rsa { n, e })
}

/// Reads a Base64urlUInt (RFC 7518 2); leading zero bytes, which some issuers write, are dropped.
fn unsigned(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, &'static str> {
    let mut bytes = octets(jwk, name)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.drain(..zeros);
    Ok(bytes)
}

/// Reads a coordinate, which has the curve's full length always (RFC 7518 6.2.1.2, RFC 8037 2).
fn coordinate(jwk: &Map<String, Value>, name: &str, bytes: usize) -> Result<Vec<u8>, &'static str> {
    let found = octets(jwk, name)?;
    if found.len() == bytes { Ok(found) } else { Err("a coordinate does not have its curve's length") }
}

fn octets(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, &'static str> {
    let text = jwk.get(name).and_then(Value::as_str).ok_or("a parameter is missing")?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| "a parameter is not base64url")
}

fn label(jwk: &Map<String, Value>, index: usize) -> String {
    match jwk.get("kid").and_then(Value::as_str) {
        Some(kid) => Excerpt::of(kid).to_string(),
        None => format!("number {}", index + 1),
    }
}
