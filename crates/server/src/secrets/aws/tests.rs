//! Where AWS credentials come from, against doubles of AWS's endpoints on loopback that answer as its documentation shows.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use config::{Aws, AwsCredentials, Host, Roots, Upstream, UpstreamTls};
use testkit::scratch::Scratch;

use super::{container_url, read_profile, region_of, token};

/// Answers requests by their first line, and keeps what was asked.
struct Endpoint {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Endpoint {
    fn start(answers: &'static [(&'static str, u16, &'static str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = asked.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut head, mut length) = (String::new(), 0);
                while reader.read_line(&mut head).unwrap() > 2 {
                    let line = head.lines().last().unwrap_or_default().to_lowercase();
                    if let Some(value) = line.strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let line = head.lines().next().unwrap_or_default().to_owned();
                seen.lock().unwrap().push(head + &String::from_utf8(body).unwrap());
                let found = answers.iter().find(|(begin, ..)| line.starts_with(&format!("{begin} HTTP")));
                let (status, text) = found.map_or((404, ""), |(_, status, text)| (*status, *text));
                let length = text.len();
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} S\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
                );
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

const KEYS: &str = r#"{"Code":"Success","AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"the/secret+key","Token":"the//token==","Expiration":"2026-11-23T20:00:00Z"}"#;

fn upstream() -> Upstream {
    Upstream {
        host: Host::Name("app.abc123.eu-central-1.rds.amazonaws.com".to_owned()),
        port: 5432,
        database: "app".to_owned(),
        tls: UpstreamTls::VerifyFull(Roots::System),
    }
}

async fn made(
    credentials: AwsCredentials,
    endpoint: Option<&str>,
    variables: &[(&str, &str)],
) -> Result<String, String> {
    let aws = Aws { region: None, credentials, endpoint: endpoint.map(str::to_owned) };
    let variables: Vec<_> =
        variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let lookup =
        move |name: &str| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let made = token(&aws, &upstream(), "app_user", &lookup).await;
    made.map(|token| token.expose().clone()).map_err(|error| oidc::chain(&error))
}

/// What every token must look like; the signature itself is compared in `sigv4`.
#[track_caller]
fn check(token: &Result<String, String>, key: &str, temporary: bool) {
    let token = token.as_ref().unwrap();
    let begin = "app.abc123.eu-central-1.rds.amazonaws.com:5432/?Action=connect&DBUser=app_user&X-Amz-Algorithm=AWS4-HMAC-SHA256";
    assert!(token.starts_with(begin), "{token}");
    assert!(token.contains(&format!("X-Amz-Credential={key}%2F")), "{token}");
    assert!(token.contains("%2Feu-central-1%2Frds-db%2Faws4_request&"), "{token}");
    assert!(token.contains("&X-Amz-Expires=900&"), "{token}");
    assert_eq!(token.contains("&X-Amz-Security-Token=the%2F%2Ftoken%3D%3D&"), temporary, "{token}");
    assert!(!token.contains("secret"), "{token}");
}

#[tokio::test]
async fn keys_of_the_environment_and_of_a_profile_sign() {
    let variables = [("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "the/secret+key")];
    check(&made(AwsCredentials::Environment, None, &variables).await, "AKIAEXAMPLE", false);
    let told = made(AwsCredentials::Environment, None, &variables[..1]).await.unwrap_err();
    assert!(told.contains("AWS_SECRET_ACCESS_KEY is not set") && told.contains("environment"), "{told}");

    let home = Scratch::new("aws");
    let text = "# [prod]\n[default]\naws_access_key_id = AKIADEFAULT\naws_secret_access_key=x\n\n[ prod ]\n; aws_access_key_id = NO\naws_access_key_id = ASIAPROD\naws_secret_access_key = the/secret=key\naws_session_token = the//token==\n[role]\nrole_arn = arn\n";
    let file = home.write("credentials", text);
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let path = file.display().to_string();
    let variables = [("AWS_SHARED_CREDENTIALS_FILE", path.as_str())];
    let profile = |name: &str| AwsCredentials::Profile(name.to_owned());
    check(&made(profile("prod"), None, &variables).await, "ASIAPROD", true);
    let told = made(profile("role"), None, &variables).await.unwrap_err();
    assert!(told.contains("has no profile \"role\""), "{told}");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let told = made(profile("prod"), None, &variables).await.unwrap_err();
    assert!(told.contains("can be read or written by everybody"), "{told}");
    assert!(read_profile(text, "default").is_some() && read_profile(text, "prod]").is_none());
}

#[tokio::test]
async fn a_web_identity_is_shown_to_sts_in_the_body() {
    let answer = "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleWithWebIdentityResult>\n\
        <Credentials><SessionToken>the//token==</SessionToken><SecretAccessKey>the/secret+key</SecretAccessKey>\n\
        <Expiration>2026-11-23T20:00:00Z</Expiration><AccessKeyId>ASIAEXAMPLE</AccessKeyId></Credentials>\n\
        </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>";
    let answers: &[(&str, u16, &str)] = Box::leak(Box::new([("POST /", 200, answer)]));
    let sts = Endpoint::start(answers);
    let home = Scratch::new("aws");
    // As Kubernetes mounts it: open to everybody in the container.
    let file = home.write("token", "the.web.identity\n").display().to_string();
    let role = ("AWS_ROLE_ARN", "arn:aws:iam::1:role/gate");
    let variables = [role, ("AWS_WEB_IDENTITY_TOKEN_FILE", file.as_str())];
    check(&made(AwsCredentials::WebIdentity, Some(&sts.url), &variables).await, "ASIAEXAMPLE", true);
    let asked = sts.asked();
    assert!(asked[0].starts_with("POST / HTTP/1.1"), "no token in a URL: {}", asked[0]);
    let body = "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fgate&RoleSessionName=gatepost&WebIdentityToken=the.web.identity";
    assert!(asked[0].ends_with(body), "{}", asked[0]);

    let refusing = Endpoint::start(&[("POST /", 403, "<Error>the.web.identity</Error>")]);
    let told = made(AwsCredentials::WebIdentity, Some(&refusing.url), &variables).await.unwrap_err();
    assert!(told.contains("gave no credentials (status 403)") && !told.contains("identity<"), "{told}");
    let told = made(AwsCredentials::WebIdentity, Some(&sts.url), &[role]).await.unwrap_err();
    assert!(told.contains("AWS_WEB_IDENTITY_TOKEN_FILE is not set"), "{told}");
}

#[tokio::test]
async fn an_instance_is_asked_with_a_session_token_only() {
    let metadata = Endpoint::start(&[
        ("PUT /latest/api/token", 200, "metadata-token"),
        ("GET /latest/meta-data/iam/security-credentials/", 200, "the-role"),
        ("GET /latest/meta-data/iam/security-credentials/the-role", 200, KEYS),
    ]);
    check(&made(AwsCredentials::Instance, Some(&metadata.url), &[]).await, "ASIAEXAMPLE", true);
    let asked = metadata.asked();
    assert!(asked[0].to_lowercase().contains("x-aws-ec2-metadata-token-ttl-seconds: 60"), "{asked:?}");
    assert!(
        asked[1..].iter().all(|it| it.to_lowercase().contains("x-aws-ec2-metadata-token: metadata-token")),
        "{asked:?}"
    );
    // Version 1 alone is not asked.
    let old = Endpoint::start(&[("GET /latest/meta-data/iam/security-credentials/", 200, "the-role")]);
    let told = made(AwsCredentials::Instance, Some(&old.url), &[]).await.unwrap_err();
    assert!(told.contains("gave no credentials (status 404)"), "{told}");
    assert_eq!(old.asked().len(), 1);
    // A role's name leads nowhere else.
    let evil = Endpoint::start(&[
        ("PUT /latest/api/token", 200, "metadata-token"),
        ("GET /latest/meta-data/iam/security-credentials/", 200, "../../user-data"),
    ]);
    let told = made(AwsCredentials::Instance, Some(&evil.url), &[]).await.unwrap_err();
    assert!(told.contains("something else than credentials"), "{told}");
}

#[tokio::test]
async fn a_container_is_asked_where_aws_says_and_nowhere_else() {
    let agent = Endpoint::start(&[("GET /v1/credentials", 200, KEYS)]);
    let home = Scratch::new("aws");
    let file = home.write("token", "pod-token").display().to_string();
    let url = format!("{}/v1/credentials", agent.url);
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.as_str()),
    ];
    check(&made(AwsCredentials::Container, None, &variables).await, "ASIAEXAMPLE", true);
    assert!(agent.asked()[0].to_lowercase().contains("authorization: pod-token"));
    for (url, allowed) in [
        ("http://169.254.170.2/v2/x", true),
        ("http://169.254.170.23/v1/credentials", true),
        ("http://[fd00:ec2::23]/v1/credentials", true),
        ("http://localhost:9/x", true),
        ("https://credentials.internal/x", true),
        ("http://credentials.internal/x", false),
        ("http://169.254.169.254/latest", false),
        ("http://10.0.0.1/x", false),
        ("http://user@127.0.0.1/x", false),
        ("ftp://127.0.0.1/x", false),
    ] {
        assert_eq!(container_url(url).is_some(), allowed, "{url}");
    }
}

#[test]
fn the_region_is_in_the_host_name() {
    for (host, region) in [
        ("app.abc123.eu-central-1.rds.amazonaws.com", Some("eu-central-1")),
        ("app.proxy-abc.us-gov-west-1.rds.amazonaws.com.", Some("us-gov-west-1")),
        ("app.cluster-ro-abc.cn-north-1.rds.amazonaws.com.cn", Some("cn-north-1")),
        ("db.internal", None),
        ("rds.amazonaws.com", None),
        ("eu-central-1.rds.amazonaws.com", None),
    ] {
        assert_eq!(region_of(host).as_deref(), region, "{host}");
    }
}
