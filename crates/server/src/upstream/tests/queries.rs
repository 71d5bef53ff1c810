//! Servers that answer queries in other ways than they should.

use super::*;

/// Answers a query with `said` and stays.
async fn answering(said: Vec<u8>) -> Upstream {
    let target = serve(UpstreamTls::Disable, async move |mut server: Server| {
        server.startup().await;
        server.say(good).await;
        loop {
            assert_eq!(server.message().await.0, b'Q');
            server.send(&said).await;
        }
    })
    .await;
    log_in_to(&target).await.unwrap()
}

fn ready(out: &mut Vec<u8>) {
    backend::ready_for_query(out, TransactionStatus::Idle);
}

#[tokio::test]
async fn a_query_returns_rows_and_notes_parameters() {
    let mut upstream = answering(said(|out| {
        parameter(out, "TimeZone", "UTC");
        backend::row_description(out, []).unwrap();
        backend::data_row(out, [Some(&b"a"[..]), None]).unwrap();
        backend::command_complete(out, b"SELECT 1").unwrap();
        backend::data_row(out, [Some(&b""[..])]).unwrap();
        ready(out);
        backend::notification_response(out, 1, b"c", b"").unwrap();
    }))
    .await;
    for _ in 0..2 {
        let rows = upstream.query("SELECT").await.unwrap();
        assert_eq!(rows, [vec![Some(b"a".to_vec()), None], vec![Some(Vec::new())]]);
    }
    assert_eq!(upstream.leftover.first(), Some(&b'A'));
    assert_eq!(upstream.parameters.last(), Some(&("TimeZone".to_owned(), "UTC".to_owned())));
}

#[tokio::test]
async fn a_refused_query_leaves_the_connection_usable() {
    let mut upstream = answering(said(|out| {
        backend::data_row(out, [None]).unwrap();
        out.extend(b"E\0\0\0\x0cMfirst\0\0E\0\0\0\x0dMsecond\0\0");
        ready(out);
    }))
    .await;
    for _ in 0..2 {
        let error = upstream.query("SELECT").await.unwrap_err();
        assert_eq!(error.to_string(), "the server refused: (no SQLSTATE) ERROR: first");
    }
}

#[tokio::test]
async fn answers_are_bounded_and_what_is_out_of_step_is_given_up() {
    let limits = QueryLimits { rows_max: 3, bytes_max: 1000, timeout: Duration::from_millis(50) };
    let rows = |count| {
        said(move |out| {
            for _ in 0..count {
                backend::data_row(out, [Some(&b"x"[..])]).unwrap();
            }
            ready(out);
        })
    };
    let long = said(|out| backend::data_row(out, [Some(&[0; 2000][..])]).unwrap());
    let many = said(|out| (0..300).for_each(|_| backend::command_complete(out, b"").unwrap()));
    let copy = said(|out| backend::copy_in_response(out, 0, []).unwrap());
    let bad = b"D\0\0\0\x0a\0\x01\xff\xff\xff\xfe".to_vec();
    type Check = fn(&QueryError) -> bool;
    let cases: [(Vec<u8>, Check); 7] = [
        (rows(4), |e| matches!(e, QueryError::TooMuch(_))),
        (long, |e| matches!(e, QueryError::TooMuch(_))),
        (many, |e| matches!(e, QueryError::TooMuch(_))),
        (copy, |e| matches!(e, QueryError::Unexpected(b'G'))),
        (bad, |e| matches!(e, QueryError::Message(_))),
        (b"D\0\0\0\0".to_vec(), |e| matches!(e, QueryError::Frame(_))),
        (Vec::new(), |e| matches!(e, QueryError::TimedOut(_))),
    ];
    for (said, expected) in cases {
        let mut upstream = answering(said).await;
        let error = upstream.query_each("SELECT", limits, |_| Ok::<_, QueryError>(())).await.unwrap_err();
        assert!(expected(&error), "{error:?}");
        assert!(matches!(upstream.query("SELECT").await, Err(QueryError::GivenUp)));
    }
    let mut upstream = answering(rows(3)).await;
    upstream.query_each("SELECT", limits, |_| Ok::<_, QueryError>(())).await.unwrap();
    assert!(matches!(upstream.query("SELECT\0").await, Err(QueryError::Encode(_))));
}
