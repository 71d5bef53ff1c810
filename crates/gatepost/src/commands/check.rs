//! `gatepost check`: is everything in order that `serve` would need? Prints what was understood, secrets as references.

use std::path::Path;

use config::{Config, Login, SecretRef};
use model::Mask;
use policy::Bundle;

use crate::commands::policy as bundles;
use crate::failure::{Failure, Status, chain};
use crate::output::{Cell, Format, Out, Tone};
use crate::settings;

/// What came of looking at one thing.
pub(crate) struct Finding {
    /// What was looked at: `secret`, `policy`, ...
    what: &'static str,
    /// Which one.
    subject: String,
    outcome: Outcome,
    detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Good,
    Warning,
    Failed,
}

impl Finding {
    pub(crate) fn good(what: &'static str, subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { what, subject: subject.into(), outcome: Outcome::Good, detail: detail.into() }
    }

    pub(crate) fn warning(what: &'static str, subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { what, subject: subject.into(), outcome: Outcome::Warning, detail: detail.into() }
    }

    pub(crate) fn failed(what: &'static str, subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { what, subject: subject.into(), outcome: Outcome::Failed, detail: detail.into() }
    }

    fn cells(&self) -> Vec<Cell> {
        let (tone, word) = match self.outcome {
            Outcome::Good => (Tone::Good, "ok"),
            Outcome::Warning => (Tone::Warning, "warning"),
            Outcome::Failed => (Tone::Bad, "failed"),
        };
        let subject = Cell::new(self.subject.as_str());
        vec![Cell::new(self.what), subject, Cell::toned(tone, word), Cell::new(self.detail.as_str())]
    }
}

/// Prints findings, and says by the status whether any of them is a failure.
pub(crate) fn show(findings: &[Finding], format: Format) -> Result<Status, Failure> {
    let rows: Vec<_> = findings.iter().map(Finding::cells).collect();
    Out::new().table(format, &["what", "subject", "result", "detail"], &rows)?;
    let failed = findings.iter().any(|finding| finding.outcome == Outcome::Failed);
    Ok(if failed { Status::CheckFailed } else { Status::Success })
}

pub(crate) async fn run(config: Option<&Path>, connect: bool, format: Format) -> Result<Status, Failure> {
    let memory = server::memory::protect();
    let path = settings::path(config);
    let config = match Config::load(&path) {
        Ok(config) => config,
        Err(error) if format == Format::Table => return Err(Failure::of(&error)),
        Err(error) => {
            let problems = error.problems().iter();
            let subject = path.display().to_string();
            let findings: Vec<_> = problems
                .map(|problem| Finding::failed("configuration", &*subject, problem.to_string()))
                .collect();
            return show(&findings, format);
        }
    };
    if format == Format::Table {
        let mut out = Out::new();
        out.line(&config::render_redacted(&config))?;
        out.flush()?;
    }
    let subject = path.display().to_string();
    let mut findings = vec![Finding::good("configuration", &*subject, "every key is understood")];
    findings.extend(
        config.warnings.iter().map(|it| Finding::warning("configuration", &*subject, it.to_string())),
    );
    findings.push(match (&memory.dumps, &memory.locked) {
        (Ok(()), Ok(())) => Finding::good("memory", "secrets", memory.to_string()),
        _ => Finding::warning("memory", "secrets", memory.to_string()),
    });
    check_secrets(&config, &mut findings).await;
    check_pairs(&config, &mut findings).await;
    check_tls(&config, &mut findings).await;
    check_legacy(&config, &mut findings).await;
    crate::commands::notify::check(&config, &mut findings).await;
    if let Err(error) = server::issuers(&config.issuers).and_then(|issuers| Ok(oidc::Issuers::new(issuers)?))
    {
        findings.push(Finding::failed("issuer", "*", chain(&error)));
    }
    let mut loaded = Vec::new();
    for database in &config.databases {
        if let Some(bundle) = bundles::check_bundle(&database.policy, &database.name, format, &mut findings) {
            check_mask_keys(&config, &bundle, &mut findings);
            loaded.push((database, bundle));
        }
    }
    if connect {
        for server::probe::Reach { what, subject, outcome, advice } in
            server::probe::connect_check(&config).await
        {
            findings.push(match outcome {
                Ok(detail) => Finding::good(what, &*subject, detail),
                Err(detail) => Finding::failed(what, &*subject, detail),
            });
            findings.extend(advice.into_iter().map(|detail| Finding::warning(what, &*subject, detail)));
        }
        for (database, bundle) in loaded {
            bundles::run_sql_tests(database, &bundle, &mut findings).await;
        }
    }
    show(&findings, format)
}

