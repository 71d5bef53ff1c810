//! The reference page of the configuration file, printed from the table that the reader obeys.

use crate::keys::{Default, Key, SECTIONS};

const HEAD: &str = "\
# Configuration

<!-- Printed by `gatepost docs-reference`; change `crates/config/src/keys/` instead. -->

One TOML file. Commands find it by `-c`, then `GATEPOST_CONFIG`, then `./gatepost.toml`. `gatepost check` says what is
wrong with it, and prints what was understood. Unknown keys are errors.

- **path**: relative to the folder that the file is in.
- **secret reference**: never the secret itself, but where it is: `env:NAME`, an environment variable of the gateway;
  `file:PATH`, a file that others must not be able to read; `exec:COMMAND`, what a command prints (run without a
  shell, within 10 seconds). One newline at the end is left out. `vault:PATH#FIELD`, a field of what HashiCorp Vault or OpenBao has
  at a path of its API, by `[vault]`; `aws:rds-iam`, only as the password of a login, by `[aws]`. See [secrets](../guide/secrets.md).
- **size**: `\"16 MiB\"`, `\"64 kB\"`, or a number of bytes.
- **time**: `\"500ms\"`, `\"10s\"`, `\"5m\"`, `\"1h\"`.
- **claim**: where a value is in the token: a name (`groups`), names with dots between for a claim inside another
  (`realm_access.roles`), or a JSON pointer (`/kubernetes.io/namespace`). What holds a `:` is one name.
";

/// Returns the page in Markdown: every table and key with its type, default and meaning.
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    for section in SECTIONS {
        page.push_str(&format!("\n## `{}`\n\n{}\n\n", section.header, section.about));
        page.push_str("| key | type | default | meaning |\n|---|---|---|---|\n");
        for Key { name, kind, default, about } in section.keys {
            let default = match default {
                Default::Required => "required".to_owned(),
                Default::Absent(what) => (*what).to_owned(),
                Default::Toml(value) => format!("`{value}`"),
            };
            page.push_str(&format!("| `{name}` | {kind} | {} | {} |\n", cell(&default), cell(about)));
        }
    }
    page
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
