//! `[[notify]]`.

use super::{check_line, parse, whole};
use crate::{NotifyKind, SlackWay, SmtpTls, render_redacted};

const SLACK: &str = "[[notify]]\nname = \"oncall\"\nkind = \"slack\"\n";

fn wrong(text: &str, expected: &str) {
    check_line(&whole(text), &format!("gatepost.toml:{expected}"));
}

#[test]
fn each_kind_is_read_and_written_again() {
    let text = whole(
        "[[notify]]\nname = \"oncall\"\nkind = \"slack\"\nstatement = \"full\"\ntoken = \"env:T\"\nchannel = \"C1\"\nsigning_secret = \"env:S\"\nworkspace = \"T1\"\npeople = { U1 = \"corp:alice\" }\ngroups = \"dba\"\n\
         [[notify]]\nname = \"hook\"\nkind = \"slack\"\nwebhook = \"env:W\"\nevents = [\"opened\", \"opened\"]\n\
         [[notify]]\nname = \"teams\"\nkind = \"teams\"\nwebhook = \"env:W\"\ndatabases = [\"app*\"]\n\
         [[notify]]\nname = \"mail\"\nkind = \"email\"\nhost = \"mail.example.com\"\nfrom = \"Gatepost <g@example.com>\"\nto = \"dba@example.com\"\nuser = \"env:U\"\npassword = \"env:P\"\n\
         [[notify]]\nname = \"local\"\nkind = \"email\"\nhost = \"[::1]:2525\"\ntls = \"none\"\nfrom = \"g@example.com\"\nto = [\"a@example.com\", \"b@example.com\"]\n\
         [[notify]]\nname = \"siem\"\nkind = \"webhook\"\nurl = \"https://siem.example.com/in?x=1\"\nsecret = \"env:A\"\ninbound_secret = \"env:B\"\npeople = { \"alice@example.com\" = \"corp:alice\" }\nlogin_age_max = \"1h\"\n",
    );
    let config = parse(&text).unwrap();
    let [oncall, hook, teams, mail, local, siem] = &config.notify[..] else { panic!("six") };
    assert!(
        matches!(&oncall.kind, NotifyKind::Slack { way: SlackWay::Bot { channel, .. }, answers: Some(_), .. } if channel == "C1")
    );
    assert_eq!((hook.events.len(), oncall.events.len()), (1, 5));
    assert!(teams.databases[0].matches("apps"));
    let NotifyKind::Email(smtp) = &mail.kind else { panic!("mail") };
    assert_eq!((smtp.port, smtp.tls), (587, SmtpTls::StartTls));
    let NotifyKind::Email(smtp) = &local.kind else { panic!("mail") };
    assert_eq!((smtp.host.as_str(), smtp.port), ("::1", 2525));
    let NotifyKind::Webhook { answers: Some(answers), .. } = &siem.kind else { panic!("webhook") };
    assert_eq!(answers.people["alice@example.com"], ("corp".to_owned(), "alice".to_owned()));
    let again = parse(&render_redacted(&config)).unwrap();
    assert_eq!(again.notify, config.notify);
}

#[test]
fn what_could_not_work_or_would_be_open_is_refused_with_what_to_do() {
    wrong(
        "[[notify]]\nname = \"A b\"\nkind = \"teams\"\nwebhook = \"env:W\"",
        "2:8: error: \"A b\" must be at most 40 lower-case letters, digits, \"-\" and \"_\": it is part of an URL",
    );
    wrong(
        "[[notify]]\nname = \"a\"\nkind = \"slak\"",
        "3:8: error: \"kind\" must be one of \"slack\", \"teams\", \"email\", \"webhook\"; did you mean \"slack\"?",
    );
    wrong(
        "[[notify]]\nname = \"a\"\nkind = \"teams\"\nwebhook = \"https://prod.logic.azure.com/secret\"",
        "4:11: error: \"webhook\" must say where the secret is, not what it is: \"env:NAME\", \"file:PATH\", \"exec:COMMAND\", \"vault:PATH#FIELD\" or \"aws:rds-iam\"",
    );
    wrong(&format!("{SLACK}token = \"env:T\""), "1:1: error: [[notify]] lacks \"channel\" (string)");
    wrong(
        &format!("{SLACK}token = \"env:T\"\nchannel = \"C1\"\nwebhook = \"env:W\""),
        "1:1: error: kind \"slack\" needs \"token\" and \"channel\", or \"webhook\", and not both",
    );
    wrong(
        &format!("{SLACK}webhook = \"env:W\"\npeople = {{ U1 = \"corp:alice\" }}"),
        "5:10: error: \"people\" means nothing without \"signing_secret\"; add that, or remove \"people\"",
    );
    wrong(
        &format!(
            "{SLACK}statement = \"full\"\nwebhook = \"env:W\"\nsigning_secret = \"env:S\"\nworkspace = \"T1\"\npeople = {{ U1 = \"crop:alice\" }}"
        ),
        "8:10: error: there is no [[issuer]] named \"crop\" for \"U1\"",
    );
    wrong(
        &format!(
            "{SLACK}webhook = \"env:W\"\nsigning_secret = \"env:S\"\nworkspace = \"T1\"\npeople = {{ U1 = \"corp:alice\" }}"
        ),
        "1:1: error: nothing can be approved in Slack without seeing it: with \"signing_secret\", write statement = \"full\"; or remove that key, and messages have a link only",
    );
    wrong(
        &format!("{SLACK}webhook = \"env:W\"\nsecret = \"env:S\""),
        "5:10: error: \"secret\" means nothing for kind \"slack\"; remove it",
    );
    wrong(
        "[[notify]]\nname = \"a\"\nkind = \"webhook\"\nurl = \"http://siem.example.com/\"\nsecret = \"env:A\"",
        "4:7: error: \"url\" must be https; http is for loopback only",
    );
    wrong(
        "[[notify]]\nname = \"a\"\nkind = \"webhook\"\nurl = \"https://siem.example.com/\"\nsecret = \"env:A\"\ninbound_secret = \"env:A\"\npeople = { a = \"corp:alice\" }",
        "1:1: error: \"inbound_secret\" must not be that of \"secret\": whoever receives events would decide",
    );
    wrong(
        "[[notify]]\nname = \"a\"\nkind = \"email\"\nhost = \"mail.example.com\"\ntls = \"none\"\nfrom = \"g@example.com\"\nto = \"a@example.com\"",
        "4:8: error: \"mail.example.com\" is not this host, and tls = \"none\" is for loopback only; write \"starttls\" or \"implicit\"",
    );
    wrong(
        "[[notify]]\nname = \"a\"\nkind = \"email\"\nhost = \"mail.example.com\"\nfrom = \"g@example.com\"\nto = \"a@example.com, b@example.com\"",
        "6:6: error: \"a@example.com, b@example.com\" is no mail address like \"dba@example.com\" or \"DBA <dba@example.com>\"",
    );
    wrong(
        &format!("{SLACK}webhook = \"env:W\"\n{SLACK}webhook = \"env:W\""),
        "5:1: error: two [[notify]] have the name \"oncall\"; give each its own",
    );
    wrong(
        &format!("{SLACK}webhook = \"env:W\"\nevents = [\"open\"]"),
        "5:11: error: there is no event \"open\"; known are opened, decided, ended, break_glass, undelivered",
    );
}
