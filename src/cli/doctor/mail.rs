//! Whether the mail server answers and accepts our name and password. No mail is sent.

use super::report::Report;
use crate::{
    config::{Config, Delivery},
    failure::Stop,
    notices::mail::Transport,
};

pub(super) async fn check(report: &mut Report, config: &Config) -> Result<(), Stop> {
    let Delivery::Server(url) = config.mail_delivery() else { return Ok(()) };
    match Transport::server(url.expose())?.test().await {
        Ok(()) => report.ok("mail server: answers; `mooring mail test ADDRESS` sends a mail"),
        Err(why) => report.failed(format_args!("mail server: {why}"), "check mail.url: host, port, user and password"),
    }
}
