//! Signatures of what goes out and comes in: Slack's v0 scheme and Standard Webhooks v1. Knows no content, and has no clock.
//!
//! Slack: <https://docs.slack.dev/authentication/verifying-requests-from-slack>.
//! Standard Webhooks 1.0: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.

use std::time::Duration;

use approval::Stamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use model::Secret;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// How far a signature's time may be from ours, either way: what Slack's documentation says, and the Standard Webhooks libraries do.
pub const WINDOW: Duration = Duration::from_secs(300);

/// Standard Webhooks: a symmetric secret has 24 to 64 bytes.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Of `webhook-id`: no sender's is longer, and it is kept.
const ID_BYTES_MAX: usize = 256;

/// Why a call is not believed: the caller's fault. Safe to record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// A header isn't there, or there twice.
    #[error("it has no {0} header, or more than one")]
    Header(&'static str),
    /// A header that is no time, or an identifier that can't be one.
    #[error("its {0} header makes no sense")]
    Senseless(&'static str),
    /// Older than [`WINDOW`].
    #[error("its time is {0} s before the gateway's; at most {max} are allowed", max = WINDOW.as_secs())]
    Old(u64),
    /// Newer than [`WINDOW`].
    #[error("its time is {0} s after the gateway's; at most {max} are allowed", max = WINDOW.as_secs())]
    Early(u64),
    /// Another secret, or another text.
    #[error("its signature is not made with the secret of this channel")]
    Forged,
}

/// The headers by which Slack signs.
#[derive(Clone, Copy, Debug)]
pub struct SlackHeaders<'a> {
    /// `X-Slack-Request-Timestamp`, if it is there once.
    pub timestamp: Option<&'a str>,
    /// `X-Slack-Signature`, likewise.
    pub signature: Option<&'a str>,
}

/// The headers by which webhooks are signed.
#[derive(Clone, Copy, Debug)]
pub struct WebhookHeaders<'a> {
    /// `webhook-id`, if it is there once.
    pub id: Option<&'a str>,
    /// `webhook-timestamp`, likewise.
    pub timestamp: Option<&'a str>,
    /// `webhook-signature`, likewise.
    pub signature: Option<&'a str>,
}

/// Checks that Slack sent this body, now. Returns the signature, by which a repetition is known.
///
/// # Errors
/// [`BadSignature`]: the caller.
pub fn slack_verify(
    secret: &Secret<String>,
    headers: SlackHeaders<'_>,
    body: &[u8],
    now: Stamp,
) -> Result<String, BadSignature> {
    let timestamp = headers.timestamp.ok_or(BadSignature::Header("X-Slack-Request-Timestamp"))?;
    let signature = headers.signature.ok_or(BadSignature::Header("X-Slack-Signature"))?;
    let claimed = signature.strip_prefix("v0=").and_then(|text| hex::decode(text).ok());
    let claimed = claimed.ok_or(BadSignature::Senseless("X-Slack-Signature"))?;
    let time = seconds(timestamp).ok_or(BadSignature::Senseless("X-Slack-Request-Timestamp"))?;
    let made = mac(secret.expose().as_bytes(), &[b"v0:", timestamp.as_bytes(), b":", body]);
    // SECURITY: before the time is told, so that only whoever has the secret learns what our clock says.
    if !bool::from(made.as_slice().ct_eq(&claimed)) {
        return Err(BadSignature::Forged);
    }
    within_window(time, now)?;
    Ok(hex::encode(made))
}

/// A secret that webhooks are signed with.
pub struct WebhookSecret(Secret<Vec<u8>>);

