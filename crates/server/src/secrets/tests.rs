//! Secrets of this machine: variables, files, commands.

use std::error::Error;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use config::SecretRef;

use super::{SECRET_BYTES_MAX, resolve, resolve_within};

/// A folder of its own, gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("gatepost-secrets-{}-{next}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, content: &[u8], mode: u32) -> PathBuf {
        let path = self.0.join("secret");
        let _ = fs::remove_file(&path);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn get(text: &str, folder: &Path) -> Result<String, String> {
    let reference = SecretRef::parse(text, folder).unwrap();
    resolve(&reference).await.map(|secret| secret.expose().clone()).map_err(|error| error.to_string())
}

#[tokio::test]
async fn one_newline_at_the_end_is_left_out() {
    let folder = Folder::new();
    for (content, expected) in
        [("pw", "pw"), ("pw\n", "pw"), ("pw\r\n", "pw"), ("pw\n\n", "pw\n"), (" pw ", " pw ")]
    {
        folder.file(content.as_bytes(), 0o600);
        assert_eq!(get("file:secret", &folder.0).await.as_deref(), Ok(expected));
    }
}

#[tokio::test]
async fn a_file_that_others_may_read_or_write_is_refused() {
    let folder = Folder::new();
    for (mode, refused) in [(0o600, false), (0o440, false), (0o644, true), (0o602, true), (0o604, true)] {
        let path = folder.file(b"hunter2", mode);
        let read = get("file:secret", &folder.0).await;
        assert_eq!(read.is_err(), refused, "{mode:o}");
        if let Err(error) = read {
            assert!(error.ends_with(&format!("(mode {mode:04o}); run chmod o-rw {path:?}")), "{error}");
            assert!(!error.contains("hunter2"));
        }
    }
}

#[tokio::test]
async fn what_is_no_secret_is_refused_without_repeating_it() {
    let folder = Folder::new();
    let long = vec![b'x'; SECRET_BYTES_MAX + 1];
    let cases: [(&[u8], &str); 5] = [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"hunter2\xff", "is not UTF-8 text without zero bytes"),
        (b"hunter2\0", "is not UTF-8 text without zero bytes"),
        (&long, "is longer than 65536 bytes"),
    ];
    for (content, expected) in cases {
        let path = folder.file(content, 0o600);
        let expected = format!("secret \"file:{}\" {expected}", path.display());
        assert_eq!(get("file:secret", &folder.0).await, Err(expected));
    }
    folder.file(&long[1..], 0o600);
    assert_eq!(get("file:secret", &folder.0).await.map(|s| s.len()), Ok(SECRET_BYTES_MAX));
    let path = folder.0.display().to_string();
    assert_eq!(
        get(&format!("file:{path}"), &folder.0).await,
        Err(format!("secret \"file:{path}\" is not a plain file"))
    );
    let missing = SecretRef::File(folder.0.join("missing"));
    let error = resolve(&missing).await.err().unwrap();
    assert!(error.to_string().ends_with("cannot be read"), "{error}");
    assert!(error.source().is_some(), "the system's own reason is the cause");
}

#[tokio::test]
async fn a_variable_is_read_and_a_missing_one_named() {
    let here = Path::new(".");
    assert_eq!(get("env:PATH", here).await, Ok(std::env::var("PATH").unwrap()));
    assert_eq!(
        get("env:GATEPOST_NO_SUCH", here).await,
        Err("secret \"env:GATEPOST_NO_SUCH\" is not set in the environment of the gateway".to_owned())
    );
}

#[tokio::test]
async fn a_command_runs_in_the_folder_of_the_configuration_without_a_shell() {
    let folder = Folder::new();
    assert_eq!(
        get("exec:printf '%s\\n' 'a  b' '$HOME;id'", &folder.0).await.as_deref(),
        Ok("a  b\n$HOME;id")
    );
    let real = fs::canonicalize(&folder.0).unwrap().display().to_string();
    assert_eq!(get("exec:pwd -P", &folder.0).await, Ok(real));
    // A link, not a script: a file just written can't be run while another test's fork still holds it open.
    std::os::unix::fs::symlink("/bin/echo", folder.0.join("get")).unwrap();
    assert_eq!(get("exec:./get it", &folder.0).await.as_deref(), Ok("it"));
}

#[tokio::test]
async fn a_command_that_fails_says_its_status_and_nothing_it_printed() {
    let folder = Folder::new();
    let fail = "exec:sh -c 'echo hunter2; echo hunter3 >&2; exit 3'";
    let error = get(fail, &folder.0).await.unwrap_err();
    assert!(error.ends_with("failed with exit status: 3; run it by hand to see why"), "{error}");
    assert_eq!(error.matches("hunter").count(), fail.matches("hunter").count(), "only the command itself");
    let error = get("exec:gatepost-no-such-program", &folder.0).await.unwrap_err();
    assert!(error.ends_with("cannot be run"), "{error}");
    let error = get("exec:head -c 100000 /dev/zero", &folder.0).await.unwrap_err();
    assert!(error.ends_with("is longer than 65536 bytes"), "{error}");
}

#[tokio::test]
async fn a_command_that_hangs_is_ended() {
    let reference = SecretRef::parse("exec:sleep 600", Path::new(".")).unwrap();
    let error = resolve_within(&reference, Duration::from_millis(20)).await.err().unwrap();
    assert_eq!(error.to_string(), "secret \"exec:sleep 600\" took longer than 20 ms");
}
