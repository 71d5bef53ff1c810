//! Certificates, roots and passwords that are replaced while the gateway runs.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use testkit::client::{Connect, Raw};
use testkit::postgres::Version;
use testkit::process::poll;
use testkit::scratch::Scratch;
use testkit::tls::{Authority, Certified};

use crate::stage::{Gate, LOGIN, LOGIN_PASSWORD, SOON, Setup, Shop, token};

/// Replaces what is mounted, as Kubernetes does: a folder of its own, and `..data` renamed to it.
fn mount(at: &Path, version: &str, files: &[(&str, &str)]) {
    let folder = at.join(version);
    fs::create_dir_all(&folder).unwrap();
    for (name, content) in files {
        fs::write(folder.join(name), content).unwrap();
        fs::set_permissions(folder.join(name), Permissions::from_mode(0o440)).unwrap();
        let link = at.join(name);
        if !link.exists() {
            symlink(Path::new("..data").join(name), link).unwrap();
        }
    }
    let _ = fs::remove_file(at.join("..data_tmp"));
    symlink(version, at.join("..data_tmp")).unwrap();
    fs::rename(at.join("..data_tmp"), at.join("..data")).unwrap();
}

fn pair(certified: &Certified) -> [(&'static str, &str); 2] {
    [("tls.crt", certified.certificate.as_str()), ("tls.key", certified.key.as_str())]
}

fn trusting(gate: &Gate, authority: &Authority) -> Connect {
    let connect = Connect::tcp(gate.gateway.postgres()).tls(authority.certificate());
    connect.user("support-agent").database("shop").password(&token("support-agent"))
}

#[test]
fn a_replaced_certificate_is_shown_without_a_restart_and_a_broken_one_is_not() {
    let [old, new] = ["old", "new"].map(Authority::new);
    let home = Scratch::new("gatepost");
    let at = home.path().join("mounted");
    let names = ["localhost", "127.0.0.1"];
    mount(&at, "..1", &pair(&old.issue(&names)));
    let sections = "[listen.tls]\ncertificate = \"mounted/tls.crt\"\nkey = \"file:mounted/tls.key\"\n";
    let setup = Setup { tls: false, sections: sections.into(), ..Setup::default() };
    let gate = setup.start_in(home, Shop::new(Version::V15));
    let mut before = trusting(&gate, &old).open();
    assert!(trusting(&gate, &new).try_open().is_err());

    // A key of another: refused, said once, and the one before stays.
    let other = old.issue(&names);
    let mixed = Certified { certificate: new.issue(&names).certificate, key: other.key };
    mount(&at, "..2", &pair(&mixed));
    let told = || gate.gateway.log().contains("the changed certificate is refused").then_some(());
    assert!(poll(SOON, told).is_some(), "{}", gate.gateway.log());
    assert_eq!(trusting(&gate, &old).open().rows("SELECT 1"), "1");

    mount(&at, "..3", &pair(&new.issue(&names)));
    let after: Option<Raw> = poll(SOON, || trusting(&gate, &new).try_open().ok());
    assert_eq!(after.expect("the new certificate").rows("SELECT 1"), "1");
    assert!(trusting(&gate, &old).try_open().is_err());
    assert_eq!(before.rows("SELECT 1"), "1", "a session that is open stays open");
    let log = gate.gateway.log();
    assert!(log.contains("the changed certificate is shown to clients from now on"), "{log}");
    assert_eq!(log.matches("the changed certificate is refused").count(), 1, "{log}");
}

#[test]
fn replaced_roots_of_an_upstream_are_in_force_without_a_restart() {
    let shop = Shop::new(Version::V15);
    let home = Scratch::new("gatepost");
    let at = home.path().join("mounted");
    mount(&at, "..1", &[("ca.crt", Authority::new("somebody else").certificate())]);
    let (port, database, right) = (shop.cluster.port(), shop.database.clone(), shop.cluster.authority());
    let upstream =
        format!("postgres://127.0.0.1:{port}/{database}?sslmode=verify-full&sslrootcert=mounted/ca.crt");
    let gate = Setup { upstream: Some(upstream), ..Setup::default() }.start_in(home, shop);
    assert!(gate.connect("support-agent").try_open().is_err());
    mount(&at, "..2", &[("ca.crt", right)]);
    let opened = poll(SOON, || gate.connect("support-agent").try_open().ok());
    assert_eq!(opened.expect("the right roots").rows("SELECT 1"), "1");
}

#[test]
fn a_rotated_password_holds_for_the_next_session_and_in_the_middle_of_a_login() {
    let home = Scratch::new("gatepost");
    let at = home.path().join("mounted");
    let role = "rotated_login";
    mount(&at, "..1", &[("password", "first")]);
    // Says the old password when it is asked for the first time after a change, as a cache does that is a little behind.
    let script = "cat seen; cat mounted/password > seen";
    home.write("seen", "first");
    let shop = Shop::new(Version::V15);
    shop.cluster.psql(&format!(
        "DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN PASSWORD 'first' IN ROLE {LOGIN}"
    ));
    let login =
        |password: &str| format!("kind = \"static\", user = \"exec:echo {role}\", password = \"{password}\"");
    let second = format!(
        "[[database]]\nname = \"behind\"\nupstream = \"postgres://127.0.0.1:{}/{}?sslmode=verify-full&sslrootcert=upstream-ca.crt\"\n\
         policy = \"behind\"\nlogin = {{ {} }}\n",
        shop.cluster.port(),
        shop.database,
        login(&format!("exec:sh -c '{script}'"))
    );
    home.write("behind/bundle.toml", "name = \"behind\"\nversion = \"1\"\n");
    home.write("behind/all.cedar", "permit (principal, action, resource);\n");
    let setup = Setup { login: Some(login("file:mounted/password")), sections: second, ..Setup::default() };
    let gate = setup.start_in(home, shop);
    for database in ["shop", "behind"] {
        assert_eq!(gate.connect_to("support-agent", database).open().rows("SELECT 1"), "1");
    }
    gate.shop.cluster.psql(&format!("ALTER ROLE {role} PASSWORD 'second'"));
    assert!(gate.connect("support-agent").try_open().is_err(), "not rotated yet, and tried once only");
    mount(&at, "..2", &[("password", "second")]);
    for database in ["shop", "behind"] {
        assert_eq!(gate.connect_to("support-agent", database).open().rows("SELECT 1"), "1");
    }
    let log = gate.gateway.log();
    let noticed: Vec<_> =
        log.lines().filter(|line| line.contains("the credential has changed meanwhile")).collect();
    assert_eq!(noticed.len(), 1, "{log}");
    assert!(
        noticed[0].contains("behind") && !log.contains("second") && !log.contains(LOGIN_PASSWORD),
        "{log}"
    );
}
