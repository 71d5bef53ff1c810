//! AWS Signature Version 4 in the query of a URL. Pure: knows no clock and asks nobody.
//!
//! Source: AWS IAM User Guide, "Create a signed AWS API request"; AWS Signature Version 4 test suite.

use hmac::{Hmac, Mac};
use model::Secret;
use sha2::{Digest, Sha256};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What is signed with.
pub(super) struct AwsKeys {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: Secret<String>,
    /// Of temporary credentials.
    pub(super) session_token: Option<Secret<String>>,
}

/// A GET that will be made by whoever has its URL, until it expires.
pub(super) struct Presigned<'a> {
    /// As in the header `Host`.
    pub(super) host: &'a str,
    /// Plain characters only.
    pub(super) path: &'a str,
    /// The request's own parameters.
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    /// `YYYYMMDD'T'HHMMSS'Z'`.
    pub(super) time: &'a str,
    pub(super) expires_seconds: u32,
    /// The digest of the payload, in hexadecimal, or what a service has in its place.
    pub(super) payload: &'a str,
}

/// SHA-256 of nothing.
pub(super) const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

impl Presigned<'_> {
    /// Returns the URL without its scheme: `host/path?query`.
    pub(super) fn url(&self, keys: &AwsKeys) -> Secret<String> {
        let date = self.time.get(..8).unwrap_or_default();
        let scope = format!("{date}/{}/{}/aws4_request", self.region, self.service);
        let credential = format!("{}/{scope}", keys.access_key_id);
        let expires = self.expires_seconds.to_string();
        let mut parameters: Vec<(String, String)> =
            self.query.iter().map(|(name, value)| (encoded(name), encoded(value))).collect();
        let own = [
            ("X-Amz-Algorithm", ALGORITHM),
            ("X-Amz-Credential", &credential),
            ("X-Amz-Date", self.time),
            ("X-Amz-Expires", &expires),
            ("X-Amz-SignedHeaders", "host"),
        ];
        parameters.extend(own.map(|(name, value)| (name.to_owned(), encoded(value))));
        if let Some(token) = &keys.session_token {
            parameters.push(("X-Amz-Security-Token".to_owned(), encoded(token.expose())));
        }
        parameters.sort_unstable();
        let pairs: Vec<_> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let query = pairs.join("&");
        let Self { host, path, payload, .. } = self;
        let request = format!("GET\n{path}\n{query}\nhost:{host}\n\nhost\n{payload}");
        let digest = hex::encode(Sha256::digest(&request));
        let signed = format!("{ALGORITHM}\n{}\n{scope}\n{digest}", self.time);
        let key = signing_key(keys.secret_access_key.expose(), date, self.region, self.service);
        let signature = hex::encode(mac(key.expose(), signed.as_bytes()).expose());
        Secret::new(format!("{host}{path}?{query}&X-Amz-Signature={signature}"))
    }
}

fn signing_key(secret: &str, date: &str, region: &str, service: &str) -> Secret<Vec<u8>> {
    let first = Secret::new(format!("AWS4{secret}").into_bytes());
    [date, region, service, "aws4_request"]
        .into_iter()
        .fold(first, |key, part| mac(key.expose(), part.as_bytes()))
}

fn mac(key: &[u8], data: &[u8]) -> Secret<Vec<u8>> {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Secret::new(Vec::new()) };
    mac.update(data);
    Secret::new(mac.finalize().into_bytes().to_vec())
}

/// Escapes all but RFC 3986's unreserved characters.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(id: &str, secret: &str, token: Option<&str>) -> AwsKeys {
        AwsKeys {
            access_key_id: id.to_owned(),
            secret_access_key: Secret::new(secret.to_owned()),
            session_token: token.map(|token| Secret::new(token.to_owned())),
        }
    }

    /// AWS General Reference, "Examples of how to derive a signing key".
    #[test]
    fn the_signing_key_is_derived_as_aws_says() {
        let key = signing_key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20150830", "us-east-1", "iam");
        assert_eq!(
            hex::encode(key.expose()),
            "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
        );
    }

    /// Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters", the example.
    #[test]
    fn a_url_is_signed_as_in_the_published_example() {
        let request = Presigned {
            host: "examplebucket.s3.amazonaws.com",
            path: "/test.txt",
            query: &[],
            region: "us-east-1",
            service: "s3",
            time: "20130524T000000Z",
            expires_seconds: 86400,
            payload: "UNSIGNED-PAYLOAD",
        };
        let keys = keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None);
        let url = request.url(&keys);
        assert_eq!(
            url.expose().as_str(),
            "examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&\
             X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&\
             X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&\
             X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
        );
    }

    /// What botocore 1.44.5 gives for the same keys and time (`RDS.generate_db_auth_token`).
    #[test]
    fn a_database_token_is_what_awss_own_library_makes() {
        let request = Presigned {
            host: "db.abc123.eu-central-1.rds.amazonaws.com:5432",
            path: "/",
            query: &[("Action", "connect"), ("DBUser", "gate post/ü")],
            region: "eu-central-1",
            service: "rds-db",
            time: "20261123T183000Z",
            expires_seconds: 900,
            payload: EMPTY,
        };
        let keys =
            keys("ASIAEXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", Some("IQoJb3JpZ2luX2VjE//+=="));
        let parts = |url: &str| {
            let (front, query) = url.split_once('?').unwrap();
            let mut query: Vec<_> = query.split('&').map(str::to_owned).collect();
            query.sort_unstable();
            (front.to_owned(), query)
        };
        // In another order, which is nothing to the signature.
        assert_eq!(parts(request.url(&keys).expose()), parts(BOTOCORE));
    }

    const BOTOCORE: &str = "db.abc123.eu-central-1.rds.amazonaws.com:5432/?Action=connect&DBUser=gate%20post%2F%C3%BC\
        &X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=ASIAEXAMPLE%2F20261123%2Feu-central-1%2Frds-db%2Faws4_request\
        &X-Amz-Date=20261123T183000Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host\
        &X-Amz-Security-Token=IQoJb3JpZ2luX2VjE%2F%2F%2B%3D%3D\
        &X-Amz-Signature=52c85da6f9fdbaf807d902d834f7af4ae0b9d1edfdb2b8cd8eb0ad3d01a0096a";
}