impl WebhookSecret {
    /// Reads `whsec_` and base64.
    ///
    /// # Errors
    /// The operator's: what it must be. Says nothing of the secret.
    pub fn parse(text: &Secret<String>) -> Result<Self, &'static str> {
        let encoded = text.expose().strip_prefix("whsec_");
        let encoded = encoded.ok_or("must begin with whsec_, followed by 24 to 64 bytes in base64")?;
        let bytes = STANDARD.decode(encoded).map_err(|_| "has no base64 after whsec_")?;
        if !SECRET_BYTES.contains(&bytes.len()) {
            return Err("must have 24 to 64 bytes, in base64, after whsec_");
        }
        Ok(Self(Secret::new(bytes)))
    }

    /// Returns the value of `webhook-signature`.
    pub fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        format!("v1,{}", STANDARD.encode(self.mac(id, timestamp, body)))
    }

    /// Checks that whoever has the secret sent this body, now. Returns its id, by which a repetition is known.
    ///
    /// # Errors
    /// [`BadSignature`]: the caller.
    pub fn verify<'a>(
        &self,
        headers: WebhookHeaders<'a>,
        body: &[u8],
        now: Stamp,
    ) -> Result<&'a str, BadSignature> {
        let id = headers.id.ok_or(BadSignature::Header("webhook-id"))?;
        let timestamp = headers.timestamp.ok_or(BadSignature::Header("webhook-timestamp"))?;
        let signatures = headers.signature.ok_or(BadSignature::Header("webhook-signature"))?;
        // A dot would let one signed text be read as another's id and time.
        if id.is_empty() || id.len() > ID_BYTES_MAX || !id.bytes().all(|b| b.is_ascii_graphic() && b != b'.')
        {
            return Err(BadSignature::Senseless("webhook-id"));
        }
        let time = seconds(timestamp).ok_or(BadSignature::Senseless("webhook-timestamp"))?;
        let made = self.mac(id, timestamp, body);
        // Several, while a secret is replaced: one must be ours. Of other versions none counts.
        let ours = signatures.split(' ').take(16).any(|signature| {
            let claimed = signature.strip_prefix("v1,").and_then(|text| STANDARD.decode(text).ok());
            claimed.is_some_and(|claimed| bool::from(made.as_slice().ct_eq(&claimed)))
        });
        if !ours {
            return Err(BadSignature::Forged);
        }
        within_window(time, now)?;
        Ok(id)
    }

    fn mac(&self, id: &str, timestamp: &str, body: &[u8]) -> [u8; 32] {
        mac(self.0.expose(), &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body])
    }
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Reads seconds since 1970: digits and nothing else, so that one time is written in one way.
fn seconds(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.len() <= 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

fn within_window(time: u64, now: Stamp) -> Result<(), BadSignature> {
    let (now, most) = (now.0 / 1000, WINDOW.as_secs());
    if now.saturating_sub(time) > most {
        return Err(BadSignature::Old(now.saturating_sub(time)));
    }
    if time.saturating_sub(now) > most {
        return Err(BadSignature::Early(time.saturating_sub(now)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{BadSignature, SlackHeaders, WebhookHeaders, WebhookSecret, slack_verify};
    use approval::Stamp;
    use model::Secret;

    // The example of Slack's documentation, "Verifying requests from Slack".
    const SLACK_SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    const SLACK_TIME: &str = "1531420618";
    const SLACK_BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    const SLACK_SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";

    // The example of the Standard Webhooks specification and its reference libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIME: &str = "1614265330";
    const BODY: &str = r#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn slack(time: &str, signature: &str, body: &str, now: u64) -> Result<String, BadSignature> {
        let headers = SlackHeaders { timestamp: Some(time), signature: Some(signature) };
        slack_verify(&Secret::new(SLACK_SECRET.into()), headers, body.as_bytes(), Stamp(now * 1000))
    }

    fn webhook(id: &str, time: &str, signature: &str, body: &str, now: u64) -> Result<(), BadSignature> {
        let secret = WebhookSecret::parse(&Secret::new(SECRET.into())).unwrap();
        let headers = WebhookHeaders { id: Some(id), timestamp: Some(time), signature: Some(signature) };
        secret.verify(headers, body.as_bytes(), Stamp(now * 1000)).map(|found| assert_eq!(found, id))
    }

    #[test]
    fn slack_s_documented_example_verifies() {
        assert!(slack(SLACK_TIME, SLACK_SIGNATURE, SLACK_BODY, 1_531_420_618).is_ok());
        assert!(slack(SLACK_TIME, SLACK_SIGNATURE, SLACK_BODY, 1_531_420_618 + 300).is_ok());
        assert!(slack(SLACK_TIME, SLACK_SIGNATURE, SLACK_BODY, 1_531_420_618 - 300).is_ok());
    }

    #[test]
    fn a_call_that_slack_did_not_sign_now_is_refused() {
        let now = 1_531_420_618;
        let forged = SLACK_SIGNATURE.replace("a2", "a3");
        assert_eq!(slack(SLACK_TIME, &forged, SLACK_BODY, now), Err(BadSignature::Forged));
        let other = SLACK_BODY.replace("roadrunner", "coyote");
        assert_eq!(slack(SLACK_TIME, SLACK_SIGNATURE, &other, now), Err(BadSignature::Forged));
        assert_eq!(slack("1531420619", SLACK_SIGNATURE, SLACK_BODY, now), Err(BadSignature::Forged));
        assert_eq!(slack(SLACK_TIME, SLACK_SIGNATURE, SLACK_BODY, now + 301), Err(BadSignature::Old(301)));
        assert_eq!(slack(SLACK_TIME, SLACK_SIGNATURE, SLACK_BODY, now - 301), Err(BadSignature::Early(301)));
        for senseless in ["", "v0=", "v1=a2114d57", "v0=zz", SLACK_SIGNATURE.trim_end_matches("b503")] {
            assert!(slack(SLACK_TIME, senseless, SLACK_BODY, now).is_err(), "{senseless}");
        }
        for senseless in ["", "-1", "+1531420618", " 1531420618", "1531420618.0", "99999999999999999999"] {
            assert!(slack(senseless, SLACK_SIGNATURE, SLACK_BODY, now).is_err(), "{senseless}");
        }
        let none = SlackHeaders { timestamp: Some(SLACK_TIME), signature: None };
        let secret = Secret::new(SLACK_SECRET.to_owned());
        assert!(slack_verify(&secret, none, SLACK_BODY.as_bytes(), Stamp(now * 1000)).is_err());
    }

    #[test]
    fn the_specification_s_example_is_made_and_verifies() {
        let secret = WebhookSecret::parse(&Secret::new(SECRET.into())).unwrap();
        assert_eq!(secret.sign(ID, TIME, BODY.as_bytes()), SIGNATURE);
        assert_eq!(webhook(ID, TIME, SIGNATURE, BODY, 1_614_265_330), Ok(()));
        let several = format!("v1,AAAA {SIGNATURE} v1a,BBBB");
        assert_eq!(webhook(ID, TIME, &several, BODY, 1_614_265_330), Ok(()));
    }

    #[test]
    fn a_webhook_that_is_forged_or_old_is_refused() {
        let now = 1_614_265_330;
        assert_eq!(webhook("msg_other", TIME, SIGNATURE, BODY, now), Err(BadSignature::Forged));
        assert_eq!(webhook(ID, "1614265331", SIGNATURE, BODY, now), Err(BadSignature::Forged));
        assert_eq!(webhook(ID, TIME, SIGNATURE, "{}", now), Err(BadSignature::Forged));
        assert_eq!(
            webhook(ID, TIME, &SIGNATURE.replace("v1,", "v1a,"), BODY, now),
            Err(BadSignature::Forged)
        );
        assert_eq!(webhook(ID, TIME, SIGNATURE, BODY, now + 301), Err(BadSignature::Old(301)));
        assert_eq!(webhook(ID, TIME, SIGNATURE, BODY, now - 301), Err(BadSignature::Early(301)));
        // Signed text is id.time.body: moving a dot must not make another call of it.
        assert!(webhook(&format!("{ID}.{TIME}"), TIME, SIGNATURE, BODY, now).is_err());
        assert!(webhook("", TIME, SIGNATURE, BODY, now).is_err());
    }

    #[test]
    fn a_secret_that_is_none_is_refused_without_being_shown() {
        for text in ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "whsec_!!", "whsec_AAAA"] {
            let error = WebhookSecret::parse(&Secret::new(text.into())).err().unwrap();
            assert!(
                text.is_empty() || !error.contains(text.trim_start_matches("whsec_")) || text == "whsec_"
            );
        }
    }
}
