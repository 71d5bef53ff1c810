//! The configuration as it was understood, for `gatepost check`: defaults filled in, paths resolved, secrets as
//! references only. What it prints is itself a valid configuration.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use crate::quantity::{show_bytes, show_duration};
use crate::{Answers, Notify, NotifyKind, SlackAnswers, SlackWay, Smtp};
use crate::{Asker, Aws, AwsCredentials, Passthrough, Questions, Servers, Vault, VaultMethod, Verifiers};
use crate::{
    AuthRule, Config, Console, Database, Ephemeral, Introspection, Issuer, IssuerKind, Journal, Legacy,
    Limits, Listen, Login, Mask, Operators,
};
use crate::{AzureCredentials, ObjectPlace, ObjectStore, S3Credentials, S3Keys};
use crate::{Index, Key, Otlp, Recording, SecretRef, Signer, Signing, Store, StorePlace, Telemetry};
use crate::{NatsLogin, Stream, StreamKind};

/// Writes a configuration with nothing left to a default. No secret is in it: the configuration has none.
pub fn render_redacted(config: &Config) -> String {
    // `warnings` are about the text, not part of the settings.
    let Config { listen, issuers, databases, auth, legacy, passthrough, .. } = config;
    let Config { journal, index, limits, mask, servers, notify, operators, state, .. } = config;
    let Config { object_stores, streams, recording, .. } = config;
    let Config { console, store, telemetry, warnings: _, .. } = config;
    let mut out = Lines(String::new());
    write_listen(listen, &mut out);
    issuers.iter().for_each(|issuer| write_issuer(issuer, &mut out));
    databases.iter().for_each(|database| write_database(database, &mut out));
    auth.iter().for_each(|rule| write_rule(rule, &mut out));
    legacy.iter().for_each(|account| write_legacy(account, &mut out));
    write_passthrough(passthrough, &mut out);
    write_journal(journal, &mut out);
    let Index { path, enabled } = index;
    out.header("[index]");
    out.text("path", shown(path));
    out.raw("enabled", enabled);
    write_limits(limits, &mut out);
    let Mask { hash_key, keys } = mask;
    out.header("[mask]");
    if let Some(key) = hash_key {
        out.text("hash_key", key);
    }
    out.raw("keys", table(keys));
    let Servers { vault, aws } = servers;
    if let Some(vault) = vault {
        write_vault(vault, &mut out);
    }
    if let Some(aws) = aws {
        write_aws(aws, &mut out);
    }
    notify.iter().for_each(|channel| write_notify(channel, &mut out));
    object_stores.iter().for_each(|store| write_object_store(store, &mut out));
    streams.iter().for_each(|stream| write_stream(stream, &mut out));
    if let Some(recording) = recording {
        write_recording(recording, &mut out);
    }
    write_operators(operators, &mut out);
    out.header("[state]");
    out.text("path", shown(state));
    write_store(store, &mut out);
    write_telemetry(telemetry, &mut out);
    if let Some(console) = console {
        write_console(console, &mut out);
    }
    out.0
}

struct Lines(String);

impl Lines {
    fn header(&mut self, header: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.0.push_str(header);
        self.0.push('\n');
    }

    fn raw(&mut self, key: &str, value: impl Display) {
        self.0.push_str(&format!("{key} = {value}\n"));
    }

    fn text(&mut self, key: &str, value: impl Display) {
        self.raw(key, quoted(value));
    }

    fn list<T: Display>(&mut self, key: &str, values: impl IntoIterator<Item = T>) {
        self.raw(key, list(values));
    }
}

fn quoted(value: impl Display) -> String {
    toml::Value::String(value.to_string()).to_string()
}

fn list<T: Display>(values: impl IntoIterator<Item = T>) -> String {
    let values: Vec<_> = values.into_iter().map(quoted).collect();
    format!("[{}]", values.join(", "))
}

fn table<T: Display>(pairs: &BTreeMap<String, T>) -> String {
    let pairs: Vec<_> =
        pairs.iter().map(|(name, value)| format!("{} = {}", quoted(name), quoted(value))).collect();
    if pairs.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", pairs.join(", ")) }
}

fn shown(path: &Path) -> impl Display {
    path.display()
}

