//! Who signs the audit trail: keys from where the configuration says, or a command that is asked. Makes the gateway's own key where it has
//! none. Knows no journal but to hand it the signer.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use checkpoint::{KeyError, Signature, SigningKey, VerifierKey};
use config::{ExecCommand, Key, Signer};
use journal::signing::{Sign, Signing, Told};
use model::Secret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::runtime::Handle;

use crate::secrets::{self, SecretError};

/// How long a command may take to sign.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// A signature is 88 characters; whatever prints more than this doesn't print one.
const ANSWER_BYTES_MAX: u64 = 4096;

/// Why nobody signs. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The key can't be fetched.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// What was fetched is no key.
    #[error("the signing key of {0} can't be used")]
    Key(&'static str, #[source] KeyError),
    /// The own key is gone.
    #[error(
        "the journal is signed, and \"{}\" is not there: put it back, or make another with `gatepost audit keygen --out` and note that nobody hands over to it",
        .0.display()
    )]
    Gone(PathBuf),
    /// The journal can't be read, to see whether it is signed.
    #[error(transparent)]
    Tree(#[from] journal::TreeError),
    /// The own key's file.
    #[error("can't make the signing key \"{}\"", path.display())]
    Make {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        error: io::Error,
    },
}

/// Returns who signs, as configured, and makes the gateway's own key in the folder `state` where that is missing.
///
/// # Errors
/// [`SignerError`]: operator.
pub async fn signing(
    config: &config::Journal,
    state: &Path,
    told: Box<dyn Fn(Told) + Send>,
) -> Result<Signing, SignerError> {
    let config::Journal { path: journal, signing: config, .. } = config;
    let own = state.join(config::OWN_KEY_FILE);
    if config.signer.key == Key::Own && std::fs::symlink_metadata(&own).is_err() {
        // SECURITY: a key that has gone is not replaced unseen: who took it would have the journal signed by a stranger.
        if journal::signing::is_signed(journal)? {
            return Err(SignerError::Gone(own));
        }
        let public = make_key(&own, &config.signer.name)?;
        tracing::warn!(
            path = %own.display(),
            %public,
            "a key was made that signs the audit trail: note the public key elsewhere, and keep the private one in a KMS where you can"
        );
    }
    let key = signer(&config.signer, "[journal.signing]", &own).await?;
    let previous = match &config.previous {
        Some(previous) => Some(signer(previous, "[journal.signing.previous]", &own).await?),
        None => None,
    };
    let config::Signing { every, interval, signer: _, previous: _ } = *config;
    Ok(Signing { key, previous, every, interval, now: SystemTime::now, told })
}

async fn signer(signer: &Signer, of: &'static str, own: &Path) -> Result<Box<dyn Sign>, SignerError> {
    let wrong = |error| SignerError::Key(of, error);
    let Signer { name, key } = signer;
    let pem = match key {
        Key::Command { command, public_key } => {
            let key = public_key.parse().map_err(wrong)?;
            return Ok(Box::new(Asked { command: command.clone(), key, runtime: Handle::current() }));
        }
        Key::Private(reference) => secrets::resolve(reference).await?,
        Key::Own => secrets::resolve(&config::SecretRef::File(own.to_owned())).await?,
    };
    Ok(Box::new(SigningKey::from_pem(name, &pem).map_err(wrong)?))
}

/// Makes a private key in a new file that only its owner can read, with the public key beside it, in a file with `.pub` behind its name.
///
/// # Errors
/// [`SignerError`]: the name, the file system; a file that is there is left as it is.
pub fn make_key(path: &Path, name: &str) -> Result<VerifierKey, SignerError> {
    let key = |error| SignerError::Key("the new file", error);
    let pem: Secret<String> = SigningKey::generate().map_err(key)?;
    let public = SigningKey::from_pem(name, &pem).map_err(key)?.verifier().clone();
    let io = |error| SignerError::Make { path: path.to_owned(), error };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
    }
    let write = |path: &Path, mode, content: &str| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()
    };
    write(path, 0o600, pem.expose()).map_err(io)?;
    let beside = public_path(path);
    let _ = std::fs::remove_file(&beside);
    let io = |error| SignerError::Make { path: beside.clone(), error };
    write(&beside, 0o644, &format!("{public}\n")).map_err(io)?;
    Ok(public)
}

/// Returns where the public key of a private key's file is.
pub fn public_path(path: &Path) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".pub");
    PathBuf::from(beside)
}

/// A command that signs.
struct Asked {
    command: ExecCommand,
    key: VerifierKey,
    runtime: Handle,
}

impl Sign for Asked {
    fn key(&self) -> &VerifierKey {
        &self.key
    }

    fn sign(&self, text: &str) -> Result<Signature, String> {
        let answer = self.runtime.block_on(async {
            match tokio::time::timeout(COMMAND_TIMEOUT, ask(&self.command, text)).await {
                Ok(answer) => answer,
                Err(_) => Err(format!("took longer than {} s", COMMAND_TIMEOUT.as_secs())),
            }
        });
        let told = |why: &str| format!("the command \"{}\" {why}", self.command.program());
        let answer = answer.map_err(|why| told(&why))?;
        let signature = STANDARD.decode(answer.trim()).map_err(|_| told("printed no signature in base64"))?;
        self.key
            .line(text, &signature)
            .map_err(|_| told("printed what is no signature of this text by \"public_key\""))
    }
}

async fn ask(command: &ExecCommand, text: &str) -> Result<String, String> {
    let mut program = PathBuf::from(command.program());
    if command.program().contains('/') {
        program = std::path::absolute(command.folder().join(program)).map_err(|error| error.to_string())?;
    }
    let mut child = Command::new(program)
        .args(command.arguments())
        .current_dir(command.folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // SECURITY: a failing command may print what it was working with.
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("cannot be run: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that doesn't read says so by what it prints.
        let _ = stdin.write_all(text.as_bytes()).await;
    }
    let mut answer = String::new();
    if let Some(stdout) = child.stdout.take() {
        let read = stdout.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).await;
        read.map_err(|error| format!("can't be heard: {error}"))?;
    }
    let status = child.wait().await.map_err(|error| format!("can't be waited for: {error}"))?;
    if status.success() {
        Ok(answer)
    } else {
        Err(format!("failed with {status}; run it by hand to see why"))
    }
}
