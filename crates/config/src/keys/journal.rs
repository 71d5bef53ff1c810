//! What is written down. Knows no Rust type of a setting.

use super::Default::{Absent, Toml};
use super::{Section, key, later};

pub(crate) const JOURNAL: Section = Section {
    name: "journal",
    header: "[journal]",
    about: "Where the audit trail is kept. One folder belongs to one gateway.",
    keys: &[
        key("path", "path", Toml("\"data/journal\""), "A folder; made where it is missing."),
        key(
            "durability",
            "string",
            Toml("\"written\""),
            "When the result of a read may leave: `written`: its record has left the process (a crash of the gateway loses nothing); `sync`: it is on disk (a power failure loses nothing). A write always waits for the disk.",
        ),
        key(
            "segment_bytes_max",
            "size",
            Toml("\"64 MiB\""),
            "The size at which a new file is begun. From 1 MiB to 4 GiB.",
        ),
        key("signing", "table", Toml("{}"), "see [journal.signing]"),
    ],
    later: &[later("retention", "deletion of old records")],
};

pub(crate) const INDEX: Section = Section {
    name: "index",
    header: "[index]",
    about: "A file that says which records of the journal have what, so that searches over months are answered at once. It is made of the journal, and made again where it is lost, damaged or of another version. See [searching](../guide/search.md).",
    keys: &[
        key(
            "path",
            "path",
            Absent("`index.db` in `state.path`"),
            "A file for this gateway alone; made where it is missing, with mode 0600. About a tenth of the journal's size.",
        ),
        key(
            "enabled",
            "boolean",
            Toml("true"),
            "Whether the gateway makes it and keeps it up to date. Without it, searches read the journal.",
        ),
    ],
    later: &[],
};

pub(crate) const SIGNING: Section = Section {
    name: "signing",
    header: "[journal.signing]",
    about: "Who signs checkpoints of the audit trail, and when ([audit](../guide/audit.md#signatures)).",
    keys: &[
        key(
            "every",
            "number",
            Toml("10000"),
            "A checkpoint is signed at the latest after so many records. From 1 to 10000000.",
        ),
        key(
            "interval",
            "time",
            Toml("\"1m\""),
            "And at the latest after this time, if there are new records. From 1s to 24h.",
        ),
        key(
            "name",
            "string",
            Toml("\"gatepost\""),
            "What the key is called in signatures, with neither white space nor `+`; best something of your own, such as `audit.example.com/gateway-1`.",
        ),
        key(
            "key",
            "secret reference",
            Absent(
                "`signing.pem` in `state.path`, which is made where it is missing, with `signing.pem.pub` beside it",
            ),
            "An Ed25519 private key as PEM (PKCS #8), as `gatepost audit keygen` and `openssl genpkey -algorithm ed25519` make it.",
        ),
        key(
            "command",
            "secret reference",
            Absent("`key` signs"),
            "`exec:COMMAND`: signs in place of a key, for a KMS or HSM. It reads the text from its standard input and prints its Ed25519 signature of exactly these bytes, in base64. It has 10 seconds.",
        ),
        key(
            "public_key",
            "string",
            Absent("required for `command`"),
            "What the command's signatures are checked with: `NAME+ID+KEY` as `gatepost audit keygen --public-key` prints it of a public key.",
        ),
        key(
            "previous",
            "table",
            Absent("nobody hands over"),
            "Who signed until now: with the next checkpoint it signs that the new key takes over. To be left out after that. See [journal.signing.previous]",
        ),
    ],
    later: &[],
};

pub(crate) const PREVIOUS: Section = Section {
    name: "previous",
    header: "[journal.signing.previous]",
    about: "The key that signed checkpoints until now.",
    keys: &[
        key("name", "string", Toml("\"gatepost\""), "As in [journal.signing], when this key signed."),
        key("key", "secret reference", Absent("`command` signs"), "Likewise."),
        key("command", "secret reference", Absent("`key` signs"), "Likewise."),
        key("public_key", "string", Absent("required for `command`"), "Likewise."),
    ],
    later: &[],
};
