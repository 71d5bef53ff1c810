//! An S3 on loopback, in the memory of a process: `moto`. Checks no signatures.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use crate::process::{Process, free_port, guarded, poll, tools};

/// A running server; ends on drop, and forgets everything.
pub struct S3 {
    process: Process,
    port: u16,
}

impl S3 {
    /// Starts a server that has these buckets.
    ///
    /// # Panics
    /// `moto` isn't installed.
    pub fn start(buckets: &[&str]) -> Self {
        let program = tools().join("streams/bin/moto_server");
        assert!(program.exists(), "{program:?} is not there: run `make setup`");
        for _ in 0..3 {
            let port = free_port();
            let mut command = guarded(&program, "KILL", None);
            command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut process = Process::spawn(command).expect("setpriv");
            let up = poll(Duration::from_secs(60), || match process.ended() {
                Some(_) => Some(false),
                None => TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok().then_some(true),
            });
            // Somebody else may have taken the port.
            if up != Some(true) {
                continue;
            }
            let server = Self { process, port };
            for bucket in buckets {
                let answer = server.request(&format!("PUT /{bucket}"));
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            }
            return server;
        }
        panic!("{program:?} does not listen");
    }

    /// Returns where it is asked.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Stops it: what is asked now is not answered, until [`S3::go_on`].
    pub fn stop(&mut self) {
        self.process.signal("STOP");
    }

    /// Lets it go on.
    pub fn go_on(&mut self) {
        self.process.signal("CONT");
    }

    /// Asks for something without a body, as `GET /bucket/key`, and returns the whole answer.
    pub fn request(&self, line: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
        let head = format!(
            "{line} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.port
        );
        stream.write_all(head.as_bytes()).expect("the server reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the server answers");
        String::from_utf8_lossy(&answer).into_owned()
    }
}
