//! `gatepost archive test`: says of each object store whether what is relied on works there.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use testkit::s3::S3;

use crate::support::Place;

#[test]
fn object_stores_are_tried_from_the_command_line() {
    let server = S3::start(&["evidence"]);
    let place = Place::new();
    place.write("policy/bundle.toml", "");
    for name in ["id", "key"] {
        fs::set_permissions(place.write(name, "a-secret\n"), Permissions::from_mode(0o600)).unwrap();
    }
    let keys = "access_key_id = \"file:id\"\nsecret_access_key = \"file:key\"\n";
    let endpoint = server.endpoint();
    place.write(
        "gatepost.toml",
        &format!(
            "[[issuer]]\nname = \"corp\"\nurl = \"https://idp.example.com\"\naudience = \"gatepost\"\n\
             [[database]]\nname = \"app\"\nupstream = \"postgres://127.0.0.1/app\"\nlogin = {{ kind = \"static\", user = \"env:U\" }}\npolicy = \"policy\"\n\
             [[object_store]]\nname = \"here\"\nurl = \"file:archive\"\n\
             [[object_store]]\nname = \"s3\"\nurl = \"s3://evidence/a\"\nendpoint = \"{endpoint}\"\n{keys}\
             [[object_store]]\nname = \"lost\"\nurl = \"s3://nobody/a\"\nendpoint = \"{endpoint}\"\n{keys}"
        ),
    );
    let ran = place.run(&["archive", "test", "--format", "json"]);
    assert_eq!(ran.status, Some(1), "{ran:#?}");
    for told in ["\"here\"", "\"s3\"", "no such bucket"] {
        assert!(ran.stdout.contains(told), "{ran:#?}");
    }
    assert!(!ran.stdout.contains("a-secret"), "{ran:#?}");
    assert_eq!(place.run(&["archive", "test", "s3"]).status, Some(0));
    let ran = place.run(&["archive", "test", "s4"]);
    let told = "gatepost: there is no [[object_store]] named \"s4\"; there is here, s3, lost\n";
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(2), told));
}
