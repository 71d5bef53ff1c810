//! Servers that ask for the wrong proof, or give none.

use super::*;

#[tokio::test]
async fn methods_that_are_not_supported_are_refused_by_name() {
    for (code, name) in [(2, "Kerberos V5"), (7, "GSSAPI"), (9, "SSPI"), (77, "unknown (77)")] {
        let request = [&b"R\0\0\0\x08\0\0\0"[..], &[code]].concat();
        assert!(matches!(refusal(request).await, LoginFault::Method(method) if method == name));
    }
}

#[tokio::test]
async fn scram_must_be_ended_by_the_server_s_proof() {
    // after which message of ours the server claims that all is well
    for messages in [1, 2] {
        let target = serve(UpstreamTls::Disable, async move |mut server: Server| {
            server.startup().await;
            server.say(|out| backend::authentication_sasl(out, ["SCRAM-SHA-256"]).unwrap()).await;
            let nonce = server.scram_nonce().await;
            if messages == 2 {
                let first = format!("r={nonce}x,s=c2FsdA==,i=4096");
                server.say(|out| backend::authentication_sasl_continue(out, first.as_bytes()).unwrap()).await;
                server.message().await;
            }
            server.say(good).await;
            server.wait().await;
        })
        .await;
        let fault = fault_of(log_in_to(&target).await);
        assert!(matches!(fault, LoginFault::Downgrade(what) if what.contains("without showing")));
    }
}

#[tokio::test]
async fn hostile_scram_is_refused() {
    async fn check(first: fn(&str) -> String, last: Option<&'static str>, expected: ScramError) {
        let target = serve(UpstreamTls::Disable, async move |mut server: Server| {
            server.startup().await;
            server.say(|out| backend::authentication_sasl(out, ["SCRAM-SHA-256"]).unwrap()).await;
            let first = first(&server.scram_nonce().await);
            server.say(|out| backend::authentication_sasl_continue(out, first.as_bytes()).unwrap()).await;
            if let Some(last) = last {
                server.message().await;
                server.say(|out| backend::authentication_sasl_final(out, last.as_bytes()).unwrap()).await;
            }
            server.wait().await;
        })
        .await;
        assert!(matches!(fault_of(log_in_to(&target).await), LoginFault::Scram(error) if error == expected));
    }
    check(|n| format!("r={n}x,s=c2FsdA==,i=2000000000"), None, ScramError::Iterations(2_000_000_000)).await;
    check(|_| "r=mine,s=c2FsdA==,i=1".to_owned(), None, ScramError::Nonce).await;
    check(|n| format!("r={n}{},s=c2FsdA==,i=1", "x".repeat(2000)), None, ScramError::TooLong(2041)).await;
    let good = |n: &str| format!("r={n}x,s=c2FsdA==,i=1");
    check(good, Some("v=AAAA"), ScramError::Signature).await;
    check(good, Some("e=invalid-proof"), ScramError::Refused("invalid-proof")).await;
}

#[tokio::test]
async fn authentication_out_of_order_is_refused() {
    let after_scram = [
        said(backend::authentication_cleartext_password),
        said(|out| backend::authentication_md5_password(out, [1, 2, 3, 4])),
        said(|out| backend::authentication_sasl_final(out, b"v=AAAA").unwrap()),
        said(|out| backend::authentication_sasl(out, ["SCRAM-SHA-256"]).unwrap()),
    ];
    for next in after_scram {
        let target = serve(UpstreamTls::Disable, async move |mut server: Server| {
            server.startup().await;
            server.say(|out| backend::authentication_sasl(out, ["SCRAM-SHA-256"]).unwrap()).await;
            server.scram_nonce().await;
            server.send(&next).await;
            // never the password
            assert_eq!(server.stream.read_to_end(&mut server.buf).await.unwrap_or(0), 0);
        })
        .await;
        let fault = fault_of(log_in_to(&target).await);
        assert!(matches!(fault, LoginFault::Downgrade("asks for authentication out of order")), "{fault:?}");
    }
    let twice = said(|out| {
        backend::authentication_md5_password(out, [0; 4]);
        backend::authentication_cleartext_password(out);
    });
    assert!(matches!(refusal(twice).await, LoginFault::Downgrade(_)));
    let challenge = said(|out| backend::authentication_sasl_continue(out, b"r=x").unwrap());
    assert!(matches!(refusal(challenge).await, LoginFault::Downgrade(_)));
}

