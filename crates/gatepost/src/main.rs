//! The `gatepost` binary: arguments, the configuration's whereabouts, exit status. Decides nothing and opens no socket
//! itself: `server` does.

mod args;
mod commands;
mod failure;
mod logging;
mod output;
mod settings;

use std::alloc::System;
use std::process::ExitCode;

use clap::Parser as _;
use zeroizing_alloc::ZeroAlloc;

use crate::args::Cli;
use crate::failure::{Failure, Status};

// SECURITY: whatever copies a secret, a library's buffers included, frees the copy: it is wiped then. (In C, aws-lc wipes its own.)
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

/// libpg_query measures the stack of its thread, and deep statements need this much of it. Virtual memory: what is
/// not used costs nothing.
const STACK_BYTES: usize = 64 << 20;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Where a command ran on the first thread, it would have that thread's stack.
    let worker = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || run(cli));
    let ended = match worker {
        Ok(worker) => worker.join().unwrap_or_else(|_| Err(Failure::new("stopped by a defect in gatepost"))),
        Err(error) => Err(Failure::caused("can't start a thread", error)),
    };
    match ended {
        Ok(Status::Success) => ExitCode::SUCCESS,
        Ok(Status::CheckFailed) => ExitCode::from(1),
        Err(failure) => {
            failure.report();
            failure.exit_code()
        }
    }
}

fn run(cli: Cli) -> Result<Status, Failure> {
    // An error means that one is installed already, which is as good.
    let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()
        .map_err(|error| Failure::caused("can't start the runtime", error))?;
    let ended = runtime.block_on(async {
        let ended = commands::run(cli).await;
        server::secrets::close().await;
        ended
    });
    // A blocking read that hangs, of a secret on a dead network disk, must not hold up the exit.
    runtime.shutdown_background();
    ended
}