/// The fewest characters of a key for masks: 128 bits, if it is written in hexadecimal.
const MASK_KEY_CHARS_MIN: usize = 32;

async fn check_secrets(config: &Config, findings: &mut Vec<Finding>) {
    for (of, reference, chars_min) in secrets(config) {
        let finding = match server::secrets::resolve(reference).await {
            Ok(secret) if secret.expose().chars().count() < chars_min => Finding::failed(
                "secret",
                reference.to_string(),
                format!("{of}: shorter than {chars_min} characters"),
            ),
            // SECURITY: not even its length is told.
            Ok(_) => Finding::good("secret", reference.to_string(), of),
            Err(error) => {
                Finding::failed("secret", reference.to_string(), format!("{of}: {}", chain(&error)))
            }
        };
        findings.push(finding);
    }
}

/// Whether only a login can fetch a user and its password: from one answer of Vault's, or signed for the database.
fn belongs_together(user: &SecretRef, password: Option<&SecretRef>) -> bool {
    match (user, password) {
        (SecretRef::Vault(user), Some(SecretRef::Vault(password))) => user.is_beside(password),
        (_, Some(SecretRef::AwsRdsIam(_))) => true,
        _ => false,
    }
}

/// Fetches what [`secrets`] leaves out. A lease is given back at once.
async fn check_pairs(config: &Config, findings: &mut Vec<Finding>) {
    for database in &config.databases {
        let Login::Static { user, password: Some(password) } = &database.login else { continue };
        if !belongs_together(user, Some(password)) {
            continue;
        }
        let of = format!("user and password for database \"{}\"", database.name);
        let subject = format!("{user}, {password}");
        findings.push(match server::secrets::credentials(user, Some(password), &database.upstream).await {
            Ok(found) if found.lease.is_some() => {
                Finding::good("secret", subject, format!("{of}: a dynamic credential, revoked again"))
            }
            Ok(_) => Finding::good("secret", subject, of),
            Err(error) => Finding::failed("secret", subject, format!("{of}: {}", chain(&error))),
        });
    }
}

/// Returns every secret of a configuration that stands alone: whose it is, where it is, and how long it must be.
fn secrets(config: &Config) -> Vec<(String, &SecretRef, usize)> {
    let mut all = Vec::new();
    if let Some(tls) = &config.listen.tls {
        all.push(("key of listen.tls".to_owned(), &tls.key, 0));
    }
    for database in &config.databases {
        match &database.login {
            Login::Static { user, password } => {
                if belongs_together(user, password.as_ref()) {
                    continue;
                }
                all.push((format!("user for database \"{}\"", database.name), user, 0));
                if let Some(password) = password {
                    all.push((format!("password for database \"{}\"", database.name), password, 0));
                }
            }
            Login::Passthrough { questions: None } => {}
            Login::Passthrough { questions: Some(config::Questions { user, password }) } => {
                all.push((format!("user for questions to database \"{}\"", database.name), user, 0));
                if let Some(password) = password {
                    let of = format!("password for questions to database \"{}\"", database.name);
                    all.push((of, password, 0));
                }
            }
            Login::Ephemeral(ephemeral) => {
                all.push((format!("admin for database \"{}\"", database.name), &ephemeral.admin, 0));
            }
        }
    }
    for database in &config.databases {
        if let Some(verifiers) = &database.verifiers {
            let of = format!("login that reads verifiers of database \"{}\"", database.name);
            all.push((of, &verifiers.from, 0));
        }
    }
    if let config::StorePlace::Postgres { user, password, .. } = &config.store.place {
        all.push(("user of [store]".to_owned(), user, 0));
        all.extend(password.iter().map(|password| ("password of [store]".to_owned(), password, 0)));
    }
    if let Some(key) = &config.passthrough.mock_key {
        all.push(("passthrough.mock_key".to_owned(), key, MASK_KEY_CHARS_MIN));
    }
    if let Some(key) = &config.mask.hash_key {
        all.push(("mask.hash_key".to_owned(), key, MASK_KEY_CHARS_MIN));
    }
    for channel in &config.notify {
        all.extend(of_channel(channel));
    }
    for store in &config.object_stores {
        let of = |reference| (format!("key of object store \"{}\"", store.name), reference, 0);
        all.extend(store.secrets().into_iter().map(of));
    }
    for stream in &config.streams {
        let of = |(what, reference)| (format!("{what} of stream \"{}\"", stream.name), reference, 0);
        all.extend(stream.secrets().into_iter().map(of));
    }
    for (name, key) in &config.mask.keys {
        all.push((format!("mask.keys.{name}"), key, MASK_KEY_CHARS_MIN));
    }
    all
}