#[tokio::test]
async fn mechanisms_must_fit_the_connection() {
    let offer = |names: &'static [&'static str]| {
        said(|out| backend::authentication_sasl(out, names.iter().copied()).unwrap())
    };
    let fault = refusal(offer(&["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"])).await;
    assert!(matches!(fault, LoginFault::Mechanism(ChooseError::PlusWithoutTls)));
    let fault = refusal(offer(&["OAUTHBEARER"])).await;
    assert!(matches!(fault, LoginFault::Mechanism(ChooseError::NoneSupported)));
}

/// Runs an authentication over a connection that is not private, or has other demands than the default; returns what the
/// server got, too.
async fn authenticate(
    private: bool,
    requirement: Requirement,
    request: Vec<u8>,
) -> (Result<(), LoginFault>, Vec<u8>) {
    let (tell, told) = tokio::sync::oneshot::channel();
    let target = serve(UpstreamTls::Disable, async move |mut server: Server| {
        server.send(&request).await;
        server.say(backend::authentication_ok).await;
        let _ = server.stream.read_to_end(&mut server.buf).await;
        let _ = tell.send(server.buf);
    })
    .await;
    let stream = connect(&target, None, LIMIT).await.unwrap().stream;
    let mut channel = Channel { stream, inbox: Inbox::new(MESSAGE_BYTES_MAX, LOGIN_BYTES_MAX) };
    let password = Secret::new(PASSWORD.to_owned());
    let binding = ChannelBinding::Plaintext;
    let exchange = authenticate::Exchange {
        user: "app",
        proof: Proof::Password(&password),
        binding,
        requirement,
        private,
    };
    let result = exchange.run(&mut channel).await.map(|_| ());
    drop(channel);
    (result, told.await.unwrap())
}

#[tokio::test]
async fn a_clear_password_leaves_only_over_private_connections() {
    let clear = said(backend::authentication_cleartext_password);
    let (result, got) = authenticate(true, Requirement::Prefer, clear.clone()).await;
    assert!(result.is_ok());
    assert_eq!(got, b"p\0\0\0\x0chunter2\0");
    let (result, got) = authenticate(false, Requirement::Prefer, clear).await;
    assert!(matches!(result, Err(LoginFault::ClearText)));
    assert_eq!(got, b"");
}

#[tokio::test]
async fn required_channel_binding_is_not_talked_away() {
    for request in [
        Vec::new(),
        said(backend::authentication_cleartext_password),
        said(|out| backend::authentication_md5_password(out, [0; 4])),
    ] {
        let (result, got) = authenticate(true, Requirement::Require, request).await;
        assert!(matches!(result, Err(LoginFault::Downgrade(what)) if what.contains("channel binding")));
        assert_eq!(got, b"", "the password is not sent first");
    }
    let scram = said(|out| backend::authentication_sasl(out, ["SCRAM-SHA-256"]).unwrap());
    let (result, got) = authenticate(true, Requirement::Require, scram).await;
    assert!(matches!(result, Err(LoginFault::Mechanism(ChooseError::Unavailable))));
    assert_eq!(got, b"");
}

#[tokio::test]
async fn a_login_without_password_says_what_is_missing() {
    for (request, method) in [
        (said(backend::authentication_cleartext_password), "clear text"),
        (said(|out| backend::authentication_md5_password(out, [0; 4])), "md5"),
        (said(|out| backend::authentication_sasl(out, ["SCRAM-SHA-256"]).unwrap()), "SCRAM"),
    ] {
        let target = serve(UpstreamTls::Disable, async move |mut server: Server| {
            server.startup().await;
            server.send(&request).await;
            server.wait().await;
        })
        .await;
        let result = login(&target, &Secret::new("app".into()), None, &[], LIMIT).await;
        assert!(matches!(fault_of(result), LoginFault::NoPassword(asked) if asked == method));
    }
}
