//! The suite's REST interface, as far as it is needed here.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use reqwest::{Certificate, Client, RequestBuilder, StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::sleep;

use crate::{Arguments, Fallible};

/// How long the suite holds a question for a module's state, in milliseconds.
const HOLD: u64 = 30_000;
/// How long the record of a module may stay behind the module itself.
const BEHIND: Duration = Duration::from_secs(5);

pub struct Suite {
    base: String,
    http: Client,
}

/// A plan as the suite made it.
#[derive(Debug, Deserialize)]
pub struct Created {
    pub id: String,
    pub modules: Vec<Module>,
}

/// A module of a plan.
#[derive(Clone, Debug, Deserialize)]
pub struct Module {
    #[serde(rename = "testModule")]
    pub name: String,
    /// What it adds to the plan's variant.
    pub variant: Option<Value>,
}

/// How a module stands.
#[derive(Clone, Debug, Deserialize)]
pub struct Info {
    pub status: String,
    pub result: Option<String>,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

#[derive(Deserialize)]
struct State {
    state: Option<String>,
}

impl Suite {
    pub async fn connect(arguments: &Arguments) -> Fallible<Self> {
        let mut headers = header::HeaderMap::new();
        if let Some(file) = &arguments.token_file {
            let mut value: header::HeaderValue = format!("Bearer {}", fs::read_to_string(file)?.trim()).parse()?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        let mut http = Client::builder()
            .default_headers(headers)
            .no_proxy()
            .timeout(Duration::from_millis(HOLD) + Duration::from_secs(30));
        if let Some(file) = &arguments.ca {
            http = http.tls_certs_merge(Certificate::from_pem_bundle(&fs::read(file)?)?);
        }
        let it = Self { base: arguments.suite.trim_end_matches('/').to_owned(), http: http.build()? };
        let answer = it.http.get(it.at("plan")).query(&[("length", "1")]).send().await;
        match answer.map(|answer| answer.status()) {
            Ok(StatusCode::OK) => Ok(it),
            Ok(status) => {
                Err(format!("{}: {status}; does it run in development mode, or need --token-file?", it.base).into())
            }
            Err(error) => Err(format!("{}: is the suite running? {}", it.base, causes(&error)).into()),
        }
    }

    fn at(&self, path: &str) -> String {
        format!("{}/api/{path}", self.base)
    }

    /// Where a person can look at a plan.
    pub fn page(&self, plan: &str) -> String {
        format!("{}/plan-detail.html?plan={plan}", self.base)
    }

    pub async fn create_plan(&self, name: &str, variant: &Value, configuration: &Value) -> Fallible<Created> {
        let mut query = vec![("planName", name.to_owned())];
        if variant.as_object().is_some_and(|variant| !variant.is_empty()) {
            query.push(("variant", variant.to_string()));
        }
        json(self.http.post(self.at("plan")).query(&query).json(configuration)).await
    }

    /// Makes a module of a plan; it starts by itself, if it is one that does.
    pub async fn create(&self, plan: &str, module: &Module) -> Fallible<String> {
        let mut query = vec![("test", module.name.clone()), ("plan", plan.to_owned())];
        if let Some(variant) = &module.variant {
            query.push(("variant", variant.to_string()));
        }
        let request = self.http.post(self.at("runner")).query(&query).header(header::CONTENT_TYPE, "application/json");
        Ok(json::<Id>(request).await?.id)
    }

    pub async fn start(&self, module: &str) -> Fallible<()> {
        json::<Value>(self.http.post(self.at(&format!("runner/{module}")))).await.map(drop)
    }

    /// Takes a module off the suite's hands.
    pub async fn cancel(&self, module: &str) -> Fallible<()> {
        self.http.delete(self.at(&format!("runner/{module}"))).send().await?;
        Ok(())
    }

    /// The first of `states` that the module reaches within what the suite holds a question, if it does.
    pub async fn reaches(&self, module: &str, states: &str) -> Fallible<Option<String>> {
        let query = [("states", states.to_owned()), ("timeoutMs", HOLD.to_string())];
        let state: State = json(self.http.get(self.at(&format!("runner/{module}/wait-state"))).query(&query)).await?;
        Ok(state.state)
    }

    /// How a module ended, or where it got stuck. The suite says that a module has ended before it has recorded it.
    pub async fn ended(&self, module: &str) -> Fallible<Info> {
        let from = Instant::now();
        loop {
            let info: Info = json(self.http.get(self.at(&format!("info/{module}")))).await?;
            if matches!(info.status.as_str(), "FINISHED" | "INTERRUPTED") || from.elapsed() > BEHIND {
                return Ok(info);
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// What the module wrote down, oldest first.
    pub async fn log(&self, module: &str) -> Fallible<Vec<Map<String, Value>>> {
        json(self.http.get(self.at(&format!("log/{module}")))).await
    }

    /// Saves the suite's own, signed record of a plan.
    pub async fn save(&self, plan: &str, file: &Path) -> Fallible<()> {
        let answer = self.http.get(self.at(&format!("plan/export/{plan}"))).send().await?;
        fs::write(file, answer.error_for_status()?.bytes().await?)?;
        Ok(())
    }
}

async fn json<T: for<'a> Deserialize<'a>>(request: RequestBuilder) -> Fallible<T> {
    let answer = request.send().await.map_err(|error| causes(&error))?;
    let (status, url) = (answer.status(), answer.url().path().to_owned());
    let body = answer.text().await?;
    if !status.is_success() {
        let said: String = body.chars().take(500).collect();
        return Err(format!("the suite's {url}: {status} {said}").into());
    }
    serde_json::from_str(&body).map_err(|error| format!("the suite's {url}: {error}").into())
}

/// An error with what it came of: the library's own words end where the cause begins.
fn causes(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        said = format!("{said}: {inner}");
        cause = inner.source();
    }
    said
}
