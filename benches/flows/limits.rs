//! What nobody can go below on this machine: a bare route of the web framework, and one signature of each algorithm.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use actix_web::{App, HttpResponse, HttpServer, web};
use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256},
};

use crate::{Fallible, cpu};

/// As long as the signed part of an ID token.
const MESSAGE: [u8; 420] = [b'm'; 420];
pub const BARE_ROUTE: &str = "--bare-route";

/// Time of one signature with a 2048-bit RSA key.
pub fn rs256(time: Duration) -> Fallible<Duration> {
    static KEY: OnceLock<Option<RsaKeyPair>> = OnceLock::new();
    let key = KEY.get_or_init(|| RsaKeyPair::generate(KeySize::Rsa2048).ok()).as_ref().ok_or("no RSA key")?;
    let mut signature = vec![0; key.public_modulus_len()];
    let random = SystemRandom::new();
    spend(time, || key.sign(&RSA_PKCS1_SHA256, &random, &MESSAGE, &mut signature).is_ok())
}

pub fn es256(time: Duration) -> Fallible<Duration> {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
    let random = SystemRandom::new();
    spend(time, || key.sign(&random, &MESSAGE).is_ok())
}

pub fn ed25519(time: Duration) -> Fallible<Duration> {
    let key = Ed25519KeyPair::generate()?;
    spend(time, || key.try_sign(&MESSAGE).is_ok())
}

/// The processor time of one call, over as many as fit.
pub fn spend(time: Duration, mut call: impl FnMut() -> bool) -> Fallible<Duration> {
    let (from, before, mut count) = (Instant::now(), cpu::this_thread(), 0_u32);
    while from.elapsed() < time {
        if !call() {
            return Err("a signature failed".into());
        }
        count += 1;
    }
    Ok(cpu::this_thread().saturating_sub(before) / count.max(1))
}

/// A bare route in a process of its own: this program, started again.
pub struct BareRoute {
    child: Child,
    pub port: u16,
}

impl BareRoute {
    pub fn start() -> Fallible<Self> {
        let mut child =
            Command::new(env::current_exe()?).arg(BARE_ROUTE).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or("no output of the bare route")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        Ok(Self { port: line.trim().parse()?, child })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for BareRoute {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The other side of [`BareRoute`]: serves until it is killed. The answer is as long as that of a token endpoint.
pub fn serve_bare_route() -> Fallible<()> {
    actix_web::rt::System::new().block_on(async {
        let server = HttpServer::new(|| {
            App::new().route(
                "/",
                web::get().to(|| async {
                    HttpResponse::Ok()
                        .json(serde_json::json!({ "token_type": "Bearer", "access_token": "a".repeat(64) }))
                }),
            )
        })
        .bind("127.0.0.1:0")?;
        let port = server.addrs().first().ok_or("no address")?.port();
        println!("{port}");
        std::io::stdout().flush()?;
        Ok(server.run().await?)
    })
}
