//! `tls-server-end-point` of real certificates, made with `openssl req -x509`; the hashes are `openssl dgst`'s.

use wire::scram::tls_server_end_point;

macro_rules! certificate {
    ($name:literal) => {
        include_bytes!(concat!("certificates/", $name, ".der"))
    };
}

#[track_caller]
fn check(certificate: &[u8], expected: &str) {
    let hash = tls_server_end_point(certificate).expect("a hash");
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, expected);
}

#[test]
fn hash_is_the_one_of_the_signature() {
    check(certificate!("rsa-sha224"), "8b6a87d1d107fd1554cf8f4ebd94d20dabc8333822fe06271af070a4");
    check(certificate!("rsa-sha256"), "d06c8b860615d0374191c89dda5a70a92a91e1fd738e07a1d3e448d34177f1a1");
    check(
        certificate!("rsa-sha384"),
        "023fae54bacf04bbf96fb012dde56bb43c2d3a2331bf70e1349fcf54202e5515c3a25a716738db0d7e1b44dfe9827fd6",
    );
    check(
        certificate!("rsa-sha512"),
        "13e19f1b8f5c75ab85d60fe5347bd69f76249b5482cc8be604bb1dfce206d0e3e324f584adcd20687bb7d44b5b3389ed1057a0b2a7baab5bc808b1db0b92eeb6",
    );
    check(certificate!("ecdsa-sha224"), "f3483d0e93c31592b9e1f747112fea447842dd2f471323dfb4609905");
    check(certificate!("ecdsa-sha256"), "880206eaceeadd9082cfe4181096b0396259f7c6438dc1bff19b3b05985addbe");
    check(
        certificate!("ecdsa-sha384"),
        "c89ee02d92ad11a193fe1a1a3c2ccdcaec63cd9f6f5eb842cbcf5dca3bd7919dd348b958386e1684c437f94cec1d1024",
    );
    check(
        certificate!("ecdsa-sha512"),
        "f6296d7b9ce7ba8038cfee0d4dd22aa902fa23656a5ad4fa6ef60f90cc09bb247d621899832966aeb4348774e6db2d819aab31fd2558f93d5774c339032f1c3d",
    );
}

#[test]
fn md5_and_sha1_are_replaced_by_sha256() {
    check(certificate!("rsa-md5"), "1507657dc54b5e556b6084dd7fb070adfe34c482500545789c066202a9e5bcb5");
    check(certificate!("rsa-sha1"), "af8461dfecb421446bde04fa587009c2a3bcfccc1796e0d7e6a8b0109e0fd202");
    check(certificate!("ecdsa-sha1"), "a23c86415c5e88de6f1cf472f12bb7791d8add3884f51d463214d54b8b8e8fcb");
}

#[test]
fn algorithms_without_one_hash_have_none() {
    assert_eq!(tls_server_end_point(certificate!("ed25519")), None);
    assert_eq!(tls_server_end_point(certificate!("rsa-pss-sha256")), None);
}

#[test]
fn what_is_no_certificate_has_none() {
    let good = certificate!("ecdsa-sha256");
    for cut in [0, 1, 10, good.len() - 1] {
        assert_eq!(tls_server_end_point(&good[..cut]), None, "cut at {cut}");
    }
    assert_eq!(tls_server_end_point(&[&good[..], b"\0"].concat()), None);
}
