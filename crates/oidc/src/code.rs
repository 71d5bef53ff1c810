//! The authorization code flow with PKCE (OpenID Connect Core 1.0, 3.1; RFC 7636; RFC 9207), as a relying party. Knows no browser's
//! cookies, and keeps no login: who began one, and with what, is its caller's to remember.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identity::{Expected, Verified};
use model::Secret;
use serde_json::Value;
use url::Url;

use crate::config::{self, BadIssuer};
use crate::credential::Credential;
use crate::fetch::{Client, FetchError, read_discovery};
use crate::issuer::Issuer;
use crate::issuers::Failure;

/// How long what discovery says of endpoints is used.
const ENDPOINTS_AGE: Duration = Duration::from_secs(300);

/// Logs people in at one issuer.
pub struct CodeFlow {
    issuer: Arc<Issuer>,
    client: Client,
    client_id: String,
    secret: Option<Credential>,
    endpoints: ArcSwapOption<(Endpoints, Instant)>,
}

/// What a discovery document says of the flow.
#[derive(Clone, Debug)]
struct Endpoints {
    authorization: Url,
    token: Url,
    /// Whether the issuer names itself in the answer to the browser (RFC 9207).
    names_itself: bool,
    /// Whether the client's secret goes into the form, and not into the header.
    secret_in_form: bool,
}

/// What an authorization request says.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Where the browser is to come back to, exactly as registered.
    pub redirect_uri: &'a str,
    /// Separated by spaces.
    pub scope: &'a str,
    /// Comes back with the browser.
    pub state: &'a str,
    /// Comes back in the ID token.
    pub nonce: &'a str,
    /// What only whoever comes back with the code can know (RFC 7636 4.1); its digest is sent.
    pub verifier: &'a Secret<String>,
}

/// What came back with the browser, and what belongs to it.
#[derive(Clone, Copy)]
pub struct Returned<'a> {
    /// The authorization code.
    pub code: &'a str,
    /// `iss`, if it came.
    pub iss: Option<&'a str>,
    /// As it was asked for.
    pub redirect_uri: &'a str,
    /// What the challenge was made of.
    pub verifier: &'a Secret<String>,
    /// As it was sent.
    pub nonce: &'a str,
}

/// Why nobody is logged in. For the log; the browser is told less.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// The issuer's fault, or the network's.
    #[error("issuer {0:?} can't be asked")]
    Unavailable(String, #[source] Box<FetchError>),
    /// Operator: the client's secret can't be had.
    #[error("the client's secret can't be had: {0}")]
    Secret(String),
    /// The issuer says no: the code was used or is old, or the client isn't known as it is configured.
    #[error("issuer {issuer:?} refuses the code: {error}")]
    Refused {
        /// Its name in the configuration.
        issuer: String,
        /// Its error code, or HTTP status.
        error: String,
    },
    /// SECURITY: the answer is another issuer's (RFC 9207 2.4).
    #[error("the answer is of issuer {found:?}, and {expected:?} was asked")]
    AnotherIssuer {
        /// What `iss` says.
        found: String,
        /// What it should say.
        expected: String,
    },
    /// The issuer's fault.
    #[error("issuer {0:?} answers with no ID token")]
    NoToken(String),
    /// The ID token is not believed.
    #[error(transparent)]
    Token(#[from] Failure),
}

impl CodeError {
    /// Returns whether the same may work later.
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(..) | Self::Secret(_) | Self::Token(Failure::Unavailable { .. }))
    }
}

impl CodeFlow {
    /// Makes what logs people in; asks nobody yet.
    ///
    /// # Errors
    /// [`BadIssuer`]: the operator's fault.
    pub fn new(
        issuer: Arc<Issuer>,
        client_id: String,
        secret: Option<Credential>,
    ) -> Result<Self, BadIssuer> {
        let client = Client::new(issuer.config(), issuer.url())?;
        Ok(Self { issuer, client, client_id, secret, endpoints: ArcSwapOption::empty() })
    }

    /// Returns the issuer.
    pub const fn issuer(&self) -> &Arc<Issuer> {
        &self.issuer
    }

