//! `[[stream]]`.

use std::path::Path;

use super::{check_line, parse, whole};
use crate::{Config, NatsLogin, StreamBegin, StreamKind, StreamStatement, SyslogTls, render_redacted};

#[test]
fn every_kind_of_stream_is_read_and_printed_again() {
    let config = parse(&whole(
        "[[object_store]]\nname = \"cold\"\nurl = \"file:cold\"\n\
         [[stream]]\nname = \"here\"\nkind = \"file\"\npath = \"out/audit.jsonl\"\nrotate = \"1 MiB\"\nkeep = 3\nrequired = true\nevents = [\"statement\", \"approval_*\"]\n\
         [[stream]]\nname = \"siem\"\nkind = \"syslog\"\nhost = \"siem.example.com\"\ncertificate = \"c.pem\"\nkey = \"file:k\"\nformat = \"ocsf\"\nstatement = \"none\"\n\
         [[stream]]\nname = \"six\"\nkind = \"syslog\"\nhost = \"[::1]:601\"\ntls = \"none\"\nbegin = \"now\"\n\
         [[stream]]\nname = \"web\"\nkind = \"http\"\nurl = \"https://in.example.com/a?b=1\"\nsecret = \"env:S\"\ntimeout = \"2s\"\n\
         [[stream]]\nname = \"logs\"\nkind = \"otlp\"\nurl = \"http://127.0.0.1:4318/v1/logs\"\nheaders = { Authorization = \"env:A\" }\n\
         [[stream]]\nname = \"bus\"\nkind = \"nats\"\nurl = \"tls://nats.example.com:4222\"\nsubject = \"audit.gatepost\"\ncredentials = \"file:creds\"\n\
         [[stream]]\nname = \"lake\"\nkind = \"parquet\"\nobject_store = \"cold\"\nprefix = \"/a/b/\"\ninterval = \"10m\"\n",
    ))
    .unwrap();
    let [here, siem, six, web, logs, bus, lake] = &config.streams[..] else { panic!("seven") };
    assert!(here.required && here.events.len() == 2);
    assert!(
        matches!(&here.kind, StreamKind::File { path, keep: 3, .. } if path == Path::new("/etc/gatepost/out/audit.jsonl"))
    );
    assert!(matches!(
        &siem.kind,
        StreamKind::Syslog { port: 6514, tls: SyslogTls::Tls, client: Some(_), .. }
    ));
    assert_eq!(siem.statement, StreamStatement::None);
    assert!(matches!(&six.kind, StreamKind::Syslog { host, port: 601, .. } if host == "::1"));
    assert_eq!(six.begin, StreamBegin::Now);
    assert_eq!(web.secrets().len(), 1);
    assert_eq!(logs.secrets()[0].0, "header \"Authorization\"");
    assert!(matches!(&bus.kind, StreamKind::Nats { login: NatsLogin::Credentials(_), .. }));
    assert!(matches!(&lake.kind, StreamKind::Parquet { prefix, .. } if prefix == "a/b"));
    let printed = render_redacted(&config);
    let again = Config::parse(&printed, Path::new("/elsewhere")).map_err(|e| e.to_string()).unwrap();
    assert_eq!(again.streams, config.streams, "{printed}");
}

#[test]
fn what_is_wrong_with_a_stream_is_told() {
    let wrong = |rest: &str, told: &str| {
        check_line(&whole(&format!("[[stream]]\nname = \"a\"\n{rest}")), &format!("gatepost.toml:{told}"));
    };
    wrong("kind = \"file\"", "1:1: error: [[stream]] lacks \"path\" (path)");
    wrong(
        "kind = \"syslog\"\nhost = \"a\"\nrequired = true",
        "5:12: error: a stream of kind \"syslog\" can't be required: nothing confirms there that an event has arrived",
    );
    wrong(
        "kind = \"syslog\"\nhost = \"a\"\ntls = \"none\"",
        "4:8: error: \"a\" is not this host, and tls = \"none\" is for loopback only",
    );
    wrong(
        "kind = \"http\"\nurl = \"http://a.example.com\"\nsecret = \"env:S\"",
        "4:7: error: \"url\" must be https; http is for loopback only",
    );
    wrong(
        "kind = \"nats\"\nurl = \"nats://a.example.com\"\nsubject = \"a\"",
        "4:7: error: \"url\" must be tls:; nats: is for loopback only",
    );
    wrong(
        "kind = \"nats\"\nurl = \"tls://a\"\nsubject = \"a.>\"",
        "5:11: error: \"subject\" must be words with dots between, not \"a.>\"",
    );
    wrong(
        "kind = \"nats\"\nurl = \"tls://a\"\nsubject = \"a\"\nuser = \"env:U\"",
        "1:1: error: write \"user\" and \"password\", or \"token\", or \"credentials\", or none of them",
    );
    wrong(
        "kind = \"parquet\"\nobject_store = \"b\"",
        "4:16: error: there is no [[object_store]] named \"b\"",
    );
    wrong(
        "kind = \"file\"\npath = \"p\"\nsubject = \"s\"",
        "5:11: error: \"subject\" means nothing for kind \"file\"; remove it",
    );
    wrong(
        "kind = \"otlp\"\nurl = \"https://a/v1/logs\"\nheaders = { \"a b\" = \"env:A\" }",
        "5:11: error: \"a b\" is no name of a header",
    );
}
