//! No error shows a secret that should not be in the file.

use super::{DATABASE, check, database, parse, whole};

#[test]
fn a_secret_in_the_file_is_refused_and_not_repeated() {
    check(
        &database(
            "name = \"app\"\nupstream = \"postgres://h\"\nlogin = { kind = \"static\", user = \"env:U\", password = \"hunter2\" }",
        ),
        r#"
gatepost.toml:4:55: error: "password" must say where the secret is, not what it is: "env:NAME", "file:PATH" or "exec:COMMAND"
   |
 4 | login = { kind = "…", user = "…", password = "…" }
   |                                              ^^^"#,
    );
    let leaks = [
        database(
            "name = \"a\"\nupstream = \"postgres://u:hunter2@h/a\"\nlogin = { kind = \"static\", user = \"env:U\" }",
        ),
        database(
            "name = \"a\"\nupstream = \"postgres://h/a?pasword=hunter2\"\nlogin = { kind = \"static\", user = \"env:U\" }",
        ),
        database(
            "name = \"a\"\nupstream = \"postgres:// :hunter2@h/a\"\nlogin = { kind = \"static\", user = \"env:U\" }",
        ),
        database(
            "name = \"a\"\nupstream = \"postgres://h/a?password=hunter2\"\nlogin = { kind = \"static\", user = \"env:U\" }",
        ),
        database("name = \"a\"\nupstream = \"postgres://h\"\nlogin = { kind = \"bad\", user = \"hunter2\" }"),
        database("name = \"a\"\nupstream = \"postgres://h\"\nlogin = \"hunter2\""),
        database(
            "name = \"a\"\nupstream = \"postgres://h\"\nlogin = { kind = \"static\", user = [\"hunter2\"] }",
        ),
        database("name = \"a\"\nupstream = \"postgres://h\"\nlogin = { kind = \"static\", user = hunter2 }"),
        database(
            "name = \"a\"\nupstream = \"postgres://h\"\nlogin = { kind = \"static\", user = \"hunter2 }",
        ),
        database(
            "name = \"a\"\nupstream = \"postgres://h\"\nlogin = { kind = \"static\", user = \"\\hunter2\" }",
        ),
        database("name = \"a\"\nupstream = \"postgres://h\"\nlogin.user = \"\"\"\nthe \\hunter2\n\"\"\""),
        database("name = \"a\"\nupstream = postgres://u:hunter2@h"),
        whole("[mask]\nhash_key = \"hunter2\" # hunter2"),
        whole("[mask]\nhash_kex = \"hunter2\""),
        whole("[mask]\nkeys = { a = \"hunter2\", b = 1 }"),
        whole("[mask]\nhash_key = 'hunter2' 'hunter2'"),
        whole("[listen]\ntls = { certificate = 1, key = \"-----BEGIN hunter2\" }"),
        format!("{DATABASE}[[issuer]]\nname = \"c\"\nurl = \"https://me:hunter2@idp\"\naudience = \"a\""),
    ];
    for text in leaks {
        let error = parse(&text).expect_err("an error");
        assert!(!error.contains("hunter2"), "{text}\n{error}");
    }
}

/// One typing mistake anywhere in a file with secrets in it must neither show one nor break the reader.
#[test]
fn no_slip_of_the_pen_reveals_a_secret() {
    let text = database(
        "name = \"a\"\nupstream = \"postgres://u:hunter2hunter2@h/a\"\nlogin = { kind = \"static\", password = 'hunter2hunter2', user = \"hunter2hunter2\" }",
    ) + "[mask]\nhash_key = \"\"\"\nhunter2hunter2\nhunter2hunter2\"\"\"\n[listen.tls]\nkey = \"hunter2hunter2\"\n";
    let slips = ["", "\"", "'", "=", "\n", "#", "\\", "[", "]", "{", "}", ",", ".", " ", "\"\"\"", "é", "\0"];
    for (at, _) in text.char_indices() {
        for slip in slips {
            for replaced in [0, 1] {
                let mut slipped = text.clone();
                slipped.replace_range(at..at + replaced, slip);
                let error = parse(&slipped).expect_err("an error");
                assert!(!error.contains("nter2"), "{slipped}\n{error}");
            }
        }
    }
}