    /// Returns where the browser is to be sent.
    ///
    /// # Errors
    /// [`CodeError::Unavailable`]: the issuer's fault.
    pub async fn authorization_url(&self, asked: Asked<'_>) -> Result<String, CodeError> {
        let mut url = self.endpoints().await?.authorization;
        // RFC 7636 4.2, S256.
        let challenge = URL_SAFE_NO_PAD.encode(identity::thumbprint_of(asked.verifier.expose().as_bytes()));
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", asked.redirect_uri)
            .append_pair("scope", asked.scope)
            .append_pair("state", asked.state)
            .append_pair("nonce", asked.nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        Ok(url.into())
    }

    /// Exchanges a code for an ID token, and checks that. Returns also who it is by `email`, where the issuer says so.
    ///
    /// # Errors
    /// [`CodeError`]: see there.
    pub async fn redeem(
        &self,
        returned: Returned<'_>,
        now: SystemTime,
    ) -> Result<(Verified, Option<String>), CodeError> {
        let endpoints = self.endpoints().await?;
        self.check_origin(returned.iss, &endpoints)?;
        let answer = self.exchange(&returned, &endpoints).await?;
        let text = |name: &str| answer.get(name).and_then(Value::as_str);
        let id_token = text("id_token").ok_or_else(|| CodeError::NoToken(self.name()))?;
        let expected = Expected {
            client_id: &self.client_id,
            nonce: returned.nonce,
            access_token: text("access_token"),
        };
        Ok(self.issuer.verify_id_token(id_token, expected, now).await?)
    }

    /// SECURITY: an answer of another issuer's must not bring its code to this one's token endpoint, nor the other way (mix-up,
    /// RFC 9207).
    fn check_origin(&self, iss: Option<&str>, endpoints: &Endpoints) -> Result<(), CodeError> {
        match iss {
            Some(iss) if iss == self.issuer.url() => Ok(()),
            None if !endpoints.names_itself => Ok(()),
            other => Err(CodeError::AnotherIssuer {
                found: other.unwrap_or_default().chars().take(200).collect(),
                expected: self.issuer.url().to_owned(),
            }),
        }
    }

    async fn exchange(&self, returned: &Returned<'_>, endpoints: &Endpoints) -> Result<Value, CodeError> {
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", returned.code),
            ("redirect_uri", returned.redirect_uri),
            ("code_verifier", returned.verifier.expose().as_str()),
            ("client_id", self.client_id.as_str()),
        ];
        let url = endpoints.token.as_str();
        let mut request = self.client.post(url);
        let secret = match &self.secret {
            Some(secret) => Some(secret.fetch().await.map_err(CodeError::Secret)?),
            None => None,
        };
        if let Some(secret) = &secret {
            let secret = secret.expose().trim_end_matches('\n');
            if endpoints.secret_in_form {
                form.push(("client_secret", secret));
            } else {
                // RFC 6749 2.3.1: both are encoded as in a form first.
                request = request.basic_auth(encoded(&self.client_id), Some(encoded(secret)));
            }
        }
        let (status, body) = self
            .client
            .send_accepting(request.form(&form), url, &[200, 400, 401])
            .await
            .map_err(|error| CodeError::Unavailable(self.name(), error.into()))?;
        let answer = identity::parse_json(&body).unwrap_or_default();
        if status == 200 {
            return Ok(answer);
        }
        let error = answer.get("error").and_then(Value::as_str).map(|it| it.chars().take(80).collect());
        Err(CodeError::Refused {
            issuer: self.name(),
            error: error.unwrap_or_else(|| format!("HTTP status {status}")),
        })
    }

    async fn endpoints(&self) -> Result<Endpoints, CodeError> {
        if let Some(known) = self.endpoints.load_full()
            && known.1.elapsed() < ENDPOINTS_AGE
        {
            return Ok(known.0.clone());
        }
        let at = Instant::now();
        match self.discover().await {
            Ok(endpoints) => {
                self.endpoints.store(Some(Arc::new((endpoints.clone(), at))));
                Ok(endpoints)
            }
            Err(error) => Err(CodeError::Unavailable(self.name(), error.into())),
        }
    }

    async fn discover(&self) -> Result<Endpoints, FetchError> {
        let url = self.issuer.discovery_url();
        let bad = |problem: String| FetchError::Discovery { url: url.to_owned(), problem };
        let body = self.client.send(self.client.get(url), url).await?;
        let document = read_discovery(&body, url, self.issuer.url())?;
        let endpoint = |name: &str| {
            let text = document.get(name).and_then(Value::as_str);
            text.ok_or_else(|| bad(format!("it has no string {name:?}")))
        };
        let authorization = endpoint("authorization_endpoint")?;
        let token = endpoint("token_endpoint")?;
        // The browser goes to this one, from where it is: only that it is no plain http.
        let authorization = config::issuer_endpoint(authorization, self.client.is_plain())
            .map_err(|problem| bad(format!("its authorization_endpoint {problem}")))?;
        let token = self
            .client
            .check_endpoint(token)
            .map_err(|problem| bad(format!("its token_endpoint {problem}")))?;
        let methods = document.get("token_endpoint_auth_methods_supported").and_then(Value::as_array);
        let supports = |method: &str| methods.is_some_and(|all| all.iter().any(|it| it == method));
        Ok(Endpoints {
            authorization,
            token,
            names_itself: document.get("authorization_response_iss_parameter_supported")
                == Some(&Value::Bool(true)),
            // OpenID Connect Discovery 3: without the list, `client_secret_basic`.
            secret_in_form: supports("client_secret_post") && !supports("client_secret_basic"),
        })
    }

    fn name(&self) -> String {
        self.issuer.name().to_owned()
    }
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
