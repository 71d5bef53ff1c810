//! The commands, a file for each family. What they do is in the crates that they call.

mod approvals;
mod archive;
mod audit;
mod check;
mod dev;
mod docs;
mod evidence;
mod explain;
mod gateway;
mod init;
mod integrity;
mod legacy;
mod migration;
mod notify;
mod policy;
mod recordings;
mod search;
mod serve;
mod sessions;
mod streams;
mod traffic;

use crate::args::{Cli, Command};
use crate::failure::{Failure, Status};

/// Does what the command line says.
pub(crate) async fn run(cli: Cli) -> Result<Status, Failure> {
    let Cli { config, command } = cli;
    let config = config.as_deref();
    match command {
        Command::Serve { log_format } => serve::run(config, log_format).await,
        Command::Check { connect, format } => check::run(config, connect, format).await,
        Command::Init { dir } => init::run(&dir),
        Command::Policy(command) => policy::run(config, command).await,
        Command::Approvals(command) => approvals::run(config, command).await,
        Command::Archive(command) => archive::run(config, command).await,
        Command::Sessions(command) => sessions::run(config, command).await,
        Command::Notify(command) => notify::run(config, command).await,
        Command::Audit(command) => audit::run(config, command),
        Command::Legacy(command) => legacy::run(config, command).await,
        Command::DevIssuer(arguments) => dev::issuer(arguments).await,
        Command::DevToken(arguments) => dev::token(arguments),
        Command::DocsReference { dir } => docs::run(&dir),
    }
}
