//! `mooring mail`: whether mail arrives.

use clap::Subcommand;

use super::{files, open, output};
use crate::{
    clock::Clock,
    config::{Config, Delivery},
    failure::Stop,
};

#[derive(Debug, Subcommand)]
pub(super) enum Mail {
    /// Send a test mail to an address, and say how it went
    Test {
        /// Where to
        address: String,
    },
}

pub(super) async fn run(config: Config, command: &Mail) -> Result<(), Stop> {
    let Mail::Test { address } = command;
    open::use_one_cryptography();
    let delivery = config.mail_delivery();
    let sent = files::mailer(&config)?.test(address, Clock::default().now()).await;
    sent.map_err(|why| Stop::new(format_args!("the mail was not sent: {why}")).mend("check mail.url and mail.from"))?;
    output::line(&match delivery {
        Delivery::Server(_) => format!("the mail server accepted the mail for {address}"),
        Delivery::Folder(folder) => format!("there is no mail server: the mail is a file in {}", folder.display()),
    })
}
