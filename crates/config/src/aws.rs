//! `[aws]`: where the credentials come from that RDS IAM tokens are signed with. Asks nobody anything.

use crate::context::Context;
use crate::read::Table;
use crate::vault::{address, optional};

/// Who the gateway is at AWS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Aws {
    /// `None`: that of the upstream's host name.
    pub region: Option<String>,
    /// Where the credentials come from.
    pub credentials: AwsCredentials,
    /// Of what is asked for credentials, in place of AWS's own: `https`, or `http` on loopback; without a slash at its end.
    pub endpoint: Option<String>,
}

/// Where AWS credentials come from. One place, not a chain: what is not configured is not asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AwsCredentials {
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`.
    Environment,
    /// The shared credentials file, by profile.
    Profile(String),
    /// STS AssumeRoleWithWebIdentity, by `AWS_ROLE_ARN` and `AWS_WEB_IDENTITY_TOKEN_FILE`.
    WebIdentity,
    /// What ECS and EKS give a container, by `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` or `_FULL_URI`.
    Container,
    /// The instance's metadata service, version 2.
    Instance,
}

impl AwsCredentials {
    /// Returns the word that the file uses.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::Profile(_) => "profile",
            Self::WebIdentity => "web-identity",
            Self::Container => "container",
            Self::Instance => "instance",
        }
    }
}

pub(crate) fn read(table: &Table<'_>, context: &mut Context<'_>) -> Option<Aws> {
    let region = optional(table, "region", context, |value, context| {
        let text = value.string(context)?;
        if text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
            return Some(text);
        }
        context.error(value.span(), format!("\"{text}\" is no region like \"eu-central-1\""));
        None
    });
    let profile = table.value("profile", context);
    let name = profile.as_ref().map(|profile| profile.string(context));
    let endpoint = optional(table, "endpoint", context, address);
    let credentials = table.value("credentials", context).and_then(|value| {
        let word = value.string(context)?;
        if let Some(profile) = &profile
            && word != "profile"
        {
            context.error(profile.span(), "\"profile\" is for credentials = \"profile\" only".to_owned());
            return None;
        }
        Some(match word.as_str() {
            "environment" => AwsCredentials::Environment,
            "profile" => AwsCredentials::Profile(match name {
                Some(name) => name?,
                None => "default".to_owned(),
            }),
            "web-identity" => AwsCredentials::WebIdentity,
            "container" => AwsCredentials::Container,
            "instance" => AwsCredentials::Instance,
            _ => {
                let known = "\"environment\", \"profile\", \"web-identity\", \"container\" or \"instance\"";
                context.error(value.span(), format!("credentials \"{word}\" are unknown; write {known}"));
                return None;
            }
        })
    });
    Some(Aws { region: region?, credentials: credentials?, endpoint: endpoint? })
}
