//! Whom certificates are believed of: authorities, and lists of what they have revoked. Knows no file.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, TrustAnchor};
use serde_json::Value;
use webpki::{CertRevocationList, OwnedCertRevocationList};

use crate::keys::Use;
use crate::{JsonError, KeySet, KeySetError, KeySetLimits, parse_json};

/// The authorities whose certificates are believed; never empty.
#[derive(Clone)]
pub struct Anchors {
    anchors: Vec<TrustAnchor<'static>>,
    certificates: Vec<CertificateDer<'static>>,
}

/// Lists of revoked certificates; never empty.
pub struct RevocationLists(Vec<CertRevocationList<'static>>);

/// What is believed in a SPIFFE trust domain: authorities of X.509-SVIDs, and keys of JWT-SVIDs.
#[derive(Clone, Debug)]
pub struct TrustBundle {
    /// `None` where it has none.
    pub anchors: Option<Anchors>,
    /// May be empty.
    pub keys: KeySet,
}

/// A text that is no set of certificates, revocation lists, or no trust bundle: the operator's fault, or whoever wrote it.
#[derive(Debug, thiserror::Error)]
pub enum BadBundle {
    /// Not PEM.
    #[error("it is not PEM")]
    Pem,
    /// Nothing of the kind in it.
    #[error("there is no {0} in it")]
    Empty(&'static str),
    /// A certificate or list in it can't be read.
    #[error("{what} {number} in it can't be used: {why}")]
    Item {
        /// `certificate` or `revocation list`.
        what: &'static str,
        /// Counted from 1.
        number: usize,
        /// What the library says.
        why: webpki::Error,
    },
    /// Neither PEM nor JSON.
    #[error("it is neither PEM nor a SPIFFE bundle")]
    Json(#[source] JsonError),
    /// Its keys can't be read.
    #[error("it is no SPIFFE bundle")]
    Keys(#[source] KeySetError),
    /// A key for X.509-SVIDs is not exactly one certificate (SPIFFE Trust Domain and Bundle, 4.2.2; X509-SVID, 6.2).
    #[error("its key {0} of use x509-svid has not exactly one certificate in x5c")]
    Certificate(usize),
}

impl Anchors {
    /// Reads PEM.
    ///
    /// # Errors
    /// [`BadBundle`]: see there.
    pub fn from_pem(pem: &[u8]) -> Result<Self, BadBundle> {
        let certificates: Vec<_> =
            CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| BadBundle::Pem)?;
        Self::of(certificates)?.ok_or(BadBundle::Empty("certificate"))
    }

    fn of(certificates: Vec<CertificateDer<'static>>) -> Result<Option<Self>, BadBundle> {
        let mut anchors = Vec::new();
        for (index, certificate) in certificates.iter().enumerate() {
            let anchor = webpki::anchor_from_trusted_cert(certificate).map_err(|why| BadBundle::Item {
                what: "certificate",
                number: index + 1,
                why,
            })?;
            anchors.push(anchor.to_owned());
        }
        Ok((!anchors.is_empty()).then_some(Self { anchors, certificates }))
    }

    pub(crate) fn as_slice(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.certificates.len()
    }

    /// Returns false.
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }
}

impl fmt::Debug for Anchors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Anchors({})", self.len())
    }
}

impl RevocationLists {
    /// Reads PEM.
    ///
    /// # Errors
    /// [`BadBundle`]: see there.
    pub fn from_pem(pem: &[u8]) -> Result<Self, BadBundle> {
        let lists: Vec<_> = CertificateRevocationListDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|_| BadBundle::Pem)?;
        let mut read = Vec::new();
        for (index, list) in lists.iter().enumerate() {
            let list = OwnedCertRevocationList::from_der(list).map_err(|why| BadBundle::Item {
                what: "revocation list",
                number: index + 1,
                why,
            })?;
            read.push(list.into());
        }
        if read.is_empty() { Err(BadBundle::Empty("revocation list")) } else { Ok(Self(read)) }
    }

    pub(crate) fn each(&self) -> Vec<&CertRevocationList<'static>> {
        self.0.iter().collect()
    }
}

impl fmt::Debug for RevocationLists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RevocationLists({})", self.0.len())
    }
}

impl TrustBundle {
    /// Reads a bundle in either form: PEM, which has authorities of X.509-SVIDs only, or SPIFFE's own JSON (SPIFFE Trust Domain and
    /// Bundle, section 4), where each key says what it is for.
    ///
    /// # Errors
    /// [`BadBundle`]: see there.
    pub fn parse(text: &[u8], limits: KeySetLimits) -> Result<Self, BadBundle> {
        if text.trim_ascii_start().first() != Some(&b'{') {
            let keys = KeySet::parse_for(br#"{"keys":[]}"#, limits, Use::JwtSvid).map_err(BadBundle::Keys)?;
            return Ok(Self { anchors: Some(Anchors::from_pem(text)?), keys });
        }
        let keys = KeySet::parse_for(text, limits, Use::JwtSvid).map_err(BadBundle::Keys)?;
        let document = parse_json(text).map_err(BadBundle::Json)?;
        let members = document.get("keys").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let mut certificates = Vec::new();
        for (index, member) in members.iter().enumerate() {
            if member.get("use").and_then(Value::as_str) != Some("x509-svid") {
                continue;
            }
            let one = match member.get("x5c").and_then(Value::as_array).map(Vec::as_slice) {
                Some([Value::String(one)]) => STANDARD.decode(one).ok(),
                _ => None,
            };
            certificates.push(CertificateDer::from(one.ok_or(BadBundle::Certificate(index + 1))?));
        }
        Ok(Self { anchors: Anchors::of(certificates)?, keys })
    }
}
