//! Keys, and what a wrong one comes to.

use std::sync::atomic::AtomicUsize;

use config::{Host, UpstreamTls};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;

/// A server that only takes CancelRequests: says that one came, and closes it when told to.
struct Server {
    target: Arc<Target>,
    peer: PeerAddr,
    came: mpsc::UnboundedReceiver<(TcpStream, Vec<u8>)>,
    open: Arc<AtomicUsize>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, came) = mpsc::unbounded_channel();
        let open = Arc::new(AtomicUsize::new(0));
        let count = open.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let tell = tell.clone();
                tokio::spawn(async move {
                    let length = stream.read_u32().await.unwrap() as usize;
                    let mut body = vec![0; length - 4];
                    stream.read_exact(&mut body).await.unwrap();
                    let _ = tell.send((stream, body));
                });
            }
        });
        let (host, port) = (Host::Address(address.ip()), address.port());
        let tls = UpstreamTls::Disable;
        let upstream = config::Upstream { host, port, database: "d".into(), tls };
        let target = Arc::new(Target::new(&upstream).unwrap());
        Self { target, peer: PeerAddr::Tcp(address), came, open }
    }

    fn handle(&self, session: u128, process_id: i32, key: &[u8]) -> Arc<CancelHandle> {
        Arc::new(CancelHandle {
            session: SessionId(session),
            target: self.target.clone(),
            peer: self.peer.clone(),
            process_id,
            key: Secret::new(key.to_vec()),
            turn: Semaphore::new(1),
            waiting: AtomicBool::new(false),
        })
    }
}

fn secret(key: &[u8]) -> Secret<Vec<u8>> {
    Secret::new(key.to_vec())
}

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

#[test]
fn keys_have_the_length_of_their_version_and_are_drawn() {
    let length = |minor| new_key(ProtocolVersion { major: 3, minor }).unwrap().expose().len();
    assert_eq!([0, 1, 2].map(length), [4, 4, 32]);
    assert_ne!(
        new_key(ProtocolVersion::V3_2).unwrap().expose(),
        new_key(ProtocolVersion::V3_2).unwrap().expose()
    );
}

#[tokio::test]
async fn the_right_key_sends_the_server_its_own_and_another_sends_nothing() {
    let mut server = Server::start().await;
    let registry = Arc::new(CancelRegistry::default());
    let now = Instant::now();
    // two servers may give the same process ID
    let one = registry.register(secret(&[1; 32]), server.handle(1, 77, b"real-key-one"));
    let _two = registry.register(secret(&[2; 32]), server.handle(2, 77, b"real-key-two"));

    let right = secret(&[2; 32]);
    let cancel = registry.cancel(now, HERE, 77, &right, drop);
    let answer = async {
        let (stream, body) = server.came.recv().await.unwrap();
        drop(stream);
        body
    };
    let (outcome, body) = tokio::join!(cancel, answer);
    assert!(matches!(outcome, CancelOutcome::Sent(SessionId(2))));
    assert_eq!(body, [&[4, 210, 22, 46, 0, 0, 0, 77][..], b"real-key-two"].concat());

    for (process_id, key) in
        [(77, secret(&[3; 32])), (78, secret(&[1; 32])), (77, secret(b"real-key-one")), (77, secret(&[1; 4]))]
    {
        let outcome = registry.cancel(now, HERE, process_id, &key, drop).await;
        assert!(matches!(outcome, CancelOutcome::UnknownKey));
    }
    drop(one);
    assert!(matches!(
        registry.cancel(now, HERE, 77, &secret(&[1; 32]), drop).await,
        CancelOutcome::UnknownKey
    ));
    assert_eq!(server.open.load(Ordering::SeqCst), 1, "wrong keys reach no server");
}

#[tokio::test]
async fn guessing_short_keys_is_stopped_and_long_keys_still_work() {
    let server = Server::start().await;
    let registry = Arc::new(CancelRegistry::default());
    let now = Instant::now();
    let _short = registry.register(secret(&[1; 4]), server.handle(1, 77, &[0; 4]));
    let _long = registry.register(secret(&[2; 32]), server.handle(2, 78, &[0; 4]));
    for guess in 0..attempts::WRONG_MAX as u8 {
        let outcome = registry.cancel(now, HERE, 77, &secret(&[9, 9, 9, guess]), drop).await;
        assert!(matches!(outcome, CancelOutcome::UnknownKey));
    }
    for key in [[9; 4], [1; 4]] {
        assert!(matches!(registry.cancel(now, HERE, 77, &secret(&key), drop).await, CancelOutcome::Ignored));
    }
    assert_eq!(server.open.load(Ordering::SeqCst), 0);
    let elsewhere = "192.0.2.1".parse().unwrap();
    assert!(registry.find(now, elsewhere, 77, &secret(&[1; 4])).is_ok());
    assert!(registry.find(now, HERE, 78, &secret(&[2; 32])).is_ok());
    assert!(registry.find(now + attempts::WINDOW, HERE, 77, &secret(&[1; 4])).is_ok());
}

#[tokio::test]
async fn one_cancel_at_a_time_for_a_session_and_one_more_after_it() {
    let mut server = Server::start().await;
    let handle = server.handle(1, 77, &[7; 4]);
    let spawn = || {
        let handle = handle.clone();
        tokio::spawn(async move { handle.cancel().await.unwrap() })
    };
    let first = spawn();
    let (first_stream, _) = server.came.recv().await.unwrap();
    let second = spawn();
    while !handle.waiting.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    spawn().await.unwrap();
    assert_eq!(server.open.load(Ordering::SeqCst), 1, "the second waits, the third leaves it to the second");
    drop(first_stream);
    first.await.unwrap();
    let (second_stream, _) = server.came.recv().await.unwrap();
    drop(second_stream);
    second.await.unwrap();
    assert_eq!(server.open.load(Ordering::SeqCst), 2);

    let first = spawn();
    let (stream, _) = server.came.recv().await.unwrap();
    let second = spawn();
    while !handle.waiting.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    second.abort();
    assert!(second.await.unwrap_err().is_cancelled());
    assert!(!handle.waiting.load(Ordering::SeqCst), "who gives up waiting makes room");
    drop(stream);
    first.await.unwrap();
}

#[tokio::test]
async fn a_server_that_keeps_the_connection_open_is_not_waited_for_for_ever() {
    let mut server = Server::start().await;
    let (target, peer) = (server.target.clone(), server.peer.clone());
    let key = secret(&[1; 4]);
    let cancel = cancel_upstream(&target, &peer, 1, &key, Duration::from_millis(50));
    let (result, kept) = tokio::join!(cancel, server.came.recv());
    assert!(matches!(result.unwrap_err().fault(), LoginFault::TimedOut(_)));
    drop(kept);
}

#[tokio::test]
async fn a_cancel_goes_to_the_address_that_the_session_has() {
    // as when a name has several addresses
    let (mut first, mut ours) = (Server::start().await, Server::start().await);
    let (target, peer) = (first.target.clone(), ours.peer.clone());
    let cancel = tokio::spawn(async move {
        cancel_upstream(&target, &peer, 1, &secret(&[1; 4]), CANCEL_TIMEOUT).await.unwrap();
    });
    tokio::select! {
        came = ours.came.recv() => drop(came),
        _ = first.came.recv() => panic!("another server was asked"),
    }
    cancel.await.unwrap();
}
