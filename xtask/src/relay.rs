//! A plain TCP relay: what one hop costs that looks at nothing. Two threads a connection, 64 KiB buffers.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

const BUFFER_BYTES: usize = 64 * 1024;
/// A thread's stack is most of what an idle connection costs here.
const STACK_BYTES: usize = 128 * 1024;

/// Accepts on `listen` and copies to and from `upstream`, for ever.
pub(crate) fn run(listen: &str, upstream: &str) {
    let listener =
        TcpListener::bind(listen).unwrap_or_else(|error| panic!("can't listen on {listen:?}: {error}"));
    for client in listener.incoming().flatten() {
        let Ok(server) = TcpStream::connect(upstream) else { continue };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (Ok(from), Ok(to)) = (client.try_clone(), server.try_clone()) else { continue };
        start(from, to);
        start(server, client);
    }
}

fn start(from: TcpStream, to: TcpStream) {
    thread::Builder::new().stack_size(STACK_BYTES).spawn(move || copy(from, to)).expect("a thread");
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
