//! What the configuration says about the deployment, for the start and for `doctor`: things that work, and will hurt.

use rustix::process::{Resource, getrlimit};

use crate::config::{Config, Delivery};

/// With fewer files than this a few sources can take the connections of all.
const FILES: u64 = 4096;

/// Something that works and should be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Advice {
    pub what: String,
    pub hint: &'static str,
}

/// `mooring 0.1.0`.
pub(super) fn version() -> &'static str {
    concat!("mooring ", env!("CARGO_PKG_VERSION"))
}

/// Every advice for this configuration.
pub(super) fn advice(config: &Config) -> Vec<Advice> {
    [no_tls, everyone_is_trusted, no_mail, few_files].iter().filter_map(|look| look(config)).collect()
}

fn no_tls(config: &Config) -> Option<Advice> {
    let lacks = config.issuer.is_https() && config.tls.is_none() && config.trusted_proxies.is_empty();
    lacks.then(|| Advice {
        what: "the issuer is https, but there is neither [tls] nor a trusted proxy".to_owned(),
        hint: "set [tls], or trusted_proxies to the address of the proxy that speaks TLS: until then all visitors count as \
               one source",
    })
}

fn everyone_is_trusted(config: &Config) -> Option<Advice> {
    let network = config.trusted_proxies.iter().find(|network| network.prefix_len() == 0)?;
    Some(Advice {
        what: format!("trusted_proxies has {network}: anyone can choose the address that they seem to come from"),
        hint: "name the addresses of your own proxies only",
    })
}

fn no_mail(config: &Config) -> Option<Advice> {
    let Delivery::Folder(folder) = config.mail_delivery() else { return None };
    (!config.issuer.is_loopback()).then(|| Advice {
        what: format!("there is no mail server: mail is written into {}", folder.display()),
        hint: "set mail.url: people wait for links and warnings that never reach them",
    })
}

fn few_files(_: &Config) -> Option<Advice> {
    let files = getrlimit(Resource::Nofile).maximum.filter(|files| *files < FILES)?;
    Some(Advice {
        what: format!("this process may open {files} files: three of four are connections"),
        hint: "raise the limit (LimitNOFILE= of systemd, `ulimit -Hn`): a few sources can take the connections of all",
    })
}