fn of_channel(channel: &config::Notify) -> Vec<(String, &SecretRef, usize)> {
    use config::{NotifyKind, SlackWay};
    let (what, answers) = match &channel.kind {
        NotifyKind::Slack { way, answers, .. } => {
            let answers = answers.as_ref().map(|it| ("signing secret", &it.answers.secret));
            match way {
                SlackWay::Bot { token, .. } => (vec![("token", token)], answers),
                SlackWay::Webhook { url } => (vec![("webhook", url)], answers),
            }
        }
        NotifyKind::Teams { webhook } => (vec![("webhook", webhook)], None),
        NotifyKind::Email(smtp) => {
            let login = smtp.login.as_ref();
            (
                login.map_or_else(Vec::new, |(user, password)| vec![("user", user), ("password", password)]),
                None,
            )
        }
        NotifyKind::Webhook { secret, answers, .. } => {
            (vec![("secret", secret)], answers.as_ref().map(|it| ("inbound secret", &it.secret)))
        }
    };
    let all = what.into_iter().chain(answers);
    all.map(|(what, reference)| (format!("{what} of channel \"{}\"", channel.name), reference, 0)).collect()
}

/// Every account that is imported must have its verifier where the configuration says, and some time left.
async fn check_legacy(config: &Config, findings: &mut Vec<Finding>) {
    let now = std::time::SystemTime::now();
    for account in &config.legacy {
        if let Some(until) = account.until.filter(|until| until.end() <= now) {
            let detail = format!("its last day was {until}: it is refused");
            findings.push(Finding::warning("legacy", &*account.name, detail));
        }
        match server::legacy::inspect(account).await {
            Some(Ok(iterations)) => {
                let detail = format!("its verifier is SCRAM-SHA-256 with {iterations} iterations");
                findings.push(Finding::good("legacy", &*account.name, detail));
            }
            Some(Err(why)) => findings.push(Finding::failed("legacy", &*account.name, why)),
            None => {}
        }
    }
}

/// Certificate and key must be readable, and belong together.
async fn check_tls(config: &Config, findings: &mut Vec<Finding>) {
    let Some(tls) = &config.listen.tls else { return };
    // What is wrong with the key's place is told among the secrets.
    let Ok(key) = server::secrets::resolve(&tls.key).await else { return };
    let subject = tls.certificate.display().to_string();
    let certificate = match std::fs::read(&tls.certificate) {
        Ok(certificate) => certificate,
        Err(error) => {
            findings.push(Finding::failed("certificate", subject, error.to_string()));
            return;
        }
    };
    findings.push(match server::tls::acceptor(&certificate, &key) {
        Ok(_) => Finding::good("certificate", subject, "it and its key belong together"),
        Err(error) => Finding::failed("certificate", subject, chain(&error)),
    });
}

fn check_mask_keys(config: &Config, bundle: &Bundle, findings: &mut Vec<Finding>) {
    for (tag, mask) in bundle.masks() {
        let (Mask::Hash { key, .. } | Mask::Uuid { key }) = mask else { continue };
        let missing = match key {
            Some(name) if !config.mask.keys.contains_key(name) => {
                format!("[mask] keys = {{ {name} = \"…\" }}")
            }
            None if config.mask.hash_key.is_none() => "[mask] hash_key = \"…\"".to_owned(),
            Some(_) | None => continue,
        };
        let detail = format!("the mask of tag \"{tag}\" needs a key; add {missing} to the configuration");
        findings.push(Finding::failed("policy", bundle.database(), detail));
    }
}