fn write_listen(listen: &Listen, out: &mut Lines) {
    let Listen { postgres, tls, http, public_url } = listen;
    out.header("[listen]");
    out.list("postgres", postgres);
    if let Some(tls) = tls {
        let certificate = quoted(shown(&tls.certificate));
        let client_ca = tls
            .client_ca
            .as_ref()
            .map_or_else(String::new, |path| format!(", client_ca = {}", quoted(shown(path))));
        out.raw("tls", format!("{{ certificate = {certificate}, key = {}{client_ca} }}", quoted(&tls.key)));
    }
    if !http.is_empty() {
        out.list("http", http);
    }
    if let Some(url) = public_url {
        out.text("public_url", url);
    }
}

fn write_console(console: &Console, out: &mut Lines) {
    let Console { issuer, client_id, client_secret, scopes, session, idle } = console;
    out.header("[console]");
    out.text("issuer", issuer);
    out.text("client_id", client_id);
    if let Some(secret) = client_secret {
        out.text("client_secret", secret);
    }
    out.list("scopes", scopes);
    out.text("session", show_duration(*session));
    out.text("idle", show_duration(*idle));
}

fn write_stream(stream: &Stream, out: &mut Lines) {
    let Stream { name, kind, format, events, statement, required, begin, timeout, ca } = stream;
    out.header("[[stream]]");
    out.text("name", name);
    out.text("kind", kind.as_str());
    if !matches!(kind, StreamKind::Otlp { .. } | StreamKind::Parquet { .. }) {
        out.text("format", format.as_str());
    }
    out.list("events", events);
    out.text("statement", statement.as_str());
    out.raw("required", required);
    out.text("begin", begin.as_str());
    out.text("timeout", show_duration(*timeout));
    match kind {
        StreamKind::File { path, rotate_bytes, keep } => {
            out.text("path", shown(path));
            out.text("rotate", show_bytes(*rotate_bytes));
            out.raw("keep", keep);
        }
        StreamKind::Syslog { host, port, tls, client } => {
            let bracketed = host.contains(':');
            let host = if bracketed { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
            out.text("host", host);
            out.text("tls", tls.as_str());
            if let Some((certificate, key)) = client {
                out.text("certificate", shown(certificate));
                out.text("key", key);
            }
        }
        StreamKind::Http { url, secret } => {
            out.text("url", url);
            out.text("secret", secret);
        }
        StreamKind::Otlp { url, headers } => {
            out.text("url", url);
            out.raw("headers", table(headers));
        }
        StreamKind::Nats { url, subject, login } => {
            out.text("url", url);
            out.text("subject", subject);
            match login {
                NatsLogin::None => {}
                NatsLogin::User(user, password) => {
                    out.text("user", user);
                    out.text("password", password);
                }
                NatsLogin::Token(token) => out.text("token", token),
                NatsLogin::Credentials(credentials) => out.text("credentials", credentials),
            }
        }
        StreamKind::Parquet { object_store, prefix, interval } => {
            out.text("object_store", object_store);
            out.text("prefix", prefix);
            out.text("interval", show_duration(*interval));
        }
    }
    if let Some(ca) = ca {
        out.text("ca", shown(ca));
    }
}

fn write_object_store(store: &ObjectStore, out: &mut Lines) {
    let ObjectStore { name, place, prefix: _, endpoint, ca } = store;
    out.header("[[object_store]]");
    out.text("name", name);
    out.text("url", store);
    if let Some(endpoint) = endpoint {
        out.text("endpoint", endpoint);
    }
    if let Some(word) = store.credentials() {
        out.text("credentials", word);
    }
    match place {
        ObjectPlace::S3 { bucket: _, region, credentials } => {
            out.text("region", region);
            if let S3Credentials::Keys(keys) = credentials {
                let S3Keys { access_key_id, secret_access_key, session_token } = &**keys;
                out.text("access_key_id", access_key_id);
                out.text("secret_access_key", secret_access_key);
                if let Some(token) = session_token {
                    out.text("session_token", token);
                }
            }
        }
        ObjectPlace::Gcs { bucket: _, service_account: Some(key) } => out.text("service_account", key),
        ObjectPlace::Azure { credentials: AzureCredentials::Key(key), .. } => out.text("account_key", key),
        ObjectPlace::Folder(_) | ObjectPlace::Gcs { .. } | ObjectPlace::Azure { .. } => {}
    }
    if let Some(ca) = ca {
        out.text("ca", shown(ca));
    }
}

fn write_store(store: &Store, out: &mut Lines) {
    let Store { place, keep } = store;
    out.header("[store]");
    out.text("url", place);
    if let StorePlace::Postgres { server: _, user, password } = place {
        out.text("user", user);
        if let Some(password) = password {
            out.text("password", password);
        }
    }
    out.text("keep", show_duration(*keep));
}

fn write_recording(recording: &Recording, out: &mut Lines) {
    let Recording { path, recipients, backlog, archive } = recording;
    out.header("[recording]");
    out.text("path", shown(path));
    if !recipients.is_empty() {
        out.raw("recipients", list(recipients));
    }
    out.text("backlog", show_bytes(*backlog));
    if let Some(archive) = archive {
        out.text("archive", archive);
    }
}

fn write_telemetry(telemetry: &Telemetry, out: &mut Lines) {
    let Telemetry { metrics, otlp } = telemetry;
    out.header("[telemetry]");
    out.text("metrics", metrics);
    let Some(Otlp { endpoint, headers, sample, sample_statements, timeout, ca, service }) = otlp else {
        return;
    };
    out.header("[telemetry.otlp]");
    out.text("endpoint", endpoint);
    out.raw("headers", table(headers));
    out.raw("sample", sample);
    out.raw("sample_statements", sample_statements);
    out.text("timeout", show_duration(*timeout));
    if let Some(ca) = ca {
        out.text("ca", shown(ca));
    }
    out.text("service", service);
}

fn write_issuer(issuer: &Issuer, out: &mut Lines) {
    let Issuer { name, kind, members, crl, ca, .. } = issuer;
    out.header("[[issuer]]");
    out.text("name", name);
    out.text("kind", kind.as_str());
    match kind {
        IssuerKind::Oidc => write_tokens(issuer, out),
        IssuerKind::Certificate { subject, groups } => {
            out.text("subject", subject.as_str());
            if let Some(groups) = groups {
                out.text("groups", groups.as_str());
            }
        }
        IssuerKind::Spiffe { trust_domain, bundle } => {
            out.text("trust_domain", trust_domain);
            out.text("bundle", bundle);
            if !issuer.audience.is_empty() {
                out.list("audience", &issuer.audience);
                out.text("leeway", show_duration(issuer.leeway));
            }
        }
    }
    let lists: Vec<_> =
        members.iter().map(|(group, subjects)| format!("{} = {}", quoted(group), list(subjects))).collect();
    if !lists.is_empty() {
        out.raw("members", format!("{{ {} }}", lists.join(", ")));
    }
    if let Some(ca) = ca {
        out.text("ca", shown(ca));
    }
    if let Some(crl) = crl {
        out.text("crl", shown(crl));
    }
}

fn write_tokens(issuer: &Issuer, out: &mut Lines) {
    let Issuer {
        name: _,
        kind: _,
        url,
        audience,
        jwks,
        bearer,
        authorized_parties,
        token_lifetime_max,
        subject,
        groups,
        display_name,
        attributes,
        algorithms,
        actor,
        leeway,
        introspection,
        members: _,
        ca: _,
        crl: _,
        events_audience,
        scope,
    } = issuer;
    out.text("url", url);
    out.list("audience", audience);
    if let Some(jwks) = jwks {
        out.text("jwks", jwks);
    }
    if let Some(bearer) = bearer {
        out.text("bearer", bearer);
    }
    if let Some(parties) = authorized_parties {
        out.list("authorized_parties", parties);
    }
    if let Some(longest) = token_lifetime_max {
        out.text("token_lifetime_max", show_duration(*longest));
    }
    out.text("subject", subject);
    out.text("groups", groups);
    out.text("display_name", display_name);
    out.raw("attributes", table(attributes));
    out.list("algorithms", algorithms.iter().map(|algorithm| algorithm.as_str()));
    out.text("actor", actor.as_str());
    out.text("leeway", show_duration(*leeway));
    if let Some(audience) = events_audience {
        out.list("events_audience", audience);
    }
    out.text("scope", scope);
    if let Some(Introspection { url, asker, every, grace }) = introspection {
        let asker = match asker {
            Asker::Client { id, secret } => {
                format!("client_id = {}, client_secret = {}", quoted(id), quoted(secret))
            }
            Asker::Bearer(bearer) => format!("bearer = {}", quoted(bearer)),
        };
        let (every, grace) = (quoted(show_duration(*every)), quoted(show_duration(*grace)));
        let url = quoted(url);
        out.raw("introspection", format!("{{ url = {url}, {asker}, every = {every}, grace = {grace} }}"));
    }
}

fn write_database(database: &Database, out: &mut Lines) {
    let Database { name, upstream, login, policy, enforce, mask, verifiers } = database;
    out.header("[[database]]");
    out.text("name", name);
    out.text("upstream", upstream);
    out.raw("login", login_table(login));
    out.text("policy", shown(policy));
    out.raw("enforce", enforce);
    out.raw("mask", mask);
    if let Some(Verifiers { from, query }) = verifiers {
        out.text("verifiers", from);
        out.text("verifier_query", query);
    }
}

fn login_table(login: &Login) -> String {
    match login {
        Login::Static { user, password } => {
            let password = password
                .as_ref()
                .map_or_else(String::new, |password| format!(", password = {}", quoted(password)));
            format!("{{ kind = \"static\", user = {}{password} }}", quoted(user))
        }
        Login::Passthrough { questions: None } => "{ kind = \"passthrough\" }".to_owned(),
        Login::Passthrough { questions: Some(Questions { user, password }) } => {
            let password = password
                .as_ref()
                .map_or_else(String::new, |password| format!(", password = {}", quoted(password)));
            format!("{{ kind = \"passthrough\", user = {}{password} }}", quoted(user))
        }
        Login::Ephemeral(Ephemeral { admin, at_end, owner, pool, prefix, sweep_interval }) => {
            let owner =
                owner.as_ref().map_or_else(String::new, |owner| format!(", owner = {}", quoted(owner)));
            format!(
                "{{ kind = \"ephemeral\", admin = {}, at_end = {}{owner}, pool = {pool}, prefix = {}, sweep_interval = {} }}",
                quoted(admin),
                quoted(at_end.as_str()),
                quoted(prefix),
                quoted(show_duration(*sweep_interval)),
            )
        }
    }
}

fn write_notify(channel: &Notify, out: &mut Lines) {
    let Notify { name, kind, databases, groups, events, statement, ca } = channel;
    out.header("[[notify]]");
    out.text("name", name);
    out.text("kind", kind.as_str());
    out.list("databases", databases);
    if !groups.is_empty() {
        out.list("groups", groups);
    }
    out.list("events", events.iter().map(|event| event.as_str()));
    out.text("statement", statement.as_str());
    if let Some(ca) = ca {
        out.text("ca", shown(ca));
    }
    match kind {
        NotifyKind::Slack { way, api, answers } => {
            match way {
                SlackWay::Bot { token, channel } => {
                    out.text("token", token);
                    out.text("channel", channel);
                }
                SlackWay::Webhook { url } => out.text("webhook", url),
            }
            out.text("api", api);
            if let Some(SlackAnswers { workspace, answers }) = answers {
                out.text("workspace", workspace);
                write_answers("signing_secret", answers, out);
            }
        }
        NotifyKind::Teams { webhook } => out.text("webhook", webhook),
        NotifyKind::Email(Smtp { host, port, tls, login, from, to }) => {
            let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            out.text("host", format!("{host}:{port}"));
            out.text("tls", tls.as_str());
            if let Some((user, password)) = login {
                out.text("user", user);
                out.text("password", password);
            }
            out.text("from", from);
            out.list("to", to);
        }
        NotifyKind::Webhook { url, secret, answers } => {
            out.text("url", url);
            out.text("secret", secret);
            if let Some(answers) = answers {
                write_answers("inbound_secret", answers, out);
            }
        }
    }
}

fn write_answers(key: &str, answers: &Answers, out: &mut Lines) {
    let Answers { secret, people, login_age_max } = answers;
    out.text(key, secret);
    let people = people.iter().map(|(id, (issuer, subject))| (id.clone(), format!("{issuer}:{subject}")));
    out.raw("people", table(&people.collect()));
    out.text("login_age_max", show_duration(*login_age_max));
}

fn write_operators(operators: &Operators, out: &mut Lines) {
    let Operators { operator, auditor, viewer, approver, audience } = operators;
    out.header("[operators]");
    for (key, groups) in
        [("operator", operator), ("auditor", auditor), ("viewer", viewer), ("approver", approver)]
    {
        if !groups.is_empty() {
            out.list(key, groups);
        }
    }
    if let Some(audience) = audience {
        out.list("audience", audience);
    }
}

fn write_rule(rule: &AuthRule, out: &mut Lines) {
    let AuthRule { user, database, address, method, issuers } = rule;
    out.header("[[auth]]");
    let address =
        address.as_ref().map_or_else(String::new, |networks| format!(", address = {}", list(networks)));
    out.raw("match", format!("{{ user = {}, database = {}{address} }}", list(user), list(database)));
    out.text("method", method.as_str());
    if let Some(issuers) = issuers {
        out.list("issuer", issuers);
    }
}

fn write_legacy(account: &Legacy, out: &mut Lines) {
    let Legacy { name, databases, verifier, groups, until, owner, attributes } = account;
    out.header("[[legacy]]");
    out.text("name", name);
    out.list("databases", databases);
    if let Some(verifier) = verifier {
        out.text("verifier", verifier);
    }
    if !groups.is_empty() {
        out.list("groups", groups);
    }
    if let Some(until) = until {
        out.raw("until", until);
    }
    if let Some(owner) = owner {
        out.text("owner", owner);
    }
    out.raw("attributes", table(attributes));
}

fn write_passthrough(passthrough: &Passthrough, out: &mut Lines) {
    let Passthrough { session_max, warn_before, verifier_age_max, mock_key } = passthrough;
    out.header("[passthrough]");
    out.text("session_max", show_duration(*session_max));
    out.text("warn_before", show_duration(*warn_before));
    out.text("verifier_age_max", show_duration(*verifier_age_max));
    if let Some(key) = mock_key {
        out.text("mock_key", key);
    }
}

fn write_journal(journal: &Journal, out: &mut Lines) {
    let Journal { path, durability, segment_bytes_max, signing } = journal;
    out.header("[journal]");
    out.text("path", shown(path));
    out.text("durability", durability.as_str());
    out.text("segment_bytes_max", show_bytes(*segment_bytes_max));
    let Signing { every, interval, signer, previous } = signing;
    out.header("[journal.signing]");
    out.raw("every", every);
    out.text("interval", show_duration(*interval));
    write_signer(signer, out);
    if let Some(previous) = previous {
        out.header("[journal.signing.previous]");
        write_signer(previous, out);
    }
}

fn write_signer(signer: &Signer, out: &mut Lines) {
    let Signer { name, key } = signer;
    out.text("name", name);
    match key {
        Key::Own => {}
        Key::Private(key) => out.text("key", key),
        Key::Command { command, public_key } => {
            out.text("command", SecretRef::Exec(command.clone()));
            out.text("public_key", public_key);
        }
    }
}

fn write_limits(limits: &Limits, out: &mut Lines) {
    let Limits {
        statement_bytes_max,
        message_bytes_max,
        recorded_bytes_max,
        statements_max,
        prepared_statements_max,
        connections_max,
        authentication_timeout,
        connect_timeout,
        drain_timeout,
        approvals_max,
        approvals_per_identity_max,
    } = limits;
    out.header("[limits]");
    out.text("statement_bytes_max", show_bytes(u64::from(*statement_bytes_max)));
    out.text("message_bytes_max", show_bytes(u64::from(*message_bytes_max)));
    out.text("recorded_bytes_max", show_bytes(u64::from(*recorded_bytes_max)));
    out.raw("statements_max", statements_max);
    out.raw("prepared_statements_max", prepared_statements_max);
    out.raw("connections_max", connections_max);
    out.text("authentication_timeout", show_duration(*authentication_timeout));
    out.text("connect_timeout", show_duration(*connect_timeout));
    out.text("drain_timeout", show_duration(*drain_timeout));
    out.raw("approvals_max", approvals_max);
    out.raw("approvals_per_identity_max", approvals_per_identity_max);
}

fn write_vault(vault: &Vault, out: &mut Lines) {
    let Vault { address, namespace, ca, method, timeout } = vault;
    out.header("[vault]");
    out.text("address", address);
    if let Some(namespace) = namespace {
        out.text("namespace", namespace);
    }
    if let Some(ca) = ca {
        out.text("ca", shown(ca));
    }
    out.text("timeout", show_duration(*timeout));
    match method {
        VaultMethod::Token { token } => {
            out.text("method", "token");
            out.text("token", token);
        }
        VaultMethod::AppRole { mount, role_id, secret_id } => {
            out.text("method", "approle");
            out.text("mount", mount);
            out.text("role_id", role_id);
            if let Some(secret_id) = secret_id {
                out.text("secret_id", secret_id);
            }
        }
        VaultMethod::Jwt { mount, role, jwt } => {
            // With the token written out, `kubernetes` is `jwt` at another mount.
            out.text("method", "jwt");
            out.text("mount", mount);
            out.text("role", role);
            out.text("jwt", jwt);
        }
    }
}

fn write_aws(aws: &Aws, out: &mut Lines) {
    let Aws { region, credentials, endpoint } = aws;
    out.header("[aws]");
    if let Some(region) = region {
        out.text("region", region);
    }
    out.text("credentials", credentials.as_str());
    if let AwsCredentials::Profile(profile) = credentials {
        out.text("profile", profile);
    }
    if let Some(endpoint) = endpoint {
        out.text("endpoint", endpoint);
    }
}
